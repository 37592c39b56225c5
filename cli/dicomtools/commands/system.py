"""A system on this machine, and made-up ones to try it on: `up`, `demo` and `demo-pacs`."""

from __future__ import annotations

from dicomtools.options import Command, Kind, Option

UP = Command(
    name="up",
    summary="Run store-scp, indexer and qr-gateway in one process, for this machine only.",
    section="UpOptions",
    options=(
        Option("data", "Folder that holds objects, events, jobs and index.", default="data"),
        Option(
            "port", "Port of the HTTP interface and the web page.", kind=Kind.PORT, default=8080
        ),
        Option(
            "dicomPort",
            "Port on which C-STORE is received.",
            kind=Kind.PORT,
            default=11112,
        ),
        Option("aet", "AET of this system.", default="DICOMTOOLS"),
        Option(
            "peer",
            "A DICOM system to retrieve from, as NAME=AET@host:port.",
            kind=Kind.MANY,
            default=(),
        ),
        Option("peersFile", "More of them in a file, JSON or TOML, with TLS and quirks."),
        Option("open", "Open the web page in the browser.", kind=Kind.FLAG, default=False),
    ),
    notes="Stops cleanly on Ctrl-C: associations finish, events are written, then the ports close.",
)

_SIZE = Option(
    "size",
    "How large the made-up patient is: about 0.4, 94 or 343 MB.",
    choices=("small", "medium", "full"),
    default="medium",
)

DEMO = Command(
    name="demo",
    summary="Retrieve one plan of a made-up patient of 12 plans from a made-up DICOM system.",
    section="DemoOptions",
    options=(
        Option("planId", "The plan to retrieve.", default="VMAT_B"),
        Option("path", "Path where to export files.", default="demo-export"),
        _SIZE,
    ),
    notes="Everything stays on this computer; the patient is nobody.",
)

FAULTS = (
    Option(
        "successWithNothing",
        "So many retrievals are answered Success and send nothing.",
        kind=Kind.NUMBER,
    ),
    Option("dropEveryNth", "Every n-th image is not sent, but counted as sent.", kind=Kind.NUMBER),
    Option("dropTimes", "So many times each of them.", kind=Kind.NUMBER),
    Option(
        "refuseUidListsLongerThan",
        "Retrievals of more UIDs at once are refused.",
        kind=Kind.NUMBER,
    ),
    Option(
        "failAbovePlanSeries",
        "Retrievals above instance level fail for a patient with more plan series.",
        kind=Kind.NUMBER,
    ),
    Option("noInstanceLevel", "Nothing can be asked for at instance level.", kind=Kind.FLAG),
    Option("returnEverything", "Queries are answered with everything.", kind=Kind.FLAG),
    Option("abortAfter", "Retrievals are aborted after so many instances.", kind=Kind.NUMBER),
    Option("abortTimes", "So many retrievals are aborted.", kind=Kind.NUMBER),
    Option("stallAfter", "Retrievals stall after so many instances.", kind=Kind.NUMBER),
    Option("stallS", "So many seconds.", kind=Kind.NUMBER),
    Option("stallTimes", "So many retrievals stall.", kind=Kind.NUMBER),
    Option(
        "rejectEveryNth", "Every n-th association is rejected for the moment.", kind=Kind.NUMBER
    ),
    Option("omitRtPlanLabel", "Queries do not tell RT Plan Label.", kind=Kind.FLAG),
    Option("omitOptionalKeys", "Queries tell unique and required keys only.", kind=Kind.FLAG),
    Option("unretrievable", "SOP Instance UIDs that are listed and never sent.", kind=Kind.MANY),
    Option(
        "failEmptyBeamSequence", "Plans with an empty Beam Sequence are never sent.", kind=Kind.FLAG
    ),
)
"""Named as the fields of `dicomtools.demo.faults.Faults`, and as strict as they are: all off."""

DEMO_PACS = Command(
    name="demo-pacs",
    summary="Run a DICOM system to try things on: Query/Retrieve over a folder or made-up patients.",
    section="DemoPacsOptions",
    options=(
        Option("path", "Folder whose DICOM files it holds; without: a made-up patient."),
        _SIZE,
        Option("port", "Port on which it listens.", kind=Kind.PORT, default=11113),
        Option(
            "bindAddress",
            "Address on which it listens; 0.0.0.0 inside a container.",
            default="127.0.0.1",
        ),
        Option("aet", "AET of the system.", default="DEMO_PACS"),
        Option(
            "destination",
            "Where C-MOVE may deliver, as AET=host:port.",
            kind=Kind.MANY,
            default=(),
        ),
        *FAULTS,
    ),
    notes="It listens on this computer only unless told otherwise, without authentication. "
    "Ctrl-C ends it.",
)
