"""What queries find, by the walk over bytes and by pydicom: made-up patients and real objects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.criteria import Asked, parse_criterion
from dicomcore.errors import Unreadable
from dicomcore.extract import Declined, extract, extract_from, head_length, make_plan
from dicomcore.extract_dataset import found_in
from dicomcore.query import Query, Term, parse_term
from dicomcore.tagpath import Step
from tests import factories
from tests.unit import matching_oracle as oracle

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "rt"
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    written = BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return written.getvalue()


def read(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(data), force=True)


def made_up() -> list[bytes]:
    found = []
    for number, instance in enumerate(factories.small_patient(patient_id="P 1").instances):
        if number % 7 == 0 or instance.modality not in ("CT", "MR", "PT"):
            found.append(encoded(instance.dataset, SYNTAXES[number % len(SYNTAXES)]))
    return found


MADE_UP = made_up()
DATA_SETS = [read(data) for data in MADE_UP]
VALUES = [sorted(set(oracle.every_value(ds))) for ds in DATA_SETS]


def criterion_texts(vr: str, value: str) -> st.SearchStrategy[str]:
    """What somebody may ask about a value: it, something like it, a range around it, another."""
    literal = "".join(f"\\{c}" if c in "\\*?" else c for c in value)
    some = [st.just("?"), st.just("*"), st.just(literal)]
    if literal:
        some += [
            st.just(literal[:-1] + "?"),
            st.just(literal[:2] + "*"),
            st.just("*" + literal[1:]),
        ]
    if vr in oracle.NUMERIC and value:
        near = st.integers(-2, 2).map(lambda d: float(value) + d)
        some += [
            near.map(lambda n: f"{n:g}"),
            near.map(lambda n: f"{n:g}.."),
            near.map(lambda n: f"..{n:g}"),
        ]
    if vr in ("DA", "TM") and value:
        some += [st.just(value[:4]), st.just(f"{value[:4]}-"), st.just(f"-{value}")]
    return st.one_of(some)


@st.composite
def queries(draw: st.DrawFn, values: Sequence[Sequence[tuple[oracle.Prefix, str, str]]]) -> Query:
    """One to three terms about attributes of one instance; often of the same sequence."""
    of_instance = draw(st.sampled_from(values))
    path, vr, value = draw(st.sampled_from(of_instance))
    chosen = [(path, vr, value)]
    beside = [entry for entry in of_instance if entry[0][:-1] == path[:-1]]
    for _ in range(draw(st.integers(0, 2))):
        chosen.append(draw(st.sampled_from(draw(st.sampled_from([beside, of_instance])))))
    terms = []
    for path, vr, value in chosen:
        steps = tuple(Step(tag) for tag in path)
        text = draw(criterion_texts(vr, value))
        kind = steps[-1].value_class
        try:
            terms.append(Term(steps, parse_criterion(text, kind, steps[-1].vr)))
        except ValueError:
            assume(False)
    return Query(terms)


def agrees(query: Query, data: bytes, ds: Dataset) -> None:
    plan = make_plan(query.paths)
    try:
        answer = query.answer(extract(data, plan))
    except Declined:
        answer = query.answer(found_in(ds, plan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (answer is not None) == oracle.holds(ds, query.terms), [str(t) for t in query.terms]
        if answer is not None and query.asked:
            assert [set(one) for one in answer] == oracle.told(ds, query.terms)


@given(queries(VALUES))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_query_finds_what_pydicom_and_brute_force_find(query: Query) -> None:
    for data, ds in zip(MADE_UP, DATA_SETS, strict=True):
        agrees(query, data, ds)
