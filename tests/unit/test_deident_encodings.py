"""Every transfer syntax, length and nesting; private blocks, meta, provenance; what is refused."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dicomcore.deident import (
    BurnedIn,
    Deidentifier,
    KnownIdentifiers,
    PatientIdentity,
    burned_in,
    collect_identifiers,
    parse_options,
    parse_profile,
    shipped_profile,
)
from dicomcore.deident.elements import walk
from dicomcore.deident.encoded import open_encoded
from dicomcore.errors import InvalidInstance, InvalidRequest, Unreadable
from tests import factories
from tests.unit.dicom_bytes import (
    SYNTAXES,
    encode,
    even,
    explicit,
    identity,
    implicit,
    item,
    part10,
)

UNDEFINED = 0xFFFFFFFF
NOBODY = KnownIdentifiers()
CT = "1.2.840.10008.5.1.4.1.1.2"


def engine(
    *options: str,
    profile: str = "BasicSecurityProfile",
    patient_id: str = "DEMO-1",
    known: KnownIdentifiers = NOBODY,
) -> Deidentifier:
    return Deidentifier(
        shipped_profile(profile),
        parse_options(options),
        b"k" * 32,
        PatientIdentity(patient_id),
        known,
    )


def read(data: bytes) -> Dataset:
    return dcmread(BytesIO(data), force=True)


def explicit_ct(*more: bytes) -> bytes:
    """The least CT with explicit VRs, and elements after its identity."""
    body = b"".join(
        explicit(tag, b"UI", even(text)) for tag, text in ((0x00080016, CT), (0x00080018, "1.2.3"))
    )
    series = b"".join(
        explicit(tag, b"UI", even(text))
        for tag, text in ((0x0020000D, "1.2.1"), (0x0020000E, "1.2.2"))
    )
    return part10(body + series + b"".join(more), ExplicitVRLittleEndian)


def test_the_same_object_in_any_encoding_says_the_same_afterwards() -> None:
    ds = factories.plan()
    texts = set()
    for syntax in SYNTAXES:
        for undefined_lengths in (False, True):
            data = part10(encode(ds, syntax, undefined_lengths=undefined_lengths), syntax)

            made = engine("CleanDesc").apply(data)

            assert made.transfer_syntax_uid == syntax
            output = read(made.to_bytes())
            assert output.file_meta.TransferSyntaxUID == syntax
            assert made.size_bytes == len(made.to_bytes())
            del output[0x00120063]
            texts.add(str(Dataset(output)).replace(" ", ""))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_bare_data_set_gets_the_header_that_is_true_of_it(syntax: str) -> None:
    made = engine().apply(encode(factories.dose(), syntax))

    output = read(made.to_bytes())
    assert output.file_meta.TransferSyntaxUID == syntax
    assert output.file_meta.MediaStorageSOPInstanceUID == output.SOPInstanceUID
    assert output.PixelData == factories.dose().PixelData


def test_an_announced_syntax_that_is_not_that_of_the_bytes_is_corrected() -> None:
    body = encode(factories.dose(), ImplicitVRLittleEndian)

    made = engine().apply(part10(body, ExplicitVRLittleEndian))

    assert made.transfer_syntax_uid == ImplicitVRLittleEndian
    assert read(made.to_bytes()).DoseUnits == "GY"


def test_encapsulated_pixels_are_spliced_as_they_are() -> None:
    ds = factories.ct()
    ds.PixelData = encapsulate([b"a frame of bytes", b"another one!"])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    data = factories.part10(ds, JPEG2000Lossless)

    made = engine().apply(data)

    assert made.transfer_syntax_uid == JPEG2000Lossless
    assert read(made.to_bytes()).PixelData == ds.PixelData
    assert encapsulate([b"a frame of bytes", b"another one!"]) in made.to_bytes()


def test_large_values_are_handed_on_without_a_copy() -> None:
    ds = factories.ct()
    ds.Rows, ds.Columns, ds.PixelData = 512, 512, bytes(512 * 512 * 2)
    data = factories.part10(ds)

    parts = engine().apply(data).parts

    assert [type(part) for part in parts] == [bytes, memoryview]
    assert parts[1].obj is data  # type: ignore[union-attr]


def test_preamble_and_file_meta_information_are_new() -> None:
    body = encode(factories.ct(), ExplicitVRLittleEndian)
    data = part10(body, ExplicitVRLittleEndian, preamble=b"SMITH".ljust(128, b"\0"))

    output = engine().apply(data).to_bytes()

    assert output[:128] == bytes(128)
    meta = read(output).file_meta
    assert sorted(element.keyword for element in meta) == [
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "ImplementationClassUID",
        "ImplementationVersionName",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
    ]


@pytest.mark.parametrize(
    ("options", "temporal", "codes"),
    [
        ((), "REMOVED", {"113100"}),
        (("RetainLongFullDates",), "UNMODIFIED", {"113100", "113106"}),
        (("RetainLongModifDates", "CleanGraph"), "MODIFIED", {"113100", "113107", "113103"}),
        (
            ("CleanStructdCont", "CleanDesc", "RetainPatientChars", "RetainDeviceIdent"),
            "REMOVED",
            {"113100", "113104", "113105", "113108", "113109"},
        ),
        (
            ("RetainUIDs", "RetainSafePrivate", "RetainInstitutionIdent"),
            "REMOVED",
            {"113100", "113110", "113111", "113112"},
        ),
    ],
)
def test_the_output_says_what_was_done_to_it(
    options: tuple[str, ...], temporal: str, codes: set[str]
) -> None:
    ds = factories.ct()
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "NO", "of Smith"
    ds.LongitudinalTemporalInformationModified = "UNMODIFIED"

    output = read(engine(*options).apply(factories.part10(ds)).to_bytes())

    assert output.PatientIdentityRemoved == "YES"
    assert output.DeidentificationMethod == "DicomTools BasicSecurityProfile"
    assert output.LongitudinalTemporalInformationModified == temporal
    items = output.DeidentificationMethodCodeSequence
    assert {code.CodeValue for code in items} == codes
    assert {code.CodingSchemeDesignator for code in items} == {"DCM"}


def test_elements_of_the_output_are_in_ascending_order() -> None:
    data = engine().apply(factories.part10(factories.structure_set())).to_bytes()
    opened = open_encoded(data)

    tags = [seen.tag for seen in walk(opened.data, opened.start, opened.encoding) if not seen.path]

    assert tags == sorted(set(tags))


def test_identity_is_written_even_where_the_original_had_none() -> None:
    ds = factories.without(factories.ct(), "PatientID", "PatientName")

    output = read(engine().apply(factories.part10(ds)).to_bytes())

    assert output.PatientID == output.PatientName == engine().pseudonym.patient_id


def test_dates_of_one_patient_keep_their_distance_across_objects() -> None:
    one, other = factories.ct(), factories.dose()
    one.StudyDate, other.StudyDate = "20231231", "20240101"
    one.AcquisitionDateTime = "20231231235959.9+0100"
    made = engine("RetainLongModifDates")

    first, second = (read(made.apply(factories.part10(ds)).to_bytes()) for ds in (one, other))

    days = made.pseudonym.shift_days
    assert days < 0
    from datetime import date, timedelta

    moved = [date.fromisoformat(str(ds.StudyDate)) for ds in (first, second)]
    assert moved == [date(2023, 12, 31) + timedelta(days), date(2024, 1, 1) + timedelta(days)]
    assert str(first.AcquisitionDateTime) == f"{moved[0]:%Y%m%d}235959.9+0100"


def test_a_date_that_is_none_does_not_pass() -> None:
    odd = explicit(0x00080020, b"DA", b"Smith^J ")
    data = explicit_ct().replace(
        explicit(0x0020000D, b"UI", b"1.2.1\0"), odd + explicit(0x0020000D, b"UI", b"1.2.1\0")
    )

    for option in ("RetainLongFullDates", "RetainLongModifDates"):
        assert b"Smith" not in engine(option).apply(data).to_bytes()


# ── private attributes ──────────────────────────────────────────────────────────────────────


def with_private(ds: Dataset) -> Dataset:
    safe = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    safe.add_new(0x00, "DS", "1.5")
    safe.add_new(0x09, "DS", "2.5")
    safe.add_new(0x10, "LO", "not listed")
    varian = ds.private_block(0x3253, "Varian Medical Systems VISION 3253", create=True)
    varian.add_new(0x00, "OB", b"<Patient/>")
    return ds


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_private_attributes_go_with_their_creators(syntax: str) -> None:
    ds = with_private(factories.plan())
    with_private(ds.BeamSequence[0])

    output = read(engine().apply(factories.part10(ds, syntax)).to_bytes())

    assert not [tag for tag in output.keys() if tag.group % 2]  # noqa: SIM118
    assert not [tag for tag in output.BeamSequence[0].keys() if tag.group % 2]  # noqa: SIM118


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_safe_private_attributes_stay_with_their_creator_and_others_go(syntax: str) -> None:
    ds = with_private(factories.plan())
    with_private(ds.BeamSequence[0])

    output = read(engine("RetainSafePrivate").apply(factories.part10(ds, syntax)).to_bytes())

    for level in (output, output.BeamSequence[0]):
        private = sorted(int(tag) for tag in level.keys() if tag.group % 2)  # noqa: SIM118
        assert private == [0x70530010, 0x70531000, 0x70531009]
        block = level.private_block(0x7053, "Philips PET Private Group")
        assert bytes(str(block[0x00].value), "ascii") in (b"1.5", b"b'1.5 '")


def test_a_safe_number_under_another_creator_or_vr_is_not_safe() -> None:
    data = explicit_ct(
        explicit(0x70530010, b"LO", b"Somebody else "),
        explicit(0x70530011, b"LO", b"Philips PET Private Group "),
        explicit(0x70531000, b"DS", b"1.5 "),
        explicit(0x70531100, b"LO", b"Smith "),
        explicit(0x70531209, b"DS", b"2.5 "),
    )

    output = engine("RetainSafePrivate").apply(data).to_bytes()

    assert not [tag for tag in read(output).keys() if tag.group % 2]  # noqa: SIM118


def test_a_private_attribute_that_a_profile_keeps_needs_a_vr() -> None:
    rows = '"0008,0060",,K,,,,,,,,,,\n"0099,xxxx",,K,,,,,,,,,,'
    made = Deidentifier(parse_profile(rows), frozenset(), b"k" * 32, PatientIdentity("1"), NOBODY)
    data = explicit_ct(
        explicit(0x00990010, b"LO", b"US"),
        explicit(0x00991001, b"LO", b"kept"),
        explicit(0x00991002, b"UN", b"gone"),
    )

    output = made.apply(data).to_bytes()

    assert b"kept" in output
    assert b"gone" not in output


# ── sequences ───────────────────────────────────────────────────────────────────────────────

REFERENCE = implicit(0x00081155, even("1.2.99")) + implicit(0x00100010, b"Smith^Jo")


@pytest.mark.parametrize("undefined", [False, True])
def test_a_un_that_holds_a_sequence_is_walked(undefined: bool) -> None:
    content = item(REFERENCE, undefined=undefined)
    if undefined:
        content += implicit(0xFFFEE0DD, b"")
    un = explicit(0x300C0002, b"UN", content, UNDEFINED if undefined else None)

    made = engine().apply(explicit_ct(un))

    output = made.to_bytes()
    assert b"Smith" not in output
    assert even(engine().new_uid("1.2.99")) in output


def test_a_un_sequence_with_explicit_vrs_inside_is_walked_too() -> None:
    inner = explicit(0x00081155, b"UI", even("1.2.99")) + explicit(0x00100010, b"PN", b"Smith^Jo")
    un = explicit(0x300C0002, b"UN", item(inner))

    output = engine().apply(explicit_ct(un)).to_bytes()

    assert b"Smith" not in output
    assert even(engine().new_uid("1.2.99")) in output


def test_a_public_attribute_of_which_nothing_is_known_goes() -> None:
    unknown = implicit(0x00287777, b"Smith ")
    data = part10(identity() + unknown, ImplicitVRLittleEndian)

    assert b"Smith" not in engine().apply(data).to_bytes()
    explicit_unknown = explicit(0x00287777, b"LO", b"Smith ")
    assert b"Smith" not in engine().apply(explicit_ct(explicit_unknown)).to_bytes()


def test_group_lengths_go_and_padding_is_dropped() -> None:
    length = explicit(0x00280000, b"UL", struct.pack("<L", 10))
    padding = explicit(0xFFFCFFFC, b"OB", b"Smith ")
    data = explicit_ct(length, explicit(0x00280010, b"US", b"\1\0"), padding) + bytes(37)

    output = engine().apply(data).to_bytes()

    assert b"Smith" not in output
    assert not output.endswith(bytes(8))
    assert 0x00280000 not in read(output)


def nested(depth: int) -> bytes:
    body = explicit(0x00081155, b"UI", even("1.2.99"))
    for _ in range(depth):
        body = explicit(0x00081115, b"SQ", item(body))
    return body


def test_thirty_levels_are_walked_and_a_thousand_refused() -> None:
    assert even(engine().new_uid("1.2.99")) in engine().apply(explicit_ct(nested(30))).to_bytes()
    with pytest.raises(Unreadable):
        engine().apply(explicit_ct(nested(1000)))


@pytest.mark.parametrize(
    "element",
    [
        explicit(0x00281199, b"QQ", b"\0\0ab"),
        explicit(0x00280010, b"LO", b"Smith "),
        explicit(0x00281050, b"OB", b"ab"),
        explicit(0x300C0002, b"SQ", b"Smith^Jo"),
        explicit(0x300C0002, b"LO", b"Smith^Jo"),
        explicit(0x300C0002, b"SQ", item(b"", undefined=False), 400),
        explicit(0x300C0002, b"SQ", item(REFERENCE)[:-4]),
        explicit(0x300C0002, b"SQ", b"", UNDEFINED),
        explicit(0x300C0002, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, 500) + b"abcd"),
        explicit(0x7FE00010, b"OW", b"ab", 500),
        explicit(0x00281050, b"DS", b"ab", 500),
        explicit(0x0028, b"OW", b"ab", UNDEFINED)[:3],
        implicit(0xFFFEE00D, b""),
        implicit(0xFFFEE0DD, b""),
        b"\x28\0\x10\0US\2",
    ],
)
def test_what_cannot_be_understood_is_refused(element: bytes) -> None:
    with pytest.raises(Unreadable):
        engine("RetainUIDs", "CleanDesc").apply(explicit_ct(element))


@pytest.mark.parametrize("data", [b"", b"abc", b"DICM" * 100, bytes(500), b"{}" * 200])
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        engine().apply(data)


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_an_object_without_identity_is_refused(keyword: str) -> None:
    data = part10(
        encode(factories.without(factories.ct(), keyword), ExplicitVRLittleEndian),
        ExplicitVRLittleEndian,
    )

    with pytest.raises(InvalidInstance):
        engine().apply(data)


def test_an_object_with_two_identities_is_refused() -> None:
    with pytest.raises(InvalidInstance):
        engine().apply(explicit_ct(explicit(0x0020000E, b"UI", b"1.2.9\0")))


def test_another_patients_object_is_refused_and_an_alias_is_not() -> None:
    data = factories.part10(factories.ct())

    with pytest.raises(InvalidInstance) as refused:
        engine(patient_id="DEMO-2").apply(data)

    assert "DEMO" not in str(refused.value)
    identity_of_two = PatientIdentity("DEMO-2", other_patient_ids=frozenset(("DEMO-1",)))
    profile = shipped_profile("BasicSecurityProfile")
    both = Deidentifier(profile, frozenset(), b"k" * 32, identity_of_two, NOBODY)
    assert both.apply(data).ref.sop_instance_uid == engine().apply(data).ref.sop_instance_uid


def test_nothing_of_a_patient_is_in_a_representation() -> None:
    known = KnownIdentifiers(names=frozenset(("smith",)), ids=frozenset(("mrn-1",)))
    identity_ = PatientIdentity("MRN-1", "NEW-1", "SMITH")

    for thing in (known, identity_):
        assert "smith" not in repr(thing).lower()
        assert "mrn" not in repr(thing).lower()


def test_a_short_key_and_options_that_exclude_each_other_are_refused() -> None:
    profile = shipped_profile("BasicSecurityProfile")
    with pytest.raises(InvalidRequest):
        Deidentifier(profile, frozenset(), b"short", PatientIdentity("1"), NOBODY)


# ── identifiers and screening ───────────────────────────────────────────────────────────────


def test_identifiers_are_found_at_every_level_and_in_any_character_set() -> None:
    ds = factories.plan()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientBirthDate = "Müller^Zoë", "19610203"
    ds.InstitutionName, ds.AccessionNumber = "Elsewhere", "ACC-7788"
    inner = Dataset()
    inner.PersonName, inner.OtherPatientIDs = "Deepstaff^Ann", "OLD-9911"
    ds.BeamSequence[0].ReferencedSeriesSequence = Sequence([inner])

    known = collect_identifiers([factories.part10(ds)], frozenset())
    kept = collect_identifiers([factories.part10(ds)], parse_options(["RetainInstitutionIdent"]))

    assert {"müller", "zoë", "deepstaff", "ann"} <= known.names
    assert {"elsewhere", "acc-7788", "old-9911", "demo-1"} <= known.ids
    assert known.birth_dates == {"19610203"}
    assert factories.PLAN_UID in known.uids
    assert known.ids - kept.ids == {"elsewhere"}


def test_the_beginning_of_an_image_is_enough_to_collect_and_not_to_de_identify() -> None:
    data = factories.part10(factories.ct())
    beginning = data[: data.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 20]

    known = collect_identifiers([beginning], frozenset())

    assert known == collect_identifiers([data], frozenset())
    with pytest.raises(Unreadable):
        engine().apply(beginning)
    with pytest.raises(Unreadable):
        collect_identifiers([beginning[:-37]], frozenset())


def test_labels_that_are_codes_and_numbers_that_are_none_lose_names() -> None:
    ds = factories.registration()
    ds.ContentLabel = "OF_SMYTHE_2"
    ds.BodyPartExamined = "HEAD"
    odd = explicit(0x00201002, b"IS", b"Smythe")
    tag = explicit(0x00200052, b"UI", even(str(ds.FrameOfReferenceUID)))
    data = factories.part10(ds).replace(tag, tag + odd, 1)
    assert odd in data
    known = KnownIdentifiers(names=frozenset(("smythe", "head")))

    for profile in ("BasicSecurityProfile", "AriaSecurityProfile"):
        for options in ((), ("CleanDesc",)):
            output = engine(*options, profile=profile, known=known).apply(data).to_bytes()
            assert b"smythe" not in output.lower()
            assert b"HEAD" in output  # a coded term is not somebody's name


def _declared(value: str) -> Dataset:
    ds = factories.secondary_capture()
    ds.BurnedInAnnotation = value
    return ds


def _scout() -> Dataset:
    ds = factories.ct()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return ds


def _dose_screen() -> Dataset:
    ds = factories.ct()
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    return ds


@pytest.mark.parametrize(
    ("ds", "reason"),
    [
        (factories.ct(), None),
        (factories.mr(), None),
        (factories.plan(), None),
        (factories.dose(), None),
        (_declared("YES"), BurnedIn.DECLARED),
        (_declared("NO"), None),
        (factories.without(_declared("NO"), "BurnedInAnnotation"), BurnedIn.SECONDARY_CAPTURE),
        (factories.report(), BurnedIn.DOCUMENT),
        (factories.rt_image(), BurnedIn.RT_IMAGE),
        (_scout(), BurnedIn.SCOUT),
        (_dose_screen(), BurnedIn.SECONDARY_CAPTURE),
    ],
)
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_objects_that_may_show_a_name_are_held_back(
    ds: Dataset, reason: BurnedIn | None, syntax: str
) -> None:
    assert burned_in(part10(encode(ds, syntax), syntax)) is reason
