"""An export as one ZIP file that is made while it is sent: nothing of it is held, nowhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from dicomcore.errors import Unreadable
from dicomcore.export import MANIFEST_NAME, Manifest
from dicomcore.ports import ObjectStore

CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"[A-Z]{2}\.[0-9.]{1,64}(\.version-[0-9a-f]{16})?\.dcm", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive."""

    name: str
    key: str
    size_bytes: int
    sha256: str
    """Hexadecimal; empty: it is not checked."""


def entries_of(manifest: Manifest, store: ObjectStore, prefix: str) -> Sequence[Entry]:
    """Return what an archive of an export holds: the manifest, then the files by name.

    Raises
    ------
    Unreadable
        The manifest names a file that no export of ours has: it could lead out of the folder into
        which somebody unpacks.
    NotFound, ObjectStoreUnavailable
    """
    files = sorted(manifest.instances, key=lambda entry: entry.file)
    for entry in files:
        if _NAME.fullmatch(entry.file) is None:
            raise Unreadable("the manifest names a file that is none of an export")
    key = prefix + MANIFEST_NAME
    return (
        Entry(MANIFEST_NAME, key, store.stat(key).size_bytes, ""),
        *(Entry(one.file, prefix + one.file, one.size_bytes, one.sha256) for one in files),
    )


def zipped(
    entries: Sequence[Entry], store: ObjectStore, *, at: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Yield the archive, piece by piece; the same bytes every time.

    Files are stored, not compressed: pixels hardly shrink. What is large is of the form ZIP64.

    Parameters
    ----------
    at
        Time of every file, ISO 8601.

    Raises
    ------
    Unreadable
        An object is not what the manifest says: the archive ends in the middle.
    NotFound, ObjectStoreUnavailable

    Notes
    -----
    APPNOTE.TXT 6.3.10: sizes and CRC follow each file (4.4.4 bit 3), so that nothing is read twice.
    """
    moment = _moment(at)
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]  # write is enough
        for entry in entries:
            info = ZipInfo(entry.name, moment)
            info.external_attr = 0o600 << 16
            info.file_size = entry.size_bytes
            with archive.open(info, "w") as member:
                for chunk in _chunks(entry, store, chunk_bytes):
                    member.write(chunk)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """What the archive is written into: a few bytes until they are taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _chunks(entry: Entry, store: ObjectStore, chunk_bytes: int) -> Iterator[bytes]:
    digest = hashlib.sha256()
    read = 0
    while read < entry.size_bytes:
        chunk = store.get_range(entry.key, read, min(chunk_bytes, entry.size_bytes - read))
        if not chunk:
            break
        read += len(chunk)
        if entry.sha256:
            digest.update(chunk)
        if read == entry.size_bytes and entry.sha256 and digest.hexdigest() != entry.sha256:
            break
        yield chunk
    else:
        return
    raise Unreadable("an object of the export is not what its manifest says", key=entry.key)


def _moment(at: str) -> tuple[int, int, int, int, int, int]:
    try:
        moment = datetime.fromisoformat(at).astimezone(UTC)
    except ValueError:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
