"""Connections to SQLite or PostgreSQL, the write lock, and the schema brought up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from dicomcore.errors import InvalidRequest

T = TypeVar("T")
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x4449434F4D  # "DICOM": one number for whoever writes, over all replicas
_BUSY_TIMEOUT_S = 30
_STATEMENT_TIMEOUT_S = 120
_TLS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword"})


class Database(Protocol):
    """One database: functions on a connection, off the loop or on it, as its driver wants it."""

    async def read(self, ask: Callable[[Connection], T]) -> T:
        """Return what `ask` returns, all of it from one state of the database."""
        ...

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run `change` in a transaction that nobody else writes beside; all of it, or nothing.

        One writer at a time, over all processes, makes two things simple that are hard otherwise:
        two replicas that receive two versions of one instance at once both see a first and a second
        one, and no two batches wait for each other's rows in a circle. Headers are read outside.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def open_database(address: str | Path) -> Database:
    """Return a database that has not been connected to yet.

    Parameters
    ----------
    address
        A path: SQLite in that file. Otherwise `sqlite:///relative`, `sqlite:////absolute` or
        `postgresql://user:password@host/database`, with libpq's `?sslmode=verify-full&sslrootcert=…`
        and the like; a driver in the scheme is replaced by ours.

    Raises
    ------
    InvalidRequest
        Another database, or not an address. The facts do not repeat it: it may hold a password.
    """
    if isinstance(address, Path):
        return _Sqlite(URL.create("sqlite+pysqlite", database=str(address)))
    try:
        url = make_url(address)
    except ArgumentError as exc:
        raise InvalidRequest("not the address of a database") from exc
    scheme = url.drivername.partition("+")[0]
    if scheme == "sqlite":
        return _Sqlite(url.set(drivername="sqlite+pysqlite"))
    if scheme in ("postgresql", "postgres"):
        return _Postgresql(url.set(drivername="postgresql+asyncpg"))
    raise InvalidRequest("the index is kept in SQLite or PostgreSQL", scheme=url.drivername)


class _Sqlite:
    """Transactions run in threads: statement by statement, a thread would be changed for each."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise InvalidRequest("the index needs a file: each connection has a memory of its own")
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        # hide_parameters: values are patient data, and errors are printed.
        self._engine = create_engine(
            url,
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=5,
            connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        # In front of the database's own lock: those who wait here hold no connection.
        self._writer = asyncio.Lock()

    async def read(self, ask: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._run, ask, immediate=False)

    async def write(self, change: Callable[[Connection], T]) -> T:
        async with self._writer:
            return await asyncio.to_thread(self._run, change, immediate=True)

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    def _run(self, work: Callable[[Connection], T], *, immediate: bool) -> T:
        with self._engine.connect() as connection:
            connection.execution_options(dicomtools_immediate=immediate)
            with connection.begin():
                return work(connection)


class _Postgresql:
    """Statements run on the loop; SQLAlchemy hides that from those who write them."""

    def __init__(self, url: URL) -> None:
        url, tls = _tls_apart(url)
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=5,
            connect_args={
                **tls,
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
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer = asyncio.Lock()

    async def read(self, ask: Callable[[Connection], T]) -> T:
        async with self._reading.connect() as connection:
            return await connection.run_sync(ask)

    async def write(self, change: Callable[[Connection], T]) -> T:
        async with self._writer, self._engine.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            return await connection.run_sync(change)

    async def close(self) -> None:
        await self._engine.dispose()


def _tls_apart(url: URL) -> tuple[URL, dict[str, str]]:
    """Return an address without its TLS parameters, and these as the driver knows them.

    The driver knows libpq's names in an address only; SQLAlchemy hands it what an address says one by one.
    """
    given = {name: value for name, value in url.query.items() if name in _TLS}
    if not given:
        return url, {}
    return url.difference_update_query(given), {"dsn": f"postgresql://?{urlencode(given)}"}


def migrate(connection: Connection) -> None:
    """Bring the schema up to date; to be run inside `write`, so that replicas take turns."""
    config = Config()
    # Alembic's configuration interpolates: a percent sign in the path has to be doubled.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
        "cache_size=-16384",  # KiB, for each of the pool's connections
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock before the first read: a reader that turns into a writer
    # would fail at once when another process wrote in between, whatever the busy timeout.
    immediate = connection.get_execution_options().get("dicomtools_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
