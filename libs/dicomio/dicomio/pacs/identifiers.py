"""Identifiers of queries and retrievals: keys to bytes, bytes to data sets."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from io import BytesIO

from pydicom import DataElement, Dataset, config
from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.walk import Buffer

UTF_8 = "ISO_IR 192"
_UNDEFINED = 0xFFFFFFFF
_LIKE_A_VR = 0x4141
"""From here on the low bytes of a length can be two capitals. Peers that are built on pydicom look
there to tell Explicit from Implicit VR, in the first element: it must not be a long list of UIDs,
so Specific Character Set goes before it."""
_TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_INTEGERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})

# what a damaged identifier makes pydicom raise, found by feeding it damaged ones
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, NotImplementedError,
    OSError, EOFError, RuntimeError, ArithmeticError, struct.error, BytesLengthException,
)  # fmt: skip


def encoded(keys: Mapping[str, str]) -> bytes:
    """Return keys as an identifier, Implicit VR Little Endian.

    Parameters
    ----------
    keys
        Keyword, or keywords joined by `/` for one inside sequences, to value. A sequence with the
        empty value is sent without items. Values are sent as they are, several joined by a
        backslash; where one is not ASCII, the identifier says that it is UTF-8.

    Raises
    ------
    InvalidRequest
        A keyword is unknown, a step of a path is no sequence, or a number is none.
    """
    identifier = Dataset()
    for path, value in keys.items():
        *sequences, keyword = path.split("/")
        _set(_item(identifier, sequences), keyword, value)
    if not all(value.isascii() and len(value) < _LIKE_A_VR for value in keys.values()):
        identifier.SpecificCharacterSet = UTF_8
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = True, True
    try:
        write_dataset(stream, identifier)
    except (ValueError, TypeError, OSError) as exc:  # a number out of range is an OSError
        raise InvalidRequest("the keys cannot be encoded") from exc
    return stream.getvalue()


def decoded(identifier: Buffer) -> Dataset:
    """Return an identifier, Implicit VR Little Endian, every value of it decoded.

    Where it names no character set, text beyond ASCII is taken as UTF-8 if it is valid UTF-8, and
    as Latin-1 if not: peers send both, and a reply is not worth losing for it.

    Raises
    ------
    Unreadable
        It cannot be parsed.
    """
    try:
        data_set = _read(identifier, default_encoding)
        if not data_set.get("SpecificCharacterSet") and _is_utf_8(b"".join(_texts(data_set))):
            data_set = _read(identifier, "utf-8")
        for _ in data_set.iterall():
            pass
    except _DAMAGE as exc:
        raise Unreadable("an identifier cannot be parsed", size_bytes=len(identifier)) from exc
    return data_set


def failed_uids(identifier: Buffer) -> tuple[str, ...]:
    """Return the Failed SOP Instance UID List (0008,0058); empty if there is none to be read."""
    if not identifier:
        return ()
    try:
        found = decoded(identifier).get("FailedSOPInstanceUIDList")
    except Unreadable:
        return ()
    several = [found] if isinstance(found, str) else found or ()
    return tuple(str(uid) for uid in several if uid)


def _item(data_set: Dataset, sequences: list[str]) -> Dataset:
    for keyword in sequences:
        tag = _tag(keyword)
        if dictionary_VR(tag) != "SQ":
            raise InvalidRequest("not a sequence", keyword=keyword)
        if not data_set.get(keyword):
            data_set[tag] = DataElement(tag, "SQ", [Dataset()])
        data_set = data_set[tag].value[0]
    return data_set


def _set(data_set: Dataset, keyword: str, value: str) -> None:
    tag = _tag(keyword)
    vr = dictionary_VR(tag).split(" ", maxsplit=1)[0]
    if vr == "SQ":
        if tag not in data_set:
            data_set[tag] = DataElement(tag, vr, [])
        return
    try:
        data_set[tag] = DataElement(tag, vr, _typed(vr, value), validation_mode=config.IGNORE)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidRequest("the value does not fit the key", keyword=keyword) from exc


def _typed(vr: str, value: str) -> object:
    if vr in _INTEGERS and value:
        return [int(part) for part in value.split("\\")]
    if vr in ("FL", "FD") and value:
        return [float(part) for part in value.split("\\")]
    return value


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise InvalidRequest("not the keyword of an attribute", keyword=keyword)
    return tag


def _read(identifier: Buffer, encoding: str) -> Dataset:
    data_set = read_dataset(
        BytesIO(identifier),
        is_implicit_VR=True,
        is_little_endian=True,
        bytelength=len(identifier),
        parent_encoding=encoding,  # where it names none
        at_top_level=False,  # at the top level pydicom guesses the VR encoding, see _LIKE_A_VR
    )
    for element in data_set.values():
        # where the bytes end within the last value, pydicom takes what there is
        if isinstance(element, RawDataElement) and _cut_off(element):
            raise EOFError
    return data_set


def _cut_off(element: RawDataElement) -> bool:
    return element.length != _UNDEFINED and len(element.value or b"") < element.length


def _texts(data_set: Dataset) -> Iterator[bytes]:
    for element in list(data_set.values()):  # not yet looked at, they are as they came
        vr = _vr(element) if isinstance(element, RawDataElement) else element.VR
        if vr == "SQ":
            for item in data_set[element.tag].value:
                yield from _texts(item)
        elif vr in _TEXTS and isinstance(element.value, bytes):
            yield element.value


def _vr(element: RawDataElement) -> str:
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return ""


def _is_utf_8(text: bytes) -> bool:
    try:
        return not text.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False
