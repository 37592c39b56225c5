"""Run the executor against any `Pacs`, landing in a folder: what every retrieval test needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dicomcore.dimse import status_of
from dicomcore.errors import DicomToolsError
from dicomcore.keys import INSTANCES, parse_object_key
from dicomcore.ports import ObjectStore, Pacs
from dicomcore.received import Received, StoredInstance
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.limits import Limits
from qr_gateway.retrieval.executor import Parts, retrieve
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest

QUICK = Limits(backoff_s=0.01)


@dataclass
class Site:
    """Our side of a retrieval: a store, whoever lands in it, and what was announced."""

    folder: Path
    limits: Limits = QUICK
    destination: str = "RECEIVER"
    saved: list[bytes] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    """SOP Instance UIDs, each time one was announced."""

    def __post_init__(self) -> None:
        self.store: ObjectStore = DirectoryStore(self.folder)
        self.lander = Lander(self.store, self.announce)

    def announce(self, stored: StoredInstance, _calling_ae_title: str) -> None:
        """Hold an announcement."""
        self.announced.append(str(stored.key.ref.sop_instance_uid))

    def receive(self, received: Received) -> int:
        """Land one instance of a C-GET; the status that answers it."""
        try:
            self.lander.land(received)
        except DicomToolsError as exc:
            return status_of(exc)
        return 0

    def landed(self) -> set[str]:
        """SOP Instance UIDs in the store."""
        keys = (parse_object_key(stat.key) for stat in self.store.list(INSTANCES))
        return {str(key.ref.sop_instance_uid) for key in keys}

    def retrieve(
        self,
        pacs: Pacs,
        *,
        saved: bytes | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        **request: object,
    ) -> Report:
        """Run one retrieval to its end."""
        return retrieve(
            RetrievalRequest.model_validate(request),
            Parts(pacs, self.store, self.receive, self.destination, self.limits),
            saved=saved,
            save=self.saved.append,
            progress=self.progress.append,
            cancelled=cancelled,
        )


def uids(report: Report) -> set[str]:
    """SOP Instance UIDs of the closure that landed."""
    return {item.sop_instance_uid for item in report.items}


def closure_bytes(report: Report) -> int:
    """Size of the closure as stored."""
    return sum(item.size_bytes for item in report.items)
