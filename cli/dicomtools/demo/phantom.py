"""A cylinder of water with spheres in it: pixels, dose and contours, without any array library.

Everything is cached by shape, so that a thousand slices share a handful of byte strings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

BODY_RADIUS_MM = 150.0
POINTS_PER_CONTOUR = 36


@dataclass(frozen=True, slots=True)
class Region:
    """A sphere within the cylinder; `radius_mm` None is the cylinder itself."""

    name: str
    """As TG-263 has it."""
    interpreted_type: str
    """RT ROI Interpreted Type (3006,00A4)."""
    color: tuple[int, int, int]
    radius_mm: float | None = None
    center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def radius_at(self, z_mm: float) -> float:
        """Return the radius of the cut at `z_mm`, 0 where the plane misses it."""
        if self.radius_mm is None:
            return BODY_RADIUS_MM
        squared = self.radius_mm**2 - (z_mm - self.center_mm[2]) ** 2
        return math.sqrt(squared) if squared > 0 else 0.0


REGIONS = (
    Region("External", "EXTERNAL", (0, 255, 0)),
    Region("CTV_High", "CTV", (255, 128, 0), 25.0),
    Region("PTV_High", "PTV", (255, 0, 0), 32.0),
    Region("Bladder", "ORGAN", (255, 255, 0), 28.0, (0.0, -65.0, 8.0)),
    Region("Rectum", "ORGAN", (140, 70, 20), 18.0, (0.0, 60.0, 0.0)),
)
TARGET = REGIONS[1]


@lru_cache(maxsize=256)
def disc(
    rows: int, columns: int, spacing_mm: float, target_mm: int, levels: tuple[int, int, int]
) -> bytes:
    """Return one frame, 16 bits unsigned, little endian, row-major.

    Parameters
    ----------
    target_mm
        Radius of the inner disc, 0 for none; whole millimetres, so that slices can share frames.
    levels
        Stored values outside, in the cylinder, and in the inner disc.
    """
    outside, body, target = (level.to_bytes(2, "little") for level in levels)
    lines = []
    for row in range(rows):
        y_mm = (row - (rows - 1) / 2) * spacing_mm
        wide = min(columns, 2 * round(_half_chord(BODY_RADIUS_MM, y_mm) / spacing_mm))
        inner = min(wide, 2 * round(_half_chord(target_mm, y_mm) / spacing_mm))
        margin = (columns - wide) // 2
        flank = (wide - inner) // 2
        line = outside * margin + body * flank + target * inner + body * flank
        lines.append(line + outside * (columns - len(line) // 2))
    return b"".join(lines)


@lru_cache(maxsize=64)
def dose_grid(frames: int, rows: int, columns: int, spacing_mm: float, bits: int) -> bytes:
    """Return a dose that falls from the centre outwards; frame by frame, row by row, little endian.

    `bits` is 16 or 32; the largest value is 60000, the prescription about 50000.
    """
    size = bits // 8
    middle = (frames - 1) / 2
    return b"".join(
        _dose_frame(rows, columns, spacing_mm, size, round(abs(index - middle) * spacing_mm / 10))
        for index in range(frames)
    )


@lru_cache(maxsize=512)
def circle(radius_mm: float, x_mm: float, y_mm: float, z_mm: float) -> bytes:
    """Return Contour Data (3006,0050) of a circle in the plane z, as encoded: triplets x, y, z."""
    texts = []
    for point in range(POINTS_PER_CONTOUR):
        angle = 2 * math.pi * point / POINTS_PER_CONTOUR
        x, y = x_mm + radius_mm * math.cos(angle), y_mm + radius_mm * math.sin(angle)
        texts.append(f"{x:.2f}\\{y:.2f}\\{z_mm:.2f}")
    encoded = "\\".join(texts).encode("ascii")
    return encoded + b" " * (len(encoded) % 2)


@lru_cache(maxsize=512)
def _dose_frame(rows: int, columns: int, spacing_mm: float, size: int, off_axis_cm: int) -> bytes:
    lines = []
    for row in range(rows):
        y_mm = (row - (rows - 1) / 2) * spacing_mm
        cells = []
        for column in range((columns + 1) // 2):
            x_mm = (column - (columns - 1) / 2) * spacing_mm
            squared = x_mm**2 + y_mm**2 + (off_axis_cm * 10) ** 2
            cells.append(round(60000 / (1 + squared / 60**2) ** 2).to_bytes(size, "little"))
        mirrored = cells[: columns // 2]
        lines.append(b"".join(cells) + b"".join(reversed(mirrored)))
    return b"".join(lines)


def _half_chord(radius_mm: float, y_mm: float) -> float:
    squared = radius_mm**2 - y_mm**2
    return math.sqrt(squared) if squared > 0 else 0.0
