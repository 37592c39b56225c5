"""What an index promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest
from dicomcore.keys import DIGEST_LENGTH, object_key
from dicomcore.model import ImageDetails, InstanceHeader, Kind, Level, Reference, Relation
from dicomcore.ports import (
    IncomingReference,
    IndexCounts,
    IndexDb,
    IndexedInstance,
    Position,
    UpsertOutcome,
)
from dicomcore.uids import InstanceUID, parse_ref
from dicomio.sql_index import SqlIndex

NEW, SAME, VERSION = UpsertOutcome.NEW, UpsertOutcome.SAME, UpsertOutcome.VERSION
T0 = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/index 100%.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture
async def index(address: str) -> AsyncIterator[IndexDb]:
    opened = await SqlIndex.open(address)
    yield opened
    await opened.close()


def version(
    uid: str = "1.2.3",
    *,
    content: str = "a",
    study: str = "1.2",
    series: str = "1.2.1",
    patient_id: str = "P-1",
    patient_name: str = "Made^Up",
    references: tuple[Reference, ...] = (),
    stored_at: datetime = T0,
) -> IndexedInstance:
    """A readable version; its digest and header follow from UIDs and content, as in real life."""
    ref = parse_ref(study, series, uid)
    sha256 = hashlib.sha256(f"{ref}{content}".encode()).hexdigest()
    header = InstanceHeader(
        ref=ref,
        sop_class_uid=CT,
        kind=Kind.IMAGE,
        modality="CT",
        references=references,
        details=ImageDetails(instance_number=7),
        patient_id=patient_id,
        patient_name=patient_name,
    )
    return IndexedInstance(
        object_key=str(object_key(ref, sha256)),
        ref=ref,
        sop_class_uid=CT,
        sha256=sha256,
        size_bytes=1000 + len(content),
        stored_at=stored_at,
        header=header,
    )


def unread(whole: IndexedInstance, problem: str = "the encoding ends early") -> IndexedInstance:
    return replace(whole, header=None, problem=problem)


def listed(whole: IndexedInstance) -> IndexedInstance:
    """What a reindex knows of it: the digest's first digits, and the store's time."""
    later = whole.stored_at + timedelta(seconds=3)
    return replace(whole, sha256=whole.sha256[:DIGEST_LENGTH], stored_at=later)


async def test_what_went_in_comes_out(index: IndexDb) -> None:
    one = version(references=(Reference(Relation.IMAGE, "1.2.9", note="x"),))

    outcomes = await index.upsert([one])

    assert list(outcomes) == [NEW]
    assert list(await index.versions(one.ref.sop_instance_uid)) == [one]
    assert list(await index.of_patient("P-1")) == [one]


async def test_unknown_is_empty(index: IndexDb) -> None:
    assert list(await index.versions(InstanceUID("1.9"))) == []
    assert list(await index.of_patient("nobody")) == []
    assert list(await index.referenced_by("1.9")) == []
    assert (await index.patients()).patients == ()
    assert await index.counts() == IndexCounts(0, 0, 0, 0)


async def test_an_empty_batch_is_no_error(index: IndexDb) -> None:
    assert list(await index.upsert([])) == []


async def test_the_same_object_again_is_the_same(index: IndexDb) -> None:
    one = version()

    outcomes = [*await index.upsert([one, one]), *await index.upsert([one])]

    assert outcomes == [NEW, SAME, SAME]
    assert await index.counts() == IndexCounts(1, 1, 0, 0)


async def test_other_bytes_are_a_version_and_both_are_kept(index: IndexDb) -> None:
    first = version(content="a")
    second = version(content="b", stored_at=T0 + timedelta(hours=1))

    outcomes = [*await index.upsert([first]), *await index.upsert([second, first])]

    assert outcomes == [NEW, VERSION, SAME]
    assert list(await index.versions(first.ref.sop_instance_uid)) == [first, second]
    assert (await index.counts()).conflicts == 1


async def test_two_versions_in_one_batch_conflict(index: IndexDb) -> None:
    outcomes = await index.upsert([version(content="a"), version(content="b")])

    assert list(outcomes) == [NEW, VERSION]


async def test_an_instance_in_two_studies_is_two_versions(index: IndexDb) -> None:
    outcomes = await index.upsert([version(study="1.2"), version(study="1.3", series="1.3.1")])

    assert list(outcomes) == [NEW, VERSION]


async def test_replicas_at_once_see_one_first_and_one_second_version(address: str) -> None:
    one, other = await SqlIndex.open(address), await SqlIndex.open(address)
    pairs = [(version(f"1.2.{n}", content="a"), version(f"1.2.{n}", content="b")) for n in range(9)]

    answers = await asyncio.gather(
        *(
            request
            for a, b in pairs
            for request in (one.upsert([a, version("1.5")]), other.upsert([version("1.5"), b]))
        )
    )

    firsts = [answer[0] for answer in answers[0::2]]
    seconds = [answer[1] for answer in answers[1::2]]
    assert {frozenset(pair) for pair in zip(firsts, seconds, strict=True)} == {
        frozenset((NEW, VERSION))
    }
    assert (await one.counts()).conflicts == 9
    await one.close()
    await other.close()


async def test_replicas_that_start_at_once_make_one_schema(address: str) -> None:
    opened = await asyncio.gather(*(SqlIndex.open(address) for _ in range(4)))

    await opened[0].upsert([version()])

    assert {(await each.counts()).instances for each in opened} == {1}
    for each in opened:
        await each.close()


async def test_content_outlives_a_restart(address: str) -> None:
    before = await SqlIndex.open(address)
    await before.upsert([version()])
    await before.close()

    after = await SqlIndex.open(address)

    assert list(await after.versions(InstanceUID("1.2.3"))) == [version()]
    await after.close()


async def test_unreadable_is_kept_and_counted(index: IndexDb) -> None:
    one = unread(version())

    await index.upsert([one])

    assert list(await index.versions(one.ref.sop_instance_uid)) == [one]
    assert list(await index.of_patient("P-1")) == []
    assert await index.counts() == IndexCounts(0, 1, 1, 0)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("readable_first", [True, False])
async def test_readable_wins_over_unreadable(
    index: IndexDb, together: bool, readable_first: bool
) -> None:
    whole = version(references=(Reference(Relation.IMAGE, "1.2.9"),))
    pair = [whole, unread(whole)] if readable_first else [unread(whole), whole]

    for batch in [pair] if together else [[each] for each in pair]:
        await index.upsert(batch)

    assert list(await index.of_patient("P-1")) == [whole]
    assert [r.source for r in await index.referenced_by("1.2.9")] == [whole.ref]
    assert await index.counts() == IndexCounts(1, 1, 0, 0)


@pytest.mark.parametrize("event_first", [True, False])
async def test_reindex_and_event_tell_the_whole_together(index: IndexDb, event_first: bool) -> None:
    event = version()
    order = [event, listed(event)] if event_first else [listed(event), event]

    outcomes = [*await index.upsert(order[:1]), *await index.upsert(order[1:])]

    assert outcomes == [NEW, SAME]
    assert list(await index.versions(event.ref.sop_instance_uid)) == [event]


async def test_references_are_found_from_their_target(index: IndexDb) -> None:
    plan = version("1.2.5", references=(Reference(Relation.STRUCTURE_SET, "1.2.9"),))
    dose = version(
        "1.2.4",
        references=(
            Reference(Relation.STRUCTURE_SET, "1.2.9"),
            Reference(Relation.STRUCTURE_SET, "1.2.9", note="said twice"),
            Reference(Relation.IMAGE_SERIES, "1.2.9", Level.SERIES),
        ),
    )
    await index.upsert([plan, dose])

    found = await index.referenced_by("1.2.9")

    assert list(found) == [
        IncomingReference(dose.ref, Relation.IMAGE_SERIES, Level.SERIES),
        IncomingReference(dose.ref, Relation.STRUCTURE_SET, Level.INSTANCE),
        IncomingReference(plan.ref, Relation.STRUCTURE_SET, Level.INSTANCE),
    ]
    assert len(await index.referenced_by("1.2.9", limit=1)) == 1


async def test_two_versions_reference_once(index: IndexDb) -> None:
    references = (Reference(Relation.PLAN, "1.2.9"),)

    await index.upsert([version(content=c, references=references) for c in "abc"])

    assert len(await index.referenced_by("1.2.9")) == 1


async def test_patients_are_paged_in_code_point_order(index: IndexDb) -> None:
    ids = ["", " ", "A/1", "P-1", "P-10", "P-2", "a", "Ä", "患者", "\ue000", "\U0001f600"]
    await index.upsert(
        [version(f"1.2.{n}", study=f"1.{n}", patient_id=i) for n, i in enumerate(reversed(ids))]
    )

    seen: list[str] = []
    page = await index.patients(limit=3)
    seen += [p.patient_id for p in page.patients]
    while page.next is not None:
        page = await index.patients(after=page.next, limit=3)
        seen += [p.patient_id for p in page.patients]

    assert seen == ids
    assert page.total == len(ids)


async def test_a_patient_is_counted_over_studies_once_for_each_instance(index: IndexDb) -> None:
    await index.upsert(
        [
            version("1.2.3", content="a"),
            version("1.2.3", content="b"),
            version("1.2.4"),
            version("1.2.5", series="1.2.2"),
            version("1.3.1", study="1.3", series="1.3.2"),
            unread(version("1.2.6")),
        ]
    )

    [patient] = (await index.patients()).patients

    assert patient.number_of_studies == 2
    assert patient.number_of_series == 3
    assert patient.number_of_instances == 4
    assert await index.counts() == IndexCounts(1, 6, 1, 1)


async def test_one_study_may_have_two_patient_ids(index: IndexDb) -> None:
    wrong, corrected = (
        version(content="a", patient_id="P-1"),
        version(content="b", patient_id="P-2"),
    )

    await index.upsert([wrong, corrected])

    assert list(await index.of_patient("P-1")) == [wrong]
    assert list(await index.of_patient("P-2")) == [corrected]


async def test_conflicts_are_those_of_the_patient_wherever_the_other_version_is(
    index: IndexDb,
) -> None:
    moved = [version("1.2.1", content=c, patient_id=f"P-{c}") for c in "ab"]
    broken = [
        version("1.2.2", content="a", patient_id="P-a"),
        unread(version("1.2.2", content="b")),
    ]
    others = [version("1.2.3", patient_id="P-a"), version("1.2.4", patient_id="P-c")]
    await index.upsert([*moved, *broken, *others])

    assert await index.conflicts("P-a") == {"1.2.1", "1.2.2"}
    assert await index.conflicts("P-b") == {"1.2.1"}
    assert await index.conflicts("P-c") == frozenset()
    assert await index.conflicts("nobody") == frozenset()


@pytest.mark.parametrize("text", ["\0", "A\0B", "\x01\x01", "\ue000\uf000", "%", "\\"])
async def test_texts_that_databases_refuse_are_kept(index: IndexDb, text: str) -> None:
    one = version(patient_id=text, patient_name=text)
    other = replace(unread(version("1.2.4"), problem=f"x{text}"), sop_class_uid=text)
    await index.upsert([one, other])

    [patient] = (await index.patients()).patients

    assert (patient.patient_id, patient.patient_name) == (text, text)
    assert [v.object_key for v in await index.of_patient(text)] == [one.object_key]
    assert list(await index.versions(other.ref.sop_instance_uid)) == [other]


async def test_lone_surrogates_break_nothing(index: IndexDb) -> None:
    one = unread(version(), problem="\ud800 \udcff")
    await index.upsert([one])

    with pytest.raises(InvalidRequest):
        await index.upsert([version("1.2.4"), version("1.2.5", patient_id="\ud800")])

    assert list(await index.versions(one.ref.sop_instance_uid)) == [one]
    assert list(await index.of_patient("\ud800")) == []
    assert list(await index.referenced_by("\udcff")) == []
    with pytest.raises(InvalidRequest):
        await index.patients(after=Position("\ud800", "\0"))
    assert (await index.counts()).instances == 1


async def test_a_patient_id_beyond_reason_is_found_again(index: IndexDb) -> None:
    endless = "\0" * 100_000

    await index.upsert([version(patient_id=endless)])

    assert len(await index.of_patient(endless)) == 1


async def test_a_contradiction_writes_nothing(index: IndexDb) -> None:
    good, other = version("1.2.4"), version("1.2.5")
    contradictions = [
        replace(other, sha256="0" * 64),
        replace(other, ref=good.ref),
        replace(other, header=good.header),
        replace(other, header=None),
        replace(other, problem="both"),
        replace(other, size_bytes=-1),
        replace(other, size_bytes=2**63),
        replace(other, stored_at=datetime(2024, 1, 1)),  # noqa: DTZ001
        replace(other, object_key="instances/x"),
    ]

    for bad in contradictions:
        with pytest.raises(InvalidRequest):
            await index.upsert([good, bad])

    assert (await index.counts()).instances == 0


async def test_clear_forgets_everything(index: IndexDb) -> None:
    references = (Reference(Relation.PLAN, "1.2.9"),)
    await index.upsert([version(content=c, references=references) for c in "ab"])

    await index.clear()

    assert await index.counts() == IndexCounts(0, 0, 0, 0)
    assert list(await index.referenced_by("1.2.9")) == []
    assert list(await index.upsert([version()])) == [NEW]


async def test_it_says_that_it_is_healthy(index: IndexDb) -> None:
    assert await index.healthy()


async def test_a_large_batch_is_written_whole(index: IndexDb) -> None:
    batch = [
        version(
            f"1.2.{n % 2500}",
            content=str(n // 2500),
            series=f"1.2.{n % 700}",
            study=f"1.{n % 30}",
            patient_id=f"P-{n % 11}",
            references=(Reference(Relation.IMAGE, f"1.9.{n}"), Reference(Relation.PLAN, "1.8")),
        )
        for n in range(3000)
    ]

    outcomes = await index.upsert(batch)

    assert (outcomes.count(NEW), outcomes.count(VERSION)) == (2500, 500)
    assert await index.counts() == IndexCounts(11, 3000, 0, 500)
    assert len(await index.referenced_by("1.8", limit=5000)) == len({v.ref for v in batch})


# ── any order, any repetition ───────────────────────────────────────────────────────────────

_WHOLE = [
    version(
        f"1.2.{n}",
        content=content,
        patient_id=f"P-{n % 2}",
        patient_name=("", "B", "A")[len(content) % 3],
        references=(Reference(Relation.IMAGE, f"1.2.{(n + 1) % 4}"),),
        stored_at=T0 + timedelta(minutes=n, seconds=len(content)),
    )
    for n in range(4)
    for content in ("a", "bb", "ccc")
]
_TOLD = [told for v in _WHOLE for told in (v, listed(v), unread(v), unread(v, "another reason"))]
Story = list[list[IndexedInstance]]


@st.composite
def two_orders(draw: st.DrawFn) -> tuple[Story, Story]:
    """The same announcements twice: in other orders, repetitions and batches."""
    told = draw(st.lists(st.sampled_from(_TOLD), min_size=1, max_size=24))
    stories = []
    for _ in range(2):
        again = draw(st.lists(st.sampled_from(told), max_size=6))
        order = draw(st.permutations(told + again))
        size = draw(st.integers(1, len(order)))
        stories.append([order[i : i + size] for i in range(0, len(order), size)])
    return stories[0], stories[1]


async def content_of(index: IndexDb) -> list[object]:
    """Everything that can be asked of the index."""
    everything: list[object] = [await index.counts(), await index.patients()]
    for n in range(4):
        everything += [*await index.versions(InstanceUID(f"1.2.{n}"))]
        everything += [*await index.referenced_by(f"1.2.{n}")]
    for patient_id in ("P-0", "P-1"):
        everything += [await index.conflicts(patient_id), *await index.of_patient(patient_id)]
    return everything


async def told(index: IndexDb, story: Story) -> Sequence[tuple[IndexedInstance, UpsertOutcome]]:
    await index.clear()
    answers = [(batch, await index.upsert(batch)) for batch in story]
    return [pair for batch, outcomes in answers for pair in zip(batch, outcomes, strict=True)]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(orders=two_orders())
async def test_any_order_and_any_repetition_is_the_same_index(
    index: IndexDb, orders: tuple[Story, Story]
) -> None:
    one_story, other_story = orders

    await told(index, one_story)
    one = await content_of(index)
    await told(index, other_story)
    other = await content_of(index)

    assert one == other


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(orders=two_orders())
async def test_a_version_is_reported_for_every_object_after_the_first(
    index: IndexDb, orders: tuple[Story, Story]
) -> None:
    seen: dict[str, set[str]] = {}

    for instance, outcome in await told(index, orders[0]):
        known = seen.setdefault(instance.ref.sop_instance_uid, set())
        expected = SAME if instance.object_key in known else VERSION if known else NEW
        known.add(instance.object_key)

        assert outcome is expected
