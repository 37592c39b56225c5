"""What the demo PACS can be made to do wrong; all of it countable, none of it random.

Each is something that archives in clinics do. A client that is told Success, or nothing at all,
must find out by itself what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS = 1 << 62
"""For a number of times: without end."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Switches, all off. "Requests" are C-MOVE and C-GET; "images" have modality CT, MR, PT, RTIMAGE.

    Counts run from the start of the PACS over all its associations.
    """

    success_with_nothing: int = 0
    """So many requests, from the first one that matches something, are answered Success with no
    sub-operation."""
    drop_every_nth: int = 0
    """Of the archive's images in its own order, the n-th, 2n-th … are not sent, though the response
    counts them as completed."""
    drop_times: int = 1
    """So many times each of them; `ALWAYS`: it never arrives."""
    refuse_uid_lists_longer_than: int | None = None
    """A request with a list of more UIDs fails with 0xA900."""
    fail_above_plan_series: int | None = None
    """Where a patient has more series of modality RTPLAN, a request for the patient, a study, or
    such a series fails with 0xC000; at IMAGE level, and for other series, it is served."""
    no_instance_level: bool = False
    """C-FIND and requests at IMAGE level fail with 0xA900."""
    return_everything: bool = False
    """C-FIND ignores every matching key, the unique ones too; requests are not affected."""
    abort_after: int | None = None
    """A request is answered with A-ABORT when so many sub-operations are done and there are more."""
    abort_times: int = 1
    """So many requests are aborted, then no more."""
    stall_after: int | None = None
    """A request stops making progress when so many sub-operations are done and there are more."""
    stall_s: float = 30.0
    """So long; then it goes on."""
    stall_times: int = 1
    """So many requests stall, then no more."""
    reject_every_nth: int = 0
    """The n-th, 2n-th … association is rejected: transient, temporary congestion."""
    omit_rt_plan_label: bool = False
    """C-FIND neither returns nor matches RT Plan Label (300A,0002)."""
    omit_optional_keys: bool = False
    """C-FIND neither returns nor matches anything but unique and required keys (PS3.4 C.6)."""
    unretrievable: frozenset[str] = frozenset()
    """SOP Instance UIDs that C-FIND lists and whose sub-operation always fails."""
    fail_empty_beam_sequence: bool = False
    """The same for plans whose Beam Sequence (300A,00B0) is present without items."""
