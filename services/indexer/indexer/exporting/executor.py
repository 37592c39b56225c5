"""One export, from its request to its manifest; the same again after a crash gives the same export.

Nothing is in its destination before all of it is proven, and it is no export before its manifest is
there, which is written last. What an attempt before this one left is found again by its name, and its
digest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dicomcore.audit import Act
from dicomcore.errors import InvalidRequest, Unavailable
from dicomcore.export import ExportFile, Manifest, ManifestInstance, names_any
from dicomcore.ports import ObjectStore, Pacs
from dicomio.exporting.bucket import BucketDestination
from dicomio.exporting.peer import Line, PeerDestination
from dicomio.exporting.pieces import Piece, verbatim
from dicomio.exporting.publishing import Destination, NotTaken, publish
from dicomio.jobs.attempt import Hooks
from dicomio.jobs.audit import no_audit
from dicomio.jobs.states import Progress, State
from indexer.exporting import model
from indexer.exporting.anonymous import Anonymiser, Proof, anonymization_of
from indexer.exporting.describing import Course, describe, report_of
from indexer.exporting.disclosure import disclosed
from indexer.exporting.maps import MapSink, NoMaps
from indexer.exporting.model import ExportReport, ExportRequest, Selection
from indexer.exporting.resolving import Resolved
from indexer.exporting.saved import Keeper
from indexer.exporting.shelf import Shelf, look

log = structlog.get_logger(__name__)

EXPORTS = "exports/"
NO_KEY = "anonymised exports need a key: INDEXER_DEIDENT_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer is reached."""

    pacs: Pacs
    associations: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportParts:
    """What an export works with."""

    store: ObjectStore
    """Of instances."""
    exports: ObjectStore
    """Of exports; may be the same."""
    resolve: Callable[[Selection], Resolved]
    """Blocks."""
    ways: Callable[[str], Way]
    """By the peer's name; `NotFound`."""
    key: bytes | None = field(default=None, repr=False)
    """Of anonymised exports."""
    maps: MapSink = field(default_factory=NoMaps)
    plain_maps: MapSink = field(default_factory=NoMaps)
    """Where a map goes that may be plain, as asked for."""
    spool: Path | None = None
    """Where what is not proven yet lies; None: the system's folder for temporary files."""
    record: Callable[[Act], None] = no_audit
    held_back: Callable[[str], None] = lambda _fault: None
    """Hears why each object was held back."""


class _Cancelled(Exception):
    """Somebody asked for the end."""


def prefix_of(request: ExportRequest, job_id: str) -> str:
    """Return where an export is in the export bucket; the tenant's name comes first."""
    inner = ""
    if isinstance(request.destination, model.BucketDestination):
        inner = request.destination.bucket.prefix
    return f"{EXPORTS}{request.tenant}/{f'{inner}/' if inner else ''}{job_id}/"


def export(request: ExportRequest, parts: ExportParts, hooks: Hooks) -> ExportReport:
    """Carry out an export and return how it ended.

    Raises
    ------
    InvalidRequest
        It cannot be carried out as it was asked for; nothing is there.
    Unreadable, NotFound
        An object is not what it was, or gone; nothing is there.
    Unavailable
        For the moment.
    LeaseLost
        Another worker has the job.
    """
    return _Export(request, parts, hooks).run()


class _Export:
    def __init__(self, request: ExportRequest, parts: ExportParts, hooks: Hooks) -> None:
        self._request = request
        self._parts = parts
        self._hooks = hooks
        self._prefix = prefix_of(request, hooks.job_id)
        self._keeper = Keeper(hooks.saved, hooks.save)
        self._bucket = BucketDestination(parts.exports, self._prefix, self._keeper.save)
        self._expected = 0
        self._landed = 0
        self._bytes = 0

    def run(self) -> ExportReport:
        finished = self._bucket.existing()
        if finished is not None:
            log.info("export_found_finished")
            return report_of(finished, self._prefix)
        try:
            return report_of(self._exported(), self._prefix)
        except Unavailable:
            self._keeper.flush()
            raise
        except _Cancelled:
            self._keeper.flush()
            return ExportReport(progress=self._progress(State.CANCELLED, ""), prefix=self._prefix)

    def _exported(self) -> Manifest:
        resolved = self._resolved()
        self._parts.record(disclosed(self._hooks.job_id, self._request, resolved.patients))
        self._tell("looking into the object store")
        shelf = look(resolved, self._parts.store, self._check)
        self._expected = len(shelf.files)
        try:
            with tempfile.TemporaryDirectory(prefix="export-", dir=self._parts.spool) as folder:
                if self._request.anonymise is None:
                    return self._as_it_is(resolved, shelf, Path(folder))
                return self._anonymised(resolved, shelf, Path(folder), self._request.anonymise)
        except OSError as exc:
            raise Unavailable(
                "the folder for temporary files cannot be used", problem=exc.strerror
            ) from exc

    def _resolved(self) -> Resolved:
        resolved = self._keeper.resolved
        if resolved is None:
            self._tell("asking the index")
            resolved = self._parts.resolve(self._request.selection)
            self._keeper.keep(resolved)
        return resolved

    # ── as it is ────────────────────────────────────────────────────────────────────────────

    def _as_it_is(self, resolved: Resolved, shelf: Shelf, folder: Path) -> Manifest:
        course = Course(self._request, resolved, (*resolved.missing, *shelf.missing))
        pieces = verbatim(self._sendable(shelf.files), self._parts.store, self._check)
        return self._published(pieces, course, folder)

    # ── anonymised ──────────────────────────────────────────────────────────────────────────

    def _anonymised(
        self, resolved: Resolved, shelf: Shelf, folder: Path, how: model.Anonymise
    ) -> Manifest:
        if self._parts.key is None:
            raise InvalidRequest(NO_KEY)
        done = anonymization_of(how, self._parts.key, self._parts.maps.seal)
        anonymiser = Anonymiser(how, done, self._parts.store, folder, self._check)
        proof = anonymiser.prove(
            resolved.patients,
            [self._sendable(files) for files in shelf.by_patient],
            resolved,
            lambda done: self._tell(f"anonymising: {done} of {self._expected} are done"),
        )
        for held in proof.quarantined:
            self._parts.held_back(held.faults[0].partition(":")[0])
        self._refuse_names(proof, how)
        kept = self._keep_map(proof, how)
        course = Course(
            self._request,
            resolved,
            (*resolved.missing, *shelf.missing),
            proof.quarantined,
            proof.described(kept),
            proof.failed,
        )
        if names_any(describe(course, [one.entry for one in proof.leaving], ()), proof.known.uids):
            raise InvalidRequest(
                "the manifest would name an original UID; if the profile keeps UIDs, add the "
                "option RetainUIDs"
            )
        return self._published((one.piece() for one in proof.leaving), course, folder)

    def _refuse_names(self, proof: Proof, how: model.Anonymise) -> None:
        """Refuse a place, or a new name, that tells who a patient is."""
        given = [how.new_patient_id or "", how.new_patient_name or ""]
        if isinstance(self._request.destination, model.BucketDestination):
            given.append(self._request.destination.bucket.prefix)
        if any(known in text.casefold() for text in given for known in proof.known.ids):
            raise InvalidRequest("the prefix, or a new name, holds an identifier of the patient")

    def _keep_map(self, proof: Proof, how: model.Anonymise) -> str:
        if not proof.leaving:
            return ""
        sink = self._parts.plain_maps if how.plain_map else self._parts.maps
        return sink.keep(f"{self._request.tenant}/{self._hooks.job_id}", proof.encoded_map())

    # ── to its destination ──────────────────────────────────────────────────────────────────

    def _published(self, pieces: Iterable[Piece], course: Course, folder: Path) -> Manifest:
        def described(
            entries: Sequence[ManifestInstance], not_taken: Sequence[NotTaken]
        ) -> Manifest:
            self._check()
            return describe(course, entries, not_taken)

        self._tell("writing")
        return publish(self._counted(pieces), described, self._destination(folder))

    def _destination(self, folder: Path) -> Destination:
        destination = self._request.destination
        if not isinstance(destination, model.PeerDestination):
            return self._bucket
        way = self._parts.ways(destination.peer)
        line = Line(
            way.pacs, way.associations, self._keeper.sent, self._sent, self._hooks.cancelled
        )
        waiting = folder / "waiting"
        waiting.mkdir()
        return PeerDestination(line, waiting, self._bucket)

    @property
    def _to_peer(self) -> bool:
        return isinstance(self._request.destination, model.PeerDestination)

    def _sendable(self, files: Sequence[ExportFile]) -> Sequence[ExportFile]:
        """Return the files that a destination takes: a peer has one version of an instance."""
        return [file for file in files if file.newest] if self._to_peer else files

    def _counted(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self._check()
            yield piece
            self._bytes += piece.entry.size_bytes
            if not self._to_peer:
                self._landed += 1
                self._tell("writing")

    def _sent(self, uid: str) -> None:
        self._landed += 1
        self._keeper.sent_one(uid)
        self._tell("sending")

    def _check(self) -> None:
        if self._hooks.cancelled():
            raise _Cancelled

    def _tell(self, step: str) -> None:
        self._hooks.progress(self._progress(State.RUNNING, step))

    def _progress(self, state: State, step: str) -> Progress:
        return Progress(
            state=state,
            step=step,
            expected=self._expected,
            landed=self._landed,
            bytes_moved=self._bytes,
            instances_moved=self._landed,
        )
