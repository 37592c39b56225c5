"""C-STORE as a user of real and of unruly peers: what goes out, what is tried again, what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RTPlanStorage,
)

from dicomcore.errors import NotFound, PeerRefused, PeerUnavailable
from dicomcore.ports import Outgoing, StoreOutcome
from dicomcore.transcode import transcoded
from dicomio.pacs import ClientTls, DicomPacs, Peer, Retry
from tests import factories
from tests.peers.certificates import Issue
from tests.peers.processes import free_ports
from tests.peers.taker import Ending, Taken, Taker, taker

IMPLICIT, EXPLICIT = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)
QUICK = Retry(attempts=4, first_pause_s=0.01, longest_pause_s=0.02)
CT = factories.encoded(factories.ct())


@dataclass
class Told:
    """What the sender told."""

    outcomes: dict[str, StoreOutcome] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def __call__(self, outgoing: Outgoing, outcome: StoreOutcome) -> None:
        assert outgoing.sop_instance_uid not in self.outcomes
        self.order.append(outgoing.sop_instance_uid)
        self.outcomes[outgoing.sop_instance_uid] = outcome


def instance(
    number: int,
    *,
    data: bytes = CT,
    syntax: str = EXPLICIT,
    sop_class: str = CTImageStorage,
    load: Callable[[], bytes] | None = None,
) -> Outgoing:
    return Outgoing(sop_class, f"2.25.{number + 1}", syntax, load or (lambda: data))


def some(count: int) -> list[Outgoing]:
    return [instance(number) for number in range(count)]


def uids(instances: Sequence[Outgoing]) -> list[str]:
    return [one.sop_instance_uid for one in instances]


def peer_of(to: Taker, **others: object) -> Peer:
    return Peer("taker", to.node.ae_title, to.node.host, to.node.port, **others)  # type: ignore[arg-type]


def send(
    to: Taker,
    instances: Sequence[Outgoing],
    *,
    associations: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
    told: Told | None = None,
    **others: object,
) -> Told:
    told = told or Told()
    DicomPacs(peer_of(to, **others), retry=QUICK).store(
        instances, answered=told, associations=associations, cancelled=cancelled
    )
    return told


# ── what goes out ───────────────────────────────────────────────────────────────────────────


def test_the_encoded_bytes_go_out_as_they_are_in_their_order() -> None:
    with taker() as to:
        told = send(to, some(20))

    assert to.uids == told.order == uids(some(20))
    assert {one.data for one in to.taken} == {CT}
    assert {one.transfer_syntax_uid for one in to.taken} == {EXPLICIT}
    assert all(outcome.stored for outcome in told.outcomes.values())
    assert all(outcome.statuses == (0,) for outcome in told.outcomes.values())
    assert {outcome.size_bytes for outcome in told.outcomes.values()} == {len(CT)}
    assert to.associations == 1


@pytest.mark.parametrize("max_pdu", [130, 135, 16384, 1_000_000, 0])
@pytest.mark.parametrize("size", [2, 124, 126, 5_000, 3_000_002])
def test_any_size_arrives_whole_over_any_pdu_length(max_pdu: int, size: int) -> None:
    if max_pdu < 1000 and size > 10_000:
        size = 50_000
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with taker() as to:
        to.max_pdu = max_pdu
        send(to, [instance(1, data=data)])

    assert to.taken[0].data == data


def test_compressed_pixels_are_offered_as_they_are_and_not_touched() -> None:
    data = b"not looked at!"
    with taker() as to:
        told = send(to, [instance(1, data=data, syntax=JPEG2000Lossless), instance(2)])

    assert [one.transfer_syntax_uid for one in to.taken] == [JPEG2000Lossless, EXPLICIT]
    assert to.taken[0].data == data
    assert told.outcomes["2.25.2"].transfer_syntax_uid == JPEG2000Lossless


@pytest.mark.parametrize(
    "own",
    [ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_a_peer_that_takes_only_implicit_vr_gets_that(own: str) -> None:
    data = bytes(transcoded(CT, EXPLICIT, str(own)))

    def implicit_only(_: str, proposed: list[str]) -> str | None:
        return IMPLICIT if IMPLICIT in proposed else None

    with taker(choose=implicit_only) as to:
        told = send(to, [instance(1, data=data, syntax=str(own))])

    assert to.taken[0].data == bytes(transcoded(CT, EXPLICIT, IMPLICIT))
    assert told.outcomes["2.25.2"].transfer_syntax_uid == IMPLICIT


def test_implicit_vr_is_offered_for_everything_uncompressed() -> None:
    with taker() as to:
        send(to, [instance(1), instance(2, sop_class=RTPlanStorage)])

    (contexts,) = to.proposed
    for sop_class in (CTImageStorage, RTPlanStorage):
        offered = [syntaxes for abstract, syntaxes in contexts if abstract == sop_class]
        assert offered[0] == (EXPLICIT,)
        assert IMPLICIT in offered[1]


def test_only_what_is_needed_is_asked_for_over_several_associations_if_need_be() -> None:
    classes = [f"1.2.840.10008.5.1.4.1.1.{n}.1" for n in range(100)]
    instances = [instance(n, sop_class=classes[n % 100]) for n in range(200)]
    with taker() as to:
        told = send(to, instances)

    assert all(outcome.stored for outcome in told.outcomes.values())
    assert to.uids == uids(instances)
    assert all(len(contexts) <= 128 for contexts in to.proposed)
    assert {abstract for contexts in to.proposed for abstract, _ in contexts} == set(classes)


def test_what_the_peer_does_not_accept_is_told_and_the_rest_is_sent() -> None:
    def no_plans(abstract: str, proposed: list[str]) -> str | None:
        if abstract == RTPlanStorage or JPEG2000Lossless in proposed:
            return None
        return proposed[0]

    instances = [
        instance(1),
        instance(2, sop_class=RTPlanStorage),
        instance(3, syntax=JPEG2000Lossless),
        instance(4),
    ]
    with taker(choose=no_plans) as to:
        told = send(to, instances)

    assert to.uids == ["2.25.2", "2.25.5"]
    assert told.outcomes["2.25.3"].problem == "the peer does not accept the SOP class"
    assert told.outcomes["2.25.4"].problem == "the peer does not accept the transfer syntax"


def test_a_peer_that_accepts_nothing_is_told_for_each_instance() -> None:
    with taker(choose=lambda *_: None) as to:
        told = send(to, some(3))

    assert [outcome.stored for outcome in told.outcomes.values()] == [False] * 3
    assert to.associations == 1


def test_what_cannot_be_loaded_is_told_and_the_rest_is_sent() -> None:
    def gone() -> bytes:
        raise NotFound("the file cannot be read any more")

    with taker() as to:
        told = send(to, [instance(1), instance(2, load=gone), instance(3)])

    assert to.uids == ["2.25.2", "2.25.4"]
    assert told.outcomes["2.25.3"] == StoreOutcome(
        stored=False, problem="the file cannot be read any more"
    )


# ── what the peer answers ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0116])
def test_a_warning_is_stored_and_told(status: int) -> None:
    with taker(lambda _: status) as to:
        told = send(to, some(2))

    assert [o.stored for o in told.outcomes.values()] == [True, True]
    assert told.outcomes["2.25.1"].statuses == (status,)


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0110, 0x0111, 0x0122, 0x0124])
def test_a_refusal_is_final_and_the_rest_is_sent(status: int) -> None:
    with taker(lambda one: status if one.number == 1 else 0) as to:
        to.comment = "no such machine"
        told = send(to, some(3))

    refused = told.outcomes["2.25.2"]
    assert to.uids == uids(some(3))
    assert (refused.stored, refused.statuses) == (False, (status,))
    assert refused.comment == "no such machine"
    assert refused.problem == "the peer did not store it"


@pytest.mark.parametrize("status", [0xA700, 0xA701, 0xA7FF])
def test_out_of_resources_is_tried_again_and_every_status_is_told(status: int) -> None:
    def twice_full(one: Taken) -> int:
        return status if one.sop_instance_uid == "2.25.2" and one.before < 2 else 0

    with taker(twice_full) as to:
        told = send(to, some(3))

    assert told.outcomes["2.25.2"].statuses == (status, status, 0)
    assert to.uids == ["2.25.1", "2.25.2", "2.25.2", "2.25.2", "2.25.3"]
    assert all(outcome.stored for outcome in told.outcomes.values())


def test_out_of_resources_for_ever_is_a_failure_with_all_its_statuses() -> None:
    with taker(lambda one: 0xA700 if one.sop_instance_uid == "2.25.1" else 0) as to:
        told = send(to, some(2))

    assert told.outcomes["2.25.1"].statuses == (0xA700,) * QUICK.attempts
    assert not told.outcomes["2.25.1"].stored
    assert told.outcomes["2.25.2"].stored


@pytest.mark.parametrize("associations", [1, 4])
@pytest.mark.parametrize("ending", [Ending.ABORT, Ending.CLOSE])
def test_a_peer_that_aborts_every_third_request_gets_everything(
    ending: Ending, associations: int
) -> None:
    with taker(lambda one: ending if one.number % 3 == 2 else 0) as to:
        told = send(to, some(30), associations=associations)

    assert all(outcome.stored for outcome in told.outcomes.values())
    assert sorted(to.stored) == sorted(uids(some(30)))
    if associations == 1:
        assert to.stored_uids == uids(some(30))


def test_an_instance_that_the_peer_cannot_bear_is_given_up_and_the_rest_is_sent() -> None:
    with taker(lambda one: Ending.ABORT if one.sop_instance_uid == "2.25.2" else 0) as to:
        told = send(to, some(4))

    assert told.outcomes["2.25.2"].problem == "the peer aborted the association"
    assert to.uids.count("2.25.2") == QUICK.attempts
    assert sorted(to.stored) == ["2.25.1", "2.25.3", "2.25.4"]


def test_a_peer_that_is_silent_is_given_up_after_its_time() -> None:
    with taker(lambda one: Ending.SILENCE if one.number == 1 else 0) as to:
        told = send(to, some(3), idle_timeout_s=0.5)

    assert all(outcome.stored for outcome in told.outcomes.values())
    assert to.uids == ["2.25.1", "2.25.2", "2.25.2", "2.25.3"]


def test_a_peer_that_aborts_everything_is_an_error_after_some_tries() -> None:
    with taker(lambda _: Ending.ABORT) as to, pytest.raises(PeerUnavailable):
        send(to, some(50))

    assert len(to.taken) <= 4 * QUICK.attempts


def test_nobody_there_is_an_error_and_nothing_is_told() -> None:
    (port,) = free_ports(1)
    told = Told()
    pacs = DicomPacs(Peer("nobody", "NOBODY", "127.0.0.1", port), retry=QUICK)

    with pytest.raises(PeerUnavailable):
        pacs.store(some(3), answered=told, associations=3, cancelled=lambda: False)

    assert not told.outcomes


def test_nothing_to_send_asks_for_no_association() -> None:
    with taker() as to:
        send(to, [])

    assert to.associations == 0


# ── several associations ────────────────────────────────────────────────────────────────────


def test_several_associations_share_the_work() -> None:
    together = threading.Barrier(3, timeout=60)

    def wait_for_others(one: Taken) -> int:
        if one.number < 3:
            together.wait()
        return 0

    with taker(wait_for_others) as to:
        told = send(to, some(40), associations=3)

    assert to.at_once == 3
    assert sorted(to.uids) == sorted(uids(some(40)))
    assert len(told.outcomes) == 40


@pytest.mark.parametrize("most", [1, 2])
def test_a_peer_that_takes_fewer_associations_gets_everything(most: int) -> None:
    with taker() as to:
        to.most_associations = most
        told = send(to, some(40), associations=4)

    assert to.at_once <= most
    assert len(told.outcomes) == 40
    assert all(outcome.stored for outcome in told.outcomes.values())


@pytest.mark.parametrize("associations", [1, 4])
def test_after_cancelling_nothing_more_is_sent(associations: int) -> None:
    told = Told()
    with taker() as to:
        send(
            to,
            some(100),
            associations=associations,
            told=told,
            cancelled=lambda: len(told.outcomes) >= 10,
        )

    assert 10 <= len(told.outcomes) < 10 + associations
    assert set(to.uids) == set(told.outcomes)


def test_with_one_association_nothing_is_sent_before_the_outcome_of_what_is_before() -> None:
    told = Told()

    def all_before_are_told(one: Taken) -> int:
        return 0 if len(told.outcomes) == one.number else 0xC000

    with taker(all_before_are_told) as to:
        send(to, some(20), told=told)

    assert all(outcome.stored for outcome in told.outcomes.values())


def test_what_the_listener_raises_ends_the_sending() -> None:
    class Full(Exception):
        pass

    def full(outgoing: Outgoing, outcome: StoreOutcome) -> None:
        raise Full

    with taker() as to, pytest.raises(Full):
        DicomPacs(peer_of(to), retry=QUICK).store(
            some(20), answered=full, associations=3, cancelled=lambda: False
        )

    assert len(to.taken) < 20


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.peer
def test_over_tls_everything_arrives_and_a_stranger_gets_nothing(issue: Issue) -> None:
    known, stranger = issue("known"), issue("stranger")
    large = instance(1, data=bytes(3_000_000))
    with taker(tls=known.server()) as to:
        told = send(to, [large, *some(1)], tls=ClientTls(ca_file=known.cert_file))
        assert to.taken[0].data == bytes(3_000_000)
        with pytest.raises(PeerRefused):
            send(to, some(3), tls=ClientTls(ca_file=stranger.cert_file))

    assert len(told.outcomes) == 2
    assert len(to.taken) == 2
