"""The list builder: searches, the selection that grows over them, lists from and for other programs."""

from __future__ import annotations

import base64
import json

import pytest
from playwright.sync_api import expect

from tests.browser.world import TREE_PATIENT, Visit, hand_off

pytestmark = pytest.mark.browser


def test_plans_are_found_by_what_they_say_and_added(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("tab", name="Advanced plan search").click()
    page.get_by_label("Plan label").fill("PROST")
    page.get_by_label("Approval", exact=True).select_option("APPROVED")
    page.get_by_text("More criteria").click()
    page.get_by_label("Fractions, from", exact=True).fill("4")
    page.get_by_role("button", name="Search").click()
    found = page.get_by_role("table", name="Plans found")

    expect(found.get_by_role("row")).to_have_count(3)
    found.get_by_role("checkbox", name=f"Select plan PROST_BOOST of {TREE_PATIENT}").check()
    page.get_by_role("button", name="Add these plans").click()

    selection = page.get_by_role("table", name="Selected patients")
    expect(selection.get_by_role("checkbox", name="PROST_BOOST")).to_be_checked()
    expect(page.get_by_role("region", name="Selection")).to_contain_text(
        "1 patient, 1 plan by name"
    )


def test_columns_sort_on_the_server_and_say_so(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("tab", name="Advanced plan search").click()
    found = page.get_by_role("table", name="Plans found")
    head = found.get_by_role("columnheader", name="Plan", exact=True)

    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    labels = found.locator("tbody tr td:nth-child(2) a").all_inner_texts()

    assert len(labels) == 12
    assert labels == sorted(labels, key=str.casefold)


def test_the_selection_grows_over_searches_and_knows_approved_and_recent_plans(
    visit: Visit,
) -> None:
    page = visit.open("patients")
    found = page.get_by_role("table", name="Patients found")
    selection = page.get_by_role("region", name="Selection")
    row = found.get_by_role("checkbox", name=f"Select patient {TREE_PATIENT}")

    row.check()
    page.get_by_role("button", name="Add most recent plan").click()
    expect(selection).to_contain_text("1 patient, 1 plan by name")
    row.check()
    page.get_by_role("button", name="Add approved plans").click()

    expect(selection.get_by_role("checkbox", name="PROST_7F")).to_be_checked()
    expect(selection.get_by_role("checkbox", name="BRACHY_HDR")).to_be_checked()
    expect(selection.get_by_role("checkbox", name="PROST_OLD")).to_have_count(0)


def test_patients_straight_from_a_pacs_can_be_selected(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("tab", name="From a PACS").click()
    page.get_by_label("Patient ID").fill("DEMO-03")
    page.get_by_role("button", name="Ask the PACS").click()
    found = page.get_by_role("table", name="Patients at the PACS")

    found.get_by_role("checkbox", name="Select patient DEMO-03").check()
    page.get_by_role("button", name="Add all data").click()

    expect(page.get_by_role("table", name="Selected patients")).to_contain_text("DEMO-03")


def test_a_list_comes_by_address_and_leaves_no_trace_there(visit: Visit) -> None:
    handed = base64.urlsafe_b64encode(hand_off([("Ä 1", ["Plan & Co"])]).encode()).decode()
    page = visit.page
    page.goto(f"{visit.url}/?handoff={handed.rstrip('=')}")

    expect(page.get_by_role("table", name="Selected patients")).to_contain_text("Ä 1")
    expect(page.get_by_role("checkbox", name="Plan & Co")).to_be_checked()
    assert "handoff" not in page.url


def test_the_selection_is_saved_as_a_list_that_can_be_read_again(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("button", name="Import list").click()
    page.get_by_label("Or paste the list").fill(hand_off([("P-7", ["A", "B"])]))
    page.get_by_role("button", name="Add to the selection").click()
    page.get_by_role("checkbox", name="B", exact=True).uncheck()

    with page.expect_download() as downloading:
        page.get_by_role("button", name="Save list").click()
    saved = json.loads(downloading.value.path().read_text())

    [patient] = saved["patients"]
    assert patient["patientId"] == "P-7"
    assert {plan["planId"]: plan["isSelected"] for plan in patient["plans"]} == {
        "A": True,
        "B": False,
    }


def test_what_is_no_list_is_refused_in_words_and_the_dialog_stays(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("button", name="Import list").click()
    field = page.get_by_label("Or paste the list")
    field.fill("{ no list")

    page.get_by_role("button", name="Add to the selection").click()

    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("dialog")).to_be_visible()
