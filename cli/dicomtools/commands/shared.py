"""Options that several commands have."""

from __future__ import annotations

from dicomtools.options import Kind, Option

PEER = (
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

TLS = (
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

SEARCH_PATTERN = Option("searchPattern", "File search pattern, for example *.dcm.", default="*.*")

DEFAULT_MACHINES = Option(
    "defaultMachines",
    "DefaultMachines, like RDS=HALCYON 23EX=D: the treatment machine of plans that name none, by "
    "the model of their first beam. *=D: of any other model.",
    kind=Kind.MANY,
    default=(),
)
