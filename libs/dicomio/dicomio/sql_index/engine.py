"""Connections to SQLite or PostgreSQL, the write lock, and the schema brought up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dicomcore.errors import InvalidRequest

_MIGRATIONS = Path(__file__).parent / "migrations"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_LOCK = 0x4449434F4D  # "DICOM": one number for whoever writes, over all replicas
_BUSY_TIMEOUT_S = 30
_STATEMENT_TIMEOUT_S = 120


def make_engine(address: str | Path) -> AsyncEngine:
    """Return an engine that has not connected yet.

    Parameters
    ----------
    address
        A path: SQLite in that file. Otherwise `sqlite:///relative`, `sqlite:////absolute` or
        `postgresql://user:password@host/database`; a driver in the scheme is replaced by ours.

    Raises
    ------
    InvalidRequest
        Another database, or not an address. The facts do not repeat it: it may hold a password.
    """
    if isinstance(address, Path):
        return _sqlite(URL.create(_DRIVERS["sqlite"], database=str(address)))
    try:
        url = make_url(address)
    except ArgumentError as exc:
        raise InvalidRequest("not the address of a database") from exc
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    if driver is None:
        raise InvalidRequest("the index is kept in SQLite or PostgreSQL", scheme=url.drivername)
    url = url.set(drivername=driver)
    # hide_parameters: values are patient data, and errors are printed.
    if driver.startswith("sqlite"):
        return _sqlite(url)
    return create_async_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=5,
        connect_args={
            "timeout": 10,
            "command_timeout": _STATEMENT_TIMEOUT_S,
            "server_settings": {
                "application_name": "dicomtools-indexer",
                "lock_timeout": f"{_BUSY_TIMEOUT_S}s",
                # A writer that lost its network must not hold the lock until TCP notices.
                "idle_in_transaction_session_timeout": f"{_BUSY_TIMEOUT_S}s",
            },
        },
    )


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Enter a transaction that nobody else writes beside; committed at the end, or nothing is.

    One writer at a time, over all processes, makes two things simple that are hard otherwise: two
    replicas that receive two versions of one instance at once both see a first and a second one,
    and no two batches wait for each other's rows in a circle. Headers are read outside of it.
    """
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.execution_options(dicomtools_immediate=True)
        async with connection.begin():
            if engine.dialect.name == "postgresql":
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield connection


def migrate(connection: Connection) -> None:
    """Bring the schema up to date; to be run inside `writing`, so that replicas take turns."""
    config = Config()
    # Alembic's configuration interpolates: a percent sign in the path has to be doubled.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _sqlite(url: URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise InvalidRequest("the index needs a file: each connection has a memory of its own")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url, hide_parameters=True, pool_size=5, connect_args={"timeout": _BUSY_TIMEOUT_S}
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, _record: Any) -> None:
    # The driver would open a transaction at the first write only; we say when (see `_begin`).
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        # FULL: what was acknowledged to the bus must outlive a loss of power. One fsync a batch.
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-32768",  # KiB
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock before the first read: a reader that turns into a writer
    # would fail at once when another process wrote in between, whatever the busy timeout.
    immediate = connection.get_execution_options().get("dicomtools_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
