"""The original's options, command lines and settings: what its users have written runs unchanged."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from dicomtools.commands import RETRIEVE, SEARCH, SHOW, STORE
from dicomtools.config import Values, resolve
from dicomtools.helptext import command_help
from dicomtools.options import Command, Kind, parse_command_line
from dicomtools.settings import layers

PEER = ("hostName", "hostPort", "callingAet", "calledAet")
OPTIONS: dict[str, tuple[Command, dict[str, object]]] = {
    "retrieve": (
        RETRIEVE,
        {
            **dict.fromkeys(("patientId", "path", *PEER), ...),
            **dict.fromkeys(("planId", "newPatientId", "newPatientName"), None),
            **dict.fromkeys(("onlyApprovedPlans", "anonymize", "showTree"), False),
            **dict.fromkeys(("useGet", "useTls", "force"), False),
        },
    ),
    "store": (
        STORE,
        {
            **dict.fromkeys(("path", *PEER), ...),
            "searchPattern": "*.*",
            "showMessages": True,
            "statusFileName": None,
            "machineMapping": (),
            "defaultMachines": (),
        },
    ),
    "search": (
        SEARCH,
        {
            **dict.fromkeys(("tag", "path"), ...),
            "searchPattern": "*.*",
            "showStatistics": False,
            "showOnlyDirectories": False,
        },
    ),
    "show": (
        SHOW,
        {"path": ..., "searchPattern": "*.*", "format": "tree", "defaultMachines": ()},
    ),
}
"""Of the manual: each option with its default; `...` where it must be given."""
SEVERAL = {"tag", "machineMapping", "defaultMachines"}
FLAGS = {
    *("onlyApprovedPlans", "anonymize", "showTree", "useGet", "useTls", "force"),
    *("showMessages", "showStatistics", "showOnlyDirectories"),
}

LINES: list[tuple[str, dict[str, object]]] = [
    (
        'retrieve --patientId "Patient1" --planId "PlanA" --force --path "C:\\Export\\Patient1" '
        '--hostName "server" --hostPort "51402" --callingAet "SCU" --calledAet "SCP"',
        {
            "patientId": "Patient1",
            "planId": "PlanA",
            "force": True,
            "hostPort": 51402,
            "path": "C:\\Export\\Patient1",
            "callingAet": "SCU",
            "calledAet": "SCP",
        },
    ),
    (
        'retrieve --patientId "KU_PMRT_9" --path "C:\\Temp\\DICOMExport\\20251015\\KU_PMRT_9" '
        '--planId "RAD Model2" --force --showTree --hostName "172.20.169.117" --hostPort "51402" '
        '--callingAet "PYNETDICOM" --calledAet "ECLIPSE_DB"',
        {"planId": "RAD Model2", "showTree": True, "hostName": "172.20.169.117"},
    ),
    (
        'search --tag "(0010,0020)=Phantom-1" --tag "(0008,0060)=?" --path X:\\Data '
        "--searchPattern *.dcm --showStatistics",
        {
            "tag": ("(0010,0020)=Phantom-1", "(0008,0060)=?"),
            "path": "X:\\Data",
            "searchPattern": "*.dcm",
            "showStatistics": True,
        },
    ),
    (
        'search --tag "(300A,00B0)/(300A,00B2)=?" --path X:\\Data --searchPattern RP*.dcm '
        "--showStatistics",
        {"tag": ("(300A,00B0)/(300A,00B2)=?",), "searchPattern": "RP*.dcm"},
    ),
    ("search --tag (0010,0020)=PatientId --tag (0008,0060)=CT --path X", {"path": "X"}),
    (
        "store --path X:\\Data --machineMapping A=B C=D --defaultMachines RDS=HALCYON 23EX=D "
        "--statusFileName done.txt --hostName localhost --hostPort 4242 --callingAet MYAET "
        "--calledAet SCPAET",
        {
            "machineMapping": ("A=B", "C=D"),
            "defaultMachines": ("RDS=HALCYON", "23EX=D"),
            "statusFileName": "done.txt",
            "showMessages": True,
            "searchPattern": "*.*",
        },
    ),
    ("show --path X:\\Data --format flat", {"format": "flat"}),
    ("show --path X --defaultMachines RDS=HALCYON 23EX=D", {"format": "tree"}),
]

OPTIONS_JSON = {
    "RetrieveOptions": {
        "HostPort": 4242,
        "CallingAet": "MYAET",
        "CalledAet": "SCPAET",
        "ShowTree": True,
        "HostName": "localhost",
        "UseGet": False,
        "Force": False,
        "OnlyApprovedPlans": False,
    },
    "SearchTagOptions": {
        "Tag": ["(300A,00B0)/(300A,00B2)=?"],
        "Path": "C:\\Temp\\DICOM\\FileDicomExport",
    },
    "ShowOptions": {"Path": "C:\\Temp\\DICOM\\FileDicomExport"},
    "StoreOptions": {
        "Path": "C:\\Temp\\DICOM\\FileDicomExport",
        "HostName": "localhost",
        "HostPort": 4242,
        "CallingAet": "MYAET",
        "CalledAet": "SCPAET",
    },
}


def words_of(line: str) -> list[str]:
    """Return the words as Windows passes them: a backslash is a character like any other."""
    return shlex.split(line.replace("\\", "\\\\"))


@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_of_the_manual_is_missing_and_each_is_as_the_manual_says(name: str) -> None:
    command, options = OPTIONS[name]
    known = {option.name: option for option in command.options}
    shown = command_help(command)

    for option, default in options.items():
        assert option in known
        assert f"--{option}" in shown
        if default is ...:  # a search or tree of a running system needs no path
            assert known[option].required or "server" in known
        else:
            assert known[option].default == default
        assert (known[option].kind is Kind.MANY) is (option in SEVERAL)
        assert (known[option].kind is Kind.FLAG) is (option in FLAGS)


@pytest.mark.parametrize(("line", "meant"), LINES, ids=[line[:40] for line, _ in LINES])
def test_the_manuals_lines_mean_what_they_meant(line: str, meant: dict[str, object]) -> None:
    name, *words = words_of(line)
    command = OPTIONS[name][0]

    values, warnings = resolve(command, parse_command_line(command, words), ())

    assert not warnings
    assert {key: values.by_name[key] for key in meant} == meant


def test_the_manuals_options_json_gives_every_command_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS_JSON, indent=2))
    found = layers(tmp_path)

    def resolved(command: Command, *words: str) -> Values:
        values, warnings = resolve(command, parse_command_line(command, words), found)
        assert not warnings
        return values

    retrieve = resolved(RETRIEVE, "--patientId", "A", "--path", "X")
    assert retrieve.flag("showTree")
    assert retrieve.number("hostPort") == 4242
    assert resolved(SEARCH).many("tag") == ("(300A,00B0)/(300A,00B2)=?",)
    assert resolved(SHOW).text("path") == "C:\\Temp\\DICOM\\FileDicomExport"
    assert resolved(STORE).text("calledAet") == "SCPAET"
    assert resolved(STORE, "--hostPort", "104").number("hostPort") == 104
