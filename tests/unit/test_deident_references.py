"""References, numbers and trees after are those before; the same bytes for the same key, always."""

from __future__ import annotations

import warnings
from collections import defaultdict
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomcore.deident import (
    SHIPPED,
    Deidentifier,
    Fault,
    Finding,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    parse_options,
    reference_findings,
    shipped_profile,
)
from dicomcore.errors import Rejected
from dicomcore.header import read_header
from dicomcore.model import InstanceHeader
from dicomcore.references import ReferenceGraph
from tests import factories

KEY = b"a key of sixteen"
OPTIONS = [
    (),
    ("CleanDesc", "RetainDeviceIdent"),
    ("CleanDesc", "RetainLongModifDates", "RetainSafePrivate", "CleanStructdCont", "CleanGraph"),
    ("RetainUIDs", "RetainLongFullDates", "RetainPatientChars", "RetainInstitutionIdent"),
]
FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "rt"


@cache
def patient() -> tuple[str, list[bytes]]:
    made = factories.small_twelve_plans()
    objects = [factories.part10(instance.dataset) for instance in made.instances]
    return str(made.instances[0].dataset.PatientID), objects


def header(data: bytes) -> InstanceHeader:
    read = read_header(data, complete=True)
    assert read is not None
    return read


def deidentified(
    patient_id: str, objects: list[bytes], profile: str, options: tuple[str, ...]
) -> tuple[list[bytes], Verifier]:
    chosen = parse_options(options)
    known = collect_identifiers(objects, chosen)
    engine = Deidentifier(shipped_profile(profile), chosen, KEY, PatientIdentity(patient_id), known)
    return [engine.apply(data).to_bytes() for data in objects], Verifier(known)


@pytest.mark.parametrize("options", OPTIONS, ids="+".join)
@pytest.mark.parametrize("profile", SHIPPED)
def test_a_made_up_patient_passes_the_verification(profile: str, options: tuple[str, ...]) -> None:
    patient_id, objects = patient()

    outputs, verifier = deidentified(patient_id, objects, profile, options)

    assert [verifier.findings(old, new) for old, new in zip(objects, outputs, strict=True)] == [
        [] for _ in objects
    ]
    pairs = [(header(old), header(new)) for old, new in zip(objects, outputs, strict=True)]
    assert reference_findings(pairs) == []
    before = ReferenceGraph(old for old, _ in pairs)
    after = ReferenceGraph(new for _, new in pairs)
    assert len(before.dangling()) == len(after.dangling())
    new_uid = {old.ref.sop_instance_uid: new.ref.sop_instance_uid for old, new in pairs}
    for old, _ in pairs:
        held = [new_uid[h.ref.sop_instance_uid] for h in before.holders(old.ref.sop_instance_uid)]
        there = after.holders(new_uid[old.ref.sop_instance_uid])
        assert sorted(held) == sorted(h.ref.sop_instance_uid for h in there)


def test_pixels_contours_doses_and_control_points_are_the_same_bits_for_pydicom() -> None:
    objects = [
        factories.part10(make())
        for make in (factories.ct, factories.structure_set, factories.dose, factories.plan)
    ]

    outputs, _ = deidentified("DEMO-1", objects, "BasicSecurityProfile", ())

    ct, structures, dose, plan = (
        (dcmread(BytesIO(o)), dcmread(BytesIO(n))) for o, n in zip(objects, outputs, strict=True)
    )
    assert ct[0].PixelData == ct[1].PixelData
    assert dose[0].PixelData == dose[1].PixelData
    for old, new in zip(
        structures[0].ROIContourSequence, structures[1].ROIContourSequence, strict=True
    ):
        assert [c.ContourData for c in old.ContourSequence] == [
            c.ContourData for c in new.ContourSequence
        ]
    for old, new in zip(plan[0].BeamSequence, plan[1].BeamSequence, strict=True):
        assert str(old.ControlPointSequence) == str(new.ControlPointSequence)


def test_the_same_key_gives_the_same_bytes_in_any_order_and_another_key_none_of_the_uids() -> None:
    patient_id, objects = patient()
    options = parse_options(["CleanDesc"])
    known = collect_identifiers(reversed(objects), options)

    def engine(key: bytes) -> Deidentifier:
        profile = shipped_profile("AriaSecurityProfile")
        return Deidentifier(profile, options, key, PatientIdentity(patient_id), known)

    one, other, third = engine(KEY), engine(KEY), engine(b"another key, as long")

    first = [one.apply(data) for data in objects]
    second = [other.apply(data) for data in reversed(objects)][::-1]
    assert [o.to_bytes() for o in first] == [o.to_bytes() for o in second]
    foreign = {third.apply(data).ref.sop_instance_uid for data in objects}
    assert not foreign & {o.ref.sop_instance_uid for o in first}


def test_a_broken_reference_a_lost_label_a_changed_pixel_and_a_name_are_found() -> None:
    original = factories.part10(factories.plan())
    chosen = parse_options(["CleanDesc"])
    known = collect_identifiers([original], chosen)
    engine = Deidentifier(
        shipped_profile("AriaSecurityProfile"), chosen, KEY, PatientIdentity("DEMO-1"), known
    )
    output = engine.apply(original).to_bytes()
    verifier = Verifier(known)

    def found(change: str) -> set[Fault]:
        ds = dcmread(BytesIO(output))
        match change:
            case "label":
                del ds.RTPlanLabel
            case "beam dose":
                ds.BeamSequence[0].SourceAxisDistance = "999"
            case "name":
                ds.RTPlanDescription = "for demo^one"
            case "utf-16":
                ds.add_new(0x30091001, "UN", "Demo reviewer".encode("utf-16-le"))
            case "not declared":
                del ds.PatientIdentityRemoved
            case "old UID":
                ds.BeamSequence[0].add_new(0x00081155, "UI", factories.PLAN_UID)
        stream = BytesIO()
        ds.save_as(stream, enforce_file_format=True)
        return {finding.fault for finding in verifier.findings(original, stream.getvalue())}

    assert found("nothing") == set()
    assert found("label") == {Fault.REQUIRED}
    assert found("beam dose") == {Fault.BULK}
    assert found("name") == {Fault.IDENTIFIER}
    assert found("utf-16") == {Fault.IDENTIFIER}
    assert found("not declared") == {Fault.NOT_DECLARED}
    assert found("old UID") == {Fault.IDENTIFIER}
    assert verifier.findings(original, output[:-3]) == [Finding(Fault.UNREADABLE)]
    name_in_preamble = b"demo reviewer".ljust(128, b"\0") + output[128:]
    assert verifier.findings(original, name_in_preamble) == [Finding(Fault.IDENTIFIER, "0002")]


def test_a_reference_to_another_instance_is_found() -> None:
    plan, dose = factories.part10(factories.plan()), factories.part10(factories.dose())
    other = factories.part10(factories.dose(plan_uids=("1.2.3.4",)))
    (new_plan, new_dose, new_other), _ = deidentified(
        "DEMO-1", [plan, dose, other], "BasicSecurityProfile", ()
    )

    assert (
        reference_findings([(header(plan), header(new_plan)), (header(dose), header(new_dose))])
        == []
    )
    swapped = reference_findings(
        [(header(plan), header(new_plan)), (header(dose), header(new_other))]
    )
    assert [finding.fault for _, finding in swapped] == [Fault.REFERENCES]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no real objects beside the repository")
def test_real_objects_are_refused_or_pass_the_verification() -> None:
    by_patient: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    refused = []
    for path in sorted(FOLDER.rglob("*")):
        if not path.is_file() or path.suffix == ".csv":
            continue
        data = path.read_bytes()
        try:
            collect_identifiers([data], frozenset())
            by_patient[path.parts[len(FOLDER.parts)], header(data).patient_id].append(data)
        except Rejected:
            refused.append(path.name)

    faults, passed = [], 0
    for (_, patient_id), objects in by_patient.items():
        for profile, options in ((SHIPPED[0], OPTIONS[0]), (SHIPPED[1], OPTIONS[1])):
            chosen = parse_options(options)
            known = collect_identifiers(objects, chosen)
            engine = Deidentifier(
                shipped_profile(profile), chosen, KEY, PatientIdentity(patient_id), known
            )
            verifier, pairs = Verifier(known), []
            for data in objects:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        output = engine.apply(data).to_bytes()
                    except Rejected:
                        refused.append(profile)
                        continue
                faults += verifier.findings(data, output)
                pairs.append((header(data), header(output)))
            faults += [finding for _, finding in reference_findings(pairs)]
            passed += len(pairs)

    assert faults == []
    assert passed > 250
    assert len(refused) < 40
