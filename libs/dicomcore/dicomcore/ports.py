"""What the domain asks of the world: five Protocols, in the domain's words.

A port has the colour of its SDK: `ObjectStore` and `Pacs` block and may be shared by threads;
`EventBus`, `KeyValue` and `IndexDb` live on one event loop. Colour changes in `dicomio.bridge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydicom import Dataset

from dicomcore.attributes import Attribute
from dicomcore.model import InstanceHeader, Level, Relation
from dicomcore.query import Query, Told
from dicomcore.received import Received
from dicomcore.references import Stack
from dicomcore.tagpath import Path
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID, StudyUID

# ── ObjectStore ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """An object without its bytes."""

    key: str
    size_bytes: int
    modified_at: datetime
    """UTC."""


class ObjectStore(Protocol):
    """Objects under keys, durable when `put` returns, never changed afterwards.

    Every method may raise `ObjectStoreUnavailable`. All may be called from any thread.
    """

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:
        """Store the concatenation of `parts` if `key` is absent; return whether it was.

        When it returns, the object is durable (fsync, or the server's acknowledgement). Existing
        bytes are left as they are. A crash in between leaves nothing under `key`.

        Parameters
        ----------
        sha256
            Of the concatenation, hexadecimal, where it is known: a server can then refuse what was
            damaged on the way, and nothing has to be computed again.

        Raises
        ------
        ObjectStoreFull
            No room, or above the high-water mark that was configured.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return a whole object; `NotFound` if there is none."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset` (0-based); fewer, or none, past the end."""
        ...

    def stat(self, key: str) -> ObjectStat:
        """Return size and time of an object; `NotFound` if there is none."""
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below `prefix`, lazily, in the store's own order, which does not change.

        It is the byte order of the keys on a folder and on AWS; SeaweedFS goes folder by folder. Keys
        without a slash after `prefix` are in byte order everywhere.

        Parameters
        ----------
        start_after
            A key that this list yielded before: go on behind it.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none. Used for the outbox, not for instances."""
        ...

    def presign(self, key: str, *, expires_s: int) -> str | None:
        """Return an address from which anyone may GET the object, or None if there is no such."""
        ...

    def fill_ratio(self) -> float | None:
        """Return used / capacity (0 to 1), or None where nobody knows."""
        ...

    def close(self) -> None:
        """Release connections; the store is not used afterwards."""
        ...


# ── EventBus ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable consumer: one position in the stream, shared by all who fetch under its name."""

    durable: str
    subjects: tuple[str, ...]
    """Exact subjects, or with `*` for one token and `>` for the rest, as NATS has them."""
    ack_wait_s: float = 30.0
    """After so long without ack or `in_progress`, a delivery comes again."""
    max_in_flight: int = 1024
    """Deliveries not yet answered, over all who share the consumer."""


class Delivery(Protocol):
    """One message handed out; exactly one of `ack`, `nak`, `term` answers it."""

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        ...

    @property
    def body(self) -> bytes:
        """What was published."""
        ...

    @property
    def attempt(self) -> int:
        """1 on the first delivery."""
        ...

    async def ack(self) -> None:
        """It is done: never again."""
        ...

    async def nak(self, *, delay_s: float) -> None:
        """Not now: again after `delay_s`."""
        ...

    async def term(self, *, reason: str) -> None:
        """It can never be done: not again. `reason` holds no patient data."""
        ...

    async def in_progress(self) -> None:
        """Still at it: `ack_wait_s` starts anew."""
        ...


class Consumer(Protocol):
    """A durable pull consumer."""

    async def fetch(self, max_messages: int, *, timeout_s: float) -> Sequence[Delivery]:
        """Return what is there, at most `max_messages`; waits `timeout_s` for the first one.

        Returns an empty sequence when nothing came in time.

        Raises
        ------
        BusUnavailable
        """
        ...

    async def close(self) -> None:
        """Stop fetching; the durable position stays."""
        ...


class EventBus(Protocol):
    """A persistent stream of messages."""

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        """Return once the stream holds the message: True if new, False if `message_id` was seen.

        Raises
        ------
        BusUnavailable
            It may or may not be held: publish again under the same `message_id`.
        """
        ...

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        """Return the durable consumer of that name; a new one starts at the stream's beginning."""
        ...

    async def healthy(self) -> bool:
        """Return whether the bus would answer now."""
        ...

    async def close(self) -> None:
        """Drain and disconnect."""
        ...


# ── KeyValue ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and the revision it was written at; revisions of one key only grow."""

    value: bytes
    revision: int


class KeyValue(Protocol):
    """Small values (≤ 512 KiB) with compare-and-set. Keys are `[A-Za-z0-9_.-]+`.

    Every method may raise `KeyValueUnavailable`.
    """

    async def get(self, key: str) -> Entry:
        """Return the latest entry; `NotFound` if there is none."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """Write a new key and return its revision; `Conflict` if it exists."""
        ...

    async def update(self, key: str, value: bytes, *, revision: int) -> int:
        """Write if the latest revision is `revision`; `Conflict` if it is another."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a key; no error if there is none. It may be created again."""
        ...

    async def keys(self, prefix: str = "") -> Sequence[str]:
        """Return the keys that start with `prefix`, sorted."""
        ...

    async def changed(self, key: str, *, since: int, timeout_s: float) -> Entry | None:
        """Wait until the revision of `key` is above `since`; None when time is up.

        Values in between may be skipped: what is returned is the latest.
        """
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


# ── IndexDb ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class IndexedInstance:
    """One version of one instance, as the index keeps it."""

    object_key: str
    ref: InstanceRef
    sop_class_uid: str
    sha256: str
    """Hexadecimal, whole; or its first 16 digits where only the key is known (reindex)."""
    size_bytes: int
    stored_at: datetime
    header: InstanceHeader | None = field(default=None, repr=False)
    """None when the object could not be read; then `problem` says why."""
    problem: str = ""
    attributes: tuple[Attribute, ...] = field(default=(), repr=False, compare=False)
    """What the instance can be found by; written, not given back by `versions` and `of_patient`."""


class UpsertOutcome(StrEnum):
    """What an upsert met."""

    NEW = "new"
    SAME = "same"
    VERSION = "version"
    """Another object is known under the same SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """One patient of the index."""

    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    number_of_studies: int
    number_of_series: int
    number_of_instances: int


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """How much the index holds."""

    patients: int
    instances: int
    """Objects: every version of every instance, readable or not."""
    unreadable: int
    """Of these, the ones without a header."""
    conflicts: int
    """SOP Instance UIDs with more than one version."""


@dataclass(frozen=True, slots=True, order=True)
class IncomingReference:
    """A reference seen from its target: who holds it."""

    source: InstanceRef
    relation: Relation
    level: Level


@dataclass(frozen=True, slots=True)
class SearchScope:
    """Where to search; what is empty or None does not restrict."""

    patient_id: str | None = field(default=None, repr=False)
    """Exactly; the empty text is the patient without an ID."""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    modality: str = ""


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """One version of an instance that fulfils all terms of a query."""

    object_key: str
    ref: InstanceRef
    patient_id: str = field(repr=False)
    modality: str = ""
    told: Told = field(default=(), repr=False)
    """The values of each term that asks (`=?`)."""


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Some of the instances that fulfil a query, in an order that does not change."""

    instances: tuple[FoundInstance, ...]
    """May be fewer than asked for, or none, though there are more."""
    next: tuple[int, int] | None
    """Where the next page starts; None on the last one."""


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of an attribute, and how many instances have it."""

    value: str = field(repr=False)
    number_of_instances: int


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One study of the index, below one patient."""

    patient_id: str = field(repr=False)
    study_instance_uid: str
    study_date: str = field(repr=False)
    study_description: str = field(repr=False)
    number_of_series: int
    number_of_instances: int


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series of the index, below one patient."""

    patient_id: str = field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_description: str = field(repr=False)
    number_of_instances: int


class IndexDb(Protocol):
    """The projection of the object store. Every method may raise `IndexUnavailable`."""

    async def upsert(self, instances: Sequence[IndexedInstance]) -> Sequence[UpsertOutcome]:
        """Write all or nothing, in any order, any number of times; one outcome for each."""
        ...

    async def versions(self, uid: InstanceUID) -> Sequence[IndexedInstance]:
        """Return every version of an instance, oldest first; empty if unknown."""
        ...

    async def of_patient(self, patient_id: str) -> Sequence[IndexedInstance]:
        """Return every readable version of every instance of a patient; empty if unknown."""
        ...

    async def headers_of(self, patient_id: str) -> tuple[Sequence[InstanceHeader], Sequence[Stack]]:
        """Return what the tree of a patient is made of; nothing if unknown.

        Every readable version: as a header, or in a stack of images that differ in SOP Instance UID
        and Instance Number only.
        """
        ...

    async def conflicts(self, patient_id: str) -> frozenset[str]:
        """Return the patient's SOP Instance UIDs with more than one version, wherever those are.

        The other version may be unreadable, or of another Patient ID (0010,0020): corrected ones
        are sent again under the same UID.
        """
        ...

    async def referenced_by(self, uid: str, *, limit: int = 1000) -> Sequence[IncomingReference]:
        """Return who references an instance, series, study or frame, sorted; at most `limit`."""
        ...

    async def patients(
        self, *, after: str | None = None, limit: int = 100, prefix: str = ""
    ) -> Sequence[PatientSummary]:
        """Return patients in code point order of their ID, from the first one above `after`.

        Only those whose ID starts with `prefix`.

        None starts at the beginning, where the patient without an ID is: Patient ID (0010,0020)
        may be empty (type 2). Instances are counted once, however many versions there are.
        """
        ...

    async def studies(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, StudySummary]]:
        """Return studies and their positions, which grow, from the first one above `after`."""
        ...

    async def series(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, SeriesSummary]]:
        """Return series and their positions, which grow, from the first one above `after`."""
        ...

    async def instances(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, FoundInstance]]:
        """Return readable versions and their positions, which grow, from the first above `after`."""
        ...

    async def search(
        self,
        query: Query,
        scope: SearchScope,
        *,
        after: tuple[int, int] | None = None,
        limit: int = 100,
    ) -> FoundPage:
        """Return instances of which every term holds; see `dicomcore.query`.

        What is not indexed is not found: `dicomcore.attributes` says what that is.
        """
        ...

    async def count(self, query: Query, scope: SearchScope) -> int:
        """Return how many instances, every version counted, fulfil a query."""
        ...

    async def values(
        self,
        path: Path,
        query: Query | None,
        scope: SearchScope,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ValueCount]:
        """Return the values of an attribute in code point order, from the first one above `after`.

        Parameters
        ----------
        query
            If given, only of instances that fulfil it, and of items that do.

        Raises
        ------
        InvalidRequest
            They differ from instance to instance in too many series: narrow the scope.
        """
        ...

    async def pack(self, *, quiet_s: float) -> int:
        """Pack some series to which nothing was written for `quiet_s`; return how many, 0 if none is.

        Changes no answer; what is packed is smaller, and found faster.
        """
        ...

    async def counts(self) -> IndexCounts:
        """Return how much the index holds."""
        ...

    async def clear(self) -> None:
        """Forget everything, before a rebuild."""
        ...

    async def healthy(self) -> bool:
        """Return whether the index would answer now."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


# ── Pacs ────────────────────────────────────────────────────────────────────────────────────


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
