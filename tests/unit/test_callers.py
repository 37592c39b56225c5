"""The allow-list of a Storage SCP: AE titles and where each may come from."""

from __future__ import annotations

import pytest

from dicomcore.errors import InvalidRequest
from store_scp.callers import Callers, parse_callers

LIST = "ARIA, PACS A=10.1.0.0/16;192.168.7.9, V6=fd00::/8, *=127.0.0.1"


@pytest.mark.parametrize(
    ("title", "address", "admitted"),
    [
        ("ARIA", "203.0.113.5", True),
        (" ARIA ", "203.0.113.5", True),
        ("aria", "203.0.113.5", False),
        ("PACS A", "10.1.255.1", True),
        ("PACS A", "10.2.0.1", False),
        ("PACS A", "192.168.7.9", True),
        ("PACS A", "::ffff:10.1.2.3", True),
        ("PACS A", "fd00::1", False),
        ("V6", "fd00::1%eth0", True),
        ("V6", "10.1.0.1", False),
        ("ANYONE", "127.0.0.1", True),
        ("ANYONE", "127.0.0.2", False),
        ("", "10.1.0.1", False),
        ("PACS A", "not an address", False),
        ("*", "203.0.113.5", False),
    ],
)
def test_a_title_is_believed_where_the_list_says(title: str, address: str, admitted: bool) -> None:
    assert parse_callers(LIST).admit(title, address) is admitted


def test_an_address_that_no_title_may_come_from_is_known_before_a_byte_is_read() -> None:
    bound = parse_callers("PACS=10.1.0.0/16")

    assert bound.reachable_from("10.1.2.3")
    assert not bound.reachable_from("203.0.113.5")
    assert parse_callers(LIST).reachable_from("203.0.113.5")  # as ARIA


@pytest.mark.parametrize("text", ["", " , ,"])
def test_an_empty_list_admits_everyone(text: str) -> None:
    assert parse_callers(text) == Callers()
    assert Callers().admit("ANYONE", "203.0.113.5")


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "PACS=",
        "PACS=10.0.0.0/33",
        "PACS=10.1.2.3/16",
        "PACS=somewhere",
        "PACS,PACS=10.0.0.0/8",
        "SEVENTEEN LETTERS",
        "A\\B",
        "=10.0.0.0/8",
    ],
)
def test_a_list_that_cannot_mean_what_it_says_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_callers(text)
