"""Which file an exported instance becomes, and the manifest that says what an export holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dicomcore.errors import Unreadable
from dicomcore.keys import DIGEST_LENGTH, parse_object_key
from dicomcore.ports import ObjectStat

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION: Literal[1] = 1

OTHER_PREFIX = "OT"
_BY_MODALITY = {
    "RTPLAN": "RP",
    "RTSTRUCT": "RS",
    "RTDOSE": "RD",
    "RTIMAGE": "RI",
    "RTRECORD": "RT",
    "REG": "RE",
    "SEG": "SE",
}
_BY_SOP_CLASS = {
    "1.2.840.10008.5.1.4.1.1.481.1": "RI",
    "1.2.840.10008.5.1.4.1.1.481.2": "RD",
    "1.2.840.10008.5.1.4.1.1.481.3": "RS",
    "1.2.840.10008.5.1.4.1.1.481.4": "RT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RP",
    "1.2.840.10008.5.1.4.1.1.481.6": "RT",
    "1.2.840.10008.5.1.4.1.1.481.7": "RT",
    "1.2.840.10008.5.1.4.1.1.481.8": "RP",
    "1.2.840.10008.5.1.4.1.1.481.9": "RT",
    "1.2.246.352.70.1.70": "RP",
    "1.2.840.10008.5.1.4.1.1.66.1": "RE",
    "1.2.840.10008.5.1.4.1.1.66.3": "RE",
    "1.2.840.10008.5.1.4.1.1.66.4": "SE",
    "1.2.840.10008.5.1.4.1.1.66.5": "SE",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.3": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}


def file_prefix(sop_class_uid: str, modality: str) -> str:
    """Return the two letters that an exported file's name begins with.

    Notes
    -----
    RP plan (ion, brachy and private plans too), RS structure set, RD dose, RI RT image, RT
    treatment record, RE registration, SE segmentation, CT, MR, PT; any other kind by its Modality
    (0008,0060) if that is two letters (US, CR, DX …), else OT. The SOP class decides before the
    modality: it is always there, and cannot be misspelt.
    """
    if sop_class_uid in _BY_SOP_CLASS:
        return _BY_SOP_CLASS[sop_class_uid]
    code = modality.strip().upper()
    if code in _BY_MODALITY:
        return _BY_MODALITY[code]
    return code if len(code) == 2 and code.isascii() and code.isalpha() else OTHER_PREFIX


def file_name(sop_class_uid: str, modality: str, uid: str, replaced: str = "") -> str:
    """Return the name of an exported file.

    Parameters
    ----------
    replaced
        Digest of a version that a newer one under the same UID has replaced; empty for the newest.
    """
    name = f"{file_prefix(sop_class_uid, modality)}.{uid}"
    return f"{name}.version-{replaced[:DIGEST_LENGTH]}.dcm" if replaced else f"{name}.dcm"


@dataclass(frozen=True, slots=True)
class Exportable:
    """One instance of a closure, with every version of it that has landed."""

    sop_class_uid: str
    modality: str
    why: str
    versions: tuple[ObjectStat, ...]


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export."""

    name: str
    object_key: str
    sop_class_uid: str
    modality: str
    why: str
    newest: bool
    """False for a version that a newer one under the same SOP Instance UID has replaced."""


def plan_export(instances: Iterable[Exportable]) -> list[ExportFile]:
    """Return the files of an export, by name; the same for any order and any repetition.

    Raises
    ------
    InvalidRequest
        A version's key is no object key.

    Notes
    -----
    The newest version has the plain name, `RP.<SOP Instance UID>.dcm`; every other one has its
    digest in the name, so that the name does not depend on what else there is. "Newest" is by the
    time of landing: the attributes of a data set do not say it reliably. One SOP Instance UID in
    two series counts as one instance in two versions: there is only one such name.
    """
    versions: dict[str, dict[str, tuple[ObjectStat, Exportable]]] = defaultdict(dict)
    for instance in instances:
        for stat in instance.versions:
            uid = parse_object_key(stat.key).ref.sop_instance_uid
            versions[uid][stat.key] = (stat, instance)
    files = [
        file for uid, found in versions.items() for file in _files_of(uid, list(found.values()))
    ]
    return sorted(files, key=lambda file: file.name)


def _files_of(uid: str, found: Sequence[tuple[ObjectStat, Exportable]]) -> Iterable[ExportFile]:
    ordered = sorted(found, key=lambda pair: (pair[0].modified_at, pair[0].key), reverse=True)
    for position, (stat, instance) in enumerate(ordered):
        replaced = parse_object_key(stat.key).digest if position else ""
        yield ExportFile(
            name=file_name(instance.sop_class_uid, instance.modality, uid, replaced),
            object_key=stat.key,
            sop_class_uid=instance.sop_class_uid,
            modality=instance.modality,
            why=instance.why,
            newest=position == 0,
        )


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ManifestInstance(_Frozen):
    """One exported file."""

    file: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str = ""
    series_instance_uid: str
    study_instance_uid: str
    sha256: str
    """Of the file, whole, hexadecimal; the same as in the store, unless it was anonymised."""
    size_bytes: int
    why: str = ""
    newest: bool = True


class ManifestMissing(_Frozen):
    """One expected thing that is not in the export."""

    uid: str
    level: str
    modality: str = ""
    why: str = ""
    reason: str


class ManifestDangling(_Frozen):
    """A reference whose target nobody has."""

    uid: str
    level: str
    relation: str
    referenced_by: str


class ManifestProbed(_Frozen):
    """An instance that was moved to decide about its series, and is not in the export."""

    sop_instance_uid: str
    series_instance_uid: str
    size_bytes: int


class ManifestPlan(_Frozen):
    """What became of one plan of the patient."""

    sop_instance_uid: str
    label: str = Field(default="", repr=False)
    approval_status: str = ""
    outcome: str
    reason: str = ""


class ManifestAnonymization(_Frozen):
    """How the objects of an anonymised export were de-identified; nothing of who the patient was."""

    profile: str
    options: tuple[str, ...] = ()
    verified: bool = True
    """Every object was read again and compared with its original."""
    pseudonym_map: str = ""
    """Where it is said who became whom, in words; empty: that was the caller's choice."""


class ManifestQuarantined(_Frozen):
    """An object that is not in an anonymised export, because that could not be promised of it."""

    sop_instance_uid: str
    """The new one: what it would have become."""
    faults: tuple[str, ...]


class ManifestRequest(_Frozen):
    """What was asked for; the patient is in the files, not here."""

    plan_label: str | None = Field(default=None, repr=False)
    only_approved: bool = False
    method: str = "move"
    selection: str = ""
    """Of an export from the index: what was named, in one word."""


class ManifestCounts(_Frozen):
    """How much there is."""

    instances: int
    files: int
    size_bytes: int
    missing: int
    dangling: int
    bytes_moved: int
    """Moved by this retrieval, what had to be probed included."""


class Manifest(_Frozen):
    """What an export holds, why, and what it lacks."""

    schema_version: Literal[1] = SCHEMA_VERSION
    software: str
    created_at: str
    """UTC, ISO 8601."""
    state: str
    """complete, partial, failed or cancelled."""
    request: ManifestRequest
    anonymization: ManifestAnonymization | None = None
    """None: the objects are as they were received, with the patient's identity."""
    counts: ManifestCounts
    plans: tuple[ManifestPlan, ...] = ()
    instances: tuple[ManifestInstance, ...] = ()
    missing: tuple[ManifestMissing, ...] = ()
    dangling: tuple[ManifestDangling, ...] = ()
    probed: tuple[ManifestProbed, ...] = ()
    quarantined: tuple[ManifestQuarantined, ...] = ()
    other_files: tuple[ManifestInstance, ...] = ()
    """Files of earlier retrievals into the same folder that are not part of this one."""
    messages: tuple[str, ...] = ()


_UID_LIKE = re.compile(r"\d+(?:\.\d+){3,}")


def names_any(manifest: Manifest, uids: Set[str]) -> bool:
    """Return whether a manifest holds one of these UIDs, wherever."""
    return not uids.isdisjoint(_UID_LIKE.findall(manifest.model_dump_json()))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON in UTF-8."""
    return manifest.model_dump_json(indent=2).encode() + b"\n"


def parse_manifest(body: bytes) -> Manifest:
    """Return a manifest that was written before.

    Raises
    ------
    Unreadable
        Not a manifest, or one of a schema version that is not known.
    """
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as exc:
        raise Unreadable("not a manifest of an export") from exc
