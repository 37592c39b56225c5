"""The options of the command line as data, and the words that say them.

The command line's own tables are in `dicomtools.commands`, which services do not import; a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from dicomcore.errors import InvalidRequest

OptionValue = str | bool | int | Sequence[str]


class Operation(StrEnum):
    """A command."""

    RETRIEVE = "retrieve"
    STORE = "store"
    SEARCH = "search"
    SHOW = "show"
    DOCTOR = "doctor"


class Form(StrEnum):
    """What the value of an option is."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    MANY = "many"


def _table(**names: str) -> Mapping[str, Form]:
    return MappingProxyType(
        {name: Form(form) for form, listed in names.items() for name in listed.split()}
    )


_PEER = "hostName callingAet calledAet caFile certFile keyFile"
_READING = "path searchPattern"

OPTIONS: Mapping[Operation, Mapping[str, Form]] = MappingProxyType(
    {
        Operation.RETRIEVE: _table(
            text=f"{_PEER} path newPatientId newPatientName anonymizationKeyFile mapFile storePath "
            "patientId planId",
            number="hostPort listenPort",
            flag="onlyApprovedPlans anonymize encryptAttributes allowPartialExport showTree useGet "
            "useTls insecure force json",
            many="mapCertificate allowBurnedIn",
        ),
        Operation.STORE: _table(
            text=f"{_PEER} {_READING} statusFileName",
            number="hostPort associations",
            flag="showMessages useTls insecure allowAnyManufacturer dryRun",
            many="machineMapping defaultMachines",
        ),
        Operation.SEARCH: _table(
            text=f"{_READING} server",
            number="processes",
            flag="showStatistics showOnlyDirectories noCache",
            many="tag",
        ),
        Operation.SHOW: _table(
            text=f"{_READING} format patientId server",
            number="processes",
            flag="noCache",
            many="defaultMachines",
        ),
        Operation.DOCTOR: _table(
            text=f"{_PEER} patientId", number="hostPort listenPort", flag="useGet useTls insecure"
        ),
    }
)
"""By command: every option but `token`, which would be a secret in a file and in lists of processes."""
DEFAULT_TRUE = frozenset({"showMessages"})
"""Flags that are set unless told otherwise."""


def words_of(operation: Operation, options: Mapping[str, OptionValue]) -> list[str]:
    """Return the command and its options as words, in the order of the table.

    An empty text, an empty list and a flag that is as it is anyway are left out. `--name=value` is one
    word, so that no value can be taken for an option.

    Raises
    ------
    InvalidRequest
        There is no such option, or its value is of another kind; `pointer` tells where, and holds
        names of ours only.
    """
    table = OPTIONS[operation]
    if not options.keys() <= table.keys():
        raise InvalidRequest("there is no such option", pointer="/options")
    words = [operation.value]
    for name, form in table.items():
        if name in options:
            words += _of_option(name, form, options[name])
    return words


def _of_option(name: str, form: Form, value: OptionValue) -> list[str]:
    wrong = InvalidRequest("not a value of this option", pointer=f"/options/{name}", form=form)
    if form is Form.FLAG:
        if not isinstance(value, bool):
            raise wrong
        if value is (name in DEFAULT_TRUE):
            return []
        return [f"--{name}"] if value else [f"--{name}=false"]
    if form is Form.NUMBER:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise wrong
        return [f"--{name}={value}"]
    if form is Form.TEXT:
        if not isinstance(value, str):
            raise wrong
        return [f"--{name}={value}"] if value else []
    if isinstance(value, str | bool | int) or not all(isinstance(each, str) for each in value):
        raise wrong
    return [f"--{name}={each}" for each in value if each]
