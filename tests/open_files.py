"""More open files than a process is usually given, for tests of many connections."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

OTHERS = 1000
"""Files that a test process has open besides."""
HALF_OPEN = int(os.environ.get("DICOMTOOLS_HALF_OPEN", "10000"))
"""How many connections that say nothing are opened; each end of one that is open is a file."""


@contextmanager
def for_connections(wanted: int) -> Iterator[int]:
    """Yield how many connections can be open at once: `wanted`, or what the machine's limit leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    possible = wanted if hard == unlimited else min(wanted, hard - OTHERS)
    if soft != unlimited and soft < possible + OTHERS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible + OTHERS, hard))
    try:
        yield possible
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
