"""The least that keeps the promises: what a receiver in Python can come near to, in the same run.

A thread for each association receives, hashes, writes the file past the page cache, syncs it, gives it
its name, syncs the folder, commits one row, and answers. Nothing is parsed, checked, counted, logged or
named by its content; a peer that does not follow the protocol to the letter ends it with a traceback.
"""

# Paths are strings, as on the way of each object in the project itself.
# ruff: noqa: PTH108

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from dicomio.aligned import aligned
from dicomio.durable import sync_directory
from dicomio.local_stream import INSERT_NEW, SCHEMA
from dicomio.new_files import NewFiles
from dicomio.pacs import commands, pdu
from dicomio.pacs.intake import Intake
from dicomio.parts import Parts
from store_scp import negotiation
from store_scp.options import ScpOptions

_HASHED_BYTES = 256 * 1024
_HEADER_BYTES = 336
"""As long as a Part 10 header."""
_EVENT = b"x" * 900


@contextmanager
def bare(folder: Path) -> Iterator[int]:
    """Listen on a port until the block ends."""
    keep = _Keep(folder)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, keep), daemon=True).start()
        yield int(listening.getsockname()[1])


def _accept(listening: socket.socket, keep: _Keep) -> None:
    with suppress(OSError):  # closed
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection, keep), daemon=True).start()


class _Keep:
    """Files that are on the medium under their names, and a row for each."""

    def __init__(self, folder: Path) -> None:
        self._staging, self._objects = folder / "staging", folder / "objects"
        self._staging.mkdir()
        self._objects.mkdir()
        self._files = NewFiles()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(
            folder / "events.db", isolation_level=None, check_same_thread=False
        )
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.executescript(SCHEMA)

    def keep(self, header: bytes, data: memoryview) -> None:
        """Return when the object and its announcement survive a power cut."""
        name = str(next(self._numbers))
        staged = f"{self._staging}/{name}"
        self._files.write(staged, Parts([header, data]))
        os.link(staged, f"{self._objects}/{name}")
        os.unlink(staged)
        sync_directory(self._objects)
        message_id = f"{uuid4().hex}-{uuid4().hex}"
        with self._lock:
            self._rows.execute(INSERT_NEW, (message_id, "stored", _EVENT, 0.0, message_id, 0.0))


def _serve(connection: socket.socket, keep: _Keep) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(target: memoryview) -> int:
        count = connection.recv_into(target)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return count

    intake = Intake(receive)
    _, length = pdu.HEADER.unpack(intake.take(pdu.HEADER.size))
    request = negotiation.decoded(bytes(intake.take(length)))
    agreement = negotiation.agreement(request, ScpOptions(port=0))
    connection.sendall(agreement.pdu)
    memory, header = aligned(1 << 20), bytes(_HEADER_BYTES)
    while True:
        kind, length = pdu.HEADER.unpack(intake.take(pdu.HEADER.size))
        if kind != pdu.P_DATA_TF:
            connection.sendall(pdu.release_reply())
            connection.close()
            return
        value_length, context_id, _ = pdu.VALUE_HEADER.unpack(intake.take(pdu.VALUE_HEADER.size))
        command = commands.decode(intake.take(value_length - 2))
        digest, hashed = hashlib.sha256(header), len(header)
        end, is_last = hashed, False
        while not is_last:
            intake.take(pdu.HEADER.size)
            value_length, _, control = pdu.VALUE_HEADER.unpack(intake.take(pdu.VALUE_HEADER.size))
            intake.take_into(memory[end : end + value_length - 2])
            end, is_last = end + value_length - 2, bool(control & pdu.LAST)
            if end - hashed >= _HASHED_BYTES or is_last:
                digest.update(memory[hashed:end])
                hashed = end
        keep.keep(header, memory[len(header) : end])
        answer = commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: command.text(commands.AFFECTED_SOP_CLASS_UID),
                commands.COMMAND_FIELD: command.field | commands.RESPONSE,
                commands.MESSAGE_ID_BEING_RESPONDED_TO: command.message_id,
                commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
                commands.STATUS: 0,
                commands.AFFECTED_SOP_INSTANCE_UID: command.text(
                    commands.AFFECTED_SOP_INSTANCE_UID
                ),
            }
        )
        parts = pdu.fragments(context_id, pdu.COMMAND, answer, max_pdu=agreement.max_pdu)
        connection.sendall(b"".join(parts))
