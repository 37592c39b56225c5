"""What a plan says by itself: who, when, how much, with what."""

from __future__ import annotations

from collections.abc import Iterable

from dicomcore.attributes import Attribute
from dicomcore.model import InstanceHeader, PlanDetails, Relation
from dicomcore.plan_facts import beams, dose
from dicomcore.plan_facts.found import Found, distinct
from dicomcore.plan_facts.model import PlanFacts

_SEX = "00100040"
_BIRTH_DATE = "00100030"
_OPERATORS = "00081070"
_REVIEWER = "300E0008"
_REVIEW_DATE = "300E0004"
_REVIEW_TIME = "300E0005"
_PRESCRIPTION = "300A000E"
_SITES = "300A000B"
_PROTOCOLS = "300A0009"
_POSITION = "300A0180/00185100"
WANTED = frozenset(
    (
        *(_SEX, _BIRTH_DATE, _OPERATORS, _REVIEWER, _REVIEW_DATE, _REVIEW_TIME),
        *(_PRESCRIPTION, _SITES, _PROTOCOLS, _POSITION),
        *dose.WANTED,
        *beams.WANTED,
    )
)


def plan_facts(header: InstanceHeader, attributes: Iterable[Attribute]) -> PlanFacts | None:
    """Return the facts of a plan; None if the instance is none.

    Parameters
    ----------
    attributes
        Of `dicomcore.flatten`; without them, the facts that a header has.
    """
    details = header.details
    if not isinstance(details, PlanDetails):
        return None
    found = Found(attributes, WANTED)
    prescribed = dose.prescribed(details, found)
    told = beams.beam_facts(details, found)
    return PlanFacts(
        sop_class_uid=header.sop_class_uid,
        patient_sex=found.first(_SEX),
        patient_birth_date=found.first(_BIRTH_DATE),
        patient_name=header.patient_name,
        rt_plan_label=details.label,
        rt_plan_name=details.name,
        rt_plan_date=details.date,
        rt_plan_time=details.time,
        plan_intent=details.intent,
        approval_status=details.approval_status,
        reviewer_name=found.first(_REVIEWER),
        review_date=found.first(_REVIEW_DATE),
        review_time=found.first(_REVIEW_TIME),
        operators_name=found.texts(_OPERATORS),
        sites=distinct(
            (
                *found.texts(_PRESCRIPTION, _SITES),
                *(one.description for one in details.prescriptions),
            )
        ),
        techniques=found.texts(_PROTOCOLS),
        total_dose_gy=prescribed.total_gy,
        dose_per_fraction_gy=prescribed.per_fraction_gy,
        number_of_fractions_planned=prescribed.fractions,
        machines=told.machines,
        manufacturers=told.manufacturers,
        models=told.models,
        energies=told.energies,
        nominal_beam_energies=told.nominal_beam_energies,
        radiation_types=told.radiation_types,
        mlc_types=told.mlc_types,
        beam_types=told.beam_types,
        beam_techniques=told.beam_techniques,
        number_of_beams=told.count,
        number_of_control_points=told.control_points,
        max_control_points=told.max_control_points,
        patient_positions=found.texts(_POSITION),
        structure_set_uids=tuple(dict.fromkeys(header.targets(Relation.STRUCTURE_SET))),
        target_roi_numbers=prescribed.roi_numbers,
    )
