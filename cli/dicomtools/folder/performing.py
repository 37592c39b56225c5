"""A task carried out on one file after another: what one was like helps with the next."""

from __future__ import annotations

import zlib

from dicomcore.errors import Rejected
from dicomcore.extract import FIRST_WINDOW_BYTES, head_length
from dicomtools.folder.opened import OpenFile
from dicomtools.folder.tasks import Outcome, Task

_PAGE_BYTES = 4096
_QUICKEST = 1


class Performer:
    """Carries a task out.

    Parameters
    ----------
    with_heads
        Whether outcomes are to have the beginnings of files, for other tasks.
    """

    def __init__(self, task: Task, *, with_heads: bool) -> None:
        self._task = task
        self._with_heads = with_heads
        self._quick = task.quick()
        self._window = FIRST_WINDOW_BYTES

    def outcome(self, path: str) -> Outcome:
        """Return what comes of a file; whatever it is, there is an outcome."""
        try:
            with OpenFile(path, self._window) as file:
                return self._quickly(file) or self._thoroughly(file)
        except Rejected as exc:
            return Outcome(problem=exc.sentence)
        except OSError as exc:
            return Outcome(problem=exc.strerror or "cannot be read")

    def _quickly(self, file: OpenFile) -> Outcome | None:
        """Return the outcome for a file that is laid out like one before."""
        if self._quick is None:
            return None
        found = self._quick.body(file.first)
        if found is None and len(file.first) == self._window < FIRST_WINDOW_BYTES:
            file.read_ahead(FIRST_WINDOW_BYTES)
            found = self._quick.body(file.first)
        if found is None:
            return None
        body, end = found
        # of the next one as much is read as was needed of this one
        self._window = min((end // _PAGE_BYTES + 1) * _PAGE_BYTES, FIRST_WINDOW_BYTES)
        return Outcome(body, "", self._head(file.first[:end]) if self._with_heads else b"")

    def _thoroughly(self, file: OpenFile) -> Outcome:
        body = self._task.read(file)
        if self._quick is not None:
            self._quick.learn(file.first)
        length = head_length(file.first, file.size_bytes) if self._with_heads else None
        return Outcome(body, "", b"" if length is None else self._head(file.first[:length]))

    def _head(self, head: bytes) -> bytes:
        return zlib.compress(head, _QUICKEST)
