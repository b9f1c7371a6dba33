"""outpaint: new parts around a picture, and the picture itself bit-identical."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.operation_samples import picture as ground
from doubles.step_context import DetectDouble, NullInpainter, StepContextDouble
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.outpaint import operation
from goldsmith.ops.outpaint.operation import Outpaint
from goldsmith.picture.picture import BitDepth, Mask, Picture, freeze


class _PromptInpainter(NullInpainter):
    """An inpainting engine that takes a prompt."""

    def __init__(self) -> None:
        super().__init__(side=64)
        self.descriptor = replace(self.descriptor, takes_prompt=True)

    def fill(self, pixels, hole, seed, on_progress=lambda fraction: None):  # type: ignore[no-untyped-def]
        filled = super().fill(pixels, hole, seed)
        return filled + np.random.default_rng(seed).uniform(0, 0.05, filled.shape).astype(np.float32)


def _size(result: Picture) -> tuple[int, int]:
    return result.width, result.height


@pytest.mark.parametrize(
    ("settings", "size", "origin"),
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
def test_the_result_has_the_requested_size_and_position(
    settings: dict[str, object], size: tuple[int, int], origin: tuple[int, int]
) -> None:
    """The size is set by aspect, by size, or by sides in px and per cent. The old picture is bit-identical at its position."""
    picture = ground(60, 80)
    step = Outpaint.model_validate(settings)
    context = StepContextDouble()
    result = step.apply(picture, context)
    assert _size(result) == size
    assert step.origin_in_result(picture) == origin
    left, top = origin
    assert np.array_equal(result.pixels[top : top + 60, left : left + 80], picture.pixels)
    assert context.results.findings["placed"] == [left, top, 80, 60]
    assert (context.results.findings["width"], context.results.findings["height"]) == size


@pytest.mark.parametrize("settings", [{"aspect": "4:3"}, {"size": [80, 60]}, {"left": 0, "top": "0%"}])
def test_an_extension_of_zero_px_returns_the_same_picture(settings: dict[str, object]) -> None:
    """No engine is loaded."""
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
def test_contradictory_or_invalid_settings_are_refused_with_the_brief(settings: dict[str, object], sentence: str) -> None:
    """The error gives the reason before any picture is opened."""
    with pytest.raises(ValidationError, match=sentence):
        Outpaint.model_validate(settings)


@pytest.mark.parametrize("size", [(79, 200), (200, 59)])
def test_a_size_smaller_than_the_picture_is_refused(size: tuple[int, int]) -> None:
    """outpaint never crops."""
    with pytest.raises(InputError, match=r"The picture is 80 x 60 px, larger than the"):
        Outpaint(size=size).apply(ground(60, 80), StepContextDouble())


def test_a_result_of_too_many_pixels_is_refused_before_an_engine_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are a number of pixels and sixteen times the picture's area."""
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
    """This holds at 8 and 16 bits, for grey, colour and alpha, with engines of a fixed size and of any size."""
    picture = ground(60, 80, channels, depth, alpha=True)
    result = Outpaint(left=20, right="30%", top=9, bottom=11).apply(picture, StepContextDouble(inpainter=NullInpainter(side=side)))
    old_part = np.s_[9:69, 20:100]
    assert np.array_equal(result.pixels[old_part], picture.pixels)
    assert picture.alpha is not None
    assert result.alpha is not None
    assert np.array_equal(result.alpha[old_part], picture.alpha)
    assert result.channels == channels
    assert result.depth == depth


def test_alpha_continues_from_the_edge() -> None:
    """New pixels are opaque beside an opaque edge and clear beside a clear edge. A picture without alpha gets none."""
    alpha = np.ones((60, 80), np.float32)
    alpha[:30, 70:] = 0
    picture = replace(ground(60, 80), alpha=freeze(alpha))
    result = Outpaint(left=10, right=10).apply(picture, StepContextDouble())
    assert result.alpha is not None
    assert (result.alpha[:, :10] == 1).all()
    assert (result.alpha[:30, 90:] == 0).all()
    assert (result.alpha[30:, 90:] == 1).all()
    assert Outpaint(left=10).apply(ground(60, 80), StepContextDouble()).alpha is None


def test_colours_hidden_under_transparency_are_not_continued() -> None:
    """Under a clear rim lies bright green: the new part continues the visible colour beside it, and the hidden pixels keep their codes."""
    pixels = np.full((60, 80, 3), 0.5, np.float32)
    pixels[:, 60:] = (0, 1, 0)
    alpha = np.ones((60, 80), np.float32)
    alpha[:, 60:] = 0
    picture = Picture(freeze(pixels), alpha=freeze(alpha))
    result = Outpaint(right=20).apply(picture, StepContextDouble())
    assert result.pixels[:, 80:] == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(result.pixels[:, :80], picture.pixels)


def test_masks_move_with_the_picture_and_are_empty_in_the_new_part() -> None:
    """Over the old picture they are unchanged."""
    picture = ground(60, 80)
    picture = replace(picture, masks=MappingProxyType({**picture.masks, "all": freeze(np.ones((60, 80), np.float32))}))
    result = Outpaint(left=10, bottom=5).apply(picture, StepContextDouble())
    for name, mask in picture.masks.items():
        assert np.array_equal(result.masks[name][:60, 10:], mask)
        assert result.masks[name].sum() == mask.sum()


def test_needs_ask_for_an_engine_that_extends_the_canvas() -> None:
    """The engine is the named one or the first default. A step with its own prompt needs an engine that takes prompts."""
    assert Outpaint(aspect="16:9").needs().engines == (EngineNeed(INPAINTER, extends_canvas=True),)
    assert Outpaint(aspect="16:9", model="fill").needs().engines == (EngineNeed(INPAINTER, "fill", extends_canvas=True),)
    assert Outpaint(aspect="16:9", negative="people").needs().engines == (EngineNeed(INPAINTER, needs_prompt=True, extends_canvas=True),)
    context = StepContextDouble(prompt="a quiet lake")
    Outpaint(aspect="16:9", model="fill").apply(ground(60, 80), context)
    assert context.engines.models == ["fill"]
    assert context.engines.options == [GenerationOptions("a quiet lake", extends_canvas=True)]


def test_the_record_says_whether_a_model_generated_the_new_part() -> None:
    """It also says whether the prompt was used, because an engine may ignore the brief's prompt."""
    continued, generated = StepContextDouble(prompt="a lake"), StepContextDouble(prompt="a lake", inpainter=_PromptInpainter())
    Outpaint(aspect="16:9").apply(ground(60, 80), continued)
    Outpaint(aspect="16:9", prompt="reeds", steps=9).apply(ground(60, 80), generated)
    assert (continued.results.findings["generated"], continued.results.findings["prompt"], continued.results.findings["prompt_used"]) == (
        False,
        "a lake",
        False,
    )
    assert (generated.results.findings["generated"], generated.results.findings["prompt"], generated.results.findings["prompt_used"]) == (
        True,
        "reeds",
        True,
    )
    assert generated.engines.options == [GenerationOptions("reeds", steps=9, extends_canvas=True)]
    assert continued.results.findings["note"] == "No generating model is available, so the picture itself was continued."
    assert "note" not in generated.results.findings
    patchmatch = StepContextDouble()
    Outpaint(aspect="16:9", model="patchmatch").apply(ground(60, 80), patchmatch)
    assert patchmatch.results.findings["generated"] is False
    assert "note" not in patchmatch.results.findings
    assert set(continued.results.findings) >= {"windows", "scales", "seam_offset"}


@pytest.mark.parametrize("settings", [{"prompt": "reeds"}, {"negative": "people"}, {"strength": 0.8}, {"steps": 9}, {"guidance": 3.0}])
def test_a_prompt_or_its_settings_are_refused_if_the_engine_takes_no_prompt(settings: dict[str, object]) -> None:
    """The error names the setting and gives a remedy."""
    with pytest.raises(InputError, match=f"null-inpaint uses the picture alone and cannot use {next(iter(settings))}") as caught:
        Outpaint.model_validate({"aspect": "16:9", **settings}).apply(ground(60, 80), StepContextDouble())
    assert "goldsmith models list" in caught.value.remedy


def test_a_cancelled_job_stops_between_two_windows() -> None:
    """The right side is not filled."""
    engine = NullInpainter()
    with pytest.raises(JobCancelled):
        Outpaint(aspect="16:9").apply(ground(60, 80), StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert len(engine.calls) == 1


def test_the_seed_of_the_step_reaches_the_engine() -> None:
    """Each call of the engine has the seed of its step."""
    engine = NullInpainter()
    for seed in (3, 40):
        Outpaint(left=10).apply(ground(60, 80), StepContextDouble(inpainter=engine, seed=seed))
    assert [seed for _, _, seed in engine.calls] == [3, 40]


class _FindsPerson(DetectDouble):
    """Finds what is red."""

    def find(self, word: str, picture: Picture) -> Mask | None:
        red = picture.pixels[..., 0] - picture.pixels[..., 1] > 0.3
        return red.astype(np.float32) if word == "subject" and red.any() else None


def _room(person: slice) -> Picture:
    """Return a textured wall with a person in red in those columns, from row 30 down."""
    noise = np.random.default_rng(8).normal(0, 0.03, (120, 160, 1)).astype(np.float32)
    pixels = np.clip(np.float32([0.5, 0.55, 0.6]) + noise, 0, 1).astype(np.float32)
    pixels[30:, person] = (0.8, 0.1, 0.1)
    return Picture(freeze(np.round(pixels * 255) / np.float32(255)))


def test_the_subject_is_hidden_from_an_engine_that_copies() -> None:
    """Its pixels belong to the hole that the engine gets, and the record says how much of the picture was not continued."""
    engine = NullInpainter()
    context = StepContextDouble(inpainter=engine, detect=_FindsPerson())
    result = Outpaint(left=40).apply(_room(slice(20, 60)), context)
    pixels, hole, _ = engine.calls[0]
    assert (hole > 0)[pixels[..., 0] - pixels[..., 1] > 0.3].all()
    assert not (result.pixels[:, :40, 0] - result.pixels[:, :40, 1] > 0.3).any()
    assert context.results.findings["not_continued"] == pytest.approx(90 * 40 / (120 * 160), abs=0.02)


def test_a_subject_that_a_growing_edge_cuts_holds_the_picture() -> None:
    """Other edges may grow, a named engine continues the edge, and a model that takes a prompt paints the rest."""
    picture = _room(slice(120, 160))

    def apply(step: Outpaint, engine: NullInpainter | None = None) -> Picture:
        return step.apply(picture, StepContextDouble(inpainter=engine, detect=_FindsPerson()))

    with pytest.raises(InputError, match="ends in the subject \\(right\\)"):
        apply(Outpaint(right=30))
    assert _size(apply(Outpaint(left=30))) == (190, 120)
    assert _size(apply(Outpaint(right=30, model="null-inpaint"))) == (190, 120)
    assert _size(apply(Outpaint(right=30), _PromptInpainter())) == (190, 120)


def test_a_vague_subject_holds_nothing() -> None:
    """A matte that is sure nowhere is a part of a landscape."""

    class Vague(DetectDouble):
        def find(self, word: str, picture: Picture) -> Mask | None:
            return np.full((picture.height, picture.width), 0.6, dtype=np.float32) * (np.arange(picture.width) > picture.width // 2)

    result = Outpaint(right=30).apply(_room(slice(0, 0)), StepContextDouble(detect=Vague()))
    assert _size(result) == (190, 120)


def test_without_a_generating_model_an_edge_that_cuts_things_is_remarked() -> None:
    """The new part continues what is there, and no measure tells how well. A model that takes a prompt paints it, so it has no remark."""
    pixels = np.full((200, 300, 3), 0.6, np.float32)
    pixels[80:120, 200:] = 0.1
    copied, generated, smooth = StepContextDouble(), StepContextDouble(inpainter=_PromptInpainter()), StepContextDouble()
    Outpaint.model_validate({"right": 20, "top": 10}).apply(Picture(freeze(pixels)), copied)
    remark = str(copied.results.findings["remark"])
    assert "(right)" in remark
    Outpaint.model_validate({"right": 20}).apply(Picture(freeze(pixels)), generated)
    Outpaint.model_validate({"left": 20}).apply(Picture(freeze(pixels)), smooth)
    assert "remark" not in generated.results.findings
    assert "remark" not in smooth.results.findings
