"""Text that comes from DICOM or from files is text: nothing of it runs, all of it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from dicomio.peers import PeerSettings
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient
from dicomtools.system import LOOPBACK
from tests.browser.world import PEER, Visit, WebSystem, eventually

pytestmark = pytest.mark.browser
PATIENT_ID = '<img src=x onerror=alert(1)>"&;'
NAME = "<script>alert(2)</script>^'\"><svg onload=alert(3)>"
LABEL = "</b><i>A&amp;"
DESCRIPTION = "javascript:alert(4)//<iframe srcdoc=x>"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSystem]:
    """A system with a patient whose every text tries to be markup."""
    datasets = small_patient(patient_id="X", plans=1, slices=1).datasets
    for ds in datasets:
        ds.PatientID, ds.PatientName = PATIENT_ID, NAME
        ds.SeriesDescription = ds.StudyDescription = DESCRIPTION
        if ds.Modality == "RTPLAN":
            ds.RTPlanLabel = LABEL
            for beam in ds.BeamSequence:
                beam.BeamName, beam.TreatmentMachineName = LABEL, LABEL
    destinations: dict[str, tuple[str, int]] = {}
    with DemoPacs(datasets, destinations=destinations) as pacs:
        peer = PeerSettings(ae_title=pacs.ae_title, host=LOOPBACK, port=pacs.port)
        system = WebSystem(tmp_path_factory.mktemp("hostile"), {PEER: peer})
        system.start()
        try:
            destinations["DICOMTOOLS"] = (LOOPBACK, system.dicom_port)
            order = {"peer": PEER, "patient_id": PATIENT_ID, "plan_label": LABEL}
            job = system.ask("POST", "/v1/retrievals", order)
            path = f"/v1/retrievals/{job['id']}"
            eventually(lambda: system.ask("GET", path)["state"] == "complete")
            eventually(lambda: system.ask("GET", "/v1/plans")["plans"] != [])
            yield system
        finally:
            system.stop()


@pytest.fixture
def hostile_visit(chromium: Browser, hostile: WebSystem) -> Iterator[Visit]:
    """A page on it; a dialog that opens is a script that ran."""
    context = chromium.new_context(reduced_motion="reduce")
    visiting = Visit(context, hostile.url)
    visiting.page.on(
        "dialog",
        lambda box: (
            box.accept() if box.type == "beforeunload" else visiting.faults.append(box.message)
        ),
    )
    visiting.page.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.blockedURI))"
    )
    yield visiting
    context.close()
    assert visiting.faults == []


def test_hostile_texts_are_shown_as_they_are(hostile_visit: Visit) -> None:
    page = hostile_visit.open("patients")
    found = page.get_by_role("table", name="Patients found")
    expect(found.get_by_text(PATIENT_ID, exact=True).first).to_be_visible()
    expect(found.get_by_text("<script>alert(2)</script>").first).to_be_visible()
    found.get_by_role("checkbox").nth(1).check()
    page.get_by_role("button", name="Add approved plans").click()
    selection = page.get_by_role("table", name="Selected patients")
    expect(selection.get_by_role("checkbox", name=LABEL)).to_be_checked()

    page.get_by_role("tab", name="Advanced plan search").click()
    plans = page.get_by_role("table", name="Plans found")
    expect(plans.get_by_role("link", name=LABEL)).to_be_visible()
    plans.get_by_role("link", name=LABEL).click()
    tree = page.get_by_role("region", name="Reference tree")
    expect(tree.get_by_text(f"Plan {LABEL}").first).to_be_visible()
    expect(page.get_by_role("heading", name=f"Patient {PATIENT_ID}")).to_be_visible()
    details = page.get_by_role("region", name="Details")
    expect(details.get_by_text(DESCRIPTION).first).to_be_visible()
    details.get_by_text("Attributes").click()
    expect(details.get_by_text("Patient's Name").first).to_be_visible()

    assert (
        page.locator("main img[src=x], main iframe, main script, main i, main svg[onload]").count()
        == 0
    )


def test_hostile_texts_stay_texts_in_search_jobs_and_commands(hostile_visit: Visit) -> None:
    page = hostile_visit.open("jobs")
    page.get_by_role("link", name=PATIENT_ID).click()
    expect(page.get_by_role("table", name="Plans of the patient")).to_contain_text(LABEL)

    hostile_visit.open("search")
    page.get_by_role("combobox", name="Term 1").fill("SeriesDescription=?")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("table", name="Instances found")).to_contain_text(DESCRIPTION)
    page.get_by_role("tab", name="Values and how often").click()
    page.get_by_role("combobox", name="Values of").fill("BeamSequence/BeamName")
    page.get_by_role("button", name="Count").click()
    expect(page.get_by_role("list", name="Values of")).to_contain_text(LABEL)

    assert page.locator("main img[src=x], main iframe, main script, main i").count() == 0


def test_a_hostile_list_is_text_and_becomes_no_command(
    hostile_visit: Visit, tmp_path: Path
) -> None:
    page = hostile_visit.open("patients")
    page.get_by_role("button", name="Import list").click()
    patient = {
        "patientId": "$(touch x);`id`",
        "lastName": "<b>x",
        "plans": [{"planId": "'&|<u>", "isSelected": True}],
    }
    page.get_by_label("Or paste the list").fill(json.dumps({"patients": [patient]}))
    page.get_by_role("button", name="Add to the selection").click()
    expect(page.get_by_role("checkbox", name="'&|<u>")).to_be_checked()
    page.get_by_role("button", name="Export these").click()
    page.get_by_label("Folder").fill("out folder/a b")
    page.get_by_label("For", exact=True).select_option("sh")

    commands = page.get_by_role("region", name="Command line").locator("pre")
    expect(commands).to_contain_text("'--patientId=$(touch x)\\;`id`'")
    expect(commands).to_contain_text("<u>")

    assert page.locator("main u, main b:text-is('x')").count() == 0
