"""Every file of a folder, read or remembered, in order: what `search` and `show` are made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dicomtools.folder.listing import ALL, Entry, list_files
from dicomtools.folder.spread import processors, read_all
from dicomtools.folder.tasks import Outcome, Task

if TYPE_CHECKING:
    from dicomtools.folder.cache import FolderCache


@dataclass(frozen=True, slots=True)
class How:
    """How files are read."""

    pattern: str = ALL
    processes: int = 0
    """At most so many; 0: one for each processor."""
    cache_root: Path | None = None
    """Where caches are kept; None: nothing is remembered, and nothing is kept."""


class FolderReading:
    """What a task finds in the files of a folder.

    Parameters
    ----------
    folder
        It exists.
    """

    def __init__(self, folder: str, task: Task, how: How) -> None:
        self._task = task
        self._how = how
        self._prefix = os.path.join(folder, "")  # noqa: PTH118 - listed paths begin with these characters
        self._cache = _cache(how.cache_root, folder) if how.cache_root else None
        self.entries: Sequence[Entry] = tuple(list_files(folder, how.pattern))
        """The files, in order."""

    def __iter__(self) -> Iterator[tuple[Entry, Outcome]]:
        """Yield what came of each file; what was read is kept when the last one has been yielded."""
        names = [entry.path[len(self._prefix) :] for entry in self.entries]
        known = self._cache.answers(self._task.key) if self._cache else {}
        unread = {
            name: entry
            for name, entry in zip(names, self.entries, strict=True)
            if (answer := known.get(name)) is None or not answer.holds(entry)
        }
        heads = self._from_heads(unread)
        to_read = [entry.path for name, entry in unread.items() if name not in heads]
        outcomes = read_all(
            self._task,
            to_read,
            processes=self._how.processes or processors(),
            with_heads=self._cache is not None,
        )
        fresh: dict[str, tuple[Entry, Outcome]] = {}
        for name, entry in zip(names, self.entries, strict=True):
            if name not in unread:
                yield entry, Outcome(known[name].body, known[name].problem)
                continue
            outcome = heads[name] if name in heads else next(outcomes)
            fresh[name] = entry, outcome
            yield entry, outcome
        self._keep(known, names, fresh)

    def _from_heads(self, unread: Mapping[str, Entry]) -> Mapping[str, Outcome]:
        if self._cache is None:
            return {}
        heads = self._cache.heads(unread)
        bodies = ((name, self._task.from_head(head)) for name, head in heads.items())
        return {name: Outcome(body) for name, body in bodies if body is not None}

    def _keep(
        self,
        known: Mapping[str, object],
        names: Sequence[str],
        fresh: Mapping[str, tuple[Entry, Outcome]],
    ) -> None:
        if self._cache is None or self._how.cache_root is None:
            return
        # with a pattern, what is not listed may well be there
        gone = set(known) - set(names) if self._how.pattern == ALL else set()
        self._cache.keep(self._task.key, fresh, gone)
        from dicomtools.folder.cache import forget_old

        forget_old(self._how.cache_root)


def _cache(root: Path, folder: str) -> FolderCache:
    from dicomtools.folder.cache import FolderCache  # its database takes a while to load

    return FolderCache(root, folder)
