"""Which value counts: command line, environment, options.json, appsettings.json, default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dicomtools.options import Command, Kind, Option, Value, nearest, parse_value
from dicomtools.problems import CommandProblem
from dicomtools.settings import OPTIONS_FILE, Layer


@dataclass(frozen=True, slots=True)
class Values:
    """The value of every option of a command, typed on the way out."""

    by_name: Mapping[str, Value]

    def text(self, name: str) -> str:
        """Return a text; empty if there is none."""
        value = self.by_name[name]
        return "" if value is None else str(value)

    def number(self, name: str) -> int:
        """Return a number that is required or has a default."""
        value = self.by_name[name]
        if not isinstance(value, int):
            raise TypeError(name)
        return value

    def flag(self, name: str) -> bool:
        """Return a flag; false if nobody set it."""
        return self.by_name[name] is True

    def many(self, name: str) -> tuple[str, ...]:
        """Return the texts; empty if there are none."""
        value = self.by_name[name]
        return value if isinstance(value, tuple) else ()


def resolve(
    command: Command, given: Mapping[str, Value], layers: Sequence[Layer]
) -> tuple[Values, tuple[str, ...]]:
    """Return the value of each option, and warnings about settings that nobody reads.

    An empty text on the command line counts as given and empty: it takes a default away.

    Raises
    ------
    CommandProblem
        A required option has no value anywhere, or a setting cannot be that option's value.
    """
    values = {option.name: _value(command, option, given, layers) for option in command.options}
    missing = [o for o in command.options if o.required and values[o.name] in (None, "", ())]
    if missing:
        raise CommandProblem(_missing(command, missing))
    return Values(values), tuple(_unread(command, layers))


def setting(layers: Sequence[Layer], *path: str) -> object:
    """Return a setting by its path, whatever the case of its keys; None if no layer has it."""
    for layer in layers:
        value: object = layer.sections
        for key in path:
            value = _folded(value).get(key.lower())
        if value is not None:
            return value
    return None


def _value(
    command: Command, option: Option, given: Mapping[str, Value], layers: Sequence[Layer]
) -> Value:
    if option.name in given:
        value = given[option.name]
        return None if value == "" else value
    path = option.setting.split(".") if option.setting else [command.section, option.key]
    for layer in layers:
        raw = setting([layer], *path)
        if raw is not None and raw != "":
            return _typed(option, raw, where=f"{layer.name}: {'.'.join(path)}")
    return option.default


def _typed(option: Option, raw: object, *, where: str) -> Value:
    if option.kind is Kind.MANY:
        return tuple(str(_scalar(option, one, where)) for one in _listed(raw))
    return _scalar(option, raw, where)


def _listed(raw: object) -> list[object]:
    if isinstance(raw, dict):  # from the environment: place → value
        return [raw[place] for place in sorted(raw, key=lambda p: (len(str(p)), str(p)))]
    return list(raw) if isinstance(raw, list) else [raw]


def _scalar(option: Option, raw: object, where: str) -> Value:
    if isinstance(raw, bool):
        raw = "true" if raw else "false"
    if not isinstance(raw, str | int):
        raise CommandProblem(f"{where} must be a single value, not a list or an object")
    if isinstance(raw, str) and any(ord(character) < 32 for character in raw):
        # "C:\temp" in JSON is C:<tabulator>emp
        raise CommandProblem(
            rf'{where} holds a control character. Write a backslash twice: "C:\\Temp\\Export".'
        )
    try:
        return parse_value(option, str(raw))
    except ValueError as exc:
        raise CommandProblem(f"{where}: {exc}") from exc


def _missing(command: Command, missing: Sequence[Option]) -> str:
    names = ", ".join(option.spellings[0] for option in missing)
    keys = ", ".join(f'"{option.key}": …' for option in missing)
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"dicomtools {command.name}: {names} {verb} missing.\n"
        f"Give what is missing on the command line,\n"
        f"in {OPTIONS_FILE} in this folder: {{ {command_section(command)}: {{ {keys} }} }},\n"
        f"or in the environment: {command.section}__{missing[0].key}.\n"
        f"'dicomtools {command.name} --help' explains the options."
    )


def command_section(command: Command) -> str:
    """Return the command's section as it is written in JSON."""
    return f'"{command.section}"'


def _unread(command: Command, layers: Sequence[Layer]) -> Iterator[str]:
    """Yield a warning for each key of the command's section that is no option of it."""
    known = [option.key for option in command.options]
    for layer in layers:
        for key in _folded(_folded(layer.sections).get(command.section.lower()), fold=False):
            if key.lower() not in {name.lower() for name in known}:
                meant = nearest(key, known)
                hint = f"; did you mean {meant}?" if meant else ""
                yield f"{layer.name}: {command.section}.{key} is not an option{hint}"


def _folded(value: object, *, fold: bool = True) -> dict[str, object]:
    """Return an object's items under lower-case keys (the last of two counts); {} if it is none."""
    if not isinstance(value, Mapping):
        return {}
    return {str(key).lower() if fold else str(key): item for key, item in value.items()}
