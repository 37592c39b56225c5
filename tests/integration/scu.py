"""A Query/Retrieve SCU on plain pynetdicom: every response as it came, to look at in tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from dicomtools.demo.pacs import DemoPacs

VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND, STUDY_MOVE, STUDY_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
PATIENT_FIND, PATIENT_MOVE, PATIENT_GET = (f"1.2.840.10008.5.1.4.1.2.1.{n}" for n in (1, 2, 3))
MODELS = (STUDY_FIND, STUDY_MOVE, STUDY_GET, PATIENT_FIND, PATIENT_MOVE, PATIENT_GET)


@dataclass
class Transfer:
    """The responses of one C-MOVE or C-GET."""

    responses: list[Dataset] = field(default_factory=list)
    """Status and counters; the last one is final. Empty data sets where the peer went away."""
    identifier: Dataset | None = None
    """Of the last response that had one."""

    @property
    def status(self) -> int | None:
        """Status of the final response; None if there was none."""
        last = self.responses[-1] if self.responses else Dataset()
        return int(last.Status) if "Status" in last else None

    @property
    def final(self) -> tuple[int, int, int]:
        """Completed, failed and warning sub-operations of the final response."""
        last = self.responses[-1]
        return (
            last.NumberOfCompletedSuboperations,
            last.NumberOfFailedSuboperations,
            last.NumberOfWarningSuboperations,
        )

    @property
    def failed_uids(self) -> set[str]:
        """Failed SOP Instance UID List (0008,0058)."""
        value = None if self.identifier is None else self.identifier.get("FailedSOPInstanceUIDList")
        if not value:
            return set()
        return {value} if isinstance(value, str) else {str(uid) for uid in value}


class Scu:
    """One association; `received` collects what C-GET brings."""

    def __init__(self, association: Association, received: list[bytes]) -> None:
        self.association = association
        self.received = received

    def find(self, level: str, model: str = STUDY_FIND, **keys: Any) -> list[Dataset]:
        """Return the identifiers; AssertionError unless the final status is Success."""
        status, found = self.find_status(level, model, **keys)
        assert status == 0x0000, f"{status:#06x}" if status is not None else "no answer"
        return found

    def find_status(
        self, level: str, model: str = STUDY_FIND, **keys: Any
    ) -> tuple[int | None, list[Dataset]]:
        """Return the final status and the identifiers."""
        answers = list(self.association.send_c_find(identifier(level, **keys), model))
        last = answers[-1][0]
        found = [dataset for _, dataset in answers if dataset is not None]
        return (int(last.Status) if "Status" in last else None), found

    def move(
        self,
        destination: str,
        level: str,
        model: str = STUDY_MOVE,
        *,
        on_response: Callable[[int], None] = lambda _: None,
        **keys: Any,
    ) -> Transfer:
        """Return what a C-MOVE was answered; `on_response` gets each one's number, from 1."""
        transfer = Transfer()
        answers = self.association.send_c_move(identifier(level, **keys), destination, model)
        for number, (status, found) in enumerate(answers, start=1):
            transfer.responses.append(status)
            transfer.identifier = found if found is not None else transfer.identifier
            on_response(number)
        return transfer

    def get(self, level: str, model: str = STUDY_GET, **keys: Any) -> Transfer:
        """Return what a C-GET was answered."""
        transfer = Transfer()
        for status, found in self.association.send_c_get(identifier(level, **keys), model):
            transfer.responses.append(status)
            transfer.identifier = found if found is not None else transfer.identifier
        return transfer


def identifier(level: str, **keys: Any) -> Dataset:
    """Return a request identifier."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


@contextlib.contextmanager
def scu(
    pacs: DemoPacs,
    *,
    storage: Sequence[str] = (),
    syntax: str = ExplicitVRLittleEndian,
    title: str = "TEST_SCU",
) -> Iterator[Scu]:
    """Yield an SCU on an association that is established.

    Parameters
    ----------
    storage
        SOP classes for C-GET, with the SCP role.
    syntax
        The one transfer syntax that is proposed for them.
    """
    received: list[bytes] = []

    def store(event: evt.Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        assert request.DataSet is not None
        received.append(request.DataSet.getvalue())
        return 0x0000

    contexts = [build_context(uid) for uid in (VERIFICATION, *MODELS)]
    contexts += [build_context(uid, syntax) for uid in storage]
    association = AE(title).associate(
        pacs.host,
        pacs.port,
        contexts,
        ae_title=pacs.ae_title,
        ext_neg=[build_role(uid, scp_role=True) for uid in storage],
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    assert association.is_established
    try:
        yield Scu(association, received)
    finally:
        if association.is_established:
            association.release()
        association.join(10)
