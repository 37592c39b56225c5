"""Settings files as people write them: every JSON value survives comments, commas and marks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomtools.lenient_json import parse
from dicomtools.problems import CommandProblem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NOISE = st.sampled_from(
    [" ", "\n", "\t", "\r\n", "// a remark\n", "/* a\nremark */", '// "quoted" , ]\n', "/*,}*/"]
)


def written(value: object, noise: st.DataObject) -> str:
    """Return `value` as JSON with remarks anywhere and commas at the end of lists and objects."""

    def gap() -> str:
        return "".join(noise.draw(st.lists(NOISE, max_size=2)))

    def comma() -> str:
        return "," if noise.draw(st.booleans()) else ""

    if isinstance(value, list):
        inner = ",".join(gap() + written(item, noise) + gap() for item in value)
        return f"[{inner}{comma() if value else ''}{gap()}]"
    if isinstance(value, dict):
        inner = ",".join(
            f"{gap()}{json.dumps(key)}{gap()}:{gap()}{written(item, noise)}{gap()}"
            for key, item in value.items()
        )
        return f"{{{inner}{comma() if value else ''}{gap()}}}"
    return json.dumps(value, ensure_ascii=noise.draw(st.booleans()))


@given(value=JSON, noise=st.data())
def test_comments_and_trailing_commas_change_nothing(value: object, noise: st.DataObject) -> None:
    text = written(value, noise)

    assert parse(text.encode("utf-8", "surrogatepass"), name="options.json") == value


@given(JSON)
def test_strict_json_means_what_it_always_means(value: object) -> None:
    text = json.dumps(value, indent=1)

    assert parse(text.encode(), name="options.json") == json.loads(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_error(encoding: str) -> None:
    body = '{"Path": "Grüße"}'.encode(encoding)

    assert parse(body, name="options.json") == {"Path": "Grüße"}


@pytest.mark.parametrize("body", [b"", b"  \n", b"// nothing yet\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_object(body: bytes) -> None:
    assert parse(body, name="options.json") == {}


def test_what_looks_like_a_comment_inside_a_string_is_text() -> None:
    body = b'{"HostName": "http://a/*b*/,]", }'

    assert parse(body, name="options.json") == {"HostName": "http://a/*b*/,]"}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{\n  /* a\n remark */\n  "HostPort": 4x\n}', 4),
        (b'{\n  "Path": "C:\\Temp"\n}', 2),
        (b'{\n  "A": 1\n  "B": 2\n}', 3),
        (b'{"A": "no end }', 1),
        (b'{\n"A": "\xff"}', 2),
    ],
)
def test_an_error_names_file_and_line(body: bytes, line: int) -> None:
    with pytest.raises(CommandProblem) as problem:
        parse(body, name="options.json")

    assert problem.value.words.startswith(f"options.json, line {line}:")


def test_a_single_backslash_is_explained() -> None:
    with pytest.raises(CommandProblem) as problem:
        parse(b'{"Path": "C:\\Temp"}', name="options.json")

    assert "a backslash must be written twice" in problem.value.words


@pytest.mark.parametrize(
    "body", [b"{", b"[1", b"{} {}", b"NaN", b'{"a": Infinity}', b"[" * 100_000]
)
def test_garbage_is_a_problem_and_no_crash(body: bytes) -> None:
    with pytest.raises(CommandProblem):
        parse(body, name="options.json")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_problem(body: bytes) -> None:
    try:
        parse(body, name="options.json")
    except CommandProblem as problem:
        assert problem.words.startswith("options.json")  # noqa: PT017 – most bytes are no JSON
