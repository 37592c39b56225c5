"""A connection to a peer: whole reads with an idle timer, over TCP or TLS; every error is ours."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from dicomcore.errors import DicomToolsError, PeerRefused, PeerUnavailable
from dicomcore.walk import Buffer
from dicomio.pacs.intake import Intake
from dicomio.pacs.peer import Peer

POLL_S = 0.2
"""How often `waiting` is called while nothing comes."""
_WRITE_BYTES = 1024 * 1024
"""At most so much in one write: each that gets through starts the idle timer anew."""
_WRITE_PARTS = 512
"""At most so many pieces in one write; systems take 1024 (POSIX: IOV_MAX)."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


def connect(peer: Peer, tls: ssl.SSLContext | None) -> Wire:
    """Return a connection to a peer, TLS handshake done.

    Raises
    ------
    PeerUnavailable
        Unknown host, refused, no answer in time, broken handshake.
    PeerRefused
        TLS cannot be agreed upon, or the peer's certificate is not trusted.
    """
    with mapped_errors(peer):
        sock = socket.create_connection((peer.host, peer.port), timeout=peer.connect_timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname=peer.host)
        except BaseException:
            sock.close()
            raise
    return Wire(sock, peer)


class Wire:
    """Bytes to and from one peer; used by one thread."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self._sock = sock
        self._peer = peer
        self._waiting: Callable[[], None] = _nothing
        self._intake = Intake(self._receive)
        self.timeout_s = peer.connect_timeout_s
        """So long without a byte, or without room for ours, and the peer counts as gone."""

    def take(self, length: int, waiting: Callable[[], None]) -> memoryview:
        """Return the next `length` bytes; valid until the next call.

        Parameters
        ----------
        waiting
            Called before each wait and every `POLL_S` in it; what it raises ends the read.

        Raises
        ------
        PeerUnavailable
            Nothing came for `timeout_s`, the peer closed, or the connection broke.
        """
        self._waiting = waiting
        return self._intake.take(length)

    def source(self, waiting: Callable[[], None]) -> Intake:
        """Return where the next bytes are taken from, with `waiting` called as `take` does."""
        self._waiting = waiting
        return self._intake

    def send(self, data: bytes) -> None:
        """Send all of `data`; `PeerUnavailable` if the peer takes none for `timeout_s`."""
        with mapped_errors(self._peer):
            self._within(self.timeout_s)
            self._sock.sendall(data)

    def send_parts(self, parts: Sequence[Buffer]) -> None:
        """Send pieces one after another, without joining them where the system can do that.

        Raises
        ------
        PeerUnavailable
            The peer took nothing for `timeout_s`, or the connection broke; how much went out is
            not known.
        """
        with mapped_errors(self._peer):
            self._within(self.timeout_s)
            for block in _blocks(parts):
                if self._gathers:
                    self._send_gathered(block)
                else:
                    self._sock.sendall(b"".join(block))

    @property
    def _gathers(self) -> bool:
        # neither Windows nor TLS: an SSLSocket has the method and refuses the call
        return hasattr(self._sock, "sendmsg") and not isinstance(self._sock, ssl.SSLSocket)

    def _send_gathered(self, block: Sequence[Buffer]) -> None:
        sent = self._sock.sendmsg(block)
        if sent == sum(map(len, block)):  # as a rule
            return
        left = deque(memoryview(part) for part in block)
        while True:
            while left and sent >= len(left[0]):
                sent -= len(left.popleft())
            if not left:
                return
            left[0] = left[0][sent:]
            sent = self._sock.sendmsg(left)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _receive(self, target: memoryview) -> int:
        deadline = time.monotonic() + self.timeout_s
        while True:
            self._waiting()
            with mapped_errors(self._peer):
                try:
                    self._within(POLL_S)
                    received = self._sock.recv_into(target)
                except TimeoutError:
                    if time.monotonic() >= deadline:
                        raise
                    continue
                self._acknowledge_now()
            if received == 0:
                raise PeerUnavailable("the peer closed the connection", peer=self._peer.name)
            return received

    def _within(self, timeout_s: float) -> None:
        if self._sock.gettimeout() != timeout_s:  # to set it is a system call
            self._sock.settimeout(timeout_s)

    def _acknowledge_now(self) -> None:
        # Peers write a response, a command set and a data set one after another with Nagle's
        # algorithm on; with delayed acknowledgement each instance then takes 40 ms (measured with
        # Orthanc and dcmqrscp: 22 instances a second). The option holds for one acknowledgement.
        if _QUICKACK is not None:
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _nothing() -> None:
    return None


def _blocks(parts: Sequence[Buffer]) -> Iterator[Sequence[Buffer]]:
    """Put pieces together to writes of a good size."""
    if 0 < len(parts) <= _WRITE_PARTS and sum(map(len, parts)) <= _WRITE_BYTES:
        yield parts
        return
    block: list[Buffer] = []
    size = 0
    for part in parts:
        if block and (size + len(part) > _WRITE_BYTES or len(block) == _WRITE_PARTS):
            yield block
            block, size = [], 0
        block.append(part)
        size += len(part)
    if block:
        yield block


@contextlib.contextmanager
def mapped_errors(peer: Peer) -> Iterator[None]:
    """Turn what sockets and TLS raise into our errors."""
    try:
        yield
    except OSError as exc:  # also ssl.SSLError, socket.gaierror, TimeoutError
        raise _ours(exc, peer) from exc


_ERRORS: Sequence[tuple[type[OSError] | tuple[type[OSError], ...], type[DicomToolsError], str]] = (
    (ssl.SSLCertVerificationError, PeerRefused, "TLS: the peer's certificate is not trusted"),
    (
        (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError),
        PeerUnavailable,
        "TLS: the peer closed the connection",
    ),
    (ssl.SSLError, PeerRefused, "TLS: no agreement with the peer"),
    (TimeoutError, PeerUnavailable, "the peer did not answer in time"),
    (socket.gaierror, PeerUnavailable, "the peer's host name is unknown"),
    (ConnectionRefusedError, PeerUnavailable, "the peer refused the connection"),
    (OSError, PeerUnavailable, "the connection broke"),
)
"""The first that fits, from the particular to the general."""


def _ours(exc: OSError, peer: Peer) -> DicomToolsError:
    error, sentence = next(
        (error, sentence) for kinds, error, sentence in _ERRORS if isinstance(exc, kinds)
    )
    reason = getattr(exc, "verify_message", None) or getattr(exc, "reason", None)
    return error(
        sentence,
        peer=peer.name,
        host=peer.host,
        port=peer.port,
        reason=str(reason) if reason else errno.errorcode.get(exc.errno or 0),
    )
