"""Tree, details, attributes, search and values of what is in the index."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.world import TREE_PATIENT, Visit

pytestmark = pytest.mark.browser


def test_the_tree_shows_what_dangles_in_plain_sight(visit: Visit) -> None:
    page = visit.open(f"show?patient_id={TREE_PATIENT}")
    tree = page.get_by_role("region", name="Reference tree")

    expect(tree.get_by_text("2 references to what is not here")).to_be_visible()
    expect(tree.get_by_text("Plan NO_STRUCT").first).to_be_visible()
    expect(tree.locator(".gone-line").first).to_be_visible()


def test_a_branch_opens_to_structure_set_images_and_beams(visit: Visit) -> None:
    page = visit.open(f"show?patient_id={TREE_PATIENT}")
    tree = page.get_by_role("region", name="Reference tree")

    tree.get_by_text("Structure set SS_first", exact=False).first.click()

    expect(tree.get_by_text("CT series Planning CT").first).to_be_visible()
    expect(tree.get_by_text("Beam 1 Field 1", exact=False).first).to_be_visible()
    expect(tree.get_by_text("Not connected to any plan")).to_be_visible()


def test_an_instance_has_a_picture_and_attributes_down_to_the_last_sequence(visit: Visit) -> None:
    page = visit.open(f"show?patient_id={TREE_PATIENT}")
    tree = page.get_by_role("region", name="Reference tree")
    tree.get_by_role("button", name="Details of DRR").first.click()
    details = page.get_by_role("region", name="Details")

    expect(details.get_by_role("img", name="Small picture")).to_be_visible()
    tree.get_by_role("button", name="Details of Plan PROST_7F").first.click()
    details.get_by_text("Attributes").click()
    details.get_by_label("Filter").fill("TreatmentMachineName")

    expect(details.get_by_text("Treatment Machine Name").first).to_be_visible()
    expect(details.get_by_text("DEMO_LINAC").first).to_be_visible()


def test_a_tag_is_completed_by_keyboard_and_searched(visit: Visit) -> None:
    page = visit.open("search")
    field = page.get_by_role("combobox", name="Term 1")
    field.press_sequentially("BeamSeq")
    page.get_by_role("option", name="BeamSequence").first.wait_for()
    field.press("ArrowDown")
    field.press("Enter")
    field.press_sequentially("TreatmentMachineName=?")

    field.press("Enter")

    found = page.get_by_role("table", name="Instances found")
    expect(found.get_by_text("DEMO_LINAC").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ of [\d,]+ instances"))).to_be_visible()


def test_values_are_counted_and_drawn(visit: Visit) -> None:
    page = visit.open("search")
    page.get_by_role("tab", name="Values and how often").click()
    page.get_by_role("combobox", name="Values of").fill("Modality")
    page.get_by_role("button", name="Count").click()

    values = page.get_by_role("list", name="Values of Modality")
    expect(values.get_by_role("listitem").filter(has_text="RTPLAN")).to_contain_text(
        re.compile(r"RTPLAN\s*[1-9]")
    )
    widths = [bar.bounding_box() for bar in values.locator(".bar").all()]
    assert all(box is not None and box["width"] >= 2 for box in widths)
    assert widths[0] is not None
    assert widths[-1] is not None
    assert widths[0]["width"] > widths[-1]["width"]
