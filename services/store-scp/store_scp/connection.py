"""A connection that a peer has opened: TLS, deadlines, whole reads, and an end that the peer hears."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from ssl import SSLContext

from dicomcore.walk import Buffer
from dicomio.pacs.intake import Intake

LINGER_S = 5.0
"""So long a peer has to close its side after our last word."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_TIMEVAL = struct.Struct("@ll")
_KERNEL_TIMES = sys.platform == "linux" and _TIMEVAL.size == 16
"""Whether a socket's time-out can be left to the kernel: a read is one system call then, not two."""


class Closed(Exception):
    """The peer has closed the connection, or it broke."""


class Connection:
    """Bytes from and to one peer; used by one thread, but for `wake`."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = self._socket = sock
        self._deadline: float | None = None
        self._timeout_s = LINGER_S
        self.intake = Intake(self._receive)

    def open(self, tls: SSLContext | None, deadline: float) -> None:
        """Set the connection up; all that is read before `within` is called has this deadline.

        Parameters
        ----------
        deadline
            On the monotonic clock, seconds.

        Raises
        ------
        TimeoutError
            The TLS handshake was not done in time.
        Closed
            The peer has gone, or the handshake failed.
        """
        self._deadline = deadline
        try:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._raw.settimeout(self._left())
            if tls is not None:
                self._socket = tls.wrap_socket(self._raw, server_side=True)
        except TimeoutError:
            raise
        except OSError as exc:  # ssl.SSLError is one
            raise Closed from exc

    def within(self, timeout_s: float) -> None:
        """Give each read and write so long from now on."""
        self._deadline, self._timeout_s = None, timeout_s
        with suppress(OSError):  # closed: the next read says so
            if (
                _KERNEL_TIMES and self._socket is self._raw
            ):  # OpenSSL would not know what to make of it
                left = _TIMEVAL.pack(int(timeout_s), int(timeout_s % 1 * 1e6) or 1)
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, left)
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, left)
                self._raw.settimeout(None)
            else:
                self._socket.settimeout(timeout_s)

    def send(self, parts: Iterable[Buffer]) -> None:
        """Send pieces together.

        Raises
        ------
        TimeoutError, Closed
        """
        try:
            self._socket.sendall(b"".join(parts))
        except TimeoutError:
            raise
        except BlockingIOError as exc:  # the kernel's time-out
            raise TimeoutError from exc
        except OSError as exc:
            raise Closed from exc

    def wake(self) -> None:
        """Make a read that waits, in another thread, see the end; what is sent still goes out."""
        with suppress(OSError):
            # not SSLSocket's own method, which would make the other thread go on without TLS
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def linger(self, last_word: bytes) -> None:
        """Send a last PDU, let the peer read it and close, then close.

        To close at once, with bytes of the peer unread, would take the PDU back (RFC 1122 4.2.2.13).
        """
        self._deadline = time.monotonic() + LINGER_S
        with suppress(TimeoutError, Closed):
            self._socket.settimeout(LINGER_S)
            self.send([last_word])
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_WR)
            scrap = memoryview(bytearray(65536))
            while True:
                self._receive(scrap)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._socket.close()
        self._raw.close()

    def _left(self) -> float:
        if self._deadline is None:
            return self._timeout_s
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _receive(self, target: memoryview) -> int:
        try:
            if self._deadline is not None:
                self._socket.settimeout(self._left())
            count = self._socket.recv_into(target)
            if _QUICKACK is not None:
                # Modalities write a command set and a data set one after the other with Nagle's
                # algorithm on; a delayed acknowledgement then costs 40 ms for each instance.
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except TimeoutError:
            raise
        except BlockingIOError as exc:  # the kernel's time-out
            raise TimeoutError from exc
        except OSError as exc:
            raise Closed from exc
        except ValueError as exc:  # what SSLSocket raises after `wake` on some versions
            raise Closed from exc
        if not count:
            raise Closed
        return count
