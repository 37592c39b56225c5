"""`dicomtools completion`: what a shell needs to complete commands and options, from their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dicomtools.config import Values
from dicomtools.options import Command, Kind, Option
from dicomtools.settings import Layer

PROGRAMS = ("dicomtools", "DicomTools")
_GLOBAL = ("--help", "--version")
_PATHS = frozenset(
    ("path", "storePath", "data", "caFile", "certFile", "keyFile", "peersFile", "statusFileName")
)
"""Options whose value is a file or folder."""


def run(values: Values, layers: Sequence[Layer], commands: Sequence[Command]) -> int:
    """Print the script for one shell; return 0."""
    del layers
    print(SCRIPTS[values.text("shell")](commands), end="")
    return 0


def bash(commands: Sequence[Command]) -> str:
    """Return the script for bash: `source <(dicomtools completion --shell bash)`."""
    cases = "\n".join(_bash_case(command) for command in commands)
    return f"""\
_dicomtools() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{_names(commands)} {" ".join(_GLOBAL)}" -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
}}
complete -o filenames -o bashdefault -F _dicomtools {" ".join(PROGRAMS)}
"""


def zsh(commands: Sequence[Command]) -> str:
    """Return the script for zsh, on its emulation of bash's completion."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash(commands)}"


def fish(commands: Sequence[Command]) -> str:
    """Return the script for fish."""
    lines = [f"complete -c {program} -f" for program in PROGRAMS]
    for command in commands:
        lines += [
            f"complete -c {program} -n __fish_use_subcommand -a {command.name} "
            f"-d {_quoted(command.summary)}"
            for program in PROGRAMS
        ]
        for option in command.options:
            lines += [_fish_option(program, command, option) for program in PROGRAMS]
    return "\n".join(lines) + "\n"


def powershell(commands: Sequence[Command]) -> str:
    """Return the script for PowerShell: its output piped to `Invoke-Expression`."""
    table = "\n".join(
        f"    '{command.name}' = @({', '.join(map(_quoted, _options(command)))})"
        for command in commands
    )
    names = ", ".join(f"'{program}'" for program in PROGRAMS)
    return f"""\
Register-ArgumentCompleter -Native -CommandName {names} -ScriptBlock {{
  param($word, $ast, $cursor)
  $table = @{{
{table}
  }}
  $words = $ast.CommandElements
  $command = if ($words.Count -gt 1) {{ "$($words[1])" }} else {{ '' }}
  $known = if ($table.ContainsKey($command)) {{ $table[$command] }} else {{ $table.Keys }}
  $known | Where-Object {{ $_ -like "$word*" }} | Sort-Object | ForEach-Object {{
    [System.Management.Automation.CompletionResult]::new($_)
  }}
}}
"""


SCRIPTS: dict[str, Callable[[Sequence[Command]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
    "powershell": powershell,
}


def _bash_case(command: Command) -> str:
    choices = "".join(
        f'\n        {_either(option)}) COMPREPLY=($(compgen -W "{" ".join(option.choices)}" '
        '-- "$cur")); return;;'
        for option in command.options
        if option.choices
    )
    paths = [option for option in command.options if option.name in _PATHS]
    if paths:
        spelt = "|".join(_either(option) for option in paths)
        choices += f'\n        {spelt}) COMPREPLY=($(compgen -f -- "$cur")); return;;'
    return f"""\
    {command.name})
      case "$prev" in{choices}
      esac
      COMPREPLY=($(compgen -W "{" ".join(_options(command))}" -- "$cur"));;"""


def _either(option: Option) -> str:
    return "|".join(option.spellings)


def _fish_option(program: str, command: Command, option: Option) -> str:
    line = f"complete -c {program} -n '__fish_seen_subcommand_from {command.name}' -l {option.name}"
    if option.choices:
        line += f" -xa {_quoted(' '.join(option.choices))}"
    elif option.kind is not Kind.FLAG:
        line += " -rF" if option.name in _PATHS else " -x"
    return f"{line} -d {_quoted(option.help)}"


def _options(command: Command) -> Sequence[str]:
    return [*(option.spellings[0] for option in command.options), "--help"]


def _names(commands: Sequence[Command]) -> str:
    return " ".join(command.name for command in commands)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
