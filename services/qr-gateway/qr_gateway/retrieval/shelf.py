"""What the object store holds of one patient: the only proof that something has landed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dicomcore.errors import InvalidRequest
from dicomcore.keys import parse_object_key, series_prefix, study_prefix
from dicomcore.ports import ObjectStore
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID, StudyUID


@dataclass(frozen=True, slots=True)
class Landed:
    """One instance in the store, by its newest version."""

    ref: InstanceRef
    object_key: str
    size_bytes: int
    modified_at: datetime


class Shelf:
    """The landed instances of some studies, as of the last look."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._by_series: dict[SeriesUID, dict[InstanceUID, Landed]] = {}

    @property
    def by_series(self) -> Mapping[SeriesUID, Mapping[InstanceUID, Landed]]:
        """Every landed instance that was seen."""
        return self._by_series

    def find(self, series: SeriesUID, uid: InstanceUID) -> Landed | None:
        """Return a landed instance."""
        return self._by_series.get(series, {}).get(uid)

    def look_at_study(self, study: StudyUID) -> tuple[Landed, ...]:
        """Look at a whole study again; return what was not there at the last look."""
        return self._look(study_prefix(study))

    def look_at_series(self, study: StudyUID, series: SeriesUID) -> tuple[Landed, ...]:
        """Look at one series again; return what was not there at the last look."""
        return self._look(series_prefix(study, series))

    def _look(self, prefix: str) -> tuple[Landed, ...]:
        new: dict[InstanceUID, Landed] = {}
        for stat in self._store.list(prefix):
            try:
                ref = parse_object_key(stat.key).ref
            except InvalidRequest:
                continue  # somebody else's object below our prefix
            landed = Landed(ref, stat.key, stat.size_bytes, stat.modified_at)
            series = self._by_series.setdefault(ref.series_instance_uid, {})
            known = series.get(ref.sop_instance_uid)
            if known is None:
                new[ref.sop_instance_uid] = landed
            if known is None or (known.modified_at, known.object_key) < (
                landed.modified_at,
                landed.object_key,
            ):
                series[ref.sop_instance_uid] = landed
        return tuple(new.values())
