"""Encoded data sets, element by element and item by item, where every byte is: for changing a few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicomcore.errors import Unreadable
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Buffer,
    ElementReader,
    Encoding,
)

_UN = b"UN"


@dataclass(frozen=True, slots=True)
class Span:
    """Where one element or item is."""

    tag: int
    vr: bytes
    """As it is written; empty where VRs are implicit."""
    header: int
    """0-based offset of the tag."""
    start: int
    """0-based offset of the value."""
    stop: int
    """Offset after the value, before its delimiter."""
    end: int
    """Offset after the element, after its delimiter."""
    undefined: bool
    """Whether a delimiter, and not a length, ends it."""
    implicit_inside: bool
    """Whether what is nested in it has implicit VRs."""


class EncodedDataSet:
    """The bytes of a data set, and where its elements are.

    Parameters
    ----------
    encoding
        How it is encoded: see `dicomcore.readers.part10.encoding_at`.
    """

    def __init__(self, data: Buffer, encoding: Encoding) -> None:
        self.view = memoryview(data)
        self.encoding = encoding
        self._reader = ElementReader(data, encoding)

    def elements(self) -> Iterator[Span]:
        """Yield the top-level elements; padding after the last one is no element.

        Raises
        ------
        Unreadable
            The bytes are damaged; elements before that point have been yielded.
        """
        return self._elements(0, len(self.view), implicit=self.encoding.implicit_vr)

    def items(self, sequence: Span) -> Iterator[Span]:
        """Yield the items of a sequence; `Unreadable` if it holds something else."""
        implicit = sequence.implicit_inside
        position = sequence.start
        while position < sequence.stop:
            item = self._span(position, sequence.stop, implicit=implicit)
            if item.tag != ITEM:
                raise Unreadable("sequence holds something else than items", offset=position)
            yield item
            position = item.end

    def of_item(self, item: Span) -> Iterator[Span]:
        """Yield the elements of an item."""
        return self._elements(item.start, item.stop, implicit=item.implicit_inside)

    def _elements(self, position: int, stop: int, *, implicit: bool) -> Iterator[Span]:
        while position < stop and not self._reader.at_end(position):
            span = self._span(position, stop, implicit=implicit)
            yield span
            position = span.end

    def _span(self, position: int, limit: int, *, implicit: bool) -> Span:
        tag, start, length, inside = self._reader.header(position, implicit_vr=implicit)
        vr = b""
        if not implicit and tag >> 16 != ITEM >> 16 and start - position in (8, 12):
            vr = bytes(self.view[position + 4 : position + 6])
        if tag == ITEM:
            inside = implicit
        if length != UNDEFINED_LENGTH:
            end = self._reader.skip(start, length)
            if end > limit:
                raise Unreadable("value runs past the end of its item", offset=position)
            return Span(tag, vr, position, start, end, end, undefined=False, implicit_inside=inside)
        if tag in (ITEM_DELIMITER, SEQUENCE_DELIMITER):
            raise Unreadable("delimiter of undefined length", offset=position)
        end, inside = self._end_of(tag, start, inside=inside)
        return Span(tag, vr, position, start, end - 8, end, undefined=True, implicit_inside=inside)

    def _end_of(self, tag: int, start: int, *, inside: bool) -> tuple[int, bool]:
        in_item = tag == ITEM
        try:
            return self._reader.skip_undefined(start, implicit_vr=inside, in_item=in_item), inside
        except Unreadable:
            if inside == self.encoding.implicit_vr:
                raise
            # a UN of undefined length, written with explicit VRs inside: some toolkits do
            inside = self.encoding.implicit_vr
            return self._reader.skip_undefined(start, implicit_vr=inside, in_item=in_item), inside
