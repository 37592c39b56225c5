"""Reference trees as one HTML page that needs nothing else: no script, no font, no address.

The lines are those of the text, so that both can be compared; what is missing, and what has several
versions, is marked by colour, sign and words, and counted at the top. Patient data, for the eyes of its
reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from dicomcore.tree.lines import Line, patient_lines
from dicomcore.tree.nodes import PatientTree
from dicomcore.tree.words import count, plain

_KIND = re.compile(r"[A-Z][A-Za-z -]{1,40}(?=: )")
"""The word that says what a line is about; always one of ours."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #ffffff;
  --line: #d1d9e0; --missing: #b3261e; --missing-paper: #fdecea; --conflict: #7a4d00;
  --conflict-paper: #fff3d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa4af; --paper: #14171a;
  --line: #363d44; --missing: #ff9d94; --missing-paper: #3a1715; --conflict: #ffcf70;
  --conflict-paper: #35280c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 1rem 0 0; font-size: 1.35rem; }
h2 { margin: 1.25rem 0 .25rem; font-size: 1.05rem; }
p { margin: .25rem 0; color: var(--soft); }
ul { margin: 0; padding: 0 0 0 .55rem; list-style: none; }
li > details > ul, ul ul { border-left: 1px solid var(--line); margin-left: .35rem; }
li { padding: .05rem 0; }
li > span { display: block; padding-left: 1.1rem; }
summary { cursor: pointer; }
summary:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
.tree > li { margin: .6rem 0; }
.tree > li > details > summary, .tree > li > span { font-weight: 600; }
b { font-weight: 600; }
.missing, .conflict { border-radius: .25rem; padding: 0 .3rem; }
.missing { color: var(--missing); background: var(--missing-paper); }
.conflict { color: var(--conflict); background: var(--conflict-paper); }
.missing::before { content: "\\2717\\00a0"; }
.conflict::before { content: "\\26A0\\FE0E\\00a0"; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .875rem; }
@media (max-width: 30rem) { body { padding: .6rem; } ul { padding-left: .2rem; } }
"""


def html(trees: Sequence[PatientTree]) -> str:
    """Return a page with the trees of these patients, in their order."""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            # whatever a label may try: nothing is fetched, and nothing runs
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
            '<meta name="referrer" content="no-referrer">\n',
            f"<title>Reference trees</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n",
            *(part for tree in trees for part in _patient(tree)),
            "" if trees else "<p>There is no DICOM instance.</p>\n",
            "</main>\n<footer>Not validated for clinical use.</footer>\n</body>\n</html>\n",
        )
    )


def _patient(tree: PatientTree) -> Iterator[str]:
    lines = list(patient_lines(tree))
    name = f" <small>{_text(tree.patient_name)}</small>" if tree.patient_name else ""
    yield f"<section>\n<h1>Patient: {_text(tree.patient_id) or '(no ID)'}{name}</h1>\n"
    facts = (count(len(tree.plans), "plan"), count(tree.number_of_instances, "instance"))
    yield f"<p>{', '.join(facts)}</p>\n"
    yield from _notices(lines)
    yield '<ul class="tree">\n'
    yield from _nested(lines)
    yield "</ul>\n</section>\n"


def _notices(lines: Iterable[Line]) -> Iterator[str]:
    """What somebody should see before anything else."""
    lines = list(lines)
    missing = sum(line.missing for line in lines)
    conflicts = sum(line.conflict for line in lines)
    if missing:
        word = "place names" if missing == 1 else "places name"
        yield f'<p><span class="missing">{missing} {word} what is not there</span></p>\n'
    if conflicts:
        word = "place has" if conflicts == 1 else "places have"
        yield f'<p><span class="conflict">{conflicts} {word} several versions</span></p>\n'


def _nested(lines: Sequence[Line]) -> Iterator[str]:
    """Lines with others below them can be folded; all begin unfolded."""
    for number, line in enumerate(lines):
        deeper = lines[number + 1].depth if number + 1 < len(lines) else 0
        if deeper > line.depth:
            yield f"<li><details open><summary>{_line(line)}</summary>\n<ul>\n"
            continue
        yield f"<li><span>{_line(line)}</span></li>\n"
        yield "</ul>\n</details></li>\n" * (line.depth - deeper)


def _line(line: Line) -> str:
    kind = _KIND.match(line.text)
    end = kind.end() + 1 if kind else 0
    words = f"<b>{_text(line.text[:end])}</b>{_text(line.text[end:])}" if end else _text(line.text)
    marks = [name for name in ("missing", "conflict") if getattr(line, name)]
    return f'<span class="{marks[0]}">{words}</span>' if marks else words


def _text(value: str) -> str:
    return escape(plain(value))
