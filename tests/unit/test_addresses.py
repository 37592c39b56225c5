"""DICOM systems as one word on the command line, and the fault switches of the demo PACS."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomtools.addresses import ae_title, parse_destination, parse_peer
from dicomtools.commands import DEMO_PACS, FAULTS
from dicomtools.config import resolve
from dicomtools.demo.faults import Faults
from dicomtools.demo_pacs import faults_of
from dicomtools.options import parse_command_line
from dicomtools.problems import CommandProblem

TITLES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=16
).filter(lambda title: "\\" not in title)
HOSTS = st.sampled_from(["pacs", "pacs.example.org", "10.0.0.1", "[::1]", "[fe80::1]"])


@given(TITLES, HOSTS, st.integers(1, 65535))
def test_a_destination_reads_back_whatever_its_title_holds(
    title: str, host: str, port: int
) -> None:
    parsed = parse_destination(f"{title}={host}:{port}", option="destination")

    assert parsed == (title, (host.strip("[]"), port))


@given(TITLES, HOSTS, st.integers(1, 65535))
def test_a_peer_reads_back_whatever_its_title_holds(title: str, host: str, port: int) -> None:
    assert parse_peer(f"clinic={title}@{host}:{port}", option="peer") == (
        "clinic",
        title,
        host.strip("[]"),
        port,
    )


@pytest.mark.parametrize(
    "text",
    ["", "A", "A=B", "A=B@", "A=B@host", "A=B@host:0", "A=B@host:65536", "=B@host:1", "A=@h:1"],
)
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(CommandProblem):
        parse_peer(text, option="peer")


@pytest.mark.parametrize("text", ["", " ", "x" * 17, "Ä", "A\\B", "A\tB"])
def test_what_is_no_ae_title_is_refused(text: str) -> None:
    with pytest.raises(CommandProblem):
        ae_title(text, option="aet")


def test_padding_is_no_part_of_an_ae_title() -> None:
    assert ae_title(" ARIA  ", option="aet") == "ARIA"


def test_every_fault_has_its_switch_under_its_own_name() -> None:
    kebab = [option.kebab.replace("-", "_") for option in FAULTS]

    assert kebab == [field.name for field in fields(Faults)]


def test_without_switches_there_are_no_faults() -> None:
    values, _ = resolve(DEMO_PACS, {}, ())

    assert faults_of(values) == Faults()


def test_every_switch_switches_its_fault_on() -> None:
    words = [
        word
        for option in FAULTS
        for word in (f"--{option.name}", "true" if option.kind == "flag" else "7")
    ]

    faults = faults_of(resolve(DEMO_PACS, parse_command_line(DEMO_PACS, words), ())[0])

    for field in fields(Faults):
        value = getattr(faults, field.name)
        assert value == (
            True
            if isinstance(value, bool)
            else frozenset({"7"})
            if isinstance(value, frozenset)
            else 7
        )
