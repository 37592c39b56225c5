"""One export that is interrupted wherever it may be: the next attempt ends as if nothing had happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dicomcore.errors import Conflict, InvalidRequest, ObjectStoreUnavailable, PeerUnavailable
from dicomcore.export import MANIFEST_NAME
from dicomcore.keys import parse_object_key
from dicomcore.ports import Outgoing, StoreOutcome
from dicomio.directory_store import DirectoryStore
from dicomio.jobs.attempt import Hooks
from dicomio.jobs.states import Progress, State
from indexer.exporting.executor import ExportParts, Way, export
from indexer.exporting.model import ExportReport, ExportRequest, Selection
from indexer.exporting.resolving import Chosen, Resolved
from tests import factories
from tests.export_world import KEY, landed
from tests.memory_pacs import MemoryPacs

PATIENT = factories.small_patient(plans=1)
JOB = "0" * 32
PREFIX = f"exports/default/{JOB}/"
ANONYMISED = {"new_patient_id": "NEW", "allow_burned_in": ["rt_image"]}


class Dying(DirectoryStore):
    """Answers so many puts, then nothing: what follows is as after kill -9."""

    puts = 10**9

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:
        self.puts -= 1
        if self.puts < 0:
            raise ObjectStoreUnavailable("gone")
        return super().put(key, parts, sha256=sha256)

    def delete(self, key: str) -> None:
        if self.puts < 0:
            raise ObjectStoreUnavailable("gone")
        super().delete(key)


class Hanging(MemoryPacs):
    """Takes so many instances, then the association breaks."""

    takes = 10**9

    def store(
        self,
        instances: Sequence[Outgoing],
        *,
        answered: Callable[[Outgoing, StoreOutcome], None],
        associations: int = 1,
        cancelled: Callable[[], bool],
    ) -> None:
        for instance in instances:
            if self.takes <= 0:
                raise PeerUnavailable("broken")
            self.takes -= 1
            super().store([instance], answered=answered, cancelled=cancelled)


@dataclass
class Case:
    """What an attempt works with, and what it keeps for the next one."""

    store: DirectoryStore
    exports: Dying
    pacs: Hanging
    key: bytes | None = KEY
    saved: bytes | None = None
    lost: bool = False
    lose_after: int = 10**9
    stop_after: int = 10**9
    resolved: int = 0
    steps: list[Progress] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def resolve(self, _selection: Selection) -> Resolved:
        self.resolved += 1
        keys = sorted(stat.key for stat in self.store.list("instances/"))
        return Resolved(
            patients=(PATIENT.patient_id,),
            chosen=tuple(
                Chosen(
                    sop_instance_uid=parse_object_key(key).ref.sop_instance_uid,
                    why="asked for",
                    patient=0,
                    object_keys=(key,),
                )
                for key in keys
            ),
        )

    def save(self, body: bytes) -> None:
        if self.lost:
            raise Conflict("another worker has the job")
        self.saved = body

    def tell(self, progress: Progress) -> None:
        self.steps.append(progress)
        self.lost = self.lost or progress.landed >= self.lose_after
        if progress.landed >= self.stop_after:
            self.stopped.set()

    def attempt(
        self, *, anonymise: dict[str, object] | None = None, peer: bool = False
    ) -> ExportReport:
        request = ExportRequest.model_validate(
            {
                "selection": {"patient": PATIENT.patient_id},
                "destination": {"peer": "TPS"} if peer else {"zip": True},
                "anonymise": anonymise,
            }
        )
        parts = ExportParts(
            store=self.store,
            exports=self.exports,
            resolve=self.resolve,
            ways=lambda _: Way(self.pacs),
            key=self.key,
        )
        hooks = Hooks(self.saved, self.save, self.tell, self.stopped.is_set, JOB)
        return export(request, parts, hooks)

    def files(self) -> dict[str, bytes]:
        found = self.exports.list("exports/")
        return {stat.key.removeprefix(PREFIX): self.exports.get(stat.key) for stat in found}


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    store, exports = DirectoryStore(tmp_path / "store"), Dying(tmp_path / "exports")
    landed(store, PATIENT.datasets)
    yield Case(store, exports, Hanging(()))
    store.close()
    exports.close()


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[Case]:
    store, exports = DirectoryStore(tmp_path / "store-2"), Dying(tmp_path / "exports-2")
    landed(store, PATIENT.datasets)
    yield Case(store, exports, Hanging(()))
    store.close()
    exports.close()


@pytest.mark.parametrize("anonymise", [None, ANONYMISED], ids=["as it is", "anonymised"])
@pytest.mark.parametrize("puts", [0, 1, 7, len(PATIENT.datasets)])
def test_an_export_that_dies_while_it_writes_is_whole_after_the_next_attempt(
    case: Case, undisturbed: Case, anonymise: dict[str, object] | None, puts: int
) -> None:
    undisturbed.attempt(anonymise=anonymise)
    case.exports.puts = puts
    with pytest.raises(ObjectStoreUnavailable):
        case.attempt(anonymise=anonymise)
    assert MANIFEST_NAME not in case.files()
    assert len(case.files()) == puts

    case.exports.puts = 10**9
    report = case.attempt(anonymise=anonymise)

    assert report.progress.state is State.COMPLETE
    assert case.resolved == 1, "what was selected is kept"
    files, wanted = case.files(), undisturbed.files()
    files.pop(MANIFEST_NAME), wanted.pop(MANIFEST_NAME)
    assert files == wanted
    assert len(files) == len(PATIENT.datasets)


def test_an_export_whose_manifest_is_there_is_not_made_again(case: Case) -> None:
    first = case.attempt()
    for stat in list(case.store.list("instances/")):
        case.store.delete(stat.key)  # a second attempt would miss them

    assert case.attempt() == first
    assert case.resolved == 1


@pytest.mark.parametrize("anonymise", [None, ANONYMISED], ids=["as it is", "anonymised"])
def test_a_cancelled_export_leaves_nothing(case: Case, anonymise: dict[str, object] | None) -> None:
    case.stop_after = 5

    report = case.attempt(anonymise=anonymise)

    assert report.progress.state is State.CANCELLED
    assert case.files() == {}


def test_who_has_lost_the_job_neither_finishes_nor_removes(case: Case) -> None:
    case.lose_after = 3

    with pytest.raises(Conflict):
        case.attempt()

    assert MANIFEST_NAME not in case.files()
    assert len(case.files()) == len(PATIENT.datasets)


@pytest.mark.parametrize("anonymise", [None, ANONYMISED], ids=["as it is", "anonymised"])
@pytest.mark.parametrize("takes", [0, 1, 9])
def test_a_peer_that_breaks_off_is_sent_the_rest_by_the_next_attempt(
    case: Case, anonymise: dict[str, object] | None, takes: int
) -> None:
    case.pacs.takes = takes
    with pytest.raises(PeerUnavailable):
        case.attempt(anonymise=anonymise, peer=True)
    first = list(case.pacs.stored)
    assert len(first) == takes
    assert case.files() == {}
    case.pacs.stored.clear()

    case.pacs.takes = 10**9
    report = case.attempt(anonymise=anonymise, peer=True)

    assert report.progress.state is State.COMPLETE
    assert set(first).isdisjoint(case.pacs.stored)
    assert len(first) + len(case.pacs.stored) == len(PATIENT.datasets)
    assert list(case.files()) == [MANIFEST_NAME]


def test_a_cancelled_sending_keeps_what_was_sent(case: Case) -> None:
    case.stop_after = 4

    report = case.attempt(peer=True)

    assert report.progress.state is State.CANCELLED
    assert len(case.pacs.stored) == 4
    assert case.files() == {}
    case.stopped.clear()
    case.stop_after = 10**9
    assert case.attempt(peer=True).progress.state is State.COMPLETE
    assert len(case.pacs.stored) == len(PATIENT.datasets)


def test_a_key_that_is_gone_when_the_job_runs_ends_it(case: Case) -> None:
    case.key = None

    with pytest.raises(InvalidRequest):
        case.attempt(anonymise=ANONYMISED)

    assert case.files() == {}


def test_another_key_in_between_leaves_no_object_of_the_first(case: Case) -> None:
    case.exports.puts = 7
    with pytest.raises(ObjectStoreUnavailable):
        case.attempt(anonymise=ANONYMISED)
    old = set(case.files())

    case.exports.puts = 10**9
    case.key = b"another key of the tests"
    case.attempt(anonymise=ANONYMISED)

    assert old.isdisjoint(case.files())
    assert len(case.files()) == len(PATIENT.datasets) + 1


def test_saved_state_of_another_version_is_made_anew(case: Case) -> None:
    case.saved = b'{"resolved": 7}'

    assert case.attempt().progress.state is State.COMPLETE
    assert case.resolved == 1
