"""What callers may ask of the index: filters, pages and tags, as models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from dicomcore.ports import SearchScope
from dicomcore.query import MAX_TERM_LENGTH
from dicomio.http import Input

Tag = Annotated[str, Field(max_length=MAX_TERM_LENGTH, min_length=1)]
MAX_TAGS = 32


class Page(Input):
    """Which page."""

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str = ""
    """`next` of the page before."""


class Filtered(Page):
    """What is left of everything; what is absent does not restrict."""

    patient_id: str | None = Field(default=None, repr=False)
    """Patient ID (0010,0020), exactly; empty for the patient without one."""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    modality: str = ""
    """Modality (0008,0060) of the series."""

    def scope(self) -> SearchScope:
        """Return the filters as the index takes them."""
        return SearchScope(
            patient_id=self.patient_id,
            study_instance_uid=self.study_instance_uid,
            series_instance_uid=self.series_instance_uid,
            modality=self.modality,
        )


class SearchQuery(Filtered):
    """What to search for."""

    tag: Annotated[Sequence[Tag], Field(min_length=1, max_length=MAX_TAGS, repr=False)]
    """Terms, all of which one instance has to fulfil: `PatientID=P1`, `Modality=?` (tell me),
    `RTPlanLabel=PROST*`, `StudyDate=20240101-20240630`, `(300A,00B0)/(300A,00B2)=TB1`,
    `BeamSequence/ControlPointSequence/GantryAngle=0..180`. Terms about the same sequence have to
    hold in the same item."""
    statistics: Annotated[bool, BeforeValidator(lambda given: given == "" or given)] = False
    """Whether to count all that is found; `?statistics` alone means yes."""


class ValuesQuery(Filtered):
    """Whose values to list."""

    tag: Tag
    """A path: `BeamSequence/TreatmentMachineName`; `=?` may follow."""
    where: Annotated[Sequence[Tag], Field(max_length=MAX_TAGS, repr=False)] = ()
    """Terms that the instances have to fulfil."""


class AfterId(BaseModel):
    """Cursor of a listing by id."""

    id: int = Field(ge=0, lt=2**63)


class AfterHit(BaseModel):
    """Cursor of a search."""

    series: int = Field(ge=0, lt=2**63)
    instance: int = Field(ge=0, lt=2**63)


class AfterValue(BaseModel):
    """Cursor of a listing of values."""

    value: str
