"""A C-MOVE destination that counts, on pynetdicom; it keeps no data set."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pynetdicom import AE, evt
from pynetdicom.events import Event

from dicomio.pynetdicom_config import configure
from tests.peers.dcmtk import Node
from tests.peers.processes import LOOPBACK

VERIFICATION = "1.2.840.10008.1.1"


@dataclass
class Receiver:
    """What came so far; appended to by the association's thread."""

    node: Node
    uids: list[str] = field(default_factory=list)
    on_store: Callable[[], int] = lambda: 0x0000
    """Called for each instance; its DIMSE status is the answer."""


@contextlib.contextmanager
def receiver(
    ae_title: str = "RECEIVER", *, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Yield a Storage and Verification SCP for every SOP class on a free loopback port."""
    configure()
    came = Receiver(Node(ae_title, 0))

    def store(event: Event) -> int:
        came.uids.append(str(event.request.AffectedSOPInstanceUID))
        return came.on_store()

    entity = AE(ae_title)
    entity.add_supported_context(VERIFICATION)
    server = entity.start_server(
        (LOOPBACK, 0), block=False, ssl_context=tls, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    assert server is not None
    came.node = Node(ae_title, server.server_address[1])
    try:
        yield came
    finally:
        entity.shutdown()
