"""HTTP: command lines and batch files, and the patient list that another program hands over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from dicomcore import handoff
from dicomcore.batch_text import MEDIA_TYPES, batch_file
from dicomcore.batchfile import Batch, BatchPatient, ObjectiveFile, Objectives, commands_of
from dicomcore.command_words import Operation
from dicomcore.shell import Shell
from dicomio.http import AnyRoute, Call, Input, Nothing, Role, Route

_TAGS = ("command line",)
_MOST = 10_000
LARGEST_LIST = 16 << 20
"""Bytes of a request with a list of patients."""
_Text = Field(min_length=1, max_length=64, repr=False)


class PatientOrder(Input):
    """A patient and which plans."""

    patient_id: str = _Text
    plans: tuple[str, ...] = Field(
        default=(), max_length=1000, repr=False, description="RT Plan Labels; none: all"
    )


class ObjectiveFileOrder(Input):
    """A file of a patient's."""

    patient_id: str = _Text
    file_name: str = Field(min_length=1, max_length=255, repr=False)


class ObjectivesOrder(Input):
    """Files that are copied into their patients' folders."""

    folder: str = Field(default="", max_length=1024, repr=False)
    files: tuple[ObjectiveFileOrder, ...] = Field(default=(), max_length=_MOST)


class CommandOrder(Input):
    """What the commands are to do."""

    operation: Operation
    shell: Shell
    program: str = Field(default="dicomtools", min_length=1, max_length=1024, repr=False)
    options: dict[str, StrictBool | StrictInt | StrictStr | tuple[StrictStr, ...]] = Field(
        default_factory=dict,
        max_length=64,
        repr=False,
        description="By the names of the command line, without dashes; not patientId and planId",
    )
    patients: tuple[PatientOrder, ...] = Field(default=(), max_length=_MOST)
    objectives: ObjectivesOrder = ObjectivesOrder()

    def batch(self) -> Batch:
        """Return what the rules are written for."""
        return Batch(
            operation=self.operation,
            shell=self.shell,
            program=self.program,
            options=self.options,
            patients=tuple(BatchPatient(one.patient_id, one.plans) for one in self.patients),
            objectives=Objectives(
                self.objectives.folder,
                tuple(
                    ObjectiveFile(one.patient_id, one.file_name) for one in self.objectives.files
                ),
            ),
        )


class BatchOrder(CommandOrder):
    """A file of them."""

    timestamp: str = Field(
        default="",
        pattern=r"^([0-9]{8}_[0-9]{6})?$",
        description="For the file's name, by the caller's clock; empty: UTC",
    )


class CommandView(BaseModel):
    """One command."""

    text: str = Field(repr=False)
    patient: int | None = Field(description="Place in the list, from 1")
    plan: int | None = Field(description="Place in the patient's list, from 1")
    folder: str = Field(repr=False)


class CommandLines(BaseModel):
    """Commands, in order."""

    commands: tuple[CommandView, ...]


class BatchFileView(BaseModel):
    """A file to be saved as UTF-8 without a byte order mark, its line ends as they are."""

    file_name: str
    media_type: str
    text: str = Field(repr=False)
    commands: int
    warnings: tuple[str, ...]


class HandOffText(Input):
    """A patient list as it was read from its file."""

    text: str = Field(max_length=LARGEST_LIST, repr=False)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HandOffPlanView(_Part):
    """A plan."""

    patient_id: str = Field(default="", repr=False)
    course_id: str = Field(default="", repr=False)
    plan_id: str = Field(repr=False)
    approval_status: str = ""
    total_dose: float | None = None
    number_of_fractions: int | None = None
    structure_set_id: str = Field(default="", repr=False)
    selected: bool = Field(default=False, description="Only if the list says so")


class HandOffPatientView(_Part):
    """A patient."""

    patient_id: str = Field(repr=False)
    first_name: str = Field(default="", repr=False)
    last_name: str = Field(default="", repr=False)
    date_of_birth: str = Field(default="", repr=False)
    selected: bool = Field(default=True, description="Unless the list says otherwise")
    plans: tuple[HandOffPlanView, ...] = ()


class HandOffObjectivesView(_Part):
    """A file of optimisation objectives."""

    patient_id: str = Field(default="", repr=False)
    course_id: str = Field(default="", repr=False)
    plan_id: str = Field(default="", repr=False)
    file_name: str = Field(repr=False)


class HandOffView(_Part):
    """A patient list."""

    patients: tuple[HandOffPatientView, ...]
    export_date_time: str = ""
    has_objectives: bool = False
    objectives_staging_path: str = Field(default="", repr=False)
    objective_files: tuple[HandOffObjectivesView, ...] = ()


class HandOffFile(BaseModel):
    """A patient list as the other program reads it."""

    file_name: str
    text: str = Field(repr=False)


class BatchRoutes:
    """Handlers; nothing here is kept, and nothing is carried out.

    Parameters
    ----------
    clock
        For names of files.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="POST",
                template="/v1/command-lines",
                handler=self.command_lines,
                body=CommandOrder,
                body_bytes=LARGEST_LIST,
                operation_id="writeCommandLines",
                role=Role.READER,
                summary="Commands as text, quoted for the shell",
                responses={200: CommandLines},
                errors=(422,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/batch-files",
                handler=self.batch_file,
                body=BatchOrder,
                body_bytes=LARGEST_LIST,
                operation_id="writeBatchFile",
                role=Role.READER,
                summary="A batch file, one command for each patient and plan",
                responses={200: BatchFileView},
                errors=(422,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/handoff",
                handler=self.read,
                body=HandOffText,
                body_bytes=LARGEST_LIST,
                operation_id="readHandOff",
                role=Role.READER,
                summary="Read a patient list of ESAPIPatientBrowser",
                responses={200: HandOffView},
                errors=(422,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/handoff/document",
                handler=self.write,
                body=HandOffView,
                body_bytes=LARGEST_LIST,
                operation_id="writeHandOff",
                role=Role.READER,
                summary="Write a patient list in the form of ESAPIPatientBrowser",
                responses={200: HandOffFile},
                errors=(422,),
                tags=_TAGS,
            ),
        )

    async def command_lines(self, call: Call[Nothing, Nothing, CommandOrder]) -> CommandLines:
        """Return the commands."""
        return CommandLines(
            commands=tuple(
                CommandView(
                    text=command.text,
                    patient=command.patient,
                    plan=command.plan,
                    folder=command.folder,
                )
                for command in commands_of(call.body.batch())
            )
        )

    async def batch_file(self, call: Call[Nothing, Nothing, BatchOrder]) -> BatchFileView:
        """Return the file."""
        for patient in call.body.patients:
            call.notes.about(patient.patient_id)
        timestamp = call.body.timestamp or self._clock().strftime("%Y%m%d_%H%M%S")
        file = batch_file(call.body.batch(), timestamp=timestamp)
        return BatchFileView(
            file_name=file.file_name,
            media_type=MEDIA_TYPES[call.body.shell],
            text=file.text,
            commands=file.commands,
            warnings=file.warnings,
        )

    async def read(self, call: Call[Nothing, Nothing, HandOffText]) -> HandOffView:
        """Return the list."""
        return HandOffView.model_validate(asdict(handoff.read_hand_off(call.body.text)))

    async def write(self, call: Call[Nothing, Nothing, HandOffView]) -> HandOffFile:
        """Return the file."""
        view, now = call.body, self._clock()
        document = handoff.HandOff(
            patients=tuple(_patient(patient) for patient in view.patients),
            export_date_time=view.export_date_time or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            has_objectives=view.has_objectives,
            objectives_staging_path=view.objectives_staging_path,
            objective_files=tuple(
                handoff.HandOffObjectives(**dict(file)) for file in view.objective_files
            ),
        )
        name = f"DICOMTools_patients_{now.strftime('%Y%m%d_%H%M%S')}.json"
        return HandOffFile(file_name=name, text=handoff.write_hand_off(document))


def _patient(view: HandOffPatientView) -> handoff.HandOffPatient:
    plans = tuple(
        handoff.HandOffPlan(**{**dict(plan), "patient_id": plan.patient_id or view.patient_id})
        for plan in view.plans
    )
    return handoff.HandOffPatient(**{**dict(view), "plans": plans})
