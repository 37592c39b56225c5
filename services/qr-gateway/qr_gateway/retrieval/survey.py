"""Ask a PACS what exists: the patient's studies and series, and the instances of a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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

_EXTRA: Mapping[str, Mapping[str, str]] = {
    "RTPLAN": PLAN_KEYS,
    "RTSTRUCT": FRAME_KEYS,
    "REG": {},
    "RTDOSE": {**FRAME_KEYS, **REFERENCED_PLAN_KEYS},
    "RTIMAGE": REFERENCED_PLAN_KEYS,
    "RTRECORD": REFERENCED_PLAN_KEYS,
}
_EXTRA_IMAGE = {**FRAME_KEYS, **REFERENCED_PLAN_KEYS}


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
        catalogue = Catalogue()
        for study in studies_of(self._find(QueryLevel.STUDY, keys), patient_id):
            keys = {**SERIES_KEYS, "StudyInstanceUID": study}
            replies = self._find(QueryLevel.SERIES, keys)
            catalogue = catalogue.with_series(series_of(replies, study))
        return catalogue

    def instances(self, catalogue: Catalogue, series: SeriesUID) -> Catalogue:
        """Return the catalogue with one more series listed, or marked as one that cannot be."""
        entry = catalogue.series[series]
        try:
            replies = self._list(entry)
        except PeerRefused as exc:
            log.info("series_not_listable", series_instance_uid=series, **exc.facts)
            self._tally.say("The PACS does not list the instances of a series; whole series asked.")
            self._tally.saved.unlistable.add(series)
            return catalogue.with_unlistable(series)
        return catalogue.with_instances(series, instances_of(replies, entry))

    def _list(self, entry: SeriesEntry) -> Sequence[Dataset]:
        """C-FIND at IMAGE level, without the optional keys if the peer refuses those."""
        keys = {
            **INSTANCE_KEYS,
            "StudyInstanceUID": entry.study_instance_uid,
            "SeriesInstanceUID": entry.series_instance_uid,
        }
        extra = _EXTRA.get(entry.modality, _EXTRA_IMAGE)
        if extra and not self._extra_refused:
            try:
                return self._find(QueryLevel.IMAGE, {**keys, **extra})
            except PeerRefused:
                replies = self._find(QueryLevel.IMAGE, keys)
                self._extra_refused = True  # those keys it was: without them the peer answers
                return replies
        return self._find(QueryLevel.IMAGE, keys)

    def _find(self, level: QueryLevel, keys: Mapping[str, str]) -> Sequence[Dataset]:
        attempt = 1
        while True:
            if self._cancelled():
                raise Cancelled
            try:
                return self._pacs.find(level, keys)
            except PeerUnavailable as exc:
                attempt += 1
                if attempt > self._tally.ladder.attempts:
                    raise PeerGone(str(exc)) from exc
                self._back_off(attempt)
