"""The parts that the branches of a reference tree are made of, and what has been placed in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from dicomcore.model import ImageDetails, InstanceHeader, Kind, Level, Reference, Relation
from dicomcore.references import ReferenceGraph, frames_of
from dicomcore.tree.nodes import (
    DoseNode,
    Leaf,
    Missing,
    RegistrationNode,
    SeriesNode,
    StructureSetNode,
)

_IMAGES = (Relation.IMAGE, Relation.IMAGE_SERIES)


class Branches:
    """Nodes of one patient. Whatever is put into a node counts as placed.

    Parameters
    ----------
    conflicts
        SOP Instance UIDs under which different bytes are kept.
    """

    def __init__(self, graph: ReferenceGraph, conflicts: Collection[str]) -> None:
        self.graph = graph
        self._conflicts = frozenset(graph.several).union(conflicts)
        self._placed: set[str] = set()

    def unplaced(self, *kinds: Kind) -> Sequence[InstanceHeader]:
        """Return the instances of these kinds that no node holds yet, in order."""
        found = self.graph.of_kind(*kinds)
        return tuple(h for h in found if h.ref.sop_instance_uid not in self._placed)

    def in_conflict(self, uid: str) -> bool:
        """Return whether different versions of an instance exist."""
        return uid in self._conflicts

    def leaf(self, header: InstanceHeader) -> Leaf:
        """Return the node of one instance."""
        uid = header.ref.sop_instance_uid
        self._placed.add(uid)
        return Leaf(
            ref=header.ref,
            kind=header.kind,
            modality=header.modality,
            sop_class_uid=header.sop_class_uid,
            details=header.details,
            conflict=self.in_conflict(uid),
        )

    def dose(self, header: InstanceHeader) -> DoseNode:
        """Return the node of a dose."""
        return DoseNode(self.leaf(header), self.missing(header))

    def structure_set(self, header: InstanceHeader) -> StructureSetNode:
        """Return the node of a structure set, with the image series that it references."""
        return StructureSetNode(self.leaf(header), self.image_series(header), self.missing(header))

    def registration(
        self, header: InstanceHeader, *, frames: frozenset[str], shown: frozenset[str]
    ) -> RegistrationNode:
        """Return the node of a registration, with what is on its other side.

        Parameters
        ----------
        frames
            The frames of reference of the plan it is shown for: this side.
        shown
            Structure sets and image series that are shown for the plan, by UID.
        """
        leaf = self.leaf(header)
        other = [frame for frame in frames_of(header) if frame not in frames]
        structures = dict.fromkeys(self.graph.targets(header, Relation.STRUCTURE_SET))
        for frame in other:
            structures.update(dict.fromkeys(self._in_frame(frame, Kind.STRUCTURE_SET)))
        structure_sets = tuple(
            self.structure_set(structure)
            for structure in sorted(structures, key=lambda h: h.ref)
            if structure.ref.sop_instance_uid not in shown
        )
        below = {s.series_instance_uid for node in structure_sets for s in node.image_series}
        series = self.image_series(header, frames=other)
        return RegistrationNode(
            leaf,
            structure_sets,
            tuple(s for s in series if s.series_instance_uid not in below | shown),
            self.missing(header),
        )

    def series_of(self, headers: Iterable[InstanceHeader]) -> tuple[SeriesNode, ...]:
        """Return the series of these instances, counting these only, ordered by date and UID."""
        series: dict[str, list[InstanceHeader]] = defaultdict(list)
        for header in headers:
            series[header.ref.series_instance_uid].append(header)
        nodes = (self._series(uid, found) for uid, found in series.items())
        return tuple(sorted(nodes, key=_series_order))

    def whole_series_of(self, headers: Iterable[InstanceHeader]) -> tuple[SeriesNode, ...]:
        """Return the series of these instances with all that is in them, in the same order."""
        uids = dict.fromkeys(header.ref.series_instance_uid for header in headers)
        return self.series_of(header for uid in uids for header in self.graph.series(uid))

    def image_series(
        self, header: InstanceHeader, *, frames: Collection[str] | None = None
    ) -> tuple[SeriesNode, ...]:
        """Return the image series that an instance references, whole series or single images.

        Parameters
        ----------
        frames
            Where it references no image at all, the series in these frames of reference are taken;
            if None, in its own ones.
        """
        references = [r for r in header.references if r.relation in _IMAGES]
        if not references:
            return self.in_frames(frames_of(header) if frames is None else frames)
        single: dict[str, list[str]] = defaultdict(list)
        study: dict[str, str] = {}
        for reference in references:
            uid = self._series_uid(reference)
            study.setdefault(uid, reference.study_instance_uid)
            if reference.level is Level.INSTANCE:
                single[uid].append(reference.uid)
        nodes = (self._series(u, self.graph.series(u), single[u], study[u]) for u in study)
        return tuple(sorted(nodes, key=_series_order))

    def in_frames(
        self, frames: Iterable[str], *, without_plan: bool = False
    ) -> tuple[SeriesNode, ...]:
        """Return the image series in some frames of reference, marked as not referenced.

        Parameters
        ----------
        without_plan
            Leave out cone-beam series: those that reference a plan.
        """
        images = (header for frame in frames for header in self._in_frame(frame, Kind.IMAGE))
        found = {
            image.ref.series_instance_uid
            for image in images
            if not (without_plan and image.targets(Relation.PLAN))
        }
        nodes = (self._series(uid, self.graph.series(uid), by_frame=True) for uid in found)
        return tuple(sorted(nodes, key=_series_order))

    def missing(self, header: InstanceHeader, *, images: bool = False) -> tuple[Missing, ...]:
        """Return what an instance references and is not there, each once.

        Parameters
        ----------
        images
            Missing images as well; otherwise their series tell of them.
        """
        dangling = ((d, d.reference) for d in self.graph.dangling(header))
        return tuple(
            Missing(reference.relation, d.kind, reference.uid, reference.level, reference.note)
            for d, reference in dangling
            if reference.relation is not Relation.OTHER
            and (images or reference.relation not in _IMAGES)
        )

    def _in_frame(self, frame: str, kind: Kind) -> Iterator[InstanceHeader]:
        return (h for h in self.graph.in_frame(frame) if h.kind is kind)

    def _series_uid(self, reference: Reference) -> str:
        """The series an image really is in; where it is missing, the one the reference names."""
        if reference.level is Level.SERIES:
            return reference.uid
        image = self.graph.header(reference.uid)
        return reference.series_instance_uid if image is None else image.ref.series_instance_uid

    def _series(
        self,
        uid: str,
        found: Sequence[InstanceHeader],
        referenced: Sequence[str] = (),
        study: str = "",
        *,
        by_frame: bool = False,
    ) -> SeriesNode:
        uids = [uid for header in found for uid in self.graph.uids(header)]
        self._placed.update(uids)
        first = found[0] if found else None
        dates = sorted(filter(None, (_date(header) for header in found)))
        return SeriesNode(
            series_instance_uid=uid,
            study_instance_uid=study if first is None else first.ref.study_instance_uid,
            modality="" if first is None else first.modality,
            description="" if first is None else first.series_description,
            date=dates[0] if dates else "",
            number_of_instances=len(uids),
            number_referenced=len(referenced),
            missing_uids=tuple(u for u in referenced if self.graph.header(u) is None),
            by_frame=by_frame,
            conflicts=len(self._conflicts.intersection(uids)),
        )


def _date(header: InstanceHeader) -> str:
    return (header.details.date if isinstance(header.details, ImageDetails) else "") or (
        header.study_date
    )


def _series_order(series: SeriesNode) -> tuple[str, str, str]:
    return series.date, series.modality, series.series_instance_uid
