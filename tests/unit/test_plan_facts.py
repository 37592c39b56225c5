"""What is derived of plans, from encoded objects as scanners and planning systems write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from dicomcore.errors import InvalidRequest
from dicomcore.flatten import flatten
from dicomcore.header import read_header
from dicomcore.plan_facts import (
    PlanFacts,
    StructureFacts,
    TreatmentFacts,
    linked,
    plan_facts,
    structure_facts,
    treatment_facts,
)
from dicomcore.plan_query import (
    DateRange,
    NumberRange,
    folded,
    parse_date_range,
    parse_number_range,
)
from tests.indexer_world import image, part10, plan, structure_set

ION_PLAN = "1.2.840.10008.5.1.4.1.1.481.8"
HALCYON_PLAN = "1.2.246.352.70.1.70"
RECORD = "1.2.840.10008.5.1.4.1.1.481.4"
SUMMARY = "1.2.840.10008.5.1.4.1.1.481.7"
REAL = Path(__file__).parents[3] / "shared" / "data" / "rt"


def item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(
            ds, keyword, Items(value) if isinstance(value, list) and _is_items(value) else value
        )
    return ds


def _is_items(value: Sequence[object]) -> bool:
    return bool(value) and all(isinstance(one, Dataset) for one in value)


def facts_of(ds: Dataset) -> PlanFacts:
    return facts_of_bytes(part10(ds))


def facts_of_bytes(data: bytes) -> PlanFacts:
    header, flattened = read_header(data, complete=True), flatten(data, complete=True)
    assert header is not None
    assert flattened is not None
    found = plan_facts(header, flattened.attributes)
    assert found is not None
    return found


def beam(number: int = 1, *, points: Sequence[Dataset] = (), **values: Any) -> Dataset:
    given: dict[str, Any] = {
        "BeamNumber": number,
        "BeamType": "DYNAMIC",
        "RadiationType": "PHOTON",
        "TreatmentDeliveryType": "TREATMENT",
        "TreatmentMachineName": "TB1",
        "NumberOfControlPoints": len(points),
        "ControlPointSequence": list(points),
        **values,
    }
    return item(**{name: value for name, value in given.items() if value not in ([], None)})


def points(count: int, *, energy: str | None = "6", rotation: str = "NONE") -> list[Dataset]:
    first = item(ControlPointIndex=0, GantryRotationDirection=rotation)
    if energy is not None:
        first.NominalBeamEnergy = energy
    return [first, *(item(ControlPointIndex=n) for n in range(1, count))]


def planned(*beams: Dataset, **values: Any) -> Dataset:
    ds = plan("1.2.3.30", structures="1.2.3.20")
    if beams:
        ds.BeamSequence = Items(list(beams))
    for keyword, value in values.items():
        setattr(
            ds, keyword, Items(value) if isinstance(value, list) and _is_items(value) else value
        )
    return ds


# ── beams ───────────────────────────────────────────────────────────────────────────────────

WEDGE = [item(WedgeNumber=1, WedgeType="DYNAMIC")]


@pytest.mark.parametrize(
    ("one", "technique"),
    [
        (beam(points=points(178, rotation="CW")), "VMAT"),
        (beam(points=points(2, rotation="CC")), "ARC"),
        (beam(points=points(90, rotation="CW"), BeamType="STATIC"), "ARC"),
        (beam(points=points(60)), "IMRT"),
        (beam(points=points(2), WedgeSequence=WEDGE), "DYNAMIC WEDGE"),
        (beam(points=points(2), BeamType="STATIC"), "STATIC"),
    ],
)
def test_a_technique_is_told_by_motion(one: Dataset, technique: str) -> None:
    assert facts_of(planned(one)).beam_techniques == (technique,)


def test_a_high_dose_technique_is_added() -> None:
    one = beam(points=points(2), BeamType="STATIC", HighDoseTechniqueType="SRS")

    assert facts_of(planned(one)).beam_techniques == ("STATIC", "SRS")


@pytest.mark.parametrize(
    ("radiation", "energy", "mode", "fluence", "label"),
    [
        ("PHOTON", "6", None, None, "6X"),
        ("PHOTON", "6", "STANDARD", "FFF", "6X"),
        ("PHOTON", "6", "NON_STANDARD", "FFF", "6FFF"),
        ("PHOTON", "10.0", "NON_STANDARD", "SRS", "10SRS"),
        ("PHOTON", "2.5", "NON_STANDARD", None, "2.5X"),
        ("ELECTRON", "9", None, None, "9E"),
        ("NEUTRON", "14", None, None, "14N"),
        ("SOMETHING", "1", None, None, "1"),
    ],
)
def test_energies_are_called_as_people_call_them(
    radiation: str, energy: str, mode: str | None, fluence: str | None, label: str
) -> None:
    modes = [item(FluenceMode=mode, FluenceModeID=fluence or "")] if mode else []
    one = beam(points=points(2, energy=energy), RadiationType=radiation)
    if modes:
        one.PrimaryFluenceModeSequence = Items(modes)

    facts = facts_of(planned(one))

    assert facts.energies == (label,)
    assert facts.nominal_beam_energies == (float(energy),)


def test_setup_beams_do_not_count_beside_others() -> None:
    setup = beam(2, points=points(2, energy="2.5"), TreatmentDeliveryType="SETUP")
    setup.TreatmentMachineName = "OBI"

    both = facts_of(planned(setup, beam(points=points(5))))
    alone = facts_of(planned(setup))

    assert (both.number_of_beams, both.number_of_control_points) == (1, 5)
    assert (both.machines, both.energies) == (("TB1",), ("6X",))
    assert (alone.number_of_beams, alone.machines) == (1, ("OBI",))


def test_control_points_are_counted_in_all_and_at_most() -> None:
    facts = facts_of(planned(beam(points=points(3)), beam(2, points=points(7))))

    assert (facts.number_of_control_points, facts.max_control_points) == (10, 7)


def test_collimators_are_told_with_their_leaf_pairs_and_jaws_are_not() -> None:
    devices = [
        item(RTBeamLimitingDeviceType="ASYMX", NumberOfLeafJawPairs=1),
        item(RTBeamLimitingDeviceType="MLCX1", NumberOfLeafJawPairs=28),
        item(RTBeamLimitingDeviceType="MLCX2"),
    ]

    facts = facts_of(planned(beam(points=points(2), BeamLimitingDeviceSequence=devices)))

    assert facts.mlc_types == ("MLCX1 28", "MLCX2")


@pytest.mark.parametrize(
    ("mode", "technique"), [("MODULATED", "SCANNED"), ("UNIFORM", "SCANNED"), ("NONE", "SCATTERED")]
)
def test_an_ion_plan_tells_least_and_greatest_energy(mode: str, technique: str) -> None:
    ds = planned()
    ds.SOPClassUID = ION_PLAN
    layers = [item(ControlPointIndex=n, NominalBeamEnergy=e) for n, e in enumerate((120, 70, 99))]
    ds.IonBeamSequence = Items(
        [
            item(
                BeamNumber=1,
                BeamType="STATIC",
                RadiationType="PROTON",
                ScanMode=mode,
                NumberOfControlPoints=3,
                IonControlPointSequence=layers,
            )
        ]
    )

    facts = facts_of(ds)

    assert facts.energies == ("70P", "120P")
    assert facts.beam_techniques == (technique,)


def test_a_plan_of_the_halcyon_class_is_a_plan() -> None:
    ds = planned(beam(points=points(178, rotation="CW")))
    ds.SOPClassUID = HALCYON_PLAN

    facts = facts_of(ds)

    assert (facts.sop_class_uid, facts.beam_techniques) == (HALCYON_PLAN, ("VMAT",))


def test_a_brachy_plan_has_application_setups_for_beams() -> None:
    setup = item(ApplicationSetupNumber=1, ApplicationSetupType="VAGINAL")
    group = item(
        NumberOfFractionsPlanned=4,
        ReferencedBrachyApplicationSetupSequence=[
            item(BrachyApplicationSetupDose=5.5, ReferencedBrachyApplicationSetupNumber=1)
        ],
    )
    machine = item(TreatmentMachineName="AFTERLOADER")

    facts = facts_of(
        planned(
            ApplicationSetupSequence=[setup],
            FractionGroupSequence=[group],
            TreatmentMachineSequence=[machine],
        )
    )

    assert (facts.beam_techniques, facts.machines) == (("BRACHY",), ("AFTERLOADER",))
    assert (facts.total_dose_gy, facts.dose_per_fraction_gy) == (22.0, 5.5)


# ── dose ────────────────────────────────────────────────────────────────────────────────────


def fractions(planned_fractions: int | None, *doses: float) -> Dataset:
    beams = [item(ReferencedBeamNumber=n + 1, BeamDose=dose) for n, dose in enumerate(doses)]
    return item(NumberOfFractionsPlanned=planned_fractions, ReferencedBeamSequence=beams)


def reference(dose: float | None, kind: str | None = "TARGET", roi: int | None = None) -> Dataset:
    ds = item(DoseReferenceNumber=1, DoseReferenceDescription="to here")
    if kind is not None:
        ds.DoseReferenceType = kind
    if dose is not None:
        ds.TargetPrescriptionDose = dose
    if roi is not None:
        ds.ReferencedROINumber = roi
    return ds


@pytest.mark.parametrize(
    ("references", "groups", "total", "each", "count"),
    [
        ([reference(50.4), reference(60)], [fractions(30, 1, 1)], 60.0, 2.0, 30),
        ([reference(45, "ORGAN_AT_RISK")], [fractions(25, 1.2, 0.6)], 45.0, 1.8, 25),
        ([reference(30, None)], [fractions(10)], 30.0, 3.0, 10),
        ([reference(None)], [fractions(3, 0.1, 0.2)], 0.9, 0.3, 3),
        ([], [fractions(16, 2.5), fractions(4, 2)], 48.0, None, 20),
        ([reference(42.4)], [fractions(16, 1), fractions(4, 1)], 42.4, None, 20),
        ([reference(20)], [], 20.0, None, None),
        ([], [fractions(None, 2)], None, None, None),
        ([reference(-5)], [fractions(0, 2)], 0.0, None, None),
        ([], [], None, None, None),
    ],
)
def test_the_total_dose_is_prescribed_or_added_up(
    references: list[Dataset],
    groups: list[Dataset],
    total: float | None,
    each: float | None,
    count: int | None,
) -> None:
    ds = planned(beam(points=points(2)), DoseReferenceSequence=references)
    ds.FractionGroupSequence = Items(groups)
    ds.DoseReferenceSequence = Items(references)

    facts = facts_of(ds)

    assert facts.total_dose_gy == total
    assert facts.dose_per_fraction_gy == each
    assert facts.number_of_fractions_planned == count


def test_people_places_and_approval_are_told() -> None:
    ds = planned(
        beam(points=points(2)),
        ReviewerName="Doe^Jane",
        ReviewDate="20240506",
        ReviewTime="070809",
        OperatorsName=["One^A", "Two^B"],
        PrescriptionDescription="60 Gy to PTV",
        TreatmentProtocols="VMAT RA",
        PatientSetupSequence=[item(PatientPosition="HFS"), item(PatientPosition="HFS")],
        DoseReferenceSequence=[reference(60, roi=3)],
    )

    facts = facts_of(ds)

    assert (facts.reviewer_name, facts.review_date, facts.review_time) == (
        *("Doe^Jane", "20240506", "070809"),
    )
    assert facts.operators_name == ("One^A", "Two^B")
    assert facts.sites == ("60 Gy to PTV", "to here")
    assert facts.techniques == ("VMAT RA",)
    assert facts.patient_positions == ("HFS",)
    assert facts.target_roi_numbers == (3,)
    assert facts.structure_set_uids == ("1.2.3.20",)


def test_what_a_plan_lacks_is_unknown() -> None:
    facts = facts_of(plan("1.2.3.30", structures="1.2.3.20"))

    assert facts.total_dose_gy is None
    assert (facts.number_of_beams, facts.max_control_points, facts.energies) == (0, 0, ())


def test_the_order_of_attributes_does_not_matter() -> None:
    data = part10(planned(beam(points=points(3)), beam(2, points=points(2, energy="15"))))
    header, flattened = read_header(data, complete=True), flatten(data, complete=True)
    assert header is not None
    assert flattened is not None

    assert plan_facts(header, reversed(flattened.attributes)) == facts_of_bytes(data)


def test_other_objects_have_no_such_facts() -> None:
    header = read_header(part10(image("1.2.3.10")), complete=True)
    assert header is not None

    assert plan_facts(header, ()) is None
    assert structure_facts(header, ()) is None
    assert treatment_facts(header, ()) is None


# ── related objects ─────────────────────────────────────────────────────────────────────────


def test_a_structure_set_tells_its_regions_and_which_are_targets() -> None:
    ds = structure_set("1.2.3.20")
    ds.StructureSetROISequence = Items(
        [
            item(ROINumber=2, ROIName="PTV60"),
            item(ROINumber=5, ROIName="Cord"),
            item(ROIName="no number"),
            item(ROINumber=9, ROIName=""),
        ]
    )
    ds.RTROIObservationsSequence = Items(
        [
            item(ReferencedROINumber=2, RTROIInterpretedType="PTV"),
            item(ReferencedROINumber=5, RTROIInterpretedType="ORGAN"),
            item(RTROIInterpretedType="GTV"),
        ]
    )
    data = part10(ds)
    header, flattened = read_header(data, complete=True), flatten(data, complete=True)
    assert header is not None
    assert flattened is not None

    assert structure_facts(header, flattened.attributes) == StructureFacts(
        names=("PTV60", "Cord", "no number"),
        numbers=(2, 5, None),
        is_target=(True, False, False),
    )


def record(sop_class_uid: str, **values: Any) -> TreatmentFacts:
    ds = plan("1.2.3.40", structures="1.2.3.20")
    ds.SOPClassUID, ds.Modality = sop_class_uid, "RTRECORD"
    ds.ReferencedRTPlanSequence = Items(
        [item(ReferencedSOPClassUID=ION_PLAN, ReferencedSOPInstanceUID="1.2.3.30")]
    )
    for keyword, value in values.items():
        setattr(ds, keyword, Items(value) if isinstance(value, list) else value)
    data = part10(ds)
    header, flattened = read_header(data, complete=True), flatten(data, complete=True)
    assert header is not None
    assert flattened is not None
    found = treatment_facts(header, flattened.attributes)
    assert found is not None
    return found


def test_a_record_tells_plan_fraction_and_date() -> None:
    beams = [item(CurrentFractionNumber=n) for n in (7, 7, 0)]

    assert record(RECORD, TreatmentDate="20240506", TreatmentSessionBeamSequence=beams) == (
        TreatmentFacts(("1.2.3.30",), (7,), "20240506", 0)
    )


def test_a_summary_tells_how_many_fractions_were_delivered() -> None:
    groups = [item(NumberOfFractionsDelivered=12), item(NumberOfFractionsDelivered=3)]

    assert record(SUMMARY, FractionGroupSummarySequence=groups).delivered == 12


@pytest.mark.parametrize(
    ("records", "treated"),
    [
        ([], 0),
        ([TreatmentFacts(fraction_numbers=(1,)), TreatmentFacts(fraction_numbers=(1, 2))], 2),
        ([TreatmentFacts(date="20240101"), TreatmentFacts(date="20240102")], 2),
        ([TreatmentFacts(date="20240101"), TreatmentFacts(fraction_numbers=(5,))], 1),
        ([TreatmentFacts(fraction_numbers=(1,)), TreatmentFacts(delivered=9)], 9),
        ([TreatmentFacts()], 0),
    ],
)
def test_fractions_are_counted_once(records: list[TreatmentFacts], treated: int) -> None:
    links = linked(PlanFacts(), (), records)

    assert links.treated_fractions == treated
    assert links.has_treatment == bool(records)


def test_targets_are_those_by_type_and_those_that_the_prescription_names() -> None:
    sets = [
        StructureFacts(("PTV", "Cord", "Bowel"), (1, 2, None), (True, False, False)),
        StructureFacts(("Node", "Cord"), (2, 1), (False, False)),
    ]

    links = linked(PlanFacts(target_roi_numbers=(2,)), sets, ())

    assert links.structure_names == ("Bowel", "Cord", "Node", "PTV")
    assert links.target_names == ("Cord", "Node", "PTV")
    assert links.has_structure_set


# ── ranges ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50..70", NumberRange(50, 70)),
        ("50..", NumberRange(50, None)),
        ("..70", NumberRange(None, 70)),
        ("1.8", NumberRange(1.8, 1.8)),
        (" 1 .. 2 ", NumberRange(1, 2)),
    ],
)
def test_ranges_of_numbers_are_read(text: str, expected: NumberRange) -> None:
    assert parse_number_range(text) == expected


@pytest.mark.parametrize("text", ["", "..", "a", "1..b", "2..1", "1..2..3", "nan", "1e999"])
def test_what_is_no_range_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_number_range(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240101-20241231", DateRange("20240101", "20241231")),
        ("20240101-", DateRange("20240101", "")),
        ("-20241231", DateRange("", "20241231")),
        ("20240101", DateRange("20240101", "20240101")),
    ],
)
def test_ranges_of_dates_are_read(text: str, expected: DateRange) -> None:
    assert parse_date_range(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "2024", "20240101-2024", "20240102-20240101", "１２３４５６７８"]
)
def test_what_is_no_range_of_dates_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_date_range(text)


@pytest.mark.parametrize(
    ("one", "other"), [("STRASSE", "straße"), ("A\u030a", "å"), ("Ünï", "ÜNÏ")]
)
def test_case_and_composition_make_no_difference(one: str, other: str) -> None:
    assert folded(one) == folded(other)


# ── real plans ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder with real plans")
@pytest.mark.parametrize(
    ("path", "energies", "techniques", "dose", "fractions_planned"),
    [
        ("monaco_tinyvmat__pymedphys_Apache2/TinyVMAT/TinyFS_TinyVMAT.dcm", "6X", "VMAT", 1.0, 2),
        ("monaco_plans__pymedphys_Apache2/original.dcm", "6X", "IMRT", 50.4, 28),
        ("monaco_plans__pymedphys_Apache2/multi_fraction_groups.dcm", "6X", "IMRT", 42.4, 20),
        ("pydicom_misc__MIT/test_files/rtplan.dcm", "6X", "STATIC", 30.8262, 30),
        (
            "eclipse8_prostate_phantom__SlicerRT_MIT/EclipseProstatePhantomRtData/"
            "RP.1.2.246.352.71.5.2088656855.377401.20110920153647.dcm",
            *("15X", "STATIC", 46.0, 23),
        ),
        (
            "ion_plan_predecessor__pymchelper_MIT/"
            "RN.1.2.246.352.71.5.361940808526.37240.20200311150225.dcm",
            *("80P 130P 160P 210P", "SCANNED", 2.0, 1),
        ),
    ],
)
def test_real_plans_say_what_their_systems_show(
    path: str, energies: str, techniques: str, dose: float, fractions_planned: int
) -> None:
    facts = facts_of_bytes((REAL / path).read_bytes())

    assert " ".join(facts.energies) == energies
    assert " ".join(facts.beam_techniques) == techniques
    assert facts.total_dose_gy == dose
    assert facts.number_of_fractions_planned == fractions_planned
