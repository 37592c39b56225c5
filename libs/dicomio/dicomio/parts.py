"""Several buffers, read as one file without being copied together."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence


class PartsReader:
    """A readable, seekable view on the concatenation of `parts`."""

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self._parts = [memoryview(part).cast("B") for part in parts]
        self.size_bytes = sum(len(part) for part in self._parts)
        self._position = 0

    def md5_base64(self) -> str:
        """Return what the header Content-MD5 holds (RFC 1864)."""
        digest = hashlib.md5(usedforsecurity=False)
        for part in self._parts:
            digest.update(part)
        return b64encode(digest.digest()).decode("ascii")

    def tell(self) -> int:
        """Return the 0-based offset of the next byte."""
        return self._position

    def seek(self, offset: int) -> int:
        """Go to an offset from the beginning."""
        self._position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, up to the end of the part they are in; all that is left if negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        offset = self._position
        for part in self._parts:
            if offset < len(part):
                chunk = part[offset : offset + size].tobytes()
                self._position += len(chunk)
                return chunk
            offset -= len(part)
        return b""
