"""A Storage and Verification SCP: any storage class, any transfer syntax, bytes as they came."""

from __future__ import annotations

import itertools
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, cast
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import

from dicomcore.errors import Unavailable
from dicomio.logs import bound
from dicomio.pynetdicom_config import configure
from store_scp.acceptor import Acceptor
from store_scp.cstore import Land, StoreHandler
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions

log = structlog.get_logger()

ABORT_TIMEOUT_S = 10.0
"""For an aborted association to end its threads."""


class StoreScp:
    """Receives instances and hands them to `land`; a context manager, or `start` and `stop`.

    `land` is called in the association's thread. What it returns without error is answered Success;
    an error is answered by the table in `dicomcore.dimse`.

    Notes
    -----
    PS3.4 B (Storage), A (Verification).
    """

    def __init__(
        self, options: ScpOptions, land: Land, *, metrics: ScpMetrics | None = None
    ) -> None:
        self._options = options
        self._metrics = metrics if metrics is not None else ScpMetrics(CollectorRegistry())
        self._store = StoreHandler(land, self._metrics)
        self._numbers = itertools.count(1)
        self._known: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        self._acceptor: Acceptor | None = None

    @property
    def port(self) -> int:
        """The bound port; the configured one before `start`."""
        if self._acceptor is None:
            return self._options.port
        return int(self._acceptor.server_address[1])

    @property
    def accepting(self) -> bool:
        """Whether associations are accepted now."""
        return self._acceptor is not None

    def start(self) -> None:
        """Bind, and accept associations from now on.

        Raises
        ------
        Unavailable
            The address cannot be bound.
        """
        configure()
        options = self._options
        ae = AE(options.ae_title)
        ae.maximum_associations = options.maximum_associations
        ae.maximum_pdu_size = options.maximum_pdu_bytes
        ae.acse_timeout = options.acse_timeout_s
        ae.network_timeout = options.network_timeout_s
        # an acceptor sends no requests, except for a release that it never asks for
        ae.dimse_timeout = options.network_timeout_s
        ae.require_calling_aet = sorted(options.calling_ae_titles)
        ae.require_called_aet = options.require_called_ae_title
        ae.add_supported_context(Verification)
        try:
            acceptor = ae.make_server(
                (options.host, options.port),
                evt_handlers=self._handlers(),
                server_class=Acceptor,
                ssl_context=options.tls,
                max_instance_bytes=options.max_instance_bytes,
            )
        except OSError as exc:
            raise Unavailable(
                "DICOM port cannot be bound", host=options.host, port=options.port
            ) from exc
        self._acceptor = cast(Acceptor, acceptor)
        self._acceptor.start()
        log.info("scp_started", ae_title=options.ae_title, host=options.host, port=self.port)

    def stop(self, grace_s: float | None = None) -> None:
        """Stop to accept, let associations finish for `grace_s`, abort the rest; return when all is gone.

        No error if it is stopped already.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        acceptor.shutdown()
        deadline = time.monotonic() + (self._options.grace_s if grace_s is None else grace_s)
        running = acceptor.active_associations
        for association in running:
            association.join(max(0.0, deadline - time.monotonic()))
        left = [association for association in running if association.is_alive()]
        for association in left:
            association.abort(block=False)
        deadline = time.monotonic() + ABORT_TIMEOUT_S
        for association in running:
            _end(association, deadline)
        log.info("scp_stopped", associations_finished=len(running) - len(left), aborted=len(left))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_aborted),
        ]

    def _on_store(self, event: Event) -> object:
        with self._bound(event):
            return self._store(event)

    def _on_accepted(self, event: Event) -> None:
        with self._bound(event):
            self._count(event, "accepted")

    def _on_rejected(self, event: Event) -> None:
        with self._bound(event):
            self._count(event, "rejected", warn=True)

    def _on_released(self, event: Event) -> None:
        with self._bound(event):
            self._count(event, "released")

    def _on_aborted(self, event: Event) -> None:
        with self._bound(event):
            self._count(event, "aborted", warn=True)

    def _count(self, event: Event, outcome: str, *, warn: bool = False) -> None:
        self._metrics.associations.labels(outcome).inc()
        request = event.assoc.requestor.primitive
        write = log.warning if warn else log.info
        write(
            f"association_{outcome}", called_ae="" if request is None else request.called_ae_title
        )

    def _bound(self, event: Event) -> AbstractContextManager[None]:
        """Name the association in every log line of a block."""
        association = event.assoc
        if association not in self._known:
            self._known[association] = next(self._numbers)
        return bound(
            association=self._known[association], calling_ae=association.requestor.ae_title
        )


def _end(association: Association, deadline: float) -> None:
    """Wait for both threads of an association; the last resort closes what they wait for."""
    association.join(max(0.0, deadline - time.monotonic()))
    if association.is_alive():
        association.kill()
        association.join(ABORT_TIMEOUT_S)
    association.dul.join(ABORT_TIMEOUT_S)
