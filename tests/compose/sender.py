"""A DICOM system that sends to the stack, again and again, until each instance was answered Success."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from tests.compose.engine import CommandFailed
from tests.compose.stack import DEADLINE_S, SENDER, STORE_AE_TITLE

SUCCESS = 0x0000
_META = FileMetaDataset()
_META.TransferSyntaxUID = ExplicitVRLittleEndian


class Sender:
    """One thread; `acknowledged` has what it may delete, `refused` counts what it had to send again."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        address: Callable[[], tuple[str, int]],
        *,
        pause_after: int | None = None,
    ) -> None:
        self._left = list(datasets)
        self._address = address
        self._pause_after = pause_after
        self.paused, self.go_on = threading.Event(), threading.Event()
        """After `pause_after` instances it waits, with its association open, until it may go on."""
        self.acknowledged: set[str] = set()
        self.again = 0
        self._thread = threading.Thread(target=self._send_all, name="sender")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def finish(self) -> None:
        """Wait until everything is acknowledged."""
        self._thread.join(DEADLINE_S)
        assert not self._left, f"{len(self._left)} instances were never answered Success"

    def _send_all(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self._left and time.monotonic() < deadline:
            if not self._send_some():
                self.again += 1
                time.sleep(0.5)  # as a modality does, before it tries again

    def _send_some(self) -> bool:
        """Send over one association, until one instance is not answered Success."""
        entity = AE(SENDER)
        for sop_class in sorted({dataset.SOPClassUID for dataset in self._left}):
            entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
        try:
            host, port = self._address()
        except (CommandFailed, ValueError, IndexError):
            return False  # the container is away, and so is its port
        association = entity.associate(host, port, ae_title=STORE_AE_TITLE)
        if not association.is_established:
            return False
        try:
            while self._left:
                dataset = self._left[0]
                dataset.file_meta = _META
                answer = association.send_c_store(dataset)
                if answer.get("Status") != SUCCESS:
                    return False
                self.acknowledged.add(str(dataset.SOPInstanceUID))
                del self._left[0]
                if len(self.acknowledged) == self._pause_after:
                    self.paused.set()
                    self.go_on.wait(DEADLINE_S)
        except (RuntimeError, ValueError):
            return False  # the association went away
        finally:
            if association.is_established:
                association.release()
            else:
                association.join(10)
        return True
