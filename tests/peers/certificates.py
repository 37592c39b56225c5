"""Certificates for tests, made by the program `openssl`."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.processes import LOOPBACK, required_program

HERE = f"IP:{LOOPBACK},DNS:localhost"


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate, which is its own authority, and its key."""

    cert_file: Path
    key_file: Path

    def server(self, *, clients: Identity | None = None) -> ssl.SSLContext:
        """Return the context of a server that shows this certificate.

        Parameters
        ----------
        clients
            The authority of the certificates that clients must show; None: they need none.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert_file, self.key_file)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.cert_file)
        return context


Issue = Callable[..., Identity]


@pytest.fixture(scope="session")
def issue(tmp_path_factory: pytest.TempPathFactory) -> Issue:
    """Return a function from a name (and what the certificate is good for) to an identity."""
    openssl = required_program("openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, *, alternative_names: str = HERE) -> Identity:
        cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-keyout", str(key_file), "-out", str(cert_file), "-subj", f"/CN={name}",
             "-addext", f"subjectAltName={alternative_names}"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        return Identity(cert_file, key_file)

    return make
