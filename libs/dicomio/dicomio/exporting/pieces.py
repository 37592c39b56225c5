"""The files of an export as they are in the object store, each checked against its key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomcore.errors import Unreadable
from dicomcore.export import ExportFile, ManifestInstance
from dicomcore.header import read_header
from dicomcore.keys import parse_object_key
from dicomcore.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of an export."""

    entry: ManifestInstance
    body: bytes = field(repr=False)
    staged: Path | None = None
    """A file with the same bytes, which lasts until the export has ended."""


def read_object(key: str, store: ObjectStore) -> bytes:
    """Return an object that is what its key says.

    Raises
    ------
    NotFound, ObjectStoreUnavailable
        It is gone.
    Unreadable
        Its bytes are others than those that landed.
    """
    body = store.get(key)
    if not hashlib.sha256(body).hexdigest().startswith(parse_object_key(key).digest):
        raise Unreadable("object is not what its key says", key=key)
    return body


def verbatim(
    files: Sequence[ExportFile], store: ObjectStore, check: Callable[[], None] = lambda: None
) -> Iterator[Piece]:
    """Yield files as they are, one at a time in memory.

    Parameters
    ----------
    check
        Called before each; what it raises ends the export.

    Raises
    ------
    NotFound, ObjectStoreUnavailable, Unreadable
        As `read_object`.
    """
    for file in files:
        check()
        body = read_object(file.object_key, store)
        yield Piece(_entry(file, body), body)


def _entry(file: ExportFile, body: bytes) -> ManifestInstance:
    ref = parse_object_key(file.object_key).ref
    header = None if file.sop_class_uid else read_header(body, complete=True)
    return ManifestInstance(
        file=file.name,
        sop_instance_uid=ref.sop_instance_uid,
        sop_class_uid=file.sop_class_uid if header is None else header.sop_class_uid,
        modality=file.modality,
        series_instance_uid=ref.series_instance_uid,
        study_instance_uid=ref.study_instance_uid,
        sha256=hashlib.sha256(body).hexdigest(),
        size_bytes=len(body),
        why=file.why,
        newest=file.newest,
    )
