"""The tables of the standard that come with the package, as text."""

from __future__ import annotations

from importlib.resources import files


def read_table(name: str) -> str:
    """Return a table of this package; it is part of the program, not of its data."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
