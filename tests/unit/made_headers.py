"""Headers of made-up instances, short enough that a tree of them can be read."""

from __future__ import annotations

from dataclasses import replace

from dicomcore.model import (
    Details,
    DoseDetails,
    ImageDetails,
    InstanceHeader,
    Kind,
    Level,
    PlanDetails,
    RecordDetails,
    Reference,
    RegistrationDetails,
    Relation,
    RtImageDetails,
    StructureSetDetails,
)
from dicomcore.uids import FrameUID, parse_ref

_KINDS: dict[type, tuple[Kind, str]] = {
    PlanDetails: (Kind.PLAN, "RTPLAN"),
    StructureSetDetails: (Kind.STRUCTURE_SET, "RTSTRUCT"),
    DoseDetails: (Kind.DOSE, "RTDOSE"),
    RtImageDetails: (Kind.RT_IMAGE, "RTIMAGE"),
    RecordDetails: (Kind.RECORD, "RTRECORD"),
    RegistrationDetails: (Kind.REGISTRATION, "REG"),
}


def made(
    uid: str,
    details: Details,
    *references: Reference,
    series: str = "",
    frame: str = "",
    study: str = "1.1",
    patient: str = "P-1",
) -> InstanceHeader:
    """An instance that is no image; its series is named like it unless told."""
    kind, modality = _KINDS[type(details)]
    return InstanceHeader(
        ref=parse_ref(study, series or f"{uid}.0", uid),
        sop_class_uid="",
        kind=kind,
        modality=modality,
        frame_of_reference_uid=FrameUID(frame) if frame else None,
        references=references,
        details=details,
        patient_id=patient,
        patient_name="DOE^JANE",
    )


def images(
    series: str,
    modality: str = "CT",
    *references: Reference,
    number: int = 3,
    frame: str = "",
    date: str = "",
    study: str = "1.1",
    kind: Kind = Kind.IMAGE,
) -> list[InstanceHeader]:
    """A series: instances `<series>.1` and so on."""
    first = replace(
        made(f"{series}.1", PlanDetails(), *references, series=series, frame=frame, study=study),
        kind=kind,
        modality=modality,
        details=ImageDetails(date=date),
    )
    return [
        replace(first, ref=parse_ref(study, series, f"{series}.{n}")) for n in range(1, number + 1)
    ]


def to(relation: Relation, uid: str, note: str = "", *, series: str = "") -> Reference:
    """A reference to an instance."""
    return Reference(relation, uid, note=note, series_instance_uid=series)


def to_series(uid: str) -> Reference:
    return Reference(Relation.IMAGE_SERIES, uid, Level.SERIES)


def to_frame(uid: str) -> Reference:
    return Reference(Relation.FRAME_OF_REFERENCE, uid, Level.FRAME)
