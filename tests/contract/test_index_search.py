"""What a search promises, on SQLite and on PostgreSQL: it finds what a reading of every object finds."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.attributes import MAX_CHARACTERS, MAX_VALUES, is_bulk
from dicomcore.flatten import flatten
from dicomcore.header import read_header
from dicomcore.keys import object_key
from dicomcore.ports import FoundInstance, IndexDb, IndexedInstance, SearchScope
from dicomcore.query import Query, Term, parse_term
from dicomcore.tagpath import parse_path
from dicomcore.tree import build_trees
from dicomio.sql_index import SqlIndex, search
from tests import factories
from tests.unit import matching_oracle as oracle
from tests.unit.dicom_bytes import whole

EVERYWHERE = SearchScope()
T0 = datetime(2024, 5, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """An object as it is landed, as it is indexed, and as pydicom reads it."""

    body: bytes
    dataset: Dataset
    indexed: IndexedInstance

    @property
    def key(self) -> str:
        return self.indexed.object_key


def known(body: bytes) -> Known:
    header = read_header(body, complete=True)
    flattened = flatten(body, complete=True)
    assert header is not None
    assert flattened is not None
    sha256 = hashlib.sha256(body).hexdigest()
    dataset = pydicom.dcmread(BytesIO(body), force=True)
    indexed = IndexedInstance(
        object_key=str(object_key(header.ref, sha256)),
        ref=header.ref,
        sop_class_uid=header.sop_class_uid,
        sha256=sha256,
        size_bytes=len(body),
        stored_at=T0,
        header=header,
        attributes=flattened.attributes,
    )
    return Known(body, dataset, indexed)


@cache
def archive() -> tuple[Known, ...]:
    """Two made-up patients, every kind of object, two versions of some, in two encodings."""
    datasets = [one.dataset for one in factories.small_twelve_plans().instances]
    datasets += [one.dataset for one in factories.small_patient(plans=3, slices=12).instances]
    bodies = [
        whole(ds, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)[number % 2])
        for number, ds in enumerate(datasets)
    ]
    for number, ds in enumerate(datasets[::7]):
        again = copy.deepcopy(ds)
        again.OperatorsName = f"VERSION^{number % 3}"
        again.add_new(0x32530010, "LO", "Made Up Creator")
        again.add_new(0x32531001, "LO", f"PRIVATE {number % 2}")
        bodies.append(whole(again, ExplicitVRLittleEndian))
    return tuple(known(body) for body in bodies)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/index.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture
async def index(address: str) -> AsyncIterator[SqlIndex]:
    opened = await SqlIndex.open(address)
    yield opened
    await opened.close()


async def pack_all(index: IndexDb) -> None:
    while await index.pack(quiet_s=-1):
        pass


async def search_all(
    index: IndexDb, query: Query, scope: SearchScope = EVERYWHERE, *, limit: int = 1000
) -> list[FoundInstance]:
    """Every page, one after another."""
    found: list[FoundInstance] = []
    after: tuple[int, int] | None = None
    while True:
        page = await index.search(query, scope, after=after, limit=limit)
        assert len(page.instances) <= limit
        found += page.instances
        if page.next is None:
            return found
        assert after is None or page.next > after
        after = page.next


def expected(objects: Sequence[Known], terms: Sequence[Term]) -> dict[str, list[set[str]]]:
    """Object key → what is told, by pydicom."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            one.key: oracle.told(one.dataset, terms)
            for one in objects
            if oracle.holds(one.dataset, terms)
        }


def as_told(found: Sequence[FoundInstance]) -> dict[str, list[set[str]]]:
    assert len({one.object_key for one in found}) == len(found)
    return {one.object_key: [set(values) for values in one.told] for one in found}


@cache
def vocabulary() -> tuple[tuple[str, str, str], ...]:
    """Path, VR and value of what is in the archive and is indexed."""
    found = set()
    for one in archive():
        for path, vr, text in oracle.every_value(one.dataset):
            if not any(map(is_bulk, path)) and len(text) <= MAX_CHARACTERS:
                spelled = "/".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)
                found.add((spelled, vr, text))
    return tuple(sorted(found))


def criterion(draw: st.DrawFn, vr: str, text: str) -> str:
    kind = draw(st.sampled_from(("equal", "asked", "wild", "range")))
    escaped = text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
    if kind == "asked" or not text:
        return "?" if kind == "asked" else ""
    if vr in ("DA", "TM", "DT"):
        digits = text.split(".", maxsplit=1)[0]
        if not digits.isdigit():
            return "?"
        return digits if kind == "equal" else f"{digits}.." if kind == "wild" else f"..{digits}"
    if vr in oracle.NUMERIC:
        return text if kind == "equal" else f"{text}.." if kind == "wild" else f"..{text}"
    if kind == "wild" and text:
        cut = draw(st.integers(0, len(text)))
        return text[:cut].replace("\\", "").replace("?", "*") + "*"
    return escaped


@st.composite
def queries(draw: st.DrawFn) -> tuple[str, ...]:
    """One to three terms about what is there, often about one sequence."""
    words = vocabulary()
    first = draw(st.sampled_from(words))
    chosen = [first]
    near = [word for word in words if word[0].split("/")[:-1] == first[0].split("/")[:-1]]
    for _ in range(draw(st.integers(0, 2))):
        chosen.append(draw(st.sampled_from(near if draw(st.booleans()) else words)))
    return tuple(f"{path}={criterion(draw, vr, text)}" for path, vr, text in chosen)


@pytest.mark.parametrize(
    ("packed", "step"),
    [("nothing packed", 128), ("half packed", 128), ("all packed", 128), ("all packed", 2)],
)
async def test_a_search_finds_what_a_reading_of_every_object_finds(
    index: SqlIndex, monkeypatch: pytest.MonkeyPatch, packed: str, step: int
) -> None:
    """In small steps too: the archive has fewer series than a search looks up at once."""
    monkeypatch.setattr(search, "_HEAD", step)
    monkeypatch.setattr(search, "_SMALLEST_CHUNK", min(step, 32))
    monkeypatch.setattr(search, "_LARGEST_CHUNK", 8 * step)
    objects = archive()
    half = len(objects) // 2
    await index.upsert([one.indexed for one in objects[:half]])
    if packed != "nothing packed":
        await pack_all(index)
    for start in range(half, len(objects), 16):
        await index.upsert([one.indexed for one in objects[start : start + 16]])
    if packed == "all packed":
        await pack_all(index)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=queries())
    def every_query(texts: tuple[str, ...]) -> None:
        asked.append(texts)

    asked: list[tuple[str, ...]] = []
    every_query()
    hits = 0
    for texts in asked:
        query = Query(parse_term(text) for text in texts)

        found = as_told(await search_all(index, query, limit=8 * step))

        assert found == expected(objects, query.terms), texts
        assert await index.count(query, EVERYWHERE) == len(found), texts
        hits += len(found)
    assert hits > len(asked)


WORTH_ASKING = [
    ("PatientID=DEMO-SMALL",),
    ("BeamSequence/TreatmentMachineName=?",),
    ("BeamSequence/BeamName=*", "BeamSequence/TreatmentMachineName=*"),
    ("BeamSequence/BeamNumber=2", "BeamSequence/BeamName=?"),
    ("BeamSequence/BeamNumber=1", "BeamSequence/ControlPointSequence/GantryAngle=0..180"),
    ("RTPlanLabel=PLAN_*", "ApprovalStatus=APPROVED", "SOPInstanceUID=?"),
    ("Modality=CT", "InstanceNumber=2..3"),
    ("Modality=CT", "InstanceNumber=3.0"),
    ("StudyDate=2024", "Modality=RTDOSE"),
    ("StructureSetROISequence/ROIName=PTV*",),
    ("(3253,1001)=PRIVATE 1",),
    ("(3253,xx01:Made Up Creator)=PRIVATE*",),
    ("OperatorsName=VERSION^1",),
    ("TransferSyntaxUID=1.2.840.10008.1.2",),
    ("PatientID=NOBODY",),
    ("Modality=\0",),
    ("PatientName=\ud800",),
]


async def test_what_people_ask_is_found_pending_and_packed(index: SqlIndex) -> None:
    objects = archive()
    await index.upsert([one.indexed for one in objects])
    queries = {terms: Query(map(parse_term, terms)) for terms in WORTH_ASKING}

    pending = {terms: as_told(await search_all(index, q)) for terms, q in queries.items()}
    await pack_all(index)
    packed = {terms: as_told(await search_all(index, q, limit=3)) for terms, q in queries.items()}

    assert packed == pending
    for terms, found in packed.items():
        if any("TransferSyntax" in term or "xx01" in term for term in terms):
            assert found, terms  # pydicom's data set holds neither
        else:
            assert found == expected(objects, queries[terms].terms), terms


async def test_an_instance_is_found_by_its_uid_in_whatever_series(index: SqlIndex) -> None:
    one = archive()[0]
    await index.upsert([each.indexed for each in archive()])
    await pack_all(index)

    found = await search_all(
        index, Query([parse_term(f"SOPInstanceUID={one.dataset.SOPInstanceUID}")])
    )

    assert one.key in {hit.object_key for hit in found}
    assert {hit.ref.sop_instance_uid for hit in found} == {one.dataset.SOPInstanceUID}


SCOPES = [
    SearchScope(patient_id="DEMO-SMALL"),
    SearchScope(modality="RTPLAN"),
    SearchScope(patient_id="DEMO-SMALL", modality="CT"),
    SearchScope(patient_id="nobody"),
    SearchScope(patient_id=""),
]


async def test_a_scope_leaves_what_is_inside(index: SqlIndex) -> None:
    await index.upsert([one.indexed for one in archive()])
    await pack_all(index)
    query = Query([parse_term("SOPClassUID=?")])

    for scope in SCOPES:
        found = {hit.object_key for hit in await search_all(index, query, scope)}

        inside = {
            one.key
            for one in archive()
            if scope.patient_id in (None, one.dataset.PatientID)
            and scope.modality in ("", one.dataset.Modality)
        }
        assert found == inside
        assert await index.count(query, scope) == len(inside)


LISTED = [
    "BeamSequence/TreatmentMachineName",
    "Modality",
    "SliceLocation",
    "SOPInstanceUID",
    "StructureSetROISequence/ROIName",
    "(3253,1001)",
    "PerformedProcedureStepID",
]


@pytest.mark.parametrize("packed", [False, True])
async def test_values_are_those_that_there_are_and_counted(index: SqlIndex, packed: bool) -> None:
    await index.upsert([one.indexed for one in archive()])
    if packed:
        await pack_all(index)
    for path in LISTED:
        asked = parse_term(f"{path}=?")
        counts: dict[str, int] = {}
        for [values] in expected(archive(), [asked]).values():
            for text in values:
                counts[text] = counts.get(text, 0) + 1

        listed: list[tuple[str, int]] = []
        after: str | None = None
        while page := await index.values(asked.path, None, EVERYWHERE, after=after, limit=20):
            listed += [(one.value, one.number_of_instances) for one in page]
            after = page[-1].value

        assert listed == sorted(counts.items()), path


async def test_values_of_what_fulfils_a_query(index: SqlIndex) -> None:
    await index.upsert([one.indexed for one in archive()])
    await pack_all(index)
    terms = [parse_term("BeamSequence/BeamNumber=1")]
    asked = parse_term("BeamSequence/BeamName=?")
    counts: dict[str, int] = {}
    for [values] in expected(archive(), [*terms, asked]).values():
        for text in values:
            counts[text] = counts.get(text, 0) + 1

    listed = await index.values(asked.path, Query(terms), EVERYWHERE, limit=1000)

    assert [(one.value, one.number_of_instances) for one in listed] == sorted(counts.items())


@pytest.mark.parametrize("packed", [False, True])
async def test_the_tree_of_the_index_is_the_tree_of_all_headers(
    index: SqlIndex, packed: bool
) -> None:
    await index.upsert([one.indexed for one in archive()])
    if packed:
        await pack_all(index)

    for patient in (await index.patients()).patients:
        everything = [one.header for one in await index.of_patient(patient.patient_id)]
        headers, stacks = await index.headers_of(patient.patient_id)
        conflicts = await index.conflicts(patient.patient_id)

        assert len(headers) + len(stacks) < len(everything)
        assert build_trees(headers, stacks=stacks, conflicts=conflicts) == build_trees(
            [header for header in everything if header is not None], conflicts=conflicts
        )
    assert await index.headers_of("nobody") == ([], [])


# ── any order, any repetition, packing at any moment ────────────────────────────────────────


@cache
def few() -> tuple[Known, ...]:
    """Two series with versions, small enough to be told in many orders."""
    datasets = [factories.ct(index=n) for n in range(3)] + [
        factories.plan(),
        factories.structure_set(),
    ]
    datasets.append(copy.deepcopy(datasets[0]))
    datasets[-1].ImageComments = "again"
    datasets.append(copy.deepcopy(datasets[3]))
    datasets[-1].RTPlanLabel = "OTHER"
    return tuple(known(whole(ds, ImplicitVRLittleEndian)) for ds in datasets)


Step = tuple[int, ...] | None
"""Objects that are told in one batch; None: pack."""


@st.composite
def stories(draw: st.DrawFn) -> list[Step]:
    again = draw(st.lists(st.integers(0, len(few()) - 1), max_size=5))
    order = draw(st.permutations([*range(len(few())), *again]))
    size = draw(st.integers(1, len(order)))
    story: list[Step] = []
    for start in range(0, len(order), size):
        story.append(tuple(order[start : start + size]))
        if draw(st.booleans()):
            story.append(None)
    return story


async def content_of(index: SqlIndex) -> list[object]:
    everything: list[object] = []
    for text in ("PatientID=?", "RTPlanLabel=?", "InstanceNumber=2..", "ImageComments=again"):
        query = Query([parse_term(text)])
        found = await search_all(index, query)
        everything.append(sorted((hit.object_key, hit.told) for hit in found))
        everything.append(await index.count(query, EVERYWHERE))
    for path in ("Modality", "RTPlanLabel", "SOPInstanceUID", "BeamSequence/BeamName"):
        everything += await index.values(parse_path(path), None, EVERYWHERE, limit=1000)
    everything += [study for _, study in await index.studies(EVERYWHERE)]
    everything += sorted(one.series_instance_uid for _, one in await index.series(EVERYWHERE))
    everything += sorted(one.object_key for _, one in await index.instances(EVERYWHERE))
    everything += await index.of_patient("DEMO-1")
    return everything


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(story=stories())
async def test_any_order_repetition_and_packing_is_the_same_index(
    index: SqlIndex, story: list[Step]
) -> None:
    await index.clear()
    await index.upsert([one.indexed for one in few()])
    told_at_once = await content_of(index)

    await index.clear()
    for step in story:
        if step is None:
            await pack_all(index)
        else:
            await index.upsert([few()[n].indexed for n in step])

    assert await content_of(index) == told_at_once


async def test_what_is_not_quiet_stays_pending_and_is_found(index: SqlIndex) -> None:
    await index.upsert([one.indexed for one in few()])

    assert await index.pack(quiet_s=3600) == 0
    assert len(await search_all(index, Query([parse_term("Modality=RTPLAN")]))) == 2


async def test_many_segments_of_one_series_are_packed_though_it_is_not_quiet(
    index: SqlIndex,
) -> None:
    for number in range(64):
        ds = factories.ct()
        ds.SOPInstanceUID = f"1.2.3.{number + 1}"
        await index.upsert([known(whole(ds, ImplicitVRLittleEndian)).indexed])

    assert await index.pack(quiet_s=3600) == 1
    assert await index.pack(quiet_s=3600) == 0
    assert len(await search_all(index, Query([parse_term("Modality=CT")]))) == 64


def test_the_limits_leave_the_made_up_patients_whole() -> None:
    assert MAX_VALUES >= 16
    assert len(vocabulary()) > 1000
