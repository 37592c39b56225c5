"""The events that the indexer publishes, each under a de-duplication ID of what it says."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from dicomcore.events import DeadLetter, EventData, InstanceConflict, InstanceUnreadable, encode
from dicomcore.ports import EventBus, IndexedInstance

SOURCE = "dicomtools/indexer"
_LONGEST_BODY = 256 * 1024
"""Bytes of a dead message that are kept: base64 of it stays below the bus's limit of 1 MiB."""


class Announcer:
    """Publishes conflicts, unreadable objects and dead letters.

    The ID is made from the content, so that a redelivered message repeats the event without
    doubling it. Every method may raise `BusUnavailable`; it is safe to call again.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    async def conflict(self, versions: Sequence[IndexedInstance]) -> None:
        """Say that there is more than one version of an instance."""
        keys = tuple(version.object_key for version in versions)
        uid = versions[0].ref.sop_instance_uid
        await self._publish(InstanceConflict(sop_instance_uid=uid, object_keys=keys), *sorted(keys))

    async def unreadable(self, instance: IndexedInstance) -> None:
        """Say that a stored object could not be read."""
        event = InstanceUnreadable(object_key=instance.object_key, problem=instance.problem)
        await self._publish(event, instance.object_key, instance.problem)

    async def dead(self, subject: str, body: bytes, reason: str) -> None:
        """Keep a message that no attempt can handle where an operator finds it."""
        event = DeadLetter(
            original_subject=subject,
            reason=reason,
            original_body=base64.b64encode(body[:_LONGEST_BODY]).decode("ascii"),
        )
        await self._publish(event, subject, hashlib.sha256(body).hexdigest())

    async def _publish(self, event: EventData, *identity: str) -> None:
        digest = hashlib.sha256("\n".join((event.TYPE, *identity)).encode()).hexdigest()
        event_id = f"{SOURCE}-{digest[:32]}".replace("/", "-")
        body = encode(event, event_id=event_id, source=SOURCE, time=datetime.now(UTC))
        await self._bus.publish(event.TYPE, body, message_id=event_id)
