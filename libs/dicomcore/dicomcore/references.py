"""The graph of references between instances: forward, backward, by frame of reference, and dangling.

The same graph for every order and any repetition of the headers it is made from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from dicomcore.header import header_to_json
from dicomcore.model import InstanceHeader, Kind, Level, Reference, Relation
from dicomcore.readers.kinds import kind_of
from dicomcore.uids import InstanceUID

_KIND_OF_TARGET: Mapping[Relation, Kind] = {
    Relation.STRUCTURE_SET: Kind.STRUCTURE_SET,
    Relation.IMAGE: Kind.IMAGE,
    Relation.IMAGE_SERIES: Kind.IMAGE,
    Relation.DOSE: Kind.DOSE,
    Relation.DRR: Kind.RT_IMAGE,
    Relation.PLAN: Kind.PLAN,
    Relation.RELATED_PLAN: Kind.PLAN,
    Relation.RECORD: Kind.RECORD,
}


@dataclass(frozen=True, slots=True)
class Dangling:
    """A reference whose target is not there."""

    reference: Reference
    holder: InstanceHeader
    """The instance that holds it."""

    @property
    def kind(self) -> Kind:
        """What the target would be: by its SOP class if that is named, else by the relation."""
        kind = kind_of(self.reference.sop_class_uid)
        if kind is not Kind.OTHER:
            return kind
        return _KIND_OF_TARGET.get(self.reference.relation, Kind.OTHER)


@dataclass(frozen=True, slots=True)
class Stack:
    """Images whose headers differ in SOP Instance UID and Instance Number only: one stands for all.

    A patient may have 100,000 images, and some hundred headers that differ otherwise.
    """

    header: InstanceHeader
    """Of one of them."""
    uids: tuple[str, ...]
    """SOP Instance UIDs of all of them, each once and in no other stack or header."""


class ReferenceGraph:
    """Instances, at most one version of each, and what they reference; across studies.

    Parameters
    ----------
    headers
        In any order, repeated or not. Of several versions of one SOP Instance UID, the one with the
        most references is taken, so that nothing that any order would have found is lost.
    stacks
        Images besides; the header of a stack stands for them wherever headers are returned, and
        `uids` tells for which.
    """

    def __init__(self, headers: Iterable[InstanceHeader], stacks: Iterable[Stack] = ()) -> None:
        versions: dict[InstanceUID, set[InstanceHeader]] = defaultdict(set)
        for header in headers:
            versions[header.ref.sop_instance_uid].add(header)
        self._stacks: dict[str, tuple[str, ...]] = {}
        self._stacked: dict[str, InstanceHeader] = {}
        for stack in stacks:
            versions[stack.header.ref.sop_instance_uid].add(stack.header)
            self._stacks[stack.header.ref.sop_instance_uid] = stack.uids
            self._stacked.update(dict.fromkeys(stack.uids, stack.header))
        chosen = sorted((_one(v) for v in versions.values()), key=_place)
        self._instances = {header.ref.sop_instance_uid: header for header in chosen}
        self._versions = {uid: len(found) for uid, found in versions.items()}
        self._series: dict[str, list[InstanceHeader]] = defaultdict(list)
        self._frames: dict[str, list[InstanceHeader]] = defaultdict(list)
        self._holders: dict[str, list[tuple[Reference, InstanceHeader]]] = defaultdict(list)
        for header in chosen:
            self._series[header.ref.series_instance_uid].append(header)
            for frame in frames_of(header):
                self._frames[frame].append(header)
            for reference in header.references:
                self._holders[reference.uid].append((reference, header))

    @property
    def headers(self) -> Sequence[InstanceHeader]:
        """All instances, ordered by study, series and instance."""
        return tuple(self._instances.values())

    def header(self, uid: str) -> InstanceHeader | None:
        """Return the instance with this SOP Instance UID, or the one that stands for it, if there."""
        return self._instances.get(InstanceUID(uid)) or self._stacked.get(uid)

    def uids(self, header: InstanceHeader) -> Sequence[str]:
        """Return the SOP Instance UIDs that a header of this graph stands for: mostly its own."""
        own = header.ref.sop_instance_uid
        return self._stacks.get(own, (own,))

    @property
    def several(self) -> Set[str]:
        """SOP Instance UIDs of which different headers were given."""
        return frozenset(uid for uid, count in self._versions.items() if count > 1)

    def versions(self, uid: str) -> int:
        """Return how many different headers were given for this SOP Instance UID."""
        return self._versions.get(InstanceUID(uid), 0)

    def of_kind(self, *kinds: Kind) -> Sequence[InstanceHeader]:
        """Return the instances of these kinds, in order."""
        return tuple(h for h in self._instances.values() if h.kind in kinds)

    def series(self, uid: str) -> Sequence[InstanceHeader]:
        """Return the instances of a series, in order; empty if none is there."""
        return tuple(self._series.get(uid, ()))

    def in_frame(self, frame: str) -> Sequence[InstanceHeader]:
        """Return the instances in, or tied to, a frame of reference, in order."""
        return tuple(self._frames.get(frame, ()))

    def targets(self, header: InstanceHeader, *relations: Relation) -> Sequence[InstanceHeader]:
        """Return what `header` references in these ways and is there; a series as its instances."""
        found: dict[InstanceUID, InstanceHeader] = {}
        for reference in header.references:
            if reference.relation in relations:
                for target in self._present(reference):
                    found.setdefault(target.ref.sop_instance_uid, target)
        return tuple(found.values())

    def holders(self, uid: str, *relations: Relation) -> Sequence[InstanceHeader]:
        """Return the instances that reference `uid` in these ways, in order."""
        found = self._holders.get(uid, ())
        return tuple(dict.fromkeys(h for reference, h in found if reference.relation in relations))

    def dangling(self, header: InstanceHeader | None = None) -> Sequence[Dangling]:
        """Return the references, of one instance or of all, whose target is not there, in order.

        Frames of reference are no objects and never dangle.
        """
        holders = self._instances.values() if header is None else (header,)
        return tuple(
            Dangling(reference, holder)
            for holder in holders
            for reference in holder.references
            if reference.level is not Level.FRAME and not self._present(reference)
        )

    def _present(self, reference: Reference) -> Sequence[InstanceHeader]:
        if reference.level is Level.INSTANCE:
            target = self.header(reference.uid)
            return () if target is None else (target,)
        return self._series.get(reference.uid, ()) if reference.level is Level.SERIES else ()


def frames_of(header: InstanceHeader) -> tuple[str, ...]:
    """Return the frames of reference an instance is in or ties, its own first, each once."""
    own = (header.frame_of_reference_uid,) if header.frame_of_reference_uid else ()
    return tuple(dict.fromkeys((*own, *header.targets(Relation.FRAME_OF_REFERENCE))))


def _place(header: InstanceHeader) -> tuple[str, str, str]:
    ref = header.ref
    return ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid


def _one(versions: set[InstanceHeader]) -> InstanceHeader:
    """Return the same version for every order in which they come."""
    if len(versions) == 1:
        return next(iter(versions))
    return max(versions, key=lambda h: (len(h.references), header_to_json(h)))
