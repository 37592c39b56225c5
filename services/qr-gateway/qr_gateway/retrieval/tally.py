"""What a retrieval has done so far: counted, shown, and saved so that a crash loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from dicomcore.planner.ladder import Ladder
from dicomcore.ports import QueryLevel
from dicomcore.uids import StudyUID
from dicomio.limits import Limits
from qr_gateway.retrieval.model import Progress, State
from qr_gateway.retrieval.shelf import Landed

SAVE_EVERY_S = 2.0


class Saved(BaseModel):
    """The executor's memory between two runs of one job; what landed is read from the store."""

    model_config = ConfigDict(extra="ignore")

    moved: dict[str, int] = {}
    """SOP Instance UID → size in bytes, of what landed through this job."""
    studies: set[StudyUID] = set()
    """Where something may have landed through this job."""
    doubtful: set[str] = set()
    """Keys of objects that landed while something went wrong: they may not have been announced."""
    given_up: dict[str, str] = {}
    moved_series: set[str] = set()
    unlistable: set[str] = set()
    requests: int = 0
    messages: list[str] = []
    uid_limit: int | None = None
    granted: set[QueryLevel] = set()
    refusals: dict[QueryLevel, int] = {}


class Tally:
    """Counts and remembers for one retrieval, and tells whoever watches it."""

    def __init__(
        self,
        saved: bytes | None,
        save: Callable[[bytes], None],
        progress: Callable[[Progress], None],
        limits: Limits,
    ) -> None:
        self.saved = _parse(saved)
        self.step = ""
        self.wanted: set[str] = set()
        self.landed = 0
        self._save = save
        self._progress = progress
        self._last_save_s = time.monotonic()
        self.ladder = Ladder(
            uid_limit=min(self.saved.uid_limit or limits.uid_list_limit, limits.uid_list_limit),
            attempts=limits.attempts,
            study_level=limits.study_level,
            granted=frozenset(self.saved.granted),
            refusals=dict(self.saved.refusals),
        )

    def begin(self, step: str, wanted: Iterable[str]) -> None:
        """A wave begins."""
        self.step = step
        self.wanted.update(wanted)
        self.show()

    def came(self, landed: Iterable[Landed]) -> None:
        """These instances landed since the last look."""
        for item in landed:
            uid = item.ref.sop_instance_uid
            if uid not in self.saved.moved:
                self.saved.moved[uid] = item.size_bytes
                self.landed += uid in self.wanted
        self.show()

    def say(self, message: str) -> None:
        """Remember something a person should know; once."""
        if message not in self.saved.messages:
            self.saved.messages.append(message)

    def show(self) -> None:
        """Tell how it stands, and save if that was some time ago."""
        self._progress(self.now(State.RUNNING))
        if time.monotonic() - self._last_save_s >= SAVE_EVERY_S:
            self.keep()

    def now(self, state: State) -> Progress:
        """Return how it stands."""
        return Progress(
            state=state,
            step=self.step,
            expected=len(self.wanted),
            landed=self.landed,
            bytes_moved=sum(self.saved.moved.values()),
            instances_moved=len(self.saved.moved),
            requests=self.saved.requests,
        )

    def keep(self) -> None:
        """Save now."""
        self.saved.uid_limit = self.ladder.uid_limit
        self.saved.granted = set(self.ladder.granted)
        self.saved.refusals = dict(self.ladder.refusals)
        self._save(self.saved.model_dump_json().encode())
        self._last_save_s = time.monotonic()


def _parse(saved: bytes | None) -> Saved:
    """A memory that cannot be read is no memory: everything in it can be found out again."""
    if not saved:
        return Saved()
    try:
        return Saved.model_validate_json(saved)
    except ValidationError:
        return Saved()
