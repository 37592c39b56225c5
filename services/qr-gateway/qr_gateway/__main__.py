"""qr-gateway as a process: settings from the environment, until a signal says stop."""

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
from qr_gateway.service import running
from qr_gateway.settings import Settings

log = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 if it could not start."""
    try:
        settings, s3, nats, audit, tracing = load(
            Settings, S3Settings, NatsSettings, AuditSettings, TracingSettings
        )
    except DicomToolsError as exc:
        sys.exit(f"qr-gateway: {exc.sentence}")
    logs.configure("qr-gateway", settings.log_level, json=True)
    try:
        service = running(
            settings,
            s3.options(),
            nats.options("qr-gateway"),
            audit=audit.options(),
            tracing=tracing.options(),
        )
        asyncio.run(_run(service))
    except DicomToolsError as exc:
        # the operator's mistake, not ours: a sentence, no traceback
        log.error("service_could_not_start", problem=exc.sentence, **exc.facts)  # noqa: TRY400
        sys.exit(1)


async def _run(starting: AbstractAsyncContextManager[str]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task instead
            loop.add_signal_handler(number, stopping.set)
    async with starting as url:
        log.info("service_started", http_url=url)
        await stopping.wait()
        log.info("service_stopping")


if __name__ == "__main__":
    main()
