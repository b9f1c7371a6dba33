"""Stitching: nothing changes outside the mask, and its edge shows no seam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.step_context import NullInpainter
from goldsmith.errors import InputError
from goldsmith.picture.companion import Companion
from goldsmith.picture.crop_and_stitch import OnProgress, StitchOptions, StitchResult, stitch
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze

OPTIONS = StitchOptions(grow=4, feather=0, context=0.5, side=64, multiple=1, seed=0)


def _picture(height: int = 80, width: int = 100, channels: int = 3, depth: BitDepth = 8, seed: int = 0) -> Picture:
    levels = 2**depth - 1
    codes = np.random.default_rng(seed).integers(0, levels + 1, (height, width, channels))
    return Picture(freeze((codes / levels).astype(np.float32)), depth=depth)


def _mask(picture: Picture, *box: int) -> Mask:
    mask = np.zeros((picture.height, picture.width), dtype=np.float32)
    mask[CropBox(*box).window] = 1
    return mask


def _stitch(picture: Picture, mask: Mask, fill: object = None, options: StitchOptions = OPTIONS) -> StitchResult:
    return stitch(picture, mask, fill or NullInpainter().fill, options, lambda fraction: None)  # type: ignore[arg-type]


def _fill_white(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
    return np.ones_like(pixels)


def _ramp(height: int, width: int) -> Pixels:
    across = np.linspace(0.2, 0.7, width, dtype=np.float32)
    return np.broadcast_to(across[None, :, None], (height, width, 3)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([8, 16]), st.sampled_from([1, 3]), st.integers(0, 9), st.integers(0, 5), st.sampled_from([0, 16, 64]))
def test_no_code_changes_where_the_mask_is_zero(
    data: st.DataObject, depth: BitDepth, channels: int, grow: int, feather: int, side: int
) -> None:
    """Pixels outside the mask keep their codes for an engine that returns white, and for any soft mask, size, grow and feather."""
    height, width = data.draw(st.integers(1, 53)), data.draw(st.integers(2, 53))
    picture = _picture(height, width, channels, depth)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    mask = np.where(random.random((height, width)) < data.draw(st.floats(0.01, 0.9)), random.random((height, width)), 0).astype(np.float32)
    mask[0, 0] = 0
    mask[-1, -1] = 1
    result = _stitch(picture, mask, _fill_white, replace(OPTIONS, grow=grow, feather=feather, side=side))
    outside = mask == 0
    assert np.array_equal(result.pixels[outside], picture.pixels[outside])
    assert (result.outside_pixels, result.outside_changed) == (int(outside.sum()), 0)
    assert result.pixels.min() >= 0
    assert result.pixels.max() <= 1


def test_the_hole_is_filled() -> None:
    """Under a mask of 1 the result is the engine's fill."""
    picture = Picture(freeze(np.zeros((80, 100, 3), dtype=np.float32)))
    mask = _mask(picture, 20, 20, 50, 50)
    result = _stitch(picture, mask, _fill_white, replace(OPTIONS, grow=0))
    assert result.pixels[mask > 0] == pytest.approx(1, abs=1e-5)


def test_a_mask_of_one_half_mixes_picture_and_fill_equally() -> None:
    """The formula is picture * (1 - m) + fill * m."""
    picture = Picture(freeze(np.zeros((80, 100, 3), dtype=np.float32)))
    result = _stitch(picture, _mask(picture, 20, 20, 50, 50) * np.float32(0.5), _fill_white, replace(OPTIONS, grow=0))
    assert result.pixels[30, 30] == pytest.approx(0.5, abs=1e-6)


def test_the_source_picture_is_not_changed() -> None:
    """Source arrays are read-only, and the result has its own array."""
    picture = _picture()
    before = picture.pixels.copy()
    _stitch(picture, _mask(picture, 20, 20, 50, 50))
    assert np.array_equal(picture.pixels, before)


def test_the_engine_never_sees_masked_pixels_as_known() -> None:
    """Holes contain the grown mask in every crop, including the masks of other regions that are not filled yet."""
    picture = _picture(96, 250)
    mask = _mask(picture, 20, 20, 30, 30) + _mask(picture, 20, 200, 30, 210)
    engine = NullInpainter(side=96)
    _stitch(picture, mask, engine.fill, replace(OPTIONS, side=96))
    assert [int((hole > 0).sum()) >= 18 * 18 - 40 for _, hole, _ in engine.calls] == [True, True]
    assert [crop.shape for crop, _, _ in engine.calls] == [(96, 96, 3)] * 2


def test_grow_enlarges_the_hole_for_the_engine_only() -> None:
    """``grow`` does not enlarge the part of the picture that is replaced."""
    picture = Picture(freeze(np.zeros((64, 64, 3), dtype=np.float32)))
    mask = _mask(picture, 30, 30, 34, 34)
    engine = NullInpainter(side=64)
    result = _stitch(picture, mask, engine.fill, replace(OPTIONS, grow=6))
    assert int((engine.calls[0][1] > 0).sum()) > 100
    assert int((result.pixels != picture.pixels).any(axis=2).sum()) == 0
    assert result.outside_pixels == 64 * 64 - 16


def test_an_engine_with_a_tone_error_leaves_no_seam() -> None:
    """Fills that are 0.1 too dark with a colour cast are corrected: the ramp continues through the hole."""
    picture = Picture(freeze(_ramp(96, 128)))
    mask = _mask(picture, 30, 40, 70, 90)

    def fill_too_dark(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.clip(
            _ramp(128, 128)[: pixels.shape[0], : pixels.shape[1]] * 0 + picture.pixels.mean() - np.float32([0.1, 0.05, 0.12]), 0, 1
        )

    result = _stitch(picture, mask, fill_too_dark, replace(OPTIONS, side=0, grow=6))
    edge = np.abs(result.pixels - picture.pixels).max(axis=2)[mask > 0]
    assert edge.max() < 0.03
    assert result.seam_offset > 0.03


def test_a_rim_of_the_removed_object_does_not_affect_the_fill() -> None:
    """Dark lines just outside the mask do not count as a difference of tone, so the fill stays bright."""
    pixels = np.full((96, 96, 3), 0.8, dtype=np.float32)
    pixels[30:66, 30:66] = 0.1
    picture = Picture(freeze(pixels))
    mask = _mask(picture, 31, 31, 65, 65)

    def fill_brightly(crop: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.full_like(crop, 0.8)

    result = _stitch(picture, mask, fill_brightly, replace(OPTIONS, side=96, grow=8))
    assert result.pixels[mask > 0].min() > 0.75


def test_a_fill_generated_at_a_smaller_size_gets_the_grain_of_the_picture() -> None:
    """Noise inside the fill is as strong as outside, within a third; a smooth fill would be visible."""
    noise = np.random.default_rng(3).normal(0.5, 0.012, (200, 200, 1)).astype(np.float32)
    picture = Picture(freeze(np.repeat(noise, 3, axis=2)))
    mask = _mask(picture, 50, 50, 150, 150)
    result = _stitch(picture, mask, options=replace(OPTIONS, side=64))
    assert result.scales[0] < 0.5
    assert float(result.pixels[60:140, 60:140, 0].std()) == pytest.approx(0.012, rel=0.34)


def test_a_smooth_picture_gets_no_grain() -> None:
    """Grain is added only if the surroundings have grain."""
    picture = Picture(freeze(_ramp(128, 128)))
    result = _stitch(picture, _mask(picture, 40, 40, 90, 90), options=replace(OPTIONS, side=64))
    inside = result.pixels[45:85, 45:85]
    assert float(np.abs(np.diff(inside, n=2, axis=0)).max()) < 2e-3


def test_a_fill_in_a_16_bit_picture_is_finer_than_8_bits() -> None:
    """A fill of 8-bit codes gets more than a thousand values in the result."""
    picture = Picture(freeze(_ramp(96, 96)), depth=16)

    def fill_in_8_bits(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.round(_ramp(*pixels.shape[:2]) * 255).astype(np.float32) / np.float32(255)

    result = _stitch(picture, _mask(picture, 20, 20, 76, 76), fill_in_8_bits, replace(OPTIONS, side=96))
    assert len(np.unique(np.round(result.pixels[30:60, 30:60] * 65535))) > 1000


def test_feather_rises_inwards_and_spares_thin_strokes() -> None:
    """Edges of a wide hole are softened; a scratch of two pixels is still replaced completely."""
    picture = Picture(freeze(np.zeros((64, 64, 3), dtype=np.float32)))
    options = replace(OPTIONS, grow=0, feather=4)
    wide_row = _stitch(picture, _mask(picture, 20, 20, 50, 50), _fill_white, options).pixels[35, :, 0]
    assert 0 < wide_row[20] < wide_row[22] < wide_row[35] == 1
    thin_stroke = _stitch(picture, _mask(picture, 20, 5, 22, 60), _fill_white, options).pixels[20:22, 20:40]
    assert np.all(thin_stroke == 1)


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (70, 0, 80, 100), (0, 0, 80, 1), (79, 99, 80, 100), (0, 0, 79, 100), (40, 40, 41, 41)])
def test_holes_of_any_size_and_position_are_filled(box: tuple[int, ...]) -> None:
    """Holes at the border, tiny holes and huge holes get finite numbers only."""
    picture = _picture()
    mask = _mask(picture, *box)
    result = _stitch(picture, mask, NullInpainter().fill, OPTIONS)
    assert np.isfinite(result.pixels).all()
    assert (result.pixels[mask > 0] != picture.pixels[mask > 0]).any()
    assert result.outside_changed == 0


def test_a_mask_over_the_whole_picture_is_refused() -> None:
    """InputError is raised, because no known pixel is left."""
    picture = _picture()
    with pytest.raises(InputError, match="covers the whole picture"):
        _stitch(picture, np.ones((80, 100), dtype=np.float32))


def test_an_engine_that_returns_nan_is_refused() -> None:
    """InputError is raised before NaN gets into a picture."""
    picture = _picture()
    with pytest.raises(InputError, match="no numbers"):
        _stitch(picture, _mask(picture, 5, 5, 9, 9), lambda pixels, hole, seed, step: pixels * np.float32("nan"))


@pytest.mark.parametrize(("side", "multiple"), [(64, 1), (0, 8), (0, 1)])
def test_crops_have_the_side_or_multiple_of_the_engine(side: int, multiple: int) -> None:
    """Crops have the engine's square size or a multiple of its step; smaller crops are padded by mirroring."""
    picture = _picture(37, 53)
    engine = NullInpainter()
    _stitch(picture, _mask(picture, 5, 5, 9, 9), engine.fill, replace(OPTIONS, side=side, multiple=multiple))
    shape = engine.calls[0][0].shape
    assert shape[:2] == (64, 64) if side else (shape[0] % multiple, shape[1] % multiple) == (0, 0)


def test_the_same_seed_gives_the_same_pixels() -> None:
    """Grain and dither depend on the seed only."""
    picture = _picture(depth=16)
    mask = _mask(picture, 20, 20, 60, 60)
    first, second, other = (_stitch(picture, mask, options=replace(OPTIONS, seed=seed)).pixels for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_progress_is_reported_before_every_crop() -> None:
    """The callback may raise, so a cancelled job stops between two crops."""
    picture = _picture(64, 300)
    reports: list[float] = []
    stitch(picture, _mask(picture, 5, 5, 9, 9) + _mask(picture, 5, 275, 9, 285), NullInpainter().fill, OPTIONS, reports.append)
    assert reports == [0.0, 0.5]


def test_hidden_pixels_are_kept_and_not_shown_to_the_engine() -> None:
    """Hidden pixels are part of the engine's hole, do not affect the tone of the fill, and keep every bit."""
    pixels = np.full((100, 140, 3), 0.5, np.float32)
    pixels[:, 60:80] = (1, 0, 0)
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)))
    mask, hidden = np.zeros((100, 140), np.float32), np.zeros((100, 140), np.float32)
    mask[30:70, 30:60], hidden[:, 60:80] = 1, 1
    engine = NullInpainter()
    result = stitch(picture, mask, engine.fill, OPTIONS, lambda fraction: None, hidden_mask=hidden)
    assert not (engine.calls[0][0][engine.calls[0][1] < 0.5][:, 0] > 0.9).any()
    assert result.pixels[30:70, 30:60] == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(result.pixels[mask == 0], picture.pixels[mask == 0])
    assert result.outside_changed == 0


def test_hidden_pixels_are_shown_if_nothing_else_is_left() -> None:
    """Engines need some known pixels, so here hidden pixels count as known."""
    pixels = np.full((60, 60, 3), 0.5, np.float32)
    mask, hidden = np.zeros((60, 60), np.float32), np.ones((60, 60), np.float32)
    mask[20:40, 20:40] = 1
    engine = NullInpainter()
    stitch(Picture(freeze(pixels)), mask, engine.fill, OPTIONS, lambda fraction: None, hidden_mask=hidden)
    assert (engine.calls[0][1] < 0.5).any()


@pytest.mark.parametrize(("side", "multiple", "enlarges"), [(64, 8, True), (32, 8, False), (0, 16, False)])
def test_the_part_of_a_companion_has_the_place_and_the_size_of_the_crop(side: int, multiple: int, enlarges: bool) -> None:
    """Check a companion that is the picture itself: outside the hole each part is what the engine gets, enlarged, reduced and padded."""
    picture = Picture(freeze(_ramp(80, 100)))
    mask = np.maximum(_mask(picture, 10, 8, 22, 20), _mask(picture, 60, 80, 70, 92))
    parts: list[Pixels] = []
    crops: list[Pixels] = []

    def keep_crop(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        crops.append(pixels)
        return pixels

    options = replace(OPTIONS, side=side, multiple=multiple, enlarges=enlarges)
    stitch(picture, mask, keep_crop, options, lambda fraction: None, companion=Companion(picture.pixels, parts.append))
    assert len(parts) == len(crops) > 0
    for part, crop in zip(parts, crops, strict=True):
        np.testing.assert_allclose(part, crop, atol=0.01)  # the first fill has been scaled twice
