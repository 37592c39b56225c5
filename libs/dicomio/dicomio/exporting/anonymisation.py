"""How an export is de-identified; the same for all of its patients."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomcore.deident import BurnedIn, Options, Profile, Seal


@dataclass(frozen=True, slots=True)
class Anonymization:
    """What is done to every object of an export."""

    profile: Profile
    options: Options
    key: bytes = field(repr=False)
    """Of UIDs, pseudonyms and the shift of dates: the same key, the same bytes."""
    allow_partial: bool = False
    """Whether the others leave when one object is held back."""
    allowed_burned_in: frozenset[BurnedIn] = frozenset()
    """Kinds of images that leave though a name may be visible in their pixels."""
    seal: Seal | None = None
    """Encrypts the originals of what is changed, which go along; None: they do not."""
