"""One version of an instance, between the domain's words and the columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from dicomcore.attributes import Attribute
from dicomcore.errors import InvalidRequest
from dicomcore.keys import DIGEST_LENGTH, parse_object_key
from dicomcore.model import InstanceHeader, Kind
from dicomcore.plan_facts import (
    PlanFacts,
    StructureFacts,
    TreatmentFacts,
    plan_facts,
    structure_facts,
    treatment_facts,
)
from dicomcore.ports import IndexedInstance
from dicomio.sql_index.texts import original, storable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_INTEGER = 2**63 - 1
_PERSON = {"00100030": "birth_date", "00100040": "sex"}
_LAST_OF_PERSON = "00100041"

ReferenceKey = tuple[str, str, str]
"""Relation, level, target UID."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a version without reading it, and whether it could be read."""

    object_key: str
    sop_uid: str
    sha256: str
    size_bytes: int
    stored_at_us: int
    sop_class_uid: str
    """As announced; empty if it is the header's."""
    problem: str
    """Empty, if and only if there is a header."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the header adds: the place in the hierarchy, and the references."""

    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    header: InstanceHeader = field(repr=False)
    attributes: tuple[Attribute, ...] = field(default=(), repr=False)
    references: frozenset[ReferenceKey] = frozenset()
    facts: PlanFacts | StructureFacts | TreatmentFacts | None = field(default=None, repr=False)
    """What plans are listed by, if it is a plan, a structure set or a treatment record."""
    birth_date: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One version, ready to be written."""

    facts: Facts
    content: Content | None


def to_row(instance: IndexedInstance) -> Row:
    """Return the columns of a version.

    Raises
    ------
    InvalidRequest
        Key, digest, UIDs or header contradict each other, or neither header nor problem is given.
    """
    _check(instance)
    header = instance.header
    stored_at_us = microseconds(instance.stored_at)
    sop_class_uid = instance.sop_class_uid
    if header is not None and sop_class_uid == header.sop_class_uid:
        sop_class_uid = ""
    facts = Facts(
        object_key=instance.object_key,
        sop_uid=instance.ref.sop_instance_uid,
        sha256=instance.sha256,
        size_bytes=instance.size_bytes,
        stored_at_us=stored_at_us,
        sop_class_uid=storable(sop_class_uid),
        problem=storable(instance.problem),
    )
    if header is None:
        return Row(facts, None)
    content = Content(
        patient_id=storable(header.patient_id),
        patient_name=storable(header.patient_name),
        header=header,
        attributes=instance.attributes,
        references=frozenset(
            (r.relation.value, r.level.value, storable(r.uid)) for r in header.references
        ),
        facts=facts_in(header, instance.attributes),
        **_person(instance.attributes),
    )
    return Row(facts, content)


def facts_in(
    header: InstanceHeader, attributes: Iterable[Attribute]
) -> PlanFacts | StructureFacts | TreatmentFacts | None:
    """Return what plans are listed by, as far as this instance says it."""
    match header.kind:
        case Kind.PLAN:
            return plan_facts(header, attributes)
        case Kind.STRUCTURE_SET:
            return structure_facts(header, attributes)
        case Kind.RECORD:
            return treatment_facts(header, attributes)
        case _:
            return None


def _person(attributes: Iterable[Attribute]) -> dict[str, str]:
    """Return birth date and sex, which come early in a data set."""
    found = {}
    for path, items, values in attributes:
        if not items and path in _PERSON:
            found[_PERSON[path]] = storable(values[0])
        elif path > _LAST_OF_PERSON:
            break
    return found


def to_instance(facts: Facts, header: InstanceHeader | None) -> IndexedInstance:
    """Return the version that a row of `instance`, and its header, are of."""
    key = parse_object_key(facts.object_key)
    sop_class_uid = original(facts.sop_class_uid)
    return IndexedInstance(
        object_key=facts.object_key,
        ref=key.ref,
        sop_class_uid=sop_class_uid or ("" if header is None else header.sop_class_uid),
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        stored_at=_EPOCH + facts.stored_at_us * _MICROSECOND,
        header=header,
        problem=original(facts.problem),
    )


def microseconds(time: datetime) -> int:
    """Return a time as the index keeps it: microseconds since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def merged(one: Facts, other: Facts) -> Facts:
    """Return what two announcements of the same object tell together, in whichever order.

    A reindex knows the digest's first digits only and the time the store gives; an event knows the
    whole digest. The earliest time is when it landed: the same bytes sent again change nothing.
    """
    readable = not (one.problem and other.problem)
    return replace(
        one,
        sha256=max(one.sha256, other.sha256, key=lambda digest: (len(digest), digest)),
        size_bytes=max(one.size_bytes, other.size_bytes),
        stored_at_us=min(one.stored_at_us, other.stored_at_us),
        sop_class_uid=max(one.sop_class_uid, other.sop_class_uid),
        problem="" if readable else min(one.problem, other.problem),
    )


def _check(instance: IndexedInstance) -> None:
    key = parse_object_key(instance.object_key)
    if key.ref != instance.ref:
        raise InvalidRequest("UIDs contradict the object key", object_key=instance.object_key)
    if instance.sha256[:DIGEST_LENGTH] != key.digest:
        raise InvalidRequest("digest contradicts the object key", object_key=instance.object_key)
    if instance.header is not None and instance.header.ref != key.ref:
        raise InvalidRequest("header contradicts the object key", object_key=instance.object_key)
    if (instance.header is None) == (instance.problem == ""):
        raise InvalidRequest("either header or problem", object_key=instance.object_key)
    if not 0 <= instance.size_bytes <= _MAX_INTEGER or instance.stored_at.tzinfo is None:
        raise InvalidRequest("size or time without sense", object_key=instance.object_key)
