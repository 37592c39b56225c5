"""C-STORE of 600 CT slices to DCMTK's `storescp +B`: this sender against DCMTK's `dcmsend`.

Both read the same files, send to the same receiver one after the other in the same run, and turn
about, so that neither always has the warmer cache; each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicomcore.part10 import part10_header
from dicomcore.ports import Outgoing, StoreOutcome
from dicomio.pacs import DicomPacs, Peer
from dicomtools.outgoing import find_sources

SLICES = 600
MATRIX = 512
ROOT = "2.25.1234567890"
TARGETS = {1: 0.8, 4: 1.0}
"""Associations → how many times dcmsend's rate is the target."""


@dataclass(frozen=True)
class Receiver:
    """A running `storescp`."""

    port: int
    folder: Path

    def emptied(self) -> int:
        """Return how many files came, and forget them."""
        files = list(self.folder.iterdir())
        for file in files:
            file.unlink()
        return len(files)


def make_slices(folder: Path, number: int) -> list[Path]:
    """Write made-up CT slices of 525 KB."""
    folder.mkdir()
    return [_slice(folder, index) for index in range(number)]


def _slice(folder: Path, index: int) -> Path:
    uid = f"{ROOT}.3.{index + 1}"
    texts = {
        0x00080016: (b"UI", CTImageStorage),
        0x00080018: (b"UI", uid),
        0x00080060: (b"CS", "CT"),
        0x00100010: (b"PN", "BENCH^NOBODY"),
        0x00100020: (b"LO", "BENCH"),
        0x0020000D: (b"UI", f"{ROOT}.1"),
        0x0020000E: (b"UI", f"{ROOT}.2"),
        0x00200013: (b"IS", str(index + 1)),
    }
    words = {0x00280002: 1, 0x00280010: MATRIX, 0x00280011: MATRIX, 0x00280100: 16}
    words |= {0x00280101: 16, 0x00280102: 15, 0x00280103: 0}
    body = b"".join(_text(tag, *value) for tag, value in texts.items())
    body += b"".join(_element(tag, b"US", n.to_bytes(2, "little")) for tag, n in words.items())
    pixels = os.urandom(MATRIX * MATRIX * 2)
    body += b"\xe0\x7f\x10\x00OW\0\0" + len(pixels).to_bytes(4, "little") + pixels
    path = folder / f"CT.{index:04d}.dcm"
    path.write_bytes(part10_header(CTImageStorage, uid, ExplicitVRLittleEndian) + body)
    return path


def _text(tag: int, vr: bytes, text: str) -> bytes:
    padding = b"\0" if vr == b"UI" else b" "
    value = text.encode() + padding * (len(text) % 2)
    return _element(tag, vr, value)


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    group, element = (tag >> 16).to_bytes(2, "little"), (tag & 0xFFFF).to_bytes(2, "little")
    return group + element + vr + len(value).to_bytes(2, "little") + value


@contextmanager
def storescp(folder: Path, environment: dict[str, str]) -> Iterator[Receiver]:
    """Run `storescp +B --fork`: bit for bit to disk, an association in a process of its own."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["storescp", "+B", "--fork", "-aet", "STORESCP", "-od", str(folder), str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Receiver(port, folder)
    finally:
        process.terminate()
        process.wait(10)


def ours(files: list[Path], receiver: Receiver, associations: int) -> None:
    """Send with `DicomPacs.store`."""
    stored: list[Outgoing] = []

    def answered(instance: Outgoing, outcome: StoreOutcome) -> None:
        if not outcome.stored:
            sys.exit(f"not stored: {outcome}")
        stored.append(instance)

    pacs = DicomPacs(Peer("bench", "STORESCP", "127.0.0.1", receiver.port))
    found = find_sources(files)
    pacs.store(
        [source.outgoing() for source in found.by_header.values()],
        answered=answered,
        associations=associations,
        cancelled=lambda: False,
    )


def theirs(files: list[Path], receiver: Receiver, environment: dict[str, str]) -> None:
    """Send with `dcmsend`, one association."""
    command = ["dcmsend", "-q", "-aec", "STORESCP", "127.0.0.1", str(receiver.port), "+sd"]
    done = subprocess.run([*command, str(files[0].parent)], env=environment, check=False)
    if done.returncode:
        sys.exit("dcmsend failed")


def timed(receiver: Receiver, files: list[Path], send: Callable[[], None]) -> float:
    """Return MB/s (1,000,000 bytes) of one run; ends the program if not all has come."""
    size = sum(path.stat().st_size for path in files)
    started = time.perf_counter()
    send()
    seconds = time.perf_counter() - started
    if receiver.emptied() != len(files):
        sys.exit("not everything came")
    return size / seconds / 1e6


def compare(files: list[Path], folder: Path, *, nodelay: bool, rounds: int) -> bool:
    """Print the figures for one setting of DCMTK; return whether every target is met."""
    environment = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}
    if nodelay:
        environment["TCP_NODELAY"] = "1"
    rates: dict[str, list[float]] = {"dcmsend": [], "1": [], "4": []}
    with storescp(folder, environment) as receiver:
        for _ in range(rounds):
            rates["dcmsend"].append(
                timed(receiver, files, lambda: theirs(files, receiver, environment))
            )
            for number in TARGETS:
                rates[str(number)].append(
                    timed(receiver, files, lambda n=number: ours(files, receiver, n))  # type: ignore[misc]
                )
    median = {name: statistics.median(found) for name, found in rates.items()}
    print(f"DCMTK with TCP_NODELAY {'set to 1' if nodelay else 'unset'}, MB/s:")
    print(f"  dcmsend, 1 association:    {median['dcmsend']:7.1f}")
    met = True
    for number, target in TARGETS.items():
        ratio = median[str(number)] / median["dcmsend"]
        met = met and ratio >= target
        print(
            f"  DicomTools, {number} associations: {median[str(number)]:7.1f}"
            f"   ratio {ratio:.2f} (target {target:.1f})"
        )
    return met


def main() -> None:
    """Run both settings and print the ratios; exit code 1 if a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--slices", type=int, default=SLICES)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    if not (shutil.which("storescp") and shutil.which("dcmsend")):
        sys.exit("needs storescp and dcmsend (Debian package dcmtk)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_slices(folder / "slices", given.slices)
        size = files[0].stat().st_size
        print(f"{len(files)} slices of {size / 1000:.0f} KB; load {os.getloadavg()[0]:.2f}")
        met = [
            compare(files, folder / f"received{nodelay:d}", nodelay=nodelay, rounds=given.rounds)
            for nodelay in (False, True)
        ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
