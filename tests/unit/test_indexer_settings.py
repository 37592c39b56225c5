"""The indexer's environment: read once, whole, and never repeated."""

from __future__ import annotations

import pytest

from dicomcore.errors import InvalidRequest
from indexer.__main__ import main
from indexer.settings import Settings

COMPLETE = {
    "S3_ENDPOINT": "store:9000",
    "S3_BUCKET": "dicom",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "s3-hidden",
    "NATS_URL": "nats://user:bus-hidden@a:4222, nats://b:4222",
    "DATABASE_URL": "postgresql://user:db-hidden@host/index",
}


@pytest.fixture(autouse=True)
def complete_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COMPLETE, "HTTP_HOST", "HTTP_PORT", "HTTP_TOKEN_SHA256", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_a_complete_environment_is_enough() -> None:
    settings = Settings.from_env()

    assert settings.bus().servers == ("nats://user:bus-hidden@a:4222", "nats://b:4222")
    assert settings.store().secret_key == COMPLETE["S3_SECRET_KEY"]
    assert settings.indexer().consume.batch == 256
    assert settings.http_host == "127.0.0.1"


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_URL")
    monkeypatch.setenv("S3_BUCKET", "")
    monkeypatch.setenv("HTTP_PORT", "no port")

    with pytest.raises(InvalidRequest) as refused:
        Settings.from_env()

    assert set(str(refused.value.facts["missing"]).split()) == {"NATS_URL", "S3_BUCKET"}
    assert refused.value.facts["unfit"] == "HTTP_PORT"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(Settings.from_env())
    monkeypatch.setenv("INDEXER_BATCH", "much")

    with pytest.raises(InvalidRequest) as refused:
        Settings.from_env()

    assert "hidden" not in shown
    assert "much" not in str(refused.value)


def test_a_token_that_is_no_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_TOKEN_SHA256", "my-token")

    with pytest.raises(InvalidRequest):
        Settings.from_env().access()


def test_the_program_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL")

    code = main(["reindex"])

    assert code == 1
    assert "DATABASE_URL" in capsys.readouterr().err
