"""The heart: given what a PACS says exists and what has landed, the next step, or done.

Pure and deterministic. The executor carries steps out and comes back with more knowledge::

    values      what a step, a want and an outcome are
    knowledge   what is known: catalogue, landed, headers, given up
    demand      what a decision needs next: list a series, read a header, fetch
    plans       which plans are meant
    closure     what a plan references, and what references it
    next_step   the order of it all
    ladder      how to ask a PACS that refuses: fewer UIDs, then the series, then the study
"""

from dicomcore.planner.knowledge import Knowledge
from dicomcore.planner.next_step import next_step
from dicomcore.planner.values import (
    DanglingReference,
    Expected,
    Fetch,
    Finished,
    ListSeries,
    MissingItem,
    Outcome,
    PlanDecision,
    ReadHeaders,
    Selection,
    Stage,
    Step,
    Verdict,
    Want,
)

__all__ = [
    "DanglingReference",
    "Expected",
    "Fetch",
    "Finished",
    "Knowledge",
    "ListSeries",
    "MissingItem",
    "Outcome",
    "PlanDecision",
    "ReadHeaders",
    "Selection",
    "Stage",
    "Step",
    "Verdict",
    "Want",
    "next_step",
]
