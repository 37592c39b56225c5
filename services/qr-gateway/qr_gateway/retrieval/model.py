"""What a retrieval is asked for, how it stands, and how it ended; JSON in the API and the ledger."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dicomio.jobs.states import Frozen, JobReport, Progress, State

__all__ = [
    "Dangling",
    "Item",
    "Missing",
    "PlanReport",
    "Progress",
    "Report",
    "RetrievalRequest",
    "State",
]


class RetrievalRequest(Frozen):
    """One patient, and which of the patient's plans."""

    patient_id: str = Field(min_length=1, max_length=64, repr=False)
    plan_label: str | None = Field(default=None, min_length=1)
    """RT Plan Label (300A,0002): exact, case-sensitive. None: every plan."""
    only_approved: bool = False
    """Only plans whose Approval Status (300E,0002) is APPROVED."""
    method: Literal["move", "get"] = "move"

    @property
    def selective(self) -> bool:
        """Whether anything of the patient may be left out."""
        return self.plan_label is not None or self.only_approved


class Item(Frozen):
    """One instance of the closure that has landed."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    object_key: str
    size_bytes: int
    why: str
    """Why it is in the closure, in words a physicist reads."""


class Missing(Frozen):
    """One expected thing that has not landed."""

    uid: str
    """A SOP Instance UID; a Series Instance UID where `level` says so."""
    level: Literal["instance", "series"] = "instance"
    modality: str = ""
    why: str = ""
    """Why it was expected."""
    reason: str
    """Why it is not there."""


class Dangling(Frozen):
    """A reference whose target the PACS does not have."""

    uid: str
    level: str
    relation: str
    referenced_by: str
    """SOP Instance UID of the instance that holds the reference."""


class PlanReport(Frozen):
    """What became of one plan of the patient."""

    sop_instance_uid: str
    label: str = Field(default="", repr=False)
    approval_status: str = ""
    outcome: Literal["selected", "not_selected", "unavailable"]
    reason: str = ""


class Report(JobReport):
    """How a retrieval ended."""

    items: tuple[Item, ...] = ()
    missing: tuple[Missing, ...] = ()
    dangling: tuple[Dangling, ...] = ()
    plans: tuple[PlanReport, ...] = ()
    probed: tuple[Item, ...] = ()
    """What was moved to decide and is not in the closure."""
    messages: tuple[str, ...] = ()
    """What a person should know: fall-backs taken, refusals met."""
    catalogue_instances: int | None = None
    """Instances the PACS lists for the patient, where it told."""
