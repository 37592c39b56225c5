"""A destination of an export, and how it is filled: every file, then the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dicomcore.export import Manifest, ManifestInstance
from dicomio.exporting.pieces import Piece


@dataclass(frozen=True, slots=True)
class NotTaken:
    """One instance that did not arrive."""

    sop_instance_uid: str
    reason: str
    """A fixed sentence."""


class Destination(Protocol):
    """Where an export goes. Blocks; used by one thread.

    What a method raises ends the export: an error of `dicomcore.errors`, or `OSError` of a folder.
    """

    def add(self, piece: Piece) -> None:
        """Take one file; the same one again is no change."""
        ...

    def settle(self) -> Sequence[NotTaken]:
        """Return what did not arrive, once everything was added."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, after which the export is there."""
        ...

    def undo(self) -> None:
        """Remove what was added; never raises because something cannot be removed."""
        ...


def publish(
    pieces: Iterable[Piece],
    describe: Callable[[Sequence[ManifestInstance], Sequence[NotTaken]], Manifest],
    destination: Destination,
    *,
    all_or_nothing: bool = True,
) -> Manifest:
    """Fill a destination and return the manifest, which is written last.

    Parameters
    ----------
    pieces
        Taken one at a time: no more than one of them is in memory.
    describe
        Makes the manifest of what was added, some of which may not have arrived.
    all_or_nothing
        Whether what was added is removed when the export ends before its manifest is there.
    """
    entries: list[ManifestInstance] = []
    try:
        for piece in pieces:
            destination.add(piece)
            entries.append(piece.entry)
        manifest = describe(entries, destination.settle())
        destination.finish(manifest)
    except BaseException:
        if all_or_nothing:
            destination.undo()
        raise
    return manifest
