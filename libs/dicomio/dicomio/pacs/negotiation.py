"""Association request and its answer (PS3.8 9.3.2 to 9.3.4), in pynetdicom's PDUs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from dicomcore.errors import DicomToolsError, InvalidRequest, PeerRefused, PeerUnavailable
from dicomio.pacs.contexts import Context
from dicomio.pacs.peer import Peer

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_SMALLEST_MAXIMUM = 128
_UNLIMITED = 64 * 1024
_SHORTEST_ACCEPT = 74
"""Bytes of an A-ASSOCIATE-AC before its variable items (PS3.8 Table 9-17)."""

# what damaged PDUs make pynetdicom raise, found by feeding it damaged ones
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, AssertionError,
    NotImplementedError, ArithmeticError, struct.error,
)  # fmt: skip

_TRANSIENT, _PRESENTATION = 2, 3
_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 1): "no reason given by the ACSE",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and reason of a rejection: PS3.8 Table 9-21."""


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that the peer accepted."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was agreed upon."""

    contexts: Mapping[int, AcceptedContext]
    max_pdu: int
    """Longest variable field of a P-DATA-TF PDU that the peer takes, bytes."""

    def context_of(self, abstract_syntax: str) -> AcceptedContext | None:
        """Return the first context of a SOP class."""
        return next(
            (c for c in self.contexts.values() if c.abstract_syntax == abstract_syntax), None
        )


def request_pdu(peer: Peer, contexts: Sequence[Context], *, receive: Sequence[str] = ()) -> bytes:
    """Return an A-ASSOCIATE-RQ; context i has the ID 2 * i + 1.

    Parameters
    ----------
    receive
        SOP classes for which we take the SCP role (PS3.7 D.3.3.4), for C-GET.

    Raises
    ------
    InvalidRequest
        An AE title or a UID that cannot be sent.
    """
    try:
        primitive = A_ASSOCIATE()
        primitive.application_context_name = _APPLICATION_CONTEXT
        primitive.calling_ae_title = peer.calling_ae_title
        primitive.called_ae_title = peer.ae_title
        primitive.presentation_context_definition_list = [
            _proposed(index, context) for index, context in enumerate(contexts)
        ]
        primitive.user_information = [
            *_identification(peer),
            *(_scp_role(sop_class_uid) for sop_class_uid in receive),
        ]
        pdu = A_ASSOCIATE_RQ()
        pdu.from_primitive(primitive)
        encoded: bytes = pdu.encode()
    except (ValueError, TypeError) as exc:
        raise InvalidRequest("no association can be asked for", peer=peer.name) from exc
    return encoded


def accepted(pdu: bytes, contexts: Sequence[Context], peer: Peer) -> Accepted:
    """Return what an A-ASSOCIATE-AC agrees to, of the contexts that were asked for.

    Raises
    ------
    PeerUnavailable
        The bytes are no such PDU.
    """
    if len(pdu) < _SHORTEST_ACCEPT:
        raise _malformed(peer)
    try:
        answer = A_ASSOCIATE_AC()
        answer.decode(pdu)
        primitive = answer.to_primitive()
        agreed = {
            context.context_id: context
            for result in primitive.presentation_context_definition_results_list
            if result.result == 0 and (context := _agreed(result, contexts)) is not None
        }
        longest = int(primitive.maximum_length_received or 0)
    except _DAMAGE as exc:
        raise _malformed(peer) from exc
    return Accepted(agreed, max(longest, _SMALLEST_MAXIMUM) if longest else _UNLIMITED)


def rejection(body: bytes, peer: Peer) -> DicomToolsError:
    """Return the error for the body of an A-ASSOCIATE-RJ (PS3.8 Table 9-21).

    Final are the permanent rejections; not those for congestion or a limit, which some peers call
    permanent as well.
    """
    if len(body) < 4:
        return _malformed(peer)
    result, source, reason = body[1], body[2], body[3]
    facts = {
        "peer": peer.name,
        "reason": _REASONS.get((source, reason), f"source {source} reason {reason}"),
    }
    if result == _TRANSIENT or source == _PRESENTATION:
        return PeerUnavailable("the peer rejected the association for the moment", **facts)
    return PeerRefused("the peer rejected the association", **facts)


def _agreed(result: PresentationContext, asked: Sequence[Context]) -> AcceptedContext | None:
    """Return an accepted context; None if it is not one of ours, or not as we asked for it."""
    context_id = result.context_id or 0
    index, odd = divmod(context_id, 2)
    if not odd or index >= len(asked):
        return None
    transfer_syntax = str(result.transfer_syntax[0])
    if transfer_syntax not in asked[index].transfer_syntaxes:
        return None
    return AcceptedContext(context_id, asked[index].abstract_syntax, transfer_syntax)


def _malformed(peer: Peer) -> PeerUnavailable:
    return PeerUnavailable("the peer's association answer is malformed", peer=peer.name)


def _proposed(index: int, context: Context) -> PresentationContext:
    proposed = PresentationContext()
    proposed.context_id = 2 * index + 1
    proposed.abstract_syntax = context.abstract_syntax
    proposed.transfer_syntax = list(context.transfer_syntaxes)
    return proposed


def _identification(
    peer: Peer,
) -> tuple[
    MaximumLengthNotification,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
]:
    maximum = MaximumLengthNotification()
    maximum.maximum_length_received = peer.max_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    return (maximum, implementation, version)


def _scp_role(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = sop_class_uid
    role.scu_role = False
    role.scp_role = True
    return role
