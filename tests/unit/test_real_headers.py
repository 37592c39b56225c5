"""Real objects from public repositories, where they are at hand; pydicom is the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicomcore.errors import InvalidInstance, Unreadable
from dicomcore.header import (
    header_from_json,
    header_to_json,
    read_dataset_header,
    read_header,
)
from dicomcore.model import InstanceHeader, Kind, PlanDetails, Relation
from dicomcore.references import ReferenceGraph
from dicomcore.tree import build_trees
from dicomcore.uids import uid_or_none

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "rt"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no real objects beside the repository")

PATHS = sorted(p for p in FOLDER.rglob("*") if p.is_file() and p.suffix != ".csv")
NO_INSTANCE = {
    **dict.fromkeys(("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit"), InvalidInstance),
    **dict.fromkeys(("DICOMDIR-nooffset", "DICOMDIR-nopatient"), InvalidInstance),
    **dict.fromkeys(("DICOMDIR-reordered", "DICOMDIR-empty.dcm"), InvalidInstance),
    **dict.fromkeys(("chrSQEncoding.dcm", "chrSQEncoding1.dcm"), InvalidInstance),
    "no_meta_group_length.dcm": InvalidInstance,
    "nested_priv_SQ.dcm": Unreadable,  # begins with group 0001
    "rtplan_truncated.dcm": Unreadable,
    # line ends were converted in these, as in a text file
    "RI.1.2.246.352.71.3.2088656855.2381134.20110921150951.dcm.v1": Unreadable,
    "RP.1.2.246.352.71.5.2088656855.377401.20110920153647.dcm.v1": Unreadable,
    "RS.1.2.246.352.71.4.2088656855.2404649.20110920153449.dcm.v1": InvalidInstance,
}
INSTANCES = [path for path in PATHS if path.name not in NO_INSTANCE]
NAMES = [str(path.relative_to(FOLDER)) for path in INSTANCES]


def header_of(path: Path) -> InstanceHeader:
    header = read_header(path.read_bytes(), complete=True)
    assert header is not None
    return header


def read_by_pydicom(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, force=True, stop_before_pixels=True)


def referenced(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Every Referenced SOP Instance UID at any depth, with the keyword of its sequence."""
    for element in ds:
        if element.VR == "SQ":
            for part in element.value:
                uid = uid_or_none(part.get("ReferencedSOPInstanceUID", ""))
                if uid is not None:
                    yield element.keyword, uid
                yield from referenced(part)


@pytest.mark.parametrize("path", INSTANCES, ids=NAMES)
def test_header_is_that_of_the_data_set_pydicom_reads(path: Path) -> None:
    header, ds = header_of(path), read_by_pydicom(path)

    assert header == read_dataset_header(ds)
    assert header.ref.sop_instance_uid == ds.SOPInstanceUID
    assert header.ref.study_instance_uid == ds.StudyInstanceUID
    assert header.sop_class_uid == ds.SOPClassUID
    assert header.modality == ds.get("Modality", "")
    assert header.patient_id == str(ds.get("PatientID") or "")
    assert header_from_json(header_to_json(header)) == header


@pytest.mark.parametrize("path", INSTANCES, ids=NAMES)
def test_every_instance_that_is_referenced_anywhere_is_among_the_references(path: Path) -> None:
    # the reference sequences that are none of ours: study and procedure management, diagnostic
    # workflow, real world value mappings
    others = {"ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence"}
    others |= {"RTReferencedStudySequence", "ReferencedPatientSequence", "ReferencedVisitSequence"}
    others |= {"ReferencedImageRealWorldValueMappingSequence", "ReferencedImageEvidenceSequence"}
    ds = read_by_pydicom(path)
    in_functional_groups = {
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    } & set(ds.dir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {uid for keyword, uid in referenced(ds) if keyword not in others}

    found = {reference.uid for reference in header_of(path).references}

    if not in_functional_groups:
        assert expected <= found


@pytest.mark.parametrize("path", INSTANCES, ids=NAMES)
def test_a_beginning_gives_nothing_or_the_whole_header(path: Path) -> None:
    data = path.read_bytes()
    expected = header_of(path)
    # every size at which a ranged read may end, and many at which it does not
    cuts = {*range(0, min(len(data), 4096), 97), *(2**n for n in range(25)), len(data)}

    for cut in sorted(cut for cut in cuts if cut <= len(data)):
        assert read_header(data[:cut], complete=False) in (None, expected)


@pytest.mark.parametrize("name", NO_INSTANCE)
def test_what_is_no_instance_says_why(name: str) -> None:
    [path] = FOLDER.rglob(name)

    with pytest.raises(NO_INSTANCE[name]):
        read_header(path.read_bytes(), complete=True)


def test_images_need_no_pixel_data() -> None:
    images = [h for h in PATHS if "varian_cbct" in str(h) and h.name.startswith("CT.")]
    assert len(images) == 64

    for path in images:
        assert read_header(path.read_bytes()[:8192], complete=False) == header_of(path)


def test_ion_plan_names_its_predecessor_which_dangles() -> None:
    [path] = FOLDER.glob("ion_plan_*/*.dcm")
    header = header_of(path)

    assert header.kind is Kind.PLAN
    assert isinstance(header.details, PlanDetails)
    assert len(header.details.beams) == 4
    dangling = {d.reference.relation: d.reference for d in ReferenceGraph([header]).dangling()}
    assert dangling[Relation.RELATED_PLAN].note == "PREDECESSOR"


def test_three_of_four_reference_images_of_the_prostate_phantom_dangle() -> None:
    folder = next(FOLDER.glob("eclipse8_*")) / "EclipseProstatePhantomRtData"
    graph = ReferenceGraph(header_of(path) for path in folder.glob("*.dcm"))
    [plan] = graph.of_kind(Kind.PLAN)

    assert len(graph.targets(plan, Relation.DRR)) == 1
    missing = [d for d in graph.dangling(plan) if d.reference.relation is Relation.DRR]
    assert len(missing) == 3


def test_monaco_plan_reaches_its_images_without_part_10_headers() -> None:
    headers = [header_of(path) for path in next(FOLDER.glob("monaco_tiny*")).rglob("*.[dD]*")]
    [tree] = build_trees(headers)

    [plan] = tree.plans
    [series] = plan.structure_sets[0].image_series
    assert series.number_of_instances == series.number_referenced == 5
    assert series.missing_uids == ()


def test_same_dose_in_six_encodings_is_one_instance_of_several_versions() -> None:
    doses = [header_of(p) for p in INSTANCES if p.name.startswith("rtdose") and "misc" in str(p)]
    same = [replace(dose, transfer_syntax_uid="") for dose in doses]

    assert len(doses) == 6
    assert len({dose.ref for dose in doses}) == 1
    assert len(set(same)) == 1
    [tree] = build_trees(doses)
    assert tree.number_of_instances == 1
    assert tree.unconnected.doses[0].instance.conflict
