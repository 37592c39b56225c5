"""Tables of the index, for SQLite and PostgreSQL alike.

The hierarchy hangs below the patient, because real archives hold one study under two patient IDs.
A version that could not be read hangs nowhere: its UIDs are in its object key.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Byte order of UTF-8 is code point order, which is Python's: a cursor made here fits both databases.
Characters = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts rows by itself only where the type is spelled INTEGER.
Identity = BigInteger().with_variant(Integer(), "sqlite")

patient = Table(
    "patient",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("patient_id", Characters, nullable=False, unique=True),
    Column("patient_name", Characters, nullable=False),
)

study = Table(
    "study",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("patient", Identity, ForeignKey("patient.id"), nullable=False),
    Column("study_uid", Characters, nullable=False),
    UniqueConstraint("patient", "study_uid", name="study_of_patient"),
    Index("study_by_uid", "study_uid"),
)

series = Table(
    "series",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("study", Identity, ForeignKey("study.id"), nullable=False),
    Column("series_uid", Characters, nullable=False),
    UniqueConstraint("study", "series_uid", name="series_of_study"),
    Index("series_by_uid", "series_uid"),
)

instance = Table(
    "instance",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("series", Identity, ForeignKey("series.id"), nullable=True),
    Column("sop_uid", Characters, nullable=False),
    Column("object_key", Characters, nullable=False, unique=True),
    Column("sha256", Characters, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at_us", BigInteger, nullable=False),  # microseconds since 1970, UTC
    Column("sop_class_uid", Characters, nullable=False),
    Column("modality", Characters, nullable=False),
    Column("header", LargeBinary, nullable=True),  # JSON, zlib
    Column("problem", Characters, nullable=False),  # empty, if and only if there is a header
    Index("instance_by_uid", "sop_uid"),
    Index("instance_of_series", "series", "sop_uid"),
)
Index(
    "instance_unreadable",
    instance.c.id,
    sqlite_where=instance.c.problem != "",
    postgresql_where=instance.c.problem != "",
)

reference = Table(
    "reference",
    metadata,
    Column("src", Identity, ForeignKey("instance.id"), primary_key=True),
    Column("relation", Characters, primary_key=True),
    Column("level", Characters, primary_key=True),
    Column("dst_uid", Characters, primary_key=True),
    Index("reference_by_target", "dst_uid"),
    sqlite_with_rowid=False,
)

conflict = Table(
    "conflict",
    metadata,
    Column("sop_uid", Characters, primary_key=True),
    sqlite_with_rowid=False,
)
"""SOP Instance UIDs with more than one version: counted without a scan of every instance."""

CHILDREN_FIRST = (reference, conflict, instance, series, study, patient)
