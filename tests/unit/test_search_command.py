"""`dicomtools search`: options and exit codes, what is printed, what is remembered."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.export import MANIFEST_NAME
from dicomcore.query import Query, parse_term
from dicomcore.tagpath import print_path
from dicomtools.demo.patients import small_patient
from dicomtools.folder import listing
from dicomtools.folder.cache import KEPT_DAYS, FolderCache, forget_old
from dicomtools.folder.forked import read_forked
from dicomtools.folder.listing import list_files
from dicomtools.folder.opened import OpenFile
from dicomtools.folder.performing import Performer
from dicomtools.folder.reading import FolderReading, How
from dicomtools.folder.spread import read_all
from dicomtools.folder.tasks import HeaderTask, Outcome, ValuesTask
from dicomtools.main import main
from dicomtools.search import Answers
from dicomtools.settings import cache_folder
from tests.unit import matching_oracle as oracle

PATIENTS = [small_patient(patient_id=name) for name in ("Phantom-1", "Phantom-2")]
YESTERDAY = time.time() - 86400
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions are the folder's there")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made-up patients in folders of their own, and a file that is no DICOM."""
    root = tmp_path_factory.mktemp("searched")
    for patient in PATIENTS:
        for number, instance in enumerate(patient.instances):
            ds = instance.dataset
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = (
                ExplicitVRLittleEndian if number % 2 else ImplicitVRLittleEndian
            )
            letters = {"RTPLAN": "RP", "RTSTRUCT": "RS"}.get(instance.modality, instance.modality)
            path = root / patient.patient_id / f"{letters}.{instance.ref.sop_instance_uid}.dcm"
            path.parent.mkdir(exist_ok=True)
            ds.save_as(path, enforce_file_format=True)
    (root / "notes.txt").write_text("no DICOM")
    for path in root.rglob("*"):
        os.utime(path, (YESTERDAY, YESTERDAY))
    return root


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    shutil.copytree(original, tmp_path / "files")
    return tmp_path / "files"


def instances(number: int) -> list[str]:
    return [i.modality for i in PATIENTS[number].instances]


# ── what is printed, and exit codes ─────────────────────────────────────────────────────────


def test_the_manuals_first_example(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tag", "(0010,0020)=Phantom-1", "--tag", "(0008,0060)=?", "--path", str(folder)]

    code = main(["search", *words, "--searchPattern", "*.dcm", "--showStatistics"])

    out = capsys.readouterr().out
    modalities = instances(0)
    assert code == 0
    assert f"Found {len(modalities)} of {len(modalities) + len(instances(1))} files\n" in out
    assert out.count(f"{folder / 'Phantom-1'}{os.sep}") == len(modalities)
    assert "Phantom-2" not in out
    assert out.count("  Modality (0008,0060) = CT\n") == modalities.count("CT")
    assert f"{modalities.count('CT'):>10}  CT\n" in out


def test_the_manuals_second_example(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tag", "(300A,00B0)/(300A,00B2)=?", "--path", str(folder)]

    code = main(["search", *words, "--searchPattern", "RP*.dcm", "--showStatistics"])

    out = capsys.readouterr().out
    plans = (instances(0) + instances(1)).count("RTPLAN")
    assert code == 0
    assert f"Found {plans} of {plans} files\n" in out
    assert "(300A,00B0)/(300A,00B2): 1 different value\n" in out
    assert f"{plans:>10}  DEMO_LINAC\n" in out


def test_folders_are_listed_once_with_the_values_of_their_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tag", "PatientID=Phantom*", "Modality=?", "--path", str(folder)]

    code = main(["search", *words, "--showOnlyDirectories"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line for line in lines if not line.startswith(" ")] == [
        str(folder / "Phantom-1"),
        str(folder / "Phantom-2"),
    ]
    assert set(lines[1].partition(" = ")[2].split("\\")) == set(instances(0))


def test_every_tag_must_match_in_the_same_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tag", "Modality=CT", "--tag", "RTPlanLabel=*", "--path", str(folder)]

    assert main(["search", *words]) == 2
    assert capsys.readouterr().out == ""


def test_files_that_are_no_dicom_are_named_and_not_fatal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--tag", "PatientID=*", "--path", str(folder)]) == 0

    err = capsys.readouterr().err
    assert err.startswith("1 file is no DICOM or cannot be read:\n")
    assert "notes.txt" in err


def test_a_tag_that_is_not_understood_is_pointed_at_with_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["search", "--tag", "(300A,00B0/(300A,00B2)=?", "--path", str(folder)])

    assert code == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  (300A,00B0/(300A,00B2)=?",
        "            ^ expected: ')'",
    ]


def test_a_folder_that_is_not_there_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--tag", "PatientID=*", "--path", "no-such-folder"]) == 1
    assert "There is no folder" in capsys.readouterr().err


def test_tags_may_come_from_options_json(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("options.json").write_text(
        '{"SearchTagOptions": {"Tag": ["Modality=RTSTRUCT"], "Path": "files"}}', encoding="utf-8"
    )

    assert main(["search"]) == 0
    assert capsys.readouterr().out.count(".dcm\n") == 2


def test_values_from_files_cannot_speak_to_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [path, *_] = (folder / "Phantom-1").glob("RP*")
    ds = dcmread(path)
    ds.RTPlanLabel = "a\x1b[31m"
    ds.save_as(path)

    assert main(["search", "--tag", "RTPlanLabel=a*", "RTPlanLabel=?", "--path", str(folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out


# ── the same as brute force, with any number of processes ───────────────────────────────────


@pytest.mark.parametrize(
    "texts",
    [
        ["Modality=?", "PatientID=Phantom-1"],
        ["BeamSequence/BeamName=?", "BeamSequence/TreatmentMachineName=DEMO*"],
        ["BeamSequence/BeamNumber=1", "BeamSequence/ControlPointSequence/GantryAngle=?"],
        ["SliceLocation=..0"],
        ["ImagePositionPatient=0..", "InstanceNumber=?"],
        ["StudyDate=2024", "SeriesDescription=*e*"],
    ],
)
def test_a_search_finds_what_pydicom_finds(folder: Path, texts: list[str]) -> None:
    query = Query(map(parse_term, texts))
    task = ValuesTask(tuple(map(print_path, query.paths)))
    answers = Answers(query, task)

    found = {
        entry.path: answers.of(outcome.body)
        for entry, outcome in FolderReading(str(folder), task, How(pattern="*.dcm", processes=1))
    }

    for path, told in found.items():
        ds = dcmread(path)
        assert (told is not None) == oracle.holds(ds, query.terms)
        if told is not None:
            assert list(map(set, told)) == oracle.told(ds, query.terms)


@pytest.mark.parametrize("task", [ValuesTask(("(0010,0020)",)), HeaderTask()])
def test_several_processes_read_the_same_in_the_same_order(
    folder: Path, task: ValuesTask | HeaderTask
) -> None:
    paths = 3 * [entry.path for entry in list_files(str(folder))]

    alone = list(read_all(task, paths, processes=1, with_heads=True))
    together = list(read_all(task, paths, processes=2, with_heads=True, alone_s=0))

    assert len(paths) > 64
    assert together == alone


# ── what is remembered ──────────────────────────────────────────────────────────────────────


class Counting:
    """A task that counts what it reads."""

    def __init__(self) -> None:
        self.key = "counting"
        self.read_files = 0

    def read(self, file: OpenFile) -> bytes:
        self.read_files += 1
        return str(file.size_bytes).encode()

    def quick(self) -> None:
        return None

    def from_head(self, head: bytes) -> bytes | None:
        return None


def read_folder(folder: Path, cache: Path | None, pattern: str = "*.*") -> tuple[int, list[bytes]]:
    task = Counting()
    reading = FolderReading(str(folder), task, How(pattern, processes=1, cache_root=cache))
    bodies = [outcome.body for _, outcome in reading]
    return task.read_files, bodies


def test_a_second_run_reads_nothing_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "kept"

    first, bodies = read_folder(folder, cache)
    second, again = read_folder(folder, cache)

    assert first == len(bodies) > 40
    assert second == 0
    assert again == bodies


def test_other_tags_of_images_are_answered_without_their_files(folder: Path) -> None:
    words = ["--path", str(folder), "--searchPattern", "CT*"]
    assert main(["search", "--tag", "PatientID=?", *words]) == 0
    task = ValuesTask(("(0008,0060)",))
    cache = FolderCache(cache_folder() / "folders", str(folder))
    entries = {str(Path(e.path).relative_to(folder)): e for e in list_files(str(folder), "CT*")}

    heads = cache.heads(entries)

    assert heads.keys() == entries.keys()
    assert {task.from_head(head) for head in heads.values()} == {b'[["CT"],[]]'}
    assert all(HeaderTask().from_head(head) for head in heads.values())
    assert ValuesTask(("(7FE1,1000)",)).from_head(next(iter(heads.values()))) is None


def test_what_has_changed_come_or_gone_is_noticed(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "kept"
    total, _ = read_folder(folder, cache)
    [changed, gone, *_] = sorted((folder / "Phantom-1").iterdir())
    changed.write_bytes(changed.read_bytes() + b"\0\0")
    shutil.copy2(gone, folder / "new.dcm")
    gone.unlink()

    read, bodies = read_folder(folder, cache)

    assert read == 2  # the changed one and the new one
    assert len(bodies) == total
    assert str(changed.stat().st_size).encode() in bodies
    [database] = cache.glob("*.sqlite")
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM answer WHERE name = ?", (os.fsencode(gone.relative_to(folder)),)
        )
        assert rows.fetchone() == (0,)
    connection.close()


def test_the_same_size_at_another_time_is_another_file(folder: Path, tmp_path: Path) -> None:
    read_folder(folder, tmp_path / "kept")
    [one, *_] = (folder / "Phantom-1").iterdir()
    os.utime(one, (YESTERDAY + 60, YESTERDAY + 60))

    assert read_folder(folder, tmp_path / "kept")[0] == 1


def test_a_file_that_has_just_changed_is_not_remembered_yet(folder: Path, tmp_path: Path) -> None:
    [one, *_] = (folder / "Phantom-1").iterdir()
    later = time.time() + 3600  # whatever this run takes, it is "just now"
    os.utime(one, (later, later))
    read_folder(folder, tmp_path / "kept")

    assert read_folder(folder, tmp_path / "kept")[0] == 1


def test_a_pattern_forgets_nothing_that_it_does_not_list(folder: Path, tmp_path: Path) -> None:
    read_folder(folder, tmp_path / "kept")
    read_folder(folder, tmp_path / "kept", "RP*")

    assert read_folder(folder, tmp_path / "kept")[0] == 0


def test_without_a_cache_nothing_is_written(folder: Path) -> None:
    assert main(["search", "--tag", "PatientID=?", "--path", str(folder), "--noCache"]) == 0
    assert main(["show", "--path", str(folder), "--noCache"]) == 0

    assert not cache_folder().exists()
    assert not [path for path in folder.rglob("*") if "sqlite" in path.name]


@POSIX
def test_what_is_kept_is_for_its_owner_only(folder: Path) -> None:
    assert main(["search", "--tag", "PatientID=?", "--path", str(folder)]) == 0

    kept = cache_folder() / "folders"
    [database] = kept.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert "Phantom" not in database.name


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_cache_is_as_good_as_none(folder: Path, damage: bytes) -> None:
    words = ["search", "--tag", "PatientID=?", "--path", str(folder)]
    assert main(words) == 0
    [database] = (cache_folder() / "folders").iterdir()
    database.write_bytes(damage)

    assert main(words) == 0
    assert main(words) == 0


def test_a_cache_of_another_version_is_emptied(folder: Path, tmp_path: Path) -> None:
    read_folder(folder, tmp_path / "kept")
    [database] = (tmp_path / "kept").iterdir()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert read_folder(folder, tmp_path / "kept")[0] > 0
    assert read_folder(folder, tmp_path / "kept")[0] == 0


def test_a_cache_that_cannot_be_kept_stops_nobody(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")

    assert read_folder(folder, tmp_path / "kept")[0] > 0


def test_caches_that_nobody_uses_are_forgotten(tmp_path: Path) -> None:
    for name, days in (("old.sqlite", KEPT_DAYS + 1), ("used.sqlite", 1), ("other.txt", 99)):
        (tmp_path / name).write_bytes(b"")
        then = time.time() - days * 86400
        os.utime(tmp_path / name, (then, then))

    forget_old(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.txt", "used.sqlite"]


@pytest.mark.parametrize(
    ("system", "variables", "end"),
    [
        ("linux", {}, ".cache/dicomtools"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/dicomtools"),
        ("darwin", {}, "Library/Caches/dicomtools"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/dicomtools/Cache"),
        ("win32", {}, "AppData/Local/dicomtools/Cache"),
    ],
)
def test_caches_are_where_the_system_has_them(
    system: str, variables: dict[str, str], end: str
) -> None:
    assert cache_folder(variables, system).as_posix().endswith(end)


# ── files ───────────────────────────────────────────────────────────────────────────────────


def test_manifests_are_left_out_by_the_name_they_have() -> None:
    assert listing.MANIFEST == MANIFEST_NAME


@POSIX
def test_what_is_no_regular_file_or_may_not_be_listed_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.dcm").symlink_to("nowhere")

    assert [Path(entry.path).name for entry in list_files(str(tmp_path))] == ["a.dcm"]
    assert list(list_files(str(tmp_path / "gone"))) == []


def test_a_file_that_goes_away_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    [outcome] = read_all(HeaderTask(), [str(tmp_path / "gone")], processes=1, with_heads=False)

    assert outcome == Outcome(problem="No such file or directory")


# ── several processes ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class DeadlyTask:
    """A task that kills whichever process carries it out, but for one."""

    survivor: int

    @property
    def key(self) -> str:
        return "deadly"

    def read(self, file: OpenFile) -> bytes:
        if os.getpid() != self.survivor:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(file.size_bytes).encode()

    def quick(self) -> None:
        return None

    def from_head(self, head: bytes) -> bytes | None:
        return None


def numbered_files(folder: Path, number: int) -> list[str]:
    folder.mkdir()
    for length in range(number):
        (folder / f"{length}.dcm").write_bytes(bytes(length))
    return [str(folder / f"{length}.dcm") for length in range(number)]


def own_children() -> set[str]:
    """Processes that this one started and that have not been waited for."""
    found = set()
    for facts in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended in between
            parent = facts.read_text().rpartition(")")[2].split()[1]
            found |= {facts.parent.name} if parent == str(os.getpid()) else set()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="forks are taken on Linux only")
def test_what_a_killed_process_took_is_read_all_the_same(tmp_path: Path) -> None:
    paths = numbered_files(tmp_path / "files", 300)
    performer = Performer(DeadlyTask(os.getpid()), with_heads=False)

    outcomes = list(read_forked(performer, paths, helpers=3))

    assert [outcome.body for outcome in outcomes] == [str(n).encode() for n in range(300)]


@pytest.mark.skipif(sys.platform != "linux", reason="forks are taken on Linux only")
def test_who_has_seen_enough_leaves_no_process_behind(tmp_path: Path) -> None:
    paths = numbered_files(tmp_path / "files", 3000)
    before = own_children()
    outcomes = read_forked(Performer(Counting(), with_heads=False), paths, helpers=3)

    assert [next(outcomes).body for _ in range(3)] == [b"0", b"1", b"2"]
    assert len(own_children() - before) == 3
    outcomes.close()

    assert own_children() <= before


def test_processes_that_start_from_scratch_read_the_same(folder: Path) -> None:
    paths = 2 * [entry.path for entry in list_files(str(folder))]
    task = ValuesTask(("(0008,0018)", "(0010,0020)"))
    alone = list(read_all(task, paths, processes=1, with_heads=True))
    release = threading.Event()
    another = threading.Thread(target=release.wait)  # with two threads there is no fork
    another.start()
    try:
        together = list(read_all(task, paths, processes=2, with_heads=True, alone_s=0))
    finally:
        release.set()
        another.join()

    assert together == alone
