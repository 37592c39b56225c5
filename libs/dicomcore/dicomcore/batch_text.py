"""The text of a batch file for `cmd` or for `sh`, around commands that are quoted already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dicomcore.batchfile import Batch, BatchCommand, ObjectiveFile, commands_of, join
from dicomcore.command_words import Operation
from dicomcore.errors import InvalidRequest
from dicomcore.shell import Shell, check, check_line, printed, quoted

ERRORS = "batch_errors.txt"
MEDIA_TYPES = {Shell.BAT: "application/x-bat", Shell.SH: "application/x-sh"}
_NO_FILE_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}", re.ASCII)

UNLINKED = (
    "Without anonymizationKeyFile each command makes new UIDs of its own: exports of one patient "
    "cannot be told to belong together."
)
SEALED_MAPS = "With mapCertificate each command writes a map of its own: only the key holder could add to one."
OBJECTIVES_AS_THEY_ARE = "Objective files are copied as they are, under a new name: what is in them may name the patient."


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file to be saved as UTF-8 without a byte order mark, its line ends as they are."""

    file_name: str
    text: str = field(repr=False)
    commands: int
    warnings: tuple[str, ...] = ()


def batch_file(batch: Batch, *, timestamp: str) -> BatchFile:
    """Return the file for a batch.

    Every command is carried out, whatever became of the one before. What fails is written to
    `batch_errors.txt` where the file is run; its exit code is 1 if anything failed.

    Parameters
    ----------
    timestamp
        For the file's name.

    Raises
    ------
    InvalidRequest
        With a `pointer` to what cannot be done, or not be said in the shell.
    """
    steps = _steps(batch)
    lines = list(_for_bat(steps) if batch.shell is Shell.BAT else _for_sh(steps))
    for line in lines:
        check_line(line, batch.shell)
    text = "".join(f"{line}\r\n" if batch.shell is Shell.BAT else f"{line}\n" for line in lines)
    return BatchFile(
        file_name=f"DICOMTools_{batch.operation}_{timestamp}.{batch.shell}",
        text=text,
        commands=len(steps),
        warnings=tuple(_warnings(batch, len(steps))),
    )


@dataclass(frozen=True, slots=True)
class _Copy:
    """A file to be copied."""

    source: str
    folder: str
    target: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One command with what belongs to it."""

    command: BatchCommand
    label: str
    """For people: which of how many, and about whom."""
    copies: tuple[_Copy, ...] = ()


def _steps(batch: Batch) -> list[_Step]:
    commands = commands_of(batch, unattended=True)
    copies = _copies(batch, commands)
    steps: list[_Step] = []
    for number, command in enumerate(commands, start=1):
        label = f"{number} of {len(commands)}"
        if command.patient is not None:
            patient = batch.patients[command.patient - 1]
            label += f": patient {patient.patient_id}"
            if command.plan is not None:
                label += f", plan {patient.plans[command.plan - 1]}"
        # with the last command of a patient, so that each file is copied once
        last = number == len(commands) or commands[number].patient != command.patient
        of_patient = copies.get(command.patient or 0, []) if last else []
        steps.append(_Step(command, label, tuple(of_patient)))
    return steps


def _copies(batch: Batch, commands: list[BatchCommand]) -> dict[int, list[_Copy]]:
    """Return what is to be copied, by the patient's place."""
    objectives = batch.objectives
    if not objectives.files:
        return {}
    if batch.operation is not Operation.RETRIEVE:
        raise InvalidRequest("objectives belong to a retrieval", pointer="/objectives")
    _checked(objectives.folder, batch.shell, "/objectives/folder")
    places = {patient.patient_id: n for n, patient in enumerate(batch.patients, start=1)}
    folders = {command.patient: command.patient_folder for command in commands}
    copies: dict[int, list[_Copy]] = {}
    for number, file in enumerate(objectives.files):
        pointer = f"/objectives/files/{number}/file_name"
        _check_file(file, batch.shell, pointer)
        place = places.get(file.patient_id)
        if place is None:  # of a patient who is not selected
            continue
        of_patient = copies.setdefault(place, [])
        target = _new_name(file, len(of_patient) + 1) if batch.anonymised else file.file_name
        source = join(objectives.folder, file.file_name, batch.shell)
        of_patient.append(_Copy(source, folders[place] or ".", target))
    return copies


def _check_file(file: ObjectiveFile, shell: Shell, pointer: str) -> None:
    name = file.file_name
    _checked(name, shell, pointer)
    if not name.strip(". ") or _NO_FILE_NAME.search(name):
        raise InvalidRequest("not the name of a file in the folder", pointer=pointer)


def _checked(text: str, shell: Shell, pointer: str) -> None:
    try:
        check(text, shell)
    except InvalidRequest as exc:
        raise InvalidRequest(exc.sentence, pointer=pointer) from exc


def _new_name(file: ObjectiveFile, number: int) -> str:
    """Return a name that does not tell whose it is; the file's own may hold the patient's ID."""
    dot = file.file_name.rfind(".")
    suffix = file.file_name[dot:] if dot > 0 else ""
    return f"objectives-{number:02}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def _warnings(batch: Batch, commands: int) -> Iterator[str]:
    if batch.anonymised and commands > 1 and not batch.options.get("anonymizationKeyFile"):
        yield UNLINKED
    if batch.anonymised and commands > 1 and batch.options.get("mapCertificate"):
        yield SEALED_MAPS
    if batch.anonymised and batch.objectives.files:
        yield OBJECTIVES_AS_THEY_ARE


# ── cmd ─────────────────────────────────────────────────────────────────────────────────────


def _for_bat(steps: list[_Step]) -> Iterator[str]:
    log = f">>{quoted(ERRORS, Shell.BAT)} echo("
    yield "@echo off"
    yield "setlocal EnableExtensions DisableDelayedExpansion"
    # what follows is UTF-8; before this line there is ASCII only
    yield "chcp 65001 >nul"
    yield 'set "FAILED=0"'
    for step in steps:
        label = printed(step.label, Shell.BAT)
        yield ""
        yield f"echo({label}"
        yield step.command.text
        yield 'set "CODE=%ERRORLEVEL%"'
        yield 'if not %CODE%==0 set "FAILED=1"'
        yield f"if not %CODE%==0 {log}%DATE% %TIME% exit code %CODE%, {label}"
        for copy in step.copies:
            source = _bat_path(copy.source)
            target = _bat_path(join(copy.folder, copy.target, Shell.BAT))
            yield 'set "COPIED=0"'
            yield f'if %CODE%==0 copy /y {source} {target} >nul || set "COPIED=1"'
            yield 'if %COPIED%==1 set "FAILED=1"'
            yield f"if %COPIED%==1 {log}%DATE% %TIME% objectives not copied, {label}"
    yield ""
    yield f"if %FAILED%==1 echo(Not everything was done: see {ERRORS}."
    yield "exit /b %FAILED%"


def _bat_path(path: str) -> str:
    """Return a path for a command of `cmd` itself: it knows no backslash before a quotation mark."""
    if '"' in path:
        raise InvalidRequest(
            "no file on Windows has a quotation mark in its name", pointer="/options"
        )
    return '"' + path.replace("/", "\\").replace("%", "%%") + '"'


# ── sh ──────────────────────────────────────────────────────────────────────────────────────

_SH_HEAD = f"""\
#!/bin/sh
set -u
failed=0
code=0

noted() {{ # what is said in $1 goes to the list of errors
    printf '%s %s\\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$1" >>{ERRORS}
    failed=1
}}

run() {{ # $1 tells people which command it is; the rest is the command
    label=$1
    shift
    printf '%s\\n' "$label"
    code=0
    "$@" || code=$?
    [ "$code" -eq 0 ] || noted "exit code $code, $label"
}}

copied() {{ # $1 tells what for, $2 is the file, $3 the folder, $4 its name there
    [ "$code" -eq 0 ] || return 0
    {{ mkdir -p -- "$3" && cp -- "$2" "$3/$4"; }} || noted "objectives not copied, $1"
}}"""


def _for_sh(steps: list[_Step]) -> Iterator[str]:
    yield from _SH_HEAD.split("\n")
    for step in steps:
        label = printed(step.label, Shell.SH)
        yield ""
        yield f"run {label} {step.command.text}"
        for copy in step.copies:
            words = [quoted(word, Shell.SH) for word in (copy.source, copy.folder, copy.target)]
            yield f"copied {label} {' '.join(words)}"
    yield ""
    yield f"[ \"$failed\" -eq 0 ] || echo 'Not everything was done: see {ERRORS}.'"
    yield 'exit "$failed"'
