"""Values of any size in a key-value store of small ones: compressed, cut, addressed by content."""

from __future__ import annotations

import hashlib
import zlib

from dicomcore.errors import Conflict, Unreadable
from dicomcore.ports import KeyValue
from dicomio.jobs.record import ChunkRef

CHUNK_BYTES = 448 * 1024
"""Below the 512 KiB that a value may have."""
MAX_BYTES = 256 << 20
"""Decompressed; more than the report of a hundred thousand instances."""


async def write_chunks(kv: KeyValue, prefix: str, value: bytes) -> ChunkRef:
    """Write a value under `prefix` and return where it is; the same value again is no change.

    A crash in between leaves chunks that nothing refers to: `delete_chunks` of the prefix finds
    them.

    Raises
    ------
    KeyValueUnavailable
    """
    packed = zlib.compress(value, 6)
    digest = hashlib.sha256(packed).hexdigest()[:32]
    pieces = [packed[i : i + CHUNK_BYTES] for i in range(0, len(packed), CHUNK_BYTES)]
    for number, piece in enumerate(pieces):
        try:
            await kv.create(_key(prefix, digest, number), piece)
        except Conflict:
            continue  # the name is the content: it is there already
    return ChunkRef(digest=digest, chunks=len(pieces))


async def read_chunks(kv: KeyValue, prefix: str, ref: ChunkRef) -> bytes:
    """Return the value.

    Raises
    ------
    NotFound
        A chunk is gone: the job has been removed, or the value replaced, in the meantime.
    Unreadable
        The chunks are not what was written.
    KeyValueUnavailable
    """
    packed = b"".join(
        [(await kv.get(_key(prefix, ref.digest, number))).value for number in range(ref.chunks)]
    )
    if hashlib.sha256(packed).hexdigest()[:32] != ref.digest:
        raise Unreadable("a stored value is not what was written", digest=ref.digest)
    inflater = zlib.decompressobj()
    value = inflater.decompress(packed, MAX_BYTES)
    if inflater.unconsumed_tail:
        raise Unreadable("a stored value is too large", limit_bytes=MAX_BYTES)
    return value


async def delete_chunks(kv: KeyValue, prefix: str, *, keep: ChunkRef | None = None) -> None:
    """Remove every value under `prefix` but one.

    Raises
    ------
    KeyValueUnavailable
        Some may be left; the same call again removes them.
    """
    kept = set() if keep is None else {_key(prefix, keep.digest, n) for n in range(keep.chunks)}
    for key in await kv.keys(f"{prefix}."):
        if key not in kept:
            await kv.delete(key)


async def delete_value(kv: KeyValue, prefix: str, ref: ChunkRef) -> None:
    """Remove one value; no error if it is gone.

    Raises
    ------
    KeyValueUnavailable
    """
    for number in range(ref.chunks):
        await kv.delete(_key(prefix, ref.digest, number))


def _key(prefix: str, digest: str, number: int) -> str:
    return f"{prefix}.{digest}.{number}"
