"""The destination that is a folder: files that are there whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dicomcore.export import MANIFEST_NAME, Manifest, ManifestInstance, encode_manifest
from dicomio.exporting.pieces import Piece
from dicomio.exporting.publishing import NotTaken
from dicomio.files import write_atomically

NOTHING: Mapping[str, ManifestInstance] = {}


class FolderDestination:
    """A folder, which is made if need be.

    Parameters
    ----------
    found
        By file name: what is there already, byte for byte; it is not written again.
    read_again
        Whether every file is read again after it was written.
    """

    def __init__(
        self,
        path: Path,
        found: Mapping[str, ManifestInstance] = NOTHING,
        *,
        read_again: bool = True,
    ) -> None:
        self._path = path
        self._found = found
        self._read_again = read_again
        self._written: list[Path] = []

    def add(self, piece: Piece) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        target = self._path / piece.entry.file
        known = self._found.get(piece.entry.file)
        if known is None or known.sha256 != piece.entry.sha256:
            self._written.append(target)
            write_atomically(target, piece.body)
        if self._read_again:
            with target.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != piece.entry.sha256:
                    raise OSError(None, "a file is not as it was written")

    def settle(self) -> Sequence[NotTaken]:
        return ()

    def finish(self, manifest: Manifest) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path / MANIFEST_NAME, encode_manifest(manifest))

    def undo(self) -> None:
        for path in self._written:
            with suppress(OSError):  # what is no file was not written here
                path.unlink()
