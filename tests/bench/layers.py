"""Writing a file with five layers: seconds and peak memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.row import Row

_BENCHMARK = "layers"
_SECONDS = 6.0
# GiB.
_MEMORY = 2.0
_KINDS = (("psd", 8), ("psd", 16), ("ora", 8), ("ora", 16))


def measure(place: Path, width: int = 6000) -> list[Row]:
    """Measure a picture ``width`` px wide and two thirds as high: an original, a grade of all of it, and three edits with masks."""
    rows = []
    for name, depth in _KINDS:
        command = [sys.executable, "-m", "bench.layers", str(width), name, str(depth)]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        title = f"{figures['pixels'] / 1e6:.0f} MP, five layers, {name} of {depth} bits"
        note = f"{figures['cpu']:.1f} s of CPU, {figures['megabytes']:.0f} MB"
        rows.append(Row(_BENCHMARK, title, figures["seconds"], "s", _SECONDS, note=note))
        rows.append(Row(_BENCHMARK, f"{title}: peak memory of the process", figures["memory"], "GiB", _MEMORY))
    return rows


def _once(width: int, name: str, depth: int) -> dict[str, float]:
    import resource
    import time

    import numpy as np

    from goldsmith.picture.codec import EncodingOptions, encode_layers
    from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayerGroup, LayerMask
    from goldsmith.picture.layered.picture_layers import PictureLayers
    from goldsmith.picture.picture import Picture, freeze

    height, full = width * 2 // 3, 2**depth - 1
    noise = np.random.default_rng(0).normal(0, 0.008, (height, width, 1)).astype(np.float32)
    slope = np.linspace(0.1, 0.9, width, dtype=np.float32)[None, :, None] * np.array([1, 0.8, 0.6], np.float32)
    picture = Picture(freeze(np.clip(slope + noise, 0, 1)), depth=8 if depth == 8 else 16)
    del noise, slope
    codes = picture.to_codes()
    whole, group = LayerBox(0, 0, width, height), LayerGroup("edit")

    def edit(left: int, top: int, right: int, bottom: int) -> FileLayer:
        box = LayerBox(left, top, right, bottom)
        mask = np.full((box.height, box.width), full, codes.dtype)
        return FileLayer("Inpaint", box, codes[top:bottom, left:right], groups=(group,), mask=LayerMask(box, mask))

    part = width // 6
    edits = [edit(at * part, at * part // 2, (at + 1) * part, at * part // 2 + part) for at in (0, 2, 4)]
    layers = PictureLayers((FileLayer("Original", whole, codes), *edits, FileLayer("Grade", whole, codes)))
    began, spent = time.perf_counter(), time.process_time()
    data = encode_layers(picture, EncodingOptions(name), layers)
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "megabytes": len(data) / 1e6,
        "pixels": float(width * height),
    }


if __name__ == "__main__":
    print(json.dumps(_once(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
