"""What `store` was asked for: the manual's spellings, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomtools.commands import STORE
from dicomtools.config import resolve
from dicomtools.options import parse_command_line
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer, environment_layer
from dicomtools.store_options import StoreOptions, store_options

PEER = [
    *("--hostName", "localhost", "--hostPort", "4242"),
    *("--callingAet", "MYAET", "--calledAet", "SCPAET"),
]


def options(*words: str, layers: tuple[Layer, ...] = ()) -> StoreOptions:
    values, warnings = resolve(STORE, parse_command_line(STORE, [*PEER, *words]), layers)
    assert not warnings
    return store_options(values)


@pytest.fixture(autouse=True)
def _in_a_folder_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["--machineMapping", "A=B", "C=D"],
        ["--machineMapping", "A=B", "--machineMapping", "C=D"],
        ["--machineMapping=A=B", "C=D"],
        ["--machineMapping:A=B", "--machine-mapping", "C=D"],
        ["--machineMapping", "A=B C=D"],
    ],
)
def test_every_way_to_write_a_mapping_means_the_same(words: list[str]) -> None:
    assert options("--path", "data", *words).policy.machine_mapping == {"A": "B", "C": "D"}


def test_the_manuals_default_machines() -> None:
    found = options("--path", "data", "--defaultMachines", "RDS=HALCYON", "23EX=D")

    assert found.policy.default_machines == {"RDS": "HALCYON", "23EX": "D"}


def test_names_may_hold_blanks() -> None:
    found = options("--path", "data", "--machineMapping", "True Beam 1=LA 7", "X=Y", "A=B A")

    assert found.policy.machine_mapping == {"True Beam 1": "LA 7", "X": "Y", "A": "B A"}


def test_what_nobody_gives_is_as_the_manual_says() -> None:
    found = options("--path", "data")

    assert found.search_pattern == "*.*"
    assert found.show_messages
    assert found.status_file is None
    assert not found.policy.any_receiver
    assert not found.dry_run
    assert found.connection.tls is None


@pytest.mark.parametrize("word", ["false", "False", "FALSE"])
def test_messages_can_be_switched_off(word: str) -> None:
    assert not options("--path", "data", "--showMessages", word).show_messages


def test_several_pairs_may_stand_in_settings() -> None:
    json = Layer("options.json", {"StoreOptions": {"Path": "data", "MachineMapping": "A=B C=D"}})
    environment = environment_layer(
        {"StoreOptions__DefaultMachines__0": "RDS=H", "StoreOptions__DefaultMachines__1": "23EX=D"}
    )

    found = options(layers=(environment, json))

    assert found.policy.machine_mapping == {"A": "B", "C": "D"}
    assert found.policy.default_machines == {"RDS": "H", "23EX": "D"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--machineMapping", "TB1"], "--machineMapping: 'TB1'"),
        (["--machineMapping", "A=B", "A=C"], "--machineMapping: 'A=C'"),
        (["--defaultMachines", "A=" + "x" * 17], "a machine name has 1 to 16"),
        (["--defaultMachines", "A=Gerät"], "a machine name has 1 to 16 ASCII characters"),
        (["--associations", "0"], "--associations: 1 to 16"),
        (["--associations", "17"], "--associations: 1 to 16"),
        (["--insecure"], "means nothing without --useTls"),
        (["--useTls", "--certFile", "x"], "--certFile and --keyFile belong together"),
        (["--useTls", "--caFile", "x"], "--caFile: there is no file x"),
        (["--machineMaping", "A=B"], "Did you mean --machineMapping?"),
    ],
)
def test_what_cannot_be_understood_is_said(words: list[str], said: str) -> None:
    with pytest.raises(CommandProblem) as problem:
        options("--path", "data", *words)

    assert said in problem.value.words


def test_a_path_that_is_not_there_is_said() -> None:
    with pytest.raises(CommandProblem) as problem:
        options("--path", "nowhere")

    assert "There is no folder nowhere" in problem.value.words
