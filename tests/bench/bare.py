"""A pipeline alone, as a separate program: ``python -m bench.bare`` reads its settings as JSON and prints seconds as JSON.

It is plain diffusers with plain settings, without Goldsmith's engine and its choice of kernels; the daemon beside it has both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PROMPT = "a red chair"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """``batches``: the numbers of pictures in a call, each with a loop of ``jobs`` pictures. ``fills``: how often a hole is filled."""

    folder: str
    family: str
    device: str
    precision: str
    threads: int
    steps: int
    guidance: float
    side: int
    jobs: int
    batches: tuple[int, ...]
    fills: int
    scratch: str


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """Seconds.

    picture: a picture in each of the loops. cpu: the processor time of a picture. png: to save a picture with Pillow. encode: to save
    it with Goldsmith's encoder, hashed and durable. fill: to fill a hole, the least of several.
    """

    load: float
    first: float
    picture: dict[int, float] = field(default_factory=dict)
    cpu: float = 0.0
    png: float = 0.0
    encode: float = 0.0
    fill: float = 0.0


def bare(settings: LoopSettings) -> LoopTimes:
    """Measure the loops in a process of its own, so that the device is free afterwards."""
    done = subprocess.run([sys.executable, "-m", "bench.bare"], input=json.dumps(asdict(settings)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the bare loop ended with {done.returncode}: {done.stderr[-600:]}")
    times = json.loads(done.stdout.splitlines()[-1])
    return LoopTimes(**{**times, "picture": {int(batch): seconds for batch, seconds in times["picture"].items()}})


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    settings = LoopSettings(**json.loads(sys.stdin.read()))
    print(json.dumps(asdict(_measure(settings))))


def _measure(settings: LoopSettings) -> LoopTimes:
    import diffusers
    import torch

    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(settings.threads)
    began = time.perf_counter()
    precision = getattr(torch, settings.precision)
    pipe = diffusers.DiffusionPipeline.from_pretrained(settings.folder, torch_dtype=precision, local_files_only=True)
    pipe.to(settings.device)
    pipe.set_progress_bar_config(disable=True)
    load = time.perf_counter() - began
    first, images = _time_call(lambda: _pictures(pipe, settings, 0, 1))
    loops = {batch: _loop(pipe, settings, batch) for batch in settings.batches}
    used = time.process_time()
    _loop(pipe, settings, 1)
    cpu = (time.process_time() - used) / (settings.jobs + 1)
    png, _ = _time_call(lambda: images[0].save(Path(settings.scratch) / "bare.png"))
    encode = min(_time_call(lambda: _encode_and_write(images[0], settings))[0] for _ in range(5))
    return LoopTimes(load, first, loops, cpu, png, encode, _fill(pipe, settings))


def _loop(pipe: Any, settings: LoopSettings, batch: int) -> float:
    """Return the seconds per picture over all calls, after one call that does not count."""
    calls = max(1, settings.jobs // batch)
    _pictures(pipe, settings, 0, batch)
    seconds, _ = _time_call(lambda: [_pictures(pipe, settings, call * batch, batch) for call in range(calls)])
    return seconds / (calls * batch)


def _pictures(pipe: Any, settings: LoopSettings, seed: int, count: int) -> list[Any]:
    images: list[Any] = pipe(**_call_settings(settings), num_images_per_prompt=count, generator=_generators(seed, count)).images
    return images


def _fill(pipe: Any, settings: LoopSettings) -> float:
    """Return the least time to fill a hole in the middle of a crop of the model's own size."""
    if not settings.fills:
        return 0.0
    import diffusers
    import numpy as np
    from PIL import Image

    kind = diffusers.StableDiffusionXLInpaintPipeline if settings.family == "sdxl" else diffusers.FluxInpaintPipeline
    filling = kind(**pipe.components)
    filling.set_progress_bar_config(disable=True)
    crop = Image.fromarray(np.random.default_rng(0).integers(0, 255, (settings.side, settings.side, 3), dtype=np.uint8))
    quarter = settings.side // 4
    hole = Image.new("L", crop.size)
    hole.paste(255, (quarter, quarter, settings.side - quarter, settings.side - quarter))

    def run() -> Any:
        return filling(**_call_settings(settings), image=crop, mask_image=hole, strength=1.0, generator=_generators(0, 1)).images

    run()
    return min(_time_call(run)[0] for _ in range(settings.fills))


def _call_settings(settings: LoopSettings) -> dict[str, Any]:
    sizes = {"width": settings.side, "height": settings.side}
    return {"prompt": PROMPT, "num_inference_steps": settings.steps, "guidance_scale": settings.guidance, **sizes}


def _generators(seed: int, count: int) -> list[Any]:
    import torch

    return [torch.Generator("cpu").manual_seed(seed + number) for number in range(count)]


def _encode_and_write(image: Any, settings: LoopSettings) -> None:
    """Encode, hash and durably write the picture, as a worker process does."""
    import hashlib

    import numpy as np

    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, freeze

    pixels = np.asarray(image, np.float32) / np.float32(255)
    data = encode(Picture(pixels=freeze(pixels)), EncodingOptions(format="png"))
    hashlib.sha256(data).hexdigest()
    with open(Path(settings.scratch) / "bare.out", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _time_call(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
