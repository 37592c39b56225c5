"""HTTP: patients and plans straight from a peer, for those who have not been retrieved yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pydantic import BaseModel, Field, model_validator
from pydicom import Dataset
from pydicom.multival import MultiValue

from dicomcore.catalogue import exact, studies_of
from dicomcore.ports import Pacs, QueryLevel
from dicomcore.uids import StudyUID, uid_or_none
from dicomio.bridge import Bridge
from dicomio.http import AnyRoute, Call, Input, Role, Route
from dicomio.peer_book import PeerBook
from qr_gateway.matching import Compared, checked_keys, compare
from qr_gateway.peer_views import PeerPath

_TAGS = ("peers",)
_PLAN = "RTPLAN"


class PatientQuery(Input):
    """Whom to look for; one of the first four is needed, so that nobody asks for the whole clinic."""

    patient_id: str = Field(default="", max_length=64, repr=False)
    patient_name: str = Field(default="", max_length=324, repr=False)
    birth_date: str = Field(default="", max_length=64, repr=False, description="Or a range")
    study_date: str = Field(default="", max_length=64, description="Or a range")
    modality: str = Field(default="", max_length=16)
    wildcards: bool = Field(default=False, description="Whether `*` and `?` are patterns")
    limit: int = Field(default=200, ge=1, le=1000)

    @model_validator(mode="after")
    def _narrow(self) -> Self:
        if not (self.patient_id or self.patient_name or self.birth_date or self.study_date):
            raise ValueError("one of patient_id, patient_name, birth_date, study_date is needed")
        return self

    def keys(self) -> Mapping[str, str]:
        """Return the keys of the C-FIND at study level."""
        asked = {
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "PatientBirthDate": self.birth_date,
            "PatientSex": "",
            "StudyInstanceUID": "",
            "StudyDate": self.study_date,
            "ModalitiesInStudy": self.modality,
        }
        return checked_keys(asked, allow_wildcards=self.wildcards)


class FoundPatient(BaseModel):
    """A patient, from all studies that matched."""

    patient_id: str = Field(repr=False)
    patient_name: str = Field(repr=False)
    patient_birth_date: str = Field(repr=False)
    patient_sex: str
    modalities: tuple[str, ...]
    has_plans: bool | None = Field(description="null: the peer does not tell")
    number_of_studies: int
    latest_study_date: str


class FoundPatients(BaseModel):
    """Patients by ID."""

    patients: tuple[FoundPatient, ...]
    dropped: int = Field(description="Replies that did not match, or named no patient")
    truncated: bool


class PlanQuery(Input):
    """Whose plans."""

    patient_id: str = Field(min_length=1, max_length=64, repr=False)
    limit: int = Field(default=500, ge=1, le=1000)


class FoundPlan(BaseModel):
    """A plan; what the peer does not tell is null."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    rt_plan_label: str | None = Field(repr=False)
    rt_plan_date: str | None
    approval_status: str | None
    plan_intent: str | None
    series_description: str | None = Field(repr=False)
    study_date: str | None


class FoundPlans(BaseModel):
    """Plans, newest first as far as the peer tells."""

    plans: tuple[FoundPlan, ...]
    truncated: bool


class PeerListRoutes:
    """Handlers; what blocks runs in the bridge's pool."""

    def __init__(self, book: PeerBook, bridge: Bridge) -> None:
        self._book = book
        self._bridge = bridge

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="GET",
                template="/v1/peers/{name}/patients",
                handler=self.patients,
                path=PeerPath,
                query=PatientQuery,
                operation_id="listPatientsAtPeer",
                role=Role.RETRIEVER,
                summary="Patients that a peer knows",
                responses={200: FoundPatients},
                errors=(404, 422, 502, 504),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/peers/{name}/plans",
                handler=self.plans,
                path=PeerPath,
                query=PlanQuery,
                operation_id="listPlansAtPeer",
                role=Role.RETRIEVER,
                summary="A patient's plans, as far as a peer tells without sending them",
                responses={200: FoundPlans},
                errors=(404, 422, 502, 504),
                tags=_TAGS,
            ),
        )

    async def patients(self, call: Call[PeerPath, PatientQuery]) -> FoundPatients:
        """Return patients."""
        client = (await self._book.known(call.path.name)).pacs
        call.notes.involving("peer", call.path.name)
        keys = call.query.keys()
        found = await self._bridge.run(_studies, client, keys)
        people = _people(found.matches)
        limit = call.query.limit
        nameless = sum(not _text(match, "PatientID") for match in found.matches)
        return FoundPatients(
            patients=tuple(one.view() for one in people[:limit]),
            dropped=found.dropped + nameless,
            truncated=len(people) > limit,
        )

    async def plans(self, call: Call[PeerPath, PlanQuery]) -> FoundPlans:
        """Return a patient's plans."""
        client = (await self._book.known(call.path.name)).pacs
        call.notes.involving("peer", call.path.name)
        patient_id = exact(call.query.patient_id)
        plans = await self._bridge.run(_plans, client, patient_id)
        limit = call.query.limit
        return FoundPlans(plans=tuple(plans[:limit]), truncated=len(plans) > limit)


@dataclass(slots=True)
class _Person:
    patient_id: str
    first: Dataset
    modalities: set[str] = field(default_factory=set)
    studies: int = 0
    silent: bool = False
    """Whether the modalities of some study are not told."""
    latest: str = ""

    def add(self, study: Dataset) -> None:
        self.studies += 1
        told = [one for one in _text(study, "ModalitiesInStudy").split("\\") if one]
        self.silent = self.silent or not told
        self.modalities.update(told)
        self.latest = max(self.latest, _text(study, "StudyDate"))

    def view(self) -> FoundPatient:
        plans = _PLAN in self.modalities
        return FoundPatient(
            patient_id=self.patient_id,
            patient_name=_text(self.first, "PatientName"),
            patient_birth_date=_text(self.first, "PatientBirthDate"),
            patient_sex=_text(self.first, "PatientSex"),
            modalities=tuple(sorted(self.modalities)),
            has_plans=None if self.silent and not plans else plans,
            number_of_studies=self.studies,
            latest_study_date=self.latest,
        )


def _studies(client: Pacs, keys: Mapping[str, str]) -> Compared:
    return compare(client.find(QueryLevel.STUDY, keys), keys)


def _people(studies: Iterable[Dataset]) -> list[_Person]:
    people: dict[str, _Person] = {}
    for study in studies:
        patient_id = _text(study, "PatientID")
        if patient_id:
            people.setdefault(patient_id, _Person(patient_id, study)).add(study)
    return [people[patient_id] for patient_id in sorted(people)]


def _plans(client: Pacs, patient_id: str) -> list[FoundPlan]:
    """Ask level by level, each on one association; what is not asked for is left out on our side."""
    asked = {"PatientID": patient_id, "StudyInstanceUID": "", "StudyDate": ""}
    replies = client.find(QueryLevel.STUDY, asked)
    dates = {_text(one, "StudyInstanceUID"): _text(one, "StudyDate") for one in replies}
    series = _plan_series(client, studies_of(replies, patient_id))
    queries = [
        {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": uid,
            "SOPInstanceUID": "",
            "RTPlanLabel": "",
            "RTPlanDate": "",
            "ApprovalStatus": "",
            "PlanIntent": "",
        }
        for study, uid in series
    ]
    found: dict[str, FoundPlan] = {}
    answers = client.find_many(QueryLevel.IMAGE, queries) if queries else ()
    for (study, uid), instances in zip(series, answers, strict=True):
        for instance in instances:
            if _text(instance, "SeriesInstanceUID") not in ("", uid):
                continue
            sop_uid = uid_or_none(_text(instance, "SOPInstanceUID"))
            if sop_uid is not None:
                found[sop_uid] = FoundPlan(
                    sop_instance_uid=sop_uid,
                    series_instance_uid=uid,
                    study_instance_uid=study,
                    rt_plan_label=_told(instance, "RTPlanLabel"),
                    rt_plan_date=_told(instance, "RTPlanDate"),
                    approval_status=_told(instance, "ApprovalStatus"),
                    plan_intent=_told(instance, "PlanIntent"),
                    series_description=series[study, uid],
                    study_date=dates.get(study) or None,
                )
    newest = sorted(found.values(), key=lambda plan: plan.sop_instance_uid)
    newest.sort(key=lambda plan: plan.rt_plan_date or plan.study_date or "", reverse=True)
    return newest


def _plan_series(client: Pacs, studies: Sequence[StudyUID]) -> dict[tuple[str, str], str | None]:
    """Return series of plans, by study and series UID, with what they are described as."""
    queries = [
        {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": "",
            "Modality": _PLAN,
            "SeriesDescription": "",
        }
        for study in studies
    ]
    found: dict[tuple[str, str], str | None] = {}
    answers = client.find_many(QueryLevel.SERIES, queries) if queries else ()
    for study, replies in zip(studies, answers, strict=True):
        for one in replies:
            uid = uid_or_none(_text(one, "SeriesInstanceUID"))
            ours = _text(one, "StudyInstanceUID") in ("", study)
            if uid is not None and ours and _text(one, "Modality") == _PLAN:
                found[study, uid] = _told(one, "SeriesDescription")
    return found


def _told(reply: Dataset, keyword: str) -> str | None:
    return _text(reply, keyword) or None


def _text(reply: Dataset, keyword: str) -> str:
    """Return a value as text, several with backslashes between them; empty if it is not told."""
    value = reply.get(keyword)
    if value is None:
        return ""
    if not isinstance(value, MultiValue | list | tuple):
        return str(value).strip(" \0")
    return "\\".join(str(one).strip(" \0") for one in value)
