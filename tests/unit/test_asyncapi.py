"""docs/asyncapi.yaml against the events as they are encoded."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from dicomcore.audit import Act, Activity, Actor, Outcome, audit_event
from dicomcore.events import EventData, encode

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("make_asyncapi", ROOT / "tools/make_asyncapi.py")
assert _SPEC is not None
assert _SPEC.loader is not None
make_asyncapi = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_asyncapi)

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text("utf-8"))
KINDS: list[type[EventData]] = list(make_asyncapi.published())
st.register_type_strategy(AwareDatetime, st.datetimes(timezones=st.just(UTC)))
AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_the_document_is_what_the_models_say_today() -> None:
    """If not: python tools/make_asyncapi.py."""
    assert (ROOT / "docs/asyncapi.yaml").read_text("utf-8") == make_asyncapi.text()


def test_every_event_has_a_channel_a_message_and_a_description() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {kind.TYPE for kind in KINDS}
    for message in DOCUMENT["components"]["messages"].values():
        assert message["summary"].endswith(".")
    events = (ROOT / "docs/events.md").read_text("utf-8")
    missing = sorted(kind.TYPE for kind in KINDS if f"`{kind.TYPE}`" not in events)
    assert not missing, "docs/events.md does not name them"


def test_every_reference_leads_somewhere() -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, list):
            return [one for each in part for one in references(each)]
        if isinstance(part, dict):
            return [
                *([part["$ref"]] if "$ref" in part else []),
                *(one for each in part.values() for one in references(each)),
            ]
        return []

    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def valid(kind: type[EventData], body: bytes) -> None:
    message = DOCUMENT["components"]["messages"][kind.__name__]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    jsonschema.validate(
        json.loads(body), schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.TYPE)
def test_what_is_published_is_what_the_document_describes(kind: type[EventData]) -> None:
    @given(st.from_type(kind), st.sampled_from(["", f"00-{'a' * 32}-{'b' * 16}-01"]))
    @settings(max_examples=8, database=None, suppress_health_check=list(HealthCheck))
    def described(data: EventData, traceparent: str) -> None:
        body = encode(data, event_id="1", source="s", time=AT, traceparent=traceparent)
        valid(kind, body)

    described()


def test_an_audit_event_as_it_is_recorded_is_described() -> None:
    act = Act(
        Activity.TRANSFERRED,
        "C-STORE",
        "C",
        Outcome.SUCCESS,
        actors=(Actor("urn:dicomtools:ae-title", "ARIA", address="10.0.0.1"),),
        patient_ids=("P-1",),
        counts=(("0x0000", 3),),
    )
    event = audit_event(act, recorded=AT, observer="store-scp", key=b"k" * 32)

    valid(type(event), encode(event, event_id="1", source="store-scp", time=AT))


def test_a_body_of_another_type_is_not_described() -> None:
    kind = next(one for one in KINDS if one.__name__ == "RetrievalRequested")
    body = encode(kind(job_id="1"), event_id="1", source="s", time=AT)  # type: ignore[call-arg]
    other = body.replace(b"retrieval.requested", b"retrieval.completed")

    valid(kind, body)
    with pytest.raises(jsonschema.ValidationError):
        valid(kind, other)
    with pytest.raises(jsonschema.ValidationError):
        valid(kind, body.replace(b'"job_id":"1"', b'"job_id":1'))
