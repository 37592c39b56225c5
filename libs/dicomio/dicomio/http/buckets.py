"""Token buckets: how often somebody may do something, with a burst; one bucket for each name."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dicomcore.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Rate:
    """So often on average, and so many at once."""

    per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not self.per_s > 0 or self.burst < 1:
            raise InvalidRequest("a rate is above 0 a second, with a burst of at least 1")


class Buckets:
    """Buckets by name, on one event loop; the memory they take is bounded.

    Parameters
    ----------
    most
        Above so many names the one that asked longest ago is forgotten: it starts anew with a full
        bucket.
    """

    def __init__(
        self, rate: Rate, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens left, and when that was."""

    def take(self, name: str) -> float:
        """Take one token and return 0; or take none, and return after how many seconds there is one."""
        now = self._clock()
        left, since = self._buckets.pop(name, (float(self._rate.burst), now))
        left = min(float(self._rate.burst), left + (now - since) * self._rate.per_s)
        wait_s = 0.0 if left >= 1.0 else (1.0 - left) / self._rate.per_s
        self._buckets[name] = (left if wait_s else left - 1.0, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return wait_s
