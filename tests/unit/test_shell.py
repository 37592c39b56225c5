"""Quoting, held to the shells themselves: `/bin/sh` as it is, `cmd.exe` by its rules."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest
from dicomcore.shell import LONGEST_BAT_LINE, Shell, command_line, printed, quoted
from tests.unit.cmd_exe import argv, percent_phase, special_phase

HOSTILE = "&|<>^%!\"'$`\\;()[]{}*?~#=@:,-+ \t/abcXYZ019äß中😀\u00a0\u3000\uff02\u2028"
IN_SH = st.text(st.one_of(st.sampled_from(HOSTILE + "\n\r\x1a"), st.characters(codec="utf-8", exclude_characters="\0")), max_size=40)  # fmt: skip
IN_BAT = st.text(
    st.one_of(
        st.sampled_from(HOSTILE.replace("\t", "").replace("\u2028", "")),
        st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")),
    ),
    max_size=40,
)
NASTY = [
    "", " ", "-", "--", "--force", "-h", "/?", "&calc", "|calc", "a&b", 'a"&calc', '"&calc&"', "%PATH%",
    "%%PATH%%", "%1", "%*", "%~dp0", "^", "^^", "a^", "^&calc", "!PATH!", "a!b", "$(id)", "`id`", "$HOME",
    "'; id; '", "'", "''", "\\", "\\\\", "a\\", "a\\\\", '\\"', '\\\\"', 'a\\" & calc', "~", "~root", "*", "?",
    "[a]", "{a,b}", "#", "a=b", "A=B", ")", "(", ") & calc", "> file", "2>&1", "a\u2028b"[:1], "😀", "é",
    "C:\\Program Files\\x\\", "\\\\server\\share\\", 'a" b', '"', '""', '"""', "a b", "\u00a0", "%", "50%", "@echo",
    "::", "rem", "NUL", "con", "ｅ＂x",
]  # fmt: skip


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that writes down its arguments, each with a NUL behind it."""
    folder = tmp_path_factory.mktemp("a folder with 'signs' & $more")
    path = folder / "recorder"
    path.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    path.chmod(0o755)
    return path


def given_to(program: Path, words: list[str]) -> list[str]:
    line = command_line([str(program), *words], Shell.SH)
    ran = subprocess.run(  # that is what is tested
        ["/bin/sh", "-c", line],
        capture_output=True,
        check=True,
        cwd=program.parent,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )
    assert ran.stderr == b""
    return ran.stdout.decode().split("\0")[:-1]


def read_by_cmd(line: str) -> list[str]:
    """The words of a line of a batch file, by the rules of cmd and of a program's start-up code."""
    tokens = special_phase(percent_phase(line, {}))
    assert [token.operator for token in tokens] == [False], "more than one command"
    words = argv(tokens[0].text)
    assert words == argv(tokens[0].text, doubled_marks=False)
    return words


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@settings(max_examples=150)
@given(words=st.lists(IN_SH, min_size=1, max_size=12))
@example(words=NASTY)
@example(words=["a\nb", "\n", "'\n'", "\r\n", "\x1b[31m", "\x7f"])
def test_sh_hands_over_exactly_the_words(recorder: Path, words: list[str]) -> None:
    assert given_to(recorder, words) == words


@settings(max_examples=1000)
@given(words=st.lists(IN_BAT, min_size=1, max_size=12))
@example(words=NASTY)
def test_cmd_hands_over_exactly_the_words(words: list[str]) -> None:
    for program in ("dicomtools", "C:\\Program Files (x86)\\100% & more\\DICOMTools.exe"):
        line = command_line([program, *words], Shell.BAT)
        assert "\n" not in line
        assert read_by_cmd(line) == [program, *words]


@settings(max_examples=500)
@given(text=IN_BAT)
@example(text='"&calc')
@example(text="%ERRORLEVEL% > x | y")
def test_a_text_that_cmd_prints_is_that_text(text: str) -> None:
    tokens = special_phase(percent_phase(f"echo({printed(text, Shell.BAT)}", {}))

    assert [token.text for token in tokens] == [f"echo({text}"]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\x1a", "\t", "\x7f", "\x85", "\u2028"])
def test_what_cmd_cannot_express_is_refused(text: str) -> None:
    for write in (quoted, printed):
        with pytest.raises(InvalidRequest):
            write(text, Shell.BAT)


@pytest.mark.parametrize("shell", Shell)
@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_shell_can_express_is_refused(shell: Shell, text: str) -> None:
    with pytest.raises(InvalidRequest):
        quoted(text, shell)


@pytest.mark.parametrize("shell", Shell)
@pytest.mark.parametrize("program", ["", "eval", "call", "A=B", "if", "%COMSPEC%", "a;b", "echo"])
def test_a_command_of_the_shell_itself_is_no_program(shell: Shell, program: str) -> None:
    with pytest.raises(InvalidRequest):
        command_line([program, "x"], shell)


@pytest.mark.parametrize(
    "program", ["C:\\x\\run.bat", "C:\\x\\run.CMD", "C:\\x\\run.bat. ", 'C:\\"x']
)
def test_a_batch_file_is_no_program_for_a_batch_file(program: str) -> None:
    with pytest.raises(InvalidRequest):
        command_line([program, "x"], Shell.BAT)


def test_a_line_that_cmd_would_cut_off_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        command_line(["dicomtools", "x" * LONGEST_BAT_LINE], Shell.BAT)
    with pytest.raises(InvalidRequest):
        command_line(["dicomtools", "😀" * (LONGEST_BAT_LINE // 2)], Shell.BAT)
    command_line(["dicomtools", "x" * LONGEST_BAT_LINE], Shell.SH)


def test_simple_words_stay_readable() -> None:
    words = ["dicomtools", "retrieve", "--patientId=P-1", "--path=/data/export"]
    for shell in Shell:
        assert command_line(words, shell) == " ".join(words)
