"""store-scp under what no test has time for; prints what it held before and after, and what is missing.

    python bench/soak.py --minutes 10                 24 associations, kill, abort and cut at random
    python bench/soak.py --minutes 0 --fuzz 100000    conversations that make no sense
    python bench/soak.py --minutes 0 --large 20       a gigabyte each, one after another

Ends with exit code 1 if anything that was answered Success is missing, or anything is left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.peers.large import send_large
from tests.peers.pdu_fuzz import fuzz
from tests.peers.scp_process import HighWater, ScpProcess, Usage
from tests.peers.soak import soak

MB = 1_000_000
LARGEST_RSS_BYTES = 400 * MB
LEAK_BYTES = 64 * MB


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--minutes", type=float, default=1.0)
    arguments.add_argument("--associations", type=int, default=24)
    arguments.add_argument("--kills", type=int, default=0, help="kill -9 of the process on the way")
    arguments.add_argument("--fuzz", type=int, default=0, metavar="CASES")
    arguments.add_argument("--large", type=int, default=0, metavar="ASSOCIATIONS")
    arguments.add_argument("--gigabytes", type=float, default=1.0, help="of each large one")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    good = True
    if options.minutes:
        good &= _soak(options)
    if options.fuzz:
        good &= _fuzz(options.fuzz, options.seed)
    if options.large:
        good &= _large(options.large, int(options.gigabytes * (1 << 30)) & ~1)
    return 0 if good else 1


def _soak(options: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        soaked = soak(
            Path(name),
            associations=options.associations,
            seconds=options.minutes * 60,
            kills=options.kills,
            seed=options.seed,
            warm_s=0.0 if options.kills else options.minutes * 15,
        )
    print(f"associations: {', '.join(f'{n} {end}' for end, n in soaked.ended.most_common())}")
    print(
        f"answered Success: {len(soaked.acknowledged)}, of which missing {soaked.missing}, "
        f"not announced {soaked.unannounced}"
    )
    return _held(soaked.before, soaked.after) and not soaked.missing + soaked.unannounced


def _fuzz(cases: int, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        process = ScpProcess(Path(name))
        process.start()
        started = time.monotonic()
        # memory is what the allocators need for so many at once, and then must not grow any more
        ended = fuzz(process.port, cases // 2, seed=seed)
        before = process.usage()
        ended += fuzz(process.port, cases - cases // 2, seed=seed + 1)
        time.sleep(10)  # aborted associations give their peer five seconds to close
        after = process.usage()
        failures = process.log().count("association_failed")
        print(
            f"{cases} conversations in {time.monotonic() - started:.0f} s: "
            f"{', '.join(f'{n} {end}' for end, n in ended.most_common())}; "
            f"exceptions in associations: {failures}"
        )
        return _held(before, after) and process.stop() == 0 and not failures


def _large(count: int, size_bytes: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="large-") as name:
        process = ScpProcess(Path(name))
        process.start()
        before, started = process.usage(), time.monotonic()
        with HighWater(process) as most:
            statuses = {send_large(process.port, n, size_bytes=size_bytes) for n in range(count)}
        seconds = time.monotonic() - started
        print(
            f"{count} associations, {size_bytes / MB:.0f} MB each: {seconds:.0f} s, "
            f"{count * size_bytes / MB / seconds:.0f} MB/s, statuses {sorted(statuses)}, "
            f"RSS at most {most.rss_bytes / MB:.0f} MB"
        )
        time.sleep(10)
        held = _held(before, process.usage())
        return held and process.stop() == 0 and most.rss_bytes <= LARGEST_RSS_BYTES


def _held(before: Usage, after: Usage) -> bool:
    for name, usage in (("before", before), ("after", after)):
        print(
            f"{name:7} RSS {usage.rss_bytes / MB:.0f} MB, {usage.threads} threads, "
            f"{usage.descriptors} descriptors"
        )
    return (
        after.threads <= before.threads
        and after.descriptors <= before.descriptors
        and after.rss_bytes <= before.rss_bytes + LEAK_BYTES
    )


if __name__ == "__main__":
    raise SystemExit(main())
