"""One request on one association: its identifier, its responses, whether the peer still listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE
from pynetdicom.dsutils import decode
from pynetdicom.presentation import PresentationContext

from dicomcore.errors import InvalidRequest

SUCCESS = 0x0000
PENDING = 0xFF00
CANCEL = 0xFE00
WARNING = 0xB000
UNABLE_TO_PERFORM = 0xA702
UNKNOWN_DESTINATION = 0xA801
IDENTIFIER_DOES_NOT_MATCH = 0xA900
UNABLE_TO_PROCESS = 0xC000


@dataclass(slots=True)
class Counters:
    """Sub-operations of a C-MOVE or C-GET (PS3.7 9.1.4.1.7 ff.)."""

    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Sub-operations that are over."""
        return self.completed + self.failed + self.warning


class Conversation:
    """A C-FIND, C-MOVE or C-GET request that is being answered."""

    def __init__(
        self,
        assoc: Association,
        request: C_FIND | C_MOVE | C_GET,
        context: PresentationContext,
    ) -> None:
        self.assoc = assoc
        self.request = request
        self.context = context

    @property
    def command(self) -> str:
        """C-FIND, C-MOVE or C-GET."""
        return type(self.request).__name__.replace("_", "-")

    @property
    def message_id(self) -> int:
        """Message ID (0000,0110) of the request."""
        return int(self.request.MessageID or 0)

    @property
    def calling_ae_title(self) -> str:
        """AE title of who asks."""
        return str(self.assoc.requestor.ae_title).strip()

    def identifier(self) -> Dataset:
        """Return the identifier; `InvalidRequest` if it cannot be read."""
        syntax = self.context.transfer_syntax[0]
        if self.request.Identifier is None:
            raise InvalidRequest("the request has no identifier")
        try:
            dataset = decode(
                self.request.Identifier,
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                syntax.is_deflated,
            )
            for _ in dataset.iterall():
                pass  # decoded lazily: now is when a broken one should show
        except (AttributeError, KeyError, NotImplementedError, OSError, TypeError, ValueError) as e:
            raise InvalidRequest("the identifier cannot be read") from e
        return dataset

    def cancelled(self) -> bool:
        """Return whether C-CANCEL came for this request."""
        return self.message_id in self.assoc.dimse.cancel_req

    def over(self) -> bool:
        """Return whether the peer aborted or the connection is lost."""
        return not self.assoc.is_established or self.assoc.acse.is_aborted()

    def respond(
        self,
        status: int,
        *,
        identifier: Dataset | None = None,
        counters: Counters | None = None,
        comment: str = "",
    ) -> None:
        """Send one response; `remaining` goes out in pending and cancelled ones only."""
        response: Any = type(self.request)()
        response.MessageID = self.request.MessageID
        response.MessageIDBeingRespondedTo = self.request.MessageID
        response.AffectedSOPClassUID = self.request.AffectedSOPClassUID
        response.Status = status
        if comment:
            response.ErrorComment = comment
        if counters is not None:
            if status in (PENDING, CANCEL):
                response.NumberOfRemainingSuboperations = counters.remaining
            response.NumberOfCompletedSuboperations = counters.completed
            response.NumberOfFailedSuboperations = counters.failed
            response.NumberOfWarningSuboperations = counters.warning
        if identifier is not None:
            response.Identifier = BytesIO(self._encoded(identifier))
        self.assoc.dimse.send_msg(response, int(self.context.context_id or 0))

    def _encoded(self, dataset: Dataset) -> bytes:
        stream = DicomBytesIO()
        stream.is_implicit_VR = self.context.transfer_syntax[0].is_implicit_VR
        stream.is_little_endian = self.context.transfer_syntax[0].is_little_endian
        write_dataset(stream, dataset)
        return stream.getvalue()


def failed_list(uids: Sequence[str]) -> Dataset:
    """Return an identifier with Failed SOP Instance UID List (0008,0058)."""
    identifier = Dataset()
    identifier.FailedSOPInstanceUIDList = list(uids)
    return identifier
