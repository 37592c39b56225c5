"""A Storage and Verification SCP: any storage class, any transfer syntax, bytes as they came."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import CollectorRegistry

from dicomcore.errors import Unavailable
from dicomio.pynetdicom_config import configure
from dicomio.tracing import NO_TRACER, Tracer
from store_scp.admission import Admission
from store_scp.association import Surroundings
from store_scp.cstore import Land, StoreHandler
from store_scp.listener import Listener, bound_socket
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions
from store_scp.tally import Record, no_audit

log = structlog.get_logger()


class StoreScp:
    """Receives instances and hands them to `land`; a context manager, or `start` and `stop`.

    `land` is called in the association's thread. What it returns without error is answered Success;
    an error is answered by the table in `dicomcore.dimse`.

    Notes
    -----
    PS3.4 B (Storage), A (Verification).
    """

    def __init__(
        self,
        options: ScpOptions,
        land: Land,
        *,
        metrics: ScpMetrics | None = None,
        record: Record = no_audit,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._options = options
        self._metrics = metrics if metrics is not None else ScpMetrics(CollectorRegistry())
        self._store = StoreHandler(land, self._metrics, tracer)
        self._record = record
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The bound port; the configured one before `start`."""
        return self._options.port if self._listener is None else self._listener.port

    @property
    def accepting(self) -> bool:
        """Whether associations are accepted now."""
        return self._listener is not None

    def start(self) -> None:
        """Bind, and accept associations from now on.

        Raises
        ------
        Unavailable
            The address cannot be bound.
        """
        configure()
        options = self._options
        try:
            if options.listen_descriptor is not None:
                bound = socket.socket(fileno=socket.dup(options.listen_descriptor))
            else:
                bound = bound_socket(options.host, options.port)
        except OSError as exc:
            raise Unavailable(
                "DICOM port cannot be bound", host=options.host, port=options.port
            ) from exc
        surroundings = Surroundings(
            options=options,
            store=self._store,
            admission=Admission(options.maximum_associations, self._metrics.open_associations),
            happened=lambda outcome: self._metrics.associations.labels(outcome).inc(),
            record=self._record,
        )
        self._listener = Listener(
            bound, surroundings, maximum_connections=2 * options.maximum_associations + 8
        )
        self._listener.start()
        log.info("scp_started", ae_title=options.ae_title, host=options.host, port=self.port)

    def stop(self, grace_s: float | None = None) -> None:
        """Stop to accept, let associations finish for `grace_s`, abort the rest; return when all is gone.

        No error if it is stopped already.
        """
        listener, self._listener = self._listener, None
        if listener is None:
            return
        finished, aborted = listener.stop(self._options.grace_s if grace_s is None else grace_s)
        log.info("scp_stopped", associations_finished=finished, aborted=aborted)

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
