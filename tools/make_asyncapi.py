"""Write docs/asyncapi.yaml from the event models; run it when an event is new or has a new field.

python tools/make_asyncapi.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dicomcore import audit, events
from dicomcore.events import CONTENT_TYPE, CloudEvent, EventData

TARGET = Path(__file__).parents[1] / "docs/asyncapi.yaml"
_MODULES = (events, audit)
_STREAMS = {"dicom": "DICOM", "audit": "AUDIT"}
"""JetStream stream by the first word of a subject."""


def main() -> None:
    """Write the document."""
    TARGET.write_text(text(), "utf-8")


def text() -> str:
    """Return the document as YAML."""
    return "# Made by tools/make_asyncapi.py from the models in dicomcore.\n" + yaml.safe_dump(
        document(), sort_keys=False, allow_unicode=True, width=100
    )


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3 document."""
    kinds = sorted(published(), key=lambda kind: kind.TYPE)
    models: list[type[BaseModel]] = [CloudEvent, *kinds]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    schemas = dict(sorted(definitions["$defs"].items()))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "DicomTools events",
            "version": "1",
            "description": (
                "CloudEvents 1.0 in structured JSON on NATS JetStream. The type of an event is the "
                "subject that it is published on. It may come twice, late, or out of order. No event "
                "holds a patient's name, ID, birth date or label."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_key(kind): _channel(kind) for kind in kinds},
        "operations": {f"publish_{_key(kind)}": _operation(kind) for kind in kinds},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": {name: _plain(schema) for name, schema in schemas.items()},
        },
    }


def published() -> Iterator[type[EventData]]:
    """Yield every kind of event that there is."""
    for module in _MODULES:
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, EventData) and "TYPE" in vars(found):
                yield found


def _key(kind: type[EventData]) -> str:
    return kind.TYPE.replace(".", "_")


def _channel(kind: type[EventData]) -> dict[str, Any]:
    stream = _STREAMS[kind.TYPE.partition(".")[0]]
    return {
        "address": kind.TYPE,
        "description": f"JetStream stream {stream}",
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
    }


def _operation(kind: type[EventData]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_key(kind)}"},
        "messages": [{"$ref": f"#/channels/{_key(kind)}/messages/{kind.__name__}"}],
    }


def _message(kind: type[EventData]) -> dict[str, Any]:
    return {
        "name": kind.TYPE,
        "summary": (kind.__doc__ or "").partition("\n")[0],
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": kind.TYPE},
                        "data": {"$ref": f"#/components/schemas/{kind.__name__}"},
                    },
                },
            ]
        },
    }


def _plain(schema: Any) -> Any:
    """Return a schema without what events leave out: a member that is null is not there."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _plain(value) for name, value in schema.items() if name != "default"}
    choices = kept.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        [kept_choice] = [choice for choice in choices if choice != {"type": "null"}]
        del kept["anyOf"]
        kept.update(kept_choice)
    required, properties = kept.get("required"), schema.get("properties")
    if isinstance(required, list) and isinstance(properties, dict):
        kept["required"] = [name for name in required if not _nullable(properties[name])]
    return kept


def _nullable(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())


if __name__ == "__main__":
    main()
