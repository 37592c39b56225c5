"""What an export keeps for an attempt after a crash: what was selected, and what was sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import ValidationError

from dicomio.jobs.states import Frozen
from indexer.exporting.resolving import Resolved

_LEAST_PAUSE_S = 1.0
_SHARE = 20
"""Saving takes no more than this part of the time."""


class _Saved(Frozen):
    resolved: Resolved
    sent: tuple[str, ...] = ()


class Keeper:
    """The saved state of one attempt.

    Parameters
    ----------
    saved
        Of the attempt before; None if there was none.
    save
        Stores it; raises `LeaseLost`, or `Unavailable`.
    """

    def __init__(self, saved: bytes | None, save: Callable[[bytes], None]) -> None:
        self._save = save
        self.resolved: Resolved | None = None
        self.sent: set[str] = set()
        """SOP Instance UIDs that the peer has acknowledged."""
        if saved is not None:
            try:
                known = _Saved.model_validate_json(saved)
            except ValidationError:
                pass  # of another version: selected again, and sent again
            else:
                self.resolved, self.sent = known.resolved, set(known.sent)
        self._due = 0.0
        self._fresh = False

    def keep(self, resolved: Resolved) -> None:
        """Keep what was selected."""
        self.resolved = resolved
        self.save()

    def sent_one(self, uid: str) -> None:
        """Note what the peer has acknowledged; kept now and then."""
        self.sent.add(uid)
        self._fresh = True
        if time.monotonic() > self._due:
            self.save()

    def flush(self) -> None:
        """Store what was noted and is not kept yet."""
        if self._fresh:
            self.save()

    def save(self) -> None:
        """Store all of it; also the proof that the job is still this worker's.

        Raises
        ------
        LeaseLost, Unavailable
        """
        started = time.monotonic()
        body = _Saved(resolved=self.resolved or Resolved(), sent=tuple(sorted(self.sent)))
        self._save(body.model_dump_json().encode())
        self._fresh = False
        now = time.monotonic()
        self._due = now + max(_LEAST_PAUSE_S, _SHARE * (now - started))
