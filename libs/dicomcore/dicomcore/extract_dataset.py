"""The same as `dicomcore.extract` out of a data set that pydicom has read: for what the walk declines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.valuerep import PersonName

from dicomcore.criteria import Value
from dicomcore.extract import Declined, Plan, vr_of
from dicomcore.query import Found
from dicomcore.tagpath import Step
from dicomcore.values import BULK_VRS, NUMBER_VRS, decimal_text, single_text, values_of

_CHARSET_TAG = 0x00080005
_UTF_8 = b"ISO_IR 192"


def found_in(ds: Dataset, plan: Plan, inherited: bytes = b"") -> Found:
    """Return what a data set, with its file meta information, holds of the wanted paths.

    Parameters
    ----------
    inherited
        Specific Character Set of the data set that holds this item, as encoded.
    """
    charset = _charset(ds, inherited)
    values = {
        step: _values(ds, tag, charset) for step in plan.attributes for tag in _tags(ds, step)
    }
    meta = getattr(ds, "file_meta", None)
    if plan.meta is not None and meta is not None:
        values.update(found_in(meta, plan.meta).values)
    return Found(
        values,
        {step: list(_items(ds, step, below, charset)) for step, below in plan.sequences.items()},
    )


def _items(ds: Dataset, step: Step, plan: Plan, charset: bytes) -> Iterator[Found]:
    for tag in _tags(ds, step):
        element = ds[tag]
        if element.VR == "SQ":
            yield from (found_in(part, plan, charset) for part in element.value)


def _tags(ds: Dataset, step: Step) -> Iterable[int]:
    """Return the tags, mostly one, of what a step names; none if it is not there."""
    if not step.creator:
        return (step.tag,) if step.tag in ds else ()
    try:
        block = ds.private_block(step.tag >> 16, step.creator)
    except KeyError:
        return ()
    tag = block.get_tag(step.tag & 0xFF)
    return (tag,) if tag in ds else ()


def _values(ds: Dataset, tag: int, charset: bytes) -> Sequence[Value]:
    element: DataElement | RawDataElement = ds.get_item(tag, keep_deferred=True)
    if isinstance(element, DataElement):
        return _converted(element)
    try:
        vr = vr_of(tag, (element.VR or "").encode("ascii"), _creator(ds, tag))
    except Declined:
        vr = ds[tag].VR.encode("ascii")  # pydicom asks the attributes that tell
    little_endian = element.is_little_endian
    return values_of(vr, element.value or b"", charset, little_endian=little_endian)


def _converted(element: DataElement) -> Sequence[Value]:
    """Return the values of an element that pydicom has turned into values of its own already."""
    vr, value = element.VR.encode("ascii"), element.value
    if vr in BULK_VRS or isinstance(value, bytes):
        return ()
    several = element.VM > 1 and not isinstance(value, str | PersonName)
    parts = list(value) if several else ["" if value is None else value]
    if element.VR in ("FL", "FD"):
        shortest = single_text if element.VR == "FL" else decimal_text
        parts = [shortest(part) if isinstance(part, float) else part for part in parts]
    # the VR of decimal numbers for all numbers: what counts is that they are compared as such
    text = "\\".join(str(part) for part in parts).encode("utf-8", "replace")
    return values_of(b"DS" if vr in NUMBER_VRS else b"LO", text, _UTF_8, little_endian=True)


def _creator(ds: Dataset, tag: int) -> str:
    names_it = (tag >> 16, tag >> 8 & 0xFF)
    return str(ds[names_it].value).strip() if tag >> 16 & 1 and names_it in ds else ""


def _charset(ds: Dataset, inherited: bytes) -> bytes:
    if _CHARSET_TAG not in ds:
        return inherited
    element: DataElement | RawDataElement = ds.get_item(_CHARSET_TAG, keep_deferred=True)
    if isinstance(element, RawDataElement):
        return element.value or b""
    parts = [element.value] if element.VM < 2 else list(element.value)
    return "\\".join(str(part or "") for part in parts).encode("ascii", "replace")
