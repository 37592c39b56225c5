"""What each kind of object tells and references, and what its oddities do to it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.header import read_dataset_header, read_header
from dicomcore.model import (
    Beam,
    DoseDetails,
    ImageDetails,
    InstanceHeader,
    Kind,
    Level,
    PlanDetails,
    Prescription,
    RecordDetails,
    Reference,
    RegistrationDetails,
    Relation,
    RtImageDetails,
    StructureSetDetails,
    TreatedBeam,
)
from dicomcore.readers.kinds import kind_of
from tests.unit.dicom_bytes import encode, explicit, implicit, item, part10

Value = object
CT = "1.2.840.10008.5.1.4.1.1.2"
PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
RT_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"
RECORD = "1.2.840.10008.5.1.4.1.1.481.4"


def dataset(**attributes: Value) -> Dataset:
    """A data set or item; a list of mappings or data sets is a sequence."""
    ds = Dataset()
    for keyword, value in attributes.items():
        items = isinstance(value, list) and isinstance(value[0], Dataset)
        setattr(ds, keyword, Sequence(value) if items else value)
    return ds


def instance(sop_class: str, modality: str, attributes: Mapping[str, Value]) -> Dataset:
    return dataset(
        SOPClassUID=sop_class,
        SOPInstanceUID="1.3",
        StudyInstanceUID="1.1",
        SeriesInstanceUID="1.2",
        Modality=modality,
        **attributes,
    )


def header_of(sop_class: str, modality: str, **attributes: Value) -> InstanceHeader:
    """Read from memory and from bytes, which must agree."""
    ds = instance(sop_class, modality, attributes)
    header = read_dataset_header(ds)
    assert read_header(encode(ds, ImplicitVRLittleEndian), complete=True) == header
    return header


def to(uid: str, sop_class: str = "", **more: Value) -> Dataset:
    item = dataset(ReferencedSOPInstanceUID=uid, **more)
    if sop_class:
        item.ReferencedSOPClassUID = sop_class
    return item


def references(header: InstanceHeader) -> set[tuple[Relation, str]]:
    return {(reference.relation, reference.uid) for reference in header.references}


# ── kinds ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sop_class", "modality", "kind"),
    [
        (PLAN, "RTPLAN", Kind.PLAN),
        ("1.2.840.10008.5.1.4.1.1.481.8", "RTPLAN", Kind.PLAN),
        ("1.2.246.352.70.1.70", "RTPLAN", Kind.PLAN),
        ("1.2.246.352.70.1.70", "", Kind.PLAN),
        ("1.2.3.4.5", "RTPLAN", Kind.PLAN),
        ("", "RTDOSE", Kind.DOSE),
        (STRUCTURE_SET, "CT", Kind.STRUCTURE_SET),
        (RT_IMAGE, "", Kind.RT_IMAGE),
        *((f"1.2.840.10008.5.1.4.1.1.481.{n}", "RTRECORD", Kind.RECORD) for n in (4, 6, 7, 9)),
        ("1.2.840.10008.5.1.4.1.1.66.1", "REG", Kind.REGISTRATION),
        ("1.2.840.10008.5.1.4.1.1.66.3", "REG", Kind.REGISTRATION),
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG", Kind.SEGMENTATION),
        (CT, "CT", Kind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.2.1", "CT", Kind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.128", "PT", Kind.IMAGE),
        ("1.2.3.4.5", "MR", Kind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.4.2", "MR", Kind.OTHER),
        ("1.2.840.10008.5.1.4.1.1.66", "CT", Kind.OTHER),
        ("1.2.840.10008.5.1.4.34.7", "PLAN", Kind.OTHER),
        ("1.2.840.10008.5.1.4.1.1.104.1", "OT", Kind.OTHER),
        ("", "", Kind.OTHER),
    ],
)
def test_kind_is_told_by_the_sop_class_and_else_by_the_modality(
    sop_class: str, modality: str, kind: Kind
) -> None:
    assert kind_of(sop_class, modality) is kind


# ── plans ───────────────────────────────────────────────────────────────────────────────────


def test_plan_tells_all_a_physicist_asks_for() -> None:
    header = header_of(
        PLAN,
        "RTPLAN",
        RTPlanLabel="PROST",
        RTPlanName="Prostate",
        PlanIntent="CURATIVE",
        ApprovalStatus="APPROVED",
        RTPlanDate="20240501",
        RTPlanTime="101112",
        RTPlanGeometry="PATIENT",
        FrameOfReferenceUID="1.9",
        DoseReferenceSequence=[
            dataset(
                DoseReferenceDescription="PTV",
                DoseReferenceType="TARGET",
                TargetPrescriptionDose="78",
            )
        ],
        FractionGroupSequence=[
            dataset(NumberOfFractionsPlanned="39"),
            dataset(NumberOfFractionsPlanned=None),
        ],
        BeamSequence=[
            dataset(
                BeamNumber="1",
                BeamName="AP",
                TreatmentDeliveryType="TREATMENT",
                BeamType="DYNAMIC",
                RadiationType="PHOTON",
                TreatmentMachineName="TB1",
                Manufacturer="Maker",
                ManufacturerModelName="TDS",
                NumberOfControlPoints="178",
                ReferencedReferenceImageSequence=[to("1.3.1"), to("1.3.2"), to("1.3.1")],
            )
        ],
    )

    assert header.kind is Kind.PLAN
    assert header.frame_of_reference_uid == "1.9"
    assert header.details == PlanDetails(
        label="PROST",
        name="Prostate",
        intent="CURATIVE",
        approval_status="APPROVED",
        date="20240501",
        time="101112",
        geometry="PATIENT",
        beams=(
            Beam(
                number=1,
                name="AP",
                delivery_type="TREATMENT",
                technique="DYNAMIC",
                radiation_type="PHOTON",
                machine="TB1",
                manufacturer="Maker",
                model="TDS",
                number_of_control_points=178,
                reference_image_uids=("1.3.1", "1.3.2"),
            ),
        ),
        fractions=(39, None),
        prescriptions=(Prescription("PTV", "TARGET", 78.0),),
    )


def test_plan_references_structure_set_doses_images_and_plans() -> None:
    header = header_of(
        PLAN,
        "RTPLAN",
        ReferencedStructureSetSequence=[to("1.4", STRUCTURE_SET)],
        ReferencedDoseSequence=[to("1.5"), to("1.6")],
        ReferencedRTPlanSequence=[to("1.7", PLAN, RTPlanRelationship="PREDECESSOR")],
        BeamSequence=[
            dataset(
                BeamNumber="2",
                ReferencedReferenceImageSequence=[to("1.8", RT_IMAGE)],
                ReferencedVerificationImageSequence=[to("1.10", RT_IMAGE)],
                ReferencedDoseSequence=[to("1.5")],
            ),
            dataset(ReferencedReferenceImageSequence=[to("1.11")]),
        ],
        PatientSetupSequence=[dataset(ReferencedSetupImageSequence=[to("1.12", CT)])],
    )

    assert header.references == (
        Reference(Relation.STRUCTURE_SET, "1.4", sop_class_uid=STRUCTURE_SET),
        Reference(Relation.DOSE, "1.5", note="beam 2"),
        Reference(Relation.DOSE, "1.6"),
        Reference(Relation.RELATED_PLAN, "1.7", sop_class_uid=PLAN, note="PREDECESSOR"),
        Reference(Relation.DRR, "1.8", sop_class_uid=RT_IMAGE, note="beam 2"),
        Reference(Relation.IMAGE, "1.10", sop_class_uid=RT_IMAGE, note="beam 2"),
        Reference(Relation.DRR, "1.11"),
        Reference(Relation.IMAGE, "1.12", sop_class_uid=CT),
    )


def test_ion_plan_has_ion_beams() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.1.1.481.8",
        "RTPLAN",
        IonBeamSequence=[
            dataset(
                BeamNumber="3",
                BeamName="G90",
                RadiationType="PROTON",
                ReferencedReferenceImageSequence=[to("1.8")],
            )
        ],
    )

    assert isinstance(header.details, PlanDetails)
    assert [(b.number, b.name, b.radiation_type) for b in header.details.beams] == [
        (3, "G90", "PROTON")
    ]
    assert header.targets(Relation.DRR) == ("1.8",)


def test_brachy_plan_has_application_setups() -> None:
    header = header_of(
        PLAN,
        "RTPLAN",
        BrachyTreatmentType="HDR",
        TreatmentMachineSequence=[
            dataset(TreatmentMachineName="LOADER", ManufacturerModelName="M", Manufacturer="X")
        ],
        ApplicationSetupSequence=[
            dataset(
                ApplicationSetupNumber="1",
                ApplicationSetupName="Ring",
                ApplicationSetupType="TANDEM_RING",
            )
        ],
    )

    assert isinstance(header.details, PlanDetails)
    assert header.details.beams == (
        Beam(
            number=1,
            name="Ring",
            delivery_type="HDR",
            technique="TANDEM_RING",
            radiation_type="BRACHY",
            machine="LOADER",
            manufacturer="X",
            model="M",
        ),
    )


def test_brachy_plan_without_machine_takes_the_manufacturer_of_the_setup() -> None:
    header = header_of(
        PLAN, "RTPLAN", ApplicationSetupSequence=[dataset(ApplicationSetupManufacturer="Y")]
    )

    assert isinstance(header.details, PlanDetails)
    assert [(b.number, b.machine, b.manufacturer) for b in header.details.beams] == [
        (None, "", "Y")
    ]


def test_halcyon_plan_is_a_plan() -> None:
    header = header_of(
        "1.2.246.352.70.1.70", "RTPLAN", BeamSequence=[dataset(TreatmentMachineName="HALCYON")]
    )

    assert isinstance(header.details, PlanDetails)
    assert header.details.beams[0].machine == "HALCYON"


@pytest.mark.parametrize("keyword", ["BeamSequence", "ReferencedStructureSetSequence"])
def test_empty_sequences_are_like_absent_ones(keyword: str) -> None:
    header = header_of(PLAN, "RTPLAN", **{keyword: Sequence([])})

    assert header.details == PlanDetails()
    assert header.references == ()


def test_several_items_where_one_is_expected_are_all_followed() -> None:
    header = header_of(PLAN, "RTPLAN", ReferencedStructureSetSequence=[to("1.4"), to("1.5")])

    assert header.targets(Relation.STRUCTURE_SET) == ("1.4", "1.5")


def test_references_that_are_no_uid_or_the_instance_itself_are_none() -> None:
    ds = instance(PLAN, "RTPLAN", {"ReferencedStructureSetSequence": [Dataset(), to("1.4")]})
    odd = Dataset()
    odd.add_new("ReferencedSOPInstanceUID", "LO", "UNKNOWN")
    ds.ReferencedStructureSetSequence.append(odd)
    ds.ReferencedRTPlanSequence = Sequence([to("1.3", PLAN)])

    assert read_dataset_header(ds).references == (Reference(Relation.STRUCTURE_SET, "1.4"),)


# ── structure sets ──────────────────────────────────────────────────────────────────────────


def frames(*series: Dataset, study: str = "1.1") -> list[Dataset]:
    return [
        dataset(
            FrameOfReferenceUID="1.9",
            FrameOfReferenceRelationshipSequence=[dataset(RelatedFrameOfReferenceUID="1.9.3")],
            RTReferencedStudySequence=[
                to(study, "1.2.840.10008.3.1.2.3.1", RTReferencedSeriesSequence=Sequence(series))
            ],
        )
    ]


def series(uid: str, *images: str) -> Dataset:
    return dataset(SeriesInstanceUID=uid, ContourImageSequence=[to(i, CT) for i in images])


def contours(*images: str) -> list[Dataset]:
    return [dataset(ContourSequence=[dataset(ContourImageSequence=[to(i, CT)]) for i in images])]


def test_structure_set_references_series_images_and_frames() -> None:
    header = header_of(
        STRUCTURE_SET,
        "RTSTRUCT",
        StructureSetLabel="CT_1",
        StructureSetName="First",
        StructureSetDate="20240501",
        ApprovalStatus="APPROVED",
        ReferencedFrameOfReferenceSequence=frames(series("1.5", "1.5.1", "1.5.2")),
        StructureSetROISequence=[
            dataset(ReferencedFrameOfReferenceUID="1.9"),
            dataset(ReferencedFrameOfReferenceUID="1.9.2"),
        ],
        ROIContourSequence=contours("1.5.2", "1.5.3", "1.5.2"),
        PredecessorStructureSetSequence=[to("1.4", STRUCTURE_SET)],
    )

    assert header.details == StructureSetDetails(
        label="CT_1",
        name="First",
        date="20240501",
        approval_status="APPROVED",
        number_of_rois=2,
    )
    known = {"sop_class_uid": CT, "series_instance_uid": "1.5", "study_instance_uid": "1.1"}
    assert header.references == (
        Reference(Relation.IMAGE_SERIES, "1.5", Level.SERIES, study_instance_uid="1.1"),
        Reference(Relation.IMAGE, "1.5.1", **known),
        Reference(Relation.IMAGE, "1.5.2", **known),
        Reference(Relation.IMAGE, "1.5.3", sop_class_uid=CT),
        Reference(Relation.OTHER, "1.4", sop_class_uid=STRUCTURE_SET, note="PREDECESSOR"),
        Reference(Relation.FRAME_OF_REFERENCE, "1.9", Level.FRAME),
        Reference(Relation.FRAME_OF_REFERENCE, "1.9.3", Level.FRAME),
        Reference(Relation.FRAME_OF_REFERENCE, "1.9.2", Level.FRAME),
    )


def test_structure_set_of_several_series_keeps_them_apart() -> None:
    header = header_of(
        STRUCTURE_SET,
        "RTSTRUCT",
        ReferencedFrameOfReferenceSequence=[
            *frames(series("1.5", "1.5.1"), series("1.6", "1.6.1")),
            *frames(series("1.7", "1.7.1"), study="1.1.2"),
        ],
    )

    where = {
        r.uid: (r.study_instance_uid, r.series_instance_uid)
        for r in header.references
        if r.relation is Relation.IMAGE
    }
    assert where == {
        "1.5.1": ("1.1", "1.5"),
        "1.6.1": ("1.1", "1.6"),
        "1.7.1": ("1.1.2", "1.7"),
    }


def test_structure_set_without_frame_of_reference_sequence_has_the_images_of_its_contours() -> None:
    header = header_of(STRUCTURE_SET, "RTSTRUCT", ROIContourSequence=contours("1.5.1", "1.5.2"))

    assert header.targets(Relation.IMAGE) == ("1.5.1", "1.5.2")


def test_structure_set_without_contour_images_has_its_series() -> None:
    header = header_of(
        STRUCTURE_SET,
        "RTSTRUCT",
        ReferencedFrameOfReferenceSequence=frames(dataset(SeriesInstanceUID="1.5")),
        ROIContourSequence=[
            dataset(SourceSeriesSequence=[dataset(SeriesInstanceUID="1.6"), Dataset()])
        ],
    )

    assert header.targets(Relation.IMAGE_SERIES) == ("1.5", "1.6")


def test_structure_set_of_unknown_series_and_study_still_names_its_images() -> None:
    ds = instance(STRUCTURE_SET, "RTSTRUCT", {})
    unnamed = dataset(ContourImageSequence=[to("1.5.1", CT)])
    unnamed.add_new("SeriesInstanceUID", "LO", "UNKNOWN")
    ds.ReferencedFrameOfReferenceSequence = Sequence(
        [dataset(RTReferencedStudySequence=[dataset(RTReferencedSeriesSequence=[unnamed])])]
    )

    header = read_dataset_header(ds)

    assert header.references == (Reference(Relation.IMAGE, "1.5.1", sop_class_uid=CT),)


# ── doses, RT images, records ───────────────────────────────────────────────────────────────


def test_dose_references_plan_and_structure_set() -> None:
    plan = to(
        "1.4",
        PLAN,
        ReferencedFractionGroupSequence=[
            dataset(
                ReferencedBeamSequence=[
                    dataset(ReferencedBeamNumber="2"),
                    dataset(ReferencedBeamNumber="3"),
                    dataset(ReferencedBeamNumber="2"),
                    Dataset(),
                ]
            )
        ],
    )
    header = header_of(
        DOSE,
        "RTDOSE",
        DoseSummationType="BEAM",
        DoseType="PHYSICAL",
        DoseUnits="GY",
        ReferencedRTPlanSequence=[plan, to("1.5", PLAN)],
        ReferencedStructureSetSequence=[to("1.6", STRUCTURE_SET)],
        ReferencedTreatmentRecordSequence=[to("1.7", RECORD)],
        ReferencedInstanceSequence=[to("1.8")],
    )

    assert header.details == DoseDetails(
        summation_type="BEAM", dose_type="PHYSICAL", units="GY", beam_numbers=(2, 3)
    )
    assert references(header) == {
        (Relation.PLAN, "1.4"),
        (Relation.PLAN, "1.5"),
        (Relation.STRUCTURE_SET, "1.6"),
        (Relation.RECORD, "1.7"),
        (Relation.OTHER, "1.8"),
    }


def test_dose_without_plan_is_a_dose() -> None:
    header = header_of(DOSE, "RTDOSE")

    assert header.details == DoseDetails()
    assert header.references == ()


def test_rt_image_tells_beam_fraction_and_plan() -> None:
    header = header_of(
        RT_IMAGE,
        "RTIMAGE",
        RTImageLabel="AP",
        ImageType=["ORIGINAL", "PRIMARY", "PORTAL"],
        ContentDate="20240502",
        ContentTime="0900",
        ReferencedBeamNumber="1",
        FractionNumber="3",
        RadiationMachineName="TB1",
        ReferencedRTPlanSequence=[to("1.4", PLAN)],
        ReferencedImageSequence=[to("1.5", RT_IMAGE)],
        ReferencedInstanceSequence=[to("1.6", STRUCTURE_SET)],
    )

    assert header.details == RtImageDetails(
        label="AP",
        image_type=("ORIGINAL", "PRIMARY", "PORTAL"),
        date="20240502",
        time="0900",
        beam_number=1,
        fraction_number=3,
        machine="TB1",
    )
    assert references(header) == {
        (Relation.PLAN, "1.4"),
        (Relation.OTHER, "1.5"),
        (Relation.STRUCTURE_SET, "1.6"),
    }


@pytest.mark.parametrize(
    ("sequence", "number"),
    [
        ("TreatmentSessionBeamSequence", "ReferencedBeamNumber"),
        ("TreatmentSessionIonBeamSequence", "ReferencedBeamNumber"),
        ("TreatmentSessionApplicationSetupSequence", "ReferencedBrachyApplicationSetupNumber"),
    ],
)
def test_record_tells_beams_fractions_and_plan(sequence: str, number: str) -> None:
    treated = dataset(
        CurrentFractionNumber="4", ReferencedVerificationImageSequence=[to("1.8", RT_IMAGE)]
    )
    setattr(treated, number, "2")
    header = header_of(
        RECORD,
        "RTRECORD",
        TreatmentDate="20240502",
        TreatmentTime="0901",
        ReferencedRTPlanSequence=[to("1.4", PLAN)],
        ReferencedStructureSetSequence=[to("1.5", STRUCTURE_SET)],
        ReferencedTreatmentRecordSequence=[to("1.6", RECORD)],
        ReferencedInstanceSequence=[to("1.7")],
        **{sequence: [treated]},
    )

    assert header.details == RecordDetails(
        date="20240502", time="0901", beams=(TreatedBeam(number=2, fraction_number=4),)
    )
    assert references(header) == {
        (Relation.PLAN, "1.4"),
        (Relation.STRUCTURE_SET, "1.5"),
        (Relation.RECORD, "1.6"),
        (Relation.OTHER, "1.7"),
        (Relation.IMAGE, "1.8"),
    }


def test_summary_record_has_no_beams() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.1.1.481.7", "RTRECORD", ReferencedRTPlanSequence=[to("1.4")]
    )

    assert header.details == RecordDetails()
    assert header.targets(Relation.PLAN) == ("1.4",)


# ── registrations and images ────────────────────────────────────────────────────────────────


def test_registration_ties_frames_its_own_first_and_names_images_with_their_series() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.1.1.66.1",
        "REG",
        FrameOfReferenceUID="1.9",
        ContentLabel="REG",
        ContentDescription="CT to MR",
        ContentDate="20240503",
        RegistrationSequence=[
            dataset(FrameOfReferenceUID="1.9.2", ReferencedImageSequence=[to("1.6.1", CT)]),
            dataset(FrameOfReferenceUID="1.9"),
        ],
        ReferencedSeriesSequence=[
            dataset(SeriesInstanceUID="1.5", ReferencedInstanceSequence=[to("1.5.1", CT)]),
            dataset(SeriesInstanceUID="1.7"),
        ],
        StudiesContainingOtherReferencedInstancesSequence=[
            dataset(
                StudyInstanceUID="1.1.2",
                ReferencedSeriesSequence=[
                    dataset(SeriesInstanceUID="1.6", ReferencedInstanceSequence=[to("1.6.1", CT)]),
                    dataset(
                        SeriesInstanceUID="1.8",
                        ReferencedInstanceSequence=[to("1.8.1", STRUCTURE_SET)],
                    ),
                ],
            )
        ],
    )

    assert header.details == RegistrationDetails(
        label="REG", description="CT to MR", date="20240503", frames=("1.9", "1.9.2")
    )
    assert header.references == (
        Reference(Relation.IMAGE_SERIES, "1.5", Level.SERIES, study_instance_uid="1.1"),
        Reference(Relation.IMAGE, "1.5.1", Level.INSTANCE, CT, "", "1.5", "1.1"),
        Reference(Relation.IMAGE_SERIES, "1.7", Level.SERIES, study_instance_uid="1.1"),
        Reference(Relation.IMAGE_SERIES, "1.6", Level.SERIES, study_instance_uid="1.1.2"),
        Reference(Relation.IMAGE, "1.6.1", Level.INSTANCE, CT, "", "1.6", "1.1.2"),
        # a series of structure sets is no image series
        Reference(
            Relation.STRUCTURE_SET, "1.8.1", Level.INSTANCE, STRUCTURE_SET, "", "1.8", "1.1.2"
        ),
        Reference(Relation.FRAME_OF_REFERENCE, "1.9", Level.FRAME),
        Reference(Relation.FRAME_OF_REFERENCE, "1.9.2", Level.FRAME),
    )


def test_deformable_registration_names_its_source_frames_and_images() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.1.1.66.3",
        "REG",
        FrameOfReferenceUID="1.9",
        DeformableRegistrationSequence=[
            dataset(SourceFrameOfReferenceUID="1.9.3", ReferencedImageSequence=[to("1.6.1", CT)])
        ],
    )

    assert isinstance(header.details, RegistrationDetails)
    assert header.details.frames == ("1.9", "1.9.3")
    assert header.targets(Relation.IMAGE) == ("1.6.1",)


@pytest.mark.parametrize(
    "keyword",
    [
        "ReferencedRTPlanSequence",
        "ReferencedInstanceSequence",
        "SourceImageSequence",
        "ReferencedImageSequence",
    ],
)
def test_cone_beam_image_names_its_plan_in_any_of_these_sequences(keyword: str) -> None:
    header = header_of(CT, "CT", **{keyword: [to("1.4", PLAN)]})

    assert header.kind is Kind.IMAGE
    assert header.targets(Relation.PLAN) == ("1.4",)


def test_image_names_its_date_number_and_sources() -> None:
    header = header_of(
        CT,
        "CT",
        ImageType=["ORIGINAL", "PRIMARY"],
        AcquisitionDate="20240504",
        ContentDate="20240505",
        InstanceNumber="7",
        SourceImageSequence=[to("1.5", CT)],
        ReferencedSeriesSequence=[
            dataset(SeriesInstanceUID="1.8", ReferencedInstanceSequence=[to("1.8.1", CT)])
        ],
    )

    assert header.details == ImageDetails(
        image_type=("ORIGINAL", "PRIMARY"), date="20240504", instance_number=7
    )
    assert {r.relation for r in header.references} == {Relation.OTHER}


def test_segmentation_references_the_images_it_segments() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.1.1.66.4",
        "SEG",
        SeriesDate="20240506",
        StudiesContainingOtherReferencedInstancesSequence=[
            dataset(
                StudyInstanceUID="1.1.2",
                ReferencedSeriesSequence=[dataset(SeriesInstanceUID="1.7")],
            )
        ],
        ReferencedSeriesSequence=[
            dataset(SeriesInstanceUID="1.8", ReferencedInstanceSequence=[to("1.8.1", CT)])
        ],
    )

    assert header.kind is Kind.SEGMENTATION
    assert isinstance(header.details, ImageDetails)
    assert header.details.date == "20240506"
    assert references(header) == {
        (Relation.IMAGE_SERIES, "1.8"),
        (Relation.IMAGE, "1.8.1"),
        (Relation.IMAGE_SERIES, "1.7"),
    }
    studies = {r.uid: r.study_instance_uid for r in header.references}
    assert studies == {"1.8": "1.1", "1.8.1": "1.1", "1.7": "1.1.2"}


def test_delivery_instruction_is_kept_with_its_plan() -> None:
    header = header_of(
        "1.2.840.10008.5.1.4.34.7", "PLAN", ReferencedRTPlanSequence=[to("1.4", PLAN)]
    )

    assert header.kind is Kind.OTHER
    assert header.targets(Relation.PLAN) == ("1.4",)


# ── data sets in memory ─────────────────────────────────────────────────────────────────────


def test_values_of_another_type_than_the_dictionary_has_are_text() -> None:
    ds = instance(PLAN, "RTPLAN", {})
    ds.add(DataElement(0x300A0002, "US", 12))
    ds.add(DataElement(0x300A0003, "SQ", Sequence([])))
    ds.add(DataElement(0x300A00B0, "LO", "no sequence"))
    ds.add(DataElement(0x300C0060, "US", 7))
    ds.add(DataElement(0x00100010, "PN", "DOE^JOHN"))
    ds.add(DataElement(0x00080005, "CS", ["ISO_IR 100", "ISO 2022 IR 126"]))

    header = read_dataset_header(ds)

    assert header.details == PlanDetails(label="12")
    assert header.patient_name == "DOE^JOHN"
    assert header.references == ()


def test_partial_answers_of_c_find_have_headers() -> None:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.1", "1.2", "1.3"
    ds.Modality = "RTPLAN"
    ds.RTPlanLabel = "PROST"
    ds.PatientID = None

    header = read_dataset_header(ds)

    assert header.kind is Kind.PLAN
    assert header.details == PlanDetails(label="PROST")
    assert header.sop_class_uid == ""
    assert header.patient_id == ""


@pytest.mark.parametrize("vr", [b"UN", b"SQ"])
def test_what_pydicom_has_left_encoded_is_read_without_its_conversion(vr: bytes) -> None:
    plan = item(implicit(0x00081155, b"1.4\0"))
    if vr == b"SQ":
        plan = item(explicit(0x00081155, b"UI", b"1.4\0"))
    body = b"".join(
        explicit(tag, b"UI", value)
        for tag, value in ((0x00080018, b"1.3\0"), (0x0020000D, b"1.1\0"), (0x0020000E, b"1.2\0"))
    )
    ds = dcmread(
        BytesIO(part10(body + explicit(0x300C0002, vr, plan), ExplicitVRLittleEndian)), force=True
    )

    header = read_dataset_header(ds)

    assert header.targets(Relation.PLAN) == ("1.4",)
    if vr == b"UN":
        assert isinstance(ds.get_item(0x300C0002), RawDataElement)
