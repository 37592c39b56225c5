"""What store-scp counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ScpMetrics:
    """Counters of one SCP, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.instances = Counter(
            "store_scp_instances",
            "C-STORE requests, by the status that answered them",
            ["status"],
            registry=registry,
        )
        self.received_bytes = Counter(
            "store_scp_received_bytes", "Bytes of data sets that were landed", registry=registry
        )
        self.duplicates = Counter(
            "store_scp_duplicates", "Landed instances that were there before", registry=registry
        )
        self.landing_seconds = Histogram(
            "store_scp_landing_seconds",
            "From the last byte of a data set to its status",
            buckets=_SECONDS,
            registry=registry,
        )
        self.associations = Counter(
            "store_scp_associations",
            "Associations, by what became of them: accepted, rejected, aborted, released",
            ["outcome"],
            registry=registry,
        )
        self.open_associations = Gauge(
            "store_scp_open_associations", "Associations now", registry=registry
        )
        self.announcements = Counter(
            "store_scp_announcements",
            "Announcements, by who held them first: bus, duplicate, outbox",
            ["held"],
            registry=registry,
        )
