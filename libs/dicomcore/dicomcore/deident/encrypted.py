"""Encrypted Attributes Sequence (0400,0500): what was changed goes along sealed, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dicomcore.deident.encoded import UNCOMPRESSED, Encoded, open_encoded
from dicomcore.deident.provenance import WRITTEN
from dicomcore.deident.splice import Part
from dicomcore.deident.values import encode_element, item_of, padded
from dicomcore.encoded import EncodedDataSet, Span
from dicomcore.errors import InvalidInstance, NotFound, Unreadable
from dicomcore.part10 import part10_header
from dicomcore.transcode import deflate, transcoded
from dicomcore.uids import parse_uid
from dicomcore.walk import Encoding

ENCRYPTED_ATTRIBUTES = 0x04000500
ENCRYPTED_CONTENT = 0x04000520
_TRANSFER_SYNTAX, _MODIFIED_ATTRIBUTES = 0x04000510, 0x04000550
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")
"""Object identifier 1.2.840.113549.1.7.3 (RFC 5652 6.1), with which the content begins."""

Seal = Callable[[bytes], bytes]
"""Encrypts for the key holder: CMS EnvelopedData of some bytes."""
Unseal = Callable[[bytes], bytes]
"""Decrypts; raises `Unreadable` if it is sealed to somebody else."""


def with_encrypted(original: Encoded, output: Sequence[Part], seal: Seal) -> list[Part]:
    """Return an output's data set with the original of everything that was changed, sealed.

    Parameters
    ----------
    output
        The de-identified data set, not deflated, without an Encrypted Attributes Sequence.

    Notes
    -----
    PS3.15 E.1.1 and PS3.3 C.12.1.1.4: the Encrypted Attributes Data Set is a Modified Attributes
    Sequence (0400,0550) of one item, in the encoding of the object. A sequence of which anything has
    changed is in it as a whole. Group lengths, which are retired, are not.
    """
    body, encoding = b"".join(output), original.encoding
    after = _elements(body, encoding)
    changed = _changed(_elements(original.data[original.start :], encoding), after)
    item = item_of(b"".join(changed[tag] for tag in sorted(changed)), encoding)
    data_set = encode_element(_MODIFIED_ATTRIBUTES, b"SQ", item, encoding)
    content = seal(data_set)
    inner = encode_element(
        _TRANSFER_SYNTAX, b"UI", padded(UNCOMPRESSED[encoding], b"UI"), encoding
    ) + encode_element(ENCRYPTED_CONTENT, b"OB", content + b"\0" * (len(content) % 2), encoding)
    element = encode_element(ENCRYPTED_ATTRIBUTES, b"SQ", item_of(inner, encoding), encoding)
    at = 0
    for tag, part in after.items():
        if tag > ENCRYPTED_ATTRIBUTES:
            break
        at += len(part)
    return [body[:at], element, memoryview(body)[at:]]


def recovered(data: bytes, unseal: Unseal) -> bytes:
    """Return the object as it was before it was de-identified, as a Part 10 file.

    Raises
    ------
    NotFound
        It has no Encrypted Attributes Sequence.
    Unreadable
        None of its items can be opened with this key, or what is in them is no data set.
    InvalidInstance
        What comes out has no identity.

    Notes
    -----
    PS3.15 E.1.2. The attributes that say that it was de-identified go, unless it had them before.
    """
    opened = open_encoded(data)
    elements = _elements(opened.data[opened.start :], opened.encoding)
    sequence = elements.pop(ENCRYPTED_ATTRIBUTES, None)
    if sequence is None:
        raise NotFound("the object holds no encrypted attributes")
    restored = _opened(sequence, opened.encoding, unseal)
    for tag in WRITTEN:
        elements.pop(tag, None)
    elements.update(restored)
    header = part10_header(
        _uid(elements, _SOP_CLASS, opened.encoding),
        _uid(elements, _SOP_INSTANCE, opened.encoding),
        opened.transfer_syntax_uid,
    )
    body = b"".join(elements[tag] for tag in sorted(elements))
    return header + (deflate(body) if opened.deflated else body)


def is_enveloped(content: bytes) -> bool:
    """Return whether a value of Encrypted Content (0400,0520) is CMS EnvelopedData."""
    return content[:1] == b"\x30" and _ENVELOPED_DATA in content[:20]


def _changed(before: Mapping[int, bytes], after: Mapping[int, bytes]) -> dict[int, bytes]:
    """Return the elements that are not there any more as they were, with what explains them."""
    changed = {
        tag: element
        for tag, element in before.items()
        if tag & 0xFFFF and (tag in WRITTEN or after.get(tag) != element)
    }
    private = (tag for tag in changed if tag >> 16 & 1 and tag & 0xFFFF >= 0x1000)
    creators = [tag & 0xFFFF0000 | tag >> 8 & 0xFF for tag in private]
    for tag in (_CHARACTER_SET, *creators):
        if tag in before:
            changed[tag] = before[tag]
    return changed


def _opened(sequence: bytes, encoding: Encoding, unseal: Unseal) -> dict[int, bytes]:
    """Return the elements of every item that can be opened."""
    restored: dict[int, bytes] = {}
    failure: Unreadable | None = None
    opened = 0
    for syntax, content in _sealed_items(sequence, encoding):
        try:
            plain = unseal(_without_padding(content))
        except Unreadable as exc:
            failure = exc  # sealed to somebody else: another item may be ours
            continue
        opened += 1
        restored |= _modified(bytes(transcoded(plain, syntax, UNCOMPRESSED[encoding])), encoding)
    if not opened:
        raise failure or Unreadable("the encrypted attributes have no item")
    return restored


def _sealed_items(sequence: bytes, encoding: Encoding) -> Iterator[tuple[str, bytes]]:
    """Yield transfer syntax and content of each item."""
    data_set = EncodedDataSet(sequence, encoding)
    (outer,) = data_set.elements()
    for item in data_set.items(outer):
        values = {
            span.tag: bytes(data_set.view[span.start : span.stop])
            for span in data_set.of_item(item)
        }
        if not values.keys() >= {_TRANSFER_SYNTAX, ENCRYPTED_CONTENT}:
            raise Unreadable("encrypted attributes without content or transfer syntax")
        yield values[_TRANSFER_SYNTAX].decode("latin-1").strip(" \0"), values[ENCRYPTED_CONTENT]


def _modified(plain: bytes, encoding: Encoding) -> dict[int, bytes]:
    """Return the elements of the one item of the Modified Attributes Sequence."""
    data_set = EncodedDataSet(plain, encoding)
    for span in data_set.elements():
        if span.tag == _MODIFIED_ATTRIBUTES:
            items = list(data_set.items(span))
            if len(items) == 1:
                return _by_tag(data_set, data_set.of_item(items[0]))
    raise Unreadable("what was encrypted is not one item of modified attributes")


def _elements(body: bytes, encoding: Encoding) -> dict[int, bytes]:
    """Return the top-level elements, each with its header, in their order."""
    data_set = EncodedDataSet(body, encoding)
    return _by_tag(data_set, data_set.elements())


def _by_tag(data_set: EncodedDataSet, spans: Iterator[Span]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for span in spans:
        if span.tag in found:
            raise InvalidInstance("an attribute is there twice", tag=f"{span.tag:08X}")
        found[span.tag] = bytes(data_set.view[span.header : span.end])
    return found


def _uid(elements: Mapping[int, bytes], tag: int, encoding: Encoding) -> str:
    element = elements.get(tag)
    if element is None:
        raise InvalidInstance("identifying attribute is missing", tag=f"{tag:08X}")
    (span,) = EncodedDataSet(element, encoding).elements()
    return str(parse_uid(element[span.start : span.stop].decode("latin-1"), keyword=f"{tag:08X}"))


def _without_padding(content: bytes) -> bytes:
    """Return DER without the byte that makes its length even."""
    if len(content) < 6 or content[1] <= 0x80:
        return content
    size = content[1] & 0x7F
    length = 2 + size + int.from_bytes(content[2 : 2 + size], "big")
    return content[:length] if length <= len(content) <= length + 1 else content
