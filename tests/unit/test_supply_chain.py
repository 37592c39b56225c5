"""What goes into the images, and which known vulnerability of it fails the run."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
TODAY = date(2026, 11, 23)
FOUND = {"id": "PYSEC-1", "aliases": ["CVE-1", "GHSA-1"], "fix_versions": ["2.1"]}


@pytest.fixture(scope="module")
def chain() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DEPLOY))
        spec = importlib.util.spec_from_file_location("supply_chain", DEPLOY / "supply_chain.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "supply_chain", module)
        spec.loader.exec_module(module)
        return module


def report(*names: str) -> dict[str, Any]:
    """What pip-audit tells of packages with a vulnerability each."""
    return {"dependencies": [{"name": n, "version": "2.0", "vulns": [FOUND]} for n in names]}


def accepting(name: str, package: str, until: date) -> dict[str, Any]:
    return {name: {"package": package, "reason": "not called", "until": until}}


def test_what_is_known_of_a_package_in_an_image_blocks_and_of_one_for_tests_is_told(
    chain: ModuleType,
) -> None:
    verdict = chain.judge(report("Shipped_One", "only-tests"), {"shipped-one"}, {}, TODAY)

    assert verdict.blocking == ["PYSEC-1 in shipped-one 2.0, mended in 2.1"]
    assert verdict.told == ["PYSEC-1 in only-tests 2.0, mended in 2.1: only tests use it"]


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1", "GHSA-1"])
def test_an_accepted_one_does_not_block_until_its_day_is_over(chain: ModuleType, name: str) -> None:
    in_time = accepting(name, "shipped", TODAY)
    over = accepting(name, "shipped", date(2026, 11, 22))
    another = accepting(name, "another", TODAY)

    blocking = [
        len(chain.judge(report("shipped"), {"shipped"}, exceptions, TODAY).blocking)
        for exceptions in (in_time, over, another)
    ]

    assert blocking == [0, 1, 1]


def test_what_could_not_be_looked_up_is_not_said_to_be_well(chain: ModuleType) -> None:
    skipped = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    partly = {
        "dependencies": [*skipped["dependencies"], {"name": "b", "version": "1", "vulns": []}]
    }

    nothing = chain.judge(skipped, {"a"}, {}, TODAY)
    some = chain.judge(partly, {"a"}, {}, TODAY)

    assert (nothing.looked_up, nothing.unknown, nothing.blocking) == (0, 1, [])
    assert "nothing was looked up" in nothing.lines()[-1]
    assert some.lines()[-1].endswith("1 packages could not be looked up")


def test_an_image_has_what_its_extra_brings_along_and_no_tool_of_the_tests(
    chain: ModuleType,
) -> None:
    locked = {
        chain.pinned(entry)[0] for entry in chain.locked_entries(chain.LOCK.read_text("utf-8"))
    }
    shipped = {image: chain.packages_of(f"dicomtools[{image}]") for image in chain.IMAGES}

    for names in shipped.values():
        assert {"pydicom", "aiohttp", "nats-py", "urllib3"} <= names <= locked
        assert not {"pytest", "mypy", "playwright", "dicomtools"} & names
    assert "sqlalchemy" in shipped["indexer"]
    assert "sqlalchemy" not in shipped["store-scp"]
    assert shipped["cli"] >= shipped["store-scp"] | shipped["indexer"] | shipped["qr-gateway"]


def test_an_exception_without_reason_or_end_is_refused(chain: ModuleType, tmp_path: Path) -> None:
    # for as long as one of them has not expired, three months at most, this is what CI does
    assert all(
        one["until"] for one in chain.accepted(chain.ACCEPTED, datetime.now(UTC).date()).values()
    )
    path = tmp_path / "accepted.toml"
    path.write_text('[CVE-1]\npackage = "a"\nreason = "r"\nuntil = 2027-02-23\n')
    assert set(chain.accepted(path, TODAY)) == {"CVE-1"}
    path.write_text('[CVE-1]\npackage = "a"\nreason = "r"\nuntil = 2027-02-24\n')
    with pytest.raises(SystemExit, match="longer than three months"):
        chain.accepted(path, TODAY)
    for text in (
        '[CVE-1]\npackage = "a"\nuntil = 2027-01-01\n',
        '[CVE-1]\npackage = "a"\nreason = " "\nuntil = 2027-01-01\n',
        '[CVE-1]\npackage = "a"\nreason = "r"\n',
    ):
        path.write_text(text)
        with pytest.raises(SystemExit, match="needs package, reason and until"):
            chain.accepted(path, TODAY)
