"""What is known while a retrieval runs, and quick answers about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dicomcore.catalogue import Catalogue, InstanceEntry, SeriesEntry
from dicomcore.model import InstanceHeader
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID

PLANS = frozenset({"RTPLAN"})
STRUCTURE_SETS = frozenset({"RTSTRUCT"})
DOSES = frozenset({"RTDOSE"})
RT_IMAGES = frozenset({"RTIMAGE"})
RECORDS = frozenset({"RTRECORD"})
REGISTRATIONS = frozenset({"REG"})
RT_OBJECTS = PLANS | STRUCTURE_SETS | DOSES | RT_IMAGES | RECORDS | REGISTRATIONS

PROBED = frozenset({"CT", "MR", "PT", "NM", "US", "XA", "RF", ""})
"""Image modalities that may tie to a plan by reference or frame of reference; the empty one is a
series whose modality the PACS did not tell."""


@dataclass(frozen=True)
class Knowledge:
    """Everything the planner may decide on; the executor replaces it after each step."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    landed: Mapping[SeriesUID, Collection[InstanceUID]] = field(default_factory=dict)
    """What the object store holds of the patient's series."""
    headers: Mapping[InstanceUID, InstanceHeader] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)
    """SOP or Series Instance UID → why it will not be asked for, or read, again."""
    moved_series: frozenset[SeriesUID] = frozenset()
    """Series that were asked for as a whole and came as far as they will."""

    def has_landed(self, entry: InstanceEntry) -> bool:
        """Whether the instance is in the object store."""
        return entry.uid in self.landed.get(entry.ref.series_instance_uid, ())

    def entries(self, series: SeriesUID) -> tuple[InstanceEntry, ...]:
        """Return the known instances of a series.

        Of a series that the PACS lists, what it listed; of one that it does not, what has landed.
        """
        listed = self.catalogue.instances.get(series)
        if listed is not None:
            return listed
        if series not in self.catalogue.unlistable:
            return ()
        study = self.catalogue.series[series].study_instance_uid
        return tuple(
            InstanceEntry(
                InstanceRef(study, series, uid),
                self.headers[uid].sop_class_uid if uid in self.headers else "",
            )
            for uid in sorted(self.landed.get(series, ()))
        )

    def series_with(self, modalities: Collection[str]) -> Iterator[SeriesEntry]:
        """Yield the series of these modalities in the order of their UIDs."""
        for entry in self._sorted_series:
            if self.modality(entry.series_instance_uid) in modalities:
                yield entry

    def modality(self, series: SeriesUID) -> str:
        """Return a series' modality: the PACS's word, else that of a header we have read."""
        told = self.catalogue.series[series].modality
        if told:
            return told
        for entry in self.entries(series):
            if entry.uid in self.headers:
                return self.headers[entry.uid].modality
        return ""

    def locate(self, uid: str) -> InstanceEntry | None:
        """Return the entry of an instance among the listed and landed ones."""
        return self._by_uid.get(uid)

    def tells_referenced_plans(self, modality: str) -> bool:
        """Whether this PACS fills Referenced RT Plan Sequence (300C,0002) in C-FIND replies.

        Believed only on evidence: one reply of the modality, or of any image modality for images,
        had it filled. From then on an empty one means that there is no reference.
        """
        kin = PROBED if modality in PROBED else {modality}
        return not kin.isdisjoint(self._tells_plans)

    @cached_property
    def _sorted_series(self) -> tuple[SeriesEntry, ...]:
        return tuple(self.catalogue.series[uid] for uid in sorted(self.catalogue.series))

    @cached_property
    def _by_uid(self) -> Mapping[str, InstanceEntry]:
        found: dict[str, InstanceEntry] = {}
        for series in self._sorted_series:
            for entry in self.entries(series.series_instance_uid):
                found.setdefault(entry.uid, entry)
        return found

    @cached_property
    def _tells_plans(self) -> frozenset[str]:
        return frozenset(
            self.catalogue.series[series].modality
            for series, entries in self.catalogue.instances.items()
            if any(entry.referenced_plan_uids for entry in entries)
        )
