"""A PACS in memory behind the `Pacs` port, for tests that need no association: fast, countable."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomcore.errors import DicomToolsError, PeerRefused, PeerUnavailable
from dicomcore.ports import (
    Outgoing,
    QueryLevel,
    StoreOutcome,
    SubOperations,
    TransferOutcome,
    TransferRequest,
)
from dicomcore.received import Received


@dataclass
class Script:
    """What goes wrong, by request number (1-based): a status, an exception, or a kept-back UID."""

    statuses: dict[int, int] = field(default_factory=dict)
    unavailable: set[int] = field(default_factory=set)
    refuse_associations: bool = False
    never: set[str] = field(default_factory=set)
    no_instance_find: bool = False
    skips_what_is_not_offered: bool = False
    """An instance whose SOP class was not negotiated is passed over in silence, not failed."""
    refuse_optional_keys: bool = False


class MemoryPacs:
    """Holds data sets; sends by C-GET to the caller, by C-MOVE to whoever owns a destination."""

    def __init__(
        self,
        datasets: Iterable[Dataset],
        destinations: Mapping[str, Callable[[Received], int]] | None = None,
        script: Script | None = None,
    ) -> None:
        self._datasets = list(datasets)
        self._encoded: dict[str, bytes] = {}
        self._destinations = dict(destinations or {})
        self.script = script or Script()
        self.requests: list[TransferRequest] = []
        self.sent: list[str] = []
        self.finds = 0
        self.stored: dict[str, bytes] = {}
        """What was stored here, in order: data sets by SOP Instance UID."""
        self.refused: set[str] = set()
        """SOP Instance UIDs that are not taken."""

    def echo(self) -> float:
        return 0.0

    def find(self, level: QueryLevel, keys: Mapping[str, str]) -> Sequence[Dataset]:
        self.finds += 1
        if self.script.refuse_associations:
            raise PeerRefused("the peer rejected the association")
        if level is QueryLevel.IMAGE and self.script.no_instance_find:
            raise PeerRefused("C-FIND failed", status=0xA900)
        if self.script.refuse_optional_keys and any("/" in k for k in keys):
            raise PeerRefused("C-FIND failed", status=0xC000)
        replies: dict[str, Dataset] = {}
        unique = {
            QueryLevel.STUDY: "StudyInstanceUID",
            QueryLevel.SERIES: "SeriesInstanceUID",
            QueryLevel.IMAGE: "SOPInstanceUID",
        }[level]
        for ds in self._datasets:
            if all(_matches(ds, k, v) for k, v in keys.items()):
                replies.setdefault(str(ds[unique].value), self._reply(ds, level, keys))
        return list(replies.values())

    def find_many(
        self, level: QueryLevel, queries: Sequence[Mapping[str, str]]
    ) -> Sequence[Sequence[Dataset]]:
        return [self.find(level, keys) for keys in queries]

    def _reply(self, ds: Dataset, level: QueryLevel, keys: Mapping[str, str]) -> Dataset:
        reply = Dataset()
        for key in keys:
            keyword = key.partition("/")[0]
            if keyword == "NumberOfSeriesRelatedInstances":
                reply.NumberOfSeriesRelatedInstances = sum(
                    d.SeriesInstanceUID == ds.SeriesInstanceUID for d in self._datasets
                )
            elif keyword in ds:
                reply[keyword] = ds[keyword]
        return reply

    def move(
        self,
        request: TransferRequest,
        *,
        destination: str,
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        if destination not in self._destinations:
            self.requests.append(request)
            return TransferOutcome(0xA801)
        return self._send(request, self._destinations[destination], progress, cancelled)

    def get(
        self,
        request: TransferRequest,
        *,
        sop_class_uids: Sequence[str],
        receive: Callable[[Received], int],
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        return self._send(request, receive, progress, cancelled, classes=set(sop_class_uids))

    def store(
        self,
        instances: Sequence[Outgoing],
        *,
        answered: Callable[[Outgoing, StoreOutcome], None],
        associations: int = 1,
        cancelled: Callable[[], bool],
    ) -> None:
        for instance in instances:
            if cancelled():
                return
            try:
                data = bytes(instance.load())
            except DicomToolsError as exc:
                answered(instance, StoreOutcome(stored=False, problem=exc.sentence))
                continue
            if instance.sop_instance_uid in self.refused:
                answered(
                    instance, StoreOutcome(stored=False, statuses=(0xA900,), problem="refused")
                )
                continue
            self._encoded[instance.sop_instance_uid] = data
            self.stored[instance.sop_instance_uid] = data
            syntax = instance.transfer_syntax_uid
            answered(instance, StoreOutcome(True, (0,), "", "", syntax, len(data)))

    def _send(
        self,
        request: TransferRequest,
        receive: Callable[[Received], int],
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
        classes: set[str] | None = None,
    ) -> TransferOutcome:
        self.requests.append(request)
        number = len(self.requests)
        if number in self.script.unavailable:
            raise PeerUnavailable("the association was aborted")
        if number in self.script.statuses:
            return TransferOutcome(self.script.statuses[number])
        chosen = [ds for ds in self._datasets if _asked(request, ds)]
        failed: list[str] = []
        for done, ds in enumerate(chosen, 1):
            if cancelled():
                return TransferOutcome(0xFE00)
            uid = str(ds.SOPInstanceUID)
            unoffered = classes is not None and ds.SOPClassUID not in classes
            if unoffered and self.script.skips_what_is_not_offered:
                continue
            if uid in self.script.never or unoffered:
                failed.append(uid)
                continue
            self.sent.append(uid)
            if receive(self.received(ds)) != 0:
                failed.append(uid)
            progress(SubOperations(len(chosen) - done, done, len(failed), 0))
        status = 0xB000 if failed else 0x0000
        return TransferOutcome(status, SubOperations(0, len(chosen), len(failed), 0), tuple(failed))

    def received(self, ds: Dataset) -> Received:
        uid = str(ds.SOPInstanceUID)
        if uid not in self._encoded:
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            write_dataset(buffer, ds)
            self._encoded[uid] = buffer.getvalue()
        return Received(
            str(ds.SOPClassUID), uid, str(ExplicitVRLittleEndian), self._encoded[uid], "MEMORY"
        )


def part10(received: Received) -> bytes:
    """The whole file of a received instance."""
    from dicomcore.landing import prepare

    buffer = BytesIO()
    for part in prepare(received).parts:
        buffer.write(part)
    return buffer.getvalue()


def _matches(ds: Dataset, key: str, value: str) -> bool:
    if not value or "/" in key:
        return True
    have = str(ds.get(key, ""))
    return fnmatch.fnmatchcase(have, value) if set("*?") & set(value) else have == value


def _asked(request: TransferRequest, ds: Dataset) -> bool:
    if ds.StudyInstanceUID != request.study_instance_uid:
        return False
    if request.level is QueryLevel.STUDY:
        return True
    if ds.SeriesInstanceUID != request.series_instance_uid:
        return False
    return request.level is QueryLevel.SERIES or ds.SOPInstanceUID in request.sop_instance_uids
