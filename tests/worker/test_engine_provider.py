"""A lane's shop: which engine a step gets, and what the record says of what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import Share
from goldsmith.engines import EngineNeed, Wish
from goldsmith.engines.filling import GeneratedFill
from goldsmith.errors import Problem
from goldsmith.files import Filesystem
from goldsmith.jobs.protocol import LaneContext, LaneSpec
from goldsmith.library.library import Library
from goldsmith.worker.engine_provider import Shop
from goldsmith.worker.results import Scratch
from goldsmith.worker.step_context import LaneBench

CONFIG = Path(__file__).parents[2] / "config" / "models.toml"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A house with an empty models folder: only what needs no weights is to be had."""
    return Shop(LaneContext(models_file=str(CONFIG), weights=str(tmp_path / "weights")), LaneSpec(name="cpu"))


@pytest.fixture
def bench(tmp_path: Path, shop: Shop) -> LaneBench:
    share = Share(tmp_path)
    share.put("inbox/hero.png", b"")
    return LaneBench(
        share.job(), shop, Scratch(tmp_path / "paper", Filesystem()), Library(tmp_path / "library"), {}, lambda fraction, note: None, seed=3
    )


def test_a_model_that_generates_serves_as_an_inpainter_with_its_wish_bound(bench: LaneBench) -> None:
    """The step's words travel with the engine, which works at the square of its native pixel count."""
    wish = Wish("a relaxed left hand", strength=0.9)
    engine = bench.inpainter("null-generate", wish)
    assert isinstance(engine, GeneratedFill)
    assert (engine.wish, engine.descriptor.kind, engine.descriptor.side) == (wish, "inpaint", 256)
    assert bench.engine is not None
    assert (bench.engine["name"], bench.engine["kind"], bench.engine["why"]) == ("null-generate", "inpaint", "asked for by name")


def test_what_each_fill_did_is_on_record_once(bench: LaneBench) -> None:
    """Fills that were made alike are one line."""
    engine = bench.inpainter("null-generate", Wish("moss"))
    pixels, hole = np.full((64, 64, 3), 0.5, np.float32), np.ones((64, 64), np.float32)
    for seed in (5, 6):
        engine.fill(pixels, hole, seed)
    assert bench.engine is not None
    assert bench.engine["fills"] == [{"steps": 1, "batch": 1, "seeds": []}]


def test_every_engine_of_a_step_is_on_record_and_each_once(bench: LaneBench) -> None:
    """The first one is the step's; what it asks for beside that does not take its place, and asking again adds nothing."""
    bench.generator("null-generate", frozenset({"text"}))
    for _ in range(2):
        bench.upscaler("null-x2", 2)
        bench.generator("null-generate", frozenset({"text"}))
    bench.upscaler("null-x4", 4)
    assert bench.engine is not None
    assert bench.engine["name"] == "null-generate"
    also = bench.engine["also"]
    assert isinstance(also, list)
    assert [engine["name"] for engine in also if isinstance(engine, dict)] == ["null-x2", "null-x4"]


def test_asking_for_the_engine_again_keeps_what_its_fills_did(bench: LaneBench) -> None:
    """A set of pictures is filled one after the other."""
    for _ in range(2):
        engine = bench.inpainter("null-generate", Wish("moss"))
        engine.fill(np.full((64, 64, 3), 0.5, np.float32), np.ones((64, 64), np.float32), 5)
    assert bench.engine is not None
    assert bench.engine["fills"] == [{"steps": 1, "batch": 1, "seeds": []}]


def test_words_that_no_engine_here_takes_leave_the_house_s_default(bench: LaneBench) -> None:
    """A brief's prompt is for all its steps: without a model that takes words the hole is filled from its surroundings."""
    engine = bench.inpainter(None, Wish("moss"))
    assert (engine.descriptor.name, engine.descriptor.words) == ("patchmatch", False)


def test_an_unknown_model_is_told_with_the_nearest_name(shop: Shop) -> None:
    """The need for words does not hide what is really wrong."""
    with pytest.raises(Problem, match="The nearest is 'patchmatch'"):
        shop.inpainter(EngineNeed("inpaint", "patchmach", words=True), lambda note: None)
