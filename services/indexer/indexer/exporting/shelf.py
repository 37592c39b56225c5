"""What of a resolved selection the object store holds, as files of an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dicomcore.export import Exportable, ExportFile, ManifestMissing, plan_export
from dicomcore.keys import parse_object_key, series_prefix
from dicomcore.ports import ObjectStat, ObjectStore
from indexer.exporting.resolving import Resolved

NOT_STORED = "it is in the index, but not in the object store"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The files of an export, patient by patient."""

    by_patient: tuple[tuple[ExportFile, ...], ...]
    """In the order of `Resolved.patients`."""
    missing: tuple[ManifestMissing, ...]
    size_bytes: int
    """Of all files, as they are."""

    @property
    def files(self) -> Sequence[ExportFile]:
        """All of them, by name."""
        return sorted((f for files in self.by_patient for f in files), key=lambda file: file.name)


def look(resolved: Resolved, store: ObjectStore, check: Callable[[], None]) -> Shelf:
    """Return what is there; each series is listed once.

    Parameters
    ----------
    check
        Called before each series; what it raises ends the export.

    Raises
    ------
    ObjectStoreUnavailable
    """
    stats = _stats(resolved, store, check)
    exportable: list[Exportable] = []
    missing: list[ManifestMissing] = []
    patient_of: dict[str, int] = {}
    for one in resolved.chosen:
        versions = tuple(stats[key] for key in one.object_keys if key in stats)
        patient_of.update((stat.key, one.patient) for stat in versions)
        if versions:
            exportable.append(Exportable(one.sop_class_uid, one.modality, one.why, versions))
        else:
            missing.append(
                ManifestMissing(
                    uid=one.sop_instance_uid,
                    level="instance",
                    modality=one.modality,
                    why=one.why,
                    reason=NOT_STORED,
                )
            )
    by_patient: list[list[ExportFile]] = [[] for _ in resolved.patients]
    for file in plan_export(exportable):
        by_patient[patient_of[file.object_key]].append(file)
    size = sum(stat.size_bytes for one in exportable for stat in one.versions)
    return Shelf(tuple(map(tuple, by_patient)), tuple(missing), size)


def _stats(
    resolved: Resolved, store: ObjectStore, check: Callable[[], None]
) -> Mapping[str, ObjectStat]:
    wanted = {key for one in resolved.chosen for key in one.object_keys}
    refs = (parse_object_key(key).ref for key in wanted)
    prefixes = {series_prefix(ref.study_instance_uid, ref.series_instance_uid) for ref in refs}
    stats: dict[str, ObjectStat] = {}
    for prefix in sorted(prefixes):
        check()
        stats.update((stat.key, stat) for stat in store.list(prefix) if stat.key in wanted)
    return stats
