"""The cost of a hundred thousand resting pictures and of twenty thousand arrivals."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from doubles.yard import Yard
from goldsmith.pipeline.intake.bundle import BundleKey

pytestmark = pytest.mark.bench


def resident() -> float:
    """Return the memory of this program in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_resting_pictures(tmp_path: Path) -> None:
    """Print the time of the first and the second scan, and the memory, for 100,000 pictures in 100 campaigns."""
    for campaign in range(100):
        folder = tmp_path / f"inbox/campaign{campaign:03d}"
        folder.mkdir(parents=True)
        for number in range(1000):
            os.close(os.open(folder / f"generation_{number:06d}.png", os.O_CREAT | os.O_WRONLY))
    before, started_at = resident(), time.perf_counter()
    yard = Yard(tmp_path)
    first, memory = time.perf_counter() - started_at, resident() - before
    yard.watcher.has_lost_hints = True
    started_at = time.perf_counter()
    yard.settle()
    print(f"\n100,000 resting pictures: read in {first:.2f} s, again in {time.perf_counter() - started_at:.2f} s, {memory:.1f} MiB")


@pytest.mark.parametrize("count", [5_000, 20_000])
def test_arrivals(tmp_path: Path, count: int) -> None:
    """Print the cost of pictures with a prompt in one folder, from hint to settled: it does not grow with their number."""
    yard = Yard(tmp_path)
    for number in range(count):
        yard.put(f"inbox/{number:06d}.png")
        yard.put(f"inbox/{number:06d}.txt")
    used, longest = time.process_time(), 0.0
    settled: set[BundleKey] = set()
    while len(settled) < count:
        started_at = time.perf_counter()
        for key in yard.collect():
            bundle = yard.intake.bundle(key)
            if bundle is not None:
                yard.intake.follow(bundle.files)
                settled.update({key} if all(yard.status(path) == "settled" for path in bundle.files) else ())
        longest = max(longest, time.perf_counter() - started_at)
        yard.clock.now += yard.intake.seconds_until_due(yard.clock.now)
    used = time.process_time() - used
    print(f"\n{count} bundles: {used:.2f} s of processor, {used / count * 1e6:.0f} µs each, longest turn {longest * 1000:.0f} ms")
