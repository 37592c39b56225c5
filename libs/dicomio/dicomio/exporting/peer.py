"""The destination that is a DICOM peer: nothing is sent before all is there, nothing before what it references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomcore.errors import Unavailable
from dicomcore.export import Manifest
from dicomcore.header import read_header
from dicomcore.model import InstanceHeader
from dicomcore.ports import Outgoing, Pacs, StoreOutcome
from dicomcore.sending.order import plan_sends
from dicomcore.sending.payload import outgoing, transfer_syntax_of
from dicomcore.sending.values import Policy, Send
from dicomio.exporting.bucket import BucketDestination
from dicomio.exporting.pieces import Piece
from dicomio.exporting.publishing import NotTaken
from dicomio.sending import SendParts, send_all

NOT_READABLE = "it cannot be read, so it cannot be sent"
NOT_TRIED = "it was not tried"
ANOTHER_VERSION = "another version of it was sent"


@dataclass(frozen=True, slots=True)
class Line:
    """The way to a peer, and what is told on it."""

    pacs: Pacs
    associations: int
    sent: Iterable[str] = ()
    """SOP Instance UIDs that the peer has from an earlier attempt."""
    told: Callable[[str], None] = lambda _uid: None
    """Hears of each instance that the peer has acknowledged."""
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class _Waiting:
    path: Path
    header: InstanceHeader
    transfer_syntax_uid: str


class PeerDestination:
    """Sends what was added, in an order that a treatment planning system can take.

    Parameters
    ----------
    waiting
        A folder that nobody else reads, for what is to be sent.
    kept
        Where the manifest is written: a peer has no place for it.
    """

    def __init__(self, line: Line, waiting: Path, kept: BucketDestination) -> None:
        self._line = line
        self._folder = waiting
        self._kept = kept
        self._waiting: dict[InstanceHeader, _Waiting] = {}
        self._unreadable: list[str] = []
        self._sent = set(line.sent)

    def add(self, piece: Piece) -> None:
        header = read_header(piece.body, complete=True)
        if header is None:
            self._unreadable.append(piece.entry.sop_instance_uid)
            return
        path = piece.staged
        if path is None:
            path = self._folder / f"{len(self._waiting)}.out"
            try:
                path.write_bytes(piece.body)
            except OSError as exc:
                raise Unavailable(
                    "the folder for temporary files cannot be used", problem=exc.strerror
                ) from exc
        syntax = transfer_syntax_of(piece.body)
        self._waiting[header] = _Waiting(path, header, syntax)

    def settle(self) -> Sequence[NotTaken]:
        """Send; return what the peer does not have, and why.

        Raises
        ------
        PeerUnavailable, PeerRefused
            There is no association to be had (any more).
        """
        plan = plan_sends(self._waiting, Policy(any_receiver=True))
        not_taken = [NotTaken(uid, NOT_READABLE) for uid in self._unreadable]
        not_taken += [NotTaken(_uid(held.header), ANOTHER_VERSION) for held in plan.held_back]
        report = send_all(
            plan.without(self._sent),
            SendParts(self._line.pacs, self._outgoing, self._line.associations),
            told=self._told,
            cancelled=self._line.cancelled,
        )
        if report.error is not None:
            raise report.error
        not_taken += [NotTaken(send.uid, outcome.problem) for send, outcome in report.failed]
        not_taken += [NotTaken(send.uid, NOT_TRIED) for send in report.not_sent]
        return not_taken

    def finish(self, manifest: Manifest) -> None:
        self._kept.finish(manifest)

    def undo(self) -> None:
        """What a peer has acknowledged is its own."""

    def _told(self, send: Send, outcome: StoreOutcome) -> None:
        if outcome.stored:
            self._sent.add(send.uid)
            self._line.told(send.uid)

    def _outgoing(self, send: Send) -> Outgoing:
        waiting = self._waiting[send.header]
        return outgoing(waiting.header, waiting.transfer_syntax_uid, waiting.path.read_bytes)


def _uid(header: InstanceHeader) -> str:
    return header.ref.sop_instance_uid
