"""What usually helps, in the words of those who read it: options of a command, fields of a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomcore.errors import DicomToolsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How settings are called where the advice is read."""

    here: str
    """This computer."""
    host: str
    port: str
    calling: str
    called: str
    destination: str
    """The AE title that C-MOVE delivers to."""
    listening: str
    """Behind `the port`."""
    use_get: str
    single_plans: str
    tls: str
    ca_file: str
    own_certificate: str


@dataclass(frozen=True, slots=True)
class Advice:
    """Sentences, made once from the words."""

    words: Words
    client_to_server: str = field(init=False)
    server_to_client: str = field(init=False)
    same_ports: str = field(init=False)
    spelling: str = field(init=False)
    running: str = (
        "Is the DICOM service running? On Eclipse and ARIA: are the DICOM services enabled, started "
        "and listening?"
    )
    registered: str = field(init=False)
    called: str = field(init=False)
    destination: str = field(init=False)
    use_get: str = field(init=False)
    tls_names: str = field(init=False)
    no_tls_there: str = field(init=False)
    own_certificate: str = field(init=False)
    many_plans: str = field(init=False)
    network: str = field(init=False)

    def __post_init__(self) -> None:
        words = self.words
        for name, sentence in {
            "client_to_server": (
                f"Is the firewall open from {words.here} to the DICOM system, on the system's own "
                "port?"
            ),
            "server_to_client": (
                f"Is the firewall open from the DICOM system to {words.here}, on the port "
                f"{words.listening}? C-MOVE delivers over a connection of its own, in that direction."
            ),
            "same_ports": (
                f"Do {words.host} and {words.port} name what the DICOM system listens on?"
            ),
            "spelling": f"Is {words.host} spelt right? An IP address does without DNS.",
            "registered": (
                f"Is {words.calling} registered in the DICOM system as a trusted application entity, "
                "spelt the same, upper and lower case alike?"
            ),
            "called": (
                f"Is {words.called} the title of the DICOM system's own application entity?"
            ),
            "destination": (
                f"Is {words.destination} registered in the DICOM system as a destination, with "
                f"{words.here}'s address and the port {words.listening}?"
            ),
            "use_get": f"{words.use_get} needs no connection back, where the DICOM system has C-GET.",
            "tls_names": (
                f"{words.ca_file} names the certificates to trust; the name in the system's "
                f"certificate must be the one that {words.host} gives."
            ),
            "no_tls_there": (
                f"Does the system speak TLS on this port? Without {words.tls} it must not."
            ),
            "own_certificate": f"{words.own_certificate}, if it asks for a certificate.",
            "many_plans": (
                "Eclipse and ARIA may answer C-MOVE for patients with more than 30 plan series with "
                f"'Cannot understand - Unexpected exception during MOVE'. {words.single_plans} asks "
                "for single plans; where that is refused as well, try another patient to see that "
                "the connection works, and send the server's log to its support."
            ),
            "network": f"Is {words.here} in the network that leads there?",
        }.items():
            object.__setattr__(self, name, sentence)

    def of_connection(self, error: DicomToolsError) -> tuple[str, ...]:
        """Return what usually helps where a connection or association is not had."""
        said = f"{error.sentence} {error.facts.get('reason') or ''}"
        return next(
            (advice for sign, advice in self._by_sign() if sign in said),
            (self.running, self.client_to_server, self.registered, self.called),
        )

    def _by_sign(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return advice by words of the error, from the particular to the general."""
        other = "Another service listens on this port, or the port wants TLS."
        disabled = f"The service is not enabled for {self.words.calling} in the DICOM system."
        return (
            ("calling AE title not recognised", (self.registered,)),
            ("called AE title not recognised", (self.called,)),
            (
                "rejected the association for the moment",
                ("The system is busy: try again later.",),
            ),
            ("rejected the association", (self.registered, self.called)),
            ("certificate is not trusted", (self.tls_names,)),
            ("TLS", (self.no_tls_there, self.own_certificate)),
            ("host name is unknown", (self.spelling,)),
            ("refused the connection", (self.running, self.same_ports)),
            ("did not answer in time", (self.client_to_server, self.same_ports)),
            ("closed the connection", (self.registered, self.same_ports)),
            ("is not DICOM", (self.same_ports, other)),
            ("does not offer", (disabled,)),
            (
                "accepts no presentation context",
                (f"Is the service enabled for {self.words.calling} there?",),
            ),
        )
