"""Names of exported files: two letters, the UID, and no two versions under one name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.export import (
    Exportable,
    Manifest,
    ManifestCounts,
    ManifestInstance,
    ManifestRequest,
    encode_manifest,
    file_prefix,
    parse_manifest,
    plan_export,
)
from dicomcore.ports import ObjectStat

RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
START = datetime(2026, 1, 1, tzinfo=UTC)


def stat(uid: str, digest: int, landed: int, series: str = "1.2") -> ObjectStat:
    # The bytes hold the series, so that equal digests in two series cannot be.
    key = f"instances/1.1/{series}/{uid}/{series[-1]}{digest:015x}.dcm"
    return ObjectStat(key, 10, START + timedelta(seconds=landed))


def plan(*versions: ObjectStat) -> Exportable:
    return Exportable(RT_PLAN, "RTPLAN", "the plan", versions)


@pytest.mark.parametrize(
    ("sop_class_uid", "modality", "letters"),
    [
        (RT_PLAN, "RTPLAN", "RP"),
        (RT_PLAN, "", "RP"),
        ("1.2.840.10008.5.1.4.1.1.481.8", "RTPLAN", "RP"),
        ("1.2.246.352.70.1.70", "RTPLAN", "RP"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", "RS"),
        ("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE", "RD"),
        ("1.2.840.10008.5.1.4.1.1.481.1", "RTIMAGE", "RI"),
        ("1.2.840.10008.5.1.4.1.1.481.9", "RTRECORD", "RT"),
        ("1.2.840.10008.5.1.4.1.1.66.3", "REG", "RE"),
        ("1.2.840.10008.5.1.4.1.1.128", "PT", "PT"),
        ("1.2.3.4", "RTPLAN", "RP"),
        ("1.2.3.4", "us", "US"),
        ("1.2.3.4", "../", "OT"),
        ("1.2.3.4", "", "OT"),
    ],
)
def test_the_letters_follow_the_sop_class_then_the_modality(
    sop_class_uid: str, modality: str, letters: str
) -> None:
    assert file_prefix(sop_class_uid, modality) == letters


@given(st.text(max_size=4), st.text(max_size=4))
def test_the_letters_are_always_two_capitals(sop_class_uid: str, modality: str) -> None:
    assert re.fullmatch("[A-Z]{2}", file_prefix(sop_class_uid, modality))


VERSIONS = st.lists(
    st.builds(
        stat,
        st.sampled_from(["1.2.3", "1.2.4", "1.2.34"]),
        st.integers(0, 5),
        st.integers(0, 9),
        st.sampled_from(["1.2", "1.3"]),
    ),
    unique_by=lambda s: s.key,
)


@given(VERSIONS, st.randoms())
def test_any_order_and_repetition_gives_the_same_names(versions, random) -> None:  # type: ignore[no-untyped-def] # Hypothesis's Random
    shuffled = [*versions, *versions]
    random.shuffle(shuffled)

    assert plan_export([plan(v) for v in shuffled]) == plan_export([plan(*versions)])


@given(VERSIONS)
def test_every_version_has_a_name_of_its_own_and_the_newest_the_plain_one(
    versions: list[ObjectStat],
) -> None:
    files = plan_export([plan(*versions)])

    assert sorted(file.object_key for file in files) == sorted(v.key for v in versions)
    assert len({file.name.lower() for file in files}) == len(versions)
    landed = {v.key: v.modified_at for v in versions}
    for uid in {v.key.split("/")[3] for v in versions}:
        of_uid = [f for f in files if f.object_key.split("/")[3] == uid]
        (newest,) = [f for f in of_uid if f.newest]
        assert newest.name == f"RP.{uid}.dcm"
        assert all(landed[newest.object_key] >= landed[f.object_key] for f in of_uid)


def test_a_key_that_is_none_of_an_instance_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        plan_export([plan(ObjectStat("outbox/x", 1, START))])


def test_a_manifest_reads_back_as_it_was_written() -> None:
    instance = ManifestInstance(
        file="RP.1.2.dcm",
        sop_instance_uid="1.2",
        sop_class_uid=RT_PLAN,
        series_instance_uid="1.3",
        study_instance_uid="1.4",
        sha256="0" * 64,
        size_bytes=7,
    )
    manifest = Manifest(
        software="dicomtools 0",
        created_at=START.isoformat(),
        state="complete",
        request=ManifestRequest(plan_label="A"),
        counts=ManifestCounts(
            instances=1, files=1, size_bytes=7, missing=0, dangling=0, bytes_moved=7
        ),
        instances=(instance,),
    )

    assert parse_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"schema_version": 2}', b"\xff"])
def test_what_is_no_manifest_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_manifest(body)
