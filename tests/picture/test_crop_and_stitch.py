"""The stitch: nothing changes outside the mask, and no seam shows at its edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.step_context import NullInpainter
from goldsmith.errors import InputError
from goldsmith.picture.crop_and_stitch import OnProgress, StitchOptions, StitchResult, stitch
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze

MANNER = StitchOptions(grow=4, feather=0, context=0.5, side=64, multiple=1, seed=0)


def _plate(height: int = 80, width: int = 100, channels: int = 3, depth: BitDepth = 8, seed: int = 0) -> Picture:
    levels = 2**depth - 1
    codes = np.random.default_rng(seed).integers(0, levels + 1, (height, width, channels))
    return Picture(freeze((codes / levels).astype(np.float32)), depth=depth)


def _mask(picture: Picture, *box: int) -> Mask:
    mask = np.zeros((picture.height, picture.width), dtype=np.float32)
    mask[CropBox(*box).window] = 1
    return mask


def _stitched(picture: Picture, mask: Mask, fill: object = None, manner: StitchOptions = MANNER) -> StitchResult:
    return stitch(picture, mask, fill or NullInpainter().fill, manner, lambda fraction: None)  # type: ignore[arg-type]


def _white(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
    return np.ones_like(pixels)


def _ramp(height: int, width: int) -> Pixels:
    across = np.linspace(0.2, 0.7, width, dtype=np.float32)
    return np.broadcast_to(across[None, :, None], (height, width, 3)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([8, 16]), st.sampled_from([1, 3]), st.integers(0, 9), st.integers(0, 5), st.sampled_from([0, 16, 64]))
def test_where_the_mask_is_zero_not_one_code_changes(
    data: st.DataObject, depth: BitDepth, channels: int, grow: int, feather: int, side: int
) -> None:
    """Law 4, with an engine that returns garbage everywhere, soft masks, any size, grow and feather."""
    height, width = data.draw(st.integers(1, 53)), data.draw(st.integers(2, 53))
    picture = _plate(height, width, channels, depth)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    mask = np.where(random.random((height, width)) < data.draw(st.floats(0.01, 0.9)), random.random((height, width)), 0).astype(np.float32)
    mask[0, 0] = 0
    mask[-1, -1] = 1
    done = _stitched(picture, mask, _white, replace(MANNER, grow=grow, feather=feather, side=side))
    outside = mask == 0
    assert np.array_equal(done.pixels[outside], picture.pixels[outside])
    assert (done.outside_pixels, done.outside_changed) == (int(outside.sum()), 0)
    assert done.pixels.min() >= 0
    assert done.pixels.max() <= 1


def test_the_hole_is_made_new() -> None:
    """The fill really arrives under a full mask."""
    picture = Picture(freeze(np.zeros((80, 100, 3), dtype=np.float32)))
    mask = _mask(picture, 20, 20, 50, 50)
    done = _stitched(picture, mask, _white, replace(MANNER, grow=0))
    assert done.pixels[mask > 0] == pytest.approx(1, abs=1e-5)


def test_a_half_mask_mixes_half() -> None:
    """out = picture * (1 - m) + fill * m."""
    picture = Picture(freeze(np.zeros((80, 100, 3), dtype=np.float32)))
    done = _stitched(picture, _mask(picture, 20, 20, 50, 50) * np.float32(0.5), _white, replace(MANNER, grow=0))
    assert done.pixels[30, 30] == pytest.approx(0.5, abs=1e-6)


def test_the_plate_is_left_alone() -> None:
    """Its arrays are read only; the result is an array of its own."""
    picture = _plate()
    before = picture.pixels.copy()
    _stitched(picture, _mask(picture, 20, 20, 50, 50))
    assert np.array_equal(picture.pixels, before)


def test_the_engine_never_sees_what_is_to_go_as_known() -> None:
    """The hole it is shown is the mask grown, in every crop, the other regions' masks included until they are filled."""
    picture = _plate(96, 250)
    mask = _mask(picture, 20, 20, 30, 30) + _mask(picture, 20, 200, 30, 210)
    engine = NullInpainter(side=96)
    _stitched(picture, mask, engine.fill, replace(MANNER, side=96))
    assert [int((hole > 0).sum()) >= 18 * 18 - 40 for _, hole, _ in engine.asked] == [True, True]
    assert [shown.shape for shown, _, _ in engine.asked] == [(96, 96, 3)] * 2


def test_a_grown_hole_is_shown_wider_but_not_laid_in_wider() -> None:
    """``grow`` is for the engine's eyes only."""
    picture = Picture(freeze(np.zeros((64, 64, 3), dtype=np.float32)))
    mask = _mask(picture, 30, 30, 34, 34)
    engine = NullInpainter(side=64)
    done = _stitched(picture, mask, engine.fill, replace(MANNER, grow=6))
    assert int((engine.asked[0][1] > 0).sum()) > 100
    assert int((done.pixels != picture.pixels).any(axis=2).sum()) == 0
    assert done.outside_pixels == 64 * 64 - 16


def test_an_engine_that_is_off_in_tone_leaves_no_seam() -> None:
    """A fill that is 0.1 too dark with a colour cast is brought to the picture's tone: the ramp goes on through the hole."""
    picture = Picture(freeze(_ramp(96, 128)))
    mask = _mask(picture, 30, 40, 70, 90)

    def off(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.clip(
            _ramp(128, 128)[: pixels.shape[0], : pixels.shape[1]] * 0 + picture.pixels.mean() - np.float32([0.1, 0.05, 0.12]), 0, 1
        )

    done = _stitched(picture, mask, off, replace(MANNER, side=0, grow=6))
    edge = np.abs(done.pixels - picture.pixels).max(axis=2)[mask > 0]
    assert edge.max() < 0.03
    assert done.seam_offset > 0.03


def test_a_rim_of_what_was_removed_does_not_bleed_in() -> None:
    """A dark line just outside the mask is no difference of tone: the fill stays bright."""
    pixels = np.full((96, 96, 3), 0.8, dtype=np.float32)
    pixels[30:66, 30:66] = 0.1
    picture = Picture(freeze(pixels))
    mask = _mask(picture, 31, 31, 65, 65)

    def bright(shown: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.full_like(shown, 0.8)

    done = _stitched(picture, mask, bright, replace(MANNER, side=96, grow=8))
    assert done.pixels[mask > 0].min() > 0.75


def test_a_fill_made_smaller_gets_the_grain_of_the_picture_back() -> None:
    """In a noisy picture a smooth fill would show as a patch; the noise inside is as strong as outside, within a third."""
    noise = np.random.default_rng(3).normal(0.5, 0.012, (200, 200, 1)).astype(np.float32)
    picture = Picture(freeze(np.repeat(noise, 3, axis=2)))
    mask = _mask(picture, 50, 50, 150, 150)
    done = _stitched(picture, mask, manner=replace(MANNER, side=64))
    assert done.scales[0] < 0.5
    assert float(done.pixels[60:140, 60:140, 0].std()) == pytest.approx(0.012, rel=0.34)


def test_a_smooth_picture_gets_no_grain() -> None:
    """Where nothing is grainy nothing is made so."""
    picture = Picture(freeze(_ramp(128, 128)))
    done = _stitched(picture, _mask(picture, 40, 40, 90, 90), manner=replace(MANNER, side=64))
    inside = done.pixels[45:85, 45:85]
    assert float(np.abs(np.diff(inside, n=2, axis=0)).max()) < 2e-3


def test_sixteen_bits_stay_finer_than_eight() -> None:
    """A fill in a 16-bit picture is no staircase of 8-bit codes."""
    picture = Picture(freeze(_ramp(96, 96)), depth=16)

    def coarse(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.round(_ramp(*pixels.shape[:2]) * 255).astype(np.float32) / np.float32(255)

    done = _stitched(picture, _mask(picture, 20, 20, 76, 76), coarse, replace(MANNER, side=96))
    assert len(np.unique(np.round(done.pixels[30:60, 30:60] * 65535))) > 1000


def test_feather_rises_inwards_and_spares_thin_strokes() -> None:
    """The edge of a broad hole is softened; a two-pixel scratch is still wholly replaced."""
    picture = Picture(freeze(np.zeros((64, 64, 3), dtype=np.float32)))
    manner = replace(MANNER, grow=0, feather=4)
    broad = _stitched(picture, _mask(picture, 20, 20, 50, 50), _white, manner).pixels[35, :, 0]
    assert 0 < broad[20] < broad[22] < broad[35] == 1
    thin = _stitched(picture, _mask(picture, 20, 5, 22, 60), _white, manner).pixels[20:22, 20:40]
    assert np.all(thin == 1)


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (70, 0, 80, 100), (0, 0, 80, 1), (79, 99, 80, 100), (0, 0, 79, 100), (40, 40, 41, 41)])
def test_holes_at_the_border_tiny_holes_and_nearly_everything(box: tuple[int, ...]) -> None:
    """All of them are filled, with something that is a number."""
    picture = _plate()
    mask = _mask(picture, *box)
    done = _stitched(picture, mask, NullInpainter().fill, MANNER)
    assert np.isfinite(done.pixels).all()
    assert (done.pixels[mask > 0] != picture.pixels[mask > 0]).any()
    assert done.outside_changed == 0


def test_nothing_left_to_fill_from_is_said_in_words() -> None:
    """A mask over everything is the job's fault."""
    picture = _plate()
    with pytest.raises(InputError, match="covers the whole picture"):
        _stitched(picture, np.ones((80, 100), dtype=np.float32))


def test_an_engine_that_makes_no_numbers_is_a_problem() -> None:
    """NaN never gets into a picture."""
    picture = _plate()
    with pytest.raises(InputError, match="no numbers"):
        _stitched(picture, _mask(picture, 5, 5, 9, 9), lambda pixels, hole, seed, step: pixels * np.float32("nan"))


@pytest.mark.parametrize(("side", "multiple"), [(64, 1), (0, 8), (0, 1)])
def test_the_engine_gets_the_sides_it_asks_for(side: int, multiple: int) -> None:
    """Its square, or multiples of what it needs, padded by mirroring where the crop is smaller."""
    picture = _plate(37, 53)
    engine = NullInpainter()
    _stitched(picture, _mask(picture, 5, 5, 9, 9), engine.fill, replace(MANNER, side=side, multiple=multiple))
    shape = engine.asked[0][0].shape
    assert shape[:2] == (64, 64) if side else (shape[0] % multiple, shape[1] % multiple) == (0, 0)


def test_same_seed_same_pixels() -> None:
    """Grain and dither come from the seed alone."""
    picture = _plate(depth=16)
    mask = _mask(picture, 20, 20, 60, 60)
    first, second, other = (_stitched(picture, mask, manner=replace(MANNER, seed=seed)).pixels for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_progress_is_told_before_every_crop() -> None:
    """So that a withdrawn job stops between two of them."""
    picture = _plate(64, 300)
    told: list[float] = []
    stitch(picture, _mask(picture, 5, 5, 9, 9) + _mask(picture, 5, 275, 9, 285), NullInpainter().fill, MANNER, told.append)
    assert told == [0.0, 0.5]


def test_what_is_hidden_stays_and_is_not_seen() -> None:
    """The engine's hole has it, the fill takes nothing of its tone, and not a bit of it is another."""
    pixels = np.full((100, 140, 3), 0.5, np.float32)
    pixels[:, 60:80] = (1, 0, 0)
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)))
    mask, hidden = np.zeros((100, 140), np.float32), np.zeros((100, 140), np.float32)
    mask[30:70, 30:60], hidden[:, 60:80] = 1, 1
    engine = NullInpainter()
    done = stitch(picture, mask, engine.fill, MANNER, lambda fraction: None, hidden_mask=hidden)
    assert not (engine.asked[0][0][engine.asked[0][1] < 0.5][:, 0] > 0.9).any()
    assert done.pixels[30:70, 30:60] == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(done.pixels[mask == 0], picture.pixels[mask == 0])
    assert done.outside_changed == 0


def test_where_all_that_is_left_is_hidden_it_is_seen_after_all() -> None:
    """An engine must be shown something."""
    pixels = np.full((60, 60, 3), 0.5, np.float32)
    mask, hidden = np.zeros((60, 60), np.float32), np.ones((60, 60), np.float32)
    mask[20:40, 20:40] = 1
    engine = NullInpainter()
    stitch(Picture(freeze(pixels)), mask, engine.fill, MANNER, lambda fraction: None, hidden_mask=hidden)
    assert (engine.asked[0][1] < 0.5).any()
