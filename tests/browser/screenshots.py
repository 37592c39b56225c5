"""Pictures of every view, light and dark, wide and narrow, to be looked at: `make screenshots`.

python -m tests.browser.screenshots FOLDER
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, sync_playwright

from dicomio.peers import PeerSettings
from dicomtools.demo.pacs import DemoPacs
from dicomtools.system import LOOPBACK
from tests.browser.world import PEER, TREE_PATIENT, VIEWS, Visit, WebSystem, datasets, hand_off

SCHEMES = ("light", "dark")
WIDTHS = (1280, 400)


def main(folder: Path) -> int:
    """Write the pictures; return 0."""
    program = shutil.which("chromium")
    if program is None:
        print("chromium is not installed (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    destinations: dict[str, tuple[str, int]] = {}
    with (
        TemporaryDirectory() as data,
        DemoPacs(datasets(), destinations=destinations) as pacs,
        sync_playwright() as playwright,
    ):
        peer = PeerSettings(ae_title=pacs.ae_title, host=LOOPBACK, port=pacs.port)
        system = WebSystem(Path(data), {PEER: peer})
        system.start()
        try:
            destinations["DICOMTOOLS"] = (LOOPBACK, system.dicom_port)
            system.retrieve(TREE_PATIENT)
            browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
            for scheme in SCHEMES:
                for width in WIDTHS:
                    _pictures(browser, system.url, folder, scheme, width)
            browser.close()
        finally:
            system.stop()
    return 0


def _pictures(browser: Browser, url: str, folder: Path, scheme: str, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    visit = Visit(context, url)

    def take(name: str) -> None:
        visit.page.wait_for_load_state("networkidle")
        visit.page.evaluate("scrollTo(0, 0)")
        visit.page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)

    for view in VIEWS:
        visit.open(view)
        take(view)
    _filled(visit.page, visit, take)
    context.close()


def _filled(page: Page, visit: Visit, picture: Callable[[str], None]) -> None:
    """Views as they look in the midst of work."""
    visit.open("patients")
    page.get_by_role("button", name="Import list").click()
    picture("patients-import")
    page.get_by_label("Or paste the list").fill(hand_off([("DEMO-01", ["PLAN_1", "PLAN_2"])]))
    page.get_by_role("button", name="Add to the selection").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("tab", name="Advanced plan search").click()
    page.get_by_text("More criteria").click()
    page.get_by_role("table", name="Plans found").wait_for()
    picture("patients-plans")
    page.get_by_role("button", name="Export these").click()
    page.get_by_role("checkbox", name="Anonymise").check()
    page.get_by_label("New patient ID").fill("NEW")
    page.get_by_label("New patient name").fill("NEW")
    page.get_by_role("checkbox", name="RT images").check()
    page.get_by_text("Profile and options").click()
    page.get_by_label("Folder").fill("/data/exports")
    page.get_by_role("button", name="Run on this server").click()
    page.get_by_role("link", name="Download ZIP").wait_for(timeout=90_000)
    picture("export-run")
    visit.open(f"show?patient_id={TREE_PATIENT}")
    page.get_by_role("button", name=re.compile("Details of DRR")).first.click()
    page.get_by_role("img", name="Small picture").wait_for()
    picture("show-tree")
    visit.open("search")
    page.get_by_role("tab", name="Values and how often").click()
    page.get_by_role("combobox", name="Values of").fill("Modality")
    page.get_by_role("button", name="Count").click()
    page.get_by_role("list", name="Values of Modality").wait_for()
    picture("search-values")
    visit.open("jobs")
    page.get_by_role("link", name=re.compile(TREE_PATIENT)).first.click()
    page.get_by_text("The PACS lists").wait_for()
    picture("jobs-one")
    visit.open("diagnostics")
    page.get_by_role("button", name="Run").click()
    page.locator(".steps").wait_for()
    picture("diagnostics-run")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
