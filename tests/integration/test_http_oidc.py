"""Tokens of an identity provider: who is believed, who is not, and what happens when it is away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dicomcore.errors import InvalidRequest, Unavailable
from dicomio.http import OidcOptions, Role
from dicomio.http.jwks import ASKED_AT_MOST_EVERY_S, STALE_S
from dicomio.http.oidc import Identified, Verifier
from tests.servers.identity_provider import AUDIENCE, Provider, identity_provider, new_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with identity_provider() as provider:
        yield provider


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(provider: Provider, clock: Clock) -> AsyncIterator[Verifier]:
    verifier = Verifier(OidcOptions(provider.issuer, AUDIENCE), clock=clock)
    yield verifier
    await verifier.close()


async def test_a_good_token_tells_who_and_which_roles(
    provider: Provider, verifier: Verifier
) -> None:
    token = provider.token(sub="physicist-7", roles=["reader", "exporter", "unheard-of", 5])

    assert await verifier.verify(token) == Identified(
        "physicist-7", frozenset({Role.READER, Role.EXPORTER})
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "EdDSA"])
async def test_every_asymmetric_family_is_understood(
    provider: Provider, verifier: Verifier, algorithm: str
) -> None:
    provider.add("k2", algorithm)

    assert await verifier.verify(provider.token("k2")) is not None


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 3600},
        {"exp": None},
        {"iat": None},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"iss": "https://elsewhere.invalid"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": ["a", "b"]},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": "line\nbreak"},
        {"sub": 5},
        {"exp": "soon"},
    ],
    ids=str,
)
async def test_claims_that_do_not_fit_are_refused(
    provider: Provider, verifier: Verifier, claims: dict[str, Any]
) -> None:
    assert await verifier.verify(provider.token()) is not None

    assert await verifier.verify(provider.token(**claims)) is None


async def test_tokens_that_nobody_signed_are_refused(
    provider: Provider, verifier: Verifier
) -> None:
    for token in (
        provider.unsigned(),
        provider.unsigned("None"),
        provider.unsigned("RS256"),
        provider.confused(),
        provider.forged(),
        provider.token(headers={"crit": ["exp"]}),
        provider.token()[:-6] + "AAAAAA",
        "a.b.c",
        "..",
        "eyJhbGciOlsiUlMyNTYiXX0.e30.AAAA",
    ):
        assert await verifier.verify(token) is None, token


async def test_a_header_nested_without_end_is_refused(verifier: Verifier) -> None:
    import base64

    header = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")

    assert await verifier.verify(f"{header}.e30.AAAA") is None


async def test_a_key_is_used_with_its_own_algorithms_only(
    provider: Provider, verifier: Verifier
) -> None:
    import jwt

    provider.add("ec", "ES256")
    _, rsa_key = provider.keys["k1"]
    crossed = jwt.encode(provider.claims(), rsa_key, "RS256", headers={"kid": "ec"})

    assert await verifier.verify(provider.token("ec")) is not None
    assert await verifier.verify(crossed) is None


async def test_short_keys_and_keys_for_encryption_are_not_used(
    provider: Provider, verifier: Verifier
) -> None:
    import jwt

    weak, secret = new_key(bits=1024), new_key()
    make = jwt.algorithms.RSAAlgorithm.to_jwk
    provider.extra_keys = [
        {**make(weak.public_key(), as_dict=True), "kid": "weak"},  # type: ignore[arg-type]
        {**make(secret.public_key(), as_dict=True), "kid": "enc", "use": "enc"},  # type: ignore[arg-type]
        {"kty": "RSA", "kid": "broken", "n": "AQ"},
        {"kty": "oct", "k": "AAAA", "kid": "shared"},
        "no key",
    ]

    assert await verifier.verify(provider.token()) is not None
    with pytest.warns(UserWarning, match="RSA key"):
        signed = jwt.encode(provider.claims(), weak, "RS256", headers={"kid": "weak"})  # type: ignore[arg-type]
    assert await verifier.verify(signed) is None
    signed = jwt.encode(provider.claims(), secret, "RS256", headers={"kid": "enc"})  # type: ignore[arg-type]
    assert await verifier.verify(signed) is None


async def test_an_algorithm_that_is_not_allowed_is_refused(provider: Provider) -> None:
    verifier = Verifier(OidcOptions(provider.issuer, AUDIENCE, algorithms=("ES256",)))

    assert await verifier.verify(provider.token()) is None
    await verifier.close()


async def test_keys_are_fetched_once_and_again_when_a_new_one_signs(
    provider: Provider, verifier: Verifier, clock: Clock
) -> None:
    for _ in range(5):
        assert await verifier.verify(provider.token()) is not None
    assert provider.asked == 1

    provider.add("k2")
    clock.now += ASKED_AT_MOST_EVERY_S
    assert await verifier.verify(provider.token("k2")) is not None
    assert provider.asked == 2


async def test_unknown_key_ids_do_not_make_us_ask_again_and_again(
    provider: Provider, verifier: Verifier
) -> None:
    provider.add("k2")
    token = provider.token("k2")
    del provider.keys["k2"]

    for _ in range(20):
        assert await verifier.verify(token) is None

    assert provider.asked == 1


async def test_a_key_that_is_withdrawn_is_not_believed_after_the_cache_is_old(
    provider: Provider, verifier: Verifier, clock: Clock
) -> None:
    token = provider.token()
    assert await verifier.verify(token) is not None

    del provider.keys["k1"]
    clock.now += 601

    assert await verifier.verify(token) is None


async def test_known_keys_serve_while_the_provider_is_away_but_not_for_ever(
    provider: Provider, verifier: Verifier, clock: Clock
) -> None:
    token = provider.token()
    assert await verifier.verify(token) is not None
    provider.away = True

    clock.now += 3600
    assert await verifier.verify(token) is not None

    clock.now += STALE_S
    with pytest.raises(Unavailable):
        await verifier.verify(token)


async def test_without_any_keys_nobody_can_say_whether_a_token_is_good(
    provider: Provider, verifier: Verifier
) -> None:
    provider.away = True

    with pytest.raises(Unavailable, match="identity provider"):
        await verifier.verify(provider.token())


async def test_a_discovery_document_of_another_issuer_is_not_followed(
    provider: Provider, verifier: Verifier
) -> None:
    provider.discovered_issuer = "https://elsewhere.invalid"

    with pytest.raises(Unavailable):
        await verifier.verify(provider.token())
    assert provider.asked == 0


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["reader"]}}),
        ("https://example.org/roles", {"https://example.org/roles": ["reader"]}),
        ("scope", {"scope": "openid reader email"}),
    ],
)
async def test_roles_are_found_where_providers_put_them(
    provider: Provider, claim: str, claims: dict[str, Any]
) -> None:
    verifier = Verifier(OidcOptions(provider.issuer, AUDIENCE, roles_claim=claim))

    found = await verifier.verify(provider.token(roles=None, **claims))

    assert found is not None
    assert found.roles == {Role.READER}
    await verifier.close()


@pytest.mark.parametrize("roles", [None, 5, {"admin": True}, [["admin"]], "ADMIN"])
async def test_a_claim_that_is_no_list_of_roles_gives_none(
    provider: Provider, verifier: Verifier, roles: object
) -> None:
    found = await verifier.verify(provider.token(roles=roles))

    assert found is not None
    assert found.roles == frozenset()


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": "http://idp.example.org", "audience": "a"},
        {"issuer": "ftp://idp.example.org", "audience": "a"},
        {"issuer": "https://", "audience": "a"},
        {"issuer": "https://idp.example.org", "audience": ""},
        {"issuer": "https://idp.example.org", "audience": "a", "algorithms": ("HS256",)},
        {"issuer": "https://idp.example.org", "audience": "a", "algorithms": ("none",)},
        {"issuer": "https://idp.example.org", "audience": "a", "algorithms": ()},
        {"issuer": "https://idp.example.org", "audience": "a", "jwks_url": "http://x.example.org"},
        {"issuer": "https://i.example.org", "audience": "a", "role_names": {"x": Role.ANYONE}},
    ],
    ids=str,
)
def test_options_that_would_let_anyone_in_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        OidcOptions(**options)
