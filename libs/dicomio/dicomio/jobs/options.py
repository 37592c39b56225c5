"""How much a worker does at a time, how patient it is, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from dicomcore.audit import Act
from dicomio.jobs.attempt import Pace
from dicomio.jobs.audit import no_audit
from dicomio.tracing import NO_TRACER, Tracer


def _nothing_left(_job_id: str, _request: Any) -> None:
    """Leave everything as it is."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How much one replica does at a time, and how patient it is."""

    owner: str = "qr-gateway"
    """Name of the replica, for people who read the ledger."""
    jobs: int = 4
    """Jobs of a kind at a time; each holds a thread of the bridge's pool."""
    jobs_per_peer: int = 2
    """Of these, against one peer; replicas add up."""
    pace: Pace = field(default_factory=Pace)
    attempts: int = 6
    """Failures after which a job that something unavailable keeps from ending has failed."""
    claims: int = 30
    """Claims after which a job has failed whatever the reason: it may be what kills the workers."""
    retry_s: float = 5.0
    """Before the second attempt; doubles from attempt to attempt, up to five minutes."""
    busy_s: float = 5.0
    """Before a job is looked at again whose peer is busy."""
    sweep_every_s: float = 60.0
    idle_s: float = 180.0
    """After so long without a worker, a job is put into the queue again."""
    keep_s: float = 30 * 86400.0
    """How long a job that has ended can be asked about."""
    record: Callable[[Act], None] = no_audit
    """Takes what the audit trail is told; returns at once."""
    clear: Callable[[str, Any], None] = _nothing_left
    """Removes what attempts may have left of a job, by ID and request, that ended without a report; in a
    thread of the bridge, before the end is announced, perhaps more than once."""
    tracer: Tracer = NO_TRACER


class Metrics:
    """What the worker counts."""

    def __init__(self, registry: CollectorRegistry, kind: str) -> None:
        """Register the metrics of one kind of job: `retrieval`, `send`."""
        self.running = Gauge(
            f"{kind}s_running", f"{kind.capitalize()}s this replica works on", registry=registry
        )
        self.ended = Counter(
            f"{kind}s_ended",
            f"{kind.capitalize()}s that ended, by how",
            ("state",),
            registry=registry,
        )
        self.bytes_moved = Counter(
            f"{kind}_bytes_moved", f"Bytes of instances that {kind}s moved", registry=registry
        )
