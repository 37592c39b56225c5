"""Several buffers as one object: sent or written piece by piece, without being copied together."""

from __future__ import annotations

import hashlib
import mmap
from base64 import b64encode
from collections.abc import Iterator, Sequence

CHUNK_BYTES = 4 << 20


class Parts:
    """The concatenation of `parts`, as chunks; it can be gone through any number of times.

    What has been gone through of a mapped file is given back to the system: a part may be larger than
    the memory there is.
    """

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self.parts = [memoryview(part).cast("B") for part in parts]
        self.size_bytes = sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the chunks; each is valid until the next one."""
        for part in self.parts:
            for start in range(0, len(part), CHUNK_BYTES):
                yield part[start : start + CHUNK_BYTES]
                _give_back(part, start)

    def md5_base64(self) -> str:
        """Return what the header Content-MD5 holds (RFC 1864)."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self:
            digest.update(chunk)
        return b64encode(digest.digest()).decode("ascii")


class PartsReader:
    """The same, read as a file."""

    def __init__(self, parts: Parts) -> None:
        self._chunks = iter(parts)
        self._chunk = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, up to the end of a chunk; none at the end, all that is left if negative."""
        if size < 0:
            return b"".join([self._chunk, *self._chunks])
        if not self._chunk:
            self._chunk = next(self._chunks, memoryview(b""))
        taken, self._chunk = self._chunk[:size], self._chunk[size:]
        return taken.tobytes()


def _give_back(part: memoryview, start: int) -> None:
    mapped = part.obj
    if not part.readonly:  # not a file's, perhaps: its bytes are nowhere else
        return
    if isinstance(mapped, mmap.mmap) and len(part) == len(mapped) and hasattr(mapped, "madvise"):
        length = min(CHUNK_BYTES, len(part) - start)
        mapped.madvise(mmap.MADV_DONTNEED, start, length)
