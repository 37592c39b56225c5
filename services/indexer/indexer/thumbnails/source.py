"""As little of a stored object as one frame of it takes: the header, and the bytes of the frame."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

from pydicom import Dataset, dcmread

from dicomcore.errors import Rejected, Unreadable
from dicomcore.ports import ObjectStore
from dicomcore.readers.collect import Truncated
from dicomcore.readers.part10 import encoding_at, inflated, open_object
from dicomcore.walk import UNDEFINED_LENGTH, ElementReader

FIRST_BYTES = 256 * 1024
GROWTH = 8
MAX_BYTES = 64 * 1024 * 1024
"""Of a header, of a frame, and of an object whose pixel data are compressed."""
_PIXEL_DATA = {0x7FE00008: "f", 0x7FE00009: "d", 0x7FE00010: ""}


@dataclass(frozen=True, slots=True)
class Pixels:
    """A header, and where the pixel data are."""

    header: Dataset
    """Without pixel data."""
    kind: str
    """`f` or `d` for Float and Double Float Pixel Data, empty for Pixel Data (7FE0,0010)."""
    little_endian: bool
    start: int
    length: int
    """`UNDEFINED_LENGTH` where the data are encapsulated."""


class StoredPixels:
    """The pixels of one stored object. Blocks; used by one thread.

    Raises
    ------
    Rejected
        From every method: too large, or without pixels.
    Unreadable
        From every method: cut off or damaged.
    NotFound, ObjectStoreUnavailable
        From the store.
    """

    def __init__(self, store: ObjectStore, key: str, size_bytes: int) -> None:
        self._store = store
        self._key = key
        self._size = size_bytes
        self._inflated = b""

    def find(self) -> Pixels:
        """Read as much as the header takes."""
        length = min(FIRST_BYTES, self._size)
        while True:
            data = self._store.get_range(self._key, 0, length)
            found = self._pixels_in(data, complete=length >= self._size)
            if found is not None:
                return found
            if length >= MAX_BYTES:
                raise Rejected("the header is too large for a picture", limit_bytes=MAX_BYTES)
            length = min(length * GROWTH, self._size, MAX_BYTES)

    def read(self, start: int, length: int) -> bytes:
        """Return bytes of the pixel data."""
        if length > MAX_BYTES:
            raise Rejected("a frame is too large for a picture", limit_bytes=MAX_BYTES)
        if self._inflated:
            data = self._inflated[start : start + length]
        else:
            data = self._store.get_range(self._key, start, length)
        if len(data) < length:
            raise Unreadable("the pixel data are cut off", size_bytes=self._size)
        return data

    def rest(self, start: int) -> bytes:
        """Return all from `start` on."""
        return self.read(start, self._size - start)

    def _pixels_in(self, data: bytes, *, complete: bool) -> Pixels | None:
        try:
            opened = open_object(data)
            if not opened.deflated:
                return _found(data, opened.start, complete=complete)
            if not complete:
                return None
            for self._inflated, _ in inflated(opened, limit_bytes=MAX_BYTES):
                pass
            return _found(self._inflated, 0, complete=True)
        except (Truncated, struct.error) as exc:
            if complete:
                raise Unreadable("the data set is cut off", size_bytes=self._size) from exc
            return None


def _found(data: bytes, start: int, *, complete: bool) -> Pixels | None:
    encoding = encoding_at(data, start)
    reader = ElementReader(data, encoding)
    position = start
    try:
        while not reader.at_end(position):
            tag, value, length, implicit_vr = reader.header(
                position, implicit_vr=encoding.implicit_vr
            )
            if tag in _PIXEL_DATA:
                header = _header(data[:position])
                return Pixels(header, _PIXEL_DATA[tag], encoding.little_endian, value, length)
            if length == UNDEFINED_LENGTH:
                position = reader.skip_undefined(value, implicit_vr=implicit_vr)
            else:
                position = reader.skip(value, length)
    except Unreadable:
        if complete:
            raise
        return None
    if complete:
        raise Rejected("the instance has no pixel data")
    return None


def _header(head: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are the normal case here
        return dcmread(io.BytesIO(head), force=True)
