"""New UIDs and pseudonyms from old ones by a key: the same everywhere and always, never the way back."""

from __future__ import annotations

import base64
import hashlib
import hmac

from pydicom.uid import UID

from dicomcore.errors import InvalidRequest
from dicomcore.uids import uid_or_none

MIN_KEY_BYTES = 16
MAX_CACHED = 1 << 16
"""UIDs whose new value is remembered; a patient with more begins anew."""
_DIGEST = 16
_ROOT = "1.2.840.10008."
"""Of the standard's own UIDs (PS3.6 annex A); the dictionary says which of them there are."""
_VERSION_8 = 0x8 << 76
_VARIANT = 0b10 << 62


class KeyedMap:
    """One secret and what is derived from it.

    Raises
    ------
    InvalidRequest
        The key is shorter than 16 bytes: UIDs can be guessed, so that a short key could be found.
    """

    __slots__ = ("_hmac", "_uids")

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise InvalidRequest("the key is too short", minimum_bytes=MIN_KEY_BYTES)
        self._hmac = hmac.new(key, digestmod=hashlib.sha256)
        self._uids: dict[bytes, bytes] = {}

    def derive(self, purpose: str, value: str) -> bytes:
        """Return 32 bytes that only the key holder can derive from a value, for one purpose."""
        mac = self._hmac.copy()
        mac.update(purpose.encode("ascii") + b"\0" + value.encode("utf-8"))
        return mac.digest()

    def uid(self, uid: str) -> str:
        """Return the new UID: of the form `2.25.`, from a UUID of version 8 (PS3.5 B.2, RFC 9562).

        UIDs that the standard itself names (SOP classes, well-known frames of reference …) stay.
        """
        if uid.startswith(_ROOT) and UID(uid).type:
            return uid
        number = int.from_bytes(self.derive("uid", uid)[:_DIGEST], "big")
        number = number & ~(0xF << 76) & ~(0b11 << 62) | _VERSION_8 | _VARIANT
        return f"2.25.{number}"

    def uid_value(self, value: bytes) -> bytes:
        """Return the value of a UI element with every UID in it mapped, padded to an even length.

        What is no UID (`UNKNOWN`, free text) becomes an empty value: it is kept nowhere, and it names
        nothing.
        """
        known = self._uids.get(value)
        if known is not None:
            return known
        parts = (uid_or_none(part) for part in value.decode("latin-1").split("\\"))
        mapped = "\\".join("" if part is None else self.uid(part) for part in parts).encode("ascii")
        mapped += b"\0" * (len(mapped) % 2)
        if len(self._uids) >= MAX_CACHED:
            self._uids.clear()
        self._uids[value] = mapped
        return mapped

    def pseudonym(self, patient_id: str) -> str:
        """Return a new Patient ID (0010,0020) of 15 characters."""
        digest = self.derive("patient", patient_id.strip())
        return "ANON-" + base64.b32encode(digest)[:10].decode("ascii")

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days a patient's dates move: back by one to 3,650."""
        number = int.from_bytes(self.derive("dates", patient_id.strip())[:8], "big")
        return -1 - number % 3650
