"""DIMSE command sets: encoded and decoded (PS3.7 6.3.1 and Annex E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from dicomcore.ports import SubOperations

AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REMAINING = 0x1020
COMPLETED = 0x1021
FAILED = 0x1022
WARNING = 0x1023

C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000
"""Set in the Command Field of a response, beside the bits of its request."""

NO_DATA_SET = 0x0101
DATA_SET_FOLLOWS = 0x0001
MEDIUM = 0x0000

_HEADER = struct.Struct("<HHI")
_US = struct.Struct("<H")
_UIDS = frozenset({AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID})


class MalformedCommand(ValueError):
    """The bytes are not a command set."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command set as it came: element number in group 0000 to encoded value."""

    elements: Mapping[int, bytes]
    rest: bytes = b""
    """What follows group 0000 within the command set: Orthanc 1.10 puts the identifier of a failed
    sub-operation there, Implicit VR Little Endian."""

    @property
    def field(self) -> int:
        """Command Field (0000,0100), which says what message it is."""
        return self._required(COMMAND_FIELD)

    @property
    def message_id(self) -> int:
        """Message ID (0000,0110) of a request."""
        return self._required(MESSAGE_ID)

    @property
    def status(self) -> int:
        """Status (0000,0900) of a response."""
        return self._required(STATUS)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows: Command Data Set Type (0000,0800)."""
        return self._required(COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    @property
    def sub_operations(self) -> SubOperations:
        """The counters, as far as the peer gave them."""
        return SubOperations(
            remaining=self.number(REMAINING),
            completed=self.number(COMPLETED),
            failed=self.number(FAILED),
            warning=self.number(WARNING),
        )

    def number(self, element: int) -> int | None:
        """Return the value of an element of VR US; None if it is absent or empty."""
        value = self.elements.get(element, b"")
        return _US.unpack_from(value)[0] if len(value) >= _US.size else None

    def text(self, element: int) -> str:
        """Return the value of an element of characters without padding; empty if absent."""
        return self.elements.get(element, b"").decode("latin-1").strip("\0 ")

    def _required(self, element: int) -> int:
        value = self.number(element)
        if value is None:
            raise MalformedCommand(f"(0000,{element:04X}) is absent")
        return value


def encode(elements: Mapping[int, int | str]) -> bytes:
    """Return a command set, Implicit VR Little Endian, its group length before it."""
    body = b"".join(_element(number, elements[number]) for number in sorted(elements))
    return _HEADER.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def decode(encoded: bytes | bytearray | memoryview) -> Command:
    """Return a command set.

    Raises
    ------
    MalformedCommand
        An element ends after the bytes do; or Command Field, Command Data Set Type, a response's
        Status or a request's Message ID is absent.
    """
    data = bytes(encoded)
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        end = position + _HEADER.size
        if end > len(data):
            raise MalformedCommand("ends within an element")
        group, element, length = _HEADER.unpack_from(data, position)
        if group != 0:
            break
        if length > len(data) - end:
            raise MalformedCommand("an element is longer than the command set")
        elements[element] = data[end : end + length]
        position = end + length
    command = Command(elements, data[position:])
    _check(command)
    return command


def _check(command: Command) -> None:
    if command.field & RESPONSE:
        _ = command.status
    elif command.field != C_CANCEL_RQ:
        _ = command.message_id
    _ = command.has_data_set


def _element(number: int, value: int | str) -> bytes:
    if isinstance(value, int):
        encoded = _US.pack(value)
    else:
        encoded = value.encode("latin-1")
        if len(encoded) % 2:
            encoded += b"\0" if number in _UIDS else b" "
    return _HEADER.pack(0, number, len(encoded)) + encoded
