"""Diagnostics, the audit trail, peers and defaults that the server keeps."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.world import PEER, SMALL_PATIENTS, Visit

pytestmark = pytest.mark.browser
READABLE_PX = 150


def test_a_connection_is_diagnosed_with_what_was_seen_and_advice_that_can_be_read(
    visit: Visit,
) -> None:
    page = visit.open("diagnostics")
    page.get_by_label("Peer").select_option(PEER)

    page.get_by_role("button", name="Run").click()

    expect(page.get_by_text("Nothing failed")).to_be_visible()
    expect(page.get_by_text("DICOM connection (C-ECHO)")).to_be_visible()
    # without a patient, no object was asked for: it is skipped, and says how to have it
    advice = page.locator(".steps ul li").last
    box = advice.bounding_box()
    assert box is not None
    assert box["width"] > READABLE_PX


def test_an_object_that_arrives_is_the_end_of_a_complete_diagnosis(visit: Visit) -> None:
    page = visit.open("diagnostics")
    page.get_by_label("Peer").select_option(PEER)
    page.get_by_label("Patient ID").fill(SMALL_PATIENTS[0])

    page.get_by_role("button", name="Run").click()

    expect(page.get_by_text("Nothing failed")).to_be_visible()
    expect(page.get_by_text("skipped", exact=True)).to_have_count(0)


def test_the_audit_trail_tells_who_did_what_and_no_patient(visit: Visit) -> None:
    visit.open(f"show?patient_id={SMALL_PATIENTS[0]}")

    page = visit.open("audit")
    table = page.get_by_role("table")

    expect(
        table.get_by_text("getSession").or_(table.get_by_text("listPeers")).first
    ).to_be_visible()
    expect(table.get_by_text(SMALL_PATIENTS[0])).to_have_count(0)
