"""The parts of a retrieval without a server: a folder as object store, a receiver for C-MOVE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dicomcore.received import StoredInstance
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.limits import Limits
from dicomio.pacs import DicomPacs
from dicomtools.connection import peer_of
from dicomtools.receiver import receiving
from dicomtools.retrieve_options import RetrieveOptions
from dicomtools.work_folder import WorkFolder
from qr_gateway.receiving import receiver
from qr_gateway.retrieval.executor import Parts


@contextmanager
def composed(options: RetrieveOptions, work: WorkFolder) -> Iterator[Parts]:
    """Yield what the executor works with; the receiver listens only inside the block.

    Raises
    ------
    CommandProblem
        The receiver's port cannot be used.
    InvalidRequest
        A certificate or key cannot be loaded.
    ObjectStoreUnavailable
        The folder of the object store cannot be used.
    """
    with ExitStack() as stack:
        store = DirectoryStore(options.store_path or work.objects)
        stack.callback(store.close)
        lander = Lander(store, _nobody_listens)
        pacs = DicomPacs(peer_of(options))
        if not options.use_get:
            stack.enter_context(receiving(options, lander))
        yield Parts(
            pacs=pacs,
            store=store,
            receive=receiver(lander),
            destination=options.calling_ae_title,
            limits=Limits(),
        )


def _nobody_listens(stored: StoredInstance, calling_ae_title: str) -> None:
    """Announce to no one: there is no index here, and the executor looks into the store."""
    del stored, calling_ae_title
