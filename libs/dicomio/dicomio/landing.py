"""Land a received instance: durable first, announced second, only then acknowledged."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

import structlog

from dicomcore.errors import NotFound, ObjectStoreFull, Unavailable, Unreadable
from dicomcore.events import InstanceStored, encode
from dicomcore.keys import OUTBOX
from dicomcore.landing import prepare
from dicomcore.ports import ObjectStore
from dicomcore.received import Received, StoredInstance
from dicomio.tracing import current_traceparent

log = structlog.get_logger()

Publish = Callable[[str, bytes, str], bool]
"""`publish(subject, body, message_id)` from any thread: True if new, False if a duplicate.

Raises `Unavailable` when the bus may not hold the message; it has a deadline of its own."""
Announce = Callable[[StoredInstance, str], object]
"""`announce(stored, calling_ae_title)`; returns when the announcement is held, or raises `Unavailable`."""

HIGH_WATER_CACHE_S = 5.0
BUS_PAUSE_S = 5.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Lander:
    """Turns received instances into stored and announced ones; may be shared by threads.

    Parameters
    ----------
    announce
        Called after the object is durable, also when it was there before: the first landing may have
        crashed between the two.
    high_water
        Share of the store's capacity (0 to 1) above which nothing is taken; None: no limit.
    """

    def __init__(
        self,
        store: ObjectStore,
        announce: Announce,
        *,
        high_water: float | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = store
        self._announce = announce
        self._clock = clock
        self._high_water = None if high_water is None else _HighWater(store, high_water)

    def land(self, received: Received) -> StoredInstance:
        """Return once the instance is durable and its announcement is held.

        Landing the same again is no error and leaves one object.

        Raises
        ------
        Unreadable, InvalidInstance, SopClassMismatch
            See `dicomcore.landing.prepare`; nothing was stored.
        ObjectStoreFull
            The store is above its high-water mark, or has no room; nothing was stored.
        Unavailable
            The object may be stored; it is not known to be announced. Land it again.
        """
        landing = prepare(received)
        if self._high_water is not None:
            self._high_water.check()
        created = self._store.put(str(landing.key), landing.parts, sha256=landing.sha256)
        stored = StoredInstance(
            key=landing.key,
            sop_class_uid=landing.sop_class_uid,
            transfer_syntax_uid=landing.transfer_syntax_uid,
            sha256=landing.sha256,
            size_bytes=landing.size_bytes,
            stored_at=self._clock(),
            created=created,
            patient_id=landing.patient_id,
        )
        self._announce(stored, received.calling_ae_title)
        return stored


class _HighWater:
    """Asks the store how full it is, not more often than every few seconds."""

    def __init__(self, store: ObjectStore, limit: float) -> None:
        self._store = store
        self._limit = limit
        self._lock = threading.Lock()
        self._known: tuple[float, float | None] | None = None
        """When it was asked (monotonic seconds), and the answer."""

    def check(self) -> None:
        ratio = self._ratio()
        if ratio is not None and ratio > self._limit:
            raise ObjectStoreFull(
                "object store is above its high-water mark",
                fill_ratio=round(ratio, 3),
                high_water=self._limit,
            )

    def _ratio(self) -> float | None:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > HIGH_WATER_CACHE_S:
                self._known = (time.monotonic(), self._store.fill_ratio())
            return self._known[1]


class Held(StrEnum):
    """Who holds an announcement."""

    BUS = "bus"
    DUPLICATE = "duplicate"
    """The bus had it already: an earlier try of the same landing got through."""
    OUTBOX = "outbox"


class Announcer:
    """Announces stored instances on the bus or, while that is away, in the store's outbox.

    After a failure the bus is left alone for `bus_pause_s`, so that an association does not wait for
    the publish time-out at every instance.

    Parameters
    ----------
    source
        Names this program in the event.
    observe
        Told who holds each announcement; for metrics.
    """

    def __init__(
        self,
        store: ObjectStore,
        publish: Publish,
        *,
        source: str = "store-scp",
        bus_pause_s: float = BUS_PAUSE_S,
        observe: Callable[[Held], None] = lambda _held: None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = store
        self._publish = publish
        self._source = source
        self._bus_pause_s = bus_pause_s
        self._observe = observe
        self._clock = clock
        self._bus_paused_until = 0.0

    def announce(self, stored: StoredInstance, calling_ae_title: str = "") -> Held:
        """Return once the announcement is held.

        Raises
        ------
        Unavailable
            Neither the bus nor the outbox holds it.
        """
        ref = stored.key.ref
        event = InstanceStored(
            study_instance_uid=ref.study_instance_uid,
            series_instance_uid=ref.series_instance_uid,
            sop_instance_uid=ref.sop_instance_uid,
            sop_class_uid=stored.sop_class_uid,
            transfer_syntax_uid=stored.transfer_syntax_uid,
            object_key=str(stored.key),
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            calling_ae_title=calling_ae_title,
        )
        attempt = uuid4().hex
        # The digest alone would not do: JetStream remembers an ID after its ack, for minutes, and an
        # instance that is sent again on purpose must be announced again. One attempt, whatever its
        # way to the bus and however often it is tried, has one ID.
        message_id = f"{stored.sha256[:32]}-{attempt}"
        now = self._clock()
        body = encode(
            event,
            event_id=message_id,
            source=self._source,
            time=now,
            traceparent=current_traceparent(),
        )
        held = self._to_bus(event.TYPE, body, message_id)
        if held is None:
            held = self._to_outbox(event.TYPE, body, message_id, f"{_sortable(now)}-{attempt}")
        self._observe(held)
        return held

    def _to_bus(self, subject: str, body: bytes, message_id: str) -> Held | None:
        if time.monotonic() < self._bus_paused_until:
            return None
        try:
            return Held.BUS if self._publish(subject, body, message_id) else Held.DUPLICATE
        except Unavailable as exc:
            self._bus_paused_until = time.monotonic() + self._bus_pause_s
            log.warning("bus_was_unavailable", reason=exc.sentence, pause_s=self._bus_pause_s)
            return None

    def _to_outbox(self, subject: str, body: bytes, message_id: str, name: str) -> Held:
        letter = {"subject": subject, "message_id": message_id, "event": body.decode()}
        self._store.put(f"{OUTBOX}{name}.json", [json.dumps(letter).encode()])
        return Held.OUTBOX


def sweep_outbox(store: ObjectStore, publish: Publish) -> int:
    """Publish what waits in the outbox, oldest first, and return how many it was.

    An announcement is deleted after the bus has it: a crash in between publishes it twice, under one
    message ID. So do two sweepers at once; neither is an error.

    Raises
    ------
    Unavailable
        The bus or the store is away; what was not published yet still waits.
    """
    published = 0
    for stat in store.list(OUTBOX):
        try:
            letter = store.get(stat.key)
        except NotFound:  # another sweeper was here
            continue
        try:
            subject, body, message_id = _read_letter(letter)
        except Unreadable as exc:
            # it is kept for an operator, and does not hold up the others
            log.warning("outbox_object_was_unreadable", object_key=stat.key, reason=exc.sentence)
            continue
        publish(subject, body, message_id)
        store.delete(stat.key)
        published += 1
    return published


def _read_letter(letter: bytes) -> tuple[str, bytes, str]:
    try:
        fields = json.loads(letter)
        subject, event, message_id = fields["subject"], fields["event"], fields["message_id"]
    except (ValueError, KeyError, TypeError) as exc:
        raise Unreadable("not an announcement") from exc
    if not all(isinstance(text, str) and text for text in (subject, event, message_id)):
        raise Unreadable("announcement is incomplete")
    return subject, event.encode(), message_id


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
