"""Treatment Machine Name in the copy that is sent: every beam's, and no other byte."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from dicomcore.errors import DicomToolsError, InvalidRequest, Unreadable
from dicomcore.sending.rename import check_machine_name, renamed_machines
from dicomcore.transcode import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, encoding_of
from tests import factories
from tests.unit.test_transcode import encoded

SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]
PLANS = {
    "photon": (factories.plan, "BeamSequence"),
    "halcyon": (factories.halcyon_plan, "BeamSequence"),
    "ion": (factories.ion_plan, "IonBeamSequence"),
    "brachy": (factories.brachy_plan, "TreatmentMachineSequence"),
}


def read(data: object, syntax: str) -> Dataset:
    assert isinstance(data, bytes | memoryview)
    uid = UID(syntax)
    return read_dataset(BytesIO(bytes(data)), uid.is_implicit_VR, uid.is_little_endian)


def names_in(dataset: Dataset, sequence: str) -> list[str]:
    return [str(beam.get("TreatmentMachineName", "")) for beam in dataset[sequence].value]


def with_names(make, sequence: str, *names: str | None) -> Dataset:
    dataset = make()
    while len(dataset[sequence].value) < len(names):
        dataset[sequence].value.append(make()[sequence].value[0])
    for beam, name in zip(dataset[sequence].value, names, strict=False):
        if name is None:
            del beam.TreatmentMachineName
        else:
            beam.TreatmentMachineName = name
    return dataset


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("make", "sequence"), PLANS.values(), ids=PLANS)
def test_every_beam_is_renamed_and_nothing_else_changes(make, sequence, syntax, undefined) -> None:
    before = with_names(make, sequence, "OLD")
    data = encoded(before, syntax, undefined=undefined)
    number = len(before[sequence].value)
    for beam in before[sequence].value:
        beam.TreatmentMachineName = "NEW_MACHINE"
    old = names_in(read(data, syntax), sequence)

    after = renamed_machines(data, encoding_of(syntax), dict.fromkeys(old, "NEW_MACHINE"))

    assert number >= 1
    assert bytes(after) == encoded(before, syntax, undefined=undefined)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_name_of_the_same_length_changes_those_bytes_only(syntax: str) -> None:
    data = encoded(with_names(factories.plan, "BeamSequence", "TB_1", "TB_2"), syntax)

    after = bytes(renamed_machines(data, encoding_of(syntax), {"TB_1": "LA_7"}))

    assert after == data.replace(b"TB_1", b"LA_7", 1)
    assert after.count(b"LA_7") == 1


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("empty", ["", None], ids=["empty", "absent"])
def test_an_empty_or_absent_name_is_filled_in_where_its_tag_belongs(syntax, empty) -> None:
    data = encoded(with_names(factories.plan, "BeamSequence", empty, "TB_2"), syntax)
    wanted = encoded(with_names(factories.plan, "BeamSequence", "TB_1", "TB_2"), syntax)

    assert bytes(renamed_machines(data, encoding_of(syntax), {"": "TB_1"})) == wanted


def test_names_that_are_not_listed_stay_and_the_data_are_not_copied() -> None:
    data = encoded(factories.plan(), EXPLICIT_LITTLE)

    after = renamed_machines(data, encoding_of(EXPLICIT_LITTLE), {"NOBODYS": "NEW"})

    assert isinstance(after, memoryview)
    assert after.obj is data


def test_a_name_beyond_ascii_is_found_under_its_character_set() -> None:
    plan = with_names(factories.plan, "BeamSequence", "Gerät 1")
    plan.SpecificCharacterSet = "ISO_IR 100"
    data = encoded(plan, EXPLICIT_LITTLE)

    after = renamed_machines(data, encoding_of(EXPLICIT_LITTLE), {"Gerät 1": "LINAC"})

    assert names_in(read(after, EXPLICIT_LITTLE), "BeamSequence")[0] == "LINAC"


@pytest.mark.parametrize("name", ["", "x" * 17, "a\\b", "Gerät", "tab\t", "new\nline"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_machine_name(name)
    with pytest.raises(InvalidRequest):
        renamed_machines(b"", encoding_of(EXPLICIT_LITTLE), {"A": name})


def test_a_plan_without_beams_stays_as_it_is() -> None:
    data = encoded(factories.plan_without_beams(), EXPLICIT_LITTLE)

    assert bytes(renamed_machines(data, encoding_of(EXPLICIT_LITTLE), {"": "X"})) == data


def test_zeros_after_the_last_element_stay() -> None:
    data = encoded(with_names(factories.plan, "BeamSequence", "TB_1"), EXPLICIT_LITTLE) + bytes(40)

    after = bytes(renamed_machines(data, encoding_of(EXPLICIT_LITTLE), {"TB_1": "LA_7"}))

    assert after == data.replace(b"TB_1", b"LA_7")


def test_a_beam_sequence_that_is_cut_off_is_unreadable() -> None:
    head = struct.pack("<HH2sHI", 0x300A, 0x00B0, b"SQ", 0, 100)

    with pytest.raises(Unreadable):
        renamed_machines(head + b"\xfe\xff\x00\xe0", encoding_of(EXPLICIT_LITTLE), {"": "X"})


DATA = encoded(with_names(factories.plan, "BeamSequence", "TB_1"), EXPLICIT_LITTLE)


@given(
    flips=st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, len(DATA)),
)
def test_damage_is_an_error_of_ours_or_passes(flips, cut) -> None:
    damaged = bytearray(DATA)
    for position, value in flips:
        damaged[position] = value
    try:
        after = renamed_machines(
            bytes(damaged[:cut]), encoding_of(EXPLICIT_LITTLE), {"TB_1": "LA_7"}
        )
    except DicomToolsError as exc:
        assert isinstance(exc, Unreadable)  # noqa: PT017 - either is fine, nothing else is
    else:
        assert len(after) == cut
