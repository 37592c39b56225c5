"""Instances of the object store as what can be sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from dicomcore.errors import NotFound, Rejected
from dicomcore.header import read_header
from dicomcore.model import InstanceHeader
from dicomcore.ports import ObjectStore, Outgoing
from dicomcore.sending.payload import BEGINNING_BYTES, outgoing, transfer_syntax_of
from dicomcore.sending.values import Send
from dicomcore.uids import StudyUID
from dicomio.stored_header import fetch_header
from qr_gateway.retrieval.shelf import Landed, Shelf

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, and what it is."""

    object_key: str
    header: InstanceHeader
    transfer_syntax_uid: str


class StoredInstances:
    """The newest version of each instance of some studies.

    Parameters
    ----------
    only
        SOP Instance UIDs to be restricted to; empty: none.

    Raises
    ------
    NotFound
        Nothing of it is in the store.
    ObjectStoreUnavailable
    """

    def __init__(self, store: ObjectStore, studies: Iterable[str], only: Iterable[str]) -> None:
        self._store = store
        wanted = frozenset(only)
        shelf = Shelf(store)
        for study in studies:
            shelf.look_at_study(StudyUID(study))
        self._by_header: dict[InstanceHeader, Stored] = {}
        self.unreadable: list[Landed] = []
        """Objects that cannot be read as instances: kept, and not sent."""
        for found in shelf.by_series.values():
            for landed in found.values():
                if not wanted or landed.ref.sop_instance_uid in wanted:
                    self._add(landed)
        if not self._by_header:
            raise NotFound("nothing of it is in the object store")

    @property
    def headers(self) -> Mapping[InstanceHeader, Stored]:
        """What can be sent, by header."""
        return self._by_header

    def outgoing(self, send: Send) -> Outgoing:
        """Return what is sent for a send."""
        stored = self._by_header[send.header]
        load = partial(self._store.get, stored.object_key)
        return outgoing(stored.header, stored.transfer_syntax_uid, load, dict(send.machines))

    def _add(self, landed: Landed) -> None:
        key, size = landed.object_key, landed.size_bytes
        beginning = self._store.get_range(key, 0, BEGINNING_BYTES)
        try:
            header = read_header(beginning, complete=size <= BEGINNING_BYTES)
            header = header or fetch_header(self._store, key, size)
            syntax = transfer_syntax_of(beginning)
        except Rejected as exc:
            log.warning("object_not_readable", object_key=key, problem=exc.sentence)
            self.unreadable.append(landed)
            return
        self._by_header[header] = Stored(key, header, syntax)
