"""What the indexer counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from dicomcore.ports import UpsertOutcome


class Metrics:
    """Counters of one indexer, in the registry that its `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.instances = Counter(
            "indexer_instances",
            "Objects written to the index, by what was known of the instance",
            ("outcome",),
            registry=registry,
        )
        self.unreadable = Counter(
            "indexer_unreadable", "Objects kept and marked, without a header", registry=registry
        )
        self.deliveries = Counter(
            "indexer_deliveries", "Messages answered, by answer", ("answer",), registry=registry
        )
        self.announced = Counter(
            "indexer_outbox_announced", "Outbox objects announced by the sweeper", registry=registry
        )
        self.batch_seconds = Histogram(
            "indexer_batch_seconds", "From fetched to answered, one batch", registry=registry
        )
        self.packed = Counter(
            "indexer_series_packed", "Series whose attributes were packed", registry=registry
        )
        for outcome in UpsertOutcome:
            self.instances.labels(outcome.value)
        for answer in ("ack", "nak", "term"):
            self.deliveries.labels(answer)
