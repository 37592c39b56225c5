"""Facts of plans, and what patients are found by.

Of the plans, structure sets and records that are here, facts are derived beside the work, from the
segments: `upkeep` says how far that is, and an answer says that it is not complete until then.
"""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Characters = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SORTED_TEXTS = (
    *("label", "name", "patient_id", "patient_name", "plan_date", "approved", "approval"),
    *("intent", "machine", "birth_date"),
)
_SORTED_NUMBERS = (
    *("total_dose", "dose_per_fraction", "fractions", "treated_fractions", "beams"),
    "control_points",
)


def upgrade() -> None:
    """Add columns to patients, and the tables of the plans."""
    _patients()
    _plans()
    _values()
    _related()
    op.create_table(
        "upkeep",
        sa.Column("name", _Characters, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO upkeep (name, position) SELECT 'plans', 0 WHERE EXISTS (SELECT 1 FROM series)"
    )


def downgrade() -> None:
    """Not possible: the index is rebuilt from the object store."""
    raise NotImplementedError


def _text(name: str, *, unique: bool | None = None) -> sa.Column[str]:
    return sa.Column(name, _Characters, nullable=False, unique=unique)


def _patients() -> None:
    for name in ("birth_date", "sex", "folded_id", "folded_name", "latest_study_date"):
        op.add_column("patient", sa.Column(name, _Characters, nullable=False, server_default=""))
    connection = op.get_bind()
    patients = connection.execute(sa.text("SELECT id, patient_id, patient_name FROM patient"))
    folded = [
        {"id": row[0], "folded_id": _folded(row[1]), "folded_name": _folded(row[2])}
        for row in patients
    ]
    if folded:
        connection.execute(
            sa.text(
                "UPDATE patient SET folded_id = :folded_id, folded_name = :folded_name"
                " WHERE id = :id"
            ),
            folded,
        )
    op.execute(
        "UPDATE patient SET latest_study_date = coalesce((SELECT max(t.study_date) FROM study t"
        " WHERE t.patient = patient.id AND length(t.study_date) = 8), '')"
    )
    op.create_index("patient_by_name", "patient", ["folded_name", "patient_id"])
    op.create_index("patient_by_birth_date", "patient", ["birth_date", "patient_id"])
    op.create_index("patient_by_study_date", "patient", ["latest_study_date", "patient_id"])


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _plans() -> None:
    op.create_table(
        "plan",
        sa.Column("id", _Identity, sa.ForeignKey("instance.id"), primary_key=True),
        sa.Column("patient", _Identity, sa.ForeignKey("patient.id"), nullable=False),
        _text("tie", unique=True),
        _text("sop_uid"),
        *(_text(name) for name in _SORTED_TEXTS),
        *(sa.Column(name, sa.Double, nullable=False) for name in _SORTED_NUMBERS),
        sa.Column("max_control_points", sa.Double, nullable=False),
    )
    op.create_index("plan_of_patient", "plan", ["patient"])
    op.create_index("plan_by_uid", "plan", ["sop_uid"])
    for name in (*_SORTED_TEXTS, *_SORTED_NUMBERS):
        op.create_index(f"plan_by_{name}", "plan", [name, "tie"])
    op.create_index("plan_by_max_control_points", "plan", ["max_control_points"])
    op.create_table(
        "plan_facts",
        sa.Column("id", _Identity, sa.ForeignKey("plan.id"), primary_key=True),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("facts", "links")),
    )


def _values() -> None:
    op.create_table(
        "plan_value",
        sa.Column("id", _Identity, primary_key=True),
        _text("field"),
        _text("text"),
        sa.Column("number", sa.Double, nullable=True),
    )
    op.create_index("plan_value_by_text", "plan_value", ["field", "text"], unique=True)
    op.create_table(
        "plan_has",
        *(
            sa.Column(name, _Identity, primary_key=True, autoincrement=False)
            for name in ("value", "plan")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("plan_has_by_plan", "plan_has", ["plan"])


def _related() -> None:
    for table, columns in (("structure_fact", [_text("sop_uid")]), ("treatment_fact", [])):
        op.create_table(
            table,
            sa.Column("id", _Identity, sa.ForeignKey("instance.id"), primary_key=True),
            sa.Column("patient", _Identity, sa.ForeignKey("patient.id"), nullable=False),
            *columns,
            sa.Column("facts", sa.LargeBinary, nullable=False),
        )
    op.create_index("structure_fact_by_uid", "structure_fact", ["sop_uid"])
