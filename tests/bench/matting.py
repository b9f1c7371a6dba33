"""Cutting a subject with hair out of a picture: seconds and peak memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.row import Row

_BENCHMARK = "matting"
_SECONDS = 20.0
# GiB.
_MEMORY = 3.0


def measure(place: Path, side: int = 4000) -> list[Row]:
    """Measure a picture ``side`` px wide and three quarters as high. The coarse matte is given, so the time is that of matting alone."""
    figures = json.loads(subprocess.run([sys.executable, "-m", "bench.matting", str(side)], check=True, capture_output=True).stdout)
    size = f"{figures['pixels'] / 1e6:.0f} MP"
    note = f"{figures['open']:.0%} of it is looked into; {figures['cpu']:.1f} s of CPU"
    return [
        Row(_BENCHMARK, f"{size}: trimap, matte, colours", figures["seconds"], "s", _SECONDS, note=note),
        Row(_BENCHMARK, f"{size}: peak memory of the process", figures["memory"], "GiB", _MEMORY),
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

    head = scene(side * 3 // 16, side // 4, hairs=300)
    size = (side, side * 3 // 4)
    picture = Picture(freeze(np.clip(cv2.resize(head.pixels, size, interpolation=cv2.INTER_CUBIC), 0, 1)))
    context = StepContextDouble(spots={"subject": freeze(cv2.resize(head.coarse, size))})
    began, spent = time.perf_counter(), time.process_time()
    Cutout(max_unsure=1, max_holes=1).apply(picture, context)
    looked_into = context.results.findings["looked_into"]
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "open": float(looked_into) if isinstance(looked_into, float) else 0.0,
        "pixels": float(picture.width * picture.height),
    }


if __name__ == "__main__":
    print(json.dumps(_once(int(sys.argv[1]))))
