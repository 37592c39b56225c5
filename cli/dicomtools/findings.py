"""What a diagnosis observes, and what it advises: in the words of the command line's options."""

from __future__ import annotations

from dicomio.diagnosis.advice import Advice, Words
from dicomio.diagnosis.findings import Finding, Outcome

ADVICE = Advice(
    Words(
        here="this computer",
        host="--hostName",
        port="--hostPort",
        calling="--callingAet",
        called="--calledAet",
        destination="--callingAet",
        listening="DicomStorage.PortNumber",
        use_get="--useGet",
        single_plans="--planId",
        tls="--useTls",
        ca_file="--caFile",
        own_certificate="--certFile and --keyFile",
    )
)
__all__ = ["ADVICE", "Finding", "Outcome"]
