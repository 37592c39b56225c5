"""Secrets as files: every service takes them from one folder, and a variable wins over a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomcore.errors import InvalidRequest
from dicomio.service_settings import NatsSettings, S3Settings, load
from indexer.settings import Settings as IndexerSettings

NAMES = ("S3_ACCESS_KEY", "S3_SECRET_KEY", "NATS_USER", "NATS_PASSWORD", "INDEXER_DATABASE_URL")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("S3_ENDPOINT", "store:9000")
    monkeypatch.setenv("S3_BUCKET", "dicom")
    monkeypatch.setenv("NATS_SERVERS", "nats://a:4222")
    (tmp_path / "s3_access_key").write_text("access")
    (tmp_path / "s3_secret_key").write_text("secret\n")
    (tmp_path / "nats_password").write_text("password")
    (tmp_path / "indexer_database_url").write_text("postgresql://u:p@host/index")
    return tmp_path


def test_secrets_come_from_files_named_like_the_variables(folder: Path) -> None:
    s3, nats, indexer = load(S3Settings, NatsSettings, IndexerSettings)

    assert (s3.options().access_key, s3.options().secret_key) == ("access", "secret")
    assert nats.options("test").password == (folder / "nats_password").read_text()
    assert indexer.database_url.get_secret_value() == "postgresql://u:p@host/index"


def test_a_variable_wins_over_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_SECRET_KEY", wanted := "of the environment")

    s3, _ = load(S3Settings, NatsSettings)

    assert s3.options().secret_key == wanted


def test_a_secret_that_is_nowhere_is_named_as_missing(folder: Path) -> None:
    (folder / "s3_secret_key").unlink()

    with pytest.raises(InvalidRequest, match="S3_SECRET_KEY"):
        load(S3Settings, NatsSettings)


def test_a_folder_that_is_not_there_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(folder / "absent"))

    with pytest.raises(InvalidRequest, match="SECRETS_DIR"):
        load(S3Settings, NatsSettings)
