"""What the indexer is told by its environment: read once, whole, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dicomcore.errors import InvalidRequest
from dicomio.http import Access, BearerToken
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Options
from indexer.app import IndexerOptions
from indexer.consume import ConsumeOptions


class Settings(BaseSettings):
    """Environment variables of the same names in capitals: `S3_ENDPOINT`, `NATS_URL`, and so on."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    s3_endpoint: str
    """`host:port`."""
    s3_bucket: str
    s3_access_key: str
    s3_secret_key: SecretStr
    s3_region: str = "us-east-1"
    s3_secure: bool = True
    s3_ca_file: Path | None = None

    nats_url: SecretStr
    """One address or several, with commas between; they may hold a password."""
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_token: SecretStr | None = None
    nats_credentials_file: Path | None = None
    nats_ca_file: Path | None = None
    nats_cert_file: Path | None = None
    nats_key_file: Path | None = None
    nats_replicas: int = Field(default=1, ge=1, le=5)

    database_url: SecretStr
    """`postgresql://user:password@host/database`, or `sqlite:////path` for a single replica."""

    http_host: str = "127.0.0.1"
    """Beyond loopback only with `HTTP_TOKEN_SHA256`."""
    http_port: int = Field(default=8081, ge=0, le=65535)
    http_token_sha256: str | None = None
    """SHA-256 of the bearer token that callers present, hexadecimal."""

    indexer_batch: int = Field(default=256, ge=1, le=4096)
    """Announcements in one transaction."""
    indexer_readers: int = Field(default=8, ge=1, le=64)
    """Objects read at once."""
    indexer_ack_wait_s: float = Field(default=30.0, ge=1.0)
    """A crashed replica's announcements come to another one after so long."""
    indexer_sweep_every_s: float = Field(default=10.0, gt=0)
    """How often the outbox is looked into."""
    indexer_stop_timeout_s: float = Field(default=20.0, ge=0)
    """How long the batch at hand may go on after SIGTERM; less than the pod's grace period."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = True

    @classmethod
    def from_env(cls) -> Settings:
        """Return the settings.

        Raises
        ------
        InvalidRequest
            Names every variable that is missing or does not fit; values are not repeated.
        """
        try:
            return cls()
        except ValidationError as exc:
            wrong: dict[str, list[str]] = {"missing": [], "unfit": []}
            for error in exc.errors(include_input=False, include_context=False):
                kind = "missing" if error["type"] == "missing" else "unfit"
                wrong[kind].append(str(error["loc"][0]).upper())
            # not `from exc`: its text may quote a secret
            raise InvalidRequest(
                "environment variables are missing or do not fit",
                **{kind: " ".join(names) for kind, names in wrong.items() if names},
            ) from None

    def store(self) -> S3Options:
        """Return where the objects are."""
        return S3Options(
            endpoint=self.s3_endpoint,
            bucket=self.s3_bucket,
            access_key=self.s3_access_key,
            secret_key=self.s3_secret_key.get_secret_value(),
            region=self.s3_region,
            secure=self.s3_secure,
            ca_file=self.s3_ca_file,
        )

    def bus(self) -> NatsOptions:
        """Return where the stream is."""
        urls = self.nats_url.get_secret_value().split(",")
        return NatsOptions(
            servers=tuple(url.strip() for url in urls if url.strip()),
            name="indexer",
            user=self.nats_user,
            password=_revealed(self.nats_password),
            token=_revealed(self.nats_token),
            credentials_file=self.nats_credentials_file,
            ca_file=self.nats_ca_file,
            cert_file=self.nats_cert_file,
            key_file=self.nats_key_file,
            replicas=self.nats_replicas,
        )

    def access(self) -> Access:
        """Return who may call.

        Raises
        ------
        InvalidRequest
            `HTTP_TOKEN_SHA256` is no SHA-256.
        """
        token = self.http_token_sha256
        return Access() if token is None else Access(token=BearerToken(token))

    def indexer(self) -> IndexerOptions:
        """Return how the indexer works."""
        return IndexerOptions(
            consume=ConsumeOptions(
                batch=self.indexer_batch,
                readers=self.indexer_readers,
                ack_wait_s=self.indexer_ack_wait_s,
            ),
            sweep_every_s=self.indexer_sweep_every_s,
            stop_timeout_s=self.indexer_stop_timeout_s,
        )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
