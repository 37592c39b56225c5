"""What a batch changes, decided before anything is written: known rows + batch → decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicomcore.ports import UpsertOutcome
from dicomio.sql_index.rows import Content, Facts, Row, merged


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, and what to answer."""

    outcomes: tuple[UpsertOutcome, ...]
    """One for each row of the batch, in its order."""
    new: tuple[Row, ...]
    updated: tuple[Facts, ...]
    """Known versions of which more is known now."""
    readable_now: Mapping[str, Content]
    """By object key: known versions that had no header and have one now."""
    conflicts: frozenset[str]
    """SOP Instance UIDs that this batch gave a second version."""


def decide(known: Iterable[Facts], batch: Sequence[Row]) -> Decision:
    """Return what `batch` changes.

    Parameters
    ----------
    known
        Every version in the index of every SOP Instance UID of the batch.
    """
    before = {facts.object_key: facts for facts in known}
    after = dict(before)
    contents: dict[str, Content] = {}
    keys_of: dict[str, set[str]] = {}
    for facts in before.values():
        keys_of.setdefault(facts.sop_uid, set()).add(facts.object_key)

    outcomes = []
    conflicts = set()
    for row in batch:
        key = row.facts.object_key
        keys = keys_of.setdefault(row.facts.sop_uid, set())
        if key in after:
            outcomes.append(UpsertOutcome.SAME)
            after[key] = merged(after[key], row.facts)
        else:
            outcomes.append(UpsertOutcome.VERSION if keys else UpsertOutcome.NEW)
            after[key] = row.facts
            keys.add(key)
            if len(keys) > 1:
                conflicts.add(row.facts.sop_uid)
        # The same bytes have the same header: the first one read stays.
        if row.content is not None:
            contents.setdefault(key, row.content)

    return Decision(
        outcomes=tuple(outcomes),
        new=tuple(
            Row(facts, contents.get(key)) for key, facts in after.items() if key not in before
        ),
        updated=tuple(facts for key, facts in after.items() if before.get(key, facts) != facts),
        readable_now={
            key: content
            for key, content in contents.items()
            if key in before and before[key].problem
        },
        conflicts=frozenset(conflicts),
    )
