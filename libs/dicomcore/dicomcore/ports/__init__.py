"""What the domain asks of the world: five Protocols, in the domain's words.

A port has the colour of its SDK: `ObjectStore` and `Pacs` block and may be shared by threads;
`EventBus`, `KeyValue` and `IndexDb` live on one event loop. Colour changes in `dicomio.bridge`.
"""

from dicomcore.ports.bus import (
    Consumer,
    ConsumerSpec,
    Delivery,
    EventBus,
    EventHistory,
    PastEvent,
)
from dicomcore.ports.index import (
    FoundInstance,
    FoundPage,
    IncomingReference,
    IndexCounts,
    IndexDb,
    IndexedInstance,
    SearchScope,
    SeriesSummary,
    StudySummary,
    UpsertOutcome,
    ValueCount,
)
from dicomcore.ports.key_value import Entry, KeyValue
from dicomcore.ports.objects import ObjectStat, ObjectStore
from dicomcore.ports.pacs import (
    Outgoing,
    Pacs,
    QueryLevel,
    StoreOutcome,
    SubOperations,
    TransferOutcome,
    TransferRequest,
)
from dicomcore.ports.plans import PatientPage, PatientSummary, PlanPage, Position

__all__ = [
    "Consumer",
    "ConsumerSpec",
    "Delivery",
    "Entry",
    "EventBus",
    "EventHistory",
    "FoundInstance",
    "FoundPage",
    "IncomingReference",
    "IndexCounts",
    "IndexDb",
    "IndexedInstance",
    "KeyValue",
    "ObjectStat",
    "ObjectStore",
    "Outgoing",
    "Pacs",
    "PastEvent",
    "PatientPage",
    "PatientSummary",
    "PlanPage",
    "Position",
    "QueryLevel",
    "SearchScope",
    "SeriesSummary",
    "StoreOutcome",
    "StudySummary",
    "SubOperations",
    "TransferOutcome",
    "TransferRequest",
    "UpsertOutcome",
    "ValueCount",
]
