"""What answers an association request (PS3.8 9.3.2 to 9.3.4), in pynetdicom's PDUs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_unrestricted
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import

from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.pdu import ASSOCIATE_RQ, HEADER
from store_scp.options import ScpOptions

Reasons = tuple[int, int, int]
"""Result, source and reason of a rejection (PS3.8 Table 9-21)."""
NO_APPLICATION_CONTEXT: Reasons = (1, 1, 2)
CALLING_TITLE_UNKNOWN: Reasons = (1, 1, 3)
CALLED_TITLE_UNKNOWN: Reasons = (1, 1, 7)
NO_PROTOCOL_VERSION: Reasons = (1, 2, 2)
LOCAL_LIMIT_EXCEEDED: Reasons = (2, 3, 2)
LONGEST_REQUEST = 1 << 20
"""128 presentation contexts with dozens of transfer syntaxes each are below 200 KiB."""
_SHORTEST_REQUEST = 68
"""Bytes of the variable field before its items (PS3.8 Table 9-11)."""
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_SMALLEST_MAXIMUM = 128
_UNLIMITED = 64 * 1024

# what damaged PDUs make pynetdicom raise, found by feeding it damaged ones
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, AssertionError,
    NotImplementedError, ArithmeticError, struct.error,
)  # fmt: skip
_OURS = [build_context(Verification)]


class MalformedRequest(ValueError):
    """The bytes are no A-ASSOCIATE-RQ."""


@dataclass(frozen=True, slots=True)
class Request:
    """An association request, decoded."""

    primitive: A_ASSOCIATE
    protocol_version: int

    @property
    def calling_ae_title(self) -> str:
        """Who asks."""
        return str(self.primitive.calling_ae_title).strip()

    @property
    def called_ae_title(self) -> str:
        """Whom it asks for."""
        return str(self.primitive.called_ae_title).strip()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an association was granted."""

    pdu: bytes
    """The A-ASSOCIATE-AC."""
    contexts: Mapping[int, AcceptedContext]
    max_pdu: int
    """Longest variable field of a P-DATA-TF PDU that the peer takes, bytes."""


def decoded(body: bytes) -> Request:
    """Return a request from the variable field of its PDU.

    Raises
    ------
    MalformedRequest
    """
    if len(body) < _SHORTEST_REQUEST:
        raise MalformedRequest("association request is cut off")
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(HEADER.pack(ASSOCIATE_RQ, len(body)) + body)
        primitive = pdu.to_primitive()
        request = Request(primitive, int(pdu.protocol_version))
        _ = request.calling_ae_title, request.called_ae_title, primitive.application_context_name
        for context in primitive.presentation_context_definition_list:
            # each has an abstract syntax, if only an empty one that is refused, and a transfer syntax
            _ = str(context.abstract_syntax), context.transfer_syntax[0], context.context_id
    except _DAMAGE as exc:
        raise MalformedRequest("association request cannot be decoded") from exc
    return request


def refusal(request: Request, options: ScpOptions, *, address: str) -> Reasons | None:
    """Return why a request is rejected, whoever else is served; None if it is not.

    Parameters
    ----------
    address
        Where it comes from.
    """
    if not request.protocol_version & 1:  # bit 0 is version 1, others may be set (PS3.8 9.3.2)
        return NO_PROTOCOL_VERSION
    application_context = str(request.primitive.application_context_name or "").rstrip("\0 ")
    if application_context != _APPLICATION_CONTEXT:
        return NO_APPLICATION_CONTEXT
    if options.require_called_ae_title and request.called_ae_title != options.ae_title.strip():
        return CALLED_TITLE_UNKNOWN
    if not options.callers.admit(request.calling_ae_title, address):
        return CALLING_TITLE_UNKNOWN
    return None


def agreement(request: Request, options: ScpOptions) -> Agreement:
    """Return what a request is granted.

    Every storage class, known or not, in the first transfer syntax proposed for it; Verification.
    Asynchronous operations are answered with one at a time; a user's identity and what a storage class
    negotiates beside are heard, and not answered, which says that they are not made use of.

    Raises
    ------
    MalformedRequest

    Notes
    -----
    PS3.7 D.3.3: items of user information, and what it means to leave one out.
    """
    try:
        return _agreement(request.primitive, options)
    except _DAMAGE as exc:
        raise MalformedRequest("association request cannot be answered") from exc


def _agreement(asked: A_ASSOCIATE, options: ScpOptions) -> Agreement:
    roles: dict[UID, tuple[bool | None, bool | None]] = {}
    asynchronous, longest = False, 0
    for item in asked.user_information:
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation):
            roles[UID(str(item.sop_class_uid))] = (item.scu_role, item.scp_role)
        elif isinstance(item, AsynchronousOperationsWindowNegotiation):
            asynchronous = True
        elif isinstance(item, MaximumLengthNotification):
            longest = int(item.maximum_length_received or 0)
    results, answered_roles = negotiate_unrestricted(
        asked.presentation_context_definition_list, _OURS, roles
    )
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(_APPLICATION_CONTEXT)
    answer.calling_ae_title = asked.calling_ae_title
    answer.called_ae_title = asked.called_ae_title
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = results
    answer.user_information = [
        *_identification(options),
        *([_one_at_a_time()] if asynchronous else []),
        *answered_roles,
    ]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    return Agreement(
        pdu=pdu.encode(),
        contexts={
            context.context_id: context
            for context in (_accepted(result) for result in results if result.result == 0)
        },
        max_pdu=max(longest, _SMALLEST_MAXIMUM) if longest else _UNLIMITED,
    )


def _accepted(result: PresentationContext) -> AcceptedContext:
    return AcceptedContext(
        int(result.context_id or 0), str(result.abstract_syntax), str(result.transfer_syntax[0])
    )


def _identification(
    options: ScpOptions,
) -> tuple[
    MaximumLengthNotification,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
]:
    maximum = MaximumLengthNotification()
    maximum.maximum_length_received = options.maximum_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    return (maximum, implementation, version)


def _one_at_a_time() -> AsynchronousOperationsWindowNegotiation:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = 1
    item.maximum_number_operations_performed = 1
    return item
