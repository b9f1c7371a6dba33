"""Cutting a subject with hair out of a picture: seconds and the most memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.row import Row

_BENCH = "matting"
_SECONDS = 20.0
# GiB.
_MEMORY = 3.0


def measure(place: Path, side: int = 4000) -> list[Row]:
    """``side`` px wide, three quarters as high; the matte that comes in costs nothing, so that what is timed is the matting alone."""
    told = json.loads(subprocess.run([sys.executable, "-m", "bench.matting", str(side)], check=True, capture_output=True).stdout)
    size = f"{told['pixels'] / 1e6:.0f} MP"
    note = f"{told['open']:.0%} of it is looked into; {told['cpu']:.1f} s of CPU"
    return [
        Row(_BENCH, f"{size}: trimap, matte, colours", told["seconds"], "s", _SECONDS, note=note),
        Row(_BENCH, f"{size}: peak memory of the process", told["memory"], "GiB", _MEMORY),
    ]


def _once(side: int) -> dict[str, float]:
    import resource
    import time

    import cv2
    import numpy as np

    from doubles.mattes import scene
    from doubles.step_context import StepContextDouble
    from goldsmith.ops.cutout.operation import Cutout
    from goldsmith.picture.picture import Picture, freeze

    drawn = scene(side * 3 // 16, side // 4, hairs=300)
    size = (side, side * 3 // 4)
    picture = Picture(freeze(np.clip(cv2.resize(drawn.pixels, size, interpolation=cv2.INTER_CUBIC), 0, 1)))
    bench = StepContextDouble(spots={"subject": freeze(cv2.resize(drawn.coarse, size))})
    began, spent = time.perf_counter(), time.process_time()
    Cutout(max_unsure=1, max_holes=1).apply(picture, bench)
    looked = bench.results.findings["looked_into"]
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "open": float(looked) if isinstance(looked, float) else 0.0,
        "pixels": float(picture.width * picture.height),
    }


if __name__ == "__main__":
    print(json.dumps(_once(int(sys.argv[1]))))
