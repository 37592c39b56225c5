"""`dicomtools` itself: help as it was agreed, exit codes, advice for every error, portable imports."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dicomcore
import dicomio
import dicomtools
import indexer
import qr_gateway
import store_scp
from dicomcore import errors
from dicomtools.helptext import WIDTH
from dicomtools.main import main
from dicomtools.problems import CommandProblem, advice

GOLDEN = Path(__file__).parent / "golden"
PACKAGES = [
    Path(package.__path__[0])
    for package in (dicomcore, dicomio, dicomtools, indexer, qr_gateway, store_scp)
]
POSIX_ONLY = {
    "fcntl",
    "grp",
    "pwd",
    "resource",
    "termios",
    "tty",
    "pty",
    "posix",
    "syslog",
    "curses",
}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "retrieve",
        "reveal",
        "store",
        "search",
        "show",
        "doctor",
        "completion",
        "up",
        "demo",
        "demo-pacs",
    ],
)
def test_the_help_is_as_it_was_agreed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([name, "--help"] if name else ["--help"])

    agreed = (GOLDEN / f"help-{name or 'dicomtools'}.txt").read_text(encoding="utf-8")
    assert code == 0
    assert capsys.readouterr().out == agreed
    assert all(len(line) <= WIDTH + 1 for line in agreed.splitlines())


@pytest.mark.parametrize("word", ["-?", "-h", "--help", "/?"])
def test_every_spelling_of_help_helps(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert main(["retrieve", "--force", word]) == 0
    assert "--patientId" in capsys.readouterr().out


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("dicomtools")


def test_no_command_shows_the_help_and_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retreive"], "Did you mean retrieve?"),
        (["retrieve"], "--patientId, --path, --hostName, --hostPort"),
        (["show", "--pth", "x"], "Did you mean --path?"),
    ],
)
def test_what_cannot_be_understood_is_said_on_standard_error_with_exit_code_1(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    code = main(words)

    shown = capsys.readouterr()
    assert code == 1
    assert said in shown.err
    assert shown.out == ""


def test_a_word_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--path", "\udcff"]) == 1
    assert "no text in this system's encoding" in capsys.readouterr().err


def test_a_broken_settings_file_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "options.json").write_text('{\n"ShowOptions": {"Path": "C:\\Temp"}}')
    monkeypatch.chdir(tmp_path)

    assert main(["show"]) == 1
    assert "options.json, line 2: a backslash must be written twice" in capsys.readouterr().err


def all_errors() -> list[type[errors.DicomToolsError]]:
    found: list[type[errors.DicomToolsError]] = [errors.DicomToolsError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [
        kind
        for kind in found
        if kind is not errors.DicomToolsError
        and kind is not CommandProblem
        and kind.__module__ == errors.__name__
    ]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_has_advice(kind: type[errors.DicomToolsError]) -> None:
    words = advice(kind("a fixed sentence", uid="1.2"))

    assert words != "a fixed sentence (uid=1.2)"
    assert words.endswith("[a fixed sentence (uid=1.2)]")


def test_what_may_succeed_later_is_advised_to_be_tried_again() -> None:
    later = [kind for kind in all_errors() if issubclass(kind, errors.Unavailable)]

    assert len(later) > 5
    for kind in later:
        words = advice(kind("away"))
        assert "again" in words or "rebuilt" in words


@pytest.mark.parametrize("package", sorted(PACKAGES), ids=lambda p: p.name)
def test_what_the_command_line_is_made_of_can_be_imported_on_every_system(package: Path) -> None:
    # what stands inside a function or behind a test of the platform may be there
    imported = {
        (name, path.name)
        for path in package.rglob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        for name in imported_by(statement)
    }

    assert len(imported) > 5
    assert {one for one in imported if one[0] in POSIX_ONLY} == set()
    assert sys.stdlib_module_names >= POSIX_ONLY


def imported_by(statement: ast.stmt) -> list[str]:
    """Return the top-level modules that a statement imports."""
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.level == 0:
        return [(statement.module or "").partition(".")[0]]
    return []
