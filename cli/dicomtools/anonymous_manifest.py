"""The manifest of an anonymised export, and the folders that one may be written into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dicomcore.errors import Rejected
from dicomcore.export import (
    MANIFEST_NAME,
    Manifest,
    ManifestAnonymization,
    ManifestInstance,
    ManifestQuarantined,
)
from dicomtools.anonymize_options import Anonymization
from dicomtools.export_folder import ExportFolder, make_manifest, open_export_folder
from dicomtools.headers import read_file
from dicomtools.problems import CommandProblem
from dicomtools.work_folder import NAME as WORK_FOLDER
from dicomtools.work_folder import WorkFolder
from qr_gateway.retrieval.model import Report, RetrievalRequest


def anonymous_manifest(
    request: RetrievalRequest,
    report: Report,
    instances: Sequence[ManifestInstance],
    quarantined: Sequence[ManifestQuarantined],
    how: Anonymization,
    folder: ExportFolder,
) -> Manifest:
    """Return the manifest.

    Parameters
    ----------
    request, report
        Without anything of the originals (`dicomtools.anonymous_report`).
    """
    plain = make_manifest(request, report, tuple(instances), folder.others(instances))
    return plain.model_copy(
        update={
            "anonymization": ManifestAnonymization(
                profile=how.profile.name, options=tuple(sorted(how.options))
            ),
            "quarantined": tuple(quarantined),
        }
    )


def refuse_originals(path: Path) -> None:
    """Refuse a folder in which originals lie, or may: they would leave with the anonymised files.

    Raises
    ------
    CommandProblem
        A DICOM file is there that no manifest of an anonymised export lists, or something that an
        interrupted retrieval has left.
    """
    for directory, folders, names in os.walk(path):
        if WORK_FOLDER in folders:
            folders.remove(WORK_FOLDER)
            _refuse_left_over(WorkFolder(Path(directory) / WORK_FOLDER))
        export = open_export_folder(Path(directory))
        if export.found and not export.anonymised:
            raise _not_anonymised(path)
        for name in names:
            if (
                name != MANIFEST_NAME
                and name not in export.found
                and _is_dicom(Path(directory, name))
            ):
                raise _not_anonymised(path)


def _refuse_left_over(work: WorkFolder) -> None:
    if work.holds_anything():
        raise CommandProblem(
            f"{work.path} holds originals that an interrupted retrieval has left. Remove it, or give "
            "another --path."
        )


def _not_anonymised(path: Path) -> CommandProblem:
    return CommandProblem(
        f"{path} holds DICOM files that are not known to be anonymised. Give another --path."
    )


def _is_dicom(path: Path) -> bool:
    try:
        read_file(path)
    except Rejected:
        return False
    except OSError as exc:
        raise CommandProblem(f"{path} cannot be read: {exc.strerror}") from exc
    return True
