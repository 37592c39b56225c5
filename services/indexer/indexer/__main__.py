"""The indexer as a process: S3, NATS, and PostgreSQL or SQLite, wired together."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import structlog

from dicomcore.errors import DicomToolsError, IndexUnavailable
from dicomio import logs
from dicomio.audit import AuditOptions
from dicomio.bridge import Bridge
from dicomio.http import make_app, serve
from dicomio.jobs.audit import no_audit
from dicomio.metrics import new_registry
from dicomio.nats_audit import nats_trail
from dicomio.nats_bus import NatsBus
from dicomio.s3_store import S3Store
from dicomio.service_settings import (
    AuditSettings,
    NatsSettings,
    S3Settings,
    TracingSettings,
    load,
)
from dicomio.sql_index import SqlIndex
from dicomio.tracing import TracingOptions
from dicomio.tracing_setup import make_tracer
from indexer.app import Indexer
from indexer.exporting.service import Exporter
from indexer.exporting.wiring import Surroundings, exporter_on
from indexer.reindex import reindex
from indexer.settings import Settings

log = structlog.get_logger(__name__)

_RETRY_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM, or rebuild the index once; return the exit code."""
    parser = argparse.ArgumentParser(prog="indexer", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="consume and answer until SIGTERM (the default)")
    rebuild = commands.add_parser("reindex", help="bring every object of the bucket into the index")
    rebuild.add_argument("--clear", action="store_true", help="forget everything first")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "reindex":
            settings, s3 = load(Settings, S3Settings)
            logs.configure("indexer", settings.log_level, json=True)
            asyncio.run(_reindex(settings, s3, clear=chosen.clear))
        else:
            settings, s3, nats, audit, tracing = load(
                Settings, S3Settings, NatsSettings, AuditSettings, TracingSettings
            )
            logs.configure("indexer", settings.log_level, json=True)
            asyncio.run(_serve(settings, s3, nats, audit.options(), tracing.options()))
    except DicomToolsError as exc:
        sys.stderr.write(f"indexer: {exc}\n")
        return 1
    return 0


async def _serve(
    settings: Settings,
    s3: S3Settings,
    nats: NatsSettings,
    audit: AuditOptions,
    tracing: TracingOptions,
) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tracer = make_tracer(tracing, service="indexer", version=_version())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        store = S3Store(s3.options())
        stack.callback(store.close)
        index = await _opened(settings, stopping)
        if index is None:
            return
        stack.push_async_callback(index.close)
        bus = await NatsBus.open(nats.options("indexer"), required=False)
        stack.push_async_callback(bus.close)
        bridge = Bridge(asyncio.get_running_loop())
        stack.push_async_callback(bridge.close)
        registry = new_registry("indexer", _version())
        indexer = Indexer(
            store=store,
            bus=bus,
            index=index,
            bridge=bridge,
            registry=registry,
            options=replace(settings.indexer(), tracer=tracer),
        )
        trail = await stack.enter_async_context(
            nats_trail(nats.options("indexer"), audit, observer="indexer", registry=registry)
        )
        exporter = await stack.enter_async_context(
            exporter_on(
                Surroundings(
                    store=store,
                    s3=s3.options(),
                    nats=nats.options("indexer"),
                    bus=bus,
                    index=index,
                    bridge=bridge,
                    registry=registry,
                ),
                settings,
                replace(
                    settings.export_worker(),
                    record=no_audit if trail is None else trail.record,
                    tracer=tracer,
                ),
            )
        )
        app = make_app(
            "DicomTools indexer",
            _version(),
            (*indexer.routes(), *exporter.routes()),
            metrics_registry=registry,
            checks={**indexer.checks(), **exporter.checks()},
            access=settings.access(),
            audit=None if trail is None else trail.http,
            tracer=tracer,
        )
        server = await serve(app, settings.http_host, settings.http_port)
        stack.push_async_callback(server.stop)
        await _run(indexer, exporter, stopping)


async def _run(indexer: Indexer, exporter: Exporter, stopping: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(indexer.run())
        exporting = group.create_task(exporter.run())
        waiting = group.create_task(stopping.wait())
        either = (running, exporting, waiting)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        log.info("indexer_stopping")
        waiting.cancel()
        exporter.stop()
        indexer.stop()


async def _opened(settings: Settings, stopping: asyncio.Event) -> SqlIndex | None:
    """Return the index as soon as its database answers; None when told to stop before."""
    while not stopping.is_set():
        try:
            return await SqlIndex.open(settings.database_url.get_secret_value())
        except IndexUnavailable as exc:
            log.warning("index_unavailable", problem=exc.sentence, retry_s=_RETRY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S):
                    await stopping.wait()
    return None


async def _reindex(settings: Settings, s3: S3Settings, *, clear: bool) -> None:
    store = S3Store(s3.options())
    try:
        index = await SqlIndex.open(settings.database_url.get_secret_value())
        try:
            done = await reindex(store, index, clear=clear)
        finally:
            await index.close()
    finally:
        store.close()
    log.info(
        "reindex_ended",
        objects_indexed=done.indexed,
        objects_unreadable=done.unreadable,
        objects_skipped=done.skipped,
    )


def _version() -> str:
    try:
        return version("dicomtools")
    except PackageNotFoundError:
        return "0"


if __name__ == "__main__":
    sys.exit(main())
