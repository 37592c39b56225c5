"""Settings that the services share, from the environment: once, whole, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, overload

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dicomcore.errors import InvalidRequest
from dicomio.audit import AuditOptions
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Options
from dicomio.tracing import TracingOptions

A = TypeVar("A", bound=BaseSettings)
B = TypeVar("B", bound=BaseSettings)
C = TypeVar("C", bound=BaseSettings)
D = TypeVar("D", bound=BaseSettings)
E = TypeVar("E", bound=BaseSettings)


def shared_config(prefix: str) -> SettingsConfigDict:
    """Return how settings whose variables begin with `prefix` are read.

    A variable that is empty counts as absent: compose files and manifests cannot leave one out.
    """
    return SettingsConfigDict(
        env_prefix=prefix,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )


class S3Settings(BaseSettings):
    """`S3_ENDPOINT`, `S3_BUCKET` and the rest."""

    model_config = shared_config("S3_")

    endpoint: str
    """`host:port`."""
    bucket: str
    access_key: str
    secret_key: SecretStr
    region: str = "us-east-1"
    secure: bool = True
    """TLS."""
    ca_file: Path | None = None
    public_url: str = ""
    """`https://host[:port]`, as callers reach the server; empty: as the services do."""
    capacity_bytes: int | None = Field(default=None, gt=0)

    def options(self) -> S3Options:
        """Return what an `S3Store` is opened with."""
        return S3Options(
            endpoint=self.endpoint,
            bucket=self.bucket,
            access_key=self.access_key,
            secret_key=self.secret_key.get_secret_value(),
            region=self.region,
            secure=self.secure,
            ca_file=self.ca_file,
            public_url=self.public_url,
            capacity_bytes=self.capacity_bytes,
        )


class NatsSettings(BaseSettings):
    """`NATS_SERVERS` and the rest."""

    model_config = shared_config("NATS_")

    servers: str
    """Addresses, separated by commas."""
    user: str | None = None
    password: SecretStr | None = None
    credentials_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    replicas: int = Field(default=1, ge=1, le=5)

    def options(self, name: str) -> NatsOptions:
        """Return what a connection is opened with; `name` is shown in the server's monitoring."""
        return NatsOptions(
            servers=tuple(server.strip() for server in self.servers.split(",") if server.strip()),
            name=name,
            user=self.user,
            password=None if self.password is None else self.password.get_secret_value(),
            credentials_file=self.credentials_file,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            replicas=self.replicas,
        )


class AuditSettings(BaseSettings):
    """`AUDIT_KEY` and the rest."""

    model_config = shared_config("AUDIT_")

    enabled: bool = True
    key: SecretStr | None = None
    """Of the pseudonyms of patients: any text of at least 32 bytes, the same in every service."""
    retention_days: float = Field(default=6 * 365.0, ge=0)
    """How long events are kept; 0: for ever."""

    def options(self) -> AuditOptions:
        """Return how the audit trail is kept; `InvalidRequest` if the key is too short."""
        return AuditOptions(
            enabled=self.enabled,
            key=None if self.key is None else self.key.get_secret_value().strip().encode(),
            retention_s=self.retention_days * 86400.0,
        )


class TracingSettings(BaseSettings):
    """Whether there are traces: OpenTelemetry's own variables, `OTEL_…`, say so and where they go."""

    model_config = shared_config("OTEL_")

    exporter_otlp_endpoint: str | None = None
    exporter_otlp_traces_endpoint: str | None = None
    sdk_disabled: bool = False

    def options(self) -> TracingOptions:
        """Return whether spans are made."""
        wanted = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        return TracingOptions(enabled=bool(wanted) and not self.sdk_disabled)


class SecretFiles(BaseSettings):
    """`SECRETS_DIR`: where secrets are mounted as files."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    secrets_dir: Path | None = None
    """Each file is named like the variable it stands for, in small letters. A variable wins."""


def secrets_folder() -> Path | None:
    """Return the folder of secret files; None if there is none.

    Raises
    ------
    InvalidRequest
        `SECRETS_DIR` is set and is no folder: what it should hold would silently be missing.
    """
    folder = SecretFiles().secrets_dir
    if folder is not None and not folder.is_dir():
        raise InvalidRequest("SECRETS_DIR is no folder")
    return folder


@overload
def load(first: type[A], second: type[B], /) -> tuple[A, B]: ...
@overload
def load(first: type[A], second: type[B], third: type[C], /) -> tuple[A, B, C]: ...
@overload
def load(
    first: type[A], second: type[B], third: type[C], fourth: type[D], /
) -> tuple[A, B, C, D]: ...
@overload
def load(
    first: type[A], second: type[B], third: type[C], fourth: type[D], fifth: type[E], /
) -> tuple[A, B, C, D, E]: ...
def load(*kinds: type[BaseSettings]) -> tuple[BaseSettings, ...]:
    """Return one settings object of each kind.

    `SECRETS_DIR` may name a folder with a file for each variable that is a secret, named like the
    variable in small letters, as container platforms mount them. A variable that is set comes first.

    Raises
    ------
    InvalidRequest
        `SECRETS_DIR` is no folder; or the sentence names every variable that is missing or cannot be
        understood, of all kinds. Values are not repeated, they may be secrets.
    """
    secrets = secrets_folder()
    loaded: list[BaseSettings] = []
    missing: list[str] = []
    invalid: list[str] = []
    for kind in kinds:
        try:
            loaded.append(kind(_secrets_dir=secrets))
        except ValidationError as exc:
            for problem in exc.errors(include_input=False, include_url=False):
                name = _variable(kind, problem["loc"])
                if problem["type"] == "missing":
                    missing.append(name)
                else:
                    reason = problem["msg"].removeprefix("Value error, ")
                    invalid.append(f"{name}: {reason}" if name else reason)
    if missing or invalid:
        named = [f"missing environment variables: {', '.join(missing)}"] if missing else []
        raise InvalidRequest("; ".join([*named, *(f"invalid: {reason}" for reason in invalid)]))
    return tuple(loaded)


def _variable(kind: type[BaseSettings], location: tuple[int | str, ...]) -> str:
    """Return the name of the environment variable that a field is read from."""
    if not location:
        return ""
    return f"{kind.model_config.get('env_prefix', '')}{location[0]}".upper()
