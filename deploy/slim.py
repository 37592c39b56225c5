"""Take out of installed packages what no service loads: tests, sources for compilers and type checkers, debug sections.

Usage: python slim.py FOLDER

A program of the image itself is not touched: what is left runs the same code, byte for byte.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

TESTS = frozenset({"tests", "SelfTest"})
SOURCES = frozenset({".pyi", ".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cpp", ".a"})
_ELF_64_LITTLE = b"\x7fELF\x02\x01"


def main(folder: Path) -> int:
    """Return how many bytes less there are below a folder."""
    before = size_of(folder)
    for tests in [path for path in folder.rglob("*") if path.name in TESTS and path.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)  # perhaps with one above it
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            if path.suffix in SOURCES:
                path.unlink()
            elif ".so" in path.suffixes:
                path.write_bytes(loadable(path.read_bytes()))
    return before - size_of(folder)


def loadable(library: bytes) -> bytes:
    """Return a shared library up to the last byte that its program headers name.

    What comes after – symbol tables, debug information, section headers – is for linkers and
    debuggers; a loader reads none of it. What is no 64-bit little-endian ELF file stays as it is.

    Notes
    -----
    System V ABI, gABI 4.1, Chapter 4 (ELF Header) and Chapter 5 (Program Header).
    """
    if not library.startswith(_ELF_64_LITTLE):
        return library
    (table,) = struct.unpack_from("<Q", library, 32)
    size, number = struct.unpack_from("<HH", library, 54)
    end = table + size * number
    for at in range(table, end, size):
        offset, _, _, in_file = struct.unpack_from("<4Q", library, at + 8)
        end = max(end, offset + in_file)
    head = bytearray(library[:64])
    struct.pack_into("<Q", head, 40, 0)  # where section headers are
    struct.pack_into("<HH", head, 60, 0, 0)  # how many, and which has their names
    return bytes(head) + library[64:end]


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1])) / 1e6:.0f} MB less")
