"""How to ask a PACS that refuses: the same again, fewer UIDs, then the series, then the study.

Pure: one request's result goes in, what to do next comes out. The rungs are climbed on proof only:
a peer is asked for a whole series once it has refused single instances and never granted one, and
for a whole study once it has refused series in the same way. One request proves nothing while
others are still to be tried: that instance may be the one the peer cannot export.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dicomcore.ports import QueryLevel

MOVE_DESTINATION_UNKNOWN = 0xA801
PROOF = 2
"""Different requests that must have been refused at a level, none granted, to leave it."""


class Action(StrEnum):
    """What to do with what is still missing of a request."""

    DONE = "done"
    AGAIN = "again"
    SPLIT = "split"
    """In lists no longer than the ladder's `uid_limit`."""
    DEFER = "defer"
    """When everything else has been tried."""
    CLIMB = "climb"
    """At the next level up."""
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request."""

    level: QueryLevel
    asked: int
    """Instances it was to bring, as far as known; at least 1."""
    missing: int
    """How many of those have not landed."""
    came: int
    """Instances that landed through it."""
    status: int | None
    """Final DIMSE status; None when there was none: no connection, abort, time-out."""
    attempt: int
    """1-based, counted since something last came."""
    alone: bool = False
    """Whether no other request is left to try first."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What a peer has proven to grant or refuse so far."""

    uid_limit: int = 64
    attempts: int = 4
    study_level: bool = True
    longest: int = 0
    """The longest UID list that was granted: a shorter limit may be one bad instance's doing."""
    granted: frozenset[QueryLevel] = frozenset()
    refusals: Mapping[QueryLevel, int] = field(default_factory=dict)

    @property
    def level(self) -> QueryLevel:
        """The lowest rung that has not been proven useless: where a new request starts."""
        level = QueryLevel.IMAGE
        while level not in self.granted and self.refusals.get(level, 0) >= PROOF:
            above = self.above(level)
            if above is None:
                break
            level = above
        return level

    def above(self, level: QueryLevel) -> QueryLevel | None:
        """Return the next level up that may be asked for."""
        if level is QueryLevel.IMAGE:
            return QueryLevel.SERIES
        if level is QueryLevel.SERIES and self.study_level:
            return QueryLevel.STUDY
        return None

    def after(self, result: Result) -> tuple[Ladder, Action]:
        """Return what is known after a request, and what to do with what is still missing."""
        known = self._granted(result) if result.came else self
        if not result.missing:
            return known, Action.DONE
        if result.status == MOVE_DESTINATION_UNKNOWN:
            return known, Action.GIVE_UP
        if _failed(result) and result.level is QueryLevel.IMAGE and result.asked > 1:
            limit = max(1, min(known.uid_limit, result.asked // 2))
            return replace(known, uid_limit=limit), Action.SPLIT
        if result.attempt < known.attempts:
            return known, Action.AGAIN
        if result.came or result.status is None or result.level in known.granted:
            return replace(known, uid_limit=max(known.uid_limit, known.longest)), Action.GIVE_UP
        return _climb(known, result)

    def _granted(self, result: Result) -> Ladder:
        longest = result.asked if result.level is QueryLevel.IMAGE and not result.missing else 0
        return replace(
            self, granted=self.granted | {result.level}, longest=max(self.longest, longest)
        )


def _climb(known: Ladder, result: Result) -> tuple[Ladder, Action]:
    """A level that has never granted anything was refused once more."""
    if known.above(result.level) is None:
        return known, Action.GIVE_UP
    refusals = Counter(known.refusals)
    refusals[result.level] += 1
    known = replace(known, refusals=dict(refusals))
    if refusals[result.level] >= PROOF or result.alone:
        return known, Action.CLIMB
    return known, Action.DEFER


def _failed(result: Result) -> bool:
    """A failure status, and nothing sent: the peer cannot, or will not, do what was asked."""
    status = result.status
    return status is not None and not result.came and status & 0xF000 in (0xA000, 0xC000)
