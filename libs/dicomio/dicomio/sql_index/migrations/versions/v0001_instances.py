"""Patients, studies, series, versions of instances, and references between them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As of this revision: a migration does not import the schema, which goes on changing.
_Characters = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "patient",
        sa.Column("id", _Identity, primary_key=True),
        sa.Column("patient_id", _Characters, nullable=False, unique=True),
        sa.Column("patient_name", _Characters, nullable=False),
    )
    op.create_table(
        "study",
        sa.Column("id", _Identity, primary_key=True),
        sa.Column("patient", _Identity, sa.ForeignKey("patient.id"), nullable=False),
        sa.Column("study_uid", _Characters, nullable=False),
        sa.UniqueConstraint("patient", "study_uid", name="study_of_patient"),
    )
    op.create_index("study_by_uid", "study", ["study_uid"])
    op.create_table(
        "series",
        sa.Column("id", _Identity, primary_key=True),
        sa.Column("study", _Identity, sa.ForeignKey("study.id"), nullable=False),
        sa.Column("series_uid", _Characters, nullable=False),
        sa.UniqueConstraint("study", "series_uid", name="series_of_study"),
    )
    op.create_index("series_by_uid", "series", ["series_uid"])
    _create_instance()
    op.create_table(
        "reference",
        sa.Column("src", _Identity, sa.ForeignKey("instance.id"), primary_key=True),
        sa.Column("relation", _Characters, primary_key=True),
        sa.Column("level", _Characters, primary_key=True),
        sa.Column("dst_uid", _Characters, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("reference_by_target", "reference", ["dst_uid"])
    op.create_table(
        "conflict",
        sa.Column("sop_uid", _Characters, primary_key=True),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop every table: the index is rebuilt from the object store."""
    for table in ("conflict", "reference", "instance", "series", "study", "patient"):
        op.drop_table(table)


def _create_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", _Identity, primary_key=True),
        sa.Column("series", _Identity, sa.ForeignKey("series.id"), nullable=True),
        sa.Column("sop_uid", _Characters, nullable=False),
        sa.Column("object_key", _Characters, nullable=False, unique=True),
        sa.Column("sha256", _Characters, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("stored_at_us", sa.BigInteger, nullable=False),
        sa.Column("sop_class_uid", _Characters, nullable=False),
        sa.Column("modality", _Characters, nullable=False),
        sa.Column("header", sa.LargeBinary, nullable=True),
        sa.Column("problem", _Characters, nullable=False),
    )
    op.create_index("instance_by_uid", "instance", ["sop_uid"])
    op.create_index("instance_of_series", "instance", ["series", "sop_uid"])
    unreadable = sa.text("problem <> ''")
    op.create_index(
        "instance_unreadable",
        "instance",
        ["id"],
        sqlite_where=unreadable,
        postgresql_where=unreadable,
    )
