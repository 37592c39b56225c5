"""`search` and `show`, which read folders or ask a running system."""

from __future__ import annotations

from dicomtools.commands.shared import DEFAULT_MACHINES, SEARCH_PATTERN
from dicomtools.options import Command, Kind, Option

_FOLDER = (
    Option(
        "processes",
        "At most so many processes read files. Without: as many as there are processors.",
        kind=Kind.NUMBER,
    ),
    Option(
        "noCache",
        "Neither use nor keep what was read of the folder before.",
        kind=Kind.FLAG,
        default=False,
    ),
)
"""What commands that read folders share."""

_SERVER = (
    Option(
        "server",
        "Ask a running system instead of reading a folder: http://host:port.",
    ),
    Option(
        "token",
        "Token for --server. Better in the environment, where no list of processes shows it.",
    ),
)
"""What commands share that can ask a running system as well."""

_CACHE_NOTES = """\
What is read of a folder is kept, so that the next time only files that are new or have changed
are read. It is patient data: it is kept in your own cache folder, for your eyes only, and
forgotten after a month without use."""

SEARCH = Command(
    name="search",
    summary="Search dicom tag values from given path recursive.",
    section="SearchTagOptions",
    options=(
        Option(
            "tag",
            "Dicom tags to search in a format (gggg,eeee)=value, for example "
            "--tag (0010,0020)=PatientId --tag (0008,0060)=CT. All must be in a file.",
            kind=Kind.MANY,
            required=True,
        ),
        Option(
            "path", "Path where to search for files including given tag. Required without --server."
        ),
        SEARCH_PATTERN,
        Option("showStatistics", "Show statistics", kind=Kind.FLAG, default=False),
        Option(
            "showOnlyDirectories",
            "List only directories, not files.",
            kind=Kind.FLAG,
            default=False,
        ),
        *_FOLDER,
        *_SERVER,
    ),
    notes="""\
List all where PatientId is Phantom-1 and show modality:
  --tag "(0010,0020)=Phantom-1" --tag "(0008,0060)=?" --path X:\\Data --searchPattern *.dcm
  --showStatistics
List all treatment unit names:
  --tag "(300A,00B0)/(300A,00B2)=?" --path X:\\Data --searchPattern RP*.dcm --showStatistics
(Where the shell itself expands *, write "*.dcm".)

Tags: (300A,00B2), or its keyword, TreatmentMachineName; in sequences with a slash between them,
BeamSequence/TreatmentMachineName; private ones (3253,1000) or (3253,xx00:creator).
Values: ? tells the value; A* and A?C are texts with wildcards, \\* is a star; numbers are compared
as numbers, 10..20 is a range; 2024 or 202401 is any day in it, 20240101-20240131 a range.
Every tag must match in a file; tags of one sequence must match in the same item of it.

"""
    + _CACHE_NOTES
    + """

Exit code: 0 when something was found, 2 when nothing was found or a tag cannot be understood,
1 otherwise.""",
)

SHOW = Command(
    name="show",
    summary="Shows plans and related data as a tree from given path recursive.",
    section="ShowOptions",
    options=(
        Option("path", "Path where to search for files. Required without --server."),
        SEARCH_PATTERN,
        Option(
            "format",
            "Either flat list or tree; json for programs, html as a page for a browser.",
            choices=("flat", "tree", "json", "html"),
            default="tree",
        ),
        DEFAULT_MACHINES,
        Option("patientId", "Show this patient only."),
        *_FOLDER,
        *_SERVER,
    ),
    notes=_CACHE_NOTES
    + """

Exit code: 0 when there is something to show, 1 otherwise.""",
)
