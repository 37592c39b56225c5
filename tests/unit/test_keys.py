"""Object keys: there and back, and nothing that a store could mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest
from dicomcore.keys import (
    MAX_KEY_BYTES,
    check_key,
    check_prefix,
    instance_prefix,
    object_key,
    parse_object_key,
    series_prefix,
    study_prefix,
)
from dicomcore.uids import parse_ref

UIDS = st.from_regex(r"\A[0-9]{1,10}(\.[0-9]{1,10}){0,4}\Z")


@given(UIDS, UIDS, UIDS, st.binary(min_size=32, max_size=32))
def test_a_key_is_read_back_as_what_it_was_made_of(
    study: str, series: str, instance: str, digest: bytes
) -> None:
    ref = parse_ref(study, series, instance)

    key = object_key(ref, digest.hex())

    assert parse_object_key(str(key)) == key
    assert check_key(str(key)) == str(key)
    for prefix in (
        study_prefix(ref.study_instance_uid),
        series_prefix(ref.study_instance_uid, ref.series_instance_uid),
        instance_prefix(ref),
    ):
        assert str(key).startswith(check_prefix(prefix))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "instances/1/2/3.dcm",
        "instances/1/2/3/0123456789abcdef",
        "instances/1/2/3/0123456789abcdef.DCM",
        "instances/1/2/3/0123456789ABCDEF.dcm",
        "instances/1/2/3/0123456789abcde.dcm",
        "instances/1/2/3/4/0123456789abcdef.dcm",
        "outbox/1/2/3/0123456789abcdef.dcm",
        "instances/1/../3/0123456789abcdef.dcm",
        "instances/1/2//0123456789abcdef.dcm",
    ],
)
def test_what_is_no_key_of_an_instance_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_object_key(text)


@given(st.text(max_size=40))
def test_a_key_that_is_let_through_leads_nowhere_else(text: str) -> None:
    try:
        check_key(text)
    except InvalidRequest:
        return
    components = text.split("/")
    assert all(components)
    assert not any(component.startswith(".") for component in components)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set('\\:*?"<>|')


def test_a_key_is_no_longer_than_s3_takes() -> None:
    assert check_key("a/" * (MAX_KEY_BYTES // 2 - 1) + "b")

    with pytest.raises(InvalidRequest):
        check_key("a/" * (MAX_KEY_BYTES // 2) + "b")
    with pytest.raises(InvalidRequest):
        check_prefix("a/" * (MAX_KEY_BYTES // 2) + "b")


@given(st.from_regex(r"\A[a-c .]{1,4}(/[a-c .]{1,4}){0,2}\Z"), st.data())
def test_every_beginning_of_a_key_is_a_prefix(key: str, data: st.DataObject) -> None:
    try:
        check_key(key)
    except InvalidRequest:
        return

    beginning = key[: data.draw(st.integers(0, len(key)))]

    assert check_prefix(beginning) == beginning
