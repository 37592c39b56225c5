"""P-DATA-TF PDUs put together to DIMSE messages, whatever the fragments are (PS3.8 9.3.5, Annex E)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from dicomcore.walk import Buffer
from dicomio.pacs import commands
from dicomio.pacs.commands import Command, MalformedCommand
from dicomio.pacs.pdu import COMMAND, LAST, VALUE_HEADER

LONGEST_COMMAND = 64 * 1024


class MalformedMessage(ValueError):
    """What came is no DIMSE message: the association cannot go on."""


class Source(Protocol):
    """Where the bytes of a PDU come from."""

    def take(self, length: int) -> memoryview:
        """Return the next bytes; valid until the next call."""
        ...

    def take_into(self, target: memoryview) -> None:
        """Fill `target` with the next bytes."""
        ...


class Sink(Protocol):
    """Where the data set of a message goes while it comes; one at a time."""

    def begin(self, context_id: int, command: Command) -> None:
        """Be ready for a new data set; one that was begun before and not ended is dropped."""
        ...

    def take(self, source: Source, length: int) -> None:
        """Take the next fragment; `MalformedMessage` if it cannot become a data set."""
        ...

    def end(self) -> Buffer:
        """Return the whole data set; the sink may use the buffer again at the next `begin`."""
        ...

    @property
    def sha256(self) -> str:
        """What `dicomcore.landing.begun` gave after what `end` returned; empty: not computed."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A DIMSE message as it came."""

    context_id: int
    command: Command
    data: Buffer = field(default=b"", repr=False)
    """The encoded data set; empty if there is none."""
    sha256: str = ""
    """Of the instance, hexadecimal, where it was computed while the data set came."""


class Reassembly:
    """Messages out of presentation data values; used by one thread.

    Values may be split and put together in any way: a command set in several, several in one PDU,
    of odd lengths, the last one empty. What may not be: a message inside another one, a data set
    without a command set or on another presentation context.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._command_part = bytearray()
        self._command_context = 0
        self._awaiting: tuple[int, Command] | None = None
        """Context and command set of the message whose data set is coming."""

    @property
    def between_messages(self) -> bool:
        """Whether no message has begun."""
        return self._awaiting is None and not self._command_part

    def messages(self, source: Source, length: int) -> Iterator[Message]:
        """Take a P-DATA-TF PDU's variable field of `length` bytes; yield what it completes.

        A message is yielded before what follows it is taken: its data is valid until then.

        Raises
        ------
        MalformedMessage
        """
        left = length
        while left:
            if left < VALUE_HEADER.size:
                raise MalformedMessage("a presentation data value is cut off")
            value_length, context_id, control = VALUE_HEADER.unpack(source.take(VALUE_HEADER.size))
            fragment = value_length - 2
            if not 0 <= fragment <= left - VALUE_HEADER.size:
                raise MalformedMessage("a presentation data value is longer than its PDU")
            left -= VALUE_HEADER.size + fragment
            if control & COMMAND:
                message = self._take_command(source, fragment, context_id, control)
            else:
                message = self._take_data(source, fragment, context_id, control)
            if message is not None:
                yield message

    def _take_command(
        self, source: Source, length: int, context_id: int, control: int
    ) -> Message | None:
        part = self._command_part
        if self._awaiting is not None or (part and context_id != self._command_context):
            raise MalformedMessage("a command set within another message")
        if len(part) + length > LONGEST_COMMAND:
            raise MalformedMessage("a command set without an end")
        self._command_context = context_id
        part += source.take(length)
        if not control & LAST:
            return None
        self._command_part = bytearray()
        try:
            command = commands.decode(part)
            has_data_set = command.has_data_set
        except MalformedCommand as exc:
            raise MalformedMessage("a command set cannot be decoded") from exc
        if not has_data_set:
            return Message(context_id, command)
        self._awaiting = context_id, command
        self._sink.begin(context_id, command)
        return None

    def _take_data(
        self, source: Source, length: int, context_id: int, control: int
    ) -> Message | None:
        if self._awaiting is None or self._awaiting[0] != context_id:
            raise MalformedMessage("a data set without a command set")
        self._sink.take(source, length)
        if not control & LAST:
            return None
        _, command = self._awaiting
        self._awaiting = None
        return Message(context_id, command, self._sink.end(), self._sink.sha256)
