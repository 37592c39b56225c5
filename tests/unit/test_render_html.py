"""The tree as a page: well-formed, self-contained, the same lines as the text, nothing a label can do."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import render
from dicomcore.model import InstanceHeader, PlanDetails, Relation, StructureSetDetails
from dicomcore.render_html import html
from dicomcore.tree import build_trees
from dicomcore.tree.lines import patient_lines
from tests.unit.made_headers import made, to
from tests.unit.test_tree import odd_plans, treated_prostate

VOID = {"meta"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</summary></details><img src=x onerror=alert(1)>",
    "\"'><a href='javascript:x'>",
    "&lt;b&gt;",
    "<!--",
    "]]>",
    "</style><style>*{display:none}",
    "\N{RIGHT-TO-LEFT OVERRIDE}evil",
    "a\nb\x1b[31m\0",
    "Missing: structure set 1.2.3",
]


class Page(HTMLParser):
    """What a browser would make of it, as far as it matters: tags, attributes, lines."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.lines: list[str] = []
        self.depths: list[int] = []
        self._line: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "li":
            self._line = []
            self.depths.append(self.open.count("ul") - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if self._line is not None and tag in ("summary", "li"):
            self.lines.append("".join(self._line))
            self._line = None

    def handle_data(self, data: str) -> None:
        if self._line is not None:
            self._line.append(data)

    def with_class(self, name: str) -> int:
        return sum(attributes.get("class") == name for _, attributes in self.tags)


def page_of(headers: Sequence[InstanceHeader], conflicts: Sequence[str] = ()) -> Page:
    page = Page(html(build_trees(headers, conflicts=conflicts)))
    assert page.open == []
    return page


@pytest.mark.parametrize("headers", [treated_prostate(), odd_plans()])
def test_the_page_has_the_lines_of_the_text_in_the_same_places(
    headers: list[InstanceHeader],
) -> None:
    page = page_of(headers)

    [tree] = build_trees(headers)
    shown = ["  " * (d + 1) + t for d, t in zip(page.depths, page.lines, strict=True)]
    assert shown == render.text(tree).splitlines()[1:]


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = html(build_trees(treated_prostate()))
    page = Page(text)

    names = {tag for tag, _ in page.tags}
    assert names & {"script", "link", "img", "iframe", "object", "embed", "a", "form"} == set()
    attributes = {name for _, found in page.tags for name in found}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "open"}
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_what_is_missing_is_marked_and_counted_at_the_top() -> None:
    [tree] = build_trees(treated_prostate())
    missing = sum(line.missing for line in patient_lines(tree))

    page = page_of(treated_prostate())

    assert missing == 5
    assert page.with_class("missing") == missing + 1
    assert "5 places name what is not there" in html([tree])


def test_what_has_several_versions_is_marked_and_counted_at_the_top() -> None:
    page = page_of(treated_prostate(), ["1.20", "1.71"])

    assert page.with_class("conflict") == 3
    assert sum("several versions" in line for line in page.lines) == 2


def test_a_patient_without_anything_odd_has_no_marks() -> None:
    page = page_of([made("1.1", PlanDetails(label="A"))])

    assert page.with_class("missing") == page.with_class("conflict") == 0


def test_no_patients_are_a_page_as_well() -> None:
    assert "There is no DICOM instance" in html([])
    assert Page(html([])).open == []


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_label_is_text(label: str) -> None:
    harmless = tags(page_of(patient("harmless")))

    page = page_of(patient(label))

    assert tags(page) == harmless
    shown = render.text(build_trees(patient(label))[0])
    assert page.lines[0] == shown.splitlines()[1].strip()


@given(st.text())
def test_any_label_is_text(label: str) -> None:
    page = page_of(patient(label))

    assert [tag for tag, _ in page.tags if tag in ("script", "style", "b")].count("style") == 1
    assert page.with_class("missing") == 2


def patient(label: str) -> list[InstanceHeader]:
    """A patient with one text wherever a text may be."""
    return [
        made(
            "1.1",
            PlanDetails(label=label, intent=label, approval_status=label, date=label),
            to(Relation.STRUCTURE_SET, "1.2"),
            to(Relation.DOSE, "1.9", label),
            patient=label,
        ),
        made("1.2", StructureSetDetails(label=label), patient=label),
    ]


def tags(page: Page) -> list[tuple[str, dict[str, str | None]]]:
    return page.tags
