"""Files that could not be read: counted, some of them named, never fatal."""

from __future__ import annotations

from typing import TextIO

from dicomtools.plain import plain

SHOWN_FILES = 10


class Skipped:
    """The files that were left out, with the reasons."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self.number = 0

    def add(self, path: str, reason: str) -> None:
        """Count a file."""
        self.number += 1
        if len(self._shown) < SHOWN_FILES:
            self._shown.append(f"  {plain(path)}: {reason}")

    def report(self, out: TextIO, what: str) -> None:
        """Say how many there were, and which: `12 files are not shown:`."""
        if not self.number:
            return
        files = "1 file is" if self.number == 1 else f"{self.number} files are"
        print(f"{files} {what}:", *self._shown, sep="\n", file=out)
        if self.number > SHOWN_FILES:
            print(f"  and {self.number - SHOWN_FILES} more", file=out)
