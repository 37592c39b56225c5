"""WCAG 2.2 AA as far as a program can see it: axe finds nothing, in any view, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.world import TREE_PATIENT, VIEWS, Visit, WebSystem, hand_off

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MORE_VIEWS = (f"show?patient_id={TREE_PATIENT}",)


def violations(page: Page, axe: str) -> list[str]:
    """Return what axe objects to, with the elements."""
    # as an isolated script: the page's policy lets no other in
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(
        "(rules) => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def as_lines(found: dict[str, list[str]]) -> str:
    """Return what is wrong where, each once."""
    lines = (f"{view}: {one}" for view, several in found.items() for one in several)
    return "\n".join(dict.fromkeys(lines))


@pytest.fixture(scope="module")
def axe(node_tools: Path) -> str:
    """The source of axe-core."""
    return (node_tools / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(
    chromium: Browser, system: WebSystem, axe: str, scheme: Literal["light", "dark"], width: int
) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    visit = Visit(context, system.url)
    found = {}
    for view in (*VIEWS, *MORE_VIEWS):
        page = visit.open(view)
        page.wait_for_load_state("networkidle")
        if objections := violations(page, axe):
            found[view] = objections
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        if wide:
            found.setdefault(view, []).append("it is wider than the window")
    context.close()

    assert not found, as_lines(found)
    assert visit.faults == []


def test_axe_finds_nothing_in_what_opens_on_demand(visit: Visit, axe: str) -> None:
    found: list[str] = []
    page = visit.open("patients")
    page.get_by_role("button", name="Import list").click()
    found += violations(page, axe)
    page.get_by_label("Or paste the list").fill(hand_off([("P-1", ["A"])]))
    page.get_by_role("button", name="Add to the selection").click()
    page.get_by_role("checkbox", name="A", exact=True).wait_for()
    found += violations(page, axe)
    for tab in ("Advanced plan search", "From a PACS"):
        page.get_by_role("tab", name=tab).click()
        found += violations(page, axe)
    page.get_by_role("tab", name="Advanced plan search").click()
    page.get_by_text("More criteria").click()
    found += violations(page, axe)
    visit.open("export")
    page.get_by_role("checkbox", name="Anonymise").check()
    page.get_by_text("Profile and options").click()
    page.get_by_role("button", name="Run on this server").click()
    found += violations(page, axe)
    visit.open(f"show?patient_id={TREE_PATIENT}")
    page.get_by_role("button", name="Details of DRR").first.click()
    details = page.get_by_role("region", name="Details")
    details.get_by_text("Attributes").click()
    details.get_by_label("Filter").wait_for()
    found += violations(page, axe)
    visit.open("search")
    page.get_by_role("combobox", name="Term 1").press_sequentially("Beam")
    page.get_by_role("option").first.wait_for()
    found += violations(page, axe)
    visit.open("settings")
    page.get_by_role("button", name="Add a peer").click()
    found += violations(page, axe)

    assert not found, as_lines({"on demand": found})
