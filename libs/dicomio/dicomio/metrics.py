"""What the metrics of every service have in common: a registry of its own, and their list.

Each service names what it counts in its own `metrics` module, on the registry that it was given;
nothing is global, so that three services in one process stay apart. A label has few values, known
when the program was written: outcomes, statuses, states. Never a UID, an AE title that a peer
chose, or anything of a patient.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector


@dataclass(frozen=True, slots=True, order=True)
class Documented:
    """One metric, as the operator's manual lists it."""

    name: str
    kind: str
    meaning: str


def new_registry(service: str, version: str) -> CollectorRegistry:
    """Return the registry of one service, with memory, processor time, open files and version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "dicomtools_build",
        "Always 1; which service and version this is",
        ("service", "version"),
        registry=registry,
    ).labels(service, version).set(1)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return what a Prometheus server reads (text format 0.0.4)."""
    return generate_latest(registry)


def documented(registry: CollectorRegistry) -> list[Documented]:
    """Return every metric of a registry, sorted by name."""
    return sorted(
        Documented(family.name, family.type, family.documentation) for family in registry.collect()
    )
