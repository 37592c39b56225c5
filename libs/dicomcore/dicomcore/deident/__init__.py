"""De-identification by PS3.15 Annex E: table-driven, keyed, verified."""

from dicomcore.deident.engine import DeidentifiedObject, Deidentifier
from dicomcore.deident.identifiers import KnownIdentifiers, collect_identifiers
from dicomcore.deident.identity import PatientIdentity, Pseudonym
from dicomcore.deident.options import Option, Options, parse_options
from dicomcore.deident.profile import SHIPPED, Profile, parse_profile, shipped_profile

__all__ = [
    "SHIPPED",
    "DeidentifiedObject",
    "Deidentifier",
    "KnownIdentifiers",
    "Option",
    "Options",
    "PatientIdentity",
    "Profile",
    "Pseudonym",
    "collect_identifiers",
    "parse_options",
    "parse_profile",
    "shipped_profile",
]
