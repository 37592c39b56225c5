"""Columns: what goes in comes out, however it is cut into parts; postings tell what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.attributes import Attribute, value_of
from dicomcore.columns import Columns, Packed, columns_of, merged, packed
from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.header import read_dataset_header
from dicomcore.model import InstanceHeader
from dicomcore.postings import FEW, LONGEST, MANY, postings_of
from dicomio.sql_index.headers import (
    merge_headers,
    pack_headers,
    unpack_headers,
    unpack_stacks,
)
from tests import factories

PATHS = ("00100010", "00280010#", "300A00B0/300A00B2", "300A00B0/300A0111/300A011E#")
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    path = draw(st.sampled_from(PATHS))
    items = tuple(draw(st.integers(0, 3)) for _ in range(path.count("/")))
    number = st.floats(-10, 10, allow_nan=False).map(lambda n: f"{n:g}")
    text = st.one_of(number, TEXTS) if path.endswith("#") else TEXTS
    return Attribute(path, items, tuple(draw(st.lists(text, min_size=1, max_size=3))))


@st.composite
def instances(draw: st.DrawFn) -> list[Attribute]:
    found = draw(st.lists(attributes(), max_size=8))
    return list({(a.path, a.items): a for a in found}.values())


SERIES = st.lists(instances(), min_size=1, max_size=6)


def rows_of(columns: Columns) -> list[set[Attribute]]:
    return [
        {
            Attribute(one.path, one.items, tuple(values))
            for one in columns.fields
            if (values := one.at(number)) is not None
        }
        for number in range(columns.count)
    ]


@given(series=SERIES, level=st.sampled_from((1, 6)))
def test_what_is_packed_is_unpacked(series: list[list[Attribute]], level: int) -> None:
    body = packed(columns_of(series), level=level)

    assert rows_of(Packed(body).columns()) == [set(one) for one in series]


@given(series=SERIES, data=st.data())
def test_merged_parts_are_the_whole(series: list[list[Attribute]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(series)))
    parts = [columns_of(some) for some in (series[:cut], series[cut:]) if some]

    assert rows_of(merged(parts)) == rows_of(columns_of(series))


@given(series=SERIES)
def test_postings_count_instances_and_spans_hold_every_value(
    series: list[list[Attribute]],
) -> None:
    posted = postings_of(columns_of(series))

    assert posted.keys() == {a.path for one in series for a in one}
    for path, what in posted.items():
        held = [{v for a in one if a.path == path for v in a.values} for one in series]
        assert what.count == sum(map(bool, held))
        if what.span is None:
            assert dict(what.values) == dict(Counter(v for values in held for v in values))
            continue
        for text in set().union(*held):
            number = value_of(path, text).number
            assert what.span.low <= text <= what.span.high
            if number is not None:
                low, high = what.span.low_number, what.span.high_number
                assert low is not None
                assert high is not None
                assert low <= number <= high


def series_of(values: Sequence[Sequence[str]]) -> Columns:
    return columns_of([[Attribute("00100010", (), tuple(some))] for some in values])


@pytest.mark.parametrize(
    ("values", "is_posted"),
    [
        ([["A"]] * 100, True),
        ([[str(n % FEW)] for n in range(100)], True),
        ([[str(n)] for n in range(FEW + 1)], False),
        ([[str(n) for n in range(MANY)]], True),
        ([[str(n) for n in range(MANY + 1)]], False),
        ([["A" * LONGEST]], True),
        ([["A" * (LONGEST + 1)]], False),
        ([["A" * (LONGEST + 1)], ["A" * LONGEST + "B"]], False),
    ],
)
def test_few_and_short_values_are_posted_the_others_have_a_span(
    values: list[list[str]], is_posted: bool
) -> None:
    [what] = postings_of(series_of(values)).values()

    assert (what.span is None) == is_posted
    if what.span is not None:
        texts = [text for some in values for text in some]
        assert what.span.low <= min(texts)
        assert what.span.high >= max(texts)


def test_who_asks_for_some_paths_gets_no_others() -> None:
    body = packed(
        columns_of([[Attribute("00100010", (), ("A",)), Attribute("00100020", (), ("B",))]])
    )

    [one] = Packed(body).fields("", lambda path: path == "00100020")

    assert one.shared == ("B",)
    assert list(Packed(body).fields("300A00B0")) == []


@pytest.mark.parametrize("body", [b"", b"\4\0\0\0nope", b"\xff" * 40])
def test_a_damaged_body_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Packed(body)


# ── headers ─────────────────────────────────────────────────────────────────────────────────


def headers_by_series() -> list[list[InstanceHeader]]:
    found: dict[str, list[InstanceHeader]] = {}
    for one in factories.small_twelve_plans().instances:
        header = read_dataset_header(one.dataset)
        found.setdefault(header.ref.series_instance_uid, []).append(header)
    return list(found.values())


def uids_of(headers: Sequence[InstanceHeader]) -> list[str]:
    return [header.ref.sop_instance_uid for header in headers]


def test_headers_are_unpacked_as_they_were_also_in_parts() -> None:
    for headers in headers_by_series():
        parts = [part for part in (headers[:1], headers[1:]) if part]

        whole = pack_headers(headers)
        joined = merge_headers([pack_headers(part) for part in parts], list(map(len, parts)))

        assert list(unpack_headers(whole, uids_of(headers))) == headers
        assert list(unpack_headers(joined, uids_of(headers))) == headers


def test_images_are_stacked_but_for_those_that_are_wanted_apart() -> None:
    images = [headers for headers in headers_by_series() if headers[0].modality == "CT"]
    headers = max(images, key=len)
    uids = uids_of(headers)

    single, stacks = unpack_stacks(pack_headers(headers), uids, {uids[1]})

    assert single == [headers[1]]
    assert sorted(uid for stack in stacks for uid in stack.uids) == sorted({*uids} - {uids[1]})


def test_headers_that_are_damaged_or_of_others_are_unreadable() -> None:
    headers = headers_by_series()[0]
    blob = pack_headers(headers)

    with pytest.raises(Unreadable):
        list(unpack_headers(b"nonsense", uids_of(headers)))
    with pytest.raises(Unreadable):
        list(unpack_headers(blob, ["1.2", *uids_of(headers)]))


def test_a_header_that_is_no_text_is_refused() -> None:
    [header, *_] = headers_by_series()[0]

    with pytest.raises(InvalidRequest):
        pack_headers([replace(header, patient_name="\ud800")])
