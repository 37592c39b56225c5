"""docs/metrics.md against the metrics that the services have."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from dicomio.audit import AuditOptions, AuditTrail
from dicomio.http import make_app
from dicomio.local_bus import LocalBus
from dicomio.metrics import documented, new_registry
from store_scp.metrics import ScpMetrics
from tests.whole_api import whole_api

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"
_ROW = re.compile(
    r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \| (?P<services>[^|]+) \| (?P<meaning>[^|]+) \|$"
)


async def existing(folder: Path) -> dict[tuple[str, str, str], set[str]]:
    """Every metric by name, kind and meaning, and the services that have it."""
    scp = CollectorRegistry()
    ScpMetrics(scp)
    make_app("store-scp", "1", (), metrics_registry=scp)
    bus = await LocalBus.open(folder / "audit.db")
    trails = []
    found: dict[tuple[str, str, str], set[str]] = {}
    async with whole_api(folder) as api:
        registries = {**api.registries, "store-scp": scp}
        for service, registry in registries.items():
            trails.append(
                AuditTrail(bus, observer=service, options=AuditOptions(), registry=registry)
            )
            for one in documented(registry):
                found.setdefault((one.name, one.kind, one.meaning), set()).add(service)
        for one in documented(new_registry("any", "1")):
            found.setdefault((one.name, one.kind, one.meaning), set()).update(registries)
    for trail in trails:
        await trail.close()
    await bus.close()
    return found


def rows(found: dict[tuple[str, str, str], set[str]]) -> list[str]:
    """The lines of the table."""
    return [
        f"| `{name}` | {kind} | {'all' if len(services) == 3 else ', '.join(sorted(services))} | {meaning} |"
        for (name, kind, meaning), services in sorted(found.items())
    ]


async def test_every_metric_is_in_the_list_and_the_list_has_no_other(tmp_path: Path) -> None:
    there = [line for line in DOCUMENT.read_text("utf-8").splitlines() if _ROW.match(line)]

    expected = rows(await existing(tmp_path))

    assert there == expected, "the table should be\n" + "\n".join(expected)
