"""What is not packed yet is found without a look at all that is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dicomio.sql_index import SqlIndex
from dicomio.sql_index.segments import PENDING


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT DISTINCT series FROM segment WHERE {} AND series >= 7 AND (TRUE) ORDER BY series",
        "SELECT id FROM segment WHERE {} AND (TRUE)",
        "SELECT id FROM segment WHERE {} AND (series IN (SELECT id FROM series WHERE modality = ?))",
    ],
)
async def test_pending_segments_have_an_index_of_their_own(tmp_path: Path, statement: str) -> None:
    index = await SqlIndex.open(tmp_path / "index.db")
    await index.close()
    database = sqlite3.connect(tmp_path / "index.db")

    values = ("CT",) * statement.count("?")
    plan = database.execute(f"EXPLAIN QUERY PLAN {statement.format(PENDING)}", values).fetchall()
    database.close()

    assert any("segment_pending" in row[3] for row in plan)
