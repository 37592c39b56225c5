"""store-scp as a process: settings from the environment, until a signal says stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AbstractAsyncContextManager, suppress

import structlog

from dicomcore.errors import DicomToolsError
from dicomio import logs
from dicomio.service_settings import (
    AuditSettings,
    NatsSettings,
    S3Settings,
    TracingSettings,
    load,
)
from store_scp.service import Running, running
from store_scp.settings import Settings
from store_scp.workers import supervise

log = structlog.get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 if it could not start."""
    try:
        settings, s3, nats, audit, tracing = load(
            Settings, S3Settings, NatsSettings, AuditSettings, TracingSettings
        )
    except DicomToolsError as exc:
        sys.exit(f"store-scp: {exc.sentence}")
    logs.configure("store-scp", settings.log_level, json=True)
    try:
        if settings.processes > 1:
            supervise(settings)
            return
        service = running(
            settings,
            s3.options(),
            nats.options("store-scp"),
            audit=audit.options(),
            tracing=tracing.options(),
        )
        asyncio.run(_run(service, settings.parent_descriptor))
    except DicomToolsError as exc:
        # the operator's mistake, not ours: a sentence, no traceback
        log.error("service_could_not_start", reason=exc.sentence, **exc.facts)  # noqa: TRY400
        sys.exit(1)


async def _run(starting: AbstractAsyncContextManager[Running], parent: int | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    if parent is not None:  # nothing is ever written to it: it can be read when it is closed
        loop.add_reader(parent, stopping.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task instead
            loop.add_signal_handler(number, stopping.set)
    async with starting as service:
        log.info("service_started", dicom_port=service.dicom_port, http_url=service.http_url)
        await stopping.wait()
        log.info("service_stopping")
        if parent is not None:
            loop.remove_reader(parent)


if __name__ == "__main__":
    main()
