"""`retrieve`: its options and their defaults."""

from __future__ import annotations

from dicomtools.commands.shared import PEER, TLS
from dicomtools.options import Command, Kind, Option

DEFAULT_PORT = 104

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
        *PEER,
        Option("useGet", "Use C-GET instead of C-MOVE.", kind=Kind.FLAG, default=False),
        *TLS,
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
