"""De-identification by PS3.15 Annex E: table-driven, keyed, verified."""

from dicomcore.deident.byte_finder import MakeRulesOut, RulesOut
from dicomcore.deident.encrypted import Seal, Unseal, recovered
from dicomcore.deident.engine import DeidentifiedObject, Deidentifier
from dicomcore.deident.identifiers import (
    IdentifierCollector,
    KnownIdentifiers,
    collect_identifiers,
)
from dicomcore.deident.identity import PatientIdentity, Pseudonym
from dicomcore.deident.options import Option, Options, parse_options
from dicomcore.deident.profile import SHIPPED, Profile, parse_profile, shipped_profile
from dicomcore.deident.screening import BurnedIn, burned_in
from dicomcore.deident.verify import Fault, Finding, Verifier, reference_findings

__all__ = [
    "SHIPPED",
    "BurnedIn",
    "DeidentifiedObject",
    "Deidentifier",
    "Fault",
    "Finding",
    "IdentifierCollector",
    "KnownIdentifiers",
    "MakeRulesOut",
    "Option",
    "Options",
    "PatientIdentity",
    "Profile",
    "Pseudonym",
    "RulesOut",
    "Seal",
    "Unseal",
    "Verifier",
    "burned_in",
    "collect_identifiers",
    "parse_options",
    "parse_profile",
    "recovered",
    "reference_findings",
    "shipped_profile",
]
