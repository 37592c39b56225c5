"""Ask a PACS what exists: the patient's studies and series, and the instances of a series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from pydicom import Dataset

from dicomcore.catalogue import (
    FRAME_KEYS,
    INSTANCE_KEYS,
    PLAN_KEYS,
    REFERENCED_PLAN_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    Catalogue,
    SeriesEntry,
    exact,
    instances_of,
    series_of,
    studies_of,
)
from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.ports import Pacs, QueryLevel
from dicomcore.uids import SeriesUID
from qr_gateway.retrieval.tally import Tally
from qr_gateway.retrieval.transfers import Cancelled, PeerGone

log = structlog.get_logger(__name__)

QUERIES_PER_ASSOCIATION = 32
PROOF = 2
"""Series that a peer must have refused to list, none listed, before it is not asked for more."""
NOT_LISTABLE = "The PACS does not list the instances of every series; whole series were asked for."

_EXTRA: Mapping[str, Mapping[str, str]] = {
    "RTPLAN": PLAN_KEYS,
    "RTSTRUCT": FRAME_KEYS,
    "REG": {},
    "RTDOSE": {**FRAME_KEYS, **REFERENCED_PLAN_KEYS},
    "RTIMAGE": REFERENCED_PLAN_KEYS,
    "RTRECORD": REFERENCED_PLAN_KEYS,
}
_EXTRA_IMAGE = {**FRAME_KEYS, **REFERENCED_PLAN_KEYS}

Keys = Mapping[str, str]


class Survey:
    """The queries of one retrieval, each tried again when the peer does not answer."""

    def __init__(
        self,
        pacs: Pacs,
        tally: Tally,
        *,
        back_off: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._pacs = pacs
        self._tally = tally
        self._back_off = back_off
        self._cancelled = cancelled
        self._extra_refused = False
        self._listed = 0
        self._not_listed = 0

    def patient(self, patient_id: str) -> Catalogue:
        """Return the patient's series; empty if the PACS has no study of the patient.

        Raises
        ------
        Cancelled, PeerGone
        InvalidRequest
            The patient ID holds a wildcard.
        PeerRefused
            The PACS refuses the query.
        """
        keys = {**STUDY_KEYS, "PatientID": exact(patient_id)}
        studies = studies_of(self._find(QueryLevel.STUDY, [keys])[0], patient_id)
        queries = [{**SERIES_KEYS, "StudyInstanceUID": study} for study in studies]
        catalogue = Catalogue()
        for study, replies in zip(studies, self._find_all(QueryLevel.SERIES, queries), strict=True):
            catalogue = catalogue.with_series(series_of(replies, study))
        return catalogue

    def instances(self, catalogue: Catalogue, wanted: Sequence[SeriesUID]) -> Catalogue:
        """Return the catalogue with these series listed, or marked as ones that cannot be.

        Raises
        ------
        Cancelled, PeerGone
        """
        entries = [catalogue.series[uid] for uid in wanted]
        try:
            queries = [self._keys(entry) for entry in entries]
            answers: Iterable[Sequence[Dataset] | None] = self._find_all(QueryLevel.IMAGE, queries)
        except PeerRefused:
            answers = map(self._list, entries)  # one of them it was: each by itself
        for entry, replies in zip(entries, answers, strict=True):
            uid = entry.series_instance_uid
            if replies is None:
                self._tally.say(NOT_LISTABLE)
                self._tally.saved.unlistable.add(uid)
                catalogue = catalogue.with_unlistable(uid)
            else:
                catalogue = catalogue.with_instances(uid, instances_of(replies, entry))
        return catalogue

    def _list(self, entry: SeriesEntry) -> Sequence[Dataset] | None:
        """List one series, without the optional keys if the peer refuses those; None: it refuses."""
        if self._not_listed >= PROOF and not self._listed:
            return None
        try:
            try:
                replies = self._find(QueryLevel.IMAGE, [self._keys(entry)])[0]
            except PeerRefused:
                if self._extra_refused:
                    raise
                replies = self._find(QueryLevel.IMAGE, [self._keys(entry, extra=False)])[0]
                self._extra_refused = True  # those keys it was: without them the peer answers
        except PeerRefused as exc:
            self._not_listed += 1
            log.info("series_not_listable", **exc.facts)
            return None
        self._listed += 1
        return replies

    def _keys(self, entry: SeriesEntry, *, extra: bool = True) -> Keys:
        keys = {
            **INSTANCE_KEYS,
            "StudyInstanceUID": entry.study_instance_uid,
            "SeriesInstanceUID": entry.series_instance_uid,
        }
        if extra and not self._extra_refused:
            keys.update(_EXTRA.get(entry.modality, _EXTRA_IMAGE))
        return keys

    def _find_all(self, level: QueryLevel, queries: Sequence[Keys]) -> list[Sequence[Dataset]]:
        """Ask many queries, so many on an association that a long list is no endless one."""
        answers: list[Sequence[Dataset]] = []
        for start in range(0, len(queries), QUERIES_PER_ASSOCIATION):
            answers += self._find(level, queries[start : start + QUERIES_PER_ASSOCIATION])
        return answers

    def _find(self, level: QueryLevel, queries: Sequence[Keys]) -> Sequence[Sequence[Dataset]]:
        attempt = 1
        while True:
            if self._cancelled():
                raise Cancelled
            try:
                return self._pacs.find_many(level, queries)
            except PeerUnavailable as exc:
                attempt += 1
                if attempt > self._tally.ladder.attempts:
                    raise PeerGone(str(exc)) from exc
                self._back_off(attempt)
