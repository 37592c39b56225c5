"""store-scp's settings: once, whole, and closed unless it is said otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomcore.errors import InvalidRequest
from dicomio.service_settings import NatsSettings, S3Settings, load
from store_scp.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - is refused, or never bound


def test_every_missing_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    monkeypatch.setenv("STORE_SCP_PORT", "many")

    with pytest.raises(InvalidRequest) as caught:
        load(Settings, S3Settings, NatsSettings)

    for name in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "NATS_SERVERS", "STORE_SCP_PORT"):
        assert name in caught.value.sentence
    assert "S3_BUCKET" not in caught.value.sentence
    assert "many" not in caught.value.sentence.replace("missing", "")


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "S3_ENDPOINT": "store:9000",
        "S3_BUCKET": "dicom",
        "S3_ACCESS_KEY": "key",
        "S3_SECRET_KEY": "s3cr3t",
        "NATS_SERVERS": "nats://a:4222, nats://b:4222",
        "STORE_SCP_HOST": EVERYWHERE,
        "STORE_SCP_CALLING_AE_TITLES": "ARIA, PACS,",
        "STORE_SCP_MAXIMUM_ASSOCIATIONS": "7",
    }.items():
        monkeypatch.setenv(name, value)

    own, s3, nats = load(Settings, S3Settings, NatsSettings)

    assert set(own.scp_options().callers.networks) == {"ARIA", "PACS"}
    assert own.scp_options().maximum_associations == 7
    assert s3.options().endpoint == "store:9000"
    assert nats.options("test").servers == ("nats://a:4222", "nats://b:4222")
    assert "s3cr3t" not in repr((own, s3, nats, s3.options()))


def test_secrets_are_read_from_files_unless_a_variable_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"s3_access_key": "a", "s3_secret_key": "b", "nats_password": "c\n"}.items():
        (tmp_path / name).write_text(value)
    for name, value in {"S3_ENDPOINT": "a:1", "S3_BUCKET": "dicom", "NATS_SERVERS": "n:1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("S3_ACCESS_KEY", "set")
    monkeypatch.setenv("S3_CA_FILE", "")

    s3, nats = load(S3Settings, NatsSettings)

    assert (s3.options().access_key, s3.options().secret_key) == ("set", "b")
    assert s3.options().ca_file is None
    assert [nats.options("test").password] == ["c"]
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "absent"))
    with pytest.raises(InvalidRequest):
        load(S3Settings, NatsSettings)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": EVERYWHERE},
        {"cert_file": Path("a.pem")},
        {"client_ca_file": Path("ca.pem")},
        {"maximum_associations": 0},
        {"high_water": 1.5},
        {"ae_title": "LONGER-THAN-SIXTEEN"},
    ],
)
def test_settings_that_are_open_or_contradictory_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Settings(**changes)  # type: ignore[arg-type]


def test_beyond_loopback_an_allow_list_or_a_clear_word_is_enough() -> None:
    assert Settings(host=EVERYWHERE, calling_ae_titles="ARIA").scp_options().host == EVERYWHERE
    assert Settings(host=EVERYWHERE, admit_anyone=True).scp_options().host == EVERYWHERE
