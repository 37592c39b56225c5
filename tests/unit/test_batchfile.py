"""Batch files carried out: by `/bin/sh`, and by the rules of `cmd.exe`; and read by our own command line."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.batch_text import (
    ERRORS,
    OBJECTIVES_AS_THEY_ARE,
    SEALED_MAPS,
    UNLINKED,
    BatchFile,
    batch_file,
)
from dicomcore.batchfile import Batch, BatchPatient, ObjectiveFile, Objectives, commands_of
from dicomcore.command_words import OPTIONS, Form, Operation, OptionValue
from dicomcore.errors import InvalidRequest
from dicomcore.shell import Shell
from dicomtools import commands
from dicomtools.config import resolve
from dicomtools.options import Kind, parse_command_line
from dicomtools.patients import check_patient_id
from dicomtools.retrieve_options import retrieve_options
from tests.unit.cmd_exe import Cmd

PEER: Mapping[str, OptionValue] = {
    "hostName": "pacs.invalid",
    "hostPort": 104,
    "callingAet": "ME",
    "calledAet": "PACS & CO",
}
HOSTILE = "&|<>^%!\"'$`;()[]{}#=@:,-+ ~/abcXYZ019äß中😀\u00a0\uff02"
IDS = st.text(st.sampled_from(HOSTILE), min_size=1, max_size=24).filter(
    lambda text: text.strip() == text
)
LABELS = st.text(st.sampled_from(HOSTILE + "\\*?"), min_size=1, max_size=16)
PATIENTS = st.lists(
    st.builds(BatchPatient, IDS, st.lists(LABELS, unique=True, max_size=3).map(tuple)),
    min_size=1,
    max_size=4,
    unique_by=lambda patient: patient.patient_id,
)
COMMANDS = {
    Operation.RETRIEVE: commands.RETRIEVE,
    Operation.STORE: commands.STORE,
    Operation.SEARCH: commands.SEARCH,
    Operation.SHOW: commands.SHOW,
    Operation.DOCTOR: commands.DOCTOR,
}


def retrieval(shell: Shell, *patients: BatchPatient, program: str = "dicomtools", **options: Any) -> Batch:  # fmt: skip
    objectives = options.pop("objectives", Objectives())
    return Batch(
        operation=Operation.RETRIEVE,
        shell=shell,
        program=program,
        options={**PEER, "path": "out", **options},
        patients=patients,
        objectives=objectives,
    )


def file_of(batch: Batch) -> BatchFile:
    return batch_file(batch, timestamp="20260131_120000")


def carried_out_by_cmd(
    batch: Batch, program: Callable[[list[str]], int] | None = None
) -> tuple[Cmd, list[list[str]]]:
    called: list[list[str]] = []

    def recorded(words: list[str]) -> int:
        called.append(words)
        return 0 if program is None else program(words)

    return Cmd(recorded).run(file_of(batch).text), called


class Sh:
    """A folder in which a batch file is run, with a program that writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "recorder"
        self.calls = folder / "calls"
        self.ran: subprocess.CompletedProcess[str] | None = None
        self.answers("exit 0")

    def answers(self, script: str) -> None:
        text = f'#!/bin/sh\nprintf \'%s\\0\' "$#" "$@" >>{shlex.quote(str(self.calls))}\n{script}\n'
        self.program.write_text(text)
        self.program.chmod(0o755)

    def run(self, batch: Batch) -> list[list[str]]:
        """Carry a batch out, and return the arguments of each call."""
        self.calls.unlink(missing_ok=True)
        file = self.folder / "batch.sh"
        file.write_bytes(file_of(batch).text.encode())
        self.ran = subprocess.run(
            ["/bin/sh", str(file)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        )
        assert self.ran.stderr == ""
        words = self.calls.read_bytes().decode().split("\0")[:-1]
        calls: list[list[str]] = []
        while words:
            count = int(words[0])
            calls.append(words[1 : count + 1])
            words = words[count + 1 :]
        return calls


@pytest.fixture
def sh(tmp_path: Path) -> Sh:
    return Sh(tmp_path)


@pytest.fixture(scope="module")
def shared_sh(tmp_path_factory: pytest.TempPathFactory) -> Sh:
    return Sh(tmp_path_factory.mktemp("sh"))


posix = pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")


# ── hostile IDs ─────────────────────────────────────────────────────────────────────────────


def intended(batch: Batch) -> list[list[str]]:
    return [list(command.words[1:]) for command in commands_of(batch, unattended=True)]


def check_said(calls: list[list[str]], patients: list[BatchPatient], *, anonymised: bool) -> None:
    """Our own command line reads patients and plans out of the arguments as they were meant."""
    wanted = [(one.patient_id, label) for one in patients for label in one.plans or (None,)]
    assert len(calls) == len(wanted)
    for words, (patient_id, label) in zip(calls, wanted, strict=True):
        assert words[0] == "retrieve"
        values, warnings = resolve(
            commands.RETRIEVE, parse_command_line(commands.RETRIEVE, words[1:]), ()
        )
        assert warnings == ()
        assert values.by_name["planId"] == label
        assert values.flag("force")
        assert values.flag("anonymize") is anonymised
        assert values.text("calledAet") == "PACS & CO"
        options = parse_ids(values.text("patientId"))
        assert options == [patient_id]


def parse_ids(text: str) -> list[str]:
    from dicomtools.patients import parse_patients

    parsed = [patient.patient_id for patient in parse_patients(text)]
    for patient_id in parsed:
        check_patient_id(patient_id)
    return parsed


@posix
@settings(max_examples=60)
@given(patients=PATIENTS, anonymised=st.booleans())
def test_sh_calls_the_program_as_intended_and_nothing_else(
    shared_sh: Sh, patients: list[BatchPatient], anonymised: bool
) -> None:
    new = (
        {"anonymize": True, "newPatientId": "NEW", "newPatientName": "N & N"} if anonymised else {}
    )
    batch = retrieval(Shell.SH, *patients, program=str(shared_sh.program), **new)

    calls = shared_sh.run(batch)

    assert calls == intended(batch)
    check_said(calls, patients, anonymised=anonymised)
    assert shared_sh.ran is not None
    assert shared_sh.ran.returncode == 0
    assert {path.name for path in shared_sh.folder.iterdir()} == {"recorder", "calls", "batch.sh"}


@settings(max_examples=200)
@given(patients=PATIENTS, anonymised=st.booleans())
def test_cmd_calls_the_program_as_intended_and_nothing_else(
    patients: list[BatchPatient], anonymised: bool
) -> None:
    new = (
        {"anonymize": True, "newPatientId": "NEW", "newPatientName": "N & N"} if anonymised else {}
    )
    batch = retrieval(Shell.BAT, *patients, program=r"C:\100% & more\DICOMTools.exe", **new)

    cmd, calls = carried_out_by_cmd(batch)

    assert [words[1:] for words in calls] == intended(batch)
    check_said([words[1:] for words in calls], patients, anonymised=anonymised)
    assert cmd.exit_code == 0
    assert cmd.files == {}


# ── what a batch does ───────────────────────────────────────────────────────────────────────


P1 = BatchPatient("P-1", ("A", "B/2"))
P2 = BatchPatient("P;2")


def options_of(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").partition("=")[::2] for word in words[1:])


@posix
def test_each_patient_has_a_folder_and_each_of_several_plans_one_in_it(sh: Sh) -> None:
    calls = sh.run(retrieval(Shell.SH, P1, P2, program=str(sh.program)))

    asked = [options_of(words) for words in calls]
    assert [one["patientId"] for one in asked] == ["P-1", "P-1", "P\\;2"]
    assert [one.get("planId") for one in asked] == ["A", "B/2", None]
    assert asked[0]["path"] == "out/P-1/A"
    assert asked[1]["path"].startswith("out/P-1/B_2-")
    assert asked[2]["path"] == "out/P;2"


def test_one_patient_and_plan_go_to_the_folder_itself() -> None:
    [command] = commands_of(retrieval(Shell.BAT, BatchPatient("P-1", ("A",))))

    assert command.folder == "out"
    assert '"--calledAet=PACS & CO"' in command.text


def test_several_anonymised_patients_are_numbered_and_share_one_map() -> None:
    batch = retrieval(Shell.BAT, P1, P2, anonymize=True, newPatientId="NEW", newPatientName="X")

    _, calls = carried_out_by_cmd(batch)

    asked = [options_of(words[1:]) for words in calls]
    assert [one["newPatientId"] for one in asked] == ["NEW-01", "NEW-01", "NEW-02"]
    assert [one["newPatientName"] for one in asked] == ["X-01", "X-01", "X-02"]
    assert {one["mapFile"] for one in asked} == {"anonymization_map.csv"}
    # neither the patient nor what a label may say of them is in the path of what is handed on
    assert [one["path"] for one in asked] == [
        r"out\NEW-01\plan-01",
        r"out\NEW-01\plan-02",
        r"out\NEW-02",
    ]


def test_a_map_that_is_sealed_cannot_be_one_for_all() -> None:
    new: dict[str, Any] = {"anonymize": True, "newPatientId": "NEW", "newPatientName": "X"}
    sealed: dict[str, Any] = {"mapCertificate": ["cert.pem"], "anonymizationKeyFile": "key"}

    assert file_of(retrieval(Shell.SH, P1, **new, **sealed)).warnings == (SEALED_MAPS,)
    assert file_of(retrieval(Shell.SH, P2, **new, **sealed)).warnings == ()


def test_what_the_command_line_would_refuse_is_not_written(tmp_path: Path) -> None:
    """The whole of what the command line checks before it begins, on what is generated."""
    batch = retrieval(
        Shell.SH,
        *(BatchPatient(f"P-{number}", ("A", "B")) for number in range(12)),
        anonymize=True,
        newPatientId="NEW",
        newPatientName="Nobody",
        path=str(tmp_path / "out"),
        mapFile=str(tmp_path / "map.csv"),
        allowBurnedIn=("rt_image", "scout"),
        onlyApprovedPlans=True,
        useGet=True,
    )
    for command in commands_of(batch, unattended=True):
        given = parse_command_line(commands.RETRIEVE, command.words[2:])
        values, _ = resolve(commands.RETRIEVE, given, ())
        options = retrieve_options(values)
        assert options.anonymization is not None
        assert options.use_get
        assert options.path == Path(command.folder)


@posix
def test_what_fails_is_noted_and_the_rest_goes_on(sh: Sh) -> None:
    sh.answers('case "$*" in *P-1*) exit 3;; esac')
    label = "A $(touch hacked) 'x' %s"

    calls = sh.run(retrieval(Shell.SH, BatchPatient("P-1", (label,)), P2, program=str(sh.program)))

    assert len(calls) == 2
    assert sh.ran is not None
    assert sh.ran.returncode == 1
    noted = (sh.folder / ERRORS).read_text().splitlines()
    assert len(noted) == 1
    assert noted[0].endswith(f"exit code 3, 1 of 2: patient P-1, plan {label}")
    assert not (sh.folder / "hacked").exists()
    assert ERRORS in sh.ran.stdout


def test_cmd_notes_what_fails_and_goes_on() -> None:
    label = 'A & calc > x %PATH% ^ " | y'
    batch = retrieval(Shell.BAT, BatchPatient("P-1", (label,)), P2)

    cmd, calls = carried_out_by_cmd(batch, lambda words: 3 if "--patientId=P-1" in words else 0)

    assert len(calls) == 2
    assert cmd.exit_code == 1
    [(name, [line])] = cmd.files.items()
    assert name == ERRORS
    assert line == f"31.01.2026 12:00:00,00 exit code 3, 1 of 2: patient P-1, plan {label}"
    assert cmd.printed[:2] == [
        f"1 of 2: patient P-1, plan {label}",
        "2 of 2: patient P;2",
    ]


OBJECTIVES = Objectives(
    "/staged $HOME & more",
    (
        ObjectiveFile("P-1", "P-1_course_A.json"),
        ObjectiveFile("P-1", "x' $(id) %PATH%.txt"),
        ObjectiveFile("NOT-SELECTED", "other.json"),
    ),
)


@posix
def test_objectives_are_copied_into_the_folder_of_their_patient(sh: Sh, tmp_path: Path) -> None:
    staged = tmp_path / "staged $HOME & more"
    staged.mkdir()
    for file in OBJECTIVES.files:
        (staged / file.file_name).write_text(file.file_name)
    objectives = Objectives(str(staged), OBJECTIVES.files)

    sh.run(retrieval(Shell.SH, P1, P2, program=str(sh.program), objectives=objectives))

    folder = tmp_path / "out" / "P-1"
    assert {path.name for path in folder.iterdir()} == {
        "P-1_course_A.json",
        "x' $(id) %PATH%.txt",
    }
    assert sh.ran is not None
    assert sh.ran.returncode == 0


@posix
def test_objectives_of_an_anonymised_patient_do_not_tell_the_id_by_their_name(
    sh: Sh, tmp_path: Path
) -> None:
    (tmp_path / "P-1_course_A.json").write_text("{}")
    objectives = Objectives(str(tmp_path), OBJECTIVES.files[:1])
    new = {"anonymize": True, "newPatientId": "NEW", "newPatientName": "X"}
    batch = retrieval(Shell.SH, P1, P2, program=str(sh.program), objectives=objectives, **new)

    sh.run(batch)

    assert (tmp_path / "out" / "NEW-01" / "objectives-01.json").read_text() == "{}"
    assert file_of(batch).warnings == (UNLINKED, OBJECTIVES_AS_THEY_ARE)


@posix
def test_objectives_that_are_not_there_are_noted(sh: Sh) -> None:
    objectives = Objectives("/nowhere/at/all", OBJECTIVES.files[:1])
    batch = retrieval(Shell.SH, P1, program=str(sh.program), objectives=objectives)
    file = sh.folder / "batch.sh"
    file.write_bytes(file_of(batch).text.encode())

    ran = subprocess.run(["/bin/sh", str(file)], capture_output=True, cwd=sh.folder, check=False)

    assert ran.returncode == 1
    assert "objectives not copied, 2 of 2: patient P-1" in (sh.folder / ERRORS).read_text()


def test_cmd_copies_objectives_and_notes_what_was_not_copied() -> None:
    batch = retrieval(Shell.BAT, P1, P2, objectives=OBJECTIVES)

    cmd, _ = carried_out_by_cmd(batch)
    assert cmd.copied == [
        (
            rf"\staged $HOME & more\{file.file_name}",
            rf"out\P-1\{file.file_name}",
        )
        for file in OBJECTIVES.files[:2]
    ]
    assert cmd.files == {}

    failing = Cmd(lambda _: 0, copy_fails=True).run(file_of(batch).text)
    assert failing.exit_code == 1
    assert [line.partition(" objectives")[2] for line in failing.files[ERRORS]] == [
        " not copied, 2 of 3: patient P-1, plan B/2"
    ] * 2

    # what was not retrieved has no folder to copy into
    none, _ = carried_out_by_cmd(batch, lambda _: 1)
    assert none.copied == []


@pytest.mark.parametrize(
    "name",
    ["../x", "..\\x", "/etc/passwd", "C:\\x", "a/b", "..", ".", "", "a*b", "a:b", 'a"b', "x\ny"],
)
@pytest.mark.parametrize("shell", Shell)
def test_only_files_of_the_staging_folder_are_copied(shell: Shell, name: str) -> None:
    objectives = Objectives("staged", (ObjectiveFile("P-1", name),))

    with pytest.raises(InvalidRequest) as refused:
        file_of(retrieval(shell, P1, objectives=objectives))

    assert refused.value.facts["pointer"] == "/objectives/files/0/file_name"


def test_a_file_is_named_after_what_it_does_and_when() -> None:
    for shell, ends in ((Shell.BAT, "\r\n"), (Shell.SH, "\n")):
        file = file_of(retrieval(shell, P1))
        assert file.file_name == f"DICOMTools_retrieve_20260131_120000.{shell}"
        assert file.text.endswith(ends)
        assert file.commands == 2
        assert not file.text.startswith("\ufeff")


# ── the command line's own tables ───────────────────────────────────────────────────────────

FORMS = {
    Kind.TEXT: Form.TEXT,
    Kind.NUMBER: Form.NUMBER,
    Kind.PORT: Form.NUMBER,
    Kind.FLAG: Form.FLAG,
    Kind.MANY: Form.MANY,
}


@pytest.mark.parametrize("operation", Operation)
def test_the_table_of_options_is_that_of_the_command_line(operation: Operation) -> None:
    command = COMMANDS[operation]
    theirs = {option.name: FORMS[option.kind] for option in command.options}

    assert command.name == operation
    assert dict(OPTIONS[operation]) == {
        name: form for name, form in theirs.items() if name != "token"
    }


VALUES: dict[str, OptionValue] = {"format": "flat", "allowBurnedIn": ["scout", "rt_image"]}
SAMPLES: Mapping[Form, OptionValue] = {
    Form.TEXT: "-a; b=c:d",
    Form.NUMBER: 3,
    Form.FLAG: True,
    Form.MANY: ["A=B", "-C d=E", "(0010,0020)=?"],
}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("shell", Shell)
def test_the_command_line_reads_every_option_as_it_was_given(
    operation: Operation, shell: Shell
) -> None:
    options = {
        name: VALUES.get(name, SAMPLES[form])
        for name, form in OPTIONS[operation].items()
        if name not in ("patientId", "planId")
    }
    options |= {"showMessages": False} if "showMessages" in options else {}

    [command] = commands_of(Batch(operation=operation, shell=shell, options=options))

    given = parse_command_line(COMMANDS[operation], command.words[2:])
    assert given == {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }


@pytest.mark.parametrize(
    ("batch", "pointer"),
    [
        (retrieval(Shell.BAT, P1, path="a\nb"), "/options/path"),
        (retrieval(Shell.SH, P1, path="a\0b"), "/options/path"),
        (retrieval(Shell.SH, P1, unknown="x"), "/options"),
        (retrieval(Shell.SH, P1, token="x"), "/options"),  # noqa: S106  # none
        (retrieval(Shell.SH, P1, hostPort="104"), "/options/hostPort"),
        (retrieval(Shell.SH, P1, hostPort=True), "/options/hostPort"),
        (retrieval(Shell.SH, P1, useTls="true"), "/options/useTls"),
        (retrieval(Shell.SH, P1, hostName=7), "/options/hostName"),
        (retrieval(Shell.SH, P1, allowBurnedIn="scout"), "/options/allowBurnedIn"),
        (retrieval(Shell.SH, P1, patientId="X"), "/options/patientId"),
        (retrieval(Shell.SH, P1, planId="X"), "/options/planId"),
        (retrieval(Shell.SH, P1, anonymize=True), "/options/newPatientId"),
        (retrieval(Shell.SH, P1, anonymize=True, newPatientId="N"), "/options/newPatientName"),
        (retrieval(Shell.SH, P1, BatchPatient("P*")), "/patients/1/patient_id"),
        (retrieval(Shell.SH, P1, BatchPatient("P\\2")), "/patients/1/patient_id"),
        (retrieval(Shell.BAT, P1, BatchPatient("P\n")), "/patients/1/patient_id"),
        (retrieval(Shell.SH, P1, BatchPatient("P\n")), "/patients/1/patient_id"),
        (retrieval(Shell.SH, BatchPatient(" ")), "/patients/0/patient_id"),
        (retrieval(Shell.SH, BatchPatient("x" * 65)), "/patients/0/patient_id"),
        (retrieval(Shell.BAT, BatchPatient("P", ("A", "b\r\nc"))), "/patients/0/plans/1"),
        (retrieval(Shell.SH, BatchPatient("P", ("A", ""))), "/patients/0/plans"),
        (retrieval(Shell.SH, BatchPatient("P", ("A", "A"))), "/patients/0/plans"),
        (retrieval(Shell.SH, P1, P1), "/patients"),
        (retrieval(Shell.SH, program="eval"), "/program"),
        (retrieval(Shell.BAT, P1, path="x" * 9000), "/patients/0"),
        (Batch(operation=Operation.STORE, shell=Shell.SH, patients=(P1,)), "/patients"),
        (retrieval(Shell.BAT, P1, objectives=Objectives("a\n", OBJECTIVES.files)), "/objectives/folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_its_place(batch: Batch, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        file_of(batch)

    assert refused.value.facts["pointer"] == pointer


def test_one_patient_after_another_is_shown_and_examined() -> None:
    for operation in (Operation.SHOW, Operation.DOCTOR):
        batch = Batch(operation=operation, shell=Shell.SH, patients=(P1, BatchPatient("P 2")))
        texts = [command.text for command in commands_of(batch)]
        assert texts == [
            f"dicomtools {operation} --patientId=P-1",
            f"dicomtools {operation} '--patientId=P 2'",
        ]


def test_a_retrieval_without_patients_is_one_command_for_a_preview() -> None:
    file = file_of(retrieval(Shell.SH))

    assert file.commands == 1
    assert "run '1 of 1' dicomtools retrieve" in file.text


def test_without_a_folder_for_all_each_patient_has_one_where_the_file_is_run() -> None:
    [one, other] = commands_of(retrieval(Shell.BAT, P2, BatchPatient("P-3"), path=""))

    assert (one.folder, other.folder) == ("P;2", "P-3")
    assert commands_of(retrieval(Shell.BAT, P2, P1, path="C:\\x\\"))[0].folder == "C:\\x\\P;2"


@pytest.mark.parametrize("operation", [Operation.SHOW, Operation.SEARCH])
def test_objectives_belong_to_retrievals(operation: Operation) -> None:
    batch = Batch(operation=operation, shell=Shell.SH, objectives=OBJECTIVES)

    with pytest.raises(InvalidRequest) as refused:
        file_of(batch)
    assert refused.value.facts["pointer"] == "/objectives"


def test_what_is_no_path_on_windows_is_not_copied_to() -> None:
    with pytest.raises(InvalidRequest):
        file_of(retrieval(Shell.BAT, P1, path='a"b', objectives=OBJECTIVES))


@pytest.mark.parametrize("flag", ["showMessages", "dryRun"])
def test_a_flag_that_is_as_it_is_anyway_is_left_out(flag: str) -> None:
    usual = flag == "showMessages"
    [same] = commands_of(Batch(operation=Operation.STORE, shell=Shell.SH, options={flag: usual}))
    [other] = commands_of(
        Batch(operation=Operation.STORE, shell=Shell.SH, options={flag: not usual})
    )

    assert flag not in same.text
    assert flag in other.text
