"""From a list of a planning system to anonymised data: run on the server, or taken away as a batch file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.world import DEADLINE_S, Visit, hand_off

pytestmark = pytest.mark.browser
PATIENTS = (("DEMO-01", ("PLAN_1", "PLAN_2")), ("DEMO-02", ("PLAN_1",)))


def import_list(page: Page, text: str) -> None:
    """Add the patients of a list to the selection."""
    page.get_by_role("button", name="Import list").click()
    page.get_by_label("Or paste the list").fill(text)
    page.get_by_role("button", name="Add to the selection").click()
    page.get_by_role("dialog").wait_for(state="detached")


def test_a_list_is_retrieved_anonymised_and_downloaded(visit: Visit) -> None:
    page = visit.open("patients")
    import_list(page, hand_off(PATIENTS))
    page.get_by_role("button", name="Export these").click()
    page.get_by_role("checkbox", name="Anonymise").check()
    page.get_by_label("New patient ID").fill("NEW")
    page.get_by_label("New patient name").fill("NEW^NAME")
    page.get_by_role("checkbox", name="RT images").check()

    page.get_by_role("button", name="Run on this server").click()
    run = page.get_by_role("region", name="2 patients, 3 retrievals")
    links = run.get_by_role("link", name="Download ZIP")
    expect(links).to_have_count(2, timeout=DEADLINE_S * 1000)

    expect(run.get_by_text("Complete", exact=True)).to_have_count(5)
    with page.expect_download() as downloading:
        links.first.click()
    archive = zipfile.ZipFile(io.BytesIO(downloading.value.path().read_bytes()))
    manifest = json.loads(archive.read("manifest.json"))
    names = archive.namelist()
    assert sum(name.split("/")[-1].startswith("RP") for name in names) == 2
    assert len(manifest["instances"]) == len([name for name in names if name.endswith(".dcm")])
    for name in names:
        assert b"DEMO-01" not in archive.read(name), name
    assert any(b"NEW-01" in archive.read(name) for name in names if name.endswith(".dcm"))


def test_the_batch_file_does_the_same_on_another_computer(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("settings")
    program = Path(sys.executable).with_name("dicomtools")
    page.get_by_label("Program").fill(str(program))
    page.get_by_role("link", name="Patients").click()
    import_list(page, hand_off(PATIENTS))
    page.get_by_role("button", name="Export these").click()
    page.get_by_label("How").select_option("get")
    page.get_by_label("Folder").fill(str(tmp_path / "out"))
    page.get_by_label("For", exact=True).select_option("sh")
    preview = page.get_by_role("region", name="Command line")
    expect(preview.locator("pre")).to_contain_text("PLAN_2")

    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download batch file").click()
    script = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(script)
    done = subprocess.run(
        ["sh", str(script)],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    plans = sorted(path.parent.relative_to(tmp_path / "out") for path in tmp_path.rglob("RP*.dcm"))
    assert [str(path) for path in plans] == [
        "DEMO-01/PLAN_1",
        "DEMO-01/PLAN_2",
        "DEMO-02",
    ]


def test_what_is_held_back_is_told_and_nothing_leaves(visit: Visit) -> None:
    page = visit.open("export")
    page.get_by_label("Patient IDs").fill("DEMO-02")
    page.get_by_label("Plan label").fill("PLAN_1")
    page.get_by_role("checkbox", name="Anonymise").check()
    page.get_by_label("New patient ID").fill("NEW")
    page.get_by_label("New patient name").fill("NEW")

    page.get_by_role("button", name="Run on this server").click()
    run = page.get_by_role("region", name="1 patient, 1 retrieval")

    expect(run.get_by_text("held back").first).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(run.get_by_text("Failed", exact=True)).to_have_count(1)
    expect(run.get_by_role("link", name="Download ZIP")).to_have_count(0)


def test_what_is_anonymised_cannot_stay_on_the_server_with_the_originals(visit: Visit) -> None:
    page = visit.open("export")
    page.get_by_role("checkbox", name="Anonymise").check()

    expect(page.get_by_role("radio", name="This server")).to_be_disabled()
    expect(page.get_by_role("radio", name="ZIP file")).to_be_checked()
    page.get_by_label("Patient IDs").fill("DEMO-01")
    page.get_by_role("button", name="Run on this server").click()

    expect(page.locator("main").get_by_role("alert")).to_contain_text("new patient ID")
    expect(page.get_by_text("New patient ID is needed.")).to_be_visible()


def test_dates_cannot_be_kept_and_shifted_at_once(visit: Visit) -> None:
    page = visit.open("export")
    page.get_by_role("checkbox", name="Anonymise").check()
    page.get_by_text("Profile and options").click()

    page.get_by_role("checkbox", name="Keep full dates").check()

    expect(page.get_by_role("checkbox", name="Shift dates")).to_be_disabled()


def test_a_patient_who_is_not_there_fails_and_does_not_stop_the_others(visit: Visit) -> None:
    page = visit.open("export")
    page.get_by_label("Patient IDs").fill("NOBODY;DEMO-03")
    page.get_by_label("Plan label").fill("PLAN_1")

    page.get_by_role("button", name="Run on this server").click()
    run = page.get_by_role("region", name="2 patients, 2 retrievals")
    again = run.get_by_role("button", name="Try again what is missing")

    again.wait_for(timeout=DEADLINE_S * 1000)
    expect(run.get_by_text("Complete", exact=True)).to_have_count(1)
    expect(run.get_by_text("Failed", exact=True)).to_have_count(1)
