"""outpaint: more picture round a picture, and the picture itself bit for bit as it was."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.ground import picture as ground
from doubles.step_context import NullInpainter, StepContextDouble
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.outpaint import operation
from goldsmith.ops.outpaint.operation import Outpaint
from goldsmith.picture.picture import BitDepth, Picture, freeze


class _Worded(NullInpainter):
    """An engine that takes words."""

    def __init__(self) -> None:
        super().__init__(side=64)
        self.descriptor = replace(self.descriptor, takes_prompt=True)

    def fill(self, pixels, hole, seed, on_progress=lambda fraction: None):  # type: ignore[no-untyped-def]
        made = super().fill(pixels, hole, seed)
        return made + np.random.default_rng(seed).uniform(0, 0.05, made.shape).astype(np.float32)


def _size(made: Picture) -> tuple[int, int]:
    return made.width, made.height


@pytest.mark.parametrize(
    ("settings", "size", "placed"),
    [
        ({"aspect": "16:9"}, (107, 60), (13, 0)),
        ({"aspect": "1:1"}, (80, 80), (0, 10)),
        ({"aspect": "1.91:1", "anchor": "left"}, (115, 60), (0, 0)),
        ({"aspect": "9 : 16", "anchor": "bottom-right"}, (80, 142), (0, 82)),
        ({"size": [100, 90]}, (100, 90), (10, 15)),
        ({"size": [100, 90], "anchor": "top-left"}, (100, 90), (0, 0)),
        ({"size": [80, 61], "anchor": "bottom"}, (80, 61), (0, 1)),
        ({"left": 7}, (87, 60), (7, 0)),
        ({"left": "10%", "right": "25%", "top": "50%", "bottom": 3}, (108, 93), (8, 30)),
    ],
)
def test_the_picture_comes_to_the_size_asked_for(settings: dict[str, object], size: tuple[int, int], placed: tuple[int, int]) -> None:
    """By aspect, by size, by sides in px and per cent; the old picture stands where it is said to, bit for bit."""
    picture = ground(60, 80)
    step = Outpaint.model_validate(settings)
    context = StepContextDouble()
    made = step.apply(picture, context)
    assert _size(made) == size
    assert step.origin_in_result(picture) == placed
    left, top = placed
    assert np.array_equal(made.pixels[top : top + 60, left : left + 80], picture.pixels)
    assert context.results.findings["placed"] == [left, top, 80, 60]
    assert (context.results.findings["width"], context.results.findings["height"]) == size


@pytest.mark.parametrize("settings", [{"aspect": "4:3"}, {"size": [80, 60]}, {"left": 0, "top": "0%"}])
def test_nothing_to_add_is_no_work(settings: dict[str, object]) -> None:
    """The very picture comes back and no engine is loaded."""
    picture, context = ground(60, 80), StepContextDouble()
    assert Outpaint.model_validate(settings).apply(picture, context) is picture
    assert context.engines.models == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "give one of aspect, size and the sides .* none is given"),
        ({"aspect": "16:9", "size": [100, 100]}, "aspect and size are given"),
        ({"aspect": "16:9", "left": 3}, "aspect and left are given"),
        ({"size": [100, 100], "top": "3%", "bottom": 4}, "size and top are given"),
        ({"left": 3, "anchor": "right"}, "the position is fixed"),
        ({"aspect": "wide"}, 'write it as "16:9"'),
        ({"aspect": "0:9"}, "from 1:20 to 20:1"),
        ({"aspect": "9:0"}, "from 1:20 to 20:1"),
        ({"aspect": "100:1"}, "from 1:20 to 20:1"),
        *[
            ({"left": wrong}, 'left\n.*a share of the side such as "20%"')
            for wrong in ("20", -1, 2.5, True, "-3%", "20 px", "1000%", 30001)
        ],
        ({"size": [0, 10]}, "size"),
        ({"aspect": "16:9", "strength": 0}, "strength"),
        ({"aspect": "16:9", "context": 9}, "context"),
        ({"aspect": "16:9", "blend": -1}, "blend"),
        ({"aspect": "16:9", "anchor": "middle"}, "anchor"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_brief_is_read(settings: dict[str, object], sentence: str) -> None:
    """Before anything is opened, with the reason."""
    with pytest.raises(ValidationError, match=sentence):
        Outpaint.model_validate(settings)


@pytest.mark.parametrize("size", [(79, 200), (200, 59)])
def test_a_size_that_would_cut_off_is_a_problem(size: tuple[int, int]) -> None:
    """outpaint only ever adds."""
    with pytest.raises(InputError, match=r"The picture is 80 x 60 px, larger than the"):
        Outpaint(size=size).apply(ground(60, 80), StepContextDouble())


def test_giants_are_refused_before_any_engine_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit, and more than sixteen times the picture."""
    context = StepContextDouble()
    with pytest.raises(InputError, match="the limits are 128 million and 16 times the picture's area"):
        Outpaint(size=(800, 600)).apply(ground(60, 80), context)
    monkeypatch.setattr(operation, "MAX_PIXELS", 6000)
    with pytest.raises(InputError, match="80 x 60 px would become 107 x 60 px"):
        Outpaint(aspect="16:9").apply(ground(60, 80), context)
    assert context.engines.models == []


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [0, 64])
def test_every_kind_of_picture_keeps_its_codes(depth: BitDepth, channels: int, side: int) -> None:
    """8 and 16 bit, grey and colour, alpha included, with engines of one size and of any."""
    picture = ground(60, 80, channels, depth, alpha=True)
    made = Outpaint(left=20, right="30%", top=9, bottom=11).apply(picture, StepContextDouble(inpainter=NullInpainter(side=side)))
    old = np.s_[9:69, 20:100]
    assert np.array_equal(made.pixels[old], picture.pixels)
    assert picture.alpha is not None
    assert made.alpha is not None
    assert np.array_equal(made.alpha[old], picture.alpha)
    assert made.channels == channels
    assert made.depth == depth


def test_alpha_goes_on_as_it_is_at_the_edge() -> None:
    """Opaque beside an opaque edge, clear beside a clear one; a picture without alpha gets none."""
    alpha = np.ones((60, 80), np.float32)
    alpha[:30, 70:] = 0
    picture = replace(ground(60, 80), alpha=freeze(alpha))
    made = Outpaint(left=10, right=10).apply(picture, StepContextDouble())
    assert made.alpha is not None
    assert (made.alpha[:, :10] == 1).all()
    assert (made.alpha[:30, 90:] == 0).all()
    assert (made.alpha[30:, 90:] == 1).all()
    assert Outpaint(left=10).apply(ground(60, 80), StepContextDouble()).alpha is None


def test_colours_hidden_under_transparency_are_not_carried_on() -> None:
    """Bright green under a clear rim: the engine is shown the colour beside it, the hidden pixels keep their codes."""
    pixels = np.full((60, 80, 3), 0.5, np.float32)
    pixels[:, 60:] = (0, 1, 0)
    alpha = np.ones((60, 80), np.float32)
    alpha[:, 60:] = 0
    picture = Picture(freeze(pixels), alpha=freeze(alpha))
    made = Outpaint(right=20).apply(picture, StepContextDouble())
    assert made.pixels[:, 80:] == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(made.pixels[:, :80], picture.pixels)


def test_masks_travel_and_are_empty_in_what_is_added() -> None:
    """Where the old picture stands they are what they were."""
    picture = ground(60, 80)
    picture = replace(picture, masks=MappingProxyType({**picture.masks, "all": freeze(np.ones((60, 80), np.float32))}))
    made = Outpaint(left=10, bottom=5).apply(picture, StepContextDouble())
    for name, mask in picture.masks.items():
        assert np.array_equal(made.masks[name][:60, 10:], mask)
        assert made.masks[name].sum() == mask.sum()


def test_an_engine_for_what_lies_beyond_the_edge_is_asked_for() -> None:
    """The engine is named, or the first default is taken; a step with its own prompt needs an engine that takes prompts."""
    assert Outpaint(aspect="16:9").needs().engines == (EngineNeed(INPAINTER, extends_canvas=True),)
    assert Outpaint(aspect="16:9", model="fill").needs().engines == (EngineNeed(INPAINTER, "fill", extends_canvas=True),)
    assert Outpaint(aspect="16:9", negative="people").needs().engines == (EngineNeed(INPAINTER, needs_prompt=True, extends_canvas=True),)
    context = StepContextDouble(prompt="a quiet lake")
    Outpaint(aspect="16:9", model="fill").apply(ground(60, 80), context)
    assert context.engines.models == ["fill"]
    assert context.engines.options == [GenerationOptions("a quiet lake", extends_canvas=True)]


def test_the_record_says_whether_a_model_made_it_up() -> None:
    """And whether the words were heard: the brief's prompt may be left aside, and then nobody should believe it was not."""
    free, worded = StepContextDouble(prompt="a lake"), StepContextDouble(prompt="a lake", inpainter=_Worded())
    Outpaint(aspect="16:9").apply(ground(60, 80), free)
    Outpaint(aspect="16:9", prompt="reeds", steps=9).apply(ground(60, 80), worded)
    assert (free.results.findings["generated"], free.results.findings["prompt"], free.results.findings["prompt_used"]) == (
        False,
        "a lake",
        False,
    )
    assert (worded.results.findings["generated"], worded.results.findings["prompt"], worded.results.findings["prompt_used"]) == (
        True,
        "reeds",
        True,
    )
    assert worded.engines.options == [GenerationOptions("reeds", steps=9, extends_canvas=True)]
    assert free.results.findings["note"] == "No generating model is available, so the picture itself was continued."
    assert "note" not in worded.results.findings
    named = StepContextDouble()
    Outpaint(aspect="16:9", model="patchmatch").apply(ground(60, 80), named)
    assert named.results.findings["generated"] is False
    assert "note" not in named.results.findings
    assert set(free.results.findings) >= {"windows", "scales", "seam_offset"}


@pytest.mark.parametrize("words", [{"prompt": "reeds"}, {"negative": "people"}, {"strength": 0.8}, {"steps": 9}, {"guidance": 3.0}])
def test_words_of_the_step_s_own_are_never_left_aside(words: dict[str, object]) -> None:
    """An engine that goes by the picture alone is refused, with both remedies."""
    with pytest.raises(InputError, match=f"null-inpaint uses the picture alone and cannot use {next(iter(words))}") as told:
        Outpaint.model_validate({"aspect": "16:9", **words}).apply(ground(60, 80), StepContextDouble())
    assert "goldsmith models list" in told.value.remedy


def test_a_withdrawn_job_stops_between_two_windows() -> None:
    """The right side is never made."""
    engine = NullInpainter()
    with pytest.raises(JobCancelled):
        Outpaint(aspect="16:9").apply(ground(60, 80), StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert len(engine.asked) == 1


def test_another_seed_asks_the_engine_with_another_seed() -> None:
    """The step's seed reaches the engine."""
    engine = NullInpainter()
    for seed in (3, 40):
        Outpaint(left=10).apply(ground(60, 80), StepContextDouble(inpainter=engine, seed=seed))
    assert [seed for _, _, seed in engine.asked] == [3, 40]
