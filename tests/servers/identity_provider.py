"""An OpenID Connect provider on loopback: discovery, keys that change, and tokens of any kind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "dicomtools"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_MAKERS: Mapping[str, Any] = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "PS384": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


def new_key(algorithm: str = "RS256", *, bits: int = 2048) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


@dataclass
class Provider:
    """What it answers can be changed while it runs."""

    issuer: str = ""
    keys: dict[str, tuple[str, PrivateKey]] = field(default_factory=dict)
    """Algorithm and key by key ID."""
    extra_keys: list[Any] = field(default_factory=list)
    """Listed as they are."""
    discovered_issuer: str = ""
    endpoints: dict[str, Any] = field(default_factory=dict)
    """More of the discovery document."""
    away: bool = False
    asked: int = 0
    """How often for its keys."""

    def add(self, key_id: str, algorithm: str = "RS256") -> None:
        self.keys[key_id] = (algorithm, new_key(algorithm))

    def jwks(self) -> dict[str, Any]:
        listed = [
            {
                **_MAKERS[algorithm].to_jwk(key.public_key(), as_dict=True),
                "kid": key_id,
                "use": "sig",
            }
            for key_id, (algorithm, key) in self.keys.items()
        ]
        return {"keys": [*self.extra_keys, *listed]}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Claims of a good token; None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "physicist-1",
            "iat": now,
            "exp": now + 300,
            "roles": ["admin"],
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key_id: str = "k1", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token that is signed as it should be, with claims changed."""
        algorithm, key = self.keys[key_id]
        return jwt.encode(
            self.claims(**claims), key, algorithm, headers={"kid": key_id, **(headers or {})}
        )

    def forged(self, **claims: Any) -> str:
        """Signed by somebody else, under the provider's key ID."""
        return jwt.encode(self.claims(**claims), new_key(), "RS256", headers={"kid": "k1"})

    def unsigned(self, algorithm: str = "none") -> str:
        """Not signed at all."""
        return f"{_part({'alg': algorithm, 'kid': 'k1'})}.{_part(self.claims())}."

    def confused(self) -> str:
        """An HMAC whose secret is the provider's public key."""
        _, key = self.keys["k1"]
        secret = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signed = f"{_part({'alg': 'HS256', 'kid': 'k1'})}.{_part(self.claims())}"
        return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@asynccontextmanager
async def identity_provider() -> AsyncIterator[Provider]:
    """A provider with one RSA key, `k1`."""
    provider = Provider()
    provider.add("k1")

    async def discovery(_: web.Request) -> web.Response:
        if provider.away:
            return web.Response(status=503)
        return web.json_response(
            {
                "issuer": provider.discovered_issuer or provider.issuer,
                "jwks_uri": f"{provider.issuer}/keys",
                **provider.endpoints,
            }
        )

    async def keys(_: web.Request) -> web.Response:
        provider.asked += 1
        return web.Response(status=503) if provider.away else web.json_response(provider.jwks())

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(content: Any) -> str:
    return _b64(json.dumps(content).encode())
