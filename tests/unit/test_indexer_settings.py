"""The indexer's environment: whole or not at all, secrets withheld."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomcore.errors import InvalidRequest
from dicomio.service_settings import NatsSettings, S3Settings, load
from indexer.__main__ import main
from indexer.settings import Settings

COMPLETE = {
    "S3_ENDPOINT": "localhost:9000",
    "S3_BUCKET": "objects",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "s3-hidden",
    "NATS_SERVERS": "nats://a:4222, nats://b:4222",
    "NATS_PASSWORD": "bus-hidden",
    "INDEXER_DATABASE_URL": "postgresql://user:db-hidden@host/index",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INDEXER_HTTP_HOST", "INDEXER_HTTP_PORT", "INDEXER_HTTP_TOKEN_SHA256"):
        monkeypatch.delenv(name, raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_a_complete_environment_is_understood() -> None:
    settings, s3, nats = load(Settings, S3Settings, NatsSettings)

    assert settings.database_url.get_secret_value().endswith("host/index")
    assert s3.options().bucket == "objects"
    assert nats.options("indexer").servers == ("nats://a:4222", "nats://b:4222")


def test_everything_that_is_missing_or_unfit_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NATS_SERVERS")
    monkeypatch.delenv("S3_BUCKET")
    monkeypatch.setenv("INDEXER_HTTP_PORT", "no port")

    with pytest.raises(InvalidRequest) as refused:
        load(Settings, S3Settings, NatsSettings)

    for name in ("NATS_SERVERS", "S3_BUCKET", "INDEXER_HTTP_PORT"):
        assert name in str(refused.value)
    assert "no port" not in str(refused.value)


def test_secrets_do_not_show() -> None:
    shown = repr(load(Settings, S3Settings, NatsSettings))

    assert "hidden" not in shown


def test_a_secret_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INDEXER_DATABASE_URL")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "indexer_database_url").write_text("postgresql://from/file\n")

    settings, _ = load(Settings, S3Settings)

    assert settings.database_url.get_secret_value() == "postgresql://from/file"


def test_a_token_that_is_no_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEXER_HTTP_TOKEN_SHA256", "my-token")

    with pytest.raises(InvalidRequest):
        load(Settings, S3Settings)[0].access()


def test_the_program_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INDEXER_DATABASE_URL")

    code = main(["reindex"])

    assert code == 1
    assert "INDEXER_DATABASE_URL" in capsys.readouterr().err
