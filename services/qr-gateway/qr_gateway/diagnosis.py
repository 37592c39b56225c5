"""The diagnosis of one peer from where this service runs: network, DICOM, listening, one transfer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dicomcore.dimse import SUCCESS
from dicomcore.errors import DicomToolsError, PeerRefused
from dicomcore.keys import instance_prefix
from dicomcore.ports import ObjectStore, Pacs, TransferRequest
from dicomcore.received import Received
from dicomcore.uids import InstanceRef
from dicomio import pacs
from dicomio.diagnosis.advice import Advice, Words
from dicomio.diagnosis.connection import Address, ConnectionChecks
from dicomio.diagnosis.findings import (
    ECHO,
    FIND,
    LISTEN,
    NAME,
    TCP,
    TRANSFER,
    Finding,
    Outcome,
    not_tried,
)
from dicomio.diagnosis.transfer import NO_OBJECT, got, moved, unwatched
from dicomio.peer_book import KnownPeer

ARRIVAL_TIMEOUT_S = 10.0
"""After the final response, for an object that is still on its way into the store."""
_LOOK_EVERY_S = 0.1

ADVICE = Advice(
    Words(
        here="this server",
        host="the peer's host",
        port="its port",
        calling="the calling AE title",
        called="the peer's AE title",
        destination="the move destination",
        listening="on which store-scp listens",
        use_get="C-GET",
        single_plans="A plan label",
        tls="TLS",
        ca_file="The peer's ca_file in the server's configuration",
        own_certificate="The peer's cert_file and key_file in the server's configuration",
    )
)


class Group(StrEnum):
    """What is looked at."""

    NETWORK = "network"
    DICOM = "dicom"
    LISTENING = "listening"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where store-scp listens."""

    ae_title: str
    host: str
    port: int


def nobody_knows() -> Receiver | None:
    """Return where store-scp listens where this service was not told."""
    return None


@dataclass(frozen=True, slots=True)
class Grouped:
    """A finding, and what it belongs to."""

    group: Group
    finding: Finding


class Diagnostician:
    """Examines peers; every method blocks."""

    def __init__(
        self,
        store: ObjectStore,
        connect: Callable[[pacs.Peer], Pacs],
        receiver: Callable[[], Receiver | None],
    ) -> None:
        self._store = store
        self._connect = connect
        self._receiver = receiver

    def examine(
        self, peer: KnownPeer, groups: frozenset[Group], *, patient_id: str, use_get: bool
    ) -> Iterator[Grouped]:
        """Yield findings of the groups that are asked for, each as soon as it is known.

        Parameters
        ----------
        patient_id
            Of whom one small object is asked for, with `Group.TRANSFER`; empty: nobody.
        """
        at = peer.settings
        address = Address(
            at.host, at.port, at.calling_ae_title, at.ae_title, tls=at.tls is not None
        )
        checks = ConnectionChecks(address, peer.pacs, ADVICE, patient_id)
        alive = True
        for group, name, check in (
            (Group.NETWORK, NAME, checks.name),
            (Group.NETWORK, TCP, checks.tcp),
            (Group.DICOM, ECHO, checks.echo),
            (Group.DICOM, FIND, checks.find),
        ):
            if group not in groups:
                continue
            finding = check() if alive else not_tried(name)
            alive = alive and finding.outcome is not Outcome.FAILED
            yield Grouped(group, finding)
        if Group.LISTENING in groups:
            listening = self._listening(peer)
            yield Grouped(Group.LISTENING, listening)
            alive = alive and (use_get or listening.outcome is not Outcome.FAILED)
        if Group.TRANSFER in groups:
            transfer = (
                self._transfer(peer, checks, patient_id, use_get=use_get)
                if alive
                else not_tried(TRANSFER)
            )
            yield Grouped(Group.TRANSFER, transfer)

    def _listening(self, peer: KnownPeer) -> Finding:
        """Ask our own receiver, as the peer would: by C-ECHO."""
        receiver = self._receiver()
        if receiver is None:
            observed = "this service was not told where store-scp listens"
            advice = ("QR_GATEWAY_RECEIVER_HOST and QR_GATEWAY_RECEIVER_PORT tell it.",)
            return Finding(LISTEN, Outcome.SKIPPED, observed, advice)
        title = peer.settings.move_destination or receiver.ae_title
        where = f"{title} on {receiver.host}:{receiver.port}"
        ours = self._connect(
            pacs.Peer(
                name="receiver",
                ae_title=title,
                host=receiver.host,
                port=receiver.port,
                calling_ae_title=peer.settings.calling_ae_title,
            )
        )
        try:
            ours.echo()
        except PeerRefused as exc:
            observed = f"store-scp listens as {where}, and refused us: {exc.sentence}"
            return Finding(LISTEN, Outcome.WARNING, observed)
        except DicomToolsError as exc:
            observed = f"store-scp does not answer as {where}: {exc.sentence}"
            return Finding(LISTEN, Outcome.FAILED, observed, ("Is store-scp running?",))
        return Finding(LISTEN, Outcome.OK, f"store-scp answers as {where}")

    def _transfer(
        self, peer: KnownPeer, checks: ConnectionChecks, patient_id: str, *, use_get: bool
    ) -> Finding:
        if not patient_id:
            advice = ("A patient ID tries it with one small object.",)
            return Finding(TRANSFER, Outcome.SKIPPED, "not tried without a patient", advice)
        if not checks.found_object:
            return NO_OBJECT
        try:
            if use_get:
                return self._get(peer, checks)
            return self._move(peer, checks)
        except DicomToolsError as exc:
            return checks.failed(TRANSFER, exc)

    def _move(self, peer: KnownPeer, checks: ConnectionChecks) -> Finding:
        destination = peer.settings.move_destination
        if destination is None:
            observed = "no move destination is configured for this peer"
            return Finding(TRANSFER, Outcome.SKIPPED, observed)
        request = checks.request()
        was_there = self._holds(request)
        outcome = peer.pacs.move(
            request, destination=destination, progress=unwatched, cancelled=lambda: False
        )
        if was_there:
            if outcome.status != SUCCESS:
                return moved(outcome, arrived=False, advice=ADVICE)
            observed = (
                "C-MOVE was answered Success; the object was in the store before, so that nobody "
                "can tell whether it came again"
            )
            return Finding(TRANSFER, Outcome.WARNING, observed)
        end = time.monotonic() + ARRIVAL_TIMEOUT_S
        arrived = self._holds(request)
        while outcome.status == SUCCESS and not arrived and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_S)
            arrived = self._holds(request)
        return moved(outcome, arrived=arrived, advice=ADVICE)

    def _get(self, peer: KnownPeer, checks: ConnectionChecks) -> Finding:
        arrived: list[int] = []

        def take(received: Received) -> int:
            arrived.append(len(received.data))  # and throw it away
            return SUCCESS

        outcome = peer.pacs.get(
            checks.request(),
            sop_class_uids=checks.classes(),
            receive=take,
            progress=unwatched,
            cancelled=lambda: False,
        )
        return got(outcome, arrived=bool(arrived), otherwise="C-MOVE may do what C-GET does not.")

    def _holds(self, request: TransferRequest) -> bool:
        if request.series_instance_uid is None:
            return False
        ref = InstanceRef(
            request.study_instance_uid,
            request.series_instance_uid,
            request.sop_instance_uids[0],
        )
        return any(True for _ in self._store.list(instance_prefix(ref)))
