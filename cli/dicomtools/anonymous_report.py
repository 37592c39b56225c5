"""A retrieval's report without its originals: what may stand in a manifest and on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dicomcore.export import Manifest
from dicomcore.model import InstanceHeader, PlanDetails
from dicomtools.plain import count
from qr_gateway.retrieval.model import Item, Missing, PlanReport, Report, RetrievalRequest
from qr_gateway.retrieval.reporting import NO_PATIENT, NO_PLAN

NO_LABELS = "Labels of plans that are not in the export are not shown with --anonymize."
_SAFE_MESSAGE = re.compile(
    r"The PACS refused a longer list: \d+ UIDs in a request\."
    r"|The PACS refused to send at [a-z]+ level; asked at [a-z]+ level\."
)
_STATUS = re.compile(r"0x[0-9A-F]{4}")
_APPROVALS = ("APPROVED", "UNAPPROVED", "REJECTED")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What takes the place of what an original said."""

    new_uid: Callable[[str], str]
    exported: Mapping[str, InstanceHeader] = field(default_factory=dict)
    """By new SOP Instance UID: the headers of what was anonymised, as they are now."""

    def report(self, report: Report) -> Report:
        """Return the report under new UIDs.

        Texts that a DICOM system chose (labels, comments, reasons) are left out, but for the labels of
        exported plans, as the profile left them.
        """
        new_uid = self.new_uid
        hidden = (NO_LABELS,) if NO_PLAN in report.messages and report.plans else ()
        return report.model_copy(
            update={
                "missing": tuple(self._missing(missing) for missing in report.missing),
                "dangling": tuple(
                    dangling.model_copy(
                        update={
                            "uid": new_uid(dangling.uid),
                            "referenced_by": new_uid(dangling.referenced_by),
                        }
                    )
                    for dangling in report.dangling
                ),
                "plans": tuple(self._plan(plan) for plan in report.plans),
                "items": tuple(self._item(item) for item in report.items),
                "probed": tuple(self._item(item) for item in report.probed),
                "messages": (*filter(_is_safe, report.messages), *hidden),
            }
        )

    def request(self, request: RetrievalRequest, new_patient_id: str) -> RetrievalRequest:
        """Return the request; its label only if an exported plan still has it."""
        labels = {
            header.details.label
            for header in self.exported.values()
            if isinstance(header.details, PlanDetails)
        }
        kept = request.plan_label if request.plan_label in labels else None
        return request.model_copy(update={"patient_id": new_patient_id, "plan_label": kept})

    def _item(self, item: Item) -> Item:
        return item.model_copy(
            update={
                "sop_instance_uid": self.new_uid(item.sop_instance_uid),
                "series_instance_uid": self.new_uid(item.series_instance_uid),
                "study_instance_uid": self.new_uid(item.study_instance_uid),
                "object_key": "",
            }
        )

    def _missing(self, missing: Missing) -> Missing:
        status = _STATUS.search(missing.reason)
        said = f"; the DICOM system answered {status[0]}" if status else ""
        return missing.model_copy(
            update={
                "uid": self.new_uid(missing.uid),
                "modality": missing.modality if missing.modality.isalpha() else "",
                "reason": f"not received{said}",
            }
        )

    def _plan(self, plan: PlanReport) -> PlanReport:
        uid = self.new_uid(plan.sop_instance_uid)
        header = self.exported.get(uid)
        details = None if header is None else header.details
        return plan.model_copy(
            update={
                "sop_instance_uid": uid,
                "label": details.label if isinstance(details, PlanDetails) else "",
                "approval_status": (
                    plan.approval_status if plan.approval_status in _APPROVALS else ""
                ),
                "reason": "not received" if plan.outcome == "unavailable" else "",
            }
        )


def quarantine_in_words(manifest: Manifest, *, allow_partial: bool) -> str:
    """Return what was held back, why, and what can be done; empty if nothing was."""
    if not manifest.quarantined:
        return ""
    by_fault: dict[str, int] = {}
    for held in manifest.quarantined:
        fault = held.faults[0]
        by_fault[fault] = by_fault.get(fault, 0) + 1
    number = count(len(manifest.quarantined), "object")
    headline = (
        f"NOT COMPLETE: {number} held back."
        if manifest.instances
        else f"FAILED: nothing was exported. {number} could not be anonymised with certainty."
    )
    lines = [headline]
    lines += [f"  {n} × {_fault_in_words(fault)}" for fault, n in sorted(by_fault.items())]
    lines.append("manifest.json lists them under their new UIDs.")
    kinds = sorted(f.partition(":")[2] for f in by_fault if f.startswith("burned_in:"))
    allowed = [kind for kind in kinds if kind != "declared"]
    if allowed:
        lines.append(
            "Next: look at these images. If no name is visible in them, run the command again with "
            f"--allowBurnedIn {' '.join(allowed)}."
        )
    if not allow_partial:
        lines.append("--allowPartialExport exports the others without them.")
    return "\n".join(lines)


def _fault_in_words(fault: str) -> str:
    kind, _, what = fault.partition(":")
    if kind == "burned_in":
        return f"{what}: a name may be visible in its pixels"
    return f"{kind} ({what})" if what else kind


def _is_safe(message: str) -> bool:
    return message in (NO_PATIENT, NO_PLAN) or _SAFE_MESSAGE.fullmatch(message) is not None
