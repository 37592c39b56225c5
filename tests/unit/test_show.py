"""`dicomtools show`: every DICOM file below a folder as tree or list, everything else counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomtools.demo.patients import small_patient
from dicomtools.headers import files_below, read_headers
from dicomtools.main import main

PATIENT = small_patient(patient_id="SHOWN")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up patient as files in two folders, with what is no DICOM between them."""
    root = tmp_path_factory.mktemp("shown")
    for number, instance in enumerate(PATIENT.instances):
        below = root / ("deep/er" if number % 2 else "top")
        below.mkdir(parents=True, exist_ok=True)
        instance.dataset.file_meta = FileMetaDataset()
        instance.dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = f"{instance.modality}.{instance.ref.sop_instance_uid}"
        instance.dataset.save_as(below / f"{name}.DCM", enforce_file_format=True)
    (root / "notes.txt").write_text("no DICOM")
    (root / "cut.dcm").write_bytes((b"\0" * 128 + b"DICM" + b"\x08\x00")[:133])
    (root / "manifest.json").write_text("{}")
    (root / ".dicomtools").mkdir()
    (root / ".dicomtools" / "object.dcm").write_bytes(b"half")
    return root


def test_the_tree_names_every_plan_and_the_files_that_are_none_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["show", "--path", str(folder)])

    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.startswith("Patient: SHOWN\n")
    for plan in PATIENT.plans:
        assert plan.label in shown.out
    assert "2 files are not shown:" in shown.err
    assert "notes.txt" in shown.err
    assert "manifest.json" not in shown.err


def test_the_list_has_a_line_for_every_instance_with_its_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["show", "--path", str(folder), "--format", "flat"])

    out = capsys.readouterr().out
    assert code == 0
    for instance in PATIENT.instances:
        assert out.count(f"{instance.modality}.{instance.ref.sop_instance_uid}.DCM") == 1


def test_a_pattern_chooses_files_and_case_does_not_matter(folder: Path) -> None:
    plans = list(files_below(folder, "rtplan*.dcm"))

    assert len(plans) == len(PATIENT.plans)
    assert all(path.name.startswith("RTPLAN") for path in plans)


def test_the_usual_pattern_is_every_file_also_without_a_dot(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(b"")
    (tmp_path / "b.dcm").write_bytes(b"")

    assert [path.name for path in files_below(tmp_path, "*.*")] == ["IM0001", "b.dcm"]


def test_two_files_of_one_instance_are_both_listed(folder: Path, tmp_path: Path) -> None:
    one = next(files_below(folder, "RTPLAN*"))
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(one.read_bytes())

    (paths,) = read_headers(files_below(tmp_path)).paths.values()

    assert [Path(path).name for path in paths] == ["a.dcm", "b.dcm"]


def test_a_folder_without_dicom_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text("x")

    assert main(["show", "--path", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "and 2 more" in told
    assert "nothing to show" in told


def test_a_folder_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--path", "no-such-folder"]) == 1
    assert "There is no folder" in capsys.readouterr().err
