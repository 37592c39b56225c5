"""Command line, environment, options.json, appsettings.json, default: the first that has it wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomtools.commands import RETRIEVE
from dicomtools.config import Values, resolve, setting
from dicomtools.options import Command, Kind, Option, Value
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer, environment_layer, layers

COMMAND = Command(
    name="try",
    summary="",
    section="TryOptions",
    options=(
        Option("hostName", "", default="default"),
        Option("hostPort", "", kind=Kind.PORT),
        Option("useGet", "", kind=Kind.FLAG, default=False),
        Option("tag", "", kind=Kind.MANY, default=()),
        Option("listenPort", "", kind=Kind.PORT, default=104, setting="DicomStorage.PortNumber"),
    ),
)


def resolved(given_values: dict[str, Value], *found: Layer) -> Values:
    return resolve(COMMAND, given_values, found)[0]


@given(st.lists(st.booleans(), min_size=4, max_size=4))
def test_the_first_source_that_has_a_value_wins(present: list[bool]) -> None:
    names = ["command line", "environment", "options.json", "appsettings.json"]
    given_values: dict[str, Value] = {"hostName": names[0]} if present[0] else {}
    found = [
        Layer(name, {"TryOptions": {"HostName": name}} if there else {})
        for name, there in zip(names[1:], present[1:], strict=True)
    ]

    value = resolved(given_values, *found).text("hostName")

    assert value == next((n for n, p in zip(names, present, strict=True) if p), "default")


@given(
    st.sampled_from(["TryOptions", "tryoptions", "TRYOPTIONS"]),
    st.sampled_from(["HostName", "hostName", "HOSTNAME"]),
)
def test_the_case_of_keys_does_not_matter(section: str, key: str) -> None:
    layer = Layer("options.json", {section: {key: "pacs"}})

    assert resolved({}, layer).text("hostName") == "pacs"


@pytest.mark.parametrize("name", ["DicomStorage:PortNumber", "DicomStorage__PortNumber"])
def test_the_listening_port_comes_from_the_environment_in_both_spellings(name: str) -> None:
    file = Layer("appsettings.json", {"DicomStorage": {"PortNumber": 105}})

    assert resolved({}, environment_layer({name: "11112"}), file).number("listenPort") == 11112


def test_the_listening_port_defaults_to_104() -> None:
    assert resolve(RETRIEVE, _required(), ())[0].number("listenPort") == 104


def test_lists_come_from_json_from_single_values_and_from_numbered_variables() -> None:
    as_list = Layer("options.json", {"TryOptions": {"Tag": ["a", "b"]}})
    as_text = Layer("options.json", {"TryOptions": {"Tag": "a"}})
    numbered = environment_layer({f"TryOptions__Tag__{i}": f"t{i}" for i in range(11)})

    assert resolved({}, as_list).many("tag") == ("a", "b")
    assert resolved({}, as_text).many("tag") == ("a",)
    assert resolved({}, numbered).many("tag") == tuple(f"t{i}" for i in range(11))


def test_an_empty_text_on_the_command_line_takes_a_default_away() -> None:
    layer = Layer("options.json", {"TryOptions": {"HostName": "pacs"}})

    assert resolved({"hostName": ""}, layer).text("hostName") == ""


@pytest.mark.parametrize(
    ("key", "raw", "said"),
    [
        ("HostPort", "abc", "options.json: TryOptions.HostPort: 'abc' is not a whole number"),
        ("HostPort", 4.5, "must be a single value"),
        ("UseGet", 1, "'1' is neither true nor false"),
        ("HostName", ["a"], "must be a single value"),
        ("HostName", "C:\temp", "Write a backslash twice"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_its_file(
    key: str, raw: object, said: str
) -> None:
    with pytest.raises(CommandProblem) as problem:
        resolved({}, Layer("options.json", {"TryOptions": {key: raw}}))

    assert said in problem.value.words


def test_a_misspelt_key_is_a_warning_that_proposes_the_right_one() -> None:
    layer = Layer("options.json", {"TryOptions": {"HostNam": "pacs", "useget": True}})

    _, warnings = resolve(COMMAND, {}, [layer])

    assert warnings == (
        "options.json: TryOptions.HostNam is not an option; did you mean HostName?",
    )


def test_missing_options_are_named_with_the_places_they_may_come_from() -> None:
    values = _required()
    del values["hostName"], values["calledAet"]

    with pytest.raises(CommandProblem) as problem:
        resolve(RETRIEVE, values, ())

    assert "--hostName, --calledAet are missing" in problem.value.words
    assert '{ "RetrieveOptions": { "HostName": …, "CalledAet": … } }' in problem.value.words
    assert "RetrieveOptions__HostName" in problem.value.words


def test_the_files_of_the_working_directory_are_read_leniently(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_bytes(
        b'\xef\xbb\xbf{ // mine\n "retrieveOptions": {"HOSTPORT": "4242", "ShowTree": true,},}'
    )
    (tmp_path / "appsettings.json").write_text(
        json.dumps({"Logging": {"LogLevel": {"Default": "Debug"}}})
    )
    found = layers(tmp_path)

    values, warnings = resolve(RETRIEVE, {**_required(), "hostPort": 1}, found)

    assert values.flag("showTree")
    assert values.number("hostPort") == 1
    assert warnings == ()
    assert setting(found, "logging", "loglevel", "default") == "Debug"


def test_a_settings_file_that_is_no_object_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("[1]")

    with pytest.raises(CommandProblem) as problem:
        layers(tmp_path)

    assert "options.json" in problem.value.words


def _required() -> dict[str, Value]:
    return {option.name: "1" for option in RETRIEVE.options if option.required}
