"""upscale enlarges a picture, keeps its colours, alpha and masks, and shows no tiles."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from doubles.step_context import EnginesDouble, NullUpscaler, StepContextDouble
from goldsmith.engines.kinds import UPSCALER
from goldsmith.engines.protocols import Engine, EngineNeed, GenerationOptions
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.upscale.operation import MAX_PIXELS, Upscale
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.smoothing import gaussian_blur


def _picture(height: int = 96, width: int = 128, channels: int = 3, depth: BitDepth = 8, alpha: Mask | None = None) -> Picture:
    random = np.random.default_rng(2)
    tones = gaussian_blur(random.random((height, width, channels), dtype=np.float32), 3)
    tones = np.clip((tones - tones.min()) / max(float(tones.max() - tones.min()), 1e-3), 0.02, 0.98)
    levels = np.float32(2**depth - 1)
    mask = np.zeros((height, width), dtype=np.float32)
    mask[: height // 2, : width // 2] = 1
    return Picture(
        freeze(np.round(tones * levels) / levels),
        alpha=None if alpha is None else freeze(alpha),
        depth=depth,
        ppi=(300, 300),
        masks=MappingProxyType({"mask": freeze(mask)}),
    )


class _ShiftingUpscaler(NullUpscaler):
    """A network with a colour cast that differs from tile to tile, and a texture of its own."""

    def enlarge(self, tile: Pixels) -> Pixels:
        larger = super().enlarge(tile)
        texture = np.indices(larger.shape[:2]).sum(axis=0)[..., None] % 2 * 0.02 - 0.01
        cast = np.array([0.03, -0.02, 0.04]) * (1 + len(self.calls) % 3)
        return (larger * 0.97 + cast + texture).astype(np.float32)


class _FlatUpscaler(NullUpscaler):
    """A net that smooths everything away."""

    def enlarge(self, tile: Pixels) -> Pixels:
        return np.full_like(super().enlarge(tile), 0.5)


def _blocks(pixels: Pixels, side: int) -> np.ndarray:
    height, width = pixels.shape[0] // side * side, pixels.shape[1] // side * side
    return pixels[:height, :width].reshape(height // side, side, width // side, side, -1).mean(axis=(1, 3))


@pytest.mark.parametrize("factor", [1.5, 2, 3, 3.3, 4])
def test_size_alpha_and_masks_grow_together(factor: float) -> None:
    """Pixels, alpha and masks have the new size; ppi does not change."""
    picture = _picture(37, 53, alpha=np.full((37, 53), 0.5, dtype=np.float32))
    result = Upscale(factor=factor).apply(picture, StepContextDouble())
    assert (result.height, result.width) == (round(37 * factor), round(53 * factor))
    assert result.alpha is not None
    assert result.alpha.shape == result.masks["mask"].shape == (result.height, result.width)
    assert result.ppi == (300, 300)
    assert result.masks["mask"].mean() == pytest.approx(picture.masks["mask"].mean(), abs=0.02)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_colour_of_every_region_is_kept(factor: int) -> None:
    """Means of all 32 px blocks stay within half a code of 255, for an engine with a varying cast."""
    picture = _picture()
    result = Upscale(factor=factor).apply(picture, StepContextDouble(upscaler=_ShiftingUpscaler(factor, side=48, pad=8)))
    assert np.abs(_blocks(result.pixels, 32 * factor) - _blocks(picture.pixels, 32)).max() < 0.5 / 255


def test_the_detail_of_the_engine_is_kept() -> None:
    """Corrections are coarse: the network's texture remains."""
    result = Upscale(factor=2).apply(_picture(), StepContextDouble(upscaler=_ShiftingUpscaler(2)))
    assert float(np.abs(np.diff(result.pixels[:, :, 0], axis=1)).mean()) > 0.015


def test_a_fraction_uses_the_engine_of_the_next_whole_factor() -> None:
    """1.2 uses an engine for 2, 2.5 an engine for 3, and 3.3 an engine for 4."""
    factors: list[int] = []

    class Engines(EnginesDouble):
        def engine_for(self, need: EngineNeed[Any], options: GenerationOptions | None) -> Engine:
            factors.append(need.factor)
            return super().engine_for(need, options)

    for factor in (1.2, 2, 2.5, 3.3):
        Upscale(factor=factor).apply(_picture(20, 20), StepContextDouble(engines=Engines()))
    assert factors == [2, 2, 3, 4]


def test_an_engine_for_four_can_be_used_for_two() -> None:
    """Results are averaged in linear light: a black-and-white weave has its visual brightness, not the mean of its codes."""

    class Weave(NullUpscaler):
        def enlarge(self, tile: Pixels) -> Pixels:
            larger = super().enlarge(tile)
            return np.broadcast_to((np.indices(larger.shape[:2]).sum(axis=0) % 2)[..., None], larger.shape).astype(np.float32)

    picture = Picture(freeze(np.full((32, 32, 3), 0.5, dtype=np.float32)))
    result = Upscale(factor=2, mix=1, grain=0).apply(picture, StepContextDouble(upscaler=Weave(4)))
    assert float(result.pixels[20:40, 20:40].mean()) == pytest.approx(0.735, abs=0.02)


def test_an_engine_that_enlarges_too_little_is_refused() -> None:
    """Models for x2 cannot do 4: the message gives both numbers."""
    with pytest.raises(InputError, match=r"enlarges 2 times, but factor is 4"):
        Upscale(factor=4, model="x2").apply(_picture(), StepContextDouble(upscaler=NullUpscaler(2)))


def test_a_result_that_is_too_large_is_refused_before_any_work() -> None:
    """InputError is raised instead of running out of memory."""
    side = int((MAX_PIXELS / 16) ** 0.5) + 2
    huge = Picture(np.broadcast_to(np.float32(0), (side, side, 3)))
    context = StepContextDouble()
    with pytest.raises(InputError, match="the limit is 128 million"):
        Upscale(factor=4).apply(huge, context)
    assert context.engines.models == []


def test_factor_one_returns_the_same_picture() -> None:
    """Factor 1 needs no engine."""
    picture = _picture()
    assert Upscale(factor=1).apply(picture, StepContextDouble()) is picture
    assert Upscale(factor=1).needs().engines == ()
    assert Upscale(factor=2, model="m").needs().engines == (EngineNeed(UPSCALER, "m", factor=2),)


@pytest.mark.parametrize("factor", [0, 0.5, 4.1, 1e9, -2])
def test_factors_out_of_range_are_refused(factor: float) -> None:
    """Factors are 1 to 4."""
    with pytest.raises(ValidationError):
        Upscale(factor=factor)


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_stays_grey_and_sixteen_bits_stay_sixteen(depth: BitDepth) -> None:
    """Grey pictures keep one channel, and 16 bits keep their fine steps."""
    result = Upscale(factor=2).apply(_picture(channels=1, depth=depth), StepContextDouble())
    assert (result.channels, result.depth) == (1, depth)
    assert len(np.unique(result.to_codes())) > (2000 if depth == 16 else 100)


def test_hidden_colours_do_not_bleed_into_the_edge() -> None:
    """White shapes whose transparent pixels are black stay white up to the visible edge."""
    alpha = np.zeros((48, 48), dtype=np.float32)
    alpha[12:36, 12:36] = 1
    pixels = np.repeat(alpha[..., None], 3, axis=2)

    class Blurring(NullUpscaler):
        def enlarge(self, tile: Pixels) -> Pixels:
            return gaussian_blur(super().enlarge(tile), 2)

    result = Upscale(factor=2, mix=1).apply(Picture(freeze(pixels), alpha=freeze(alpha)), StepContextDouble(upscaler=Blurring(2)))
    assert result.alpha is not None
    assert result.pixels[result.alpha > 0.02].min() > 0.98
    assert result.alpha[48, 48] == 1
    assert result.alpha[2, 2] == 0


def test_an_opaque_alpha_is_not_sent_to_the_engine() -> None:
    """Alpha of ones stays ones."""
    engine = NullUpscaler(2)
    result = Upscale(factor=2).apply(_picture(20, 20, alpha=np.ones((20, 20), dtype=np.float32)), StepContextDouble(upscaler=engine))
    assert len(engine.calls) == 1
    assert result.alpha is not None
    assert np.all(result.alpha == 1)


def test_a_cancelled_job_stops_between_two_tiles() -> None:
    """Progress is reported for each tile."""
    engine = NullUpscaler(2, side=48, pad=8)
    with pytest.raises(JobCancelled):
        Upscale(factor=2).apply(_picture(), StepContextDouble(upscaler=engine, cancel_at=0.3))
    assert 0 < len(engine.calls) < 8


class _PhotographsMissing(EnginesDouble):
    """Has nets for drawings only, and keeps what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool | None] = []

    def engine_for(self, need: EngineNeed[Any], options: GenerationOptions | None) -> Engine:
        self.asked.append(need.is_drawing)
        if need.is_drawing is False:
            raise InputError("No model for enlarging photographs x3 has its weights on this machine.", "Run: goldsmith models fetch big.")
        return super().engine_for(need, options)


def _drawing() -> Picture:
    return Picture(freeze(np.repeat(np.repeat(np.random.default_rng(1).random((6, 8, 3), dtype=np.float32), 16, axis=0), 16, axis=1)))


def test_a_photograph_never_gets_a_net_for_drawings_by_default() -> None:
    """If only nets for drawings are here, a photograph is refused with the weights to fetch and with `method`; a drawing is enlarged."""
    photograph = Picture(freeze(data.chelsea()[:96, :128].astype(np.float32) / np.float32(255)))
    engines = _PhotographsMissing()
    with pytest.raises(InputError, match="photographs x3") as caught:
        Upscale(factor=3).apply(photograph, StepContextDouble(engines=engines))
    assert "models fetch big" in caught.value.remedy
    assert 'method = "lanczos"' in caught.value.remedy
    context = StepContextDouble(engines=engines)
    assert Upscale(factor=3).apply(_drawing(), context).width == 3 * 128
    assert context.results.findings["content"] == "drawing"
    Upscale(factor=3, method="drawing").apply(photograph, StepContextDouble(engines=engines))
    Upscale(factor=3, model="by-name").apply(photograph, StepContextDouble(engines=engines))
    assert engines.asked == [False, True, True, None]


def test_a_method_is_its_own_need() -> None:
    """auto needs any upscaler until the picture is seen, photograph and drawing need their own, lanczos and mix = 0 need none."""
    needs = [Upscale(factor=3, method=method).needs().engines for method in ("auto", "photograph", "drawing")]
    assert [need.is_drawing for (need,) in needs] == [None, False, True]
    assert Upscale(factor=3, method="lanczos").needs().engines == ()
    assert Upscale(factor=3, mix=0).needs().engines == ()
    with pytest.raises(ValidationError, match="model names the net"):
        Upscale(model="m", method="drawing")


def test_lanczos_equals_resizing_the_picture() -> None:
    """Without a net the result is that of Pillow's Lanczos filter in linear light, with alpha and masks."""
    picture = _picture(37, 53, alpha=np.full((37, 53), 0.5, dtype=np.float32))
    context = StepContextDouble()
    result = Upscale(factor=2, method="lanczos").apply(picture, context)
    expected = resize_picture(picture, 74, 106)
    assert np.array_equal(result.pixels, expected.pixels)
    assert result.alpha is not None
    assert result.masks["mask"].shape == (74, 106)
    assert context.engines.models == []


def test_mix_blends_the_net_with_the_plain_enlargement() -> None:
    """Half a mix lies half-way between the net's pixels and Lanczos; 1 is the net alone."""
    picture = _picture()
    net, half = (
        Upscale(factor=2, mix=mix, grain=0).apply(picture, StepContextDouble(upscaler=_ShiftingUpscaler(2))).pixels for mix in (1, 0.5)
    )
    plain = Upscale(factor=2, method="lanczos").apply(picture, StepContextDouble()).pixels
    assert np.abs(half - (net + plain) / 2).max() < 1e-5
    assert np.abs(net - plain).max() > 0.01


def test_the_strokes_of_a_drawing_are_not_taken_for_grain() -> None:
    """A measured drawing gets no grain, however fine its strokes; with ``method`` it is not measured and gets what is set."""
    strokes = np.repeat(np.random.default_rng(1).random((64, 64, 1), dtype=np.float32).round(), 3, axis=2)
    picture = Picture(freeze(0.25 + strokes / 2))
    added = []
    for method in ("auto", "drawing"):
        context = StepContextDouble(upscaler=_FlatUpscaler(2))
        Upscale(factor=2, method=method).apply(picture, context)
        added.append(context.results.findings.get("grain", 0.0))
    assert added[0] == 0.0
    assert added[1] > 0.01


def test_grain_that_the_plain_enlargement_brings_is_not_added_again() -> None:
    """With little of the net, next to no grain is put back, since the Lanczos filter keeps the picture's own."""
    noise = np.random.default_rng(3).normal(0, 0.02, (96, 128, 1)).astype(np.float32)
    picture = Picture(freeze(np.repeat(0.5 + noise, 3, axis=2)))
    added = []
    for mix in (0.05, 0.5, 1):
        context = StepContextDouble(upscaler=_FlatUpscaler(2))
        Upscale(factor=2, mix=mix, method="photograph", grain=1).apply(picture, context)
        added.append(context.results.findings["grain"])
    assert added == pytest.approx([0.02 * (1 - 0.95**2) ** 0.5, 0.02 * (1 - 0.5**2) ** 0.5, 0.02], rel=0.15)
