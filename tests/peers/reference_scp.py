"""pynetdicom's own Storage SCP, as it comes, around the same landing: what ours is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomcore.dimse import status_of
from dicomcore.errors import DicomToolsError
from dicomcore.received import Received, StoredInstance
from dicomio.pynetdicom_config import configure


@contextmanager
def reference_scp(
    land: Callable[[Received], StoredInstance],
    *,
    ae_title: str = "STORE-SCP",
    calling_ae_titles: frozenset[str] = frozenset(),
    require_called_ae_title: bool = False,
    maximum_associations: int = 16,
) -> Iterator[int]:
    """Yield the port of a server that answers as the table in `dicomcore.dimse` says."""
    configure()

    def store(event: evt.Event) -> Dataset:
        response = Dataset()
        try:
            land(
                Received(
                    sop_class_uid=str(event.request.AffectedSOPClassUID),  # type: ignore[union-attr]
                    sop_instance_uid=str(event.request.AffectedSOPInstanceUID),  # type: ignore[union-attr]
                    transfer_syntax_uid=str(event.context.transfer_syntax),
                    data=event.request.DataSet.getvalue(),  # type: ignore[union-attr]
                )
            )
            response.Status = 0x0000
        except DicomToolsError as exc:
            response.Status = status_of(exc)
        return response

    ae = AE(ae_title)
    ae.maximum_associations = maximum_associations
    ae.acse_timeout = 2  # so long it waits after a rejection of its own
    ae.require_calling_aet = sorted(calling_ae_titles)
    ae.require_called_aet = require_called_ae_title
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        for association in ae.active_associations:
            association.join(30)
            association.dul.join(30)
