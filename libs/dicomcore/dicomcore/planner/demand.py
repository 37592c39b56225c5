"""What a decision needs next: decisions ask here, and what is not known yet is remembered."""

from __future__ import annotations

from enum import Enum

from dicomcore.catalogue import InstanceEntry, SeriesEntry
from dicomcore.model import InstanceHeader, Level
from dicomcore.planner.knowledge import Knowledge
from dicomcore.planner.values import (
    Fetch,
    ListSeries,
    MissingItem,
    ReadHeaders,
    Stage,
    Step,
    Want,
)
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID

UNREADABLE = "it has landed, but it cannot be read"


class Absence(Enum):
    """Why there is no answer."""

    PENDING = "pending"
    """Something is still to be listed or fetched."""
    ABSENT = "absent"
    """The PACS does not list it, or it has been given up."""


class Demand:
    """Collects what must be listed, read and fetched before decisions can be made."""

    def __init__(self, known: Knowledge) -> None:
        self.known = known
        self._list: set[SeriesUID] = set()
        self._read: dict[InstanceUID, InstanceRef] = {}
        self._fetch: dict[tuple[SeriesUID, InstanceUID | None], tuple[Stage, Want]] = {}
        self._blocked = False
        self.undecided: dict[str, MissingItem] = {}
        """What would have to be read to decide and has been given up."""

    @property
    def blocked(self) -> bool:
        """Whether a question was asked whose answer is still to be listed, fetched or read."""
        return self._blocked

    def step(self) -> Step | None:
        """Return the next step: cheap questions first, then the earliest wave of fetches."""
        if self._list:
            return ListSeries(tuple(sorted(self._list)))
        if self._read:
            return ReadHeaders(tuple(self._read[uid] for uid in sorted(self._read)))
        if not self._fetch:
            return None
        stage = min(stage for stage, _ in self._fetch.values())
        wave = {key: want for key, (s, want) in self._fetch.items() if s is stage}
        return Fetch(
            stage, tuple(wave[key] for key in sorted(wave, key=lambda k: (k[0], k[1] or "")))
        )

    # ── questions ───────────────────────────────────────────────────────────────────────────

    def listed(
        self, series: SeriesEntry, stage: Stage, why: str
    ) -> tuple[InstanceEntry, ...] | None:
        """Return a series' instances, or None while that is not known.

        A series that the PACS does not list is fetched as a whole: there is nothing smaller.
        """
        uid = series.series_instance_uid
        if uid in self.known.catalogue.instances:
            return self.known.entries(uid)
        if uid not in self.known.catalogue.unlistable:
            self._list.add(uid)
            self._blocked = True
            return None
        if uid in self.known.moved_series or uid in self.known.given_up:
            self._report_shortfall(series, why)
            return self.known.entries(uid)
        self._fetch_series(series, stage, why)
        self._blocked = True
        return None

    def find(
        self, uid: str, modalities: frozenset[str], stage: Stage, why: str
    ) -> InstanceEntry | Absence:
        """Return where an instance is, looking through every series of these modalities."""
        found = self.known.locate(uid)
        if found is not None:
            return found
        complete = True
        for series in self.known.series_with(modalities):
            if self.listed(series, stage, why) is None:
                complete = False
        return Absence.ABSENT if complete else Absence.PENDING

    def header(self, entry: InstanceEntry, stage: Stage, why: str) -> InstanceHeader | Absence:
        """Return the header of an instance, fetching and reading it if need be."""
        header = self.known.headers.get(entry.uid)
        if header is not None:
            return header
        if entry.uid in self.known.given_up:
            return Absence.ABSENT
        if self.known.has_landed(entry):
            self._read[entry.uid] = entry.ref
        else:
            self.fetch(entry, stage, why)
        self._blocked = True
        return Absence.PENDING

    def decide(self, entry: InstanceEntry, stage: Stage, why: str) -> InstanceHeader | Absence:
        """Return a header that a decision hangs on; if it is not to be had, that is reported."""
        header = self.header(entry, stage, why)
        if header is Absence.ABSENT:
            self.undecided.setdefault(
                entry.uid,
                MissingItem(
                    entry.uid,
                    Level.INSTANCE,
                    self.known.modality(entry.ref.series_instance_uid),
                    why,
                    self.known.given_up[entry.uid],
                ),
            )
        return header

    def fetch(self, entry: InstanceEntry, stage: Stage, why: str) -> None:
        """Ask for an instance, unless it has landed or has been given up."""
        if self.known.has_landed(entry) or entry.uid in self.known.given_up:
            return
        series = self.known.catalogue.series[entry.ref.series_instance_uid]
        self._add(
            stage,
            Want(
                series.study_instance_uid,
                series.series_instance_uid,
                entry.uid,
                entry.sop_class_uid,
                series.modality,
                why,
            ),
        )

    def expect_all(self, series: SeriesEntry, why: str) -> None:
        """Report a series of which the PACS lists fewer instances than it says there are."""
        uid, told = series.series_instance_uid, series.number_of_instances
        listed = self.known.catalogue.replies.get(uid)
        if listed is not None and told is not None and listed < told:
            reason = f"the PACS lists {listed} instances of this series but counts {told}"
            self.undecided[uid] = MissingItem(uid, Level.SERIES, series.modality, why, reason)

    def _report_shortfall(self, series: SeriesEntry, why: str) -> None:
        """Report a series moved as a whole unless the PACS's own count proves it complete."""
        uid, told = series.series_instance_uid, series.number_of_instances
        landed = len(self.known.landed.get(uid, ()))
        if uid in self.known.given_up:
            reason = self.known.given_up[uid]
        elif told is None:
            reason = "the PACS lists neither the instances of this series nor their number"
        elif landed < told:
            reason = f"{landed} of {told} instances came"
        else:
            return
        self.undecided[uid] = MissingItem(uid, Level.SERIES, series.modality, why, reason)

    def _fetch_series(self, series: SeriesEntry, stage: Stage, why: str) -> None:
        self._add(
            stage,
            Want(
                series.study_instance_uid,
                series.series_instance_uid,
                None,
                "",
                series.modality,
                why,
            ),
        )

    def _add(self, stage: Stage, want: Want) -> None:
        key = (want.series_instance_uid, want.sop_instance_uid)
        known = self._fetch.get(key)
        if known is None or stage < known[0]:
            self._fetch[key] = (stage, want)
