"""A canary in every attribute of every kind of object, through a whole export.

None is in a file, a name, the manifest, a log or on the screen; but for those that an option keeps on
purpose, and UIDs of classes, schemes and transfer syntaxes, which name nobody.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import structlog
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.deident import BurnedIn, parse_options, shipped_profile
from dicomcore.header import read_header
from dicomcore.keys import object_key
from dicomio.directory_store import DirectoryStore
from dicomtools.anonymize_options import Anonymization
from dicomtools.anonymous_export import Anonymizer
from dicomtools.export_folder import open_export_folder
from dicomtools.patients import Patient
from qr_gateway.retrieval.model import Item, Progress, Report, RetrievalRequest, State
from tests.unit.test_deident_canaries import (
    KINDS,
    PATIENT_ID,
    TEXTS,
    WIDE,
    Canaries,
    DicomDictionary,
    declared,
    found_in,
    poisoned,
)

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


def landed(kind: str, syntax: str, store: DirectoryStore) -> Item:
    data, _ = poisoned(kind, syntax)
    header = read_header(data, complete=True)
    assert header is not None
    key = str(object_key(header.ref, hashlib.sha256(data).hexdigest()))
    store.put(key, [data])
    return Item(
        study_instance_uid=header.ref.study_instance_uid,
        series_instance_uid=header.ref.series_instance_uid,
        sop_instance_uid=header.ref.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        object_key=key,
        size_bytes=len(data),
        why="the plan",
    )


def undeclared(text: bytes, canaries: Canaries, options: tuple[str, ...]) -> set[bytes]:
    """Canaries in some bytes that no option keeps."""
    return {
        token
        for token in found_in(text)
        if not any(declared(tag, options) for tag in canaries.tags.get(token, set()))
        and not (token.isdigit() and "RetainLongModifDates" in options)
        # eight digits in a row are in a digest by chance
        and not (token.isdigit() and token not in canaries.tags)
    }


@pytest.mark.parametrize("options", [(), *((option,) for option in sorted(WIDE))], ids="+".join)
@pytest.mark.parametrize("kind", KINDS)
def test_no_undeclared_canary_is_anywhere_in_an_export(
    kind: str,
    options: tuple[str, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # given an object with a canary everywhere, in a store
    syntax = SYNTAXES[(KINDS.index(kind) + len("".join(options))) % 2]
    _, canaries = poisoned(kind, syntax)
    store = DirectoryStore(tmp_path / "store")
    item = landed(kind, syntax, store)
    how = Anonymization(
        shipped_profile("BasicSecurityProfile"),
        parse_options(options),
        b"k" * 32,
        allowed_burned_in=frozenset((BurnedIn.RT_IMAGE,)),
    )
    staging, out = tmp_path / "staging", tmp_path / "out"
    staging.mkdir()

    # when it is exported
    with structlog.testing.capture_logs() as logs:
        _, ended, manifest = Anonymizer(
            how, Patient(PATIENT_ID, "", "NEW", "NEW^NAME"), store, staging
        ).export(
            RetrievalRequest(patient_id=PATIENT_ID, plan_label=None),
            Report.model_validate({"progress": Progress(state=State.COMPLETE), "items": [item]}),
            open_export_folder(out),
        )
    store.close()

    # then it is there, or held back by name of its fault; and no canary is, anywhere
    assert manifest is not None
    names = [path.name for path in out.iterdir()]
    assert "manifest.json" in names
    assert len(names) == 2 or manifest.quarantined
    said = [repr(logs), *capfd.readouterr(), ended.model_dump_json(), *names]
    for text in (*(words.encode() for words in said), *(p.read_bytes() for p in out.iterdir())):
        assert not undeclared(text, canaries, options)
        assert PATIENT_ID.encode() not in text


@pytest.mark.parametrize("kind", KINDS)
def test_under_basic_the_object_leaves_and_only_uids_of_classes_are_as_they_were(
    kind: str, tmp_path: Path
) -> None:
    _, canaries = poisoned(kind, ExplicitVRLittleEndian)
    store = DirectoryStore(tmp_path / "store")
    item = landed(kind, ExplicitVRLittleEndian, store)
    how = Anonymization(
        shipped_profile("BasicSecurityProfile"),
        frozenset(),
        b"k" * 32,
        allowed_burned_in=frozenset((BurnedIn.RT_IMAGE,)),
    )
    (tmp_path / "staging").mkdir()

    Anonymizer(how, Patient(PATIENT_ID, "", "NEW", "NEW^NAME"), store, tmp_path / "staging").export(
        RetrievalRequest(patient_id=PATIENT_ID, plan_label=None),
        Report.model_validate({"progress": Progress(state=State.COMPLETE), "items": [item]}),
        open_export_folder(tmp_path / "out"),
    )
    store.close()

    (exported,) = (tmp_path / "out").glob("*.dcm")
    kept = {tag for token in found_in(exported.read_bytes()) for tag in canaries.tags[token]}
    keywords = {DicomDictionary[tag][4] for tag in kept}
    assert not {DicomDictionary[tag][0] for tag in kept} & (TEXTS | {"DA", "TM", "DT"})
    assert {word for word in keywords if "Instance" in word} <= {"StoredInstanceTransferSyntaxUID"}
