"""How large made-up objects are."""

from __future__ import annotations

from dataclasses import dataclass

MINIMUM_SLICES = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """Factors on the slices, and on the rows and columns, that a realistic patient has."""

    slice_factor: float = 1.0
    matrix_factor: float = 1.0

    def slices(self, full: int) -> int:
        """Return the number of slices or frames for what has `full` at factor 1; a single stays one."""
        if full <= 1:
            return full
        return max(MINIMUM_SLICES, round(full * self.slice_factor))

    def matrix(self, full: int) -> int:
        """Return rows or columns, even, at least 16."""
        return max(16, 2 * round(full * self.matrix_factor / 2))


SMALL = Sizes(slice_factor=0.04, matrix_factor=1 / 16)
"""32 × 32 CT slices, three to five of them: for tests."""

SIZES = {"small": SMALL, "medium": Sizes(slice_factor=0.25), "full": Sizes()}
"""By the names that the command line has for them: about 0.4, 94 and 343 MB of twelve plans."""
