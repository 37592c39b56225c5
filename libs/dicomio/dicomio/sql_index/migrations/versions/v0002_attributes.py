"""Attributes of every instance: segments, paths, values, postings; leaner rows of instances.

What revision 0001 holds lacks the attributes, which only the objects have: it is dropped, and the
indexer rebuilds it from the object store (`reindex`).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Characters = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the hierarchy and the instances anew, and the tables of the attributes."""
    for table in ("conflict", "reference", "instance", "series", "study", "patient"):
        op.drop_table(table)
    _hierarchy()
    _instance()
    _segment()
    _values()


def downgrade() -> None:
    """Not possible: the index is rebuilt from the object store."""
    raise NotImplementedError


def _id() -> sa.Column[int]:
    return sa.Column("id", _Identity, primary_key=True)


def _text(name: str, *, nullable: bool = False, unique: bool | None = None) -> sa.Column[str]:
    return sa.Column(name, _Characters, nullable=nullable, unique=unique)


def _part(name: str) -> sa.Column[int]:
    return sa.Column(name, _Identity, primary_key=True, autoincrement=False)


def _number(name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _hierarchy() -> None:
    op.create_table("patient", _id(), _text("patient_id", unique=True), _text("patient_name"))
    op.create_table(
        "study",
        _id(),
        sa.Column("patient", _Identity, sa.ForeignKey("patient.id"), nullable=False),
        _text("study_uid"),
        _text("study_date"),
        _text("description"),
        sa.UniqueConstraint("patient", "study_uid", name="study_of_patient"),
    )
    op.create_index("study_by_uid", "study", ["study_uid"])
    op.create_table(
        "series",
        _id(),
        sa.Column("study", _Identity, sa.ForeignKey("study.id"), nullable=False),
        _text("series_uid"),
        _text("modality"),
        _text("description"),
        sa.UniqueConstraint("study", "series_uid", name="series_of_study"),
    )
    op.create_index("series_by_uid", "series", ["series_uid"])


def _instance() -> None:
    op.create_table(
        "instance",
        _id(),
        sa.Column("series", _Identity, sa.ForeignKey("series.id"), nullable=True),
        _text("sop_uid"),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        _number("size_bytes"),
        _number("stored_at_us"),
        _text("sop_class_uid"),
        _text("object_key", nullable=True),
        _text("problem"),
    )
    op.create_index("instance_by_uid", "instance", ["sop_uid"])
    op.create_index("instance_of_series", "instance", ["series"])
    _partial("instance_unreadable", "instance", ["id"], "problem <> ''")
    op.create_table(
        "reference",
        sa.Column("src", _Identity, sa.ForeignKey("instance.id"), primary_key=True),
        *(sa.Column(n, _Characters, primary_key=True) for n in ("relation", "level", "dst_uid")),
        sqlite_with_rowid=False,
    )
    op.create_index("reference_by_target", "reference", ["dst_uid"])
    op.create_table(
        "conflict",
        sa.Column("sop_uid", _Characters, primary_key=True),
        sqlite_with_rowid=False,
    )


def _segment() -> None:
    op.create_table(
        "segment",
        _id(),
        sa.Column("series", _Identity, sa.ForeignKey("series.id"), nullable=False),
        _number("packed", sa.SmallInteger),
        _number("count", sa.Integer),
        _number("written_at_us"),
        *(sa.Column(n, sa.LargeBinary, nullable=False) for n in ("ids", "headers", "body")),
    )
    op.create_index("segment_of_series", "segment", ["series", "packed"])
    _partial("segment_pending", "segment", ["series", "written_at_us"], "packed = 0")


def _values() -> None:
    op.create_table("path", _id(), _text("text", unique=True), _number("tail"))
    op.create_index("path_by_tail", "path", ["tail"])
    op.create_table(
        "value",
        _id(),
        sa.Column("path", _Identity, nullable=False),
        _text("text"),
        sa.Column("number", sa.Double, nullable=True),
    )
    op.create_index("value_by_text", "value", ["path", "text"], unique=True)
    _partial("value_by_number", "value", ["path", "number"], "number IS NOT NULL")
    op.create_table(
        "posting",
        *(_part("value"), _part("series"), _number("count", sa.Integer)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "occurrence",
        *(_part("path"), _part("series"), _number("count", sa.Integer)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "span",
        *(_part("path"), _part("series"), _text("low"), _text("high")),
        *(sa.Column(name, sa.Double, nullable=True) for name in ("low_number", "high_number")),
        sqlite_with_rowid=False,
    )
