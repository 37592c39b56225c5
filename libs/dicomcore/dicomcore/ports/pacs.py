"""One DICOM peer, as its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pydicom import Dataset

from dicomcore.received import Received
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID


class QueryLevel(StrEnum):
    """Query/Retrieve Level (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What a C-MOVE or C-GET asks for: unique keys from the top down to `level` (PS3.4 C.4.2.2)."""

    level: QueryLevel
    patient_id: str = field(repr=False)
    study_instance_uid: StudyUID
    series_instance_uid: SeriesUID | None = None
    sop_instance_uids: tuple[InstanceUID, ...] = ()


@dataclass(frozen=True, slots=True)
class SubOperations:
    """Counters of a pending or final response (PS3.7 9.1.4.1); None where the peer gave none."""

    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """The final response of a C-MOVE or C-GET. What *landed* is another question."""

    status: int
    """DIMSE status: 0x0000 Success, 0xB000 Warning, 0xFE00 Cancel, 0xAxxx/0xCxxx Failure."""
    sub_operations: SubOperations = SubOperations()
    failed_uids: tuple[str, ...] = ()
    """Failed SOP Instance UID List (0008,0058)."""
    comment: str = ""
    """Error Comment (0000,0902), as the peer wrote it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One instance that is to be sent by C-STORE."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    """Of what `load` returns."""
    load: Callable[[], bytes | bytearray | memoryview] = field(repr=False)
    """Return the encoded data set, without Part 10 header; called from any thread, again for each
    attempt on a new association. What it raises of ours is the outcome of the instance."""


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of one instance."""

    stored: bool
    """The peer answered Success or a Warning (PS3.4 B.2.3)."""
    statuses: tuple[int, ...] = ()
    """Every DIMSE status the peer gave, in order; the last one decides. Empty: it was not sent, or
    never answered."""
    comment: str = ""
    """Error Comment (0000,0902) of the last response, as the peer wrote it."""
    problem: str = ""
    """Why it is not stored: a fixed sentence. Empty if it is."""
    transfer_syntax_uid: str = ""
    """In which it was sent last."""
    size_bytes: int = 0
    """Of the data set, as it was sent last."""


class Pacs(Protocol):
    """One peer. Calls block, each on an association of its own; calls from several threads are fine.

    Every method may raise `PeerUnavailable` (no connection, rejected for the moment, aborted, no
    answer within the idle time-out) and `PeerRefused` (rejected for good, no presentation context
    accepted, final C-FIND failure).
    """

    def echo(self) -> float:
        """C-ECHO; return the seconds it took."""
        ...

    def find(self, level: QueryLevel, keys: Mapping[str, str]) -> Sequence[Dataset]:
        """C-FIND, Study Root; return the identifiers that match.

        Parameters
        ----------
        keys
            Keyword, or path `Sequence/Keyword`, to value; the empty value asks for the attribute.
            Values are sent as they are: refuse wildcards before.
        """
        ...

    def find_many(
        self, level: QueryLevel, queries: Sequence[Mapping[str, str]]
    ) -> Sequence[Sequence[Dataset]]:
        """C-FIND, one after another on one association; the replies to each, or the first error."""
        ...

    def move(
        self,
        request: TransferRequest,
        *,
        destination: str,
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        """C-MOVE to the AE title `destination`; `cancelled` is polled and sends C-CANCEL."""
        ...

    def get(
        self,
        request: TransferRequest,
        *,
        sop_class_uids: Sequence[str],
        receive: Callable[[Received], int],
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        """C-GET; every instance is handed to `receive`, whose DIMSE status answers the sub-operation.

        Parameters
        ----------
        sop_class_uids
            Storage SOP classes to negotiate, at most 120.
        """
        ...

    def store(
        self,
        instances: Sequence[Outgoing],
        *,
        answered: Callable[[Outgoing, StoreOutcome], None],
        associations: int = 1,
        cancelled: Callable[[], bool],
    ) -> None:
        """C-STORE; `answered` is told once of each instance, by one thread at a time.

        An instance is sent as it is encoded where the peer accepts that; between uncompressed
        transfer syntaxes it is encoded anew. What fails for the moment (0xA7xx, association
        aborted, no answer) is tried again a few times.

        Parameters
        ----------
        associations
            At most so many at a time. With one, an instance is sent after the outcome of those
            before it has been told; with more, in no order.
        cancelled
            Asked before each instance, also after `answered` was told; when true, nothing more is
            sent, and `answered` is not told of the rest.

        Raises
        ------
        PeerUnavailable, PeerRefused
            There is no association to be had (any more). Instances of which `answered` was not told
            may or may not have been stored.
        InvalidRequest
            A UID that cannot be sent; nothing was.
        """
        ...
