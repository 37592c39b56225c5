"""compose.yaml brought up: its replicas, what they answer, and ways to kill and start them again."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.compose.engine import CommandFailed, Engine, say
from tests.compose.images import ROOT, Images

DEADLINE_S = 300.0
SENDER, DEMO_PACS, STORE_AE_TITLE = "COMPOSE_TEST", "DEMO_PACS", "DICOMTOOLS"
PEERS = json.dumps({"DEMO": {"ae_title": DEMO_PACS, "host": "demo-pacs", "port": 11113}})
SLOW = ("--size", "medium", "--stallAfter", "1", "--stallS", "6", "--stallTimes", "100000")
"""Some 270 instances, and every request of several takes a moment: there are moments to be killed in."""
_STORE = """
import hashlib
from dicomcore.keys import INSTANCES, parse_object_key
from dicomio.s3_store import S3Store
from dicomio.service_settings import S3Settings, NatsSettings, load
store = S3Store(load(S3Settings, NatsSettings)[0].options())
"""
COUNT = _STORE + "print(sum(1 for _ in store.list(INSTANCES)))\nstore.close()\n"
READ_ALL = (
    _STORE
    + """
for stat in store.list(INSTANCES):
    digest = hashlib.sha256(store.get(stat.key))
    print(parse_object_key(stat.key).ref.sop_instance_uid, digest.hexdigest()[:16] in stat.key)
store.close()
"""
)
"""Run where the bucket can be reached: what is in it, and whether its bytes are those of its key."""


@dataclass
class Stack:
    """A project of its own, with its own secrets and volumes; nothing is left of it."""

    engine: Engine
    images: Images
    folder: Path
    seaweedfs: bool = False
    profiles: Sequence[str] = ()
    name: str = field(default_factory=lambda: f"dicomtools-{uuid.uuid4().hex[:8]}")
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        secrets = self.folder / "secrets"
        subprocess.run(
            ["/bin/sh", str(ROOT / "deploy" / "make-secrets.sh"), str(secrets)],
            check=True,
            capture_output=True,
        )
        # port 0: any free one for each replica
        self.environment |= {
            "SECRETS": str(secrets),
            "CALLING_AE_TITLES": f"{DEMO_PACS},{SENDER}",
            **dict.fromkeys(("DICOM_PORTS", "INDEXER_PORTS", "GATEWAY_PORTS"), "0"),
        }
        override: Any = self.images.override(seaweedfs=self.seaweedfs)
        demo = override["services"]["demo-pacs"]
        demo["command"] = [
            *("demo-pacs", "--bindAddress", "0.0.0.0", "--port", "11113"),  # noqa: S104
            *("--destination", f"{STORE_AE_TITLE}=store-scp:11112", *SLOW),
        ]
        (self.folder / "override.yaml").write_text(json.dumps(override))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / "compose.log").write_text(self.logs())
        self.compose("down", "--volumes", "--timeout", "20", "--remove-orphans")

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        files = [ROOT / "compose.yaml", self.folder / "override.yaml"]
        if self.seaweedfs:
            files.insert(1, ROOT / "compose.seaweedfs.yaml")
        return self.engine.compose(
            *(f"--file={file}" for file in files),
            *(f"--profile={profile}" for profile in self.profiles),
            f"--project-name={self.name}",
            *arguments,
            environment=self.environment,
            stdin=stdin,
        )

    def up(self, *arguments: str) -> None:
        """Return once every container is healthy."""
        say(f"compose up: {' '.join(arguments)}")
        try:
            self.compose(
                *("up", "--detach", "--no-build", "--pull", "missing", "--wait"),
                *("--wait-timeout", str(int(DEADLINE_S)), *arguments),
            )
        except CommandFailed as failed:
            raise CommandFailed(f"{failed}\n{self.logs()[-8000:]}") from failed

    def logs(self) -> str:
        return self.compose("logs", "--no-color")

    def containers(self, service: str) -> list[str]:
        """Return the IDs of a service's containers, also of stopped ones."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def kill(self, container: str) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        self.engine.docker("kill", container)

    def start(self, container: str) -> None:
        """Return once the container is healthy again."""
        self.engine.docker("start", container)
        until(lambda: self.health(container) == "healthy", f"healthy {container}")

    def health(self, container: str) -> str:
        return self.engine.docker("inspect", "--format", "{{.State.Health.Status}}", container)

    def address(self, container: str, port: int) -> tuple[str, int]:
        """Return where a container's port is published on this machine."""
        published = self.engine.docker("port", container, f"{port}/tcp").splitlines()[0]
        host, _, number = published.rpartition(":")
        return host, int(number)

    def ask(self, container: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer of a published HTTP interface; JSON as what it says."""
        status, _, answer = self.request(container, method, path, body=body)
        return status, json.loads(answer)

    def request(
        self,
        container: str,
        method: str,
        path: str,
        *,
        token: str | None = "http_token",  # noqa: S107 - the name of a file
        body: object = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and body of an answer to who has the token in a file of secrets."""
        host, port = self.address(container, 8080)
        connection = http.client.HTTPConnection(host, port, timeout=60)
        headers = {} if body is None else {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {(self.folder / 'secrets' / token).read_text()}"
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def metric(self, container: str, name: str) -> float:
        """Return the sum of a metric over its labels, 0 if it has none yet; asked inside, by who
        may read metrics alone.
        """
        token = (self.folder / "secrets" / "monitor_token").read_text()
        script = (
            "import urllib.request as r\n"
            "q = r.Request('http://127.0.0.1:8080/metrics',"
            f" headers={{'Authorization': 'Bearer {token}'}})\n"
            "print(r.urlopen(q, timeout=30).read().decode())"
        )
        text = self.run_python(container, script)
        lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def run_python(self, container: str, script: str) -> str:
        return self.engine.docker("exec", "-i", container, "python", "-", stdin=script)

    def stored(self) -> dict[str, bool]:
        """Return each SOP Instance UID in the bucket, and whether its bytes are as they were received."""
        containers = self.containers("indexer")
        # an object store that was just started may have to be asked again
        lines = until(lambda: [self.run_python(containers[0], READ_ALL)], "the bucket read")[
            0
        ].splitlines()
        return {uid: intact == "True" for uid, intact in (line.split() for line in lines)}

    def landed(self) -> int:
        """Return how many instances are in the bucket."""
        container = self.containers("indexer")[0]
        return int(until(lambda: self.run_python(container, COUNT), "the bucket listed"))

    def until_indexed(self, count: int) -> Any:
        """Return the index's figures once it knows so many instances."""

        def known() -> Any:
            status, stats = self.ask(self.containers("indexer")[0], "GET", "/v1/stats")
            return stats if status == 200 and stats["instances"] >= count else None

        return until(known, f"{count} instances in the index")


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what a condition says once it is true; a server that does not answer is no answer."""
    deadline = time.monotonic() + DEADLINE_S
    problem: Exception | None = None
    while True:
        try:
            if found := condition():
                return found
        except (OSError, http.client.HTTPException, ValueError, CommandFailed) as failed:
            problem = failed
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}; {problem}"
        time.sleep(0.3)
