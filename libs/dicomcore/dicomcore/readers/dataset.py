"""From a pydicom data set in memory to the attributes that are wanted, without a conversion of raw ones."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement

from dicomcore.readers.access import Item, Key, Stored
from dicomcore.readers.collect import collect_items
from dicomcore.readers.wanted import SEQUENCES, TEXTS
from dicomcore.walk import Encoding

_CHARSET = "SpecificCharacterSet"
_CHARSET_TAG = 0x00080005


def item_of(dataset: Dataset, inherited: bytes = b"") -> Item:
    """Return the wanted attributes; what pydicom has not converted yet is not converted by it.

    Parameters
    ----------
    inherited
        Specific Character Set of the data set that holds this item, as encoded.
    """
    charset = inherited
    if _CHARSET_TAG in dataset:
        charset = _encoded(_text(dataset.get_item(_CHARSET_TAG, keep_deferred=True)))
    values: dict[Key, Stored] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset converts every element
        if tag in SEQUENCES:
            element = dataset.get_item(tag, keep_deferred=True)
            values[SEQUENCES[tag]] = list(_items(element, charset))
        elif tag in TEXTS:
            values[TEXTS[tag]] = _text(dataset.get_item(tag, keep_deferred=True))
    values[_CHARSET] = charset
    return Item(values)


def _encoded(charset: bytes | str) -> bytes:
    return charset if isinstance(charset, bytes) else charset.encode("ascii", "replace")


def _text(element: DataElement | RawDataElement) -> bytes | str:
    """Return the value as encoded, or as text with backslashes between several values."""
    value = element.value
    if value is None or isinstance(value, bytes | str):
        return value or ""
    if isinstance(value, Iterable) and not hasattr(value, "components"):
        return "\\".join(str(part) for part in value)
    return str(value)


def _items(element: DataElement | RawDataElement, charset: bytes) -> Iterable[Item]:
    value = element.value
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        # UN, and sequences that pydicom left as they are
        encoding = Encoding(element.is_implicit_VR or element.VR == "UN", element.is_little_endian)
        return collect_items(value, encoding, charset)
    if isinstance(value, Iterable):
        return (item_of(part, charset) for part in value if isinstance(part, Dataset))
    return ()
