"""Roles: what a caller may do; each route names the one that it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """One role. A route without one cannot be written: `Route.role` has no default."""

    ANYONE = "anyone"
    """No authentication at all, for liveness and readiness. Nobody is given it."""
    MONITOR = "monitor"
    """Metrics and the interface's own description; no patient's data."""
    READER = "reader"
    """Read what the index and the ledger of jobs know, patients' names included."""
    RETRIEVER = "retriever"
    """Ask the clinic's DICOM systems: C-ECHO, C-FIND, retrievals."""
    EXPORTER = "exporter"
    """Have objects written out, anonymised or not."""
    ADMIN = "admin"
    """All of it, and what changes the system itself."""


_IMPLIED: Mapping[Role, frozenset[Role]] = MappingProxyType(
    {
        Role.MONITOR: frozenset({Role.MONITOR}),
        Role.READER: frozenset({Role.MONITOR, Role.READER}),
        # who starts a job has to see how it goes, and what it is about
        Role.RETRIEVER: frozenset({Role.MONITOR, Role.READER, Role.RETRIEVER}),
        Role.EXPORTER: frozenset({Role.MONITOR, Role.READER, Role.EXPORTER}),
        Role.ADMIN: frozenset(Role),
    }
)
GIVEN = frozenset(_IMPLIED)
"""The roles that a token can have."""


def granted(held: Iterable[Role], needed: Role) -> bool:
    """Return whether someone with the roles `held` may do what needs the role `needed`."""
    return needed is Role.ANYONE or any(needed in _IMPLIED.get(role, frozenset()) for role in held)
