"""The factory itself: every object can be written, read by pydicom, and is what it says."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from tests import factories

SINGLE = {
    "ct": factories.ct(),
    "cone beam": factories.cone_beam(),
    "mr": factories.mr(),
    "pet": factories.pet(),
    "structure set": factories.structure_set(),
    "plan": factories.plan(),
    "halcyon plan": factories.halcyon_plan(),
    "ion plan": factories.ion_plan(),
    "brachy plan": factories.brachy_plan(),
    "dose": factories.dose(),
    "drr": factories.rt_image(),
    "portal image": factories.rt_image(kind="PORTAL"),
    "beams record": factories.record(),
    "ion record": factories.record("ion"),
    "brachy record": factories.record("brachy"),
    "summary record": factories.record("summary"),
    "registration": factories.registration(),
    "deformable registration": factories.registration(deformable=True),
    "secondary capture": factories.secondary_capture(),
    "report": factories.report(),
}


@pytest.mark.parametrize("name", SINGLE)
def test_every_object_survives_writing_and_reading(name: str) -> None:
    dataset = SINGLE[name]

    again = pydicom.dcmread(BytesIO(factories.part10(dataset)))

    assert again == dataset
    assert again.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_no_two_objects_share_a_sop_instance_uid() -> None:
    uids = [dataset.SOPInstanceUID for dataset in SINGLE.values()]

    assert len(set(uids)) == len(uids)


def test_the_default_objects_reference_each_other() -> None:
    plan, structures, dose = factories.plan(), factories.structure_set(), factories.dose()

    referenced = plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID
    assert referenced == structures.SOPInstanceUID
    assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
    contour = structures.ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in factories.CT_UIDS


def test_oddities_leave_the_original_alone() -> None:
    plan = factories.plan()
    before = factories.encoded(plan)

    factories.without(plan, "BeamSequence")
    factories.empty(plan, "BeamSequence")
    factories.unknown_uid(plan, "ReferencedStructureSetSequence")
    factories.twice_referenced(plan, "ReferencedStructureSetSequence", factories.PLAN_CLASS)
    factories.latin1_without_character_set(plan)
    factories.iso_2022_name(plan)
    factories.versions(plan, 2)

    assert factories.encoded(plan) == before


def test_an_unknown_uid_is_written_as_it_is() -> None:
    odd = factories.unknown_uid(factories.plan(), "ReferencedStructureSetSequence")

    assert b"UNKNOWN\0" in factories.encoded(odd)


def test_names_in_other_character_sets_are_readable_where_declared() -> None:
    odd = factories.iso_2022_name(factories.plan())

    again = pydicom.dcmread(BytesIO(factories.part10(odd)))

    assert str(again.PatientName.ideographic) == "山田^太郎"
    assert b"\xe9" in factories.encoded(factories.latin1_without_character_set(factories.plan()))


def test_versions_share_a_uid_and_differ_in_bytes() -> None:
    first, second = factories.versions(factories.dose(), 2)

    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert factories.encoded(first) != factories.encoded(second)


def test_a_plan_without_beams_has_the_sequence_and_no_item() -> None:
    odd = factories.plan_without_beams()

    assert "BeamSequence" in odd
    assert not odd.BeamSequence


@pytest.mark.parametrize("header", [True, False])
def test_files_are_written_with_and_without_part_10_header(tmp_path: Path, header: bool) -> None:
    datasets: list[Dataset] = [factories.plan(), factories.dose()]

    paths = factories.write_files(tmp_path / "files", datasets, header=header)

    read = [pydicom.dcmread(path, force=True) for path in paths]
    assert [one.SOPInstanceUID for one in read] == [one.SOPInstanceUID for one in datasets]
    assert all((path.read_bytes()[128:132] == b"DICM") is header for path in paths)
