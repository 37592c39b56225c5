"""How a retrieval ended, in words for a physicist: what is there, what is not, what to do next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from dicomcore.export import Manifest
from dicomtools.plain import plain
from dicomtools.screen import size_in_words
from qr_gateway.retrieval.model import Missing, PlanReport, Report, RetrievalRequest, State
from qr_gateway.retrieval.reporting import NO_PATIENT, NO_PLAN

SHOWN_UIDS = 5
_SAID_IN_THE_HEADLINE = (NO_PATIENT, NO_PLAN)


def summary(
    request: RetrievalRequest,
    report: Report,
    manifest: Manifest | None,
    folder: str,
    *,
    kept: bool = True,
) -> str:
    """Return the lines that end a retrieval.

    Parameters
    ----------
    manifest
        Of the export; None if nothing was exported.
    kept
        Whether what has arrived is there when the same command runs again.
    """
    lines = [_headline(request, report, kept=kept)]
    if manifest is not None:
        lines += _exported(report, manifest, folder)
    lines += _unavailable_plans(report.plans)
    lines += _missing(report.missing)
    if report.dangling:
        lines.append(
            f"{_count(len(report.dangling), 'reference')} to objects that the DICOM system does "
            "not have; manifest.json lists them. Nothing can be done about these here."
        )
    lines += [
        f"Note: {plain(text)}" for text in report.messages if text not in _SAID_IN_THE_HEADLINE
    ]
    lines += _next(request, report, kept=kept)
    return "\n".join(lines)


def found_nothing(report: Report) -> bool:
    """Whether the DICOM system has no such patient, or the patient no such plan."""
    return any(message in _SAID_IN_THE_HEADLINE for message in report.messages)


def _headline(request: RetrievalRequest, report: Report, *, kept: bool) -> str:
    if NO_PATIENT in report.messages:
        return "NOT FOUND: the DICOM system lists nothing of this patient. Check --patientId."
    if NO_PLAN in report.messages:
        return _no_plan(request, report.plans)
    return {
        State.COMPLETE: "COMPLETE: everything that belongs to it is here.",
        State.PARTIAL: f"NOT COMPLETE: {_count(len(report.missing), 'object')} missing.",
        State.CANCELLED: "STOPPED before the end: "
        + ("what has arrived is kept for the next run." if kept else "nothing was exported."),
    }.get(report.progress.state, "FAILED: the DICOM system did not tell what there is.")


def _no_plan(request: RetrievalRequest, plans: Sequence[PlanReport]) -> str:
    if not plans:
        return "NOT FOUND: the DICOM system lists no plan of this patient."
    wanted = "approved plan" if request.only_approved else "plan"
    if request.plan_label is not None:
        wanted += f" with the label '{request.plan_label}'"
    known = [plan for plan in plans if plan.outcome == "not_selected"]
    if not known:
        return f"NOT FOUND: no {wanted} could be read."
    listed = "\n".join(
        f"  {plain(plan.label) or '(no label)'}  "
        f"[{plain(plan.approval_status) or 'no approval status'}]"
        for plan in sorted(known, key=lambda plan: plan.label)
    )
    return (
        f"NOT FOUND: this patient has no {wanted}. Upper and lower case count. "
        f"The plans are:\n{listed}"
    )


def _exported(report: Report, manifest: Manifest, folder: str) -> Iterator[str]:
    counts = manifest.counts
    plans = sum(one.newest and one.file.startswith("RP.") for one in manifest.instances)
    yield (
        f"{_count(plans, 'plan')}, {_count(counts.instances, 'instance')} "
        f"({size_in_words(counts.size_bytes)}) in {folder}"
    )
    listed = report.catalogue_instances
    of_all = f"; the DICOM system lists {_count(listed, 'instance')}" if listed else ""
    yield (
        f"{size_in_words(counts.bytes_moved)} moved "
        f"({_count(report.progress.instances_moved, 'instance')}{of_all})"
    )
    if counts.files > counts.instances:
        yield (
            f"{_count(counts.files - counts.instances, 'older version')} of an instance kept "
            "beside the newest; manifest.json lists them."
        )
    if manifest.other_files:
        yield (
            f"{_count(len(manifest.other_files), 'file')} of earlier retrievals in the same folder."
        )


def _unavailable_plans(plans: Sequence[PlanReport]) -> Iterator[str]:
    for plan in plans:
        if plan.outcome == "unavailable":
            label = f"Plan '{plain(plan.label)}'" if plan.label else f"Plan {plan.sop_instance_uid}"
            yield f"{label} could not be retrieved: {plain(plan.reason) or 'no reason given'}"


def _missing(missing: Sequence[Missing]) -> Iterator[str]:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in missing:
        what = f"{one.modality} {one.level}".strip()
        groups[what, one.why, one.reason].append(one.uid)
    for (what, why, reason), uids in groups.items():
        purpose = f" ({why})" if why else ""
        yield f"Missing: {len(uids)} × {what}{purpose}: {plain(reason)}"
        yield from (f"  {uid}" for uid in uids[:SHOWN_UIDS])
        if len(uids) > SHOWN_UIDS:
            yield f"  and {len(uids) - SHOWN_UIDS} more; manifest.json lists them all."


def _next(request: RetrievalRequest, report: Report, *, kept: bool) -> Iterator[str]:
    state = report.progress.state
    if state is State.COMPLETE or (found_nothing(report) and not report.missing):
        return
    if state is State.CANCELLED:
        yield "Next: run the same command again" + (
            "; it goes on where it stopped." if kept else "."
        )
        return
    if state is State.FAILED and not report.missing:
        yield (
            "Next: check --hostName, --hostPort, --callingAet and --calledAet, the firewall, and that "
            "the DICOM service runs there; then run the same command again."
        )
        return
    yield (
        f"Next: run the same command again{'; only what is missing is asked for' * kept}. If the "
        "same objects are missing again, open the patient in the DICOM system and check that they exist and can "
        "be exported there."
    )
    if request.method == "move" and report.missing and not report.items:
        yield (
            "Nothing arrived at all. With C-MOVE the DICOM system opens a connection to this "
            "computer: it must know --callingAet with this computer's address and "
            "DicomStorage.PortNumber, and the firewall must let it in. Or try --useGet."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
