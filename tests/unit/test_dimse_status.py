"""The table from errors to C-STORE statuses has an answer for every error there is."""

from __future__ import annotations

import pytest

from dicomcore import errors
from dicomcore.dimse import CANNOT_UNDERSTAND, DATA_SET_DOES_NOT_MATCH, OUT_OF_RESOURCES, status_of
from dicomcore.errors import DicomToolsError

FAILURES = {OUT_OF_RESOURCES, DATA_SET_DOES_NOT_MATCH, CANNOT_UNDERSTAND}


def tree(root: type[DicomToolsError]) -> list[type[DicomToolsError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]


@pytest.mark.parametrize("kind", tree(DicomToolsError))
def test_every_error_has_a_failure_status_of_its_own_branch(kind: type[DicomToolsError]) -> None:
    status = status_of(kind("any"))

    assert status in FAILURES
    assert (status == OUT_OF_RESOURCES) == issubclass(kind, errors.Unavailable)


def test_store_down_is_out_of_resources() -> None:
    assert status_of(errors.ObjectStoreUnavailable("away")) == 0xA700
    assert status_of(errors.ObjectStoreFull("full")) == 0xA700
    assert status_of(errors.BusUnavailable("away")) == 0xA700


def test_a_false_identity_does_not_match_the_sop_class() -> None:
    assert status_of(errors.SopClassMismatch("other")) == 0xA900
    assert status_of(errors.InvalidInstance("none")) == 0xA900


def test_what_cannot_be_parsed_cannot_be_understood() -> None:
    assert status_of(errors.Unreadable("cut")) == 0xC000


def test_a_fault_of_this_program_keeps_the_instance_with_its_sender() -> None:
    assert status_of(ZeroDivisionError()) == 0xC000
