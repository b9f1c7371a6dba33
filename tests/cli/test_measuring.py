"""The memory and the time of a model, measured with one picture."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors import safe_open

from doubles import tiny
from doubles.tiny_engines import engine, model
from goldsmith.cli.measuring import measure
from goldsmith.engines.protocols import Device

CPU = Device("cpu", 1)


def numbers_in_files(family: str) -> int:
    """Return how many numbers the weights files of a family have, counted by safetensors."""
    total = 0
    for file in tiny.folder(family).rglob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            total += sum(int(np.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys())  # noqa: SIM118 - it is no mapping
    return total


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_the_weights_are_counted_in_the_precision_of_the_entry(family: str) -> None:
    """Check against the files: two bytes for each number, four, and at most a few more for whole numbers that the files lack."""
    count = numbers_in_files(family)
    for precision, size in (("bfloat16", 2), ("float32", 4)):
        assert count * size <= engine(family).weights_bytes(precision) <= count * size + 4096


@pytest.mark.parametrize("family", ["sdxl", "sdxl-inpaint", "flux-kontext"])
def test_one_picture_of_the_native_size_is_made(family: str) -> None:
    """Check a family for each way: from words, a hole, and by instruction."""
    diffusion = model(family).diffusion
    assert diffusion is not None
    measured = measure(engine(family), diffusion, CPU)
    assert (measured.width, measured.height, measured.facts["steps"]) == (64, 64, 2)
    assert measured.memory_mb >= 1
    assert measured.picture_mb >= 1
    assert measured.seconds == 60
    assert measured.picture_time > 0
