"""The destination that is a prefix in an object store; its manifest says that the export is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import structlog

from dicomcore.errors import DicomToolsError, NotFound
from dicomcore.export import MANIFEST_NAME, Manifest, encode_manifest, parse_manifest
from dicomcore.ports import ObjectStore
from dicomio.exporting.pieces import Piece
from dicomio.exporting.publishing import NotTaken

log = structlog.get_logger(__name__)


def nothing_to_ask() -> None:
    """Let everything pass."""


class BucketDestination:
    """Everything below one prefix of a store, which is nobody else's.

    Parameters
    ----------
    prefix
        Ends with a slash.
    fence
        Raises, if somebody else has the job meanwhile: asked before the manifest is written, and
        before anything is removed, so that one who was taken for dead takes nothing from the other.
    """

    def __init__(
        self, store: ObjectStore, prefix: str, fence: Callable[[], None] = nothing_to_ask
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._fence = fence
        self._names: set[str] = set()

    def existing(self) -> Manifest | None:
        """Return the manifest that is there: the export was finished, by an attempt that then died."""
        try:
            return read_manifest(self._store, self._prefix)
        except NotFound:
            return None

    def add(self, piece: Piece) -> None:
        key = self._prefix + piece.entry.file
        self._names.add(piece.entry.file)
        if self._store.put(key, [piece.body], sha256=piece.entry.sha256):
            return
        # of an attempt before this one, or our own whose answer was lost
        if hashlib.sha256(self._store.get(key)).hexdigest() != piece.entry.sha256:
            self._store.delete(key)
            self._store.put(key, [piece.body], sha256=piece.entry.sha256)

    def settle(self) -> Sequence[NotTaken]:
        return ()

    def finish(self, manifest: Manifest) -> None:
        self._fence()
        # an attempt under another key, or before the index knew less, wrote under other names
        listed = [stat.key for stat in self._store.list(self._prefix)]
        for key in listed:
            if key.removeprefix(self._prefix) not in self._names:
                self._store.delete(key)
        self._store.put(self._prefix + MANIFEST_NAME, [encode_manifest(manifest)])

    def undo(self) -> None:
        try:
            self._fence()
            for name in sorted(self._names):
                self._store.delete(self._prefix + name)
        except DicomToolsError as exc:
            # without a manifest it is no export
            log.warning("export_not_removed", problem=exc.sentence)


def read_manifest(store: ObjectStore, prefix: str) -> Manifest:
    """Return the manifest of an export.

    Raises
    ------
    NotFound
        The export is not there, or not yet.
    Unreadable
        What is there is no manifest.
    ObjectStoreUnavailable
    """
    return parse_manifest(store.get(prefix + MANIFEST_NAME))
