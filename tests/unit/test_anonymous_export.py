"""One patient's anonymised export: all of it proven, or none of it there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from dicomcore.deident import BurnedIn, parse_options, shipped_profile
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import NotFound
from dicomcore.export import Manifest
from dicomcore.header import read_header
from dicomcore.keys import object_key
from dicomio.directory_store import DirectoryStore
from dicomtools.anonymize_options import Anonymization
from dicomtools.anonymous_export import Anonymizer
from dicomtools.anonymous_manifest import refuse_originals
from dicomtools.export_folder import open_export_folder
from dicomtools.patients import Patient
from dicomtools.problems import CommandProblem
from dicomtools.work_folder import private_work_folder, work_folder
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
from qr_gateway.retrieval.reporting import NO_PLAN
from tests import factories

KEY = b"a key of the unit tests"
PATIENT_ID = str(factories.ct().PatientID)
PATIENT = Patient(PATIENT_ID, "", "NEW", "NEW^NAME")
REQUEST = RetrievalRequest(patient_id=PATIENT_ID, plan_label="PLAN_1")


class Case:
    """A store with what landed, and a folder for the export."""

    def __init__(self, folder: Path) -> None:
        self.store = DirectoryStore(folder / "store")
        self.out = folder / "out"
        self.staging = folder / "staging"
        self.staging.mkdir()

    def landed(self, body: bytes) -> Item:
        header = read_header(body, complete=True)
        assert header is not None
        key = str(object_key(header.ref, hashlib.sha256(body).hexdigest()))
        self.store.put(key, [body])
        return Item(
            study_instance_uid=header.ref.study_instance_uid,
            series_instance_uid=header.ref.series_instance_uid,
            sop_instance_uid=header.ref.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            modality=header.modality,
            object_key=key,
            size_bytes=len(body),
            why="the plan",
        )

    def export(
        self,
        report: Report,
        *,
        allow_partial: bool = False,
        options: tuple[str, ...] = ("CleanDesc",),
    ) -> tuple[RetrievalRequest, Report, Manifest]:
        how = Anonymization(
            shipped_profile("AriaSecurityProfile"),
            parse_options(options),
            KEY,
            allow_partial=allow_partial,
            allowed_burned_in=frozenset((BurnedIn.RT_IMAGE,)),
        )
        anonymizer = Anonymizer(how, PATIENT, self.store, self.staging)
        request, ended, manifest = anonymizer.export(REQUEST, report, open_export_folder(self.out))
        assert manifest is not None
        return request, ended, manifest

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path)
    yield made
    made.store.close()


def report(*items: Item, state: State = State.COMPLETE, **facts: object) -> Report:
    return Report.model_validate({"progress": Progress(state=state), "items": items, **facts})


def body(dataset: Dataset) -> bytes:
    return factories.part10(dataset)


def new(uid: str) -> str:
    return KeyedMap(KEY).uid(uid)


def test_all_versions_are_exported_under_the_new_uid_and_digest(case: Case) -> None:
    first = case.landed(body(factories.plan(factories.plan_spec("PLAN_1"))))
    second = case.landed(body(factories.plan(factories.plan_spec("PLAN_1", "UNAPPROVED"))))

    _, _, manifest = case.export(report(first, second))

    uid = new(factories.PLAN_UID)
    plain, versioned = sorted((entry.file for entry in manifest.instances), key=len)
    older = next(entry for entry in manifest.instances if not entry.newest)
    assert plain == f"RP.{uid}.dcm"
    assert versioned == f"RP.{uid}.version-{older.sha256[:16]}.dcm"
    assert case.names == sorted((plain, versioned, "manifest.json"))
    assert {entry.sop_instance_uid for entry in manifest.instances} == {uid}


def broken_sequence() -> bytes:
    return body(factories.plan()) + b"\x53\x33\x10\x10SQ\0\0\x08\0\0\0" + b"no items"


def unknown_vr() -> bytes:
    return body(factories.plan()) + b"\xfe\x7f\x10\x00\xff\xffxxxx"


def of_somebody_else() -> bytes:
    dataset = factories.plan()
    dataset.PatientID = "SOMEBODY ELSE"
    return body(dataset)


def a_document() -> bytes:
    dataset = factories.plan()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    return body(dataset)


FAULTY = [broken_sequence, unknown_vr, of_somebody_else, a_document]


@pytest.mark.parametrize("faulty", FAULTY)
def test_one_object_that_fails_keeps_all_of_them_back(case: Case, faulty: object) -> None:
    assert callable(faulty)
    items = case.landed(faulty()), case.landed(body(factories.ct()))

    _, ended, manifest = case.export(report(*items))

    assert ended.progress.state is State.FAILED
    assert case.names == ["manifest.json"]
    (held,) = manifest.quarantined
    assert held.sop_instance_uid == new(factories.PLAN_UID)
    assert re.fullmatch(r"not_processed:[ \w,':.-]+|burned_in:document", held.faults[0])
    written = (case.out / "manifest.json").read_text()
    assert json.loads(written)["state"] == "failed"
    assert factories.PLAN_UID not in written


@pytest.mark.parametrize("faulty", FAULTY)
def test_where_partial_exports_are_allowed_the_others_are_there(case: Case, faulty: object) -> None:
    assert callable(faulty)
    ct = case.landed(body(factories.ct()))

    _, ended, manifest = case.export(report(case.landed(faulty()), ct), allow_partial=True)

    assert ended.progress.state is State.PARTIAL
    assert case.names == [f"CT.{new(ct.sop_instance_uid)}.dcm", "manifest.json"]
    assert len(manifest.quarantined) == 1


def test_a_partial_export_of_nothing_is_a_failed_one(case: Case) -> None:
    _, ended, _ = case.export(report(case.landed(broken_sequence())), allow_partial=True)

    assert ended.progress.state is State.FAILED
    assert case.names == ["manifest.json"]


def test_an_object_that_rotted_in_the_store_is_not_exported(case: Case) -> None:
    item = case.landed(body(factories.plan()))
    path = next(path for path in case.out.parent.rglob("*.dcm"))
    path.chmod(0o600)
    path.write_bytes(body(factories.ct()))

    _, _, manifest = case.export(report(item))

    assert manifest.quarantined[0].faults == ("not_processed:object is not what its key says",)
    assert case.names == ["manifest.json"]


def test_of_a_retrieval_that_failed_nothing_is_written_unless_that_is_allowed(case: Case) -> None:
    item = case.landed(body(factories.ct()))

    case.export(report(item, state=State.FAILED))
    assert case.names == ["manifest.json"]

    case.export(report(item, state=State.FAILED), allow_partial=True)
    assert len(case.names) == 2


def test_a_write_that_fails_takes_back_what_it_wrote(case: Case) -> None:
    items = [case.landed(body(factories.ct(index=number))) for number in range(2)]
    last = sorted(f"CT.{new(item.sop_instance_uid)}.dcm" for item in items)[-1]
    (case.out / last).mkdir(parents=True)

    with pytest.raises(CommandProblem) as problem:
        case.export(report(*items))

    assert "cannot be written" in problem.value.words
    assert case.names == [last]


def test_a_report_says_nothing_that_a_dicom_system_or_an_original_said(case: Case) -> None:
    item = case.landed(body(factories.plan()))
    canary = "CANARY 1.2.3.4.5"
    said = report(
        item,
        state=State.PARTIAL,
        missing=(
            Missing(uid="1.2.3.4.5", modality="CT", reason=f"status 0xC001 ({canary})"),
            Missing(uid="1.2.3.4.5", modality=canary, reason=canary),
        ),
        dangling=(
            Dangling(uid="1.2.3.4.5", level="instance", relation="dose", referenced_by="1.2.3.4.5"),
        ),
        plans=(
            PlanReport(sop_instance_uid=factories.PLAN_UID, label=canary, outcome="selected"),
            PlanReport(
                sop_instance_uid="1.2.3.4.5",
                label=canary,
                outcome="unavailable",
                reason=canary,
                approval_status=canary,
            ),
        ),
        probed=(item.model_copy(update={"sop_instance_uid": "1.2.3.4.5"}),),
        messages=(canary, NO_PLAN, "The PACS refused a longer list: 10 UIDs in a request."),
    )

    request, ended, manifest = case.export(said)

    ended = ended.model_copy(update={"items": ()})  # only how many there are is shown
    for text in (request.model_dump_json(), ended.model_dump_json(), manifest.model_dump_json()):
        assert "CANARY" not in text
        assert "1.2.3.4.5" not in text
        assert factories.PLAN_UID not in text
        assert PATIENT_ID not in text
    assert [one.reason for one in ended.missing] == [
        "not received; the DICOM system answered 0xC001",
        "not received",
    ]
    assert [plan.label for plan in ended.plans] == ["PLAN_1", ""]
    assert request.plan_label == "PLAN_1"
    assert len(ended.messages) == 3


def test_retained_uids_are_the_old_ones_also_in_the_manifest(case: Case) -> None:
    item = case.landed(body(factories.plan()))
    missing = Missing(uid="1.2.3.4.5", reason="x")

    _, ended, manifest = case.export(report(item, missing=(missing,)), options=("RetainUIDs",))

    assert case.names == [f"RP.{factories.PLAN_UID}.dcm", "manifest.json"]
    assert [one.uid for one in ended.missing] == ["1.2.3.4.5"]
    assert manifest.instances[0].sop_instance_uid == factories.PLAN_UID


def test_an_object_that_is_gone_ends_the_export_with_nothing_written(case: Case) -> None:
    item = case.landed(body(factories.plan()))

    class Forgetful(DirectoryStore):
        def get(self, key: str) -> bytes:
            raise NotFound("no such object", key=key)

    case.store.close()
    case.store = Forgetful(case.out.parent / "store")
    with pytest.raises(NotFound):
        case.export(report(item))

    assert case.names == []


def test_files_that_are_there_already_are_not_written_again_and_others_stay_listed(
    case: Case,
) -> None:
    first, second = (case.landed(body(factories.ct(index=number))) for number in range(2))
    case.export(report(first))
    path = case.out / f"CT.{new(first.sop_instance_uid)}.dcm"
    before = path.stat().st_mtime_ns, path.stat().st_ino

    case.export(report(first))
    _, _, manifest = case.export(report(second))

    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert [entry.file for entry in manifest.other_files] == [path.name]
    refuse_originals(case.out)


# ── where originals are ─────────────────────────────────────────────────────────────────────


def test_originals_lie_outside_the_export_and_are_gone_whatever_happens(tmp_path: Path) -> None:
    seen: list[Path] = []

    def fail() -> None:
        with private_work_folder(tmp_path / "out") as work:
            seen.append(work.path)
            (work.path / "original.dcm").write_bytes(b"x")
            left = {path.name for path in (tmp_path / "out" / ".dicomtools").iterdir()}
            assert left <= {"lock", "lock-journal"}
            refuse_originals(tmp_path / "out")  # as after a power cut
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert not seen[0].exists()
    assert not seen[0].is_relative_to(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_of_originals_is_its_owners_and_kept_by_nothing(tmp_path: Path) -> None:
    with private_work_folder(tmp_path) as work:
        if os.name == "posix":
            assert work.path.stat().st_mode & 0o077 == 0
        work.ledger("a").write(b"1")
        work.keep()

    assert not work.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_two_commands_do_not_anonymise_into_one_folder(tmp_path: Path) -> None:
    with (
        private_work_folder(tmp_path),
        pytest.raises(CommandProblem, match="carried out"),
        private_work_folder(tmp_path),
    ):
        pass


def test_a_temporary_folder_that_cannot_be_made_is_a_problem_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))

    with pytest.raises(CommandProblem) as problem, private_work_folder(tmp_path):
        pass

    assert "temporary files" in problem.value.words


def test_what_an_interrupted_retrieval_left_is_not_anonymised_beside(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)

    with pytest.raises(CommandProblem) as problem:
        refuse_originals(tmp_path)

    assert "interrupted retrieval" in problem.value.words


def interrupted(folder: Path) -> None:
    with work_folder(folder / "patient") as work:
        work.objects.mkdir()
        (work.objects / "original").write_bytes(b"x")
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["x", "sub/y.dcm"])
def test_a_folder_with_a_dicom_file_of_unknown_origin_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    refuse_originals(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(body(factories.plan()))

    with pytest.raises(CommandProblem) as problem:
        refuse_originals(tmp_path)

    assert "not known to be anonymised" in problem.value.words


def test_an_anonymous_file_that_was_exchanged_is_not_trusted(case: Case) -> None:
    item = case.landed(body(factories.ct()))
    case.export(report(item))
    refuse_originals(case.out)
    (case.out / f"CT.{new(item.sop_instance_uid)}.dcm").write_bytes(body(factories.ct()))

    with pytest.raises(CommandProblem):
        refuse_originals(case.out)
