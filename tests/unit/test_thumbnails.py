"""Small pictures: what is bright stays bright, what is hostile is refused."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomcore.errors import NotFound, Rejected, Unreadable
from dicomio.directory_store import DirectoryStore
from indexer.thumbnails import source, thumbnail
from tests.indexer_world import image, plan

REAL = Path(__file__).parents[3] / "shared" / "data" / "rt"
RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
KEY = "instances/1.2/1.2/1.2/0000000000000000.dcm"
RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "objects")


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dcmwrite(buffer, FileDataset(buffer, ds, file_meta=meta), enforce_file_format=True)
    return buffer.getvalue()


def picture_of(store: DirectoryStore, data: bytes, size: int = 64) -> npt.NDArray[np.uint8]:
    """The picture, as an array."""
    store.put(KEY, [data])
    png = thumbnail(store, KEY, len(data), size=size)
    with Image.open(io.BytesIO(png)) as shown:
        assert shown.format == "PNG"
        assert max(shown.size) == size
        return np.asarray(shown)


def image_of(array: npt.NDArray[np.generic], **values: object) -> Dataset:
    """An image of an array: (frames,) rows, columns (, samples)."""
    ds = image("1.2.3.10")
    samples = 3 if array.shape[-1] == 3 else 1
    shape = array.shape[:-1] if samples == 3 else array.shape
    ds.Rows, ds.Columns = shape[-2], shape[-1]
    if len(shape) > 2:
        ds.NumberOfFrames = shape[0]
    ds.SamplesPerPixel = samples
    ds.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = array.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.PixelData = array.tobytes() + b"\0" * (array.nbytes % 2)
    ds["PixelData"].VR = "OW"
    return ds


def mean_of(picture: npt.NDArray[np.uint8], rows: slice) -> float:
    return float(picture[rows].mean())


def test_a_ramp_is_dark_above_and_bright_below(store: DirectoryStore) -> None:
    shown = picture_of(store, encoded(image_of(RAMP)))

    assert shown.shape == (48, 64)
    assert mean_of(shown, slice(0, 4)) < 20
    assert mean_of(shown, slice(-4, None)) > 235


def test_monochrome1_is_the_other_way_round(store: DirectoryStore) -> None:
    shown = picture_of(store, encoded(image_of(RAMP, PhotometricInterpretation="MONOCHROME1")))

    assert mean_of(shown, slice(0, 4)) > 235
    assert mean_of(shown, slice(-4, None)) < 20


def test_the_window_of_the_header_is_used_after_rescaling(store: DirectoryStore) -> None:
    # values -1000 … 2071; all below -500 black, all above 500 white
    window = {"WindowCenter": [0, 99], "WindowWidth": [1000, 1]}
    ds = image_of(RAMP, RescaleSlope=1, RescaleIntercept=-1000, **window)

    shown = picture_of(store, encoded(ds))

    assert mean_of(shown, slice(0, 6)) == 0
    assert mean_of(shown, slice(24, None)) == 255
    assert 100 < mean_of(shown, slice(15, 16)) < 160


@pytest.mark.parametrize("width", ["0", "0.5"])
def test_a_window_without_width_is_no_window(store: DirectoryStore, width: str) -> None:
    shown = picture_of(store, encoded(image_of(RAMP, WindowCenter="5000", WindowWidth=width)))

    assert mean_of(shown, slice(-4, None)) > 235


def test_padding_does_not_count(store: DirectoryStore) -> None:
    array = RAMP.astype(np.int16)
    array[:, :40] = -32768
    ds = image_of(array, PixelPaddingValue=-32768)

    shown = picture_of(store, encoded(ds))

    assert shown[:, 50:].std() > 50


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_native_encoding_looks_the_same(store: DirectoryStore, syntax: str) -> None:
    ds = image_of(RAMP)
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = RAMP.astype(">u2").tobytes()

    shown = picture_of(store, encoded(ds, syntax))

    assert mean_of(shown, slice(0, 4)) < 20
    assert mean_of(shown, slice(-4, None)) > 235


def test_signed_pixels_of_twelve_bits_are_read_without_what_is_beside_them(
    store: DirectoryStore,
) -> None:
    # -100 in twelve bits, with garbage in the other four, above; 100 below
    array = np.full((48, 64), 0x5064, np.uint16)
    array[:24] = 0xA000 | (-100 & 0xFFF)
    ds = image_of(array, BitsStored=12, HighBit=11, PixelRepresentation=1)

    shown = picture_of(store, encoded(ds))

    assert mean_of(shown, slice(0, 20)) == 0
    assert mean_of(shown, slice(28, None)) == 255


def test_of_several_frames_the_middle_one_is_shown(store: DirectoryStore) -> None:
    frames = np.zeros((5, 48, 64), np.uint16)
    frames[2] = RAMP
    shown = picture_of(store, encoded(image_of(frames)))

    assert mean_of(shown, slice(-4, None)) > 235


def test_the_window_of_the_frame_goes_before_that_of_all(store: DirectoryStore) -> None:
    frames = np.stack([RAMP, RAMP])
    ds = image_of(frames)
    ds.SharedFunctionalGroupsSequence = Items([_group(60000, 10)])
    ds.PerFrameFunctionalGroupsSequence = Items([_group(60000, 10), _group(1500, 3000)])

    shown = picture_of(store, encoded(ds))

    assert mean_of(shown, slice(-4, None)) > 235


def _group(centre: int, width: int) -> Dataset:
    group, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = centre, width
    group.FrameVOILUTSequence = Items([window])
    return group


def test_colours_stay_colours(store: DirectoryStore) -> None:
    array = np.zeros((48, 64, 3), np.uint8)
    array[..., 0] = 200
    planes = image_of(array, PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(array, -1, 0).tobytes()

    for ds in (image_of(array), planes):
        store.delete(KEY)
        shown = picture_of(store, encoded(ds))
        assert (shown.reshape(-1, 3) == (200, 0, 0)).all()


def test_luminance_and_chrominance_become_colours(store: DirectoryStore) -> None:
    array = np.empty((48, 64, 3), np.uint8)
    array[:] = (76, 85, 255)  # red

    shown = picture_of(store, encoded(image_of(array, PhotometricInterpretation="YBR_FULL")))

    assert (abs(shown.reshape(-1, 3).astype(int) - (254, 0, 0)) < 4).all()


def test_a_palette_gives_its_colours(store: DirectoryStore) -> None:
    ds = image_of(np.ones((8, 8), np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour, value in (("Red", 0), ("Green", 0xFF00), ("Blue", 0)):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 16])
        table = np.array([0, value], np.uint16).tobytes()
        setattr(ds, f"{colour}PaletteColorLookupTableData", table)

    shown = picture_of(store, encoded(ds))

    assert (shown.reshape(-1, 3) == (0, 255, 0)).all()


def test_single_bits_are_black_and_white(store: DirectoryStore) -> None:
    bits = np.zeros((3, 6, 6), np.uint8)
    bits[1, 3:] = 1  # the second frame begins within a byte
    ds = image_of(bits, BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = np.packbits(bits.reshape(-1), bitorder="little").tobytes()

    shown = picture_of(store, encoded(ds), size=60)

    assert mean_of(shown, slice(0, 20)) < 10
    assert mean_of(shown, slice(40, None)) > 245


# ── dose ────────────────────────────────────────────────────────────────────────────────────


def dose_of(array: npt.NDArray[np.generic]) -> Dataset:
    ds = image_of(array, SOPClassUID=RT_DOSE, Modality="RTDOSE")
    ds.DoseGridScaling = 0.001
    return ds


def test_dose_is_a_wash_that_gets_lighter_with_dose(store: DirectoryStore) -> None:
    dose = np.arange(4096, dtype=np.uint32).reshape(64, 64)[np.newaxis] * 1000

    shown = picture_of(store, encoded(dose_of(dose)))

    lightness = shown.astype(float) @ (0.2126, 0.7152, 0.0722)
    by_row = lightness.mean(axis=1)
    assert shown.shape == (64, 64, 3)
    assert (np.diff(by_row) > -0.5).all()
    assert by_row[0] < 30
    assert by_row[-1] > 200


def test_no_dose_at_all_is_dark(store: DirectoryStore) -> None:
    shown = picture_of(store, encoded(dose_of(np.zeros((3, 8, 8), np.uint32))))

    assert shown.max() < 40


def test_pixels_that_are_not_square_are_shown_as_they_are(store: DirectoryStore) -> None:
    shown = picture_of(store, encoded(image_of(RAMP, PixelSpacing=[2, 1])))

    assert shown.shape == (64, 43)


def test_float_pixels_are_shown(store: DirectoryStore) -> None:
    ds = image_of(RAMP)
    del ds.PixelData
    ds.BitsAllocated = 32
    values = RAMP.astype(np.float32)
    values[0, 0] = np.nan
    ds.FloatPixelData = values.tobytes()

    shown = picture_of(store, encoded(ds))

    assert mean_of(shown, slice(-4, None)) > 235


# ── compressed ──────────────────────────────────────────────────────────────────────────────


def _compressed(frames: list[bytes], array: npt.NDArray[np.generic], syntax: str) -> bytes:
    ds = image_of(array)
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return encoded(ds, syntax)


def _codec(array: npt.NDArray[np.uint8], name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, name)
    return buffer.getvalue()


EIGHT = (RAMP // 12).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "syntax"), [("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000Lossless)]
)
def test_compressed_images_are_shown(store: DirectoryStore, name: str, syntax: str) -> None:
    dark = np.zeros_like(EIGHT)
    frames = [_codec(one, name) for one in (dark, EIGHT, dark)]

    shown = picture_of(store, _compressed(frames, EIGHT, syntax))

    assert mean_of(shown, slice(0, 4)) < 25
    assert mean_of(shown, slice(-4, None)) > 225


@pytest.mark.timeout(30)
@pytest.mark.parametrize("has_codestream", [False, True])
def test_a_box_without_length_is_no_trap(store: DirectoryStore, *, has_codestream: bool) -> None:
    boxed = _codec(EIGHT, "JPEG2000")
    assert boxed.startswith(b"\0\0\0\x0cjP  ")
    trap = boxed[:12] + bytes(4) + boxed[16:]
    if not has_codestream:
        trap = trap.replace(b"\xff\x4f\xff\x51", b"nope")
    data = _compressed([trap], EIGHT, JPEG2000Lossless)

    if has_codestream:
        assert picture_of(store, data).max() > 225
    else:
        with pytest.raises(Unreadable):
            picture_of(store, data)


def test_run_lengths_are_shown(store: DirectoryStore) -> None:
    ds = FileDataset("", image_of(EIGHT), file_meta=FileMetaDataset())
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless)

    shown = picture_of(store, encoded(ds, RLELossless))

    assert mean_of(shown, slice(-4, None)) > 225


def test_a_codec_that_nobody_knows_is_refused(store: DirectoryStore) -> None:
    data = _compressed([b"\xff\xd8\xff\xf7 not a picture"], EIGHT, JPEGLSLossless)

    with pytest.raises(Rejected):
        picture_of(store, data)


def test_a_codec_that_claims_another_size_is_refused_before_it_is_decoded(
    store: DirectoryStore,
) -> None:
    huge = _codec(np.zeros((3000, 3000), np.uint8), "JPEG")

    with pytest.raises(Unreadable):
        picture_of(store, _compressed([huge], EIGHT, JPEGBaseline8Bit))


def test_compressed_pixels_without_a_syntax_for_them_are_refused(store: DirectoryStore) -> None:
    data = _compressed([_codec(EIGHT, "JPEG")], EIGHT, JPEGBaseline8Bit)
    other = data.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1\0\0\0")

    with pytest.raises(Unreadable):
        picture_of(store, other)


# ── what cannot be shown ────────────────────────────────────────────────────────────────────


def test_an_instance_without_pixels_is_refused(store: DirectoryStore) -> None:
    with pytest.raises(Rejected):
        picture_of(store, encoded(plan("1.2.3.30", structures="1.2.3.20")))


@pytest.mark.parametrize(
    "values",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"Rows": 65535, "Columns": 65535},
        {"BitsAllocated": 24},
        {"BitsAllocated": 0},
        {"SamplesPerPixel": 2},
        {"NumberOfFrames": "-3"},
        {"NumberOfFrames": "100000"},
        {"BitsStored": 17},
    ],
)
def test_absurd_numbers_are_refused(store: DirectoryStore, values: dict[str, object]) -> None:
    ds = image_of(RAMP)
    for keyword, value in values.items():
        setattr(ds, keyword, value)

    with pytest.raises((Rejected, Unreadable)):
        picture_of(store, encoded(ds))


def test_a_frame_beyond_the_limit_is_refused_without_being_read(store: DirectoryStore) -> None:
    claimed = 8192 * 8192 * 2
    data = encoded(image_of(RAMP, Rows=8192, Columns=8192))
    at = data.rindex(b"OW\0\0" + RAMP.nbytes.to_bytes(4, "little"))
    lying = data[: at + 4] + claimed.to_bytes(4, "little") + data[at + 8 :]

    with pytest.raises(Rejected, match="too large"):
        picture_of(store, lying)


def test_only_the_frame_is_read(store: DirectoryStore) -> None:
    reads: list[int] = []

    class Counting:
        def get_range(self, key: str, offset: int, length: int) -> bytes:
            data = store.get_range(key, offset, length)
            reads.append(len(data))
            return data

    frames = np.zeros((200, 256, 256), np.uint16)
    data = encoded(image_of(frames))
    store.put(KEY, [data])

    thumbnail(Counting(), KEY, len(data), size=64)  # type: ignore[arg-type] # nothing else is asked

    assert sum(reads) <= source.FIRST_BYTES + frames[0].nbytes


def test_what_is_not_there_is_not_found(store: DirectoryStore) -> None:
    with pytest.raises(NotFound):
        thumbnail(store, KEY, 1000, size=64)


@pytest.mark.parametrize("seed", range(20))
def test_mutations_are_shown_or_refused(store: DirectoryStore, seed: int) -> None:
    chance = random.Random(seed)
    whole = [
        encoded(image_of(RAMP, WindowCenter=1, WindowWidth=2)),
        encoded(dose_of(np.zeros((3, 8, 8), np.uint32))),
        _compressed([_codec(EIGHT, "JPEG")], EIGHT, JPEGBaseline8Bit),
        _compressed([_codec(EIGHT, "JPEG2000")], EIGHT, JPEG2000Lossless),
    ]
    for _ in range(25):
        body = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 12)):
            body[chance.randrange(132, min(len(body), 1200))] = chance.randrange(256)
        cut = body[: chance.randint(len(body) // 2, len(body))]
        store.delete(KEY)

        with suppress(Rejected, Unreadable):
            picture_of(store, bytes(chance.choice((body, cut))), size=32)


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder with real objects")
@pytest.mark.parametrize(
    "path",
    [
        "pydicom_misc__MIT/test_files/MR_small_RLE.dcm",
        "pydicom_misc__MIT/test_files/MR_small_jp2klossless.dcm",
        "pydicom_misc__MIT/test_files/JPEG2000.dcm",
        "pydicom_misc__MIT/test_files/image_dfl.dcm",
        "imrt_breast__dicompyler-core_BSD/example_data/rtdose.dcm",
        "pt_ctac__delia_Apache2/1-001.dcm",
        "eclipse8_prostate_phantom__SlicerRT_MIT/EclipseProstatePhantomRtData/"
        "RI.1.2.246.352.71.3.2088656855.2381134.20110921150951.dcm",
    ],
)
def test_real_images_have_light_and_dark(store: DirectoryStore, path: str) -> None:
    shown = picture_of(store, (REAL / path).read_bytes(), size=256)

    assert shown.min() < 60
    assert shown.max() > 150
