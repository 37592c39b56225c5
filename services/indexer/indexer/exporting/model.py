"""What an export is asked for, and how it ended; JSON in the API and the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dicomcore.deident import BurnedIn, Option
from dicomcore.errors import DicomToolsError
from dicomcore.query import MAX_TERM_LENGTH
from dicomcore.uids import parse_uid
from dicomio.http import Input
from dicomio.http.tenants import DEFAULT_TENANT
from dicomio.jobs.states import Frozen, JobReport

MAX_UIDS = 4000
"""Of one request, so that its record fits into one value of the key-value store."""
MAX_TERMS = 32
_PSEUDONYM = r"^[!-\[\]-~]([ -\[\]-~]{0,57}[!-\[\]-~])?$"
"""Printable ASCII, no backslash, no space at either end, and room for the number of a patient."""
_PREFIX = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(/[A-Za-z0-9][A-Za-z0-9_-]{0,62}){0,3}$"
_PEER = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


def _uid(text: str) -> str:
    try:
        return parse_uid(text)
    except DicomToolsError as exc:
        raise ValueError(exc.sentence) from exc


Uid = Annotated[str, AfterValidator(_uid)]
Term = Annotated[str, Field(min_length=1, max_length=MAX_TERM_LENGTH)]


class PlansSelection(Input):
    """Plans, each with all that it references and all that references it."""

    plans: tuple[Uid, ...] = Field(min_length=1, max_length=MAX_UIDS)
    """SOP Instance UIDs (0008,0018)."""


class PatientSelection(Input):
    """All of one patient."""

    patient: str = Field(min_length=1, max_length=64, repr=False)
    """Patient ID (0010,0020), exactly."""


class Where(Input):
    """A search, as `/v1/search` takes it."""

    tag: tuple[Term, ...] = Field(min_length=1, max_length=MAX_TERMS, repr=False)
    patient_id: str | None = Field(default=None, max_length=64, repr=False)
    study_instance_uid: str = Field(default="", max_length=64)
    series_instance_uid: str = Field(default="", max_length=64)
    modality: str = Field(default="", max_length=16)


class QuerySelection(Input):
    """Every version of an instance that a search finds."""

    query: Where


class InstancesSelection(Input):
    """These instances, and nothing else."""

    instances: tuple[Uid, ...] = Field(min_length=1, max_length=MAX_UIDS)
    """SOP Instance UIDs (0008,0018)."""


Selection = PlansSelection | PatientSelection | QuerySelection | InstancesSelection


class Anonymise(Input):
    """How objects are de-identified."""

    profile: Literal["AriaSecurityProfile", "BasicSecurityProfile"] = "AriaSecurityProfile"
    options: tuple[Option, ...] = Field(
        default=(Option.CLEAN_DESC, Option.RETAIN_DEVICE_IDENT), max_length=len(Option)
    )
    new_patient_id: str | None = Field(
        default=None,
        pattern=_PSEUDONYM,
        description="Several patients are numbered: NEW-01, NEW-02 …; none: derived by the key",
    )
    new_patient_name: str | None = Field(default=None, pattern=_PSEUDONYM)
    allow_partial: bool = False
    """Whether the others leave when one object is held back."""
    allow_burned_in: tuple[BurnedIn, ...] = Field(default=(), max_length=len(BurnedIn))
    """Kinds of images that leave though a name may be visible in them."""
    encrypt_attributes: bool = False
    """Whether the originals of all that is changed go along in every object, encrypted to whoever can
    read the pseudonym maps (Encrypted Attributes Sequence)."""
    plain_map: bool = False
    """Whether the pseudonym map may be written where it can be read by who reads the bucket."""


class Bucket(Input):
    """Where in the export bucket."""

    prefix: str = Field(default="", pattern=rf"^$|{_PREFIX}")
    """Below the tenant's own; letters, digits, `-`, `_`, four names at most."""


class BucketDestination(Input):
    """Objects below a prefix of the export bucket."""

    bucket: Bucket


class ZipDestination(Input):
    """An archive, to be fetched from `/v1/exports/{id}/zip`."""

    zip: Literal[True]


class PeerDestination(Input):
    """A DICOM peer of the configuration."""

    peer: str = Field(pattern=_PEER)


Destination = BucketDestination | ZipDestination | PeerDestination


class ExportOrder(Input):
    """What is exported, how, and where to."""

    selection: Selection
    anonymise: Anonymise | None = None
    """Absent: objects leave as they were received, with the patient's identity."""
    destination: Destination


class ExportRequest(ExportOrder):
    """An order, and whose it is."""

    tenant: str = DEFAULT_TENANT


class Held(Frozen):
    """One object that was held back, by what it would have become."""

    sop_instance_uid: str
    faults: tuple[str, ...]


class NotThere(Frozen):
    """Something that should be in the export and is not."""

    uid: str
    level: str = "instance"
    why: str = ""
    reason: str


class ExportReport(JobReport):
    """How an export ended; the files are in its manifest."""

    prefix: str
    """Of every object of it, and of the manifest, in the export bucket."""
    instances: int = 0
    """Newest versions."""
    files: int = 0
    size_bytes: int = 0
    not_there: int = 0
    """What is missing, dangling, or was not taken by the peer."""
    held_back: int = 0
    missing: tuple[NotThere, ...] = ()
    """The first thousand; all are in the manifest."""
    quarantined: tuple[Held, ...] = ()
    """The first thousand; all are in the manifest."""
    pseudonym_map: str = ""
    """Where the pseudonym map is, or why it is nowhere; empty if it is not anonymised."""
    messages: tuple[str, ...] = ()
    """What a person should know."""
