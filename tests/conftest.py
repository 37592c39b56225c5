"""Fixtures shared by every suite, and the rule that CI skips nothing that needs a peer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins: list[str] = [
    "tests.servers.nats",
    "tests.servers.weed",
    "tests.servers.postgres",
    "tests.peers.orthanc",
    "tests.peers.certificates",
]

# A busy machine is no failure: no test asserts on time. CI judges a change on the same examples each
# time; people's runs draw new ones.
settings.register_profile(
    "dicomtools",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("dicomtools")

NOTHING_SKIPPED = "DICOMTOOLS_NOTHING_SKIPPED"
"""Set by CI: a test marked `peer`, `server` or `browser` that was skipped fails the run."""

_skipped: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep between runs goes to a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _log_settings_of_one_test() -> Iterator[None]:
    """A command sets the level of this process's log: the next test finds it as this one did."""
    was_configured, before = structlog.is_configured(), dict(structlog.get_config())
    yield
    if was_configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and {"peer", "server", "browser"} & set(report.keywords):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and os.environ.get(NOTHING_SKIPPED) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped and os.environ.get(NOTHING_SKIPPED):
        terminalreporter.section("skipped, though nothing may be", sep="=", red=True)
        for nodeid in _skipped:
            terminalreporter.line(nodeid)
