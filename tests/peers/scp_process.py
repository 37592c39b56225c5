"""store-scp's receiver on embedded parts as a process: measured, killed and started again."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from dicomio import logs
from dicomio.bridge import LoopThread
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Announcer, Lander
from dicomio.local_bus import LocalBus
from store_scp.options import ScpOptions
from store_scp.server import StoreScp

ROOT = Path(__file__).parents[2]
ASSOCIATIONS = 64
START_TRIES = 50
SAMPLE_S = 0.02


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    rss_bytes: int
    threads: int
    descriptors: int


class ScpProcess:
    """The process; its folder holds objects, events and its log, and outlives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, on the same port as before; return when it listens."""
        for _ in range(START_TRIES):
            with (self._folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.peers.scp_process", self._folder, str(self.port)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"port "):
                    self._process, self.port = process, int(line.split()[1])
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    return
            # the port is not free again yet
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
            process.stdout.close()
            time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        process.wait(120)
        self._end()
        return process.returncode

    def usage(self) -> Usage:
        """Return what it holds now."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        return Usage(process.memory_info().rss, process.num_threads(), process.num_fds())

    def log(self) -> str:
        """Return what it has logged: warnings and errors."""
        return (self._folder / "log").read_text()

    def _end(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.wait(60)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


class HighWater:
    """The most that a process held while a block ran."""

    def __init__(self, process: ScpProcess) -> None:
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.rss_bytes = 0

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self.rss_bytes = max(self.rss_bytes, self._process.usage().rss_bytes)

    def __enter__(self) -> HighWater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def main() -> None:
    """Receive until standard input is closed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    logs.configure("store-scp", "warning", json=True)
    with LoopThread() as bridge:
        store = DirectoryStore(folder / "objects")
        bus = bridge.call(LocalBus.open(folder / "events.db"), 30)

        def publish(subject: str, body: bytes, message_id: str) -> bool:
            return bus.publish_from_thread(subject, body, message_id=message_id, timeout_s=30)

        options = ScpOptions(
            port=port,
            maximum_associations=ASSOCIATIONS,
            max_instance_bytes=2 << 30,
            spool_folder=folder,
            acse_timeout_s=5,
            network_timeout_s=10,
            grace_s=30,
        )
        with StoreScp(options, Lander(store, Announcer(store, publish).announce).land) as scp:
            print(f"port {scp.port}", flush=True)
            sys.stdin.read()
        bridge.call(bus.close(), 30)


if __name__ == "__main__":
    main()
