"""Metrics say how much and how fast, never of whom."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

import indexer.metrics
import store_scp.metrics
from dicomio.metrics import Documented, documented, new_registry, render

SERVICES = {
    "store-scp": store_scp.metrics.ScpMetrics,
    "indexer": indexer.metrics.Metrics,
}
# Everything that a label may be called: few values each, none that a peer or a patient chose.
LABELS = {"outcome", "status", "answer", "held", "state", "reason", "service", "version", "method"}


@pytest.fixture(params=SERVICES)
def registry(request: pytest.FixtureRequest) -> CollectorRegistry:
    made = new_registry(request.param, "1.2.3")
    SERVICES[request.param](made)
    return made


def test_what_is_rendered_can_be_read_by_prometheus() -> None:
    registry = new_registry("store-scp", "1.2.3")
    Counter("instances", "Instances", ("outcome",), registry=registry).labels("new").inc(3)

    families = {f.name: f for f in text_string_to_metric_families(render(registry).decode())}

    (build,) = families["dicomtools_build"].samples
    assert (build.labels, build.value) == ({"service": "store-scp", "version": "1.2.3"}, 1)
    total = next(s for s in families["instances"].samples if s.name == "instances_total")
    assert (total.labels, total.value) == ({"outcome": "new"}, 3)


def test_two_services_of_one_process_do_not_count_together() -> None:
    first, second = new_registry("store-scp", "1"), new_registry("indexer", "1")

    Counter("instances", "Instances", registry=first).inc()
    Counter("instances", "Instances", registry=second)

    assert first.get_sample_value("instances_total") == 1
    assert second.get_sample_value("instances_total") == 0


def test_every_label_is_one_that_tells_nothing_of_anyone(registry: CollectorRegistry) -> None:
    names = {
        name
        for collector in registry._collector_to_names
        for name in getattr(collector, "_labelnames", ())
    }

    assert names
    assert names <= LABELS


def test_every_metric_says_what_it_means(registry: CollectorRegistry) -> None:
    listed = documented(registry)

    assert (
        Documented("dicomtools_build", "gauge", "Always 1; which service and version this is")
        in listed
    )
    assert all(len(entry.meaning) > 10 for entry in listed)
