"""`store`: its options and their defaults."""

from __future__ import annotations

from dicomtools.commands.shared import DEFAULT_MACHINES, SEARCH_PATTERN, TLS
from dicomtools.options import Command, Kind, Option

STORE = Command(
    name="store",
    summary="Store patient data using C-STORE: nothing is sent before what it references.",
    section="StoreOptions",
    options=(
        Option("path", "Path where to search for files to send to SCP.", required=True),
        SEARCH_PATTERN,
        Option(
            "showMessages",
            "Controls whether status messages are shown or not.",
            kind=Kind.FLAG,
            default=True,
        ),
        Option(
            "statusFileName",
            "Name of the file containing list of files stored. Storing of listed files will be "
            "skipped.",
        ),
        Option(
            "machineMapping",
            "MachineMapping, like A=B C=D: in the copy that is sent, treatment machine A is B.",
            kind=Kind.MANY,
            default=(),
        ),
        DEFAULT_MACHINES,
        Option("hostName", "Name of the SCP host.", required=True),
        Option("hostPort", "Port number of the SCP configuration.", kind=Kind.PORT, required=True),
        Option("callingAet", "AET of the sender.", required=True),
        Option("calledAet", "AET of the SCP.", required=True),
        *TLS,
        Option(
            "allowAnyManufacturer",
            "Send what ARIA refuses as well: plans for treatment units of other manufacturers than "
            "Varian, and doses without a plan.",
            kind=Kind.FLAG,
            default=False,
        ),
        Option(
            "dryRun",
            "List what would be sent, in order, with mapped machines; send nothing.",
            kind=Kind.FLAG,
            default=False,
        ),
        Option(
            "associations",
            "Images are sent over so many associations at a time.",
            kind=Kind.NUMBER,
            default=4,
        ),
    ),
    notes="""\
Order: for each plan the images of its structure set, the structure set, the plan, its cone-beam
images, doses, RT images, registered images and structure sets, treatment records; then what no
plan is connected with. It stops at the first object of a plan that is not stored, so that it can
be repaired; with --statusFileName the same command then goes on where it stopped.

Several values stand after one option (--machineMapping A=B C=D) or after each of several. Files
are never changed: names of machines are replaced in the copy that is sent.

Exit code: 0 when everything that is to be sent is stored, 1 otherwise.""",
)
