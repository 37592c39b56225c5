"""DICOM systems as one word on the command line: `NAME=AET@host:port`, `AET=host:port`."""

from __future__ import annotations

import re

from dicomtools.problems import CommandProblem

_HOST_PORT = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]@=:]+):(?P<port>[0-9]{1,5})", re.ASCII
)
_MAX_AE_TITLE_LENGTH = 16


def parse_host_port(text: str, *, option: str) -> tuple[str, int]:
    """Return host and port of `host:port`; an IPv6 address stands in brackets.

    Raises
    ------
    CommandProblem
    """
    found = _HOST_PORT.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise CommandProblem(f"--{option}: '{text}' is not host:port")
    return found["host"].strip("[]"), int(found["port"])


def parse_destination(text: str, *, option: str) -> tuple[str, tuple[str, int]]:
    """Return AE title and address of `AET=host:port`.

    Raises
    ------
    CommandProblem
    """
    title, _, address = text.rpartition("=")
    return ae_title(title, option=option), parse_host_port(address, option=option)


def parse_peer(text: str, *, option: str) -> tuple[str, str, str, int]:
    """Return name, AE title, host and port of `NAME=AET@host:port`.

    Raises
    ------
    CommandProblem
    """
    name, equals, rest = text.partition("=")
    title, at, address = rest.rpartition("@")
    if not (name and equals and at):
        raise CommandProblem(f"--{option}: '{text}' is not NAME=AET@host:port")
    return name, ae_title(title, option=option), *parse_host_port(address, option=option)


def ae_title(text: str, *, option: str) -> str:
    """Return an application entity's title (PS3.5 6.2, AE), without its padding.

    Raises
    ------
    CommandProblem
    """
    title = text.strip()
    valid = title.isascii() and title.isprintable() and "\\" not in title
    if not title or len(title) > _MAX_AE_TITLE_LENGTH or not valid:
        raise CommandProblem(
            f"--{option}: no AE title. It has 1 to {_MAX_AE_TITLE_LENGTH} printable ASCII "
            "characters, no backslash."
        )
    return title
