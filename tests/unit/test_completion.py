"""Shell completion: every command and option, in scripts that the shells themselves accept."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dicomtools import completion
from dicomtools.main import _COMMANDS, main
from tests.peers.processes import required_program

COMMANDS = [command for command, _ in _COMMANDS.values()]


def completed(*words: str) -> list[str]:
    """Return what bash offers for the last of these words."""
    bash = required_program("bash")
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"{completion.bash(COMMANDS)}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        "_dicomtools; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_every_option_of_every_command_is_in_the_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "--shell", shell]) == 0

    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in script
        for option in command.options:
            assert option.name in script


def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("dicomtools", "sto") == ["store"]
    assert completed("dicomtools", "store", "--machine") == ["--machineMapping"]
    assert "--planId" in completed("dicomtools", "retrieve", "--")
    assert "tree" in completed("dicomtools", "show", "--format", "t")


@pytest.mark.peer
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_shell_itself_accepts_its_script(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on this machine")

    done = subprocess.run(
        [program, "-n"],
        input=completion.SCRIPTS[shell](COMMANDS),
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0
