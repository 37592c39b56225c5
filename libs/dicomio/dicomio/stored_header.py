"""Read header and attributes of a stored object by ranged GETs, all of it only if that is needed."""

from __future__ import annotations

from dicomcore.errors import Unreadable
from dicomcore.flatten import Flattened, flatten
from dicomcore.header import read_header
from dicomcore.model import InstanceHeader
from dicomcore.ports import ObjectStore

FIRST_BYTES = 64 * 1024
"""Holds the header of an image or a plan of ordinary size."""
GROWTH = 8


def fetch_instance(
    store: ObjectStore, key: str, size_bytes: int
) -> tuple[InstanceHeader, Flattened]:
    """Return the header and the indexable attributes of an object of `size_bytes`.

    Raises
    ------
    Unreadable, InvalidInstance
        The object is not an instance that can be read.
    NotFound, ObjectStoreUnavailable
        From the store.
    """
    length = FIRST_BYTES
    while length < size_bytes:
        data = store.get_range(key, 0, length)
        header = read_header(data, complete=False)
        flattened = None if header is None else flatten(data, complete=False)
        if header is not None and flattened is not None:
            return header, flattened
        length *= GROWTH
    data = store.get(key)
    header, flattened = read_header(data, complete=True), flatten(data, complete=True)
    if header is None or flattened is None:
        raise Unreadable("the object ends before its header does", size_bytes=size_bytes)
    return header, flattened


def fetch_header(store: ObjectStore, key: str, size_bytes: int) -> InstanceHeader:
    """Return the header of an object of `size_bytes`.

    Raises
    ------
    Unreadable, InvalidInstance
        The object is not an instance that can be read.
    NotFound, ObjectStoreUnavailable
        From the store.
    """
    length = FIRST_BYTES
    while length < size_bytes:
        header = read_header(store.get_range(key, 0, length), complete=False)
        if header is not None:
            return header
        length *= GROWTH
    header = read_header(store.get(key), complete=True)
    if header is None:
        raise Unreadable("the object ends before its header does", size_bytes=size_bytes)
    return header
