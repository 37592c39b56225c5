"""`dicomtools store`: the DICOM files of a folder to a DICOM system, nothing before what it references."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from dicomcore.model import InstanceHeader
from dicomcore.ports import Outgoing, StoreOutcome
from dicomcore.sending.order import plan_sends
from dicomcore.sending.values import Send, SendPlan
from dicomio.pacs import DicomPacs
from dicomio.sending import SendParts, SendReport, send_all
from dicomtools import store_words
from dicomtools.config import Values
from dicomtools.connection import peer_of
from dicomtools.folder.listing import list_files
from dicomtools.interrupt import interruptible
from dicomtools.log_level import configure_logs
from dicomtools.outgoing import Sources, find_sources
from dicomtools.problems import CommandProblem, advice
from dicomtools.settings import Layer
from dicomtools.status_file import StatusFile, status_file
from dicomtools.store_options import StoreOptions, store_options

OK = 0
FAILED = 1
_AGAIN = {
    True: "Run the same command again: what is listed in {file} is not sent again.",
    False: (
        "Run the same command again. It sends everything anew; with --statusFileName FILE it goes "
        "on where it stopped."
    ),
}


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Carry out the command; return 0 if all that is to be sent is stored.

    Raises
    ------
    CommandProblem
        It cannot be begun.
    """
    options = store_options(values)
    configure_logs(layers, default="error")
    sources = find_sources(_files(options))
    if not sources.by_header:
        raise CommandProblem(f"There is no DICOM file below {options.path}")
    return _Command(options, sources).run()


def _files(options: StoreOptions) -> Iterable[Path]:
    if options.path.is_file():
        return [options.path]
    status = options.status_file
    files = (Path(entry.path) for entry in list_files(str(options.path), options.search_pattern))
    return (path for path in files if status is None or path.absolute() != status.absolute())


class _Command:
    """One run over what was found."""

    def __init__(self, options: StoreOptions, sources: Sources) -> None:
        self._options = options
        self._sources = sources
        self._plan = plan_sends(sources.by_header, options.policy)
        self._number = 0
        self._total = 0

    def run(self) -> int:
        """Say what is not sent and why; send the rest, or list it; return the exit code."""
        if self._plan.problems:
            raise CommandProblem(store_words.unknown_models(self._plan.problems))
        self._say_what_is_held()
        with ExitStack() as stack:
            listed = self._listed(stack)
            stored = self._stored(listed)
            plan = self._plan.without(stored)
            if self._options.dry_run:
                for line in store_words.dry_run(plan, self._path, stored=len(stored)):
                    print(line)
                return OK
            if stored:
                print(
                    f"{len(stored)} are listed in {self._options.status_file} and not sent again."
                )
            report = self._sent(plan, listed)
        return self._ended(report)

    # ── before ──────────────────────────────────────────────────────────────────────────────

    def _say_what_is_held(self) -> None:
        policy = self._options.policy
        for warning in store_words.concerns(
            self._plan.notices, self._path, any_receiver=policy.any_receiver
        ):
            print(f"Warning: {warning}", file=sys.stderr)
        for line in store_words.held_in_words(self._plan.held_back, self._path):
            print(line, file=sys.stderr)
        for path in self._sources.other_versions:
            print(f"Not sent: another file holds the same instance: {path}", file=sys.stderr)
        unreadable = self._sources.unreadable
        for path, reason in unreadable[: store_words.SHOWN_FILES]:
            print(f"Not sent: {path}: {reason}", file=sys.stderr)
        if len(unreadable) > store_words.SHOWN_FILES:
            more = len(unreadable) - store_words.SHOWN_FILES
            print(f"Not sent: {more} more files that are no DICOM", file=sys.stderr)

    def _listed(self, stack: ExitStack) -> StatusFile | None:
        path = self._options.status_file
        if path is None or (self._options.dry_run and not path.exists()):
            return None
        return stack.enter_context(status_file(path))

    def _stored(self, listed: StatusFile | None) -> Collection[str]:
        if listed is None:
            return frozenset()
        return {
            send.uid
            for send in self._plan.sends()
            if any(path in listed for path in self._sources.by_header[send.header].paths)
        }

    # ── sending ─────────────────────────────────────────────────────────────────────────────

    def _sent(self, plan: SendPlan, listed: StatusFile | None) -> SendReport:
        self._total = len(tuple(plan.sends()))

        def told(send: Send, outcome: StoreOutcome) -> None:
            self._tell(send, outcome, listed)

        with interruptible("Stopping; what is being sent is finished.") as asked_to_stop:
            return send_all(
                plan,
                SendParts(
                    pacs=DicomPacs(peer_of(self._options.connection)),
                    outgoing=self._outgoing,
                    associations=self._options.associations,
                ),
                told=told,
                cancelled=asked_to_stop.is_set,
            )

    def _outgoing(self, send: Send) -> Outgoing:
        return self._sources.by_header[send.header].outgoing(dict(send.machines))

    def _tell(self, send: Send, outcome: StoreOutcome, listed: StatusFile | None) -> None:
        if outcome.stored and listed is not None:
            try:
                for path in self._sources.by_header[send.header].paths:
                    listed.record(path)
            except OSError as exc:
                raise CommandProblem(
                    f"{self._options.status_file} cannot be written: {exc.strerror}. Stopped, so "
                    "that nothing is stored that is not listed; the object sent last is: "
                    f"{self._path(send.header)}"
                ) from exc
        self._number += 1
        if self._options.show_messages:
            words = store_words.outcome_in_words(outcome)
            line = store_words.send_in_words(send, self._path(send.header))
            print(f"{self._number}/{self._total} {words}: {line}", flush=True)

    # ── after ───────────────────────────────────────────────────────────────────────────────

    def _ended(self, report: SendReport) -> int:
        again = _AGAIN[self._options.status_file is not None]
        again = again.format(file=self._options.status_file)
        for line in store_words.summary(report, self._path, again=again):
            print(line)
        if report.error is not None:
            print(advice(report.error), file=sys.stderr)
        return OK if report.complete else FAILED

    def _path(self, header: InstanceHeader) -> Path:
        return self._sources.by_header[header].paths[0]
