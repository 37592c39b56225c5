"""Numbers to shades and colours: modality and VOI transformations, percentiles, the dose wash."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

Grey = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float32]
_LOW, _HIGH = 1.0, 99.0
"""Percentiles between which an image without a window is shown."""
_WASH = np.array(
    (
        *((1, 14, 32), (5, 26, 60), (12, 30, 100), (55, 10, 150), (104, 15, 131), (135, 20, 125)),
        *((164, 25, 121), (192, 30, 116), (220, 36, 109), (247, 47, 98), (248, 92, 94)),
        *((249, 123, 97), (250, 149, 104), (251, 173, 116), (252, 196, 132), (253, 217, 153)),
        (254, 237, 183),
    ),
    np.float32,
)
"""Lightness grows evenly (CIE L* 4 to 94) from blue over red to yellow."""


def shades(stored: npt.NDArray[np.generic], header: Dataset, index: int) -> Grey:
    """Return a frame as it is looked at: 0 is black.

    Notes
    -----
    PS3.3 C.11.1 (rescale), C.11.2 (window, here always linear), C.7.6.3.1.2 (MONOCHROME1). Where
    there is no window, it is from the 1st to the 99th percentile of what is no padding.
    """
    slope, intercept = _rescale(header, index)
    values = np.nan_to_num(stored.astype(np.float32)) * slope + intercept
    low, high = _window(header, index) or _percentiles(values, _not_padding(stored, header))
    if not high > low:
        high = low + 1.0
    grey = np.clip((values - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    is_inverse = str(header.get("PhotometricInterpretation", "")) == "MONOCHROME1"
    shown: Grey = 255 - grey if is_inverse else grey
    return shown


def wash(stored: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return a dose frame in colours, rows × columns × 3: from none to the greatest of the frame."""
    dose = np.maximum(np.nan_to_num(stored.astype(np.float32)), 0)
    greatest = float(dose.max(initial=0.0))
    place = dose * ((len(_WASH) - 1) / greatest if greatest > 0 else 0.0)
    below = np.minimum(place.astype(np.intp), len(_WASH) - 2)
    part = (place - below)[..., np.newaxis]
    colours = _WASH[below] * (1 - part) + _WASH[below + 1] * part
    shown: Grey = colours.round().astype(np.uint8)
    return shown


def _rescale(header: Dataset, index: int) -> tuple[float, float]:
    for holder in _holders(header, index, "PixelValueTransformationSequence"):
        slope, intercept = _number(holder, "RescaleSlope"), _number(holder, "RescaleIntercept")
        if slope is not None and slope != 0:
            return slope, intercept or 0.0
    return 1.0, 0.0


def _window(header: Dataset, index: int) -> tuple[float, float] | None:
    for holder in _holders(header, index, "FrameVOILUTSequence"):
        centre, width = _number(holder, "WindowCenter"), _number(holder, "WindowWidth")
        if centre is not None and width is not None and width >= 1:
            return centre - width / 2, centre + width / 2
    return None


def _holders(header: Dataset, index: int, sequence: str) -> Iterator[Dataset]:
    """Yield where a frame's transformation may be: the frame's, the shared, the image's (PS3.3 C.7.6.16)."""
    each = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    for groups in (each[index : index + 1], shared[:1]):
        for group in groups:
            yield from (group.get(sequence) or ())[:1]
    yield header


def _number(holder: Dataset, keyword: str) -> float | None:
    value = holder.get(keyword)
    if isinstance(value, list | tuple) or hasattr(value, "__getitem__"):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _not_padding(stored: npt.NDArray[np.generic], header: Dataset) -> npt.NDArray[np.bool_]:
    padding = _number(header, "PixelPaddingValue")
    if padding is None:
        return np.ones(stored.shape, np.bool_)
    counted: npt.NDArray[np.bool_] = stored.astype(np.float64) != padding
    return counted


def _percentiles(values: Numbers, counted: npt.NDArray[np.bool_]) -> tuple[float, float]:
    some = values[counted]
    low, high = np.percentile(some if some.size else values, (_LOW, _HIGH))
    if high > low:
        return float(low), float(high)
    return float(values.min()), float(values.max())
