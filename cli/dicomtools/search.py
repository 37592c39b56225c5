"""`dicomtools search`: the files whose attributes are as asked, and the values of others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dicomcore.errors import InvalidRequest
from dicomcore.query import Query, Term, Told, parse_term
from dicomcore.tagpath import print_path
from dicomtools.config import Values
from dicomtools.folder.bodies import decode_if_complete
from dicomtools.folder.options import existing_folder, how_to_read
from dicomtools.folder.progress import Bar
from dicomtools.folder.reading import FolderReading
from dicomtools.folder.tasks import ValuesTask
from dicomtools.found import Listing
from dicomtools.log_level import configure_logs, configure_logs_if_needed
from dicomtools.plain import plain
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer
from dicomtools.skipped import Skipped

OK = 0
NOTHING = 2
"""Nothing was found, or a tag was not understood."""
_REMEMBERED = 10_000


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Print what was found; return 0 if that is something, 2 if nothing or a tag is not understood.

    Raises
    ------
    CommandProblem
        There is no such folder, or the server does not answer.
    """
    terms = values.many("tag")
    try:
        query = Query([_understood(text) for text in terms])
    except _NotUnderstood as exc:
        print(exc.words, file=sys.stderr)
        return NOTHING
    if values.text("server"):
        import asyncio  # what only this needs takes a while to load

        configure_logs(layers, default="error")
        return OK if asyncio.run(search_server(query, values)) else NOTHING
    configure_logs_if_needed(layers, default="error")
    return OK if search_folder(query, values) else NOTHING


def search_folder(query: Query, values: Values) -> int:
    """Print what is found in the folder that was given; return how many files were found."""
    task = ValuesTask(tuple(sorted(map(print_path, query.paths))))
    reading = FolderReading(existing_folder(values), task, how_to_read(values))
    answers = Answers(query, task)
    skipped = Skipped()
    with Bar(len(reading.entries)) as bar:
        listing = Listing(
            [term.path for term in query.asked],
            bar.say,
            directories=values.flag("showOnlyDirectories"),
        )
        for entry, outcome in reading:
            bar.step()
            if outcome.problem:
                skipped.add(entry.path, outcome.problem)
                continue
            told = answers.of(outcome.body)
            if told is not None:
                listing.add(entry.path, told)
        listing.flush()
    if values.flag("showStatistics"):
        print("\n".join(listing.statistics(len(reading.entries))))
    skipped.report(sys.stderr, "no DICOM or cannot be read")
    return listing.number_found


async def search_server(query: Query, values: Values) -> int:
    """Print what a running system finds; return how many instances that are."""
    from dicomtools.index_client import index_client

    listing = Listing(
        [term.path for term in query.asked],
        print,
        directories=values.flag("showOnlyDirectories"),
    )
    total = 0
    async with index_client(values.text("server"), values.text("token")) as client:
        async for page in client.search(query.terms):
            total = page.statistics.total if page.statistics is not None else total
            for hit in page.instances:
                uids = (hit.study_instance_uid, hit.series_instance_uid, hit.sop_instance_uid)
                listing.add("/".join(uids), tuple(told.values for told in hit.told))
    listing.flush()
    if values.flag("showStatistics"):
        print("\n".join(listing.statistics(total, "instances")))
    return listing.number_found


class Answers:
    """What files answer to a query; files with the same values are asked once."""

    def __init__(self, query: Query, task: ValuesTask) -> None:
        self._query = query
        self._plan = task.plan
        self._known: dict[bytes, Told | None] = {}

    def of(self, body: bytes) -> Told | None:
        """Return the values that are asked for, or None if the file is none of those sought."""
        if body in self._known:
            return self._known[body]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        found = decode_if_complete(body, self._plan)
        told = None if found is None else self._query.answer(found)
        self._known[body] = told
        return told


class _NotUnderstood(CommandProblem):
    """A tag that spells no term."""


def _understood(text: str) -> Term:
    try:
        return parse_term(text)
    except InvalidRequest as exc:
        place, what = int(exc.facts["position"] or 1), exc.facts["expected"]
        words = f"A tag cannot be understood:\n  {plain(text)}\n  {'^':>{place}} expected: {what}"
        raise _NotUnderstood(words) from exc
