"""Audit events: who did what, about which patient (by pseudonym only), and how it ended.

HL7 FHIR R4 AuditEvent, in the codes of DICOM (PS3.15 A.5, PS3.16 CID 400 to 404). A patient is
named by a keyed hash of the Patient ID (0010,0020): the same patient under the same key is the same
pseudonym, and without the key nobody tells whose it is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from dicomcore.events import EventData

DCM = "http://dicom.nema.org/resources/ontology/DCM"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
OPERATION = "urn:dicomtools:operation"
PSEUDONYM = "urn:dicomtools:patient-pseudonym"
SHORTEST_KEY = 32
"""Bytes of the key of pseudonyms."""


class Activity(Enum):
    """What kind of thing was done: code and meaning of DCM (PS3.16 CID 400)."""

    APPLICATION = ("110100", "Application Activity")
    TRANSFER_BEGUN = ("110102", "Begin Transferring DICOM Instances")
    ACCESSED = ("110103", "DICOM Instances Accessed")
    TRANSFERRED = ("110104", "DICOM Instances Transferred")
    EXPORT = ("110106", "Export")
    QUERY = ("110112", "Query")
    SECURITY_ALERT = ("110113", "Security Alert")
    AUTHENTICATION = ("110114", "User Authentication")


class Outcome(StrEnum):
    """How it ended, in the words of FHIR's audit-event-outcome."""

    SUCCESS = "0"
    REFUSED = "4"
    """Minor failure: the one who asked may not, or asked for what is not there."""
    FAILED = "8"
    """Serious failure: it was begun, and could not be done whole."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Coding(_Part):
    """A code of a system."""

    system: str
    code: str
    display: str | None = None


class Concept(_Part):
    """FHIR CodeableConcept."""

    coding: tuple[Coding, ...]


class Identifier(_Part):
    """A name that a system gives."""

    system: str
    value: str


class Reference(_Part):
    """FHIR Reference, by identifier: nothing here is a FHIR server's resource."""

    identifier: Identifier


class Network(_Part):
    """Where an agent was."""

    address: str
    type: Literal["2"] = "2"
    """IP address."""


class Agent(_Part):
    """Someone, or a system, that took part."""

    type: Concept
    who: Reference
    requestor: bool
    role: tuple[Concept, ...] | None = None
    network: Network | None = None


class Observer(_Part):
    """What recorded the event."""

    observer: Reference
    type: tuple[Coding, ...] = (Coding(system=SOURCE_TYPE, code="4", display="Application Server"),)


class Detail(_Part):
    """A fact about an entity."""

    type: str
    value_string: str


class Entity(_Part):
    """A patient, by pseudonym, or an object."""

    what: Reference
    type: Coding
    role: Coding
    detail: tuple[Detail, ...] | None = None


class AuditEvent(EventData):
    """The resource, as it is published."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )
    TYPE: ClassVar[str] = "audit.event.v1"
    resource_type: Literal["AuditEvent"] = "AuditEvent"
    type: Coding
    subtype: tuple[Coding, ...]
    action: Literal["C", "R", "U", "D", "E"]
    recorded: AwareDatetime
    outcome: Literal["0", "4", "8", "12"]
    outcome_desc: str | None = None
    agent: tuple[Agent, ...]
    source: Observer
    entity: tuple[Entity, ...] | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who took part: a caller over HTTP, or an AE."""

    system: str
    """What gave the name: an issuer, or `urn:dicomtools:…`."""
    name: str
    requestor: bool = True
    address: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """What is audited: facts, not yet in the words of FHIR."""

    activity: Activity
    operation: str
    """As in OpenAPI, or the DIMSE service."""
    action: Literal["C", "R", "U", "D", "E"]
    outcome: Outcome
    actors: tuple[Actor, ...]
    reason: str = ""
    """A constant sentence or a status."""
    patient_ids: tuple[str, ...] = field(default=(), repr=False)
    """Exactly; `audit_event` makes pseudonyms of them."""
    objects: tuple[tuple[str, str], ...] = ()
    """What kind, and its UID, ID or name."""
    counts: tuple[tuple[str, int], ...] = ()
    """How many instances, by what became of them."""


def pseudonym(key: bytes, patient_id: str) -> str:
    """Return the pseudonym of a patient: 32 hexadecimal digits of an HMAC-SHA256.

    Spaces at the end are not significant (PS3.5 6.2, LO).
    """
    said = b"patient\0" + patient_id.strip(" \0").encode("utf-8", "surrogateescape")
    return hmac.new(key, said, hashlib.sha256).hexdigest()[:32]


def audit_event(act: Act, *, recorded: datetime, observer: str, key: bytes | None) -> AuditEvent:
    """Return an act in the words of FHIR.

    Parameters
    ----------
    key
        Of the pseudonyms; None: patients are left out, for there is nothing else to name them by.
    """
    code, display = act.activity.value
    entities = (
        *_patients(act.patient_ids, key),
        *(_object(kind, value) for kind, value in act.objects),
        *_counted(act.counts, observer),
    )
    return AuditEvent(
        type=Coding(system=DCM, code=code, display=display),
        subtype=(Coding(system=OPERATION, code=act.operation),),
        action=act.action,
        recorded=recorded,
        outcome=act.outcome.value,
        outcome_desc=act.reason or None,
        agent=tuple(map(_agent, act.actors)),
        source=Observer(observer=_reference("urn:dicomtools:service", observer)),
        entity=entities or None,
    )


def _agent(actor: Actor) -> Agent:
    code, display = ("110153", "Source Role ID") if actor.requestor else ("110152", "Destination")
    return Agent(
        type=Concept(coding=(Coding(system=DCM, code=code, display=display),)),
        who=_reference(actor.system, actor.name),
        requestor=actor.requestor,
        role=tuple(
            Concept(coding=(Coding(system="urn:dicomtools:role", code=role),))
            for role in actor.roles
        )
        or None,
        network=Network(address=actor.address) if actor.address else None,
    )


def _patients(patient_ids: Sequence[str], key: bytes | None) -> list[Entity]:
    if key is None:
        return []
    return [
        Entity(
            what=_reference(PSEUDONYM, pseudonym(key, patient_id)),
            type=Coding(system=ENTITY_TYPE, code="1", display="Person"),
            role=Coding(system=OBJECT_ROLE, code="1", display="Patient"),
        )
        for patient_id in patient_ids
    ]


def _object(kind: str, value: str) -> Entity:
    return Entity(
        what=_reference(f"urn:dicomtools:{kind.replace('_', '-')}", value),
        type=Coding(system=ENTITY_TYPE, code="2", display="System Object"),
        role=Coding(system=OBJECT_ROLE, code="3", display="Report"),
    )


def _counted(counts: Sequence[tuple[str, int]], observer: str) -> list[Entity]:
    if not counts:
        return []
    return [
        Entity(
            what=_reference("urn:dicomtools:counts", observer),
            type=Coding(system=ENTITY_TYPE, code="2", display="System Object"),
            role=Coding(system=OBJECT_ROLE, code="3", display="Report"),
            detail=tuple(Detail(type=what, value_string=str(count)) for what, count in counts),
        )
    ]


def _reference(system: str, value: str) -> Reference:
    return Reference(identifier=Identifier(system=system, value=value))
