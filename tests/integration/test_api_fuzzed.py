"""The whole API under generated requests: no 5xx, and no answer that its document does not describe."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.whole_api import whole_api

EXAMPLES = int(os.environ.get("DICOMTOOLS_FUZZ_EXAMPLES", "15"))
"""Of each operation, valid and invalid ones alike."""
CALL_TIMEOUT_S = 60.0
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["indexer", "qr-gateway", "store-scp"])
async def test_generated_requests_are_answered_as_documented(tmp_path: Path, service: str) -> None:
    async with whole_api(tmp_path) as api:
        tried = await asyncio.to_thread(fuzz, api.documents[service], api.urls[service])

    described = {
        operation["operationId"]
        for methods in api.documents[service]["paths"].values()
        for operation in methods.values()
    }
    assert set(tried) == described
    assert min(tried.values()) > 0


def fuzz(document: dict[str, Any], url: str) -> dict[str, int]:
    """Return how many requests each operation answered; what fails is reported all at once."""
    schema = schemathesis.openapi.from_dict(document)
    tried: dict[str, int] = {}
    problems: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        name = operation.definition.raw["operationId"]
        try:
            tried[name] = answered(operation, url)
        except (FailureGroup, ExceptionGroup) as exc:
            problems += [f"{name}: {one}" for one in exc.exceptions]
    assert not problems, "\n\n".join(problems)
    return tried


def answered(operation: schemathesis.APIOperation[Any, Any, Any], url: str) -> int:
    """Return how many requests were answered as documented."""
    tried = 0

    @given(
        case=st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )
    )
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: schemathesis.Case) -> None:
        nonlocal tried
        response = case.call(base_url=url, timeout=CALL_TIMEOUT_S)
        case.validate_response(response, checks=CHECKS)
        tried += 1

    one()
    return tried
