"""A Query/Retrieve SCP over an archive, with faults to switch on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.presentation import PresentationContext

from dicomcore.errors import InvalidRequest, Unavailable
from dicomcore.ports import QueryLevel
from dicomio.pacs import Peer
from dicomtools.demo.archive import Archive, Entry, archive_in, archive_of, entry_of
from dicomtools.demo.conversation import (
    CANCEL,
    IDENTIFIER_DOES_NOT_MATCH,
    PENDING,
    SUCCESS,
    UNKNOWN_DESTINATION,
    Conversation,
)
from dicomtools.demo.faults import Faults
from dicomtools.demo.find import check_hierarchy, find, level_of
from dicomtools.demo.ledger import Asked, Ledger, Sent
from dicomtools.demo.sending import Originator, Sender, ToRequestor, to_destination
from dicomtools.demo.server import (
    PATIENT_ROOT,
    Server,
    reject_for_the_moment,
)
from dicomtools.demo.transfer import Transfers

log = structlog.get_logger()

_NOT_AUTHORIZED = 0x0124
_CANNOT_UNDERSTAND = 0xC000
_MAXIMUM_ASSOCIATIONS = 32
_ACSE_TIMEOUT_S = 10


class DemoPacs:
    """C-ECHO, C-FIND, C-MOVE, C-GET, and C-STORE if it is writable; a context manager.

    Parameters
    ----------
    source
        A folder, searched through for DICOM files; data sets; or an archive.
    port
        0: any free one; see `port` once started.
    destinations
        AE title to host and port, for C-MOVE; any other AE title is answered 0xA801. It is read at
        each request, so a destination may be added later.
    writable
        Whether C-STORE adds to the archive, in memory; otherwise it is answered 0x0124.

    Notes
    -----
    No authentication, no encryption: for made-up data, on the loopback interface.
    """

    def __init__(  # noqa: PLR0913 - every one has a default
        self,
        source: Path | Sequence[Dataset] | Archive,
        *,
        ae_title: str = "DEMO_PACS",
        host: str = "127.0.0.1",
        port: int = 0,
        destinations: Mapping[str, tuple[str, int]] | None = None,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        writable: bool = False,
    ) -> None:
        self.ae_title = ae_title
        self.host = host
        self._wanted_port = port
        self._destinations = {} if destinations is None else destinations
        self.faults = faults
        self._writable = writable
        self.archive = _archive(source)
        self.ledger = Ledger()
        self._stopping = threading.Event()
        self._transfers = Transfers(self.archive, faults, self.ledger, self._stopping)
        self._ae = AE(ae_title)
        self._ae.maximum_associations = _MAXIMUM_ASSOCIATIONS
        # also how long a peer that was aborted may take to close the connection, before we do
        self._ae.acse_timeout = _ACSE_TIMEOUT_S
        self._server: Server | None = None

    # ── what tests and people ask ───────────────────────────────────────────────────────────

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._wanted_port if self._server is None else int(self._server.server_address[1])

    @property
    def requests(self) -> tuple[Asked, ...]:
        """Every request so far."""
        return self.ledger.requests

    @property
    def sent(self) -> tuple[Sent, ...]:
        """Every C-STORE sub-operation so far."""
        return self.ledger.sent

    @property
    def bytes_sent(self) -> int:
        """Bytes of encoded data sets in all sub-operations so far."""
        return sum(one.size_bytes for one in self.sent)

    @property
    def times_sent(self) -> Counter[str]:
        """How often each SOP Instance UID was sent with Success."""
        return Counter(one.sop_instance_uid for one in self.sent if one.status == SUCCESS)

    def count(self, command: str, level: str | None = None) -> int:
        """Return how many requests of a command, at a level if given, came so far."""
        return sum(
            asked.command == command and level in (None, asked.level) for asked in self.requests
        )

    @property
    def unlucky_uids(self) -> frozenset[str]:
        """What `Faults.drop_every_nth` drops."""
        return self._transfers.unlucky_uids()

    # ── life ────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Listen; returns when associations can be requested.

        Raises
        ------
        Unavailable
            The port cannot be listened on: taken, or not ours.
        """
        try:
            server = Server(
                self._ae,
                (self.host, self._wanted_port),
                serve=self._serve,
                requested=self._on_requested,
            )
        except OSError as exc:
            raise Unavailable("cannot listen on this port", port=self._wanted_port) from exc
        self._server = server
        log.info("demo_pacs_started", ae_title=self.ae_title, port=self.port)
        return self

    def stop(self) -> None:
        """Close the port and every association; returns when its threads are gone."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
            self._wanted_port, self._server = self.port, None
            log.info("demo_pacs_stopped", ae_title=self.ae_title)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ── answers ─────────────────────────────────────────────────────────────────────────────

    def _on_requested(self, event: evt.Event) -> None:
        n = self.faults.reject_every_nth
        if n and self.ledger.nth("association") % n == 0:
            reject_for_the_moment(event)

    def _serve(self, assoc: Association, message: Any, context: PresentationContext) -> bool:
        if isinstance(message, C_STORE):
            self._store(assoc, message, context)
            return True
        if isinstance(message, C_ECHO):
            self.ledger.asked(Asked("C-ECHO", calling_ae_title=_calling(assoc)))
            return False
        if not isinstance(message, C_FIND | C_MOVE | C_GET):
            return False
        talk = Conversation(assoc, message, context)
        self._note(talk)
        top = QueryLevel.PATIENT if context.abstract_syntax in PATIENT_ROOT else QueryLevel.STUDY
        if isinstance(message, C_FIND):
            self._find(talk, top)
        elif isinstance(message, C_GET):
            self._transfers.answer(talk, top, talk.calling_ae_title, partial(_same, talk))
        else:
            self._move(talk, top, message)
        assoc.dimse.cancel_req.pop(talk.message_id, None)
        return True

    def _note(self, talk: Conversation) -> None:
        try:
            identifier = talk.identifier()
        except InvalidRequest:
            identifier = Dataset()
        keys = {
            element.keyword: "\\".join(map(str, _values(element.value)))
            for element in identifier
            if element.VR != "SQ" and _values(element.value)
        }
        level = keys.pop("QueryRetrieveLevel", "")
        self.ledger.asked(Asked(talk.command, level, keys, talk.calling_ae_title))

    def _find(self, talk: Conversation, top: QueryLevel) -> None:
        try:
            identifier = talk.identifier()
            level = level_of(identifier)
            if level is QueryLevel.IMAGE and self.faults.no_instance_level:
                raise InvalidRequest("IMAGE level is not supported")
            if not self.faults.return_everything:
                check_hierarchy(identifier, level, top)
        except InvalidRequest as exc:
            talk.respond(IDENTIFIER_DOES_NOT_MATCH, comment=exc.sentence[:64])
            return
        for response in find(tuple(self.archive), identifier, level, self.faults):
            if talk.over():
                return
            if talk.cancelled():
                talk.respond(CANCEL)
                return
            response.RetrieveAETitle = self.ae_title
            talk.respond(PENDING, identifier=response)
        talk.respond(SUCCESS)

    def _move(self, talk: Conversation, top: QueryLevel, request: C_MOVE) -> None:
        destination = str(request.MoveDestination or "").strip()
        address = self._destinations.get(destination)
        if address is None:
            talk.respond(UNKNOWN_DESTINATION, comment="unknown destination")
            return
        originator = Originator(talk.calling_ae_title, talk.message_id)
        peer = Peer(
            name=destination,
            ae_title=destination,
            host=address[0],
            port=address[1],
            calling_ae_title=self.ae_title,
        )
        connect = partial(to_destination, peer, originator)
        self._transfers.answer(talk, top, destination, connect)

    def _store(self, assoc: Association, request: C_STORE, context: PresentationContext) -> None:
        self.ledger.asked(Asked("C-STORE", calling_ae_title=_calling(assoc)))
        response = C_STORE()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        response.Status = _NOT_AUTHORIZED
        if self._writable:
            response.Status = self._add(request, str(context.transfer_syntax[0]))
        assoc.dimse.send_msg(response, int(context.context_id or 0))

    def _add(self, request: C_STORE, transfer_syntax_uid: str) -> int:
        body = request.DataSet.getvalue() if request.DataSet is not None else b""
        try:
            self.archive.add(entry_of(body, transfer_syntax_uid))
        except (AttributeError, EOFError, KeyError, OSError, ValueError):
            return _CANNOT_UNDERSTAND
        return SUCCESS


@contextmanager
def _same(talk: Conversation, entries: Sequence[Entry]) -> Iterator[Sender]:  # noqa: ARG001 - Connect
    yield ToRequestor(talk.assoc)


def _archive(source: Path | Sequence[Dataset] | Archive) -> Archive:
    if isinstance(source, Archive):
        return source
    return archive_in(source) if isinstance(source, Path) else archive_of(source)


def _calling(assoc: Association) -> str:
    return str(assoc.requestor.ae_title).strip()


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)
