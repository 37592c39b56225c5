"""Print the part of requirements.lock that some requirements need on this machine, hashes included.

Usage: python locked.py LOCK PIP REQUIREMENT...

The lock holds everything, also what only tests need. pip resolves the requirements here, bound to the
lock's versions, from the metadata of packages; what is then installed is checked against the hashes
that this prints. Whatever the lock does not have is an error.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = "dicomtools"
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)")


def main(lock: Path, pip: str, requirements: list[str]) -> str:
    """Return the lock's entries for `requirements` and all that they require."""
    entries = locked_entries(lock.read_text())
    needed = resolved(pip, requirements, pins=[entry.split(" \\\n")[0] for entry in entries])
    kept = [entry for entry in entries if pinned(entry) in needed]
    strangers = needed - {pinned(entry) for entry in kept}
    if strangers:
        sys.exit(f"not in {lock.name}: {', '.join('=='.join(one) for one in sorted(strangers))}")
    return "".join(kept)


def locked_entries(text: str) -> list[str]:
    """Return each requirement of a lock with the lines of its hashes."""
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    entries: list[str] = []
    for line in lines:
        if line[:1].isspace():
            entries[-1] += line
        elif line.strip():
            entries.append(line)
    return entries


def pinned(entry: str) -> tuple[str, str]:
    """Return the name, as package indexes compare it, and the version of a lock's entry."""
    found = PINNED.match(entry)
    if found is None:
        sys.exit(f"not pinned: {entry.splitlines()[0]}")
    return normalized(found["name"]), found["version"]


def normalized(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolved(pip: str, requirements: list[str], *, pins: list[str]) -> set[tuple[str, str]]:
    """Return name and version of all that `requirements` need, ours apart."""
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder, "constraints.txt"), Path(folder, "report.json")
        constraints.write_text("\n".join(pins))
        subprocess.run(
            [
                pip, "install", "--quiet", "--dry-run", "--ignore-installed",
                "--only-binary", ":all:", "--constraint", str(constraints),
                "--report", str(report), *requirements,
            ],
            check=True,
        )  # fmt: skip
        installs = json.loads(report.read_text())["install"]
    found = {(normalized(one["metadata"]["name"]), one["metadata"]["version"]) for one in installs}
    return {(name, version) for name, version in found if name != OURS}


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]), end="")
