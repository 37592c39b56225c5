"""Small parts of the command line: log level, ports, Ctrl-C, peers, the gateway's client."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from dicomcore.errors import InvalidRequest, Unavailable
from dicomio.http import make_app, serve
from dicomtools.commands import UP
from dicomtools.config import Values, resolve
from dicomtools.gateway_client import retrieve_over_http
from dicomtools.interrupt import interruptible
from dicomtools.log_level import log_level
from dicomtools.options import parse_command_line
from dicomtools.problems import CommandProblem
from dicomtools.receiver import port_problem
from dicomtools.screen import BarScreen
from dicomtools.settings import Layer
from dicomtools.up import peers_of
from qr_gateway.retrieval.model import Progress
from qr_gateway.views import RetrievalOrder


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ({"LogLevel": {"Default": "Information"}}, "info"),
        ({"loglevel": {"default": "trace"}}, "debug"),
        ({"LogLevel": "Warning"}, "warning"),
        ({"LogLevel": {"Microsoft": "Warning"}}, "error"),
        ({}, "error"),
    ],
)
def test_the_log_level_is_read_in_dotnets_words(written: object, level: str) -> None:
    assert log_level([Layer("appsettings.json", {"Logging": written})], default="error") == level


def test_what_is_no_log_level_is_refused() -> None:
    with pytest.raises(CommandProblem):
        log_level([Layer("appsettings.json", {"Logging": {"LogLevel": "loud"}})], default="error")


@pytest.mark.parametrize(
    ("port", "code", "why"),
    [
        (104, errno.EADDRINUSE, "is in use by another program"),
        (104, errno.EACCES, "needs administrator rights"),
        (11112, errno.EACCES, "is not allowed"),
        (104, errno.ENETDOWN, "cannot be used"),
    ],
)
def test_why_a_port_cannot_be_used_comes_with_the_setting(port: int, code: int, why: str) -> None:
    words = port_problem(port, OSError(code, "-"))

    assert words.startswith(f"Port {port}, on which C-MOVE delivers, {why}")
    assert "DicomStorage.PortNumber" in words
    assert "--useGet" in words


def test_the_first_ctrl_c_asks_and_the_second_ends(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)

    with interruptible("Stopping.") as asked:
        assert not asked.is_set()
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == "Stopping.\n"


def test_the_bar_is_gone_before_anything_is_said_and_labels_are_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BarScreen() as screen:
        screen.progress(Progress(step="images", expected=3, landed=1, bytes_moved=2000))
        screen.progress(Progress(step="doses", expected=3, landed=2, bytes_moved=3000))
        screen.say("Plan [bold]A[/bold]")
        screen.result({"state": "complete"})
        screen.progress(Progress(step="plans", expected=1))

    assert capsys.readouterr().out == "Plan [bold]A[/bold]\n"


def up_values(*words: str) -> Values:
    return resolve(UP, parse_command_line(UP, words), ())[0]


def test_peers_come_from_a_file_and_from_words_which_win(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    one = {"ae_title": "ONE", "host": "one.example.org", "port": 104}
    file.write_text(json.dumps({"peers": {"one": one, "two": {**one, "ae_title": "TWO"}}}))

    peers = peers_of(
        up_values("--peersFile", str(file), "--peer", "two=OTHER@[::1]:11112", "--aet", "US")
    )

    assert sorted(peers) == ["one", "two"]
    assert peers["one"].ae_title == "ONE"
    assert (peers["two"].ae_title, peers["two"].host) == ("OTHER", "::1")
    assert peers["two"].calling_ae_title == "US"


def test_a_file_of_peers_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        peers_of(up_values("--peersFile", str(tmp_path / "absent.json")))


@asynccontextmanager
async def answering(answer: web.StreamResponse) -> AsyncIterator[str]:
    """A server that gives one answer to an order."""
    app = make_app("test", "0", (), metrics_registry=CollectorRegistry())

    async def order(request: web.Request) -> web.StreamResponse:
        return answer

    app.router.add_post("/v1/retrievals", order)
    server = await serve(app, "127.0.0.1", 0)
    try:
        yield server.url
    finally:
        await server.stop()


ORDER = RetrievalOrder(peer="nobody", patient_id="CANARY")


@pytest.mark.parametrize(("status", "kind"), [(404, InvalidRequest), (503, Unavailable)])
async def test_a_problem_of_the_gateway_is_an_error_of_ours(
    status: int, kind: type[Exception]
) -> None:
    problem = {"type": "about:blank", "title": "no such peer", "status": status, "request_id": "1"}
    answer = web.json_response(problem, status=status, content_type="application/problem+json")

    async with answering(answer) as url:
        with pytest.raises(kind, match="no such peer"):
            await retrieve_over_http(url, ORDER, lambda progress: None)


async def test_a_gateway_that_is_away_is_unavailable() -> None:
    async with answering(web.Response()) as url:
        pass

    with pytest.raises(Unavailable):
        await retrieve_over_http(url, ORDER, lambda progress: None)
