"""Packs the attributes of series that have become quiet."""

from __future__ import annotations

import asyncio

import structlog

from dicomcore.errors import DicomToolsError
from dicomcore.ports import IndexDb
from indexer.metrics import Metrics

log = structlog.get_logger(__name__)


class Packer:
    """Looks for quiet series now and then, and for what an upgrade has left to do. Every replica may: the second one to write gives way."""

    def __init__(self, index: IndexDb, metrics: Metrics, *, every_s: float, quiet_s: float) -> None:
        self._index = index
        self._metrics = metrics
        self._every_s = every_s
        self._quiet_s = quiet_s

    async def run(self) -> None:
        """Pack what is due every `every_s`, until cancelled."""
        while True:
            try:
                while await self._index.catch_up():
                    log.debug("index_caught_up_some")
                while packed := await self._index.pack(quiet_s=self._quiet_s):
                    self._metrics.packed.inc(packed)
                    log.info("series_packed", series=packed)
            except DicomToolsError as exc:
                # Away, or damaged: searches go on as they can, and the next round tries again.
                log.warning("series_not_packed", problem=exc.sentence)
            await asyncio.sleep(self._every_s)
