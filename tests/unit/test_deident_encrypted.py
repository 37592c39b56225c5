"""Encrypted attributes: only the key holder reads what was changed, and gets back all of it."""

from __future__ import annotations

import random
import shutil
import subprocess
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.deident import (
    SHIPPED,
    Deidentifier,
    Fault,
    PatientIdentity,
    Seal,
    Unseal,
    Verifier,
    collect_identifiers,
    parse_options,
    recovered,
    shipped_profile,
)
from dicomcore.errors import DicomToolsError, InvalidInstance, NotFound, Unreadable
from dicomcore.part10 import part10_header
from dicomcore.transcode import transcoded
from dicomio.sealed import load_certificates, load_opener, seal, unseal
from tests import factories
from tests.recipients import recipient, rsa_key
from tests.unit import dicom_bytes
from tests.unit.test_deident_mutations import mutated

KINDS = ("plan", "structure_set", "dose", "ct", "record", "registration", "rt_image")
KEY = b"a key of sixteen"
FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "rt"
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seal, Unseal]:
    """Seals to one key holder, and opens by that one's key."""
    holder = recipient(tmp_path_factory.mktemp("keeper"))
    certificates = load_certificates(holder.cert_file)
    certificate, key = load_opener(holder.cert_file, holder.key_file)
    return (
        partial(seal, certificates=certificates),
        partial(unseal, certificate=certificate, key=key),
    )


def engine(
    objects: list[bytes],
    sealing: Seal | None,
    *,
    patient_id: str = "DEMO-1",
    profile: str = SHIPPED[0],
    options: tuple[str, ...] = (),
) -> tuple[Deidentifier, Verifier]:
    chosen = parse_options(options)
    known = collect_identifiers(objects, chosen)
    made = Deidentifier(
        shipped_profile(profile), chosen, KEY, PatientIdentity(patient_id), known, seal=sealing
    )
    return made, Verifier(known)


def made(kind: str, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds = getattr(factories, kind)()
    ds.PatientName, ds.PatientID = "Zyxwort^Quallana", "DEMO-1"
    ds.OtherPatientIDs = "MRN-445566"
    return factories.part10(_with_private(ds), syntax)


def _with_private(ds: Dataset) -> Dataset:
    block = ds.private_block(0x3253, "Varian Medical Systems VISION 3253", create=True)
    block.add_new(0x00, "OB", b"<Patient>Zyxwort</Patient>")
    item = Dataset()
    item.PatientName = "Zyxwort^Quallana"
    item.ReferencedSOPInstanceUID = "1.2.3.4"
    ds.ReferencedInstanceSequence = Sequence([item])
    return ds


def body(data: bytes) -> bytes:
    """The data set of a Part 10 object."""
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


def read(data: bytes) -> Dataset:
    return dcmread(BytesIO(data), force=True)


@pytest.mark.parametrize("syntax", [*SYNTAXES, ExplicitVRBigEndian])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("profile", "options"),
    [
        (SHIPPED[0], ()),
        (SHIPPED[1], ("CleanDesc", "RetainDeviceIdent")),
        (SHIPPED[0], ("RetainUIDs", "RetainLongModifDates", "RetainSafePrivate")),
    ],
)
def test_the_key_holder_gets_back_the_data_set_byte_by_byte(
    kind: str, syntax: str, profile: str, options: tuple[str, ...], keeper: tuple[Seal, Unseal]
) -> None:
    original = made(kind, ExplicitVRLittleEndian if syntax == ExplicitVRBigEndian else syntax)
    if syntax == ExplicitVRBigEndian:
        data_set = bytes(transcoded(body(original), ExplicitVRLittleEndian, ExplicitVRBigEndian))
        ds = read(original)
        original = part10_header(ds.SOPClassUID, ds.SOPInstanceUID, syntax) + data_set
    sealing, opening = keeper
    deidentifier, verifier = engine([original], sealing, profile=profile, options=options)

    output = deidentifier.apply(original).to_bytes()

    assert verifier.findings(original, output) == []
    assert b"zyxwort" not in output.lower()
    assert body(recovered(output, opening)) == body(original)


def test_a_deflated_object_comes_back_deflated(keeper: tuple[Seal, Unseal]) -> None:
    plain = body(made("plan"))
    original = dicom_bytes.part10(dicom_bytes.deflated(plain), DeflatedExplicitVRLittleEndian)
    sealing, opening = keeper
    deidentifier, verifier = engine([original], sealing)

    output = deidentifier.apply(original).to_bytes()

    assert verifier.findings(original, output) == []
    back = read(recovered(output, opening))
    assert back == read(original)
    assert back.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_key_nothing_differs_but_the_sequence(
    kind: str, keeper: tuple[Seal, Unseal]
) -> None:
    original = made(kind)
    sealed, _ = engine([original], keeper[0])
    plain, _ = engine([original], None)

    output = sealed.apply(original).to_bytes()
    ds = read(output)

    (item,) = ds.EncryptedAttributesSequence
    assert item.EncryptedContentTransferSyntaxUID == ExplicitVRLittleEndian
    assert set(item.keys()) == {0x04000510, 0x04000520}
    del ds.EncryptedAttributesSequence
    assert ds == read(plain.apply(original).to_bytes())
    assert b"QUALLANA" not in output.upper()


def test_it_is_in_its_place_and_the_elements_ascend(keeper: tuple[Seal, Unseal]) -> None:
    original = made("plan")
    deidentifier, _ = engine([original], keeper[0])

    tags = list(read(deidentifier.apply(original).to_bytes()).keys())

    assert tags == sorted(tags)
    assert 0x04000500 in tags


def test_what_is_sealed_is_one_item_of_what_was_changed_and_nothing_else(
    keeper: tuple[Seal, Unseal],
) -> None:
    original = made("plan", ImplicitVRLittleEndian)
    deidentifier, _ = engine([original], keeper[0], profile=SHIPPED[1], options=("CleanDesc",))

    output = read(deidentifier.apply(original).to_bytes())

    content = output.EncryptedAttributesSequence[0].EncryptedContent
    plain = keeper[1](content[: 4 + int.from_bytes(content[2:4], "big")])
    sealed = read(
        part10_header("1.2", "1.2.3", ImplicitVRLittleEndian) + plain
    ).ModifiedAttributesSequence
    assert len(sealed) == 1
    before = read(original)
    assert sealed[0].PatientName == before.PatientName
    assert sealed[0].ReferencedInstanceSequence == before.ReferencedInstanceSequence
    assert sealed[0][0x3253, 0x0010].value == "Varian Medical Systems VISION 3253"
    # what stays as it was is not in it, but for the character set by which the rest is read
    same = [e.tag for e in sealed[0] if e.tag in output and output[e.tag] == before[e.tag]]
    assert same in ([], [0x00080005])


def test_the_same_key_gives_the_same_object_but_for_what_is_sealed(
    keeper: tuple[Seal, Unseal],
) -> None:
    original = made("ct")
    deidentifier, _ = engine([original], keeper[0])

    one, other = (read(deidentifier.apply(original).to_bytes()) for _ in range(2))

    assert one != other
    del one.EncryptedAttributesSequence
    del other.EncryptedAttributesSequence
    assert one == other


def test_another_key_opens_nothing(tmp_path: Path, keeper: tuple[Seal, Unseal]) -> None:
    original = made("ct")
    deidentifier, _ = engine([original], keeper[0])
    stranger = recipient(tmp_path, key=rsa_key(7))
    certificate, key = load_opener(stranger.cert_file, stranger.key_file)

    output = deidentifier.apply(original).to_bytes()

    with pytest.raises(Unreadable, match="not sealed to this certificate"):
        recovered(output, partial(unseal, certificate=certificate, key=key))


def test_of_several_items_the_one_that_can_be_opened_is(keeper: tuple[Seal, Unseal]) -> None:
    original = made("ct")
    deidentifier, _ = engine([original], keeper[0])
    ds = read(deidentifier.apply(original).to_bytes())
    foreign = Dataset()
    foreign.EncryptedContentTransferSyntaxUID = ExplicitVRLittleEndian
    foreign.EncryptedContent = b"\x30\x82" + bytes(200)
    ds.EncryptedAttributesSequence.insert(0, foreign)
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)

    assert body(recovered(stream.getvalue(), keeper[1])) == body(original)


def test_an_object_transcoded_since_comes_back_in_its_new_encoding(
    keeper: tuple[Seal, Unseal],
) -> None:
    original = made("plan")
    deidentifier, _ = engine([original], keeper[0])
    output = deidentifier.apply(original).to_bytes()
    ds = read(output)
    moved = part10_header(ds.SOPClassUID, ds.SOPInstanceUID, ImplicitVRLittleEndian) + bytes(
        transcoded(body(output), ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    )

    back = read(recovered(moved, keeper[1]))

    before = read(original)
    for tag in [element.tag for element in before if element.tag.is_private]:
        assert tag in back  # without VR, nothing is known of it
        del back[tag], before[tag]
    assert back == before


def test_an_object_without_them_has_nothing_to_recover(keeper: tuple[Seal, Unseal]) -> None:
    with pytest.raises(NotFound):
        recovered(made("ct"), keeper[1])


def test_what_another_has_sealed_does_not_go_along(keeper: tuple[Seal, Unseal]) -> None:
    ds = read(made("ct"))
    item = Dataset()
    item.EncryptedContentTransferSyntaxUID = ExplicitVRLittleEndian
    item.EncryptedContent = b"\x30\x82 who knows "
    ds.EncryptedAttributesSequence = Sequence([item])
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    original = stream.getvalue()

    plain = engine([original], None)[0].apply(original).to_bytes()
    sealed = engine([original], keeper[0])[0].apply(original).to_bytes()

    assert "EncryptedAttributesSequence" not in read(plain)
    assert len(read(sealed).EncryptedAttributesSequence) == 1
    assert body(recovered(sealed, keeper[1])) == body(original)


@pytest.mark.parametrize(
    "content", [b"", b"\x30\x80 Zyxwor ", b"plain text here!", b"\x06\x09\x2a\x86\x48\x86"]
)
def test_what_is_not_sealed_does_not_pass_for_it(
    content: bytes, keeper: tuple[Seal, Unseal]
) -> None:
    original = made("ct")
    deidentifier, verifier = engine([original], lambda _: content)

    output = deidentifier.apply(original).to_bytes()

    assert Fault.NOT_SEALED in {finding.fault for finding in verifier.findings(original, output)}


def test_a_name_in_the_certificate_is_found(tmp_path: Path) -> None:
    original = made("ct")
    certificates = load_certificates(recipient(tmp_path, "Quallana Hospital").cert_file)
    deidentifier, verifier = engine([original], partial(seal, certificates=certificates))

    findings = verifier.findings(original, deidentifier.apply(original).to_bytes())

    assert [(one.fault, one.tag) for one in findings] == [(Fault.IDENTIFIER, "04000500.04000520")]


def test_an_attribute_that_is_there_twice_is_refused(keeper: tuple[Seal, Unseal]) -> None:
    original = made("ct")
    twice = dicom_bytes.explicit(0x00081030, b"LO", b"once")
    at = original.index(b"\x08\x00\x30\x10")
    deidentifier, _ = engine([original], keeper[0])

    with pytest.raises(InvalidInstance, match="twice"):
        deidentifier.apply(original[:at] + twice + original[at:])


@pytest.mark.parametrize("sealed", [b"", b"no data set at all", bytes(40)])
def test_sealed_bytes_that_are_no_attributes_are_refused(
    sealed: bytes, keeper: tuple[Seal, Unseal]
) -> None:
    original = made("ct")
    deidentifier, _ = engine([original], keeper[0])
    output = deidentifier.apply(original).to_bytes()

    with pytest.raises(Unreadable):
        recovered(output, lambda _: sealed)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_opens_the_content(tmp_path: Path) -> None:
    original = made("ct")
    holder = recipient(tmp_path)
    certificates = load_certificates(holder.cert_file)
    deidentifier, _ = engine([original], partial(seal, certificates=certificates))
    content = read(deidentifier.apply(original).to_bytes()).EncryptedAttributesSequence[0]
    sealed = tmp_path / "content.p7m"
    sealed.write_bytes(content.EncryptedContent)

    done = subprocess.run(
        [
            *("openssl", "cms", "-decrypt", "-inform", "DER", "-binary", "-in", str(sealed)),
            *("-recip", str(holder.cert_file), "-inkey", str(holder.key_file)),
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.startswith(b"\x00\x04\x50\x05SQ")
    assert b"Zyxwort^Quallana" in done.stdout


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no real objects beside the repository")
def test_real_objects_come_back_as_they_were(keeper: tuple[Seal, Unseal]) -> None:
    from dicomcore.errors import Rejected
    from dicomcore.header import read_header

    back, refused = 0, 0
    for path in sorted(FOLDER.rglob("*.dcm"))[::4]:
        data = path.read_bytes()
        try:
            header = read_header(data, complete=True)
            assert header is not None
            deidentifier, _ = engine([data], keeper[0], patient_id=header.patient_id)
            output = deidentifier.apply(data).to_bytes()
        except Rejected:
            refused += 1
            continue
        ds, was = read(recovered(output, keeper[1])), read(data)
        assert {e.tag for e in was if e.tag.element} == {e.tag for e in ds}
        assert ds.SOPInstanceUID == was.SOPInstanceUID
        assert ds.get("PatientName") == was.get("PatientName")
        back += 1

    assert back > 3 * refused
    assert back > 20


@pytest.mark.parametrize("batch", range(5))
def test_mutated_objects_are_recovered_or_refused(batch: int, keeper: tuple[Seal, Unseal]) -> None:
    rng = random.Random(batch)
    outputs = [
        engine([original], keeper[0])[0].apply(original).to_bytes()
        for original in (made(kind, rng.choice(SYNTAXES)) for kind in KINDS)
    ]

    refused = []
    for _ in range(100):
        data = mutated(rng.choice(outputs), rng)
        try:
            recovered(data, keeper[1])
        except DicomToolsError as error:
            refused.append(str(error))

    assert 0 < len(refused) < 100
    assert not any("Zyxwort" in said for said in refused)


def without(output: bytes, *keywords: str) -> bytes:
    """An output whose sealed item has lost something."""
    ds = read(output)
    for keyword in keywords:
        delattr(ds.EncryptedAttributesSequence[0], keyword)
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_an_item_without_content_or_transfer_syntax_is_refused(
    keeper: tuple[Seal, Unseal],
) -> None:
    original = made("ct")
    output = engine([original], keeper[0])[0].apply(original).to_bytes()

    for keyword in ("EncryptedContent", "EncryptedContentTransferSyntaxUID"):
        with pytest.raises(Unreadable, match="without content or transfer syntax"):
            recovered(without(output, keyword), keeper[1])


@pytest.mark.parametrize("items", [0, 2])
def test_modified_attributes_are_one_item(items: int, keeper: tuple[Seal, Unseal]) -> None:
    original = made("ct")
    output = engine([original], keeper[0])[0].apply(original).to_bytes()
    sealed = Dataset()
    sealed.StudyDescription = "not what it should be"
    sealed.ModifiedAttributesSequence = Sequence([Dataset() for _ in range(items)])

    with pytest.raises(Unreadable, match="not one item"):
        recovered(output, lambda _: dicom_bytes.encode(sealed, ExplicitVRLittleEndian))


def test_what_is_recovered_has_an_identity_or_is_refused(keeper: tuple[Seal, Unseal]) -> None:
    original = made("ct")
    output = engine([original], keeper[0])[0].apply(original).to_bytes()
    ds = read(output)
    del ds.SOPClassUID
    stream = BytesIO()
    ds.save_as(stream)
    sealed = Dataset()
    sealed.ModifiedAttributesSequence = Sequence([Dataset()])
    sealed.ModifiedAttributesSequence[0].PatientName = "A"

    with pytest.raises(InvalidInstance, match="missing"):
        recovered(stream.getvalue(), lambda _: dicom_bytes.encode(sealed, ExplicitVRLittleEndian))


def test_content_of_another_writer_is_handed_on_as_it_is(keeper: tuple[Seal, Unseal]) -> None:
    """BER of indefinite length has no length to cut padding by."""
    original = made("ct")
    output = engine([original], lambda _: b"\x30\x80 indefinite")[0].apply(original).to_bytes()
    handed: list[bytes] = []

    def opens(content: bytes) -> bytes:
        handed.append(content)
        raise Unreadable("not ours")

    with pytest.raises(Unreadable, match="not ours"):
        recovered(output, opens)
    assert handed == [b"\x30\x80 indefinite\0"[: len(handed[0])]]
    assert len(handed[0]) >= 13
