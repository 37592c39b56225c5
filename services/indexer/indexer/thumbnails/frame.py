"""The middle frame of an object as an array, whatever it is encoded in."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from dicomcore.errors import Rejected, Unreadable
from dicomcore.walk import UNDEFINED_LENGTH
from indexer.thumbnails.source import MAX_BYTES, Pixels, StoredPixels

Array = npt.NDArray[np.generic]
_MAX_FRAMES = 1_000_000
_KINDS = {8: "1", 16: "2", 32: "4"}
_COLOUR = 3
_JP2 = b"\0\0\0\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"


def middle_frame(pixels: Pixels, stored: StoredPixels) -> tuple[Array, int]:
    """Return a frame and its index, 0-based.

    Returns
    -------
    array
        rows × columns of numbers as stored, or rows × columns × 3 of red, green, blue in 8 bits.

    Raises
    ------
    Rejected
        Too large, or of a kind that is not rendered.
    Unreadable
        Damaged.
    """
    header = pixels.header
    shape = _shape(header)
    frames = _integer(header, "NumberOfFrames", 1, _MAX_FRAMES, default=1)
    index = frames // 2
    if pixels.length == UNDEFINED_LENGTH:
        return _in_colours(_decompressed(pixels, stored, shape, frames, index), header), index
    if pixels.kind:
        return _native(pixels, stored, shape[:2], np.dtype(pixels.kind), index), index
    allocated = _integer(header, "BitsAllocated", 1, 64, default=0)
    if allocated == 1:
        return _bits(pixels, stored, shape[:2], index), index
    if allocated not in _KINDS:
        raise Rejected("pixels of this size are not rendered", bits_allocated=allocated)
    signed = _integer(header, "PixelRepresentation", 0, 1, default=0)
    dtype = np.dtype(("i" if signed else "u") + _KINDS[allocated])
    planar = shape[2:] and _integer(header, "PlanarConfiguration", 0, 1, default=0)
    if planar:
        planes = _native(pixels, stored, (_COLOUR, *shape[:2]), dtype, index)
        return _in_colours(np.moveaxis(planes, 0, -1), header), index
    array = _native(pixels, stored, shape, dtype, index)
    return _in_colours(_stored_bits(array, header, allocated), header), index


def _shape(header: Dataset) -> tuple[int, ...]:
    rows = _integer(header, "Rows", 1, 65535, default=0)
    columns = _integer(header, "Columns", 1, 65535, default=0)
    samples = _integer(header, "SamplesPerPixel", 1, 4, default=1)
    if samples not in (1, _COLOUR):
        raise Rejected("pixels of so many samples are not rendered", samples=samples)
    if rows * columns * samples > MAX_BYTES:
        raise Rejected("a frame is too large for a picture", rows=rows, columns=columns)
    return (rows, columns) if samples == 1 else (rows, columns, samples)


def _native(
    pixels: Pixels,
    stored: StoredPixels,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    index: int,
) -> Array:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if (index + 1) * size > pixels.length:
        raise Unreadable("the pixel data are shorter than their frames", length=pixels.length)
    encoded = stored.read(pixels.start + index * size, size)
    ordered = dtype.newbyteorder("<" if pixels.little_endian else ">")
    return np.frombuffer(encoded, ordered).reshape(shape)


def _bits(pixels: Pixels, stored: StoredPixels, shape: tuple[int, ...], index: int) -> Array:
    """Return a frame of single bits, which need not begin with a byte (PS3.5 8.1.1)."""
    count = shape[0] * shape[1]
    first = index * count
    start, end = first // 8, (first + count + 7) // 8
    if end > pixels.length:
        raise Unreadable("the pixel data are shorter than their frames", length=pixels.length)
    encoded = np.frombuffer(stored.read(pixels.start + start, end - start), np.uint8)
    bits = np.unpackbits(encoded, bitorder="little")
    return bits[first - 8 * start :][:count].reshape(shape)


def _stored_bits(array: Array, header: Dataset, allocated: int) -> Array:
    """Return values without what is beside them in their cells (PS3.5 8.1.1)."""
    stored = _integer(header, "BitsStored", 1, allocated, default=allocated)
    if stored == allocated or array.ndim > 2:
        return array
    high = _integer(header, "HighBit", stored - 1, allocated - 1, default=stored - 1)
    wide = array.astype(np.int64) >> (high + 1 - stored)
    values = wide & ((1 << stored) - 1)
    if array.dtype.kind == "i":
        sign = 1 << (stored - 1)
        values = (values ^ sign) - sign
    return values


def _decompressed(
    pixels: Pixels, stored: StoredPixels, shape: tuple[int, ...], frames: int, index: int
) -> Array:
    header = pixels.header
    syntax = getattr(header.file_meta, "TransferSyntaxUID", None)
    if syntax is None or not syntax.is_encapsulated:
        raise Unreadable("compressed pixel data, and no transfer syntax that says how")
    frame = _codestream(get_frame(stored.rest(pixels.start), index, number_of_frames=frames))
    if syntax != RLELossless:
        # what the codec says may be gigabytes, whatever Rows and Columns are
        with Image.open(io.BytesIO(frame)) as image:
            if image.size != (shape[1], shape[0]):
                raise Unreadable("the compressed frame is of another size than the image")
    single = Dataset()
    single.update({element.tag: element for element in header.group_dataset(0x0028)})
    single.file_meta = header.file_meta
    single.NumberOfFrames = 1
    single.PixelData = encapsulate([frame])
    single["PixelData"].VR = "OB"
    single["PixelData"].is_undefined_length = True
    array: Array = pixel_array(single)
    return array


def _codestream(frame: bytes) -> bytes:
    """Return a JPEG 2000 frame without the file format around it, which it should not have (PS3.5 A.4.4).

    pydicom would look for it for ever, where a damaged box has no length.
    """
    if not frame.startswith(_JP2):
        return frame
    start = frame.find(_SOC_SIZ)
    if start < 0:
        raise Unreadable("no JPEG 2000 codestream in its file format")
    return frame[start:]


def _in_colours(array: Array, header: Dataset) -> Array:
    """Return colours as red, green, blue in 8 bits; shades as they are."""
    photometric = str(header.get("PhotometricInterpretation", ""))
    compressed = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if photometric == "PALETTE COLOR" and array.ndim == 2:
        return _eight_bits(apply_color_lut(array, header))
    if array.ndim == 2:
        return array
    eight = _eight_bits(array)
    if photometric == "YBR_FULL" and not (compressed and compressed.is_encapsulated):
        converted = Image.fromarray(np.ascontiguousarray(eight), "YCbCr").convert("RGB")
        return np.asarray(converted)
    return eight


def _eight_bits(array: Array) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array.astype(np.uint8)
    return (array.astype(np.uint32) >> 8).astype(np.uint8)


def _integer(header: Dataset, keyword: str, low: int, high: int, *, default: int) -> int:
    """Return a value that has to be within bounds, if it is there."""
    value = header.get(keyword)
    if value is None or value == "":
        number = default
    else:
        number = int(value if not isinstance(value, list | tuple) else value[0])
    if not low <= number <= high:
        raise Rejected("the instance is no image", keyword=keyword)
    return number
