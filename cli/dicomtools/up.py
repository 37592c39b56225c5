"""`dicomtools up`: the three services in one process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dicomcore.errors import Unavailable
from dicomio.peers import PeerSettings, read_peers
from dicomtools.addresses import ae_title, parse_peer
from dicomtools.config import Values
from dicomtools.log_level import configure_logs
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer
from dicomtools.system import LOOPBACK, RunningSystem, SystemOptions, running_system

OK = 0


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Run until Ctrl-C or SIGTERM.

    Raises
    ------
    CommandProblem
        A port cannot be used, or a peer cannot be understood.
    InvalidRequest
        The file of peers cannot be read.
    """
    configure_logs(layers, default="info")
    options = SystemOptions(
        data=Path(values.text("data")),
        http_port=values.number("port"),
        dicom_port=values.number("dicomPort"),
        ae_title=ae_title(values.text("aet"), option="aet"),
        peers=peers_of(values),
    )
    asyncio.run(_until_stopped(options, browse=values.flag("open")))
    return OK


def peers_of(values: Values) -> dict[str, PeerSettings]:
    """Return the peers of the file, and those of the command line, which win.

    Raises
    ------
    CommandProblem
        One on the command line cannot be understood.
    InvalidRequest
        The file cannot be read.
    """
    peers = read_peers(Path(values.text("peersFile"))) if values.text("peersFile") else {}
    for text in values.many("peer"):
        name, title, host, port = parse_peer(text, option="peer")
        peers[name] = PeerSettings(
            ae_title=title, host=host, port=port, calling_ae_title=values.text("aet").strip()
        )
    return peers


async def _until_stopped(options: SystemOptions, *, browse: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task instead
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        async with running_system(options) as system:
            print(_greeting(options, system), flush=True)
            if browse and not await asyncio.to_thread(webbrowser.open, f"{system.http_url}/"):
                print("There is no browser to open the page in.", flush=True)
            await stopping.wait()
            print("Stopping: what has begun is finished.", flush=True)
    except Unavailable as exc:
        port = exc.facts.get("port")
        if port is None:
            raise
        option = "--dicomPort" if port == options.dicom_port else "--port"
        raise CommandProblem(
            f"Port {port} cannot be used: another program listens there, or it needs administrator "
            f"rights. Give another one with {option}."
        ) from exc


def _greeting(options: SystemOptions, system: RunningSystem) -> str:
    names = (
        ", ".join(sorted(options.peers))
        or "none yet; add them on the page, or by --peer NAME=AET@host:port"
    )
    return (
        f"Page:   {system.http_url}/\n"
        f"HTTP:   {system.http_url}  (what there is: {system.http_url}/openapi.json)\n"
        f"DICOM:  {options.ae_title} on {LOOPBACK}:{system.dicom_port}\n"
        f"Peers:  {names}\n"
        f"Data:   {options.data}\n"
        "Reached from this computer only. Ctrl-C stops it."
    )
