"""The folder that a retrieval fills: files as they are in the store, and a manifest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from dicomcore.errors import InvalidUid, NotFound, Unreadable
from dicomcore.export import (
    MANIFEST_NAME,
    Exportable,
    Manifest,
    ManifestCounts,
    ManifestDangling,
    ManifestInstance,
    ManifestMissing,
    ManifestPlan,
    ManifestProbed,
    ManifestRequest,
    parse_manifest,
    plan_export,
)
from dicomcore.keys import instance_prefix, object_key, parse_object_key
from dicomcore.ports import ObjectStore
from dicomcore.uids import InstanceRef, parse_ref
from dicomio.exporting.folder import FolderDestination
from dicomio.exporting.pieces import verbatim
from dicomio.exporting.publishing import publish
from dicomtools.problems import CommandProblem
from qr_gateway.retrieval.model import Item, Report, RetrievalRequest


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """One patient's export."""

    path: Path
    found: Mapping[str, ManifestInstance] = field(default_factory=dict)
    """By file name: what an earlier manifest lists and is still there, byte for byte."""
    anonymised: bool = False
    """Whether that manifest is of an anonymised export."""

    def seed(self, store: ObjectStore) -> int:
        """Put the files of earlier retrievals into the store, so that they are not moved again.

        Returns
        -------
        int
            How many files there are.
        """
        for name, instance in self.found.items():
            key = str(object_key(_ref(instance), instance.sha256))
            try:
                store.stat(key)
            except NotFound:
                store.put(key, [(self.path / name).read_bytes()])
        return len(self.found)

    def write(self, request: RetrievalRequest, report: Report, store: ObjectStore) -> Manifest:
        """Write what a retrieval brought, then the manifest; return the manifest.

        A crash in between leaves whole files, and the manifest of the time before.

        Raises
        ------
        NotFound, ObjectStoreUnavailable
            An object that had landed is gone from the store.
        Unreadable
            An object in the store is not what its key says: it is not exported.
        CommandProblem
            A file cannot be written.
        """
        files = plan_export(exportable(report.items, store))

        def describe(entries: Sequence[ManifestInstance], _not_taken: object) -> Manifest:
            return make_manifest(request, report, tuple(entries), self.others(entries))

        try:
            return publish(
                verbatim(files, store),
                describe,
                FolderDestination(self.path, self.found, read_again=False),
                all_or_nothing=False,
            )
        except OSError as exc:
            raise CommandProblem(f"{self.path} cannot be written: {exc.strerror}") from exc

    def others(self, instances: Iterable[ManifestInstance]) -> tuple[ManifestInstance, ...]:
        """Return what is here of earlier retrievals and is none of these."""
        names = {instance.file for instance in instances}
        return tuple(known for name, known in self.found.items() if name not in names)


def open_export_folder(path: Path) -> ExportFolder:
    """Return the folder with what earlier retrievals left there and can be trusted.

    A file counts only if a manifest lists it with the digest that it has: a file that was cut
    short or changed is retrieved again.
    """
    try:
        manifest = parse_manifest((path / MANIFEST_NAME).read_bytes())
    except (OSError, Unreadable):
        return ExportFolder(path)
    listed = (*manifest.instances, *manifest.other_files)
    return ExportFolder(
        path,
        {entry.file: entry for entry in listed if _is_intact(path, entry)},
        anonymised=manifest.anonymization is not None,
    )


def _is_intact(folder: Path, entry: ManifestInstance) -> bool:
    # The name comes from a file that anyone may have edited: it must not lead out of the folder.
    if Path(entry.file).name != entry.file or entry.file in ("", ".", ".."):
        return False
    try:
        _ref(entry)
        with (folder / entry.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except (OSError, InvalidUid):
        return False


def _ref(entry: ManifestInstance) -> InstanceRef:
    return parse_ref(entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)


def exportable(items: Iterable[Item], store: ObjectStore) -> Iterator[Exportable]:
    """Yield what a retrieval brought, each with every version of it in the store."""
    for item in items:
        ref = parse_object_key(item.object_key).ref
        yield Exportable(
            item.sop_class_uid, item.modality, item.why, tuple(store.list(instance_prefix(ref)))
        )


def make_manifest(
    request: RetrievalRequest,
    report: Report,
    instances: tuple[ManifestInstance, ...],
    others: tuple[ManifestInstance, ...],
) -> Manifest:
    """Return the manifest of an export that is not anonymised."""
    return Manifest(
        software=f"dicomtools {version('dicomtools')}",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state=report.progress.state.value,
        request=ManifestRequest(
            plan_label=request.plan_label,
            only_approved=request.only_approved,
            method=request.method,
        ),
        counts=ManifestCounts(
            instances=sum(instance.newest for instance in instances),
            files=len(instances),
            size_bytes=sum(instance.size_bytes for instance in instances),
            missing=len(report.missing),
            dangling=len(report.dangling),
            bytes_moved=report.progress.bytes_moved,
        ),
        plans=tuple(ManifestPlan(**plan.model_dump()) for plan in report.plans),
        instances=instances,
        missing=tuple(ManifestMissing(**missing.model_dump()) for missing in report.missing),
        dangling=tuple(ManifestDangling(**dangling.model_dump()) for dangling in report.dangling),
        probed=tuple(
            ManifestProbed(
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
                size_bytes=item.size_bytes,
            )
            for item in report.probed
        ),
        other_files=others,
        messages=report.messages,
    )
