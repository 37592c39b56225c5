"""Who may call, as the environment of a service says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomcore.errors import InvalidRequest
from dicomio.http import Access, AccessSettings, Rate, Role
from dicomio.service_settings import AuditSettings, S3Settings, load, shared_config
from qr_gateway.settings import Settings as GatewaySettings

DIGEST = "a" * 64


class Settings(AccessSettings):
    model_config = shared_config("SOME_")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRETS_DIR", raising=False)


def access(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Access:
    for name, value in variables.items():
        monkeypatch.setenv(f"SOME_HTTP_{name}", value)
    return Settings().access()


def test_nothing_said_is_nobody_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = access(monkeypatch)

    assert not found.authenticated
    assert found.rate == Rate(100.0, 400)
    assert found.cors_origins == frozenset()
    assert found.max_body_bytes == 1 << 20


def test_the_single_token_may_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    [token] = access(monkeypatch, TOKEN_SHA256=DIGEST).tokens

    assert token.roles == {Role.ADMIN}


def test_tokens_of_all_places_add_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'[tokens.ci]\nsha256 = "{"b" * 64}"\nroles = ["reader"]\n')
    inline = json.dumps({"ops": {"sha256": "c" * 64, "roles": ["monitor"]}})

    found = access(monkeypatch, TOKEN_SHA256=DIGEST, TOKENS=inline, TOKENS_FILE=str(file))

    assert {token.name: token.roles for token in found.tokens} == {
        "token": {Role.ADMIN},
        "ops": {Role.MONITOR},
        "ci": {Role.READER},
    }
    assert "c" * 64 not in repr(Settings())


def test_an_identity_provider_is_taken_with_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = access(
        monkeypatch,
        OIDC_ISSUER="https://idp.example.org/realms/rt",
        OIDC_AUDIENCE="dicomtools",
        OIDC_ALGORITHMS="ES256 EdDSA",
        OIDC_ROLES_CLAIM="realm_access.roles",
        OIDC_ROLE_NAMES='{"rt-physics": "retriever"}',
    )

    assert found.oidc is not None
    assert found.oidc.algorithms == ("ES256", "EdDSA")
    assert found.oidc.role_names == {"rt-physics": Role.RETRIEVER}
    assert found.authenticated


@pytest.mark.parametrize(
    "variables",
    [
        {"OIDC_AUDIENCE": "dicomtools"},
        {"OIDC_ISSUER": "https://idp.example.org"},
        {"OIDC_ISSUER": "http://idp.example.org", "OIDC_AUDIENCE": "a"},
        {"OIDC_ISSUER": "https://i", "OIDC_AUDIENCE": "a", "OIDC_ALGORITHMS": "HS256"},
        {"OIDC_ISSUER": "https://i", "OIDC_AUDIENCE": "a", "OIDC_ROLE_NAMES": '{"x": "root"}'},
        {"OIDC_ISSUER": "https://i", "OIDC_AUDIENCE": "a", "OIDC_ROLE_NAMES": '{"x": "anyone"}'},
        {"OIDC_ISSUER": "https://i", "OIDC_AUDIENCE": "a", "OIDC_ROLE_NAMES": "[]"},
        {"TOKEN_SHA256": "the token itself"},
        {"TOKENS": "{"},
        {"TOKENS_FILE": "/nonexistent/tokens.toml"},
        {"CORS_ORIGINS": "https://page.example.org, *"},
    ],
    ids=str,
)
def test_what_would_not_do_what_it_says_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        access(monkeypatch, **variables)


def test_limits_can_be_changed_and_the_rate_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    found = access(
        monkeypatch,
        RATE_PER_S="0",
        MAX_BODY_BYTES="2048",
        CORS_ORIGINS="https://a.example.org, http://localhost:3000",
    )

    assert found.rate is None
    assert found.max_body_bytes == 2048
    assert found.cors_origins == {"https://a.example.org", "http://localhost:3000"}


def test_secrets_come_from_files_and_the_audit_key_has_to_be_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in {
        "qr_gateway_http_tokens": json.dumps({"ci": {"sha256": DIGEST, "roles": ["reader"]}}),
        "audit_key": "k" * 40 + "\n",
        "s3_secret_key": "s",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    for name, value in {"ENDPOINT": "s3:9000", "BUCKET": "b", "ACCESS_KEY": "a"}.items():
        monkeypatch.setenv(f"S3_{name}", value)

    gateway, _, audit = load(GatewaySettings, S3Settings, AuditSettings)

    assert [token.name for token in gateway.access().tokens] == ["ci"]
    assert audit.options().key == b"k" * 40
    (tmp_path / "audit_key").write_text("short")
    with pytest.raises(InvalidRequest):
        load(S3Settings, AuditSettings)[1].options()
