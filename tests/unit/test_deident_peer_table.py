"""Our Basic profile against the table that another project keeps, where that is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomcore.deident import shipped_profile

peer = pytest.importorskip(
    "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c",
    reason="dicom-anonymizer is not installed",
)
ACTIONS = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U",
}


def peer_rows() -> Iterator[tuple[int, str]]:
    """Tag and action of every row that names one tag or a repeating group."""
    for name, action in ACTIONS.items():
        for group, element, *_ in getattr(peer, name):
            yield group << 16 | element, action


def test_both_tables_say_the_same_of_every_tag() -> None:
    profile = shipped_profile("BasicSecurityProfile")

    different = {}
    for tag, action in peer_rows():
        row = profile.row(tag)
        ours = "" if row is None else "/".join(choice.value for choice in row.basic)
        if ours != action:
            different[f"{tag:08X}"] = (ours, action)

    assert sum(1 for _ in peer_rows()) > 600
    assert different == {}
