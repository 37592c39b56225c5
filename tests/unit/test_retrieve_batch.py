"""A batch of patients: isolated failures, what is said, what is exported, what the next run finds."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dicomcore.errors import PeerUnavailable
from dicomcore.keys import object_key
from dicomcore.uids import parse_ref
from dicomio.directory_store import DirectoryStore
from dicomtools.batch import Bench, retrieve_patients
from dicomtools.commands import RETRIEVE
from dicomtools.config import resolve
from dicomtools.options import parse_command_line
from dicomtools.problems import CommandProblem
from dicomtools.retrieve_options import RetrieveOptions, confirm_path, retrieve_options
from dicomtools.screen import JsonScreen, LineScreen, in_words, size_in_words
from dicomtools.work_folder import WorkFolder
from qr_gateway.retrieval.model import (
    Dangling,
    Item,
    Missing,
    PlanReport,
    Progress,
    Report,
    RetrievalRequest,
    State,
)
from qr_gateway.retrieval.reporting import NO_PATIENT, NO_PLAN

Answer = Callable[[RetrievalRequest], Report]


class FakeExecutor:
    """Answers each patient from a table, as the executor would; keeps what it was asked."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[RetrievalRequest] = []
        self.saved: list[bytes | None] = []

    def __call__(
        self,
        request: RetrievalRequest,
        *,
        saved: bytes | None,
        save: Callable[[bytes], None],
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> Report:
        self.asked.append(request)
        self.saved.append(saved)
        save(b"memory")
        progress(Progress(state=State.RUNNING, step="plans", expected=1))
        return self.answers[request.patient_id](request)


class Stage:
    """A bench on real folders, with what was said on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "out"
        self.store = DirectoryStore(folder / "store")
        self.work = WorkFolder(folder / "work")
        self.work.path.mkdir()
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.asked_to_stop = False

    def run(self, executor: FakeExecutor, words: str, *, as_json: bool = False) -> int:
        screen = (JsonScreen if as_json else LineScreen)(self.out, self.err)
        bench = Bench(executor, self.store, self.work, screen, lambda: self.asked_to_stop)
        return retrieve_patients(options(self.path, words), bench)

    @property
    def said(self) -> str:
        return self.out.getvalue()

    def complete(self, uid: str) -> Answer:
        return lambda request: Report(
            progress=Progress(state=State.COMPLETE, bytes_moved=4, instances_moved=1),
            items=(self.item(uid),),
        )

    def item(self, uid: str, body: bytes = b"plan") -> Item:
        key = str(object_key(parse_ref("1.1", "1.2", uid), hashlib.sha256(body).hexdigest()))
        self.store.put(key, [body])
        return Item(
            study_instance_uid="1.1",
            series_instance_uid="1.2",
            sop_instance_uid=uid,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.481.5",
            modality="RTPLAN",
            object_key=key,
            size_bytes=len(body),
            why="the plan",
        )


def options(path: Path, words: str) -> RetrieveOptions:
    usual = ["--hostName", "pacs", "--hostPort", "104", "--callingAet", "US", "--calledAet", "IT"]
    given = parse_command_line(RETRIEVE, [*usual, "--path", str(path), *words.split()])
    return retrieve_options(resolve(RETRIEVE, given, ())[0])


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_complete_patient_is_success_and_its_files_are_there(stage: Stage) -> None:
    executor = FakeExecutor({"P1": stage.complete("1.2.3")})

    failed = stage.run(executor, "--patientId P1 --planId A --useGet")

    assert failed == 0
    assert executor.asked == [RetrievalRequest(patient_id="P1", plan_label="A", method="get")]
    assert sorted(p.name for p in stage.path.iterdir()) == ["RP.1.2.3.dcm", "manifest.json"]
    assert "COMPLETE" in stage.said
    assert "1 plan, 1 instance" in stage.said
    assert not stage.work.kept


def test_one_bad_patient_does_not_stop_the_others(stage: Stage) -> None:
    def unreachable(request: RetrievalRequest) -> Report:
        raise PeerUnavailable("no answer")

    executor = FakeExecutor(
        {"P1": stage.complete("1.2.3"), "P2": unreachable, "P4": stage.complete("1.2.4")}
    )

    failed = stage.run(executor, "--patientId P1;P2;P*;P4")

    assert failed == 2
    assert [request.patient_id for request in executor.asked] == ["P1", "P2", "P4"]
    assert (stage.path / "P1" / "RP.1.2.3.dcm").is_file()
    assert (stage.path / "P4" / "RP.1.2.4.dcm").is_file()
    assert "the DICOM system would take it as a pattern" in stage.said
    assert stage.said.rstrip().endswith("2 of 4 patients are complete. Not complete:\n  P2\n  P*")
    assert stage.work.kept


def test_a_fault_of_ours_costs_one_patient_and_shows_nothing_of_the_object(stage: Stage) -> None:
    def faulty(request: RetrievalRequest) -> Report:
        raise TypeError("DOE^JANE is no number")

    executor = FakeExecutor({"P1": faulty, "P2": stage.complete("1.2.2")})

    failed = stage.run(executor, "--patientId P1;P2")

    assert failed == 1
    assert [request.patient_id for request in executor.asked] == ["P1", "P2"]
    assert "TypeError at test_retrieve_batch.py:" in stage.said
    assert "DOE" not in stage.said
    assert (stage.path / "P2" / "RP.1.2.2.dcm").exists()


def test_a_partial_retrieval_is_exported_and_says_what_is_missing_and_why(stage: Stage) -> None:
    missing = tuple(
        Missing(uid=f"1.9.{n}", modality="CT", why="image of the structure set", reason="not sent")
        for n in range(7)
    )
    report = Report(
        progress=Progress(state=State.PARTIAL),
        items=(stage.item("1.2.3"),),
        missing=missing,
        plans=(
            PlanReport(
                sop_instance_uid="1.7", label="B", outcome="unavailable", reason="no Beam Sequence"
            ),
        ),
    )

    failed = stage.run(FakeExecutor({"P1": lambda request: report}), "--patientId P1")

    assert failed == 1
    assert "NOT COMPLETE: 7 objects missing." in stage.said
    assert "Missing: 7 × CT instance (image of the structure set): not sent" in stage.said
    assert "and 2 more" in stage.said
    assert "Plan 'B' could not be retrieved: no Beam Sequence" in stage.said
    assert "Next: run the same command again" in stage.said
    written = json.loads((stage.path / "manifest.json").read_text())
    assert (written["state"], written["counts"]["missing"]) == ("partial", 7)


def test_versions_dangling_references_and_earlier_files_are_said(stage: Stage) -> None:
    stage.run(FakeExecutor({"P1": stage.complete("1.2.9")}), "--patientId P1")
    stage.item("1.2.3", b"older")
    report = Report(
        progress=Progress(state=State.COMPLETE),
        items=(stage.item("1.2.3", b"newer"),),
        dangling=(Dangling(uid="1.8", level="instance", relation="dose", referenced_by="1.2.3"),),
        messages=("the series was asked for as a whole",),
        catalogue_instances=1234,
    )

    failed = stage.run(FakeExecutor({"P1": lambda request: report}), "--patientId P1")

    assert failed == 0
    assert "the DICOM system lists 1,234 instances" in stage.said
    assert "1 older version of an instance kept beside the newest" in stage.said
    assert "1 file of earlier retrievals in the same folder." in stage.said
    assert "1 reference to objects that the DICOM system does not have" in stage.said
    assert "Note: the series was asked for as a whole" in stage.said


def test_after_a_partial_end_the_next_run_asks_anew(stage: Stage) -> None:
    partial = Report(progress=Progress(state=State.PARTIAL), items=(stage.item("1.2.3"),))
    executor = FakeExecutor({"P1": lambda request: partial})

    stage.run(executor, "--patientId P1")
    stage.run(executor, "--patientId P1")

    assert executor.saved == [None, None]


def test_a_stopped_retrieval_goes_on_in_the_next_run_and_exports_nothing_yet(stage: Stage) -> None:
    def stopped(request: RetrievalRequest) -> Report:
        stage.asked_to_stop = True
        return Report(progress=Progress(state=State.CANCELLED), items=(stage.item("1.2.3"),))

    executor = FakeExecutor({"P1": stopped, "P2": stage.complete("1.2.4")})

    failed = stage.run(executor, "--patientId P1;P2")

    assert failed == 2
    assert [request.patient_id for request in executor.asked] == ["P1"]
    assert not stage.path.exists()
    assert stage.work.kept
    stage.asked_to_stop = False
    stage.run(executor, "--patientId P1")
    assert executor.saved == [None, b"memory"]


def test_an_unknown_label_lists_the_labels_that_exist_and_writes_nothing(stage: Stage) -> None:
    report = Report(
        progress=Progress(state=State.FAILED),
        plans=(
            PlanReport(sop_instance_uid="1.2", label="Prostate 2", outcome="not_selected"),
            PlanReport(
                sop_instance_uid="1.3",
                label="Prostate",
                approval_status="APPROVED",
                outcome="not_selected",
            ),
        ),
        messages=(NO_PLAN,),
    )

    failed = stage.run(
        FakeExecutor({"P1": lambda request: report}), "--patientId P1 --planId prostate"
    )

    assert failed == 1
    assert "no plan with the label 'prostate'" in stage.said
    assert "  Prostate  [APPROVED]\n  Prostate 2  [no approval status]" in stage.said
    assert NO_PLAN not in stage.said
    assert not stage.path.exists()


def test_an_unknown_patient_is_said_to_be_unknown(stage: Stage) -> None:
    report = Report(progress=Progress(state=State.FAILED), messages=(NO_PATIENT,))

    failed = stage.run(FakeExecutor({"P1": lambda request: report}), "--patientId P1")

    assert failed == 1
    assert "NOT FOUND" in stage.said
    assert "Check --patientId" in stage.said


def test_a_dicom_system_that_does_not_answer_is_said_with_what_to_check(stage: Stage) -> None:
    report = Report(
        progress=Progress(state=State.FAILED), messages=("the peer refused the connection\x1b[2J",)
    )

    failed = stage.run(FakeExecutor({"P1": lambda request: report}), "--patientId P1")

    assert failed == 1
    assert "FAILED" in stage.said
    assert "Next: check --hostName, --hostPort" in stage.said
    # what a DICOM system writes does not speak to the terminal
    assert "refused the connection\ufffd[2J" in stage.said
    assert not stage.path.exists()


def test_nothing_delivered_by_c_move_names_the_port_and_the_other_way(stage: Stage) -> None:
    report = Report(
        progress=Progress(state=State.PARTIAL), missing=(Missing(uid="1.9", reason="not sent"),)
    )

    stage.run(FakeExecutor({"P1": lambda request: report}), "--patientId P1")

    assert "DicomStorage.PortNumber" in stage.said
    assert "--useGet" in stage.said


def test_with_json_every_line_on_standard_output_is_an_object(stage: Stage) -> None:
    stage.run(FakeExecutor({"P1": stage.complete("1.2.3")}), "--patientId P1", as_json=True)

    lines = [json.loads(line) for line in stage.out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["progress", "result"]
    assert lines[-1]["state"] == "complete"
    assert lines[-1]["counts"]["instances"] == 1
    assert "COMPLETE" in stage.err.getvalue()


def test_lines_show_each_step_and_each_tenth_once() -> None:
    err = io.StringIO()
    screen = LineScreen(io.StringIO(), err)

    for landed in range(101):
        screen.progress(Progress(step="images", expected=100, landed=landed))

    assert len(err.getvalue().splitlines()) == 11


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234567, "1.23 MB"),
        (88_300_000, "88.3 MB"),
        (999_999_999, "1000 MB"),
        (5 * 10**12, "5 TB"),
        (5 * 10**16, "50000 TB"),
    ],
)
def test_sizes_have_three_figures(size_bytes: int, words: str) -> None:
    assert size_in_words(size_bytes) == words
    assert in_words(Progress(bytes_moved=size_bytes)).endswith(f"{words} moved")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--anonymize", "--anonymize needs --newPatientId and --newPatientName"),
        ("--anonymize --newPatientId X", "--anonymize needs --newPatientId and --newPatientName"),
        ("--newPatientId X", "--newPatientId without --anonymize"),
        ("--mapFile x.csv", "--mapFile without --anonymize"),
        ("--insecure", "means nothing without --useTls"),
        ("--useTls --certFile x.pem", "belong together"),
        ("--useTls --caFile absent.pem", "--caFile: there is no file"),
        ("--callingAet SEVENTEEN_LETTERS", "is given twice"),
    ],
)
def test_options_that_cannot_be_carried_out_are_refused_before_anything_happens(
    tmp_path: Path, words: str, said: str
) -> None:
    with pytest.raises(CommandProblem) as problem:
        options(tmp_path, f"--patientId P1 {words}")

    assert said in problem.value.words


@pytest.mark.parametrize("title", ["SEVENTEEN_LETTERS", "Ä", "A\\B", " "])
def test_what_is_no_ae_title_is_refused(tmp_path: Path, title: str) -> None:
    given = {o.name: "1" for o in RETRIEVE.options if o.required} | {"callingAet": title}
    values, _ = resolve(RETRIEVE, {**given, "hostPort": 104}, ())

    with pytest.raises(CommandProblem) as problem:
        retrieve_options(values)

    assert "--callingAet: no AE title" in problem.value.words


@pytest.mark.parametrize("answer", ["y", "YES\n", " yes "])
def test_a_yes_lets_a_folder_that_holds_something_be_written_into(
    tmp_path: Path, answer: str
) -> None:
    confirm_path(options(tmp_path, "--patientId P1"), occupied=True, ask=lambda question: answer)


@pytest.mark.parametrize("answer", ["n", "", "\n", "yesno"])
def test_any_other_answer_ends_the_command(tmp_path: Path, answer: str) -> None:
    asked = options(tmp_path, "--patientId P1")

    with pytest.raises(CommandProblem):
        confirm_path(asked, occupied=True, ask=lambda question: answer)


def test_where_nobody_can_be_asked_force_is_named_and_needed(tmp_path: Path) -> None:
    asked = options(tmp_path, "--patientId P1")

    with pytest.raises(CommandProblem) as problem:
        confirm_path(asked, occupied=True, ask=None)

    assert "--force" in problem.value.words
    confirm_path(replace(asked, force=True), occupied=True, ask=None)
    confirm_path(asked, occupied=False, ask=None)
