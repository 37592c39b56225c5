"""From a stored object to a PNG."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from dicomcore.errors import DicomToolsError, Rejected, Unreadable
from dicomcore.ports import ObjectStore
from indexer.thumbnails.frame import middle_frame
from indexer.thumbnails.shades import shades, wash
from indexer.thumbnails.source import StoredPixels

RENDERER = "1"
"""Part of an entity tag: another renderer makes other pictures of the same object."""
_OVERSAMPLED = 4
"""A frame is thinned out to so many times the size before it is smoothed."""
_MAX_STRETCH = 5.0
_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
# What decoders raise on damaged or hostile data.
_FAULTS = (
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    RecursionError,
    MemoryError,
    OSError,
    SyntaxError,  # Pillow's word for a damaged file
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
    Image.DecompressionBombError,
)


def thumbnail(store: ObjectStore, key: str, size_bytes: int, *, size: int) -> bytes:
    """Return a PNG of an object's middle frame, `size` pixels on its longer side.

    Blocks; needs about three times `source.MAX_BYTES` of memory at most.

    Raises
    ------
    Rejected
        No image, too large, or compressed in a way that cannot be read.
    Unreadable
        Damaged.
    NotFound, ObjectStoreUnavailable
        From the store.
    """
    stored = StoredPixels(store, key, size_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rendered(stored, size)
    except DicomToolsError:
        raise
    except (NotImplementedError, RuntimeError, UnidentifiedImageError) as exc:
        # pydicom and Pillow: nobody knows this codec, or all who do have failed
        raise Rejected("pixels of this compression are not rendered") from exc
    except _FAULTS as exc:
        raise Unreadable("the image is damaged", error=type(exc).__name__) from exc


def _rendered(stored: StoredPixels, size: int) -> bytes:
    pixels = stored.find()
    header = pixels.header
    frame, index = middle_frame(pixels, stored)
    height, width = frame.shape[:2]
    step = max(1, max(height, width) // (size * _OVERSAMPLED))
    frame = frame[::step, ::step]
    if frame.ndim > 2:
        picture = frame.astype(np.uint8)
    elif header.get("SOPClassUID") == _DOSE or header.get("Modality") == "RTDOSE":
        picture = wash(frame)
    else:
        picture = shades(frame, header, index)
    return _png(picture, _fitted(height * _stretch(header), width, size))


def _fitted(height: float, width: float, size: int) -> tuple[int, int]:
    """Return width and height in pixels, the longer one `size`."""
    factor = size / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _stretch(header: Dataset) -> float:
    """Return how much higher than wide a pixel is (PS3.3 10.7.1.3, C.8.8.2)."""
    for keyword in ("PixelSpacing", "ImagePlanePixelSpacing", "ImagerPixelSpacing"):
        spacing = header.get(keyword)
        if spacing is not None and not isinstance(spacing, str) and len(spacing) == 2:
            between_rows, between_columns = float(spacing[0]), float(spacing[1])
            if between_rows > 0 and between_columns > 0:
                ratio = between_rows / between_columns
                return min(max(ratio, 1 / _MAX_STRETCH), _MAX_STRETCH)
    return 1.0


def _png(picture: npt.NDArray[np.uint8], shown: tuple[int, int]) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(picture))
    buffer = io.BytesIO()
    image.resize(shown, Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()
