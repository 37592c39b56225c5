"""What a plan is told and found by: derived from the plan, its structure sets and its records."""

from dicomcore.plan_facts.links import linked
from dicomcore.plan_facts.model import (
    PlanFacts,
    PlanLinks,
    PlanSummary,
    StructureFacts,
    TreatmentFacts,
)
from dicomcore.plan_facts.plan import plan_facts
from dicomcore.plan_facts.related import structure_facts, treatment_facts

__all__ = [
    "PlanFacts",
    "PlanLinks",
    "PlanSummary",
    "StructureFacts",
    "TreatmentFacts",
    "linked",
    "plan_facts",
    "structure_facts",
    "treatment_facts",
]
