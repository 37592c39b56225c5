"""Where the pseudonym map of an export goes: sealed, apart, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from dicomcore.deident import Seal
from dicomcore.ports import ObjectStore
from dicomio.sealed import SUFFIX, Recipients, seal

MAPS = "maps/"
NAME = "anonymization_map.csv"
SEALED = "sealed to the configured certificate"
APART = "in the protected bucket"
PLAIN = "not encrypted, as asked for"
NOT_WRITTEN = "not written: there is neither a certificate nor a protected bucket for it"


class MapSink(Protocol):
    """Takes the map of one export; blocks.

    Raises
    ------
    InvalidRequest
        It cannot be sealed (any longer): then nothing is exported.
    ObjectStoreUnavailable
    """

    def keep(self, name: str, body: bytes) -> str:
        """Keep the map of the export of that name; say how, in words. Again is no change."""
        ...

    @property
    def seal(self) -> Seal | None:
        """Encrypts for whoever can read the maps; None: they are not encrypted."""
        ...


@dataclass(frozen=True, slots=True)
class SealedMaps:
    """Only the holders of the certificates' keys read them."""

    store: ObjectStore
    recipients: Recipients

    def keep(self, name: str, body: bytes) -> str:
        self.store.put(f"{MAPS}{name}/{NAME}{SUFFIX}", [seal(body, self.recipients)])
        return SEALED

    @property
    def seal(self) -> Seal:
        return partial(seal, certificates=self.recipients)


@dataclass(frozen=True, slots=True)
class PlainMaps:
    """Whoever may read the bucket reads them."""

    store: ObjectStore
    said: str
    seal: None = None

    def keep(self, name: str, body: bytes) -> str:
        self.store.put(f"{MAPS}{name}/{NAME}", [body])
        return self.said


class NoMaps:
    """They are not kept."""

    seal = None

    def keep(self, _name: str, _body: bytes) -> str:
        return NOT_WRITTEN
