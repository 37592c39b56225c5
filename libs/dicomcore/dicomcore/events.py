"""CloudEvents 1.0 in structured JSON, versioned by type; the type is the subject it is sent on.

No patient identifiers, ever: UIDs, keys, sizes, AE titles, times.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from dicomcore.errors import Unreadable

CONTENT_TYPE = "application/cloudevents+json"


class EventData(BaseModel):
    """The `data` of an event; its class names the type."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str]


class InstanceStored(EventData):
    """An instance is durable in the object store."""

    TYPE: ClassVar[str] = "dicom.instance.stored.v1"
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    object_key: str
    sha256: str
    size_bytes: int
    calling_ae_title: str = ""


class InstanceConflict(EventData):
    """Different bytes came under one SOP Instance UID; every version is kept."""

    TYPE: ClassVar[str] = "dicom.instance.conflict.v1"
    sop_instance_uid: str
    object_keys: tuple[str, ...]


class InstanceUnreadable(EventData):
    """A stored object could not be read for the index; it is kept."""

    TYPE: ClassVar[str] = "dicom.instance.unreadable.v1"
    object_key: str
    problem: str


class JobRequested(EventData):
    """A job waits for a worker; each kind of job has a type of its own."""

    job_id: str


class RetrievalRequested(JobRequested):
    """A retrieval job waits for a worker."""

    TYPE: ClassVar[str] = "dicom.retrieval.requested.v1"


class RetrievalCompleted(EventData):
    """Every expected instance of a retrieval has landed."""

    TYPE: ClassVar[str] = "dicom.retrieval.completed.v1"
    job_id: str
    instances: int
    bytes_moved: int


class RetrievalEnded(EventData):
    """A retrieval ended without being complete."""

    TYPE: ClassVar[str] = "dicom.retrieval.ended.v1"
    job_id: str
    state: Literal["partial", "failed", "cancelled"]
    instances: int
    missing: int


class SendRequested(JobRequested):
    """A job that sends instances to a peer waits for a worker."""

    TYPE: ClassVar[str] = "dicom.send.requested.v1"


class SendCompleted(EventData):
    """A peer has acknowledged every instance that was to be sent."""

    TYPE: ClassVar[str] = "dicom.send.completed.v1"
    job_id: str
    instances: int
    bytes_moved: int


class SendEnded(EventData):
    """Sending ended without being complete."""

    TYPE: ClassVar[str] = "dicom.send.ended.v1"
    job_id: str
    state: Literal["partial", "failed", "cancelled"]
    instances: int
    missing: int


class ExportRequested(JobRequested):
    """An export waits for a worker."""

    TYPE: ClassVar[str] = "dicom.export.requested.v1"


class ExportCompleted(EventData):
    """An export is where it was to go, with its manifest."""

    TYPE: ClassVar[str] = "dicom.export.completed.v1"
    job_id: str
    tenant: str
    state: Literal["complete", "partial"]
    """partial: what is missing, or was held back, is in the manifest."""
    instances: int
    missing: int
    bytes_moved: int


class ExportFailed(EventData):
    """An export ended without anything that may be used."""

    TYPE: ClassVar[str] = "dicom.export.failed.v1"
    job_id: str
    tenant: str
    state: Literal["failed", "cancelled"]


class DeadLetter(EventData):
    """A message that no attempt can handle."""

    TYPE: ClassVar[str] = "dicom.dead.v1"
    original_subject: str
    reason: str
    original_body: str
    """Base64."""


T = TypeVar("T", bound=EventData)


class CloudEvent(BaseModel):
    """The envelope (CloudEvents 1.0, JSON format 3.1)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(min_length=1)]
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    """Distributed Tracing extension: the trace that the event is part of."""
    data: dict[str, object]


def encode(
    data: EventData, *, event_id: str, source: str, time: datetime, traceparent: str = ""
) -> bytes:
    """Return the event as structured JSON.

    Parameters
    ----------
    traceparent
        W3C Trace Context; empty: the event is part of no trace.
    """
    envelope: dict[str, object] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": data.TYPE,
        "time": time,
        "datacontenttype": "application/json",
    }
    if traceparent:
        envelope["traceparent"] = traceparent
    envelope["data"] = data
    # FHIR knows no null, and names its members in camel case
    return to_json(envelope, by_alias=True, exclude_none=True)


def decode(body: bytes, kind: type[T]) -> T:
    """Return the data of an event of a known type.

    Raises
    ------
    Unreadable
        Not JSON, not a CloudEvent, another type, or data that does not fit.
    """
    try:
        envelope = CloudEvent.model_validate_json(body)
        if envelope.type != kind.TYPE:
            raise Unreadable("event is of another type", expected=kind.TYPE)
        return kind.model_validate(envelope.data)
    except ValidationError as exc:
        raise Unreadable("not an event of this type", expected=kind.TYPE) from exc


def traceparent_of(body: bytes) -> str:
    """Return the trace that an event is part of; empty if it is of none, or no event."""
    try:
        return CloudEvent.model_validate_json(body).traceparent or ""
    except ValidationError:
        return ""
