"""The C-STORE receiver that C-MOVE delivers to, only while a retrieval runs."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from dicomcore.errors import Unavailable
from dicomio.landing import Lander
from dicomtools.connection import TlsFiles
from dicomtools.problems import CommandProblem
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from store_scp.tls import server_context

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 – the DICOM system opens the connection, from elsewhere
_HINT = (
    "Give another one as DicomStorage.PortNumber in appsettings.json, as DicomStorage__PortNumber "
    "in the environment or as --listenPort (the DICOM system must then deliver there), or use "
    "--useGet, which needs no port."
)


class Receiver(Protocol):
    """Options of a command that is delivered to."""

    @property
    def calling_ae_title(self) -> str: ...

    @property
    def listen_port(self) -> int: ...

    @property
    def tls(self) -> TlsFiles | None: ...


@contextmanager
def receiving(options: Receiver, lander: Lander) -> Iterator[StoreScp]:
    """Listen inside the block; leaving it lets associations finish and closes the port.

    Notes
    -----
    Whoever reaches the port may deliver, if it calls us by our AE title: a DICOM system does not
    always deliver under the title or from the address that it is called by. What nobody asked for
    stays in the work folder and is not exported.

    Raises
    ------
    CommandProblem
        The port is taken, or not allowed; the words name the setting.
    """
    tls = options.tls
    if tls is not None and (tls.cert_file is None or tls.key_file is None):
        raise CommandProblem(
            "With --useTls, C-MOVE delivers to this computer over TLS as well, which needs "
            "--certFile and --keyFile. Give both, or use --useGet."
        )
    scp = StoreScp(
        ScpOptions(
            ae_title=options.calling_ae_title,
            host=ALL_INTERFACES,
            port=options.listen_port,
            require_called_ae_title=True,
            tls=None
            if tls is None or tls.cert_file is None or tls.key_file is None
            else server_context(tls.cert_file, tls.key_file),
        ),
        lander.land,
    )
    try:
        scp.start()
    except Unavailable as exc:
        raise CommandProblem(port_problem(options.listen_port, exc.__cause__)) from exc
    try:
        yield scp
    finally:
        scp.stop()


def port_problem(port: int, cause: BaseException | None) -> str:
    """Return why a port cannot be used, and what to do."""
    code = cause.errno if isinstance(cause, OSError) else None
    if code == errno.EADDRINUSE:
        why = "is in use by another program, perhaps another dicomtools"
    elif code in (errno.EACCES, errno.EPERM):
        why = "needs administrator rights on this computer" if port < 1024 else "is not allowed"
    else:
        why = "cannot be used"
    return f"Port {port}, on which C-MOVE delivers, {why}. {_HINT}"
