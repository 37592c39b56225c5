"""The commands and their options, as data; nothing here does anything."""

from __future__ import annotations

from dataclasses import replace

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

_ANONYMIZE = (
    Option(
        "anonymizationKeyFile",
        "Secret of at least 16 bytes, with --anonymize: the same one gives the same new UIDs and "
        "dates every time. Without it, one is made for this command and forgotten.",
    ),
    Option(
        "mapFile",
        "CSV file that who became whom is appended to, with --anonymize; it identifies the patients. "
        "Without it, that is written nowhere.",
    ),
    Option(
        "mapCertificate",
        "Certificates (PEM, RSA) to whose keys who became whom is encrypted, with --anonymize: into "
        "--mapFile, or anonymization_map.csv.p7m beside the folder of --path.",
        kind=Kind.MANY,
        default=(),
        setting="DicomAnonymizer.MapCertificate",
    ),
    Option(
        "encryptAttributes",
        "With --anonymize: the originals of all that is changed go along in every file, encrypted to "
        "--mapCertificate. Who issued that certificate is readable in them.",
        kind=Kind.FLAG,
        default=False,
        setting="DicomAnonymizer.EncryptAttributes",
    ),
    Option(
        "allowPartialExport",
        "With --anonymize: export the other objects if one could not be anonymized.",
        kind=Kind.FLAG,
        default=False,
        setting="DicomAnonymizer.AllowPartialExport",
    ),
    Option(
        "allowBurnedIn",
        "With --anonymize: kinds of objects to export although a name may be visible in their pixels, "
        "like rt_image scout.",
        kind=Kind.MANY,
        default=(),
        choices=("rt_image", "scout", "secondary_capture", "ultrasound", "document"),
        setting="DicomAnonymizer.AllowBurnedIn",
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
        Option("newPatientId", "New patient id for the saved data, with --anonymize."),
        Option("newPatientName", "New patient name for the saved data, with --anonymize."),
        Option("anonymize", "Anonymize all the saved data.", kind=Kind.FLAG, default=False),
        *_ANONYMIZE,
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

--anonymize needs --newPatientId and --newPatientName; several patients become NEW-01, NEW-02 …, in
the order of the list. Profile and options are DicomAnonymizer.SecurityProfileFileName (a profile
that comes with the program, or your own CSV file) and SecurityProfileOptions of appsettings.json;
the default is AriaSecurityProfile with CleanDesc and RetainDeviceIdent. Every object is read again
and compared with its original. If one fails, or a name may be visible in it, nothing is exported,
and manifest.json says why. The originals are in the system's folder for temporary files while the
command runs, or in --storePath.

With --mapCertificate nobody but the holder of the certificate's private key reads who became whom;
'dicomtools reveal' opens it, and, after --encryptAttributes, gives back the original objects. What
is encrypted is different bytes every time: the same key then gives the same values, not the same
files.

Exit code: 0 when everything is there (complete), 1 otherwise.""",
)

_SEARCH_PATTERN = Option("searchPattern", "File search pattern, for example *.dcm.", default="*.*")
_DEFAULT_MACHINES = Option(
    "defaultMachines",
    "DefaultMachines, like RDS=HALCYON 23EX=D: the treatment machine of plans that name none, by "
    "the model of their first beam. *=D: of any other model.",
    kind=Kind.MANY,
    default=(),
)

STORE = Command(
    name="store",
    summary="Store patient data using C-STORE: nothing is sent before what it references.",
    section="StoreOptions",
    options=(
        Option("path", "Path where to search for files to send to SCP.", required=True),
        _SEARCH_PATTERN,
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
        _DEFAULT_MACHINES,
        Option("hostName", "Name of the SCP host.", required=True),
        Option("hostPort", "Port number of the SCP configuration.", kind=Kind.PORT, required=True),
        Option("callingAet", "AET of the sender.", required=True),
        Option("calledAet", "AET of the SCP.", required=True),
        *_TLS,
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
        Option("searchPattern", "File search pattern, for example *.dcm.", default="*.*"),
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
        _SEARCH_PATTERN,
        Option(
            "format",
            "Either flat list or tree; json for programs, html as a page for a browser.",
            choices=("flat", "tree", "json", "html"),
            default="tree",
        ),
        _DEFAULT_MACHINES,
        Option("patientId", "Show this patient only."),
        *_FOLDER,
        *_SERVER,
    ),
    notes=_CACHE_NOTES
    + """

Exit code: 0 when there is something to show, 1 otherwise.""",
)

_OF_RETRIEVE = {option.name: option for option in RETRIEVE.options}

DOCTOR = Command(
    name="doctor",
    summary="Find out why a DICOM system cannot be reached, or does not deliver.",
    section="DoctorOptions",
    options=(
        *(
            replace(_OF_RETRIEVE[name], setting=f"RetrieveOptions.{_OF_RETRIEVE[name].key}")
            for name in ("hostName", "hostPort", "callingAet", "calledAet", "useGet", "useTls")
        ),
        *(
            replace(_OF_RETRIEVE[name], setting=f"RetrieveOptions.{_OF_RETRIEVE[name].key}")
            for name in ("caFile", "certFile", "keyFile", "insecure")
        ),
        Option(
            "patientId",
            "A patient of whom one small object is asked for, to see that it arrives here.",
        ),
        _OF_RETRIEVE["listenPort"],
    ),
    notes="""\
Tries, one after another: the host's name, the network, C-ECHO, C-FIND, whether this computer can
listen, and, with --patientId, whether one small object arrives: by C-MOVE, or with --useGet by
C-GET. It is thrown away. What retrieve would use is taken from options.json: RetrieveOptions.

Exit code: 0 when nothing failed, 1 otherwise.""",
)

COMPLETION = Command(
    name="completion",
    summary="Print what a shell needs to complete commands and options.",
    section="CompletionOptions",
    options=(
        Option(
            "shell",
            "The shell.",
            choices=("bash", "zsh", "fish", "powershell"),
            default="bash",
        ),
    ),
    notes="""\
bash, zsh:   source <(dicomtools completion --shell bash)
fish:        dicomtools completion --shell fish | source
PowerShell:  dicomtools completion --shell powershell | Out-String | Invoke-Expression""",
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

REVEAL = Command(
    name="reveal",
    summary="Open what was encrypted for you: the map of who became whom, or the original objects.",
    section="RevealOptions",
    options=(
        Option(
            "path",
            "An encrypted map (.p7m), or a file or folder of objects exported with "
            "--encryptAttributes.",
            required=True,
        ),
        Option("certFile", "Your certificate (PEM).", required=True),
        Option("keyFile", "Its private key (PEM).", required=True),
        Option("keyPasswordFile", "File with the password of the private key, if it has one."),
        Option(
            "out",
            "File for the map, which is shown otherwise; folder for the objects, which need one.",
        ),
    ),
    notes="""\
What comes out identifies the patients. A file that is there already is not written over.

The map can be opened with OpenSSL as well:
  openssl cms -decrypt -inform DER -in anonymization_map.csv.p7m -recip cert.pem -inkey key.pem

Exit code: 0 when everything was opened, 1 otherwise.""",
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
