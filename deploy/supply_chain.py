"""Write what is in each image as CycloneDX, and ask what of it is known to be vulnerable.

Usage, with the Python of the project's environment: python deploy/supply_chain.py [FOLDER]

The tools live in an environment that is thrown away. Without a way to them, or to a list of
vulnerabilities, that is said and nothing fails. A known vulnerability of a package that goes into an
image fails, unless deploy/accepted-vulnerabilities.toml says why not and until when.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from locked import OURS, locked_entries, normalized, pinned
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK, TOOLS = ROOT / "requirements.lock", ROOT / "deploy" / "audit-tools.lock"
ACCEPTED = ROOT / "deploy" / "accepted-vulnerabilities.toml"
IMAGES = ("store-scp", "indexer", "qr-gateway", "cli")
SOURCES = ("pypi", "osv")
"""Of known vulnerabilities, in this order: who does not answer is followed by the next one."""
TIMEOUT_S = 300
LONGEST = timedelta(days=92)
"""That a vulnerability may be accepted for."""


def main(folder: Path) -> int:
    """Return the exit code: 1 for a vulnerability that blocks, or a bill that cannot be written."""
    shipped = {image: packages_of(f"{OURS}[{image}]") for image in IMAGES}
    with tempfile.TemporaryDirectory() as place:
        tools = Path(place, "tools")
        venv.create(tools, with_pip=True)
        install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        if not _run([tools / "bin/python", "-m", "pip", *install, "-r", TOOLS]):
            print("supply chain: neither written nor looked up, its tools cannot be installed here")
            return 0
        written = [write_bill(tools, folder, image, names) for image, names in shipped.items()]
        report = ask(tools, Path(place))
    today = datetime.now(UTC).date()
    found = judge(report, set().union(*shipped.values()), accepted(ACCEPTED, today), today)
    for line in found.lines():
        print(f"supply chain: {line}")
    return 0 if all(written) and not found.blocking else 1


def packages_of(requirement: str) -> set[str]:
    """Return the names of what a requirement brings along, as installed here, ours apart."""
    found: set[str] = set()
    waiting = [Requirement(requirement)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = normalized(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")
            ):
                waiting.append(needed)
    return found - {OURS}


def write_bill(tools: Path, folder: Path, image: str, names: set[str]) -> bool:
    """Write an image's bill of materials, with the hashes of the lock; whether that was possible."""
    entries = [one for one in locked_entries(LOCK.read_text()) if pinned(one)[0] in names]
    folder.mkdir(parents=True, exist_ok=True)
    lock, bill = folder / f"{image}.lock", folder / f"{image}.cdx.json"
    lock.write_text("".join(entries))
    options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--validate"]
    complete = _run([tools / "bin/cyclonedx-py", "requirements", *options, "-o", bill, lock])
    lock.unlink()
    say = f"{bill}, {len(entries)} packages" if complete else f"no bill of materials of {image}"
    print(f"supply chain: {say}")
    return complete


def ask(tools: Path, place: Path) -> dict[str, Any]:
    """Return pip-audit's report on the whole lock, of the first source that knows the packages."""
    report = place / "report.json"
    for source in SOURCES:
        report.unlink(missing_ok=True)
        command = [
            *(tools / "bin/pip-audit", "--vulnerability-service", source, "--format", "json"),
            *("--output", report, "--progress-spinner", "off", "--timeout", "15"),
            *("--disable-pip", "--require-hashes", "--requirement", LOCK),
        ]
        _run(command)  # which ends badly, too, where something is found
        if report.exists():
            told: dict[str, Any] = json.loads(report.read_text())
            # a package that the source does not know is skipped, and no error for pip-audit
            if any("vulns" in one for one in told["dependencies"]):
                return told
    return {"dependencies": [{"name": pinned(e)[0]} for e in locked_entries(LOCK.read_text())]}


@dataclass(frozen=True)
class Verdict:
    """What was found: sentences, those that block apart."""

    blocking: list[str]
    told: list[str]
    looked_up: int
    unknown: int

    def lines(self) -> list[str]:
        """Return what to print."""
        last = f"{self.looked_up} packages looked up, {len(self.blocking)} vulnerabilities block"
        if not self.looked_up:
            last = (
                "no list of known vulnerabilities can be reached from here: nothing was looked up"
            )
        elif self.unknown:
            last += f"; {self.unknown} packages could not be looked up"
        return [*self.told, *(f"BLOCKS: {one}" for one in self.blocking), last]


def judge(
    report: Mapping[str, Any],
    shipped: set[str],
    exceptions: Mapping[str, Mapping[str, Any]],
    today: date,
) -> Verdict:
    """Return what a report means: only what goes into an image blocks, and no accepted one in time."""
    blocking: list[str] = []
    told: list[str] = []
    looked_up = unknown = 0
    for one in report["dependencies"]:
        if "vulns" not in one:
            unknown += 1
            continue
        looked_up += 1
        name = normalized(one["name"])
        for found in one["vulns"]:
            fixed = ", ".join(found.get("fix_versions", ())) or "no version"
            said = f"{found['id']} in {name} {one['version']}, mended in {fixed}"
            reason = _excuse({found["id"], *found.get("aliases", ())}, name, exceptions, today)
            if name not in shipped:
                told.append(f"{said}: only tests use it")
            elif reason:
                told.append(f"{said}: accepted, {reason}")
            else:
                blocking.append(said)
    return Verdict(blocking, told, looked_up, unknown)


def accepted(path: Path, today: date) -> dict[str, Any]:
    """Return the exceptions by their IDs; each has a package, a reason and an end that is near."""
    exceptions = tomllib.loads(path.read_text())
    for name, one in exceptions.items():
        if set(one) != {"package", "reason", "until"} or not one["reason"].strip():
            sys.exit(f"{path.name}: {name} needs package, reason and until, and nothing else")
        if one["until"] - today > LONGEST:
            sys.exit(f"{path.name}: {name} is accepted for longer than three months")
    return exceptions


def _excuse(
    names: Iterable[str], package: str, exceptions: Mapping[str, Mapping[str, Any]], today: date
) -> str:
    for name in names:
        one = exceptions.get(name)
        if one is not None and normalized(one["package"]) == package and today <= one["until"]:
            return f"{one['reason']} (until {one['until']})"
    return ""


def _run(command: list[Any]) -> bool:
    """Return whether a program ended well, in time."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/sbom")))
