"""Tables of the index, for SQLite and PostgreSQL alike.

The hierarchy hangs below the patient, because real archives hold one study under two patient IDs.
A version that could not be read hangs nowhere: its UIDs are in its object key. Headers and attributes
of what could be read are in the segments of its series.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
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
    # of several ones the first in code point order, as everywhere; empty if unknown
    Column("birth_date", Characters, nullable=False, server_default=""),
    Column("sex", Characters, nullable=False, server_default=""),
    Column("folded_id", Characters, nullable=False, server_default=""),
    Column("folded_name", Characters, nullable=False, server_default=""),
    Column("latest_study_date", Characters, nullable=False, server_default=""),
    Index("patient_by_name", "folded_name", "patient_id"),
    Index("patient_by_birth_date", "birth_date", "patient_id"),
    Index("patient_by_study_date", "latest_study_date", "patient_id"),
)

study = Table(
    "study",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("patient", Identity, ForeignKey("patient.id"), nullable=False),
    Column("study_uid", Characters, nullable=False),
    Column("study_date", Characters, nullable=False),
    Column("description", Characters, nullable=False),
    UniqueConstraint("patient", "study_uid", name="study_of_patient"),
    Index("study_by_uid", "study_uid"),
)

series = Table(
    "series",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("study", Identity, ForeignKey("study.id"), nullable=False),
    Column("series_uid", Characters, nullable=False),
    Column("modality", Characters, nullable=False),
    Column("description", Characters, nullable=False),
    UniqueConstraint("study", "series_uid", name="series_of_study"),
    Index("series_by_uid", "series_uid"),
)

instance = Table(
    "instance",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("series", Identity, ForeignKey("series.id"), nullable=True),
    Column("sop_uid", Characters, nullable=False),
    # the whole digest, or the first eight bytes where only the key is known
    Column("sha256", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at_us", BigInteger, nullable=False),  # microseconds since 1970, UTC
    Column("sop_class_uid", Characters, nullable=False),  # empty: the header's
    Column("object_key", Characters, nullable=True),  # null: it follows from the hierarchy
    Column("problem", Characters, nullable=False),  # empty, if and only if there is a header
    Index("instance_by_uid", "sop_uid"),
    Index("instance_of_series", "series"),
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

# ── attributes ──────────────────────────────────────────────────────────────────────────────

segment = Table(
    "segment",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("series", Identity, ForeignKey("series.id"), nullable=False),
    Column("packed", SmallInteger, nullable=False),  # 1: what it holds is in the postings
    Column("count", Integer, nullable=False),
    Column("written_at_us", BigInteger, nullable=False),
    Column("ids", LargeBinary, nullable=False),  # of its instances, in the order of the columns
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("segment_of_series", "series", "packed"),
)
"""Headers and attributes of instances of one series: one packed segment, and those that came since."""
Index(
    "segment_pending",
    segment.c.series,
    segment.c.written_at_us,
    sqlite_where=segment.c.packed == 0,
    postgresql_where=segment.c.packed == 0,
)

path = Table(
    "path",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("text", Characters, nullable=False, unique=True),
    Column("tail", BigInteger, nullable=False),
    Index("path_by_tail", "tail"),
)

value = Table(
    "value",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("path", Identity, nullable=False),
    Column("text", Characters, nullable=False),
    Column("number", Double, nullable=True),
    Index("value_by_text", "path", "text", unique=True),
)
Index(
    "value_by_number",
    value.c.path,
    value.c.number,
    sqlite_where=value.c.number.is_not(None),
    postgresql_where=value.c.number.is_not(None),
)

posting = Table(
    "posting",
    metadata,
    Column("value", Identity, primary_key=True, autoincrement=False),
    Column("series", Identity, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Instances of a packed segment that have a value. No foreign keys: millions of rows, one writer."""

occurrence = Table(
    "occurrence",
    metadata,
    Column("path", Identity, primary_key=True, autoincrement=False),
    Column("series", Identity, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Instances of a packed segment that have an attribute."""

span = Table(
    "span",
    metadata,
    Column("path", Identity, primary_key=True, autoincrement=False),
    Column("series", Identity, primary_key=True, autoincrement=False),
    Column("low", Characters, nullable=False),
    Column("high", Characters, nullable=False),
    Column("low_number", Double, nullable=True),
    Column("high_number", Double, nullable=True),
    sqlite_with_rowid=False,
)
"""Between what an attribute of a packed segment varies that has too many values to be posted."""

# ── plans ───────────────────────────────────────────────────────────────────────────────────

_SORTED_TEXTS = (
    *("label", "name", "patient_id", "patient_name", "plan_date", "approved", "approval"),
    *("intent", "machine", "birth_date"),
)
_SORTED_NUMBERS = (
    *("total_dose", "dose_per_fraction", "fractions", "treated_fractions", "beams"),
    "control_points",
)

plan = Table(
    "plan",
    metadata,
    Column("id", Identity, ForeignKey("instance.id"), primary_key=True),
    Column("patient", Identity, ForeignKey("patient.id"), nullable=False),
    Column("tie", Characters, nullable=False, unique=True),  # UID and digest: one for each version
    Column("sop_uid", Characters, nullable=False),
    # what plans are sorted by: texts folded, empty if unknown; numbers -1 if unknown
    *(Column(name, Characters, nullable=False) for name in _SORTED_TEXTS),
    *(Column(name, Double, nullable=False) for name in _SORTED_NUMBERS),
    Column("max_control_points", Double, nullable=False),
    Index("plan_of_patient", "patient"),
    Index("plan_by_max_control_points", "max_control_points"),
    Index("plan_by_uid", "sop_uid"),
    *(Index(f"plan_by_{name}", name, "tie") for name in (*_SORTED_TEXTS, *_SORTED_NUMBERS)),
)
"""Readable versions of plans, and what they are sorted by: short rows, for many are looked at."""

plan_facts = Table(
    "plan_facts",
    metadata,
    Column("id", Identity, ForeignKey("plan.id"), primary_key=True),
    Column("facts", LargeBinary, nullable=False),  # what it says itself, JSON
    Column("links", LargeBinary, nullable=False),  # what other objects say of it, JSON
)

plan_value = Table(
    "plan_value",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("field", Characters, nullable=False),
    Column("text", Characters, nullable=False),  # folded
    Column("number", Double, nullable=True),
    Index("plan_value_by_text", "field", "text", unique=True),
)
"""What plans are found by, each value once: a pattern is compared with some thousand of them."""

plan_has = Table(
    "plan_has",
    metadata,
    Column("value", Identity, primary_key=True, autoincrement=False),
    Column("plan", Identity, primary_key=True, autoincrement=False),
    Index("plan_has_by_plan", "plan"),
    sqlite_with_rowid=False,
)

structure_fact = Table(
    "structure_fact",
    metadata,
    Column("id", Identity, ForeignKey("instance.id"), primary_key=True),
    Column("patient", Identity, ForeignKey("patient.id"), nullable=False),
    Column("sop_uid", Characters, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Index("structure_fact_by_uid", "sop_uid"),
)

treatment_fact = Table(
    "treatment_fact",
    metadata,
    Column("id", Identity, ForeignKey("instance.id"), primary_key=True),
    Column("patient", Identity, ForeignKey("patient.id"), nullable=False),
    Column("facts", LargeBinary, nullable=False),
)

upkeep = Table(
    "upkeep",
    metadata,
    Column("name", Characters, primary_key=True),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What a migration left to be done beside the work: how far it is; gone when it is done."""

CHILDREN_FIRST = (
    *(upkeep, plan_has, plan_value, plan_facts, plan, structure_fact, treatment_fact),
    *(span, occurrence, posting, value, path, segment),
    *(reference, conflict, instance, series, study, patient),
)
