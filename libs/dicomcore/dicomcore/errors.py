"""The error tree answers one question: *may I try again*.

::

    DicomToolsError
    ├── Rejected                never: the same request fails in the same way
    │   ├── InvalidRequest          what a caller asked for cannot be understood
    │   ├── InvalidUid              not a UID (PS3.5 9.1)
    │   ├── InvalidInstance         the data set lacks or contradicts its identity
    │   ├── SopClassMismatch        the data set is of another SOP class than was announced
    │   ├── Unreadable              the encoding of the data set cannot be parsed
    │   ├── Conflict                somebody else wrote first: read again, then decide
    │   └── PeerRefused             a peer gave a final refusal
    ├── NotFound                it is an answer
    └── Unavailable             later
        ├── ObjectStoreUnavailable
        │   └── ObjectStoreFull
        ├── BusUnavailable
        ├── KeyValueUnavailable
        ├── IndexUnavailable
        └── PeerUnavailable         a peer did not answer, aborted, or rejected transiently

Every edge (DIMSE, HTTP, JetStream, command line) has one table that maps this tree.
"""

from __future__ import annotations

Fact = str | int | float | bool | None


class DicomToolsError(Exception):
    """A fixed sentence and facts; never patient data in either.

    Parameters
    ----------
    sentence
        Constant text; what differs from case to case goes into `facts`.
    facts
        UIDs, keys, AE titles, sizes, statuses.
    """

    def __init__(self, sentence: str, **facts: Fact) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts = facts

    def __str__(self) -> str:
        if not self.facts:
            return self.sentence
        return f"{self.sentence} ({', '.join(f'{k}={v}' for k, v in self.facts.items())})"


class Rejected(DicomToolsError):
    """The same request will fail again."""


class InvalidRequest(Rejected):
    """What a caller asked for cannot be understood."""


class InvalidUid(Rejected):
    """A text is not a UID (PS3.5 9.1)."""


class InvalidInstance(Rejected):
    """A data set lacks or contradicts the attributes that identify it."""


class SopClassMismatch(Rejected):
    """A data set is of another SOP class, or instance, than was announced."""


class Unreadable(Rejected):
    """The encoding of a data set cannot be parsed."""


class Conflict(Rejected):
    """A compare-and-set lost: read again, then decide."""


class PeerRefused(Rejected):
    """A peer gave a final refusal."""


class NotFound(DicomToolsError):
    """What was asked for does not exist; that is an answer."""


class Unavailable(DicomToolsError):
    """Something we depend on is away; the same request may succeed later."""


class ObjectStoreUnavailable(Unavailable):
    """The object store does not answer."""


class ObjectStoreFull(ObjectStoreUnavailable):
    """The object store is above its high-water mark."""


class BusUnavailable(Unavailable):
    """The event bus does not hold what was published."""


class KeyValueUnavailable(Unavailable):
    """The key-value store does not answer."""


class IndexUnavailable(Unavailable):
    """The index does not answer."""


class PeerUnavailable(Unavailable):
    """A DICOM peer did not answer, aborted, or rejected for the moment."""
