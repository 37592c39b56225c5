"""From headers to the order in which instances are sent: nothing before what it references.

For each plan: the images of its structure set, the structure set, the plan, its cone-beam images,
doses, RT images, then registered images and structure sets with their registrations, its treatment
records. After the plans, what no plan is connected with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from dicomcore.model import InstanceHeader, Kind, Relation
from dicomcore.references import ReferenceGraph
from dicomcore.sending.machines import is_varian, lacks_machine, machines_for
from dicomcore.sending.values import (
    Batch,
    Concern,
    HeldBack,
    Notice,
    Policy,
    Reason,
    Role,
    Send,
    SendPlan,
    UnknownModel,
)
from dicomcore.tree import PatientTree, build_trees
from dicomcore.tree.nodes import DoseNode, PlanNode, RegistrationNode, SeriesNode, StructureSetNode

_ROLES = {
    Kind.PLAN: Role.PLAN,
    Kind.STRUCTURE_SET: Role.STRUCTURE_SET,
    Kind.DOSE: Role.DOSE,
    Kind.RT_IMAGE: Role.RT_IMAGE,
    Kind.RECORD: Role.RECORD,
    Kind.REGISTRATION: Role.REGISTRATION,
    Kind.IMAGE: Role.IMAGE,
}


def plan_sends(headers: Iterable[InstanceHeader], policy: Policy) -> SendPlan:
    """Return what is sent, in which order, and what is not and why.

    Every instance is in the plan exactly once: sent, or held back.

    Parameters
    ----------
    headers
        Of any number of patients, in any order. Of several versions of one SOP Instance UID one is
        sent and the others are held back.
    """
    patients: dict[str, dict[InstanceHeader, None]] = defaultdict(dict)
    for header in headers:
        patients[header.patient_id][header] = None
    done = [
        _Patient(ReferenceGraph(patients[tree.patient_id]), policy).planned(
            tree, patients[tree.patient_id]
        )
        for tree in build_trees(header for found in patients.values() for header in found)
    ]
    sends = [send for one in done for send in one.sent.values()]
    return SendPlan(
        batches=tuple(
            Batch(tuple(batch), orderless)
            for orderless, batch in groupby(sends, key=lambda send: send.role.orderless)
        ),
        held_back=tuple(held for one in done for held in one.held.values()),
        notices=tuple(notice for one in done for notice in one.notices),
        problems=tuple(problem for one in done for problem in one.problems),
    )


class _Patient:
    """One patient's instances, put into order one after another."""

    def __init__(self, graph: ReferenceGraph, policy: Policy) -> None:
        self._graph = graph
        self._policy = policy
        self._plan: InstanceHeader | None = None
        """Whose objects are being put into order."""
        self.sent: dict[str, Send] = {}
        self.held: dict[InstanceHeader, HeldBack] = {}
        self.notices: list[Notice] = []
        self.problems: list[UnknownModel] = []

    def planned(self, tree: PatientTree, headers: Iterable[InstanceHeader]) -> _Patient:
        """Put all into order; return itself."""
        refused = []
        for node in _related_first(tree.plans):
            plan = self._header(node.instance.ref.sop_instance_uid)
            if self._policy.any_receiver or is_varian(plan):
                self._of_plan(node, plan)
            else:
                refused.append(node)
                self._hold(plan.ref.sop_instance_uid, Reason.OTHER_MANUFACTURER)
        self._unconnected(tree, refused)
        for header in headers:
            if self._graph.header(header.ref.sop_instance_uid) != header:
                self.held[header] = HeldBack(header, Reason.OTHER_VERSION)
        return self

    # ── one plan ────────────────────────────────────────────────────────────────────────────

    def _of_plan(self, node: PlanNode, plan: InstanceHeader) -> None:
        self._plan = plan
        for structure_set in node.structure_sets:
            self._structure_set(structure_set)
        self._series(node.images, Role.IMAGE)
        self._send_plan(plan)
        self._series(node.cone_beams, Role.CONE_BEAM)
        self._doses(node.doses)
        self._rt_images(node)
        for registration in node.registrations:
            self._registration(registration)
        for record in _records(node):
            self._send(record, Role.RECORD)
        self._series(node.others, Role.OTHER)
        self._plan = None

    def _send_plan(self, plan: InstanceHeader) -> None:
        machines = machines_for(plan, self._policy)
        if isinstance(machines, UnknownModel):
            self.problems.append(machines)
            machines = ()
        if lacks_machine(plan, self._policy):
            self.notices.append(Notice(plan, Concern.NO_MACHINE))
        uid = plan.ref.sop_instance_uid
        self.sent.setdefault(uid, Send(plan, Role.PLAN, plan, machines))

    def _doses(self, doses: Sequence[DoseNode]) -> None:
        """Send those doses all of whose plans have been sent, or are not to be had."""
        for node in doses:
            uid = node.instance.ref.sop_instance_uid
            plans = self._graph.targets(self._header(uid), Relation.PLAN)
            if all(plan.ref.sop_instance_uid in self.sent or self._refused(plan) for plan in plans):
                self._send(uid, Role.DOSE)

    def _rt_images(self, node: PlanNode) -> None:
        for beam in node.beams:
            for image in (*beam.drrs, *beam.rt_images):
                self._send(image.ref.sop_instance_uid, Role.RT_IMAGE)
        for image in (*node.drrs, *node.rt_images):
            self._send(image.ref.sop_instance_uid, Role.RT_IMAGE)

    def _structure_set(self, node: StructureSetNode, *, registered: bool = False) -> None:
        images = Role.REGISTERED_IMAGE if registered else Role.IMAGE
        role = Role.REGISTERED_STRUCTURE_SET if registered else Role.STRUCTURE_SET
        self._series(node.image_series, images)
        self._send(node.instance.ref.sop_instance_uid, role)

    def _registration(self, node: RegistrationNode) -> None:
        self._series(node.image_series, Role.REGISTERED_IMAGE)
        for structure_set in node.structure_sets:
            self._structure_set(structure_set, registered=True)
        self._send(node.instance.ref.sop_instance_uid, Role.REGISTRATION)

    # ── what no plan that is sent is connected with ─────────────────────────────────────────

    def _unconnected(self, tree: PatientTree, refused: Sequence[PlanNode]) -> None:
        for node in refused:
            self._hold_with(node)
        rest = tree.unconnected
        self._series((*rest.images, *rest.cone_beams), Role.IMAGE)
        for node in refused:
            self._series((*node.images, *node.cone_beams), Role.IMAGE)
        of_refused = (s for node in refused for s in node.structure_sets)
        for structure_set in (*rest.structure_sets, *of_refused):
            self._structure_set(structure_set)
        of_refused_too = (r for node in refused for r in node.registrations)
        for registration in (*rest.registrations, *of_refused_too):
            self._registration(registration)
        for dose in rest.doses:
            self._dose_without_plan(dose.instance.ref.sop_instance_uid)
        # what the tree shows in no place of its own; orderless ones first, as everywhere
        left = sorted(self._left(), key=lambda header: not _role(header).orderless)
        for header in left:
            self._send(header.ref.sop_instance_uid, _role(header))

    def _dose_without_plan(self, uid: str) -> None:
        header = self._header(uid)
        self.notices.append(Notice(header, Concern.DOSE_WITHOUT_PLAN))
        if self._policy.any_receiver:
            self._send(uid, Role.DOSE)
        else:
            self._hold(uid, Reason.NO_PLAN)

    def _hold_with(self, node: PlanNode) -> None:
        """Hold back what makes no sense without a plan that is held back."""
        leaves = [
            *(dose.instance for dose in node.doses),
            *(image for beam in node.beams for image in (*beam.drrs, *beam.rt_images)),
            *node.drrs,
            *node.rt_images,
        ]
        for uid in (*(leaf.ref.sop_instance_uid for leaf in leaves), *_records(node)):
            self._hold(uid, Reason.PLAN_HELD_BACK)
        for series in node.others:
            for header in self._graph.series(series.series_instance_uid):
                if header.kind in (Kind.SEGMENTATION, Kind.OTHER):
                    self._hold(header.ref.sop_instance_uid, Reason.PLAN_HELD_BACK)

    def _left(self) -> Iterable[InstanceHeader]:
        return (
            header
            for header in self._graph.headers
            if header.ref.sop_instance_uid not in self.sent and header not in self.held
        )

    # ── one instance ────────────────────────────────────────────────────────────────────────

    def _series(self, nodes: Iterable[SeriesNode], role: Role) -> None:
        for node in nodes:
            for header in self._graph.series(node.series_instance_uid):
                if header.kind is Kind.IMAGE or role is Role.OTHER:
                    self._send(header.ref.sop_instance_uid, role)

    def _send(self, uid: str, role: Role) -> None:
        header = self._header(uid)
        if uid not in self.sent and header not in self.held:
            self.sent[uid] = Send(header, role, self._plan)

    def _hold(self, uid: str, reason: Reason) -> None:
        header = self._header(uid)
        if uid not in self.sent:
            self.held.setdefault(header, HeldBack(header, reason))

    def _refused(self, plan: InstanceHeader) -> bool:
        return not (self._policy.any_receiver or is_varian(plan))

    def _header(self, uid: str) -> InstanceHeader:
        header = self._graph.header(uid)
        if header is None:
            raise KeyError(uid)
        return header


def _role(header: InstanceHeader) -> Role:
    return _ROLES.get(header.kind, Role.OTHER)


def _records(node: PlanNode) -> Sequence[str]:
    treated = (*(t for beam in node.beams for t in beam.records), *node.records)
    return tuple(dict.fromkeys(t.instance.ref.sop_instance_uid for t in treated))


def _related_first(plans: Sequence[PlanNode]) -> Sequence[PlanNode]:
    """Return plans in their order, but each one after those it names; cycles are cut."""
    nodes = {node.instance.ref.sop_instance_uid: node for node in plans}
    ordered: dict[str, PlanNode] = {}
    seen: set[str] = set()
    # a list and not the call stack: chains of plans come from outside
    for start in nodes:
        stack = [(start, False)]
        while stack:
            uid, named_are_done = stack.pop()
            if named_are_done:
                ordered[uid] = nodes[uid]
            elif uid not in seen:
                seen.add(uid)
                stack.append((uid, True))
                named = [r.instance.ref.sop_instance_uid for r in nodes[uid].related_plans]
                stack += [(other, False) for other in reversed(named) if other in nodes]
    return tuple(ordered.values())
