"""Damaged objects: each is refused, held back by the verification, or clean; none leaks or crashes."""

from __future__ import annotations

import random
from functools import cache
from hashlib import sha256

import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.deident import (
    Deidentifier,
    KnownIdentifiers,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    parse_options,
    shipped_profile,
)
from dicomcore.errors import Rejected
from dicomio.byte_scan import TextsRuledOut
from tests import factories
from tests.unit import dicom_bytes

NAME, PATIENT_ID = "Zyxwort^Quallana", "MRN-445566"
SECRETS = ("zyxwort", "quallana", "mrn-445566")
KINDS = ("plan", "structure_set", "dose", "ct", "record", "registration", "rt_image")
OPTIONS = ("CleanDesc", "RetainDeviceIdent", "RetainLongModifDates", "RetainSafePrivate")
BATCHES, BATCH = 30, 100


@cache
def originals() -> list[bytes]:
    made = []
    for kind in KINDS:
        for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
            ds = getattr(factories, kind)()
            ds.PatientName, ds.PatientID = NAME, PATIENT_ID
            ds.SeriesDescription = "Boost of Zyxwort"
            ds.StudyDescription = "MRN-445566 prostate"
            ds.add_new(0x00081115, "SQ", [_item()])
            block = ds.private_block(0x3253, "Varian Medical Systems VISION 3253", create=True)
            block.add_new(0x00, "OB", b"<Patient>Zyxwort</Patient>")
            made.append(factories.part10(ds, syntax))
    return [*made, deflated(factories.encoded(_named_ct()))]


def _item() -> Dataset:
    item = Dataset()
    item.PatientName = NAME
    item.CodeMeaning = "Zyxwort"
    return item


def _named_ct() -> Dataset:
    ds = factories.ct()
    ds.PatientName, ds.PatientID = NAME, PATIENT_ID
    return ds


def deflated(body: bytes) -> bytes:
    syntax = DeflatedExplicitVRLittleEndian
    return dicom_bytes.part10(dicom_bytes.deflated(body), syntax)


@cache
def known() -> KnownIdentifiers:
    return collect_identifiers(originals(), parse_options(OPTIONS))


def hidden(data_set: bytes) -> bytes:
    """Stands in for encryption: an envelope in which nothing of it can be read."""
    return b"\x30\x82\x01\x00" + bytes.fromhex("06092a864886f70d010703") + sha256(data_set).digest()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a few things, mostly where headers are."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(132, len(made)) if rng.random() < 0.8 else rng.randrange(len(made))
        match rng.randrange(6):
            case 0:
                made[at] ^= 1 << rng.randrange(8)
            case 1:
                made[at] = rng.randrange(256)
            case 2:
                del made[at : at + rng.choice((1, 2, 4, 8, 100))]
            case 3:
                made[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8)))
            case 4:
                source = rng.randrange(len(made))
                made[at : at + 8] = made[source : source + 8]
            case 5:
                made = made[: at + 1]
        if len(made) < 133:
            break
    return bytes(made)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_three_thousand_mutated_objects_are_refused_or_clean(batch: int) -> None:
    rng = random.Random(batch)
    options = parse_options(OPTIONS)
    verifier = Verifier(known(), TextsRuledOut)
    deidentifier = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        options,
        b"k" * 32,
        PatientIdentity(PATIENT_ID),
        known(),
        # what goes along sealed is for the tests of sealing; that nothing else of it leaks is seen here
        seal=hidden if batch % 3 == 0 else None,
    )

    clean, messages = 0, []
    for _ in range(BATCH):
        data = mutated(rng.choice(originals()), rng)
        try:
            output = deidentifier.apply(data).to_bytes()
            findings = verifier.findings(data, output)
        except Rejected as refused:
            messages.append(str(refused))
            continue
        if findings:
            messages.append(repr(findings))
            continue
        clean += 1
        lowered = output.lower()
        for secret in SECRETS:
            for codec in ("utf-8", "utf-16-le", "utf-16-be"):
                assert secret.encode(codec) not in lowered

    assert not any(secret in message.lower() for secret in SECRETS for message in messages)
    assert clean > BATCH // 10  # the property is not empty


def test_unmutated_objects_are_all_clean() -> None:
    verifier = Verifier(known())
    deidentifier = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        parse_options(OPTIONS),
        b"k" * 32,
        PatientIdentity(PATIENT_ID),
        known(),
    )

    for data in originals():
        assert verifier.findings(data, deidentifier.apply(data).to_bytes()) == []
