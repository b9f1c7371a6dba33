"""A pipeline alone, as a program of its own: ``python -m bench.bare`` reads what to do as JSON and answers with seconds as JSON.

Plain diffusers with plain settings: neither Goldsmith's engine nor its choice of kernels. What it is held beside has all that.
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
class Asked:
    """``batches``: how many pictures in one call, one loop of ``jobs`` pictures for each. ``fills``: how many times a hole is filled."""

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
class Told:
    """Seconds.

    picture: a picture in each of the loops; cpu: the processor's time for one. png, encode: to save one as PNG as people do, and with
    Goldsmith's own encoder, hashed and durable. fill: the least of several.
    """

    load: float
    first: float
    picture: dict[int, float] = field(default_factory=dict)
    cpu: float = 0.0
    png: float = 0.0
    encode: float = 0.0
    fill: float = 0.0


def bare(asked: Asked) -> Told:
    """Run it, in a process that is gone afterwards and leaves the device as it was."""
    done = subprocess.run([sys.executable, "-m", "bench.bare"], input=json.dumps(asdict(asked)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the bare loop ended with {done.returncode}: {done.stderr[-600:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Told(**{**told, "picture": {int(batch): seconds for batch, seconds in told["picture"].items()}})


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    asked = Asked(**json.loads(sys.stdin.read()))
    print(json.dumps(asdict(_measured(asked))))


def _measured(asked: Asked) -> Told:
    import diffusers
    import torch

    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(asked.threads)
    began = time.perf_counter()
    pipe = diffusers.DiffusionPipeline.from_pretrained(asked.folder, torch_dtype=getattr(torch, asked.precision), local_files_only=True)
    pipe.to(asked.device)
    pipe.set_progress_bar_config(disable=True)
    load = time.perf_counter() - began
    first, images = _timed(lambda: _pictures(pipe, asked, 0, 1))
    loops = {batch: _loop(pipe, asked, batch) for batch in asked.batches}
    used = time.process_time()
    _loop(pipe, asked, 1)
    cpu = (time.process_time() - used) / (asked.jobs + 1)
    png, _ = _timed(lambda: images[0].save(Path(asked.scratch) / "bare.png"))
    encode = min(_timed(lambda: _encoded(images[0], asked))[0] for _ in range(5))
    return Told(load, first, loops, cpu, png, encode, _fill(pipe, asked))


def _loop(pipe: Any, asked: Asked, batch: int) -> float:
    """Seconds a picture: as many calls as it takes, after one that is not counted."""
    calls = max(1, asked.jobs // batch)
    _pictures(pipe, asked, 0, batch)
    seconds, _ = _timed(lambda: [_pictures(pipe, asked, call * batch, batch) for call in range(calls)])
    return seconds / (calls * batch)


def _pictures(pipe: Any, asked: Asked, seed: int, count: int) -> list[Any]:
    found: list[Any] = pipe(**_call(asked), num_images_per_prompt=count, generator=_dice(seed, count)).images
    return found


def _fill(pipe: Any, asked: Asked) -> float:
    """A crop of the model's own size with a hole in its middle."""
    if not asked.fills:
        return 0.0
    import diffusers
    import numpy as np
    from PIL import Image

    kind = diffusers.StableDiffusionXLInpaintPipeline if asked.family == "sdxl" else diffusers.FluxInpaintPipeline
    filling = kind(**pipe.components)
    filling.set_progress_bar_config(disable=True)
    crop = Image.fromarray(np.random.default_rng(0).integers(0, 255, (asked.side, asked.side, 3), dtype=np.uint8))
    quarter = asked.side // 4
    hole = Image.new("L", crop.size)
    hole.paste(255, (quarter, quarter, asked.side - quarter, asked.side - quarter))

    def run() -> Any:
        return filling(**_call(asked), image=crop, mask_image=hole, strength=1.0, generator=_dice(0, 1)).images

    run()
    return min(_timed(run)[0] for _ in range(asked.fills))


def _call(asked: Asked) -> dict[str, Any]:
    sizes = {"width": asked.side, "height": asked.side}
    return {"prompt": PROMPT, "num_inference_steps": asked.steps, "guidance_scale": asked.guidance, **sizes}


def _dice(seed: int, count: int) -> list[Any]:
    import torch

    return [torch.Generator("cpu").manual_seed(seed + number) for number in range(count)]


def _encoded(image: Any, asked: Asked) -> None:
    """As a worker writes a result: encoded, hashed, on the disk."""
    import hashlib

    import numpy as np

    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, freeze

    pixels = np.asarray(image, np.float32) / np.float32(255)
    data = encode(Picture(pixels=freeze(pixels)), EncodingOptions(format="png"))
    hashlib.sha256(data).hexdigest()
    with open(Path(asked.scratch) / "bare.out", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = run()
    return time.perf_counter() - began, made


if __name__ == "__main__":
    main()
