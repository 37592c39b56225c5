"""The words on the command line: every spelling of the original, and what is said about others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomtools.options import Command, Kind, Option, Value, parse_command_line
from dicomtools.problems import CommandProblem

COMMAND = Command(
    name="try",
    summary="",
    section="TryOptions",
    options=(
        Option("patientId", ""),
        Option("planId", ""),
        Option("hostPort", "", kind=Kind.PORT),
        Option("onlyApprovedPlans", "", kind=Kind.FLAG),
        Option("force", "", kind=Kind.FLAG),
        Option("machineMapping", "", kind=Kind.MANY),
        Option("format", "", choices=("flat", "tree")),
    ),
)

# A value on the command line may be anything that does not look like a long option.
TEXTS = st.text(min_size=1).filter(lambda text: not text.startswith("--"))
VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.TEXT: TEXTS,
    Kind.PORT: st.integers(1, 65535),
    Kind.FLAG: st.booleans(),
    Kind.MANY: st.lists(TEXTS.filter(lambda t: not t.startswith("-")), min_size=1, max_size=4).map(
        tuple
    ),
}
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        option.name: st.sampled_from(option.choices) if option.choices else VALUES[option.kind]
        for option in COMMAND.options
    },
)


def spelt(option: Option, value: Value, choice: st.DataObject) -> list[str]:
    """Return one of the ways to write an option."""
    name = choice.draw(st.sampled_from(option.spellings))
    if option.kind is Kind.MANY:
        assert isinstance(value, tuple)
        texts = [str(text) for text in value]
        if choice.draw(st.booleans()):
            return [word for text in texts for word in (name, text)]
        return [name, *texts]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if value is True and choice.draw(st.booleans()):
        return [name]
    separator = choice.draw(st.sampled_from([" ", "=", ":"]))
    return [name, text] if separator == " " else [f"{name}{separator}{text}"]


@given(values=GIVEN, choice=st.data())
def test_every_spelling_in_any_order_means_the_same(
    values: dict[str, Value], choice: st.DataObject
) -> None:
    names = choice.draw(st.permutations(list(values)))

    words = [word for name in names for word in spelt(COMMAND.option(name), values[name], choice)]

    assert parse_command_line(COMMAND, words) == values


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["--force", "--planId", "=", "--"]), max_size=6)
)
def test_any_words_are_options_or_a_problem(words: list[str]) -> None:
    try:
        values = parse_command_line(COMMAND, words)
    except CommandProblem as problem:
        assert problem.words  # noqa: PT017 – most words are no options
    else:
        assert set(values) <= {option.name for option in COMMAND.options}


@pytest.mark.parametrize("value", ["-5", "-PH 3", "-"])
def test_a_value_may_begin_with_one_dash(value: str) -> None:
    assert parse_command_line(COMMAND, ["--patientId", value, "--force"]) == {
        "patientId": value,
        "force": True,
    }


def test_several_values_follow_one_option_and_it_may_be_repeated() -> None:
    words = ["--machineMapping", "A=B", "C=D", "--force", "--machineMapping=E=F", "G=H"]

    assert parse_command_line(COMMAND, words) == {
        "machineMapping": ("A=B", "C=D", "E=F", "G=H"),
        "force": True,
    }


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("FALSE", False)])
def test_a_flag_takes_a_word(text: str, value: bool) -> None:
    assert parse_command_line(COMMAND, ["--force", text]) == {"force": value}


def test_an_empty_text_is_given_and_empty() -> None:
    assert parse_command_line(COMMAND, ["--planId", ""]) == {"planId": ""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--patientID", "A"], "Did you mean --patientId?"),
        (["--only-approved-plan"], "Did you mean --only-approved-plans?"),
        (["--patient", "A"], "--patient is not an option"),
        (["stray"], "'stray' belongs to no option"),
        (["--force", "maybe"], "'maybe' is neither true nor false"),
        (["--hostPort", "0"], "'0' is not a port number"),
        (["--hostPort", "70000"], "'70000' is not a port number"),
        (["--hostPort", "1e3"], "'1e3' is not a whole number"),
        (["--hostPort", "²"], "'²' is not a whole number"),
        (["--planId"], "--planId/--plan-id: expected one argument"),
        (["--planId", "--force"], "--planId/--plan-id: expected one argument"),
        (["--planId", "A", "--plan-id", "B"], "--plan-id is given twice"),
        (["--format", "trees"], "'trees' is none of flat, tree"),
        (["--machineMapping"], "expected at least one argument"),
    ],
)
def test_what_cannot_be_understood_is_said(words: list[str], said: str) -> None:
    with pytest.raises(CommandProblem) as problem:
        parse_command_line(COMMAND, words)

    assert said in problem.value.words


def test_a_typed_value_is_no_part_of_the_error_that_a_log_would_print() -> None:
    with pytest.raises(CommandProblem) as problem:
        parse_command_line(COMMAND, ["CANARY-PATIENT"])

    assert "CANARY" in problem.value.words
    assert "CANARY" not in str(problem.value)


@pytest.mark.parametrize("value", ["--", "--force", "-h", "=", ":", "a=b:c", "--planId=x"])
def test_a_value_behind_its_option_is_that_value_whatever_it_looks_like(value: str) -> None:
    for name in ("--patientId", "--machineMapping"):
        given_ = parse_command_line(COMMAND, [f"{name}={value}"])
        wanted: Value = (value,) if name == "--machineMapping" else value
        assert given_ == {name.removeprefix("--"): wanted}
