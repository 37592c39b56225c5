"""The commands and their options, as data; nothing here does anything."""

from dicomtools.commands.folders import SEARCH, SHOW
from dicomtools.commands.helpers import COMPLETION, DOCTOR, REVEAL
from dicomtools.commands.retrieve import RETRIEVE
from dicomtools.commands.store import STORE
from dicomtools.commands.system import DEMO, DEMO_PACS, FAULTS, UP

__all__ = [
    "COMPLETION",
    "DEMO",
    "DEMO_PACS",
    "DOCTOR",
    "FAULTS",
    "RETRIEVE",
    "REVEAL",
    "SEARCH",
    "SHOW",
    "STORE",
    "UP",
]
