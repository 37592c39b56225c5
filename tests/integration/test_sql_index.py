"""The index on its databases: schema as declared, outages, addresses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from dicomcore.errors import IndexUnavailable, InvalidRequest
from dicomio.sql_index import SqlIndex
from dicomio.sql_index.engine import open_database
from dicomio.sql_index.schema import metadata
from tests.contract.test_index_db import version
from tests.servers.postgres import PostgresServer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/index.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


async def test_migrations_make_what_the_schema_declares(address: str) -> None:
    index = await SqlIndex.open(address)
    await index.close()
    database = open_database(address)

    differences = await database.read(_differences)
    await database.close()

    assert differences == []


@pytest.mark.server
@pytest.mark.faults
async def test_a_server_that_went_away_is_unavailable_until_it_is_back(
    own_postgres_server: PostgresServer,
) -> None:
    index = await SqlIndex.open(own_postgres_server.create_database())
    await index.upsert([version("1.2.1")])

    own_postgres_server.stop()
    with pytest.raises(IndexUnavailable):
        await index.upsert([version("1.2.2")])
    with pytest.raises(IndexUnavailable):
        await index.counts()
    assert not await index.healthy()

    own_postgres_server.start()
    await index.upsert([version("1.2.2")])
    assert (await index.counts()).instances == 2
    await index.close()


@pytest.mark.server
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable):
        await SqlIndex.open(f"postgresql://postgres@/x?host={tmp_path}")


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(IndexUnavailable):
        await SqlIndex.open(f"sqlite:///{tmp_path}/index.db")


async def test_a_path_may_hold_what_an_address_cannot(tmp_path: Path) -> None:
    path = tmp_path / "made by it" / "a?b=c#d%20é.db"

    index = await SqlIndex.open(path)
    await index.close()

    assert path.exists()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "mysql://host/x", "sqlite://", "sqlite:///:memory:"]
)
async def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidRequest):
        await SqlIndex.open(address)


async def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        await SqlIndex.open("mysql://user:secret@host/x")

    assert "secret" not in str(refused.value)


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))
