"""The export folder: bytes as in the store, a manifest that can be trusted, nothing moved twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dicomcore.errors import Unreadable
from dicomcore.export import Manifest, parse_manifest
from dicomcore.keys import object_key
from dicomcore.uids import parse_ref
from dicomio.directory_store import DirectoryStore
from dicomio.files import write_atomically
from dicomtools.export_folder import open_export_folder
from dicomtools.problems import CommandProblem
from dicomtools.work_folder import is_occupied, work_folder
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

RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
REQUEST = RetrievalRequest(patient_id="CANARY-ID", plan_label="A")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def landed(store: DirectoryStore, uid: str, body: bytes) -> Item:
    key = str(object_key(parse_ref("1.1", "1.2", uid), hashlib.sha256(body).hexdigest()))
    store.put(key, [body])
    return Item(
        study_instance_uid="1.1",
        series_instance_uid="1.2",
        sop_instance_uid=uid,
        sop_class_uid=RT_PLAN,
        modality="RTPLAN",
        object_key=key,
        size_bytes=len(body),
        why="the plan",
    )


def report(*items: Item, state: State = State.COMPLETE, **facts: object) -> Report:
    return Report.model_validate(
        {"progress": Progress(state=state, bytes_moved=9), "items": items, **facts}
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_hold_the_bytes_of_the_store_and_the_manifest_their_digests(
    store: DirectoryStore, tmp_path: Path
) -> None:
    items = [landed(store, "1.2.3", b"plan"), landed(store, "1.2.4", b"another")]

    manifest = open_export_folder(tmp_path / "out").write(REQUEST, report(*items), store)

    files = files_of(tmp_path / "out")
    assert parse_manifest(files.pop("manifest.json")) == manifest
    assert files == {"RP.1.2.3.dcm": b"plan", "RP.1.2.4.dcm": b"another"}
    assert {entry.file: entry.sha256 for entry in manifest.instances} == {
        name: hashlib.sha256(body).hexdigest() for name, body in files.items()
    }
    assert manifest.counts.instances == 2
    assert manifest.counts.size_bytes == 11


def test_the_manifest_names_what_is_missing_and_never_the_patient(
    store: DirectoryStore, tmp_path: Path
) -> None:
    partial = report(
        state=State.PARTIAL,
        missing=(Missing(uid="1.9", modality="CT", why="image of 1.2.3", reason="not sent"),),
        dangling=(Dangling(uid="1.8", level="instance", relation="dose", referenced_by="1.2.3"),),
        plans=(PlanReport(sop_instance_uid="1.2.3", label="A", outcome="selected"),),
    )

    open_export_folder(tmp_path).write(REQUEST, partial, store)

    text = (tmp_path / "manifest.json").read_text()
    assert "CANARY" not in text
    written = json.loads(text)
    assert written["state"] == "partial"
    assert written["missing"] == [
        {
            "uid": "1.9",
            "level": "instance",
            "modality": "CT",
            "why": "image of 1.2.3",
            "reason": "not sent",
        }
    ]
    assert [one["uid"] for one in written["dangling"]] == ["1.8"]
    assert written["request"]["plan_label"] == "A"


def test_every_version_in_the_store_is_exported_and_only_one_is_newest(
    store: DirectoryStore, tmp_path: Path
) -> None:
    landed(store, "1.2.3", b"old")
    item = landed(store, "1.2.3", b"new")

    manifest = open_export_folder(tmp_path / "out").write(REQUEST, report(item), store)

    files = files_of(tmp_path / "out")
    assert sorted(body for name, body in files.items() if name.endswith(".dcm")) == [b"new", b"old"]
    assert [entry.newest for entry in manifest.instances].count(True) == 1
    assert (manifest.counts.instances, manifest.counts.files) == (1, 2)


def test_a_second_retrieval_finds_the_files_of_the_first_in_its_store(
    store: DirectoryStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    item = landed(store, "1.2.3", b"plan")
    open_export_folder(out).write(REQUEST, report(item), store)
    empty = DirectoryStore(tmp_path / "second")

    seeded = open_export_folder(out).seed(empty)

    assert seeded == 1
    assert empty.get(item.object_key) == b"plan"


@pytest.mark.parametrize("damage", [b"", b"pla", b"plan!"])
def test_a_file_that_is_not_what_the_manifest_says_is_not_taken_for_landed(
    store: DirectoryStore, tmp_path: Path, damage: bytes
) -> None:
    out = tmp_path / "out"
    item = landed(store, "1.2.3", b"plan")
    open_export_folder(out).write(REQUEST, report(item), store)
    (out / "RP.1.2.3.dcm").write_bytes(damage)
    empty = DirectoryStore(tmp_path / "second")

    folder = open_export_folder(out)

    assert folder.seed(empty) == 0
    assert list(empty.list("")) == []
    folder.write(REQUEST, report(item), store)
    assert (out / "RP.1.2.3.dcm").read_bytes() == b"plan"


@pytest.mark.parametrize("name", ["../secret", "", "..", "sub/x.dcm"])
def test_a_manifest_cannot_lead_out_of_the_folder(
    store: DirectoryStore, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    manifest = open_export_folder(out).write(REQUEST, report(landed(store, "1.2", b"x")), store)
    (tmp_path / "secret").write_bytes(b"x")
    (out / "sub").mkdir()
    (out / "sub" / "x.dcm").write_bytes(b"x")
    rewrite(out, manifest, file=name)

    assert open_export_folder(out).found == {}


def test_a_manifest_with_a_uid_that_is_none_is_not_trusted(
    store: DirectoryStore, tmp_path: Path
) -> None:
    manifest = open_export_folder(tmp_path).write(
        REQUEST, report(landed(store, "1.2", b"x")), store
    )
    rewrite(tmp_path, manifest, study_instance_uid="../..")

    assert open_export_folder(tmp_path).found == {}


def rewrite(folder: Path, manifest: Manifest, **changes: str) -> None:
    changed = json.loads(manifest.model_dump_json())
    changed["instances"][0].update(changes)
    (folder / "manifest.json").write_text(json.dumps(changed))


def test_files_of_another_plan_stay_and_are_listed_as_such(
    store: DirectoryStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    open_export_folder(out).write(REQUEST, report(landed(store, "1.2.3", b"first")), store)

    second = landed(store, "1.2.4", b"second")
    manifest = open_export_folder(out).write(REQUEST, report(second), store)

    assert [entry.file for entry in manifest.instances] == ["RP.1.2.4.dcm"]
    assert [entry.file for entry in manifest.other_files] == ["RP.1.2.3.dcm"]
    assert open_export_folder(out).seed(DirectoryStore(tmp_path / "third")) == 2


def test_an_unchanged_file_is_not_written_again(store: DirectoryStore, tmp_path: Path) -> None:
    item = landed(store, "1.2.3", b"plan")
    open_export_folder(tmp_path / "out").write(REQUEST, report(item), store)
    before = (tmp_path / "out" / "RP.1.2.3.dcm").stat()

    open_export_folder(tmp_path / "out").write(REQUEST, report(item), store)

    after = (tmp_path / "out" / "RP.1.2.3.dcm").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_object_that_is_not_what_its_key_says_is_not_exported(
    store: DirectoryStore, tmp_path: Path
) -> None:
    item = landed(store, "1.2.3", b"plan")
    [path] = (tmp_path / "store").rglob("*.dcm")
    path.chmod(0o600)
    path.write_bytes(b"rotten")

    with pytest.raises(Unreadable):
        open_export_folder(tmp_path / "out").write(REQUEST, report(item), store)

    assert not (tmp_path / "out" / "RP.1.2.3.dcm").exists()


def test_a_write_that_fails_leaves_what_was_there_and_no_part(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(OSError):  # noqa: PT011 - which one differs from system to system
        write_atomically(tmp_path / "taken", b"x")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_that_cannot_be_made_is_a_problem_in_words(
    store: DirectoryStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(CommandProblem) as problem:
        open_export_folder(tmp_path / "file" / "out").write(REQUEST, report(), store)

    assert "cannot be written" in problem.value.words


def test_the_work_folder_goes_when_all_is_done_and_stays_when_it_is_not(tmp_path: Path) -> None:
    with work_folder(tmp_path) as work:
        work.ledger("a").write(b"1")
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(KeyboardInterrupt):
        write_and_stop(tmp_path)
    assert not is_occupied(tmp_path)

    with work_folder(tmp_path) as work:
        assert work.ledger("a").read() == b"2"
        assert work.ledger("b").read() is None


def write_and_stop(folder: Path) -> None:
    with work_folder(folder) as work:
        work.ledger("a").write(b"2")
        raise KeyboardInterrupt


def test_two_commands_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with (
        work_folder(tmp_path),
        pytest.raises(CommandProblem) as problem,
        work_folder(tmp_path),
    ):
        pass

    assert "Another dicomtools writes into" in problem.value.words


def test_a_folder_with_files_is_occupied_and_an_absent_one_is_not(tmp_path: Path) -> None:
    assert not is_occupied(tmp_path / "absent")
    assert not is_occupied(tmp_path)
    (tmp_path / "x").write_bytes(b"")
    assert is_occupied(tmp_path)
