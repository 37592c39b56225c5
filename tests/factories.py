"""Made-up patients and single objects for every suite, and the oddities that real archives hold.

Nobody's data. Patients come from `dicomtools.demo`; each hands over, beside its instances, what its
maker attached to each plan (`MadeUpPatient.closure`), written down while making and not read back:
an oracle that knows nothing of our readers or planner.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from dicomtools.demo.builders import (
    brachy_plans,
    doses,
    images,
    ion_plans,
    photon_plans,
    plans,
    records,
    registrations,
    structures,
)
from dicomtools.demo.builders.base import ImageSet, Person, Series, Study, item, reference
from dicomtools.demo.identity import made_up_uid
from dicomtools.demo.made_up import MadeUpInstance, MadeUpPatient, MadeUpPlan, Role
from dicomtools.demo.patients import small_patient, twelve_plans
from dicomtools.demo.sizes import SMALL, Sizes

__all__ = [
    "MATRIX",
    "SMALL",
    "MadeUpInstance",
    "MadeUpPatient",
    "MadeUpPlan",
    "Role",
    "Sizes",
    "made_up_uid",
    "small_patient",
    "small_twelve_plans",
    "twelve_plans",
]

MATRIX = 32
"""Rows and columns of single images."""
SOMEONE = Person("DEMO-1", "DEMO^ONE")
STUDY = Study(made_up_uid("factories", "study"), "20240101", "Factories", "F1")
FRAME = made_up_uid("factories", "frame")
STRUCTURE_SET_UID = made_up_uid("factories", "structure set")
PLAN_UID = made_up_uid("factories", "plan")
PLAN_CLASS = "1.2.840.10008.5.1.4.1.1.481.5"
_REFERENCED_UID = Tag(0x0008, 0x1155)
CT_UIDS = tuple(made_up_uid("factories", "ct", index) for index in range(3))


def small_twelve_plans(*, seed: int = 1) -> MadeUpPatient:
    """Return the patient of twelve plans, 120 instances and half a megabyte."""
    return twelve_plans(sizes=SMALL, seed=seed)


# ── single objects: they belong together by their default UIDs ──────────────────────────────


def series(modality: str, *, frame: str = FRAME) -> Series:
    """Return a series of the default study; one for each modality."""
    uid = made_up_uid("factories", "series", modality, frame)
    return Series(STUDY, uid, modality, f"{modality} of the factory", 1, frame)


def ct_series() -> ImageSet:
    """Return the default CT series as others reference it."""
    return ImageSet(series("CT"), CTImageStorage, CT_UIDS, (-3.0, 0.0, 3.0))


def ct(*, index: int = 0, person: Person = SOMEONE) -> Dataset:
    """Return one slice of the default CT series."""
    at = images.Slice(CT_UIDS[index], index, 3.0 * (index - 1), 3.0, MATRIX)
    return images.ct_slice(person, series("CT"), at)


def cone_beam(*, plan_uid: str | None = PLAN_UID, index: int = 0) -> Dataset:
    """Return a cone-beam slice in a frame of its own; None: it names no plan."""
    other = series("CT", frame=made_up_uid("factories", "cone-beam frame"))
    at = images.Slice(made_up_uid("factories", "cone-beam", index), index, 0.0, 3.0, MATRIX)
    plan_key = (PLAN_CLASS, plan_uid) if plan_uid else None
    return images.cone_beam_slice(SOMEONE, other, at, plan_key)


def mr(*, index: int = 0, frame: str = FRAME) -> Dataset:
    """Return one MR slice."""
    at = images.Slice(made_up_uid("factories", "mr", index), index, 0.0, 3.0, MATRIX)
    return images.mr_slice(SOMEONE, series("MR", frame=frame), at)


def pet(*, index: int = 0, frame: str = FRAME) -> Dataset:
    """Return one PET slice."""
    at = images.Slice(made_up_uid("factories", "pet", index), index, 0.0, 3.0, MATRIX)
    return images.pet_slice(SOMEONE, series("PT", frame=frame), at, slices=1)


def structure_set(*, label: str = "SS_1") -> Dataset:
    """Return the structure set on the default CT series."""
    return structures.structure_set(
        SOMEONE, series("RTSTRUCT"), STRUCTURE_SET_UID, label=label, images=ct_series()
    )


def plan_spec(label: str = "PLAN_1", approval_status: str = "APPROVED") -> plans.PlanSpec:
    """Return what the default plan says: two beams, the default structure set."""
    return plans.PlanSpec(label, approval_status, structure_set_uid=STRUCTURE_SET_UID)


def plan(spec: plans.PlanSpec | None = None, *, uid: str = PLAN_UID) -> Dataset:
    """Return an RT Plan."""
    return photon_plans.photon_plan(SOMEONE, series("RTPLAN"), uid, spec or plan_spec())


def halcyon_plan(spec: plans.PlanSpec | None = None) -> Dataset:
    """Return a plan of Halcyon's private class."""
    uid = made_up_uid("factories", "halcyon")
    return photon_plans.halcyon_plan(SOMEONE, series("RTPLAN"), uid, spec or plan_spec())


def ion_plan(spec: plans.PlanSpec | None = None) -> Dataset:
    """Return an RT Ion Plan."""
    uid = made_up_uid("factories", "ion plan")
    return ion_plans.ion_plan(SOMEONE, series("RTPLAN"), uid, spec or plan_spec())


def brachy_plan(spec: plans.PlanSpec | None = None) -> Dataset:
    """Return an RT Plan with application setups and no beams."""
    uid = made_up_uid("factories", "brachy plan")
    return brachy_plans.brachy_plan(SOMEONE, series("RTPLAN"), uid, spec or plan_spec())


def dose(*, plan_uids: Iterable[str] = (PLAN_UID,), summation_type: str = "PLAN") -> Dataset:
    """Return an RT Dose; without plans it names the structure set only."""
    keys = tuple((PLAN_CLASS, uid) for uid in plan_uids)
    spec = doses.DoseSpec(summation_type, keys, STRUCTURE_SET_UID)
    uid = made_up_uid("factories", "dose", *keys)
    return doses.dose(SOMEONE, series("RTDOSE"), uid, spec, doses.Grid(3, 16, 32))


def rt_image(*, kind: str = "DRR", plan_uid: str | None = PLAN_UID) -> Dataset:
    """Return an RT Image of beam 1."""
    key = (PLAN_CLASS, plan_uid) if plan_uid else None
    fraction = None if kind == "DRR" else 1
    spec = records.ImageSpec(f"{kind} 1", kind, MATRIX, MATRIX, 1, key, fraction)
    return records.rt_image(SOMEONE, series("RTIMAGE"), made_up_uid("factories", kind), spec)


def record(build: str = "beams", *, fraction: int = 1, plan_uid: str = PLAN_UID) -> Dataset:
    """Return a treatment record: `beams`, `ion`, `brachy` or `summary`."""
    make = {
        "beams": records.beams_record,
        "ion": records.ion_record,
        "brachy": records.brachy_record,
        "summary": records.summary_record,
    }[build]
    spec = records.RecordSpec((PLAN_CLASS, plan_uid), fraction, 2)
    uid = made_up_uid("factories", "record", build, fraction)
    return make(SOMEONE, series("RTRECORD"), uid, spec)


def registration(*, deformable: bool = False) -> Dataset:
    """Return a registration of the default MR slice onto the default CT series."""
    other = series("MR", frame=made_up_uid("factories", "mr frame"))
    moving = ImageSet(other, mr().SOPClassUID, (mr().SOPInstanceUID,), (0.0,))
    build = (
        registrations.deformable_registration if deformable else registrations.spatial_registration
    )
    uid = made_up_uid("factories", "registration", deformable)
    return build(SOMEONE, series("REG"), uid, fixed=ct_series(), moving=moving)


def secondary_capture() -> Dataset:
    """Return a screenshot."""
    uid = made_up_uid("factories", "capture")
    return images.secondary_capture(SOMEONE, series("OT", frame=""), uid, rows=MATRIX)


def report() -> Dataset:
    """Return an encapsulated PDF: a class of which we know nothing."""
    return registrations.report(SOMEONE, series("DOC", frame=""), made_up_uid("factories", "doc"))


# ── oddities: each takes a data set and returns a changed copy ──────────────────────────────


def without(dataset: Dataset, *keywords: str) -> Dataset:
    """Return a copy without these attributes at its top level."""
    odd = copy.deepcopy(dataset)
    for keyword in keywords:
        del odd[keyword]
    return odd


def empty(dataset: Dataset, *keywords: str) -> Dataset:
    """Return a copy in which these attributes, or sequences, are present without value."""
    odd = copy.deepcopy(dataset)
    for keyword in keywords:
        odd[keyword].value = Sequence() if odd[keyword].VR == "SQ" else None
    return odd


def unknown_uid(dataset: Dataset, sequence: str) -> Dataset:
    """Return a copy in which the first item of a sequence references the instance `UNKNOWN`."""
    odd = copy.deepcopy(dataset)
    first = odd[sequence].value[0]
    # already converted, because it is no UID and pydicom would say so
    first[_REFERENCED_UID] = DataElement(_REFERENCED_UID, "UI", "UNKNOWN", already_converted=True)
    return odd


def twice_referenced(dataset: Dataset, sequence: str, sop_class_uid: str) -> Dataset:
    """Return a copy with a second item, of another UID, in a sequence that should have one."""
    odd = copy.deepcopy(dataset)
    odd[sequence].value.append(
        reference(sop_class_uid, made_up_uid("factories", "second", sequence))
    )
    return odd


def versions(dataset: Dataset, count: int) -> list[Dataset]:
    """Return data sets of one SOP Instance UID that differ in Software Versions (0018,1020)."""
    made = []
    for number in range(count):
        odd = copy.deepcopy(dataset)
        odd.SoftwareVersions = f"{number}"
        made.append(odd)
    return made


def plan_without_beams() -> Dataset:
    """Return a plan whose Beam Sequence has no items: ARIA lists such and cannot export them."""
    return empty(plan(plan_spec("EMPTY"), uid=made_up_uid("factories", "empty")), "BeamSequence")


def structure_set_without_frames() -> Dataset:
    """Return a structure set that names its slices in the contours only."""
    return without(structure_set(), "ReferencedFrameOfReferenceSequence")


def structure_set_of_series_only() -> Dataset:
    """Return a structure set that names its series and no slice, neither there nor in contours."""
    odd = structure_set()
    study = odd.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    del study.RTReferencedSeriesSequence[0].ContourImageSequence
    for roi in odd.ROIContourSequence:
        for contour in roi.ContourSequence:
            del contour.ContourImageSequence
    return odd


def plan_of_two_fraction_groups() -> Dataset:
    """Return a plan with a second fraction group that delivers beam 2 only."""
    odd = plan(plan_spec("GROUPS"), uid=made_up_uid("factories", "groups"))
    second = item(
        FractionGroupNumber=2,
        NumberOfFractionsPlanned=3,
        NumberOfBeams=1,
        NumberOfBrachyApplicationSetups=0,
        ReferencedBeamSequence=[item(ReferencedBeamNumber=2)],
    )
    odd.FractionGroupSequence.append(second)
    return odd


def latin1_without_character_set(dataset: Dataset) -> Dataset:
    """Return a copy with a name in ISO 8859-1 and no Specific Character Set (0008,0005)."""
    return _named(without(dataset, "SpecificCharacterSet"), b"D\xe9mo^\xc5ngstr\xf6m")


def iso_2022_name(dataset: Dataset) -> Dataset:
    """Return a copy with a Japanese name by code extensions (PS3.5 H.3.1)."""
    odd = copy.deepcopy(dataset)
    odd.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    return _named(odd, b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B")


def wrong_structure_set_class(dataset: Dataset) -> Dataset:
    """Return a copy of a plan whose structure set reference names the class of an image."""
    odd = copy.deepcopy(dataset)
    odd.ReferencedStructureSetSequence[0].ReferencedSOPClassUID = CTImageStorage
    return odd


def _named(odd: Dataset, name: bytes) -> Dataset:
    padded = name + b" " * (len(name) % 2)
    odd[Tag(0x0010, 0x0010)] = RawDataElement(
        Tag(0x0010, 0x0010),
        "PN",
        len(padded),
        padded,
        0,
        is_implicit_VR=False,
        is_little_endian=True,
        is_raw=True,
    )
    return odd


# ── bytes and files ─────────────────────────────────────────────────────────────────────────


def encoded(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Return the encoded data set without Part 10 header, as C-STORE carries it."""
    syntax = UID(transfer_syntax_uid)
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax.is_implicit_VR
    stream.is_little_endian = syntax.is_little_endian
    write_dataset(stream, dataset)
    return stream.getvalue()


def part10(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Return a whole file: preamble, file meta information, data set (PS3.10 7.1)."""
    written = Dataset({element.tag: element for element in dataset.elements()})
    written.file_meta = FileMetaDataset()
    written.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    stream = BytesIO()
    written.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write_files(folder: Path, datasets: Iterable[Dataset], *, header: bool = True) -> list[Path]:
    """Write each data set below `folder`, named by its number; without `header`, bare data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(part10(dataset) if header else encoded(dataset))
        paths.append(path)
    return paths
