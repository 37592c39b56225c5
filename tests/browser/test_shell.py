"""The frame: settings that stay, a server that goes away, the keyboard, what the page costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Request, expect

from tests.browser.world import VIEWS, Visit, WebSystem

pytestmark = pytest.mark.browser


def test_settings_survive_a_reload_and_travel_as_a_file(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("settings")
    page.get_by_label("Export path").fill("/data/exports")
    page.get_by_label("Rows of a table").select_option("50")
    page.get_by_role("button", name="Colours").click()

    page.reload()
    expect(page.get_by_label("Export path")).to_have_value("/data/exports")
    expect(page.get_by_label("Rows of a table")).to_have_value("50")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export", exact=True).click()
    file = tmp_path / "settings.json"
    downloading.value.save_as(file)
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_label("Export path")).to_have_value("")
    page.locator("input[type=file]").set_input_files(file)

    expect(page.get_by_label("Export path")).to_have_value("/data/exports")


def test_settings_of_another_type_are_not_taken(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("settings")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"rows": "many", "theme": "<b>", "program": 7, "exportPath": "/x"}))

    page.locator("input[type=file]").set_input_files(file)

    expect(page.get_by_label("Export path")).to_have_value("/x")
    expect(page.get_by_label("Program")).to_have_value("dicomtools")
    expect(page.get_by_label("Rows of a table")).to_have_value("25")


def test_an_admin_adds_changes_and_deletes_a_peer(visit: Visit) -> None:
    page = visit.open("settings")
    peers = page.get_by_role("table", name="Peers")
    page.get_by_role("button", name="Add a peer").click()
    page.get_by_label("Name *").fill("second")
    page.get_by_label("AE title *").fill("SECOND")
    page.get_by_label("Host *").fill("pacs.invalid")
    page.get_by_label("Port *").fill("11112")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(peers).to_contain_text("pacs.invalid:11112")
    page.get_by_role("button", name="Delete second").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(peers).not_to_contain_text("pacs.invalid")


def test_a_server_that_goes_away_is_told_of_and_found_again(
    chromium: Browser, tmp_path: Path
) -> None:
    system = WebSystem(tmp_path / "data")
    system.start()
    context = chromium.new_context()
    try:
        visit = Visit(context, system.url)
        page = visit.open("patients")
        expect(page.get_by_text("No patient found")).to_be_visible()

        system.stop()
        page.get_by_label("Patient ID").fill("x")
        expect(page.get_by_text("The server does not answer. It is looked for")).to_be_visible()
        system.start()

        expect(page.get_by_text("The server is back.")).to_be_visible()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("No patient found")).to_be_visible()
        assert visit.faults == []
    finally:
        context.close()
        system.stop()


def test_everything_is_reached_by_keyboard_and_focus_follows_the_view(visit: Visit) -> None:
    page = visit.open("patients")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    page.get_by_role("link", name="Export", exact=True).focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Export", level=1)).to_be_focused()
    expect(page).to_have_title("Export – DicomTools")
    page.get_by_role("link", name="Patients").focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Patients").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Advanced plan search")).to_have_attribute(
        "aria-selected", "true"
    )


def test_nothing_is_asked_of_anyone_else(context: BrowserContext, system: WebSystem) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((system.url, "blob:")):
            asked.append(request.url)

    context.on("request", note)
    visit = Visit(context, system.url)
    for view in VIEWS:
        visit.open(view)

    assert asked == []
    assert visit.faults == []


def test_no_patient_and_no_token_is_kept_by_the_browser(visit: Visit) -> None:
    page = visit.open("patients")
    page.get_by_role("table", name="Patients found").get_by_role("checkbox").nth(1).check()
    page.get_by_role("button", name="Add all data").click()
    page.get_by_role("button", name="Colours").click()

    kept = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")

    assert "theme" in kept
    assert "DEMO" not in kept
