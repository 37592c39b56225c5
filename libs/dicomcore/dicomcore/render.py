"""A reference tree as text, as a flat list and as JSON; patient data, for the eyes of its reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from dicomcore.errors import Unreadable
from dicomcore.tree.lines import patient_lines
from dicomcore.tree.nodes import FlatInstance, PatientTree
from dicomcore.tree.words import INDENT, VERSIONS, below, count, line, plain

_JSON = TypeAdapter(PatientTree)


def text(tree: PatientTree) -> str:
    """Return the tree as lines, each ended by a newline, indented by two."""
    lines = (INDENT * (line.depth + 1) + line.text for line in patient_lines(tree))
    return _joined((_patient(tree), *lines))


def flat(tree: PatientTree, paths: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return patient, series and instances as lines, each ended by a newline.

    Parameters
    ----------
    paths
        Files by SOP Instance UID, several where several versions exist.
    """
    lines = [_patient(tree)]
    for series in tree.series:
        modality = plain(series.modality) or "no modality"
        number = count(len(series.instances), "instance")
        lines.extend(below([f"{modality}: {number}, series {series.series_instance_uid}"]))
        for instance in series.instances:
            lines.extend(below(below(_instance(instance, paths or {}))))
    return _joined(lines)


def to_json(tree: PatientTree) -> bytes:
    """Return the tree as JSON, with all it holds."""
    return _JSON.dump_json(tree)


def from_json(body: bytes) -> PatientTree:
    """Return the tree that `to_json` wrote.

    Raises
    ------
    Unreadable
        Not JSON, or not of a tree.
    """
    try:
        return _JSON.validate_json(body)
    except ValidationError as exc:
        # not `from exc`: its text quotes the values
        raise Unreadable("not a tree", problems=exc.error_count()) from None


def _patient(tree: PatientTree) -> str:
    return f"Patient: {plain(tree.patient_id) or '(no ID)'}"


def _instance(instance: FlatInstance, paths: Mapping[str, Sequence[str]]) -> Iterator[str]:
    conflict = VERSIONS if instance.conflict else ""
    for path in paths.get(instance.sop_instance_uid) or ("",):
        yield line(instance.sop_instance_uid, plain(instance.label), conflict, plain(path))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in lines)
