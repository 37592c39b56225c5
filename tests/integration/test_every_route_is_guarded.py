"""Every operation that the services document is closed to whom it should be, whatever is presented."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from dicomio.http import Access, Audited, BearerToken, OidcOptions, Rate, Role
from dicomio.http.roles import GIVEN, granted
from tests.servers.identity_provider import AUDIENCE, Provider, identity_provider
from tests.whole_api import DEADLINE_S, Operation, WholeApi, whole_api

OPEN = {"getLiveness", "getReadiness", "getSession"}
STATIC = {role: f"static token of a {role}" for role in GIVEN}


@dataclass
class Guarded:
    api: WholeApi
    provider: Provider
    session: aiohttp.ClientSession
    audited: list[Audited]

    async def statuses(self, authorization: str | None) -> dict[Operation, int]:
        """What every operation that is not open to anyone answers."""
        operations = [one for one in self.api.operations() if one.role]
        answers = await asyncio.gather(
            *(self.api.ask(self.session, one, authorization) for one in operations)
        )
        return {one: status for one, (status, _) in zip(operations, answers, strict=True)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp("api")
    audited: list[Audited] = []
    async with identity_provider() as provider:
        tokens = tuple(
            BearerToken(
                hashlib.sha256(text.encode()).hexdigest(), name=role, roles=frozenset({role})
            )
            for role, text in STATIC.items()
        )
        access = Access(
            tokens=tokens,
            oidc=OidcOptions(provider.issuer, AUDIENCE),
            failures=Rate(per_s=1e6, burst=10**6),
        )
        async with (
            whole_api(folder, access=access, audit=audited.append, token=STATIC[Role.ADMIN]) as api,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session,
        ):
            yield Guarded(api, provider, session, audited)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_route_is_documented_with_the_role_that_it_needs(guarded: Guarded) -> None:
    documented = {(one.service, one.operation_id): one.role for one in guarded.api.operations()}

    for service, routes in guarded.api.routes.items():
        for route in routes:
            if route.operation_id in OPEN:
                continue
            assert route.role is not Role.ANYONE, "only probes answer anyone"
            assert documented[(service, route.operation_id)] == route.role


async def test_only_probes_and_the_way_to_sign_in_answer_anyone(guarded: Guarded) -> None:
    opened = {one.operation_id for one in guarded.api.operations() if not one.role}

    assert opened == OPEN
    for one in guarded.api.operations():
        if not one.role:
            assert (await guarded.api.ask(guarded.session, one, None))[0] == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic dXNlcjpwYXNz", "Negotiate x"],
)
async def test_without_a_token_every_route_is_closed(
    guarded: Guarded, authorization: str | None
) -> None:
    assert set((await guarded.statuses(authorization)).values()) == {401}


NOW = int(time.time())
BAD = {
    "expired": lambda idp: idp.token(exp=NOW - 3600),
    "without an end": lambda idp: idp.token(exp=None),
    "not yet valid": lambda idp: idp.token(nbf=NOW + 3600),
    "of the future": lambda idp: idp.token(iat=NOW + 3600),
    "wrong issuer": lambda idp: idp.token(iss="https://elsewhere.invalid"),
    "wrong audience": lambda idp: idp.token(aud="another-service"),
    "without audience": lambda idp: idp.token(aud=None),
    "alg none": lambda idp: idp.unsigned(),
    "alg None": lambda idp: idp.unsigned("None"),
    "HMAC with the public key": lambda idp: idp.confused(),
    "signed by another key": lambda idp: idp.forged(),
    "signature cut off": lambda idp: idp.token().rpartition(".")[0] + ".",
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_is_not_to_be_believed_opens_nothing(
    guarded: Guarded, kind: str
) -> None:
    token = BAD[kind](guarded.provider)

    statuses = await guarded.statuses(f"Bearer {token}")

    assert set(statuses.values()) == {401}


@pytest.mark.parametrize("role", sorted(GIVEN))
async def test_a_role_opens_what_needs_it_and_nothing_else(guarded: Guarded, role: Role) -> None:
    for token in (STATIC[role], guarded.provider.token(roles=[role.value])):
        for operation, status in (await guarded.statuses(f"Bearer {token}")).items():
            if granted({role}, Role(operation.role)):
                assert status not in (401, 403), operation
                assert status < 500, operation
            else:
                assert status == 403, operation


async def test_a_believed_token_without_roles_opens_nothing(guarded: Guarded) -> None:
    statuses = await guarded.statuses(f"Bearer {guarded.provider.token(roles=[])}")

    assert set(statuses.values()) == {403}


async def test_paths_that_do_not_exist_are_not_told_apart_without_a_token(
    guarded: Guarded,
) -> None:
    url = guarded.api.urls["indexer"]
    for path in ("/v1/nothing", "/v2", "/v1/patients/../../etc/passwd"):
        async with guarded.session.get(url + path) as response:
            assert response.status == 401


async def test_who_was_refused_and_who_was_not_is_told_to_the_audit(guarded: Guarded) -> None:
    guarded.audited.clear()
    reader, admin = STATIC[Role.READER], STATIC[Role.ADMIN]
    operations = {one.operation_id: one for one in guarded.api.operations()}
    tree, rebuild = operations["getPatientTree"], operations["startReindex"]

    for operation, token in ((tree, reader), (rebuild, reader), (tree, "wrong"), (rebuild, admin)):
        await guarded.api.ask(guarded.session, operation, f"Bearer {token}")
    await guarded.api.ask(guarded.session, operations["getMetrics"], f"Bearer {admin}")
    await guarded.api.ask(guarded.session, operations["getLiveness"], None)

    told = Counter((one.operation_id, one.caller, one.status) for one in guarded.audited)
    assert told == {
        ("getPatientTree", "reader", 200): 1,
        ("startReindex", "reader", 403): 1,
        ("getPatientTree", "", 401): 1,
        ("startReindex", "admin", 202): 1,
    }
    [read] = [one for one in guarded.audited if one.status == 200]
    assert list(read.notes.patient_ids) == ["P-1"]
    assert read.remote == "127.0.0.1"
