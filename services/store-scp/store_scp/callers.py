"""Whom a Storage SCP admits: AE titles, and the addresses that each may come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dicomcore.errors import InvalidRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ANY_TITLE = "*"
_LONGEST_TITLE = 16


@dataclass(frozen=True, slots=True)
class Callers:
    """An allow-list; empty, it admits everyone.

    An AE title alone is no secret, and whoever asks may call itself what it likes: networks say where
    a title is believed.
    """

    networks: Mapping[str, tuple[Network, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By AE title, `*` for any; no networks: from anywhere."""

    def reachable_from(self, address: str) -> bool:
        """Return whether anyone at an address could be admitted: asked before a byte is read."""
        if not self.networks:
            return True
        return any(_within(address, networks) for networks in self.networks.values())

    def admit(self, ae_title: str, address: str) -> bool:
        """Return whether a caller may have an association."""
        if not self.networks:
            return True
        return any(
            title in self.networks and _within(address, self.networks[title])
            for title in (ae_title.strip(), ANY_TITLE)
        )


def parse_callers(text: str) -> Callers:
    """Return an allow-list from `PACS, ARIA=10.1.0.0/16;10.2.0.7, *=127.0.0.1`.

    Parameters
    ----------
    text
        AE titles, separated by commas; after `=` the networks (CIDR) or addresses that one may come
        from, separated by semicolons. `*` is any title.

    Raises
    ------
    InvalidRequest
        Not an AE title, or not a network.
    """
    found: dict[str, tuple[Network, ...]] = {}
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        title, equals, given = (part.strip() for part in entry.partition("="))
        if not 0 < len(title) <= _LONGEST_TITLE or not title.isprintable() or "\\" in title:
            raise InvalidRequest("not an AE title: 1 to 16 printable characters (PS3.5 6.2)")
        if title == ANY_TITLE and not given:
            raise InvalidRequest("any AE title from anywhere is no allow-list")
        networks = tuple(_network(part.strip()) for part in given.split(";") if part.strip())
        if equals and not networks:
            raise InvalidRequest("an AE title with '=' needs a network", ae_title=title)
        if title in found:
            raise InvalidRequest("an AE title is there twice", ae_title=title)
        found[title] = networks
    return Callers(MappingProxyType(found))


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise InvalidRequest("not a network in CIDR notation, nor an address", given=text) from exc


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return True
    try:
        # a zone (fe80::1%eth0) is ours, not the caller's
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # IPv4 callers of a socket for both
    return any((mapped or found) in network for network in networks)
