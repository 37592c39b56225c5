"""Commands beside the four: `doctor`, `reveal` and `completion`."""

from __future__ import annotations

from dataclasses import replace

from dicomtools.commands.retrieve import RETRIEVE
from dicomtools.options import Command, Option

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
