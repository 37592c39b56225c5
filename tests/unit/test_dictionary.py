"""Our way to the dictionary and to character sets tells what pydicom tells, without loading pydicom."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import CODES_TO_ENCODINGS, python_encoding
from pydicom.datadict import DicomDictionary, dictionary_keyword, dictionary_VR, tag_for_keyword

from dicomcore import dictionary
from dicomcore.dictionary import keyword_of_tag, tags_by_keyword, vr_of_tag
from dicomcore.readers.charsets import CODECS, CODECS_OF_ESCAPES

HEAVY = ("pydicom", "pydantic", "structlog", "asyncio", "rich", "aiohttp", "sqlite3", "numpy")


def pydicom_tells(tag: int) -> tuple[str, str]:
    try:
        return str(dictionary_VR(tag)), dictionary_keyword(tag)
    except KeyError:
        return "", ""


def test_every_tag_of_the_dictionary_has_its_vr_and_keyword() -> None:
    assert len(DicomDictionary) > 5000
    for tag in DicomDictionary:
        assert (vr_of_tag(tag), keyword_of_tag(tag)) == pydicom_tells(tag)


REPEATED = st.builds(
    lambda group, low, element: (group + 2 * low) << 16 | element,
    st.sampled_from([0x5000, 0x6000, 0x7F00, 0x0020, 0x0028, 0x1000, 0x1010]),
    st.integers(0, 127),
    st.integers(0, 0xFFFF),
)


@given(st.integers(0, 2**32 - 1) | REPEATED)
def test_so_has_any_tag_also_of_repeating_groups(tag: int) -> None:
    assert (vr_of_tag(tag), keyword_of_tag(tag)) == pydicom_tells(tag)


def test_every_keyword_has_its_tag() -> None:
    assert len(tags_by_keyword()) > 5000
    for keyword, tag in tags_by_keyword().items():
        assert tag_for_keyword(keyword) == tag


def test_the_tables_are_found_beside_the_package() -> None:
    tables = dictionary._alone("pydicom", "_dicom_dict")

    assert tables is not None
    assert tables.DicomDictionary == DicomDictionary
    assert dictionary._alone("pydicom", "_moved_elsewhere") is None
    assert dictionary._alone("no_such_package", "_dicom_dict") is None


def test_character_sets_are_those_of_pydicom() -> None:
    assert python_encoding == CODECS
    assert CODECS_OF_ESCAPES == CODES_TO_ENCODINGS


@pytest.mark.parametrize("more", [[], ["--showStatistics"], ["--showOnlyDirectories"]])
def test_a_folder_search_loads_nothing_heavy(tmp_path: Path, more: list[str]) -> None:
    from pydicom.uid import ExplicitVRLittleEndian

    from tests import factories
    from tests.unit.test_extract import encoded

    for number in range(3):
        ds = factories.ct()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName = "Müller^Jürgen"
        ds.InstanceNumber = number
        (tmp_path / f"{number}.dcm").write_bytes(encoded(ds, ExplicitVRLittleEndian))
    words = ["search", "--path", str(tmp_path), "--noCache", "--tag", "PatientName=M*", *more]
    program = (
        "import json, sys\n"
        "from dicomtools.main import main\n"
        f"code = main({words!r})\n"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))\n"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert json.loads(run.stdout.splitlines()[-1]) == [0, []]
