"""The projection of the object store that answers questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dicomcore.attributes import Attribute
from dicomcore.model import InstanceHeader, Level, Relation
from dicomcore.plan_query import EVERY_PATIENT, PatientQuery, PlanQuery
from dicomcore.ports.plans import PatientPage, PlanPage, Position
from dicomcore.query import Query, Told
from dicomcore.references import Stack
from dicomcore.tagpath import Path
from dicomcore.uids import InstanceRef, InstanceUID


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
        self,
        query: PatientQuery = EVERY_PATIENT,
        *,
        after: Position | None = None,
        limit: int = 100,
    ) -> PatientPage:
        """Return the patients that fulfil a query, in its order, from the first one behind `after`.

        Among them the patient without an ID: Patient ID (0010,0020) may be empty (type 2). Instances
        are counted once, however many versions there are.
        """
        ...

    async def plans(
        self, query: PlanQuery, *, after: Position | None = None, limit: int = 100
    ) -> PlanPage:
        """Return the readable versions of plans that fulfil a query, in its order.

        The answer depends on what was written, not on the order in which it was.
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

    async def catch_up(self) -> bool:
        """Do some of what an upgrade has left to be done beside the work; return whether there is more.

        Until then, `plans` says that it is not complete.
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
