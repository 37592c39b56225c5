"""What each operation does to one element."""

from __future__ import annotations

from collections.abc import Mapping

from dicomcore.deident.dates import shifted, valid
from dicomcore.deident.encrypted import ENCRYPTED_ATTRIBUTES
from dicomcore.deident.provenance import PATIENT_ID, WRITTEN
from dicomcore.deident.rewrite import IMPLICIT, Creator, Rewrite
from dicomcore.deident.rules import Operation, Rule, private_rule, safe_private
from dicomcore.deident.tables_by_place import Handler
from dicomcore.deident.values import dummy_items, dummy_value
from dicomcore.deident.vrs import NUMBERS_AS_TEXT
from dicomcore.errors import InvalidInstance, Unreadable
from dicomcore.readers.charsets import decode
from dicomcore.walk import UNDEFINED_LENGTH

_IDENTITY = frozenset((0x00080018, 0x0020000D, 0x0020000E))
_NUMBER = b"0123456789+-.eE\\ \0"
_UID = b"0123456789.\\ \0"


def _remove(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    stop = at.stop(rule, position, start, length, end)
    at.out.keep_until(position)
    at.out.skip_to(stop)
    return stop


def _padding(at: Rewrite, _rule: Rule, position: int, _start: int, _length: int, end: int) -> int:
    """Leave out zeros at the end of the data set, or an element of group 0000."""
    if at.depth == 0 and not any(at.data[position:]):
        at.out.keep_until(position)
        at.out.skip_to(end)
        return end
    raise Unreadable("zeros where an element should be", offset=position)


def _empty(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    stop = at.stop(rule, position, start, length, end)
    at.replace(position, start, stop, b"")
    return stop


def _dummy(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    stop = at.stop(rule, position, start, length, end)
    if length:
        at.replace(position, start, stop, dummy_value(rule.vr))
    return stop


def _dummy_items(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    stop = at.stop(rule, position, start, length, end)
    encoding = IMPLICIT if at.is_un(position) else at.encoding
    if length:
        at.replace(position, start, stop, dummy_items(rule.tag, encoding))
    return stop


def _uid(at: Rewrite, _rule: Rule, position: int, start: int, length: int, end: int) -> int:
    mapped = at.subject.keyed.uid_value(at.value(start, length, end))
    at.put(position, start, start + length, mapped)
    return start + length


def _uid_keep(at: Rewrite, _rule: Rule, position: int, start: int, length: int, end: int) -> int:
    value = at.value(start, length, end)
    if value.translate(None, _UID):
        at.put(position, start, start + length, b"")
    return start + length


def _identity(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    """Map, or keep, one of the three UIDs of the instance, and remember what it is now."""
    value = at.value(start, length, end)
    if rule.operation is Operation.UID:
        value = at.subject.keyed.uid_value(value)
        at.put(position, start, start + length, value)
    if at.found.setdefault(rule.tag, value) != value:
        raise InvalidInstance("identifying attribute is there twice", tag=f"{rule.tag:08X}")
    return start + length


def _patient_id(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    """Leave out the Patient ID, for a new one is written; refuse another patient's object."""
    patient_id = decode(at.value(start, length, end), at.charset)
    if not at.subject.identity.owns(patient_id):
        raise InvalidInstance("object belongs to another patient")
    return _remove(at, rule, position, start, length, end)


# ── text and dates ──────────────────────────────────────────────────────────────────────


def _scrub(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    value = at.value(start, length, end)
    cleaned = at.subject.cleaner.scrub(value, at.charset)
    _text(at, rule, position, start, cleaned, length)
    return start + length


def _clean(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    value = at.value(start, length, end)
    cleaned = at.subject.cleaner.clean(value, at.charset)
    _text(at, rule, position, start, cleaned, length)
    return start + length


def _coded(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    value = at.value(start, length, end)
    if rule.vr in NUMBERS_AS_TEXT and not value.translate(None, _NUMBER):
        return start + length
    # a number that is none is text, whatever its VR says
    cleaned = at.subject.cleaner.scrub(value, at.charset, strong=rule.vr == b"CS")
    _text(at, rule, position, start, cleaned, length)
    return start + length


def _date_keep(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    if not valid(rule.vr, at.value(start, length, end)):
        _text(at, rule, position, start, b"", length)
    return start + length


def _date_shift(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    moved = shifted(rule.vr, at.value(start, length, end), at.subject.shift_days)
    _text(at, rule, position, start, moved or b"", length)
    return start + length


def _text(at: Rewrite, rule: Rule, position: int, start: int, value: bytes, length: int) -> None:
    """Put a cleaned value; a dummy if nothing is left and the IOD needs something."""
    if length and rule.valued and not value.strip(b" \0\\"):
        value = dummy_value(rule.vr)
    at.put(position, start, start + length, value)


def _character_set(
    at: Rewrite, _rule: Rule, _position: int, start: int, length: int, end: int
) -> int:
    at.charset = at.value(start, length, end)
    return start + length


# ── private attributes ──────────────────────────────────────────────────────────────────


def _creator(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    """Hold a private creator back until something of its block stays."""
    value = at.value(start, length, end)
    stop = start + length
    at.out.keep_until(position)
    slot = at.out.reserve()
    at.out.skip_to(stop)
    text = value.strip(b" \0").decode("latin-1")
    block = rule.tag & 0xFFFF0000 | (rule.tag & 0xFF) << 8
    at.creators[block] = Creator(text, slot, at.data[position:stop])
    return stop


def _private(at: Rewrite, rule: Rule, position: int, start: int, length: int, end: int) -> int:
    creator = at.creators.get(rule.tag & 0xFFFFFF00)
    if creator is None:
        return _remove(at, rule, position, start, length, end)
    safe = rule.tag >> 16, creator.text, rule.tag & 0xFF
    vr = safe_private().get(safe) if rule.operation is Operation.PRIVATE else b""
    inner = None if vr is None else private_rule(rule.tag, rule.vr, vr)
    if inner is None:
        return _remove(at, rule, position, start, length, end)
    if not creator.written:
        at.out.keep_until(position)
        at.out.fill(creator.slot, creator.element)
        creator.written = True
    handler = HANDLERS.get(inner.operation)
    if handler is not None:
        return handler(at, inner, position, start, length, end)
    if length != UNDEFINED_LENGTH and start + length <= end:
        return start + length
    return at.beyond(inner, start, length, end)


HANDLERS: Mapping[Operation, Handler] = {
    Operation.REMOVE: _remove,
    Operation.EMPTY: _empty,
    Operation.DUMMY: _dummy,
    Operation.DUMMY_ITEMS: _dummy_items,
    Operation.UID: _uid,
    Operation.UID_KEEP: _uid_keep,
    Operation.ITEMS: Rewrite.items,
    Operation.SCRUB: _scrub,
    Operation.CLEAN: _clean,
    Operation.CODED: _coded,
    Operation.DATE_KEEP: _date_keep,
    Operation.DATE_SHIFT: _date_shift,
    Operation.CHARSET: _character_set,
    Operation.PADDING: _padding,
    Operation.CREATOR: _creator,
    Operation.PRIVATE: _private,
    Operation.PRIVATE_KEEP: _private,
}
"""What is done for each operation; KEEP has none, it costs nothing."""

SPECIAL: Mapping[int, Handler] = {
    **dict.fromkeys(WRITTEN, _remove),
    # whom another de-identification has sealed it to, and what it is, cannot be known
    ENCRYPTED_ATTRIBUTES: _remove,
    **dict.fromkeys(_IDENTITY, _identity),
    PATIENT_ID: _patient_id,
}
"""Top level only."""
