"""docs/conformance.md and the alerts of docs/operations.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

from dicomcore import catalogue, dimse, errors
from dicomio.pacs import contexts
from dicomio.pacs.peer import Peer
from store_scp import association, negotiation
from store_scp.options import ScpOptions

DOCS = Path(__file__).parents[2] / "docs"
STATEMENT = (DOCS / "conformance.md").read_text("utf-8")
OPERATIONS = (DOCS / "operations.md").read_text("utf-8")
METRICS = set(re.findall(r"^\| `(\w+)`", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize(
    "keys",
    [
        catalogue.STUDY_KEYS,
        catalogue.SERIES_KEYS,
        catalogue.INSTANCE_KEYS,
        catalogue.PLAN_KEYS,
        catalogue.FRAME_KEYS,
        catalogue.REFERENCED_PLAN_KEYS,
    ],
)
def test_every_key_of_c_find_is_named_by_its_tag(keys: dict[str, str]) -> None:
    for keyword in (part for key in keys for part in key.split("/")):
        tag = Tag(tag_for_keyword(keyword) or 0)
        assert f"({tag.group:04X},{tag.element:04X})" in STATEMENT, keyword


def test_every_sop_class_of_the_requester_and_what_names_us_is_there() -> None:
    for uid in (
        contexts.VERIFICATION,
        contexts.PATIENT_ROOT_FIND,
        contexts.STUDY_ROOT_FIND,
        contexts.STUDY_ROOT_MOVE,
        contexts.STUDY_ROOT_GET,
        PYNETDICOM_IMPLEMENTATION_UID,
        PYNETDICOM_IMPLEMENTATION_VERSION,
    ):
        assert str(uid) in STATEMENT, uid


def test_every_status_that_answers_a_request_is_there() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {
        dimse.status_of(kind("x")) for kind in kinds if issubclass(kind, errors.DicomToolsError)
    }
    statuses |= {0, association.SOP_CLASS_NOT_SUPPORTED, association.UNRECOGNIZED_OPERATION}

    for status in statuses:
        assert f"| 0x{status:04X} |" in STATEMENT


def test_limits_and_reasons_are_those_of_the_code() -> None:
    options, peer = ScpOptions(), Peer("x", "X", "h", 104)

    assert f"{options.maximum_associations} (setting)" in STATEMENT
    assert options.maximum_pdu_bytes == peer.max_pdu == 131072
    assert options.acse_timeout_s == 30.0
    assert options.network_timeout_s == 120.0
    for result, source, reason in (
        negotiation.LOCAL_LIMIT_EXCEEDED,
        negotiation.CALLING_TITLE_UNKNOWN,
        negotiation.CALLED_TITLE_UNKNOWN,
    ):
        assert f"result {result}, source {source}, reason {reason}" in STATEMENT


def test_log_lines_that_operations_tells_to_look_for_are_written() -> None:
    told = re.findall(r"(?:log|the) lines? ((?:`\w+`(?:, | and )?)+)", OPERATIONS)
    names = {name for line in told for name in re.findall(r"`(\w+)`", line)}
    code = "".join(
        path.read_text("utf-8")
        for folder in ("libs", "services")
        for path in (DOCS.parent / folder).rglob("*.py")
    )

    assert len(names) > 8
    assert {name for name in names if f'"{name}"' not in code} == set()


def test_the_alerts_of_kubernetes_are_those_that_operations_tells_what_to_do_about() -> None:
    table = OPERATIONS.partition("### Alerts")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w ]+) \| `((?:[^`])+)`(?: for (\d+) min)? \|", table, re.MULTILINE)
    told = {
        (n, e.replace("\\|", "|"), f"{minutes}m" if minutes else None) for n, e, minutes in rows
    }
    manifest = DOCS.parent / "k8s" / "components" / "alerts" / "alerts.yaml"
    (group,) = yaml.safe_load(manifest.read_text("utf-8"))["spec"]["groups"]
    rules = {(one["annotations"]["summary"], one["expr"], one.get("for")) for one in group["rules"]}

    assert len(told) > 10
    assert rules == told
    assert len({one["alert"] for one in group["rules"]}) == len(rules)


def test_alerts_ask_for_metrics_that_exist() -> None:
    alerts = OPERATIONS.partition("### Alerts")[2].partition("\n## ")[0]
    asked = set(
        re.findall(
            r"\b((?:store_scp|indexer|retrievals?|sends?|exports?|audit|http)_\w+)[{)]", alerts
        )
    )

    assert asked
    for name in asked:
        assert re.sub(r"_(total|count|bucket|sum)$", "", name) in METRICS, name
