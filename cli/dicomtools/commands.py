"""The commands and their options, as data; nothing here does anything."""

from __future__ import annotations

from dicomtools.options import Command, Kind, Option

DEFAULT_PORT = 104

_PEER = (
    Option("hostName", "Name of the Dicom Service host.", required=True),
    Option(
        "hostPort",
        "Port number of the Dicom Services configuration.",
        kind=Kind.PORT,
        required=True,
    ),
    Option("callingAet", "AET of the sender.", required=True),
    Option("calledAet", "AET of the Dicom Services.", required=True),
)

_TLS = (
    Option(
        "useTls",
        "Use TLS when connecting. The server's certificate is verified.",
        kind=Kind.FLAG,
        default=False,
    ),
    Option("caFile", "Certificates (PEM) to trust instead of the system's, for TLS."),
    Option("certFile", "Own certificate (PEM), where the server asks for one."),
    Option("keyFile", "Private key (PEM) of --certFile."),
    Option(
        "insecure",
        "Take any certificate. Whoever stands between can read and change everything.",
        kind=Kind.FLAG,
        default=False,
    ),
)

RETRIEVE = Command(
    name="retrieve",
    summary="Retrieve patient data using Q/R: a plan and exactly what it references.",
    section="RetrieveOptions",
    options=(
        Option(
            "patientId",
            "Id of the patient to retrieve data. Several: separated by semicolons.",
            required=True,
        ),
        Option(
            "planId", "Id of the plan to retrieve data: RT Plan Label, exact and case-sensitive."
        ),
        Option("onlyApprovedPlans", "Retrieve only approved plans.", kind=Kind.FLAG, default=False),
        Option("newPatientId", "New patient id for the saved data. Not available yet."),
        Option("newPatientName", "New patient name for the saved data. Not available yet."),
        Option(
            "anonymize",
            "Anonymize all the saved data. Not available yet: nothing is retrieved.",
            kind=Kind.FLAG,
            default=False,
        ),
        Option("path", "Path where to export files.", required=True),
        Option("showTree", "Shows the retrieved data as a tree.", kind=Kind.FLAG, default=False),
        *_PEER,
        Option("useGet", "Use C-GET instead of C-MOVE.", kind=Kind.FLAG, default=False),
        *_TLS,
        Option(
            "force",
            "Do not ask before writing into a folder that holds something.",
            kind=Kind.FLAG,
            default=False,
        ),
        Option(
            "storePath",
            "Folder that keeps the objects between runs, so that only what is new is moved.",
        ),
        Option(
            "listenPort",
            "Port on which C-MOVE delivers.",
            kind=Kind.PORT,
            default=DEFAULT_PORT,
            setting="DicomStorage.PortNumber",
        ),
        Option(
            "json",
            "Progress and result as JSON, one object a line, on standard output.",
            kind=Kind.FLAG,
            default=False,
        ),
    ),
    notes="""\
Without --planId and --onlyApprovedPlans all of the patient's data is retrieved.
With --planId only that plan and what it references, and what references it.

Several patients: --patientId "A;B;C" exports each into a folder of its own below --path; one that
fails does not stop the others. A semicolon that is part of an ID is written \\; (backslash first).

Files are named RP.<SOP Instance UID>.dcm and so on; manifest.json says what each is for and what
is missing. The same command again moves only what is not there yet.

C-MOVE delivers to this computer, on the port DicomStorage.PortNumber of appsettings.json, of the
environment (DicomStorage__PortNumber) or --listenPort: the server must know --callingAet with this
computer's address and that port.

Exit code: 0 when everything is there (complete), 1 otherwise.""",
)

SHOW = Command(
    name="show",
    summary="Shows plans and related data as a tree from given path recursive.",
    section="ShowOptions",
    options=(
        Option("path", "Path where to search for files.", required=True),
        Option("searchPattern", "File search pattern, for example *.dcm.", default="*.*"),
        Option("format", "Either flat list or tree.", choices=("flat", "tree"), default="tree"),
    ),
    notes="Exit code: 0 when at least one DICOM file was read, 1 otherwise.",
)

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
        Option("peersFile", "Peers as JSON, with TLS and quirks; see docs/operations.md."),
    ),
    notes="Stops cleanly on Ctrl-C: associations finish, events are written, then the ports close.",
)

DEMO = Command(
    name="demo",
    summary="Retrieve one plan of a made-up patient of 12 plans from a made-up DICOM system.",
    section="DemoOptions",
    options=(
        Option("planId", "The plan to retrieve.", default=""),
        Option("path", "Path where to export files.", default="demo-export"),
        Option(
            "size",
            "How large the patient is.",
            choices=("small", "medium", "full"),
            default="medium",
        ),
        Option(
            "keep",
            "Leave the demo running after the retrieval, to try the web interface.",
            kind=Kind.FLAG,
            default=False,
        ),
    ),
)
