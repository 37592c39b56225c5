"""An association that a peer has asked for, from its connection to its end, in one thread.

The states of PS3.8 9.2, as far as an acceptor that never asks for anything can be in them: Sta2
(awaiting the request, under ARTIM), Sta6 (data transfer), Sta13 (awaiting the peer's close, under a
timer). In between, in Sta3 and while a request is carried out, nothing is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from socket import socket

import structlog

from dicomio.logs import bound
from dicomio.pacs import commands, pdu
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.reassembly import MalformedMessage, Message, Reassembly
from store_scp import negotiation
from store_scp.admission import Admission
from store_scp.connection import Closed, Connection
from store_scp.cstore import StoreHandler
from store_scp.negotiation import Agreement, MalformedRequest, Reasons, Request
from store_scp.options import ScpOptions
from store_scp.receiving import DataSetIntake
from store_scp.tally import Record, Tally, no_audit

log = structlog.get_logger()

VERIFICATION = "1.2.840.10008.1.1"
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNIZED_OPERATION = 0x0211
_MIDDLE = range(pdu.ASSOCIATE_RQ, pdu.ABORT + 1)


class Outcome(StrEnum):
    """What became of an association."""

    REJECTED = "rejected"
    RELEASED = "released"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the associations of an SCP share."""

    options: ScpOptions
    store: StoreHandler
    admission: Admission
    happened: Callable[[str], None]
    """Told `accepted`, and each `Outcome`; in the association's thread."""
    record: Record = no_audit
    """Takes what the audit trail is told."""


class Violation(Exception):
    """The peer did what the protocol does not allow: A-ABORT, source and reason are given."""

    def __init__(self, why: str, *, source: int = pdu.BY_PROVIDER, reason: int) -> None:
        super().__init__(why)
        self.why = why
        self.last_word = pdu.abort(source, reason)


class _Ended(Exception):
    """The peer released or aborted."""

    def __init__(self, outcome: Outcome, last_word: bytes = b"") -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.last_word = last_word


class AcceptedAssociation:
    """One connection's worth of protocol; `serve` in its thread, `abort` from any."""

    def __init__(
        self, sock: socket, number: int, surroundings: Surroundings, *, address: str = ""
    ) -> None:
        self._connection = Connection(sock)
        self._number = number
        self._address = address
        self._around = surroundings
        self._options = surroundings.options
        self._aborting = self._has_asked = False

    @property
    def silent(self) -> bool:
        """Whether the peer is connected and has not asked for an association yet."""
        return not (self._has_asked or self._aborting)

    def abort(self) -> None:
        """Make `serve` end with an A-ABORT as soon as it waits for the peer."""
        self._aborting = True
        self._connection.wake()

    def serve(self) -> None:
        """Serve the peer until one side ends it; the connection is closed then. Raises nothing."""
        with bound(association=self._number):
            try:
                self._serve()
            except Exception:  # the edge: a fault of ours ends this association only
                log.exception("association_failed")
            finally:
                self._connection.close()

    def _serve(self) -> None:
        try:
            request = self._request()
        except (Closed, TimeoutError) as exc:
            # AA-2, AA-5: nobody is there who could be told
            log.warning("connection_failed", error=type(exc.__cause__ or exc).__name__)
        except Violation as exc:
            log.warning("connection_failed", error=exc.why)
            self._connection.linger(exc.last_word)
        except _Ended:
            log.warning("connection_failed", error="aborted before an association was asked for")
        else:
            self._has_asked = True
            with bound(calling_ae=request.calling_ae_title):
                self._negotiate(request)

    # ── Sta2: awaiting the request ──────────────────────────────────────────────────────────

    def _request(self) -> Request:
        deadline = time.monotonic() + self._options.acse_timeout_s
        self._connection.open(self._options.tls, deadline)
        kind, length = pdu.HEADER.unpack(self._connection.intake.take(pdu.HEADER.size))
        if kind == pdu.ABORT:
            raise _Ended(Outcome.ABORTED)
        if kind != pdu.ASSOCIATE_RQ:  # AA-1
            reason = pdu.UNEXPECTED_PDU if kind in _MIDDLE else pdu.UNRECOGNIZED_PDU
            raise Violation("no association request", reason=reason)
        if length > negotiation.LONGEST_REQUEST:
            raise Violation("association request is too long", reason=pdu.INVALID_PARAMETER)
        try:
            return negotiation.decoded(bytes(self._connection.intake.take(length)))
        except MalformedRequest as exc:
            raise Violation(str(exc), reason=pdu.INVALID_PARAMETER) from exc

    def _negotiate(self, request: Request) -> None:
        tally = Tally(
            self._around.record,
            calling=request.calling_ae_title,
            called=request.called_ae_title,
            address=self._address,
        )
        reasons = negotiation.refusal(request, self._options, address=self._address)
        if reasons is not None:
            tally.refused(f"rejected with result, source, reason {reasons}")
            self._reject(request, reasons)
            return
        last_word = b""
        with self._around.admission.place() as admitted:
            if not admitted:
                reasons = negotiation.LOCAL_LIMIT_EXCEEDED
            else:
                last_word = self._transfer(request, tally)
        # the place is free again while the peer takes its time to close
        if reasons is not None:
            self._reject(request, reasons)
        elif last_word:
            self._connection.linger(last_word)

    def _reject(self, request: Request, reasons: Reasons) -> None:
        log.warning(
            "association_rejected",
            called_ae=request.called_ae_title,
            result=reasons[0],
            source=reasons[1],
            reason=reasons[2],
        )
        self._around.happened(Outcome.REJECTED)
        self._connection.linger(pdu.rejection(*reasons))

    # ── Sta6: data transfer ─────────────────────────────────────────────────────────────────

    def _transfer(self, request: Request, tally: Tally) -> bytes:
        """Serve an admitted peer; return what is to be said last."""
        outcome, why, last_word = Outcome.ABORTED, "", pdu.abort(pdu.BY_PROVIDER)
        try:
            agreement = negotiation.agreement(request, self._options)
            self._connection.within(self._options.network_timeout_s)
            self._connection.send([agreement.pdu])
            log.info("association_accepted", called_ae=request.called_ae_title)
            self._around.happened("accepted")
            self._messages(agreement, request.calling_ae_title, tally)
        except MalformedRequest as exc:
            why, last_word = str(exc), pdu.abort(pdu.BY_PROVIDER, pdu.INVALID_PARAMETER)
        except Violation as exc:
            why, last_word = exc.why, exc.last_word
        except TimeoutError:
            why = "the peer was silent for too long"
        except Closed:
            why, last_word = "the connection was closed", b""
            if self._aborting:
                why, last_word = "the SCP stops", pdu.abort(pdu.BY_USER)
        except _Ended as exc:
            outcome, last_word = exc.outcome, exc.last_word
            why = "the peer aborted" if outcome is Outcome.ABORTED else ""
        if outcome is Outcome.RELEASED:
            log.info("association_released", **tally.facts)
        else:
            log.warning("association_aborted", reason=why, **tally.facts)
        self._around.happened(outcome)
        tally.tell(why or outcome)
        return last_word

    def _messages(self, agreement: Agreement, calling_ae_title: str, tally: Tally) -> None:
        intake = self._connection.intake

        def store(message: Message, context: AcceptedContext) -> tuple[int, str]:
            return self._around.store(
                lambda: sink.received(message.command, context, message.data, calling_ae_title),
                tally,
            )

        sink = DataSetIntake(self._options, agreement.contexts)
        reassembly = Reassembly(sink)
        try:
            while True:
                kind, length = pdu.HEADER.unpack(intake.take(pdu.HEADER.size))
                if kind != pdu.P_DATA_TF:
                    raise self._not_data(kind, length)
                for message in reassembly.messages(intake, length):
                    self._answer(message, agreement, store)
                    sink.release()
                if self._aborting:
                    raise Closed
        except MalformedMessage as exc:
            raise Violation(str(exc), reason=pdu.INVALID_PARAMETER) from exc
        finally:
            sink.release()

    def _not_data(self, kind: int, length: int) -> Exception:
        if kind not in _MIDDLE:
            return Violation("no such PDU", reason=pdu.UNRECOGNIZED_PDU)
        if length != 4 or kind < pdu.RELEASE_RQ or kind == pdu.RELEASE_RP:  # AA-8
            return Violation("a PDU that cannot come now", reason=pdu.UNEXPECTED_PDU)
        self._connection.intake.take(length)
        if kind == pdu.ABORT:  # AA-3
            return _Ended(Outcome.ABORTED)
        return _Ended(Outcome.RELEASED, pdu.release_reply())  # AR-2, AR-4

    def _answer(
        self,
        message: Message,
        agreement: Agreement,
        store: Callable[[Message, AcceptedContext], tuple[int, str]],
    ) -> None:
        context = agreement.contexts.get(message.context_id)
        if context is None:
            raise Violation(
                "a message on no accepted presentation context", reason=pdu.INVALID_PARAMETER
            )
        command = message.command
        if command.field & commands.RESPONSE:
            raise Violation("a response to nothing", reason=pdu.INVALID_PARAMETER)
        if command.field == commands.C_CANCEL_RQ:
            return  # of something that has ended: nobody waits for an answer
        status, comment = _service_of(message, context), ""
        if status is None:
            status = 0
            if command.field == commands.C_STORE_RQ:
                status, comment = store(message, context)
        response = _response(message, status, comment)
        self._connection.send(
            pdu.fragments(message.context_id, pdu.COMMAND, response, max_pdu=agreement.max_pdu)
        )


def _service_of(message: Message, context: AcceptedContext) -> int | None:
    """Return why a request is refused on its presentation context; None if it is served."""
    field = message.command.field
    if field not in (commands.C_STORE_RQ, commands.C_ECHO_RQ):
        return UNRECOGNIZED_OPERATION
    if (field == commands.C_ECHO_RQ) != (context.abstract_syntax == VERIFICATION):
        return SOP_CLASS_NOT_SUPPORTED
    return None


def _response(message: Message, status: int, comment: str) -> bytes:
    """Return the command set that answers a request (PS3.7 9.3.1.2 and 9.3.5.2)."""
    request = message.command
    response: dict[int, int | str] = {
        commands.COMMAND_FIELD: request.field | commands.RESPONSE,
        commands.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
        commands.STATUS: status,
    }
    for uid in (commands.AFFECTED_SOP_CLASS_UID, commands.AFFECTED_SOP_INSTANCE_UID):
        if uid in request.elements:
            response[uid] = request.text(uid)
    if comment:
        response[commands.ERROR_COMMENT] = comment
    return commands.encode(response)
