"""What one association brought, for the audit trail and the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dicomcore.audit import Act, Activity, Actor, Outcome
from dicomcore.dimse import SUCCESS
from dicomcore.received import StoredInstance

Record = Callable[[Act], None]
"""Takes an act; returns at once and raises nothing."""
AE_TITLE = "urn:dicomtools:ae-title"
STUDIES_AT_ONCE = 100
"""Of one audit event: an association may go on for days, and bring a whole archive."""


def no_audit(_act: Act) -> None:
    """Record nothing."""


class Tally:
    """Counts the C-STORE requests of an association; used in its thread."""

    def __init__(self, record: Record, *, calling: str, called: str, address: str) -> None:
        self._record = record
        self._actors = (
            Actor(AE_TITLE, calling, requestor=True, address=address),
            Actor(AE_TITLE, called, requestor=False),
        )
        self._studies: set[str] = set()
        self._patient_ids: set[str] = set()
        self._statuses: Counter[int] = Counter()
        self._stored = self._stored_bytes = self._requests = 0

    @property
    def facts(self) -> dict[str, int]:
        """What the whole association brought."""
        return {
            "stored": self._stored,
            "stored_bytes": self._stored_bytes,
            "refused": self._requests - self._stored,
        }

    def stored(self, stored: StoredInstance) -> None:
        """Take one instance that has landed."""
        self._stored += 1
        self._stored_bytes += stored.size_bytes
        self._studies.add(stored.key.ref.study_instance_uid)
        if stored.patient_id:
            self._patient_ids.add(stored.patient_id)

    def answered(self, status: int) -> None:
        """Take the status of one request."""
        self._requests += 1
        self._statuses[status] += 1
        if len(self._studies) >= STUDIES_AT_ONCE:
            self.tell("the association goes on")

    def tell(self, how: str) -> None:
        """Record what there was since the last time; nothing if there was nothing."""
        if not self._statuses:
            return
        failed = sum(count for status, count in self._statuses.items() if status != SUCCESS)
        self._record(
            Act(
                activity=Activity.TRANSFERRED,
                operation="C-STORE",
                action="C",
                outcome=Outcome.FAILED if failed else Outcome.SUCCESS,
                actors=self._actors,
                reason=how,
                patient_ids=tuple(sorted(self._patient_ids)),
                objects=tuple(("study_instance_uid", uid) for uid in sorted(self._studies)),
                counts=tuple(
                    (f"0x{status:04X}", count) for status, count in sorted(self._statuses.items())
                ),
            )
        )
        self._studies, self._patient_ids, self._statuses = set(), set(), Counter()

    def refused(self, reason: str) -> None:
        """Record that the association was not accepted."""
        self._record(
            Act(
                activity=Activity.SECURITY_ALERT,
                operation="A-ASSOCIATE",
                action="E",
                outcome=Outcome.REFUSED,
                actors=self._actors,
                reason=reason,
            )
        )
