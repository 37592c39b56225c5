"""Values that were found in a file as bytes: to travel between processes, and to be kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from dicomcore.criteria import Value, number_of
from dicomcore.extract import Plan
from dicomcore.query import Found

_DECODER = json.JSONDecoder()


def encode_found(found: Found, plan: Plan) -> bytes:
    """Return what was found as JSON: values and items in the order of the plan."""
    return _json(_packed(found, plan))


def encode_values(values: Sequence[Value] | None) -> bytes:
    """Return what `encode_found` writes for one attribute; None if it is absent."""
    packed = _packed_values(values)
    return encode_basestring(packed).encode() if isinstance(packed, str) else _json(packed)


class PutTogether:
    """What `encode_found` writes where no sequence of the plan is there, from its attributes."""

    def __init__(self, plan: Plan) -> None:
        self._end = b"],[" + b",".join([b"[]"] * len(plan.sequences)) + b"]]"

    def __call__(self, encoded: Sequence[bytes]) -> bytes:
        """Return it from what `encode_values` wrote of each attribute."""
        return b"[[" + b",".join(encoded) + self._end


def decode_found(body: bytes, plan: Plan) -> Found:
    """Return what `encode_found` wrote, with the same plan."""
    return _unpacked(_DECODER.raw_decode(body.decode())[0], plan)


def decode_if_complete(body: bytes, plan: Plan) -> Found | None:
    """Return the same if each attribute and sequence at the top level has something, otherwise None.

    A query whose plan it is needs each of them. Most files of a folder lack one.
    """
    packed = _DECODER.raw_decode(body.decode())[0]
    values, items = packed
    return None if None in values or [] in values or [] in items else _unpacked(packed, plan)


def _json(packed: object) -> bytes:
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":")).encode()


def _packed(found: Found, plan: Plan) -> list[object]:
    return [
        [_packed_values(found.values.get(step)) for step in plan.all_attributes],
        [
            [_packed(item, below) for item in found.items.get(step, ())]
            for step, below in plan.sequences.items()
        ],
    ]


def _packed_values(values: Sequence[Value] | None) -> object:
    """A text for one text, else a list: of texts, and for each number of a list with its text."""
    if values is None:
        return None
    if len(values) == 1 and values[0].number is None:
        return values[0].text
    return [value.text if value.number is None else [value.text] for value in values]


def _unpacked(packed: Any, plan: Plan) -> Found:
    values, items = packed
    return Found(
        {
            step: _one_text(several) if isinstance(several, str) else list(map(_value, several))
            for step, several in zip(plan.all_attributes, values, strict=True)
            if several is not None
        },
        {
            step: [_unpacked(item, below) for item in several]
            for (step, below), several in zip(plan.sequences.items(), items, strict=True)
        },
    )


def _value(one: str | list[str]) -> Value:
    return Value(one) if isinstance(one, str) else Value(one[0], number_of(one[0]))


@lru_cache(maxsize=10_000)
def _one_text(text: str) -> Sequence[Value]:
    return (Value(text),)
