"""C-MOVE and C-GET of the demo PACS: which instances, in which order, with which faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pydicom import Dataset

from dicomcore.errors import InvalidRequest
from dicomcore.ports import QueryLevel
from dicomtools.demo.archive import Archive, Entry
from dicomtools.demo.conversation import (
    CANCEL,
    IDENTIFIER_DOES_NOT_MATCH,
    PENDING,
    SUCCESS,
    UNABLE_TO_PERFORM,
    UNABLE_TO_PROCESS,
    WARNING,
    Conversation,
    Counters,
    failed_list,
)
from dicomtools.demo.faults import Faults
from dicomtools.demo.find import check_hierarchy, key_values, level_of, within
from dicomtools.demo.ledger import Ledger, Sent
from dicomtools.demo.sending import FAILED, Sender

IMAGE_MODALITIES = frozenset(("CT", "MR", "PT", "RTIMAGE"))
_BEAM_SEQUENCE = 0x300A00B0

Connect = Callable[[Sequence[Entry]], AbstractContextManager[Sender | None]]
"""Opens the way to the destination; None if it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response before any sub-operation."""

    status: int
    comment: str


class Transfers:
    """Answers C-MOVE and C-GET out of an archive."""

    def __init__(
        self, archive: Archive, faults: Faults, ledger: Ledger, stopping: threading.Event
    ) -> None:
        self._archive = archive
        self._faults = faults
        self._ledger = ledger
        self._stopping = stopping

    def unlucky_uids(self) -> frozenset[str]:
        """Return the SOP Instance UIDs that `drop_every_nth` is about."""
        n = self._faults.drop_every_nth
        images = [e.sop_instance_uid for e in self._archive if e.modality in IMAGE_MODALITIES]
        return frozenset(images[n - 1 :: n]) if n else frozenset()

    def unretrievable_uids(self) -> frozenset[str]:
        """Return the SOP Instance UIDs whose sub-operation always fails."""
        empty = (e.sop_instance_uid for e in self._archive if _has_no_beams(e.header))
        return self._faults.unretrievable | (
            frozenset(empty) if self._faults.fail_empty_beam_sequence else frozenset()
        )

    def answer(
        self, talk: Conversation, top: QueryLevel, destination: str, connect: Connect
    ) -> None:
        """Carry out one request and send its final response, unless the association ends first.

        Parameters
        ----------
        top
            The information model's topmost level.
        destination
            AE title, for the ledger.
        """
        try:
            identifier = talk.identifier()
            level = level_of(identifier)
            check_hierarchy(identifier, level, top)
            if not key_values(identifier, level):
                raise InvalidRequest("the unique key of the level has no value", level=level)
        except InvalidRequest as exc:
            talk.respond(IDENTIFIER_DOES_NOT_MATCH, comment=exc.sentence[:64])
            return
        entries = tuple(within(self._archive, identifier, level))
        refusal = self._refusal(identifier, level, entries)
        if refusal is not None:
            talk.respond(refusal.status, comment=refusal.comment)
            return
        if entries and self._ledger.take("nothing", self._faults.success_with_nothing):
            entries = ()
        if not entries:
            talk.respond(SUCCESS, counters=Counters())
            return
        with connect(entries) as sender:
            if sender is None:
                talk.respond(UNABLE_TO_PERFORM, comment="destination cannot be reached")
                return
            run = _Run(talk, destination, sender, Counters(remaining=len(entries)))
            self._send_all(run, entries)

    def _refusal(
        self, identifier: Dataset, level: QueryLevel, entries: Sequence[Entry]
    ) -> Refusal | None:
        faults = self._faults
        if level is QueryLevel.IMAGE and faults.no_instance_level:
            return Refusal(IDENTIFIER_DOES_NOT_MATCH, "IMAGE level is not supported")
        limit = faults.refuse_uid_lists_longer_than
        if limit is not None and len(key_values(identifier, level)) > limit:
            return Refusal(IDENTIFIER_DOES_NOT_MATCH, "UID list is too long")
        if self._has_too_many_plans(level, entries):
            return Refusal(
                UNABLE_TO_PROCESS, "Cannot understand - Unexpected exception during MOVE"
            )
        return None

    def _has_too_many_plans(self, level: QueryLevel, entries: Sequence[Entry]) -> bool:
        limit = self._faults.fail_above_plan_series
        if limit is None or not entries or level is QueryLevel.IMAGE:
            return False
        if level is QueryLevel.SERIES and all(entry.modality != "RTPLAN" for entry in entries):
            return False
        patients = {entry.patient_id for entry in entries}
        plans = {
            entry.series_instance_uid
            for entry in self._archive
            if entry.modality == "RTPLAN" and entry.patient_id in patients
        }
        return len(plans) > limit

    def _send_all(self, run: _Run, entries: Sequence[Entry]) -> None:
        talk, counters = run.talk, run.counters
        unlucky, unretrievable = self.unlucky_uids(), self.unretrievable_uids()
        for entry in entries:
            if self._aborts(counters):
                talk.assoc.abort()
                return
            if self._stalls(counters):
                self._stopping.wait(self._faults.stall_s)
            if talk.over() or self._stopping.is_set():
                return
            if talk.cancelled():
                failed = failed_list(counters.failed_uids)
                talk.respond(CANCEL, counters=counters, identifier=failed)
                return
            uid = entry.sop_instance_uid
            if uid in unretrievable:
                run.count(entry, FAILED)
            elif uid in unlucky and self._ledger.take(f"drop {uid}", self._faults.drop_times):
                run.count(entry, SUCCESS)
            else:
                status, size_bytes = run.sender.send(entry)
                self._ledger.has_sent(Sent(uid, size_bytes, talk.command, run.destination, status))
                run.count(entry, status)
            if talk.over():
                return
            talk.respond(PENDING, counters=counters)
        run.finish()

    def _aborts(self, counters: Counters) -> bool:
        return counters.done == self._faults.abort_after and self._ledger.take(
            "abort", self._faults.abort_times
        )

    def _stalls(self, counters: Counters) -> bool:
        return counters.done == self._faults.stall_after and self._ledger.take(
            "stall", self._faults.stall_times
        )


@dataclass(slots=True)
class _Run:
    """One request while its sub-operations are carried out."""

    talk: Conversation
    destination: str
    sender: Sender
    counters: Counters

    def count(self, entry: Entry, status: int) -> None:
        """Count one sub-operation by the DIMSE status of its answer (PS3.4 B.2.3)."""
        self.counters.remaining -= 1
        if status == SUCCESS:
            self.counters.completed += 1
        elif status & 0xF000 == WARNING:
            self.counters.warning += 1
        else:
            self.counters.failed += 1
            self.counters.failed_uids.append(entry.sop_instance_uid)

    def finish(self) -> None:
        """Send the final response (PS3.4 C.4.2.3.1)."""
        counters = self.counters
        failed = failed_list(counters.failed_uids) if counters.failed else None
        status = SUCCESS
        if counters.failed and not counters.completed and not counters.warning:
            status = UNABLE_TO_PERFORM
        elif counters.failed or counters.warning:
            status = WARNING
        self.talk.respond(status, counters=counters, identifier=failed)


def _has_no_beams(header: Dataset) -> bool:
    return _BEAM_SEQUENCE in header and not header[_BEAM_SEQUENCE].value
