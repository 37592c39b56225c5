"""What sending is asked for, and how it ended; JSON in the API and the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dicomcore.errors import DicomToolsError
from dicomcore.sending.rename import check_machine_name
from dicomcore.sending.values import Policy
from dicomcore.uids import parse_uid
from dicomio.jobs.states import Frozen, JobReport

MAX_STUDIES = 100
MAX_INSTANCES = 4000
"""Of one request, so that its record fits into one value of the key-value store."""


def _uid(text: str) -> str:
    try:
        return parse_uid(text)
    except DicomToolsError as exc:
        raise ValueError(exc.sentence) from exc


def _machine(text: str) -> str:
    try:
        return check_machine_name(text)
    except DicomToolsError as exc:
        raise ValueError(exc.sentence) from exc


Uid = Annotated[str, AfterValidator(_uid)]
MachineName = Annotated[str, AfterValidator(_machine)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class SendRequest(Frozen):
    """Studies of the object store, and how they are sent."""

    study_instance_uids: tuple[Uid, ...] = Field(min_length=1, max_length=MAX_STUDIES)
    sop_instance_uids: tuple[Uid, ...] = Field(default=(), max_length=MAX_INSTANCES)
    """Only these instances of the studies; none: all."""
    machine_mapping: dict[Name, MachineName] = Field(default_factory=dict, max_length=100)
    default_machines: dict[Name, MachineName] = Field(default_factory=dict, max_length=100)
    allow_any_manufacturer: bool = False

    def policy(self) -> Policy:
        """Return what the receiving system takes."""
        return Policy(
            machine_mapping=self.machine_mapping,
            default_machines=self.default_machines,
            any_receiver=self.allow_any_manufacturer,
        )


class SentItem(Frozen):
    """One instance that the peer has acknowledged."""

    sop_instance_uid: str
    sop_class_uid: str
    role: str
    """What it was sent as, in words a physicist reads."""
    statuses: tuple[int, ...] = ()
    """Every DIMSE status that the peer gave, in order."""
    transfer_syntax_uid: str = ""
    size_bytes: int = 0
    machines: dict[str, str] = Field(default_factory=dict)
    """Treatment machines that were renamed in the copy that was sent: old to new."""


class NotSent(Frozen):
    """One instance that the peer does not have from us."""

    sop_instance_uid: str
    sop_class_uid: str
    role: str = ""
    reason: str
    outcome: Literal["failed", "not_tried", "held_back"]
    statuses: tuple[int, ...] = ()
    comment: str = Field(default="", repr=False)
    """Error Comment (0000,0902), as the peer wrote it."""


class SendingReport(JobReport):
    """How sending ended."""

    sent: tuple[SentItem, ...] = ()
    not_sent: tuple[NotSent, ...] = ()
    """What failed, what was not tried, and what is never sent to this kind of receiver."""
    stopped_by: str | None = None
    """SOP Instance UID of the plan's object that was not stored, after which nothing was sent."""
    unknown_models: tuple[str, ...] = Field(default=(), repr=False)
    """Manufacturer's Model Names that `default_machines` lacks; then nothing was sent."""
    messages: tuple[str, ...] = ()
    """What a person should know."""
