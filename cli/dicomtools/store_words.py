"""What `dicomtools store` tells people: what is sent, what is not and why, and what to do then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dicomcore.model import InstanceHeader
from dicomcore.ports import StoreOutcome
from dicomcore.sending.machines import machine_names, manufacturers_of
from dicomcore.sending.values import (
    Concern,
    HeldBack,
    Notice,
    Reason,
    Role,
    Send,
    SendPlan,
    UnknownModel,
)
from dicomcore.tree.build import label_of
from dicomio.sending import SendReport
from dicomtools.plain import plain
from dicomtools.screen import size_in_words

PathOf = Callable[[InstanceHeader], Path]

_STATUSES = (
    (range(1), "Success"),
    (range(0xA700, 0xA800), "Refused: out of resources"),
    (range(0xA800, 0xA801), "Refused: destination unknown"),
    (range(0xA900, 0xAA00), "Error: data set does not match SOP class"),
    (range(0xC000, 0xD000), "Error: cannot understand"),
    (range(0xB000, 0xC000), "Warning"),
    (range(0x0105, 0x0108), "Error: attribute or value"),
    (range(0x0110, 0x0111), "Processing failure"),
    (range(0x0111, 0x0112), "Duplicate SOP instance"),
    (range(0x0117, 0x0118), "Invalid SOP instance"),
    (range(0x0122, 0x0123), "Refused: SOP class not supported"),
    (range(0x0124, 0x0125), "Refused: not authorised"),
)
"""PS3.4 Table B.2-1 and PS3.7 Annex C."""
SHOWN_FILES = 10


def status_in_words(status: int) -> str:
    """Return a DIMSE status as people read it."""
    meaning = next((words for codes, words in _STATUSES if status in codes), "")
    return f"0x{status:04X} {meaning}".rstrip()


def outcome_in_words(outcome: StoreOutcome) -> str:
    """Return what became of an instance."""
    said = [status_in_words(status) for status in outcome.statuses]
    words = ", then ".join(dict.fromkeys(said)) if said else outcome.problem
    comment = plain(outcome.comment)
    return f"{words}: {comment}" if comment else words


def send_in_words(send: Send, path: Path) -> str:
    """Return one send as one line: what, of which plan, with which machines, from where."""
    renamed = ", ".join(f"{old or '(none)'} -> {new}" for old, new in send.machines)
    words = [named(send.header) if send.role is Role.PLAN else send.role.value]
    if send.plan is not None and send.role is not Role.PLAN:
        words += [f"of {named(send.plan)}"]
    if renamed:
        words += [f"[machine {plain(renamed)}]"]
    return f"{' '.join(words)}: {path}"


def named(plan: InstanceHeader) -> str:
    """Return what people call a plan."""
    return f"plan {plain(label_of(plan)) or plan.ref.sop_instance_uid}"


def concerns(notices: Iterable[Notice], path_of: PathOf, *, any_receiver: bool) -> Iterator[str]:
    """Yield a warning for each instance about which somebody should know something."""
    for notice in notices:
        if notice.concern is Concern.NO_MACHINE:
            yield (
                f"{named(notice.header)} names no treatment machine for some beam; it is sent so. "
                "--defaultMachines MODEL=MACHINE gives it one."
            )
        elif any_receiver:
            yield f"{notice.concern.value}, other systems may take it: {path_of(notice.header)}"
        else:
            yield (
                f"{notice.concern.value}, so it is not sent: {path_of(notice.header)} "
                "(--allowAnyManufacturer, for other systems than ARIA, sends it)"
            )


def held_in_words(held: Iterable[HeldBack], path_of: PathOf) -> Iterator[str]:
    """Yield a line for each plan that is held back, and one for each other reason."""
    counted: Counter[Reason] = Counter()
    for one in held:
        if one.reason is Reason.OTHER_MANUFACTURER:
            makers = plain(", ".join(manufacturers_of(one.header)))
            yield (
                f"Not sent: {named(one.header)}: {one.reason.value} ({makers}). "
                f"--allowAnyManufacturer sends it. {path_of(one.header)}"
            )
        elif one.reason is Reason.OTHER_VERSION:
            yield f"Not sent: {one.reason.value}: {path_of(one.header)}"
        elif one.reason is not Reason.NO_PLAN:  # these have had their warning
            counted[one.reason] += 1
    for reason, number in counted.items():
        yield f"Not sent: {_objects(number)}: {reason.value}."


def unknown_models(problems: Sequence[UnknownModel]) -> str:
    """Return why nothing can be sent, and the option that helps."""
    lines = []
    for problem in problems:
        model = plain(problem.model)
        of_model = f"is of the model {model}" if model else "names no model"
        lines.append(
            f"{named(problem.plan)} names no treatment machine, and its first beam {of_model}, "
            "which --defaultMachines does not name."
        )
    models = dict.fromkeys(plain(p.model) or "*" for p in problems)
    pairs = " ".join(f'"{m}=MACHINE"' if " " in m else f"{m}=MACHINE" for m in models)
    lines.append(f"Nothing was sent. Add: --defaultMachines {pairs}")
    return "\n".join(lines)


def dry_run(plan: SendPlan, path_of: PathOf, *, stored: int) -> Iterator[str]:
    """Yield what would be sent, in order."""
    for number, send in enumerate(plan.sends(), start=1):
        yield f"{number}. {send_in_words(send, path_of(send.header))}"
    known = f" {stored} are listed as stored already." if stored else ""
    yield f"{_objects(len(tuple(plan.sends())))} would be sent, in this order.{known}"


def summary(report: SendReport, path_of: PathOf, *, again: str) -> Iterator[str]:
    """Yield how sending ended, and what to do if it is not complete.

    Parameters
    ----------
    again
        What running the same command again does.
    """
    size = size_in_words(sum(o.size_bytes for _, o in report.outcomes if o.stored))
    yield f"{_objects(report.stored)} stored ({size})."
    if report.stopped_by is not None:
        send, outcome = report.stopped_by
        yield f"STOPPED: {send_in_words(send, path_of(send.header))}"
        yield f"  was not stored: {outcome_in_words(outcome)}"
        yield from (f"  {line}" for line in _what_to_change(send, outcome))
    others = [one for one in report.failed if one != report.stopped_by]
    if others:
        yield f"NOT STORED: {_objects(len(others))}:"
        for send, outcome in others[:SHOWN_FILES]:
            words = outcome_in_words(outcome)
            yield f"  {send_in_words(send, path_of(send.header))}: {words}"
        if len(others) > SHOWN_FILES:
            yield f"  and {len(others) - SHOWN_FILES} more"
    if report.not_sent:
        yield f"{_objects(len(report.not_sent))} not tried."
    if not report.complete:
        yield again


def _what_to_change(send: Send, outcome: StoreOutcome) -> Iterator[str]:
    """Yield what usually is the matter, and the option that helps."""
    if not outcome.statuses:
        yield (
            "If the receiving system does not accept its SOP class or transfer syntax "
            f"({send.header.sop_class_uid}, {send.header.transfer_syntax_uid or 'none named'}), let it, "
            "or take the file out of the folder."
        )
        return
    if send.plan is None or send.role is not Role.PLAN:
        yield "Repair the object, or what the receiving system objects to."
        return
    sent = dict(send.machines)
    names = machine_names(send.header)
    if not names and not sent:
        yield "The plan names no treatment machine: --defaultMachines MODEL=MACHINE gives it one."
        return
    shown = ", ".join(f"{name} (sent as {sent[name]})" if name in sent else name for name in names)
    if "" in sent:
        shown = ", ".join(part for part in (shown, f"{sent['']} (by --defaultMachines)") if part)
    first = next(iter(names), "")
    yield f"Its treatment machine: {plain(shown)}."
    if first:
        pair = f"{plain(first)}=MACHINE"
        quoted = f'"{pair}"' if " " in pair else pair
        yield (
            "If the receiving system does not know it, name one that it knows: "
            f"--machineMapping {quoted}"
        )
    else:
        yield "If the receiving system does not know it, change it in --defaultMachines."


def _objects(number: int) -> str:
    return f"{number} object" if number == 1 else f"{number} objects"
