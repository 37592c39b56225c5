"""What the audit trail is told of a request: who, what, about whom, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from dicomcore.uids import uid_or_none
from dicomio.http.roles import Role

_PATIENT = "patient_id"
_UIDS = tuple(
    f"{level}_uid{many}"
    for level in ("study_instance", "series_instance", "sop_instance")
    for many in ("", "s")
)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MOST = 1000
"""Patients or objects of one request that are named; a page has no more rows."""


@dataclass(slots=True)
class Notes:
    """What a request is about; collected from its models, completed by its handler."""

    patient_ids: dict[str, None] = field(default_factory=dict, repr=False)
    """Exactly, in order; they leave this process as pseudonyms only."""
    unnamed: int = 0
    """How often there was one patient too many."""
    objects: list[tuple[str, str]] = field(default_factory=list)
    """What kind, and its UID, ID or name."""

    def about(self, patient_id: str) -> None:
        """Note a patient."""
        if patient_id in self.patient_ids:
            return
        if len(self.patient_ids) < _MOST:
            self.patient_ids[patient_id] = None
        else:
            self.unnamed += 1

    def involving(self, kind: str, value: str) -> None:
        """Note an object; never anything that tells who a patient is."""
        if (kind, value) not in self.objects and len(self.objects) < _MOST:
            self.objects.append((kind, value))

    def take_from(self, *models: BaseModel) -> None:
        """Note what fields of these names say: a route that has them need do nothing.

        Only what is a UID, or an ID of ours: what a caller has put into the wrong field may be a
        patient's name.
        """
        for model in models:
            for name in type(model).model_fields:
                for value in _texts(getattr(model, name)):
                    if name == _PATIENT:
                        self.about(value)
                    elif name in _UIDS and uid_or_none(value) is not None:
                        self.involving(name.removesuffix("s"), value)
                    elif name == "id" and _ID.fullmatch(value):
                        self.involving(name, value)

    def take_shown(self, answer: object) -> None:
        """Note whom an answer tells of: rows, or itself, with a field `patient_id`."""
        if not isinstance(answer, BaseModel):
            return
        rows = [answer]
        for value in answer.__dict__.values():
            if isinstance(value, tuple | list):
                rows += [row for row in value if isinstance(row, BaseModel)]
        for row in rows:
            patient_id = getattr(row, _PATIENT, None)
            if isinstance(patient_id, str) and patient_id:
                self.about(patient_id)


@dataclass(frozen=True, slots=True)
class Audited:
    """One request that was answered, or refused."""

    caller: str
    """Name of the token or subject of the identity provider; empty if nobody we know."""
    issuer: str
    roles: frozenset[Role]
    operation_id: str
    """Empty if there is no such route."""
    needed: Role | None
    method: str
    status: int
    remote: str
    """Address of the other end of the connection: of the proxy, where there is one."""
    request_id: str
    notes: Notes


AuditSink = Callable[[Audited], None]
"""Told of requests; returns at once and raises nothing."""


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, tuple | list):
        return [each for each in value[:_MOST] if isinstance(each, str)]
    return ()
