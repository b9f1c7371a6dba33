"""A model that generates fills holes: the crop, the words and the seed go in, and what was done goes on record."""

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
def test_it_works_at_the_square_of_the_model_s_native_size(pixels: int, multiple: int, side: int) -> None:
    """In multiples that the model takes; smaller crops are enlarged to it, because the model only works well there."""
    said = GeneratorInpainter(NullGenerator(pixels=pixels, multiple=multiple), GenerationOptions()).descriptor
    assert (said.kind, said.side, said.multiple, said.enlarges, said.takes_prompt) == ("inpaint", side, multiple, True, True)
    assert said.name == "null-generate"


def test_the_crop_the_hole_the_words_and_the_seed_go_in() -> None:
    """One picture a fill, with the wish that was bound; the caller hears of the progress."""
    generator = NullGenerator()
    heard: list[float] = []
    fill = GeneratorInpainter(generator, GenerationOptions("moss", strength=0.8))
    made = fill.fill(picture(), hole(), 5, heard.append)
    (asked,) = generator.asked
    assert (asked.options, asked.seeds, asked.width, asked.height) == (GenerationOptions("moss", strength=0.8), (5,), WIDTH, HEIGHT)
    assert asked.picture is not None
    assert asked.hole is not None
    assert np.array_equal(asked.picture, picture())
    assert np.array_equal(asked.hole, hole())
    assert made.shape == (HEIGHT, WIDTH, 3)
    assert heard


def test_each_fill_s_facts_are_told() -> None:
    """For the record: which rung served, how many steps."""
    told: list[Mapping[str, object]] = []
    fill = GeneratorInpainter(engine("sdxl"), GenerationOptions("moss"), told.append)
    for seed in (1, 2):
        fill.fill(picture(), hole(), seed)
    assert [(facts["ability"], facts["seeds"], facts["memory_fallback"]) for facts in told] == [
        ("inpaint", [1], "as requested"),
        ("inpaint", [2], "as requested"),
    ]


@pytest.mark.parametrize(("family", "ability"), [("flux-fill", "inpaint"), ("sdxl-inpaint", "inpaint"), ("flux-kontext", "inpaint")])
def test_it_is_repeatable(family: str, ability: str) -> None:
    """The same crop, words and seed give the same bytes."""
    fill = GeneratorInpainter(engine(family), GenerationOptions("moss"))
    assert fill.fill(picture(), hole(), 3).tobytes() == fill.fill(picture(), hole(), 3).tobytes()
    assert fill.fill(picture(), hole(), 3).tobytes() != fill.fill(picture(), hole(), 4).tobytes()
