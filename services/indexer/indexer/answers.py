"""What the HTTP interface of the index says, as models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from dicomcore.model import InstanceHeader, Level, Relation


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Version(_Answer):
    """One object under a SOP Instance UID."""

    object_key: str
    sha256: str
    """Hexadecimal; the first 16 digits where the object was only listed."""
    size_bytes: int
    stored_at: datetime
    sop_class_uid: str
    problem: str = ""
    """Why the object has no header."""
    header: InstanceHeader | None = Field(default=None, repr=False)
    """What is known of the instance; its references are in `references`."""


class Incoming(_Answer):
    """An instance that references this one."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    relation: Relation
    level: Level


class Instance(_Answer):
    """Every version of an instance, oldest first, and who references it."""

    sop_instance_uid: str
    conflict: bool
    """Whether there is more than one version."""
    versions: tuple[Version, ...]
    referenced_by: tuple[Incoming, ...]


class Stats(_Answer):
    """How much the index holds."""

    patients: int
    instances: int
    """Objects: every version of every instance, readable or not."""
    unreadable: int
    """Of these, the ones without a header."""
    conflicts: int
    """SOP Instance UIDs with more than one version."""


class Study(_Answer):
    """One study below one patient."""

    patient_id: str = Field(repr=False)
    study_instance_uid: str
    study_date: str = Field(repr=False)
    """Study Date (0008,0020), as stored."""
    study_description: str = Field(repr=False)
    number_of_series: int
    number_of_instances: int


class Studies(_Answer):
    """One page of studies, in the order in which they came."""

    studies: tuple[Study, ...]
    next: str | None = None
    """Cursor of the next page; null on the last one."""


class Series(_Answer):
    """One series below one patient."""

    patient_id: str = Field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_description: str = Field(repr=False)
    number_of_instances: int


class SeriesList(_Answer):
    """One page of series, in the order in which they came."""

    series: tuple[Series, ...]
    next: str | None = None
    """Cursor of the next page; null on the last one."""


class ListedInstance(_Answer):
    """One version of an instance."""

    patient_id: str = Field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    modality: str
    object_key: str


class Instances(_Answer):
    """One page of readable versions of instances, in the order in which they came."""

    instances: tuple[ListedInstance, ...]
    next: str | None = None
    """Cursor of the next page; null on the last one."""


class Told(_Answer):
    """What an instance says where a term asks (`=?`)."""

    tag: str
    """The path, by keywords where there are such."""
    values: tuple[str, ...] = Field(repr=False)


class Hit(ListedInstance):
    """One version of an instance that fulfils every term."""

    told: tuple[Told, ...] = ()
    """One for each term that asks, in their order."""


class Statistics(_Answer):
    """How much was found."""

    found: int
    """Instances, every version counted, that fulfil every term."""
    total: int
    """Instances, every version counted, that the index could read."""


class Hits(_Answer):
    """One page of what a search found."""

    instances: tuple[Hit, ...]
    """May be fewer than asked for, or none, though there is a next page."""
    next: str | None = None
    """Cursor of the next page; null on the last one."""
    statistics: Statistics | None = None


class Value(_Answer):
    """A value, and how often it occurs."""

    value: str = Field(repr=False)
    number_of_instances: int
    """Every version counted."""


class Values(_Answer):
    """One page of the distinct values of an attribute, in code point order."""

    tag: str
    """The path, by keywords where there are such."""
    values: tuple[Value, ...] = Field(repr=False)
    next: str | None = None
    """Cursor of the next page; null on the last one."""
