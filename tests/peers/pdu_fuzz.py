"""Conversations that no sane peer has: PDUs mutated, reordered, slow, half-closed, cut."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.instances import CT_IMAGE, ROOT, RT_PLAN, encode, instance
from tests.peers.raw_scu import association_request, command_set

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"
ANSWER_S = 60.0
"""In which the server has to end its side when ours is closed."""
_INTERESTING = (0, 1, 2, 3, 4, 5, 6, 7, 0x7F, 0x80, 0xFE, 0xFF)


def fuzz(port: int, cases: int, *, seed: int = 0, workers: int = 8) -> Counter[str]:
    """Run some cases; return how many ended in which way."""

    def some(worker: int) -> Counter[str]:
        chance = random.Random(f"{seed}-{worker}")
        return Counter(one_case(port, chance) for _ in range(worker, cases, workers))

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(some, range(workers)), Counter[str]())


def one_case(port: int, chance: random.Random) -> str:
    """Have one conversation; return how it ended.

    Raises
    ------
    AssertionError
        The server did not close its side in time after ours was closed.
    """
    pdus = _mutated(_conversation(chance), chance)
    end = chance.choice(("close", "close", "half-close", "half-close", "reset"))
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _send(connection, pdus, chance)
            if end == "half-close":
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            elif end == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif chance.random() < 0.3:
                connection.settimeout(0.05)
                with suppress(TimeoutError):
                    connection.recv(65536)
        except TimeoutError as exc:
            raise AssertionError("the server did not end the association") from exc
        except OSError:
            return "closed by the server"
    return end


def _conversation(chance: random.Random) -> list[bytes]:
    request = association_request(
        [(RT_PLAN, IMPLICIT), (CT_IMAGE, IMPLICIT), (VERIFICATION, IMPLICIT)]
    )
    pdus = [_pdu(1, request)]
    for _ in range(chance.randrange(4)):
        if chance.random() < 0.3:
            pdus.append(_pdu(4, _value(5, 3, _command(0x30, VERIFICATION, 0x0101))))
            continue
        data = encode(instance(chance.randrange(5), size_bytes=chance.choice((10, 2_000, 40_000))))
        pdus.append(_pdu(4, _value(1, 3, _command(0x01, RT_PLAN, 1))))
        step = chance.choice((100_000, 16_000, 999))
        for start in range(0, len(data), step):
            last = 2 if start + step >= len(data) else 0
            pdus.append(_pdu(4, _value(1, last, data[start : start + step])))
    pdus.append(_pdu(chance.choice((5, 5, 7)), bytes(4)))
    return pdus


def _mutated(pdus: list[bytes], chance: random.Random) -> list[bytes]:
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at = chance.randrange(len(pdus))
        match chance.randrange(9):
            case 0 if len(pdus) > 1:
                del pdus[at]
            case 1:
                pdus.insert(at, pdus[chance.randrange(len(pdus))])
            case 2:
                chance.shuffle(pdus)
            case 3:
                pdus[at] = pdus[at][: chance.randrange(len(pdus[at]) + 1)]
            case 4:
                pdus.insert(at, _pdu(chance.randrange(256), chance.randbytes(chance.randrange(80))))
            case _:
                pdus[at] = _changed(pdus[at], chance)
    return pdus


def _changed(pdu: bytes, chance: random.Random) -> bytes:
    """Change bytes, mostly where lengths, types and identifiers are."""
    mutant = bytearray(pdu)
    for _ in range(chance.choice((1, 1, 2, 8))):
        span = len(mutant) if chance.random() < 0.3 else min(len(mutant), 100)
        at = chance.randrange(max(span, 1))
        if chance.random() < 0.5:
            mutant[at : at + 1] = bytes([chance.choice(_INTERESTING)])
        else:
            mutant[at : at + 4] = chance.randbytes(chance.choice((1, 4, 4, 7)))
    return bytes(mutant)


def _send(connection: socket.socket, pdus: Sequence[bytes], chance: random.Random) -> None:
    if chance.random() < 0.9:
        for pdu in pdus:
            connection.sendall(pdu)
        return
    everything = b"".join(pdus)[:3_000]
    step = chance.choice((1, 7, 100))
    for start in range(0, len(everything), step):
        connection.sendall(everything[start : start + step])
        if chance.random() < 0.02:
            time.sleep(0.002)  # a slow writer, which is what is tried


def _pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def _value(context_id: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment


def _command(field: int, sop_class_uid: str, data_set: int) -> bytes:
    uid = sop_class_uid.encode()
    sop = f"{ROOT}.3.1".encode()
    return command_set(
        (0x0002, uid + b"\0" * (len(uid) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", data_set)),
        (0x1000, sop + b"\0" * (len(sop) % 2)),
    )
