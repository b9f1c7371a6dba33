"""A generating model fills holes: it gets crop, prompt and seed, and reports its facts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from doubles.step_context import NullGenerator
from doubles.tiny_engines import HEIGHT, WIDTH, engine, hole, picture
from goldsmith.engines.generator_inpainter import GeneratorInpainter
from goldsmith.engines.protocols import GenerationOptions


@pytest.mark.parametrize(
    ("pixels", "multiple", "side"), [(1024 * 1024, 16, 1024), (1024 * 1024, 96, 1056), (64 * 64, 128, 128), (1_048_576, 64, 1024)]
)
def test_the_side_follows_from_the_native_size(pixels: int, multiple: int, side: int) -> None:
    """Check multiples of the model, and that smaller crops are enlarged to the side."""
    descriptor = GeneratorInpainter(NullGenerator(pixels=pixels, multiple=multiple), GenerationOptions()).descriptor
    assert (descriptor.kind, descriptor.side, descriptor.multiple, descriptor.enlarges, descriptor.takes_prompt) == (
        "inpaint",
        side,
        multiple,
        True,
        True,
    )
    assert descriptor.name == "null-generate"


def test_the_request_has_crop_hole_options_and_seed() -> None:
    """Check one picture for each fill, with the bound options, and the progress."""
    generator = NullGenerator()
    fractions: list[float] = []
    inpainter = GeneratorInpainter(generator, GenerationOptions("moss", strength=0.8))
    filled = inpainter.fill(picture(), hole(), 5, fractions.append)
    (request,) = generator.calls
    assert (request.options, request.seeds, request.width, request.height) == (GenerationOptions("moss", strength=0.8), (5,), WIDTH, HEIGHT)
    assert request.picture is not None
    assert request.hole is not None
    assert np.array_equal(request.picture, picture())
    assert np.array_equal(request.hole, hole())
    assert filled.shape == (HEIGHT, WIDTH, 3)
    assert fractions


def test_the_facts_of_each_fill_are_reported() -> None:
    """Check the ability, the seed and the fallback."""
    facts_of_fills: list[Mapping[str, object]] = []
    inpainter = GeneratorInpainter(engine("sdxl"), GenerationOptions("moss"), facts_of_fills.append)
    for seed in (1, 2):
        inpainter.fill(picture(), hole(), seed)
    assert [(facts["ability"], facts["seeds"], facts["memory_fallback"]) for facts in facts_of_fills] == [
        ("inpaint", [1], "as requested"),
        ("inpaint", [2], "as requested"),
    ]


@pytest.mark.parametrize("family", ["flux-fill", "sdxl-inpaint", "flux-kontext"])
def test_the_same_seed_gives_the_same_fill(family: str) -> None:
    """Check that the same crop, prompt and seed give the same bytes, and another seed other bytes."""
    inpainter = GeneratorInpainter(engine(family), GenerationOptions("moss"))
    assert inpainter.fill(picture(), hole(), 3).tobytes() == inpainter.fill(picture(), hole(), 3).tobytes()
    assert inpainter.fill(picture(), hole(), 3).tobytes() != inpainter.fill(picture(), hole(), 4).tobytes()
