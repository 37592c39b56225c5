"""The page's source: types that hold, no way from text to markup, imports that go one way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.browser.world import WEB

MODULES = sorted(WEB.rglob("*.js"))
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "DOMParser",
    "createContextualFragment",
    "setHTMLUnsafe",
    "dangerously",
)


@pytest.mark.browser
def test_types_hold(node_tools: Path) -> None:
    checked = subprocess.run(
        ["node", node_tools / "typescript/bin/tsc", "-p", Path(__file__).parent / "tsconfig.json"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(WEB)))
def test_there_is_no_way_from_text_to_markup(module: Path) -> None:
    text = module.read_text("utf-8")

    assert [word for word in FORBIDDEN if word in text] == []


def test_one_module_fetches_and_one_knows_the_storage() -> None:
    fetching = [path.name for path in MODULES if re.search(r"\bfetch\(", path.read_text())]
    storing = [
        path.name for path in MODULES if re.search(r"\b(local|session)Storage\b", path.read_text())
    ]

    assert fetching == ["api.js"]
    assert storing == ["storage.js"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(WEB)))
def test_imports_go_one_way_and_features_do_not_know_each_other(module: Path) -> None:
    place = module.relative_to(WEB).parts
    for target in IMPORT.findall(module.read_text("utf-8")):
        to = (module.parent / target).resolve().relative_to(WEB).parts
        if place[0] == "core":
            assert to[0] == "core", target
        elif place[0] == "parts":
            assert to[0] in ("core", "parts"), target
        elif place[0] == "features":
            assert to[0] in ("core", "parts") or to[:2] == place[:2], target


def test_files_are_small_and_nothing_comes_from_elsewhere() -> None:
    for path in (*MODULES, WEB / "index.html", WEB / "styles.css"):
        text = path.read_text("utf-8")

        elsewhere = re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"')]+", text)
        assert elsewhere == [], path.name
        if path.suffix == ".js":
            assert text.count("\n") <= 300, path.name
