"""The best of several fills: the right kind for the ground, and no other change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from doubles.step_context import NullInpainter
from goldsmith.errors import InputError
from goldsmith.picture.crop_and_stitch import StitchOptions, StitchResult
from goldsmith.picture.crop_planning import CropBox, find_mask_bounds
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.best_fill import FillRules, HoleFill, rank_cost, stitch_best

HEIGHT, WIDTH = 200, 240
OPTIONS = StitchOptions(grow=4, feather=0, context=0.5, side=0, multiple=1, seed=3)


def _mask(*boxes: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    for box in boxes or ((70, 80, 120, 140),):
        mask[CropBox(*box).window] = 1
    return mask


def _fill(
    picture: Picture, mask: Mask, engine: NullInpainter | None = None, options: StitchOptions = OPTIONS, hidden: Mask | None = None
) -> tuple[StitchResult, tuple[HoleFill, ...]]:
    bounds = find_mask_bounds(mask)
    assert bounds is not None
    return stitch_best(picture, mask, (engine or NullInpainter()).fill, options, lambda fraction: None, bounds, hidden)


def _rounded(pixels: NDArray[np.float32], depth: BitDepth = 8) -> Picture:
    levels = np.float32(2**depth - 1)
    return Picture(freeze(np.round(np.clip(pixels, 0, 1) * levels) / levels), depth=depth)


def _sky(channels: int = 3, depth: BitDepth = 8) -> Picture:
    """Return a slope with grain and, in the middle, a black object that is to go."""
    down = np.linspace(0.4, 0.6, HEIGHT, dtype=np.float32)[:, None, None]
    grain = np.random.default_rng(1).normal(0, 2 / 255, (HEIGHT, WIDTH, channels)).astype(np.float32)
    pixels = down + grain
    pixels[70:120, 80:140] = 0
    return _rounded(pixels, depth)


def _gravel() -> Picture:
    """Return a texture with forms of several px."""
    noise = np.random.default_rng(2).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    pixels = 0.5 + 0.4 * gaussian_blur(noise, 2.0) + 0.04 * noise
    pixels[70:120, 80:140] = (1, 0, 0)
    return _rounded(pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_hole_in_a_smooth_ground_needs_no_engine(channels: int, depth: BitDepth) -> None:
    """The slope goes on with its grain, in grey and colour, at 8 and 16 bits; the engine is not asked."""
    engine = NullInpainter()
    picture = _sky(channels, depth)
    result, [hole] = _fill(picture, _mask(), engine)
    inside = _mask() > 0
    truth = np.linspace(0.4, 0.6, HEIGHT, dtype=np.float32)[:, None, None] + np.zeros((HEIGHT, WIDTH, channels), np.float32)
    error = result.pixels[inside] - truth[inside]
    assert hole.chosen == "smooth"
    assert engine.calls == []
    assert result.picture.channels == channels
    assert abs(float(error.mean())) < 0.5 / 255
    assert error.std() == pytest.approx(2 / 255, rel=0.15)
    assert np.array_equal(result.pixels[~inside], picture.pixels[~inside])
    assert hole.doubts() == []


@pytest.mark.parametrize(("enough", "is_asked"), [(0.0, True), (50.0, False)])
def test_the_engine_is_not_asked_where_a_smooth_fill_is_good_enough(monkeypatch: pytest.MonkeyPatch, enough: float, is_asked: bool) -> None:
    """On soft waves the smooth fill is measured first; only if it costs too much is it compared with others.

    It counts as the best then, whatever the others cost: the second choice is another one.
    """
    monkeypatch.setattr("goldsmith.stitching.best_fill.ENOUGH_COST", enough)
    waves = np.sin(np.arange(WIDTH, dtype=np.float32) / 5)[None, :, None] * np.float32(8 / 255)
    engine = NullInpainter()
    _, [hole] = _fill(_rounded(_sky().pixels + waves), _mask(), engine)
    assert "smooth" in hole.scores
    assert bool(engine.calls) is is_asked
    assert hole.chosen == "smooth" or is_asked
    if not is_asked:
        assert _chosen(_rounded(_sky().pixels + waves), FillRules(choice=2)).chosen != "smooth"


def test_a_hole_in_texture_gets_blocks_of_the_texture() -> None:
    """The engine's flat colour and its soft detail score worse than copied blocks."""
    result, [hole] = _fill(_gravel(), _mask())
    inside = _mask() > 0
    assert hole.chosen == "patches"
    assert set(hole.scores) >= {"engine", "patches"}
    assert result.pixels[inside].std() == pytest.approx(_gravel().pixels[~inside].std(), rel=0.25)
    assert not (result.pixels[inside][:, 0] - result.pixels[inside][:, 1] > 0.5).any()


@pytest.mark.parametrize("rim", [0, 5])
def test_the_engine_sees_the_rim_where_it_shows_no_rest_of_the_object(rim: int) -> None:
    """Of a rim of 10 px, 4 px and what is as red as the object are hidden. A named engine sees none of it, nor of a rim of 12 px."""
    pixels = _gravel().pixels.copy()
    pixels[70 - rim : 120 + rim, 80 - rim : 140 + rim] = (1, 0, 0)
    picture, bounds = Picture(freeze(pixels)), find_mask_bounds(_mask())
    assert bounds is not None
    for grow, rules in ((10, FillRules()), (10, FillRules(engine_first=True)), (12, FillRules())):
        engine = NullInpainter()
        stitch_best(picture, _mask(), engine.fill, replace(OPTIONS, grow=grow), lambda fraction: None, bounds, rules=rules)
        pixels_seen, hole, _ = engine.calls[0]
        is_red = (pixels_seen[..., 0] - pixels_seen[..., 1] > 0.6) & (hole < 0.5)
        grown = int((hole > 0.5).any(axis=1).sum()) - 50
        assert not is_red.any()
        if rules.engine_first or grow == 12:
            assert grown == 2 * grow
        else:
            assert 2 * max(rim, 4) <= grown <= 2 * max(rim + 3, 4)


class _CrownInpainter(NullInpainter):
    """Invents a golden object in every hole."""

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: object = None) -> Pixels:
        filled = super().fill(pixels, hole, seed)
        rows, columns = np.nonzero(hole > 0.5)
        middle = np.s_[(rows.min() + rows.max()) // 2 - 9 : (rows.min() + rows.max()) // 2 + 9, columns.min() + 9 : columns.max() - 9]
        filled[middle] = (0.9, 0.7, 0.1)
        return filled


def test_an_invented_object_is_not_chosen_and_told_where_there_is_no_other_fill() -> None:
    """Beside copied blocks, the invention loses. With too little to copy from it stays, and its doubts are told."""
    _, [hole] = _fill(_gravel(), _mask(), _CrownInpainter())
    assert hole.chosen == "patches"
    small = Picture(freeze(_gravel().pixels[:60, :60]))
    mask = np.zeros((60, 60), dtype=np.float32)
    mask[6:54, 6:54] = 1
    _, [hole] = _fill(small, mask, _CrownInpainter())
    assert hole.chosen.startswith("engine")
    assert any("colours or edges" in doubt for doubt in hole.doubts())


@pytest.mark.parametrize(("usual", "is_unfit"), [(None, False), (0.02, True), (0.2, False)])
def test_how_foreign_a_fill_may_be_depends_on_its_surroundings(usual: float | None, is_unfit: bool) -> None:
    """31 % is an object of its own on a plain wall, and nothing unusual among things that are all unlike. The doubt says both figures."""
    _, [hole] = _fill(_gravel(), _mask())
    scores = {**hole.scores, hole.chosen: replace(hole.scores[hole.chosen], foreign=0.31)}
    foreign = replace(hole, scores=scores, usual=usual)
    assert foreign.is_unfit is is_unfit
    assert ("elsewhere round it" in foreign.doubts()[0]) is (usual is not None)


@pytest.mark.parametrize(("foreign", "usual", "is_told"), [(0.08, None, False), (0.08, 0.01, True), (0.08, 0.05, False), (0.12, 0.3, True)])
def test_on_an_even_ground_less_is_doubtful(foreign: float, usual: float | None, is_told: bool) -> None:
    """8 % is told where nothing round the hole is foreign, and 12 % is told everywhere."""
    _, [hole] = _fill(_gravel(), _mask())
    scores = {hole.chosen: replace(hole.scores[hole.chosen], foreign=foreign)}
    assert bool(replace(hole, scores=scores, usual=usual).doubts()) is is_told


@pytest.mark.parametrize(("chosen", "is_told"), [("patches", True), ("lines", False)])
def test_the_cost_of_drawn_lines_is_not_doubtful(chosen: str, is_told: bool) -> None:
    """Detail in the ring round a few cables is not where it is in the hole. A border that shows is told of lines, too."""
    _, [hole] = _fill(_gravel(), _mask())
    score = replace(hole.scores[hole.chosen], evenness=3.0)
    assert bool(replace(hole, chosen=chosen, scores={chosen: score}).doubts()) is is_told
    assert replace(hole, chosen=chosen, scores={chosen: replace(score, seam=1.5)}).doubts() == ["its border shows"]


@pytest.mark.parametrize(("chosen", "lines", "is_told"), [("smooth", 0.94, True), ("smooth", 0.55, False), ("patches", 0.94, False)])
def test_lines_that_end_at_a_smooth_fill_are_told(chosen: str, lines: float, is_told: bool) -> None:
    """Wires across a sky are too thin to make it unsmooth, and a smooth fill cuts them. Of a texture, most lines end somewhere."""
    _, [hole] = _fill(_gravel(), _mask())
    cut = replace(hole, chosen=chosen, scores={chosen: replace(hole.scores[hole.chosen], lines=lines)})
    assert any("end at its border" in doubt for doubt in cut.doubts()) is is_told
    assert not cut.is_unfit


def test_a_fill_with_three_doubts_is_not_passed() -> None:
    """Two are remarked on; a border that shows as well is too much."""
    _, [hole] = _fill(_gravel(), _mask())
    score = replace(hole.scores[hole.chosen], foreign=0.15, detail_ratio=0.4)
    doubtful, worse = (replace(hole, scores={hole.chosen: each}) for each in (score, replace(score, seam=1.5)))
    assert (len(doubtful.doubts()), doubtful.is_unfit) == (2, False)
    assert (len(worse.doubts()), worse.is_unfit) == (3, True)


def test_a_recoloured_invention_is_told() -> None:
    """The fill has no colour of its own any more, and the doubt says how much of it had."""
    small = Picture(freeze(_gravel().pixels[:60, :60]))
    mask = np.zeros((60, 60), dtype=np.float32)
    mask[6:54, 6:54] = 1
    _, [hole] = _fill(small, mask, _CrownInpainter())
    name, score = next((name, score) for name, score in hole.scores.items() if score.recoloured)
    assert score.recoloured == hole.scores["engine"].novelty > 0.02
    assert score.novelty < 0.2 * score.recoloured
    assert any("was recoloured" in doubt for doubt in replace(hole, chosen=name).doubts())


def _page(*lines: tuple[int, int, int, int], grain: float = 1.5) -> Picture:
    """Return paper with grain, a headline that is to go, and lines of type: dark strokes of 3 px in these boxes."""
    pixels = 0.85 + np.random.default_rng(4).normal(0, grain / 255, (HEIGHT, WIDTH, 3)).astype(np.float32)
    pixels[75:115:8, 85:135] = 0.1
    for top, left, bottom, right in lines:
        pixels[top:bottom, left:right:6] = 0.15
        pixels[top:bottom, left + 1 : right : 6] = 0.15
    return _rounded(pixels)


@pytest.mark.parametrize("grain", [0.0, 1.5, 5.0])
def test_a_headline_beside_text_leaves_plain_paper(grain: float) -> None:
    """Type that lies beside the hole and does not touch it neither goes on inside nor is copied, and nothing is doubtful."""
    page = _page((54, 20, 62, 220), (126, 20, 134, 220), (140, 20, 148, 220), grain=grain)
    engine = NullInpainter()
    result, [hole] = _fill(page, _mask(), engine)
    inside = _mask() > 0
    assert hole.chosen == "smooth"
    assert hole.detached > 0.05
    assert result.pixels[inside].min() > 0.85 - 8 * (grain + 1) / 255
    assert abs(float(result.pixels[inside].mean()) - 0.85) < 1 / 255
    assert hole.doubts() == []
    assert np.array_equal(result.pixels[~inside], page.pixels[~inside])


def test_type_that_runs_into_the_hole_is_no_surrounding_to_leave_out() -> None:
    """A line that the mask cuts is compared with as before: nobody knows whether it goes on."""
    _, [hole] = _fill(_page((86, 20, 94, 220), (140, 20, 148, 220)), _mask())
    assert hole.detached == 0
    assert "engine" in hole.scores


def _chosen(picture: Picture, rules: FillRules, engine: NullInpainter | None = None) -> HoleFill:
    bounds = find_mask_bounds(_mask())
    assert bounds is not None
    _, [hole] = stitch_best(picture, _mask(), (engine or NullInpainter()).fill, OPTIONS, lambda fraction: None, bounds, rules=rules)
    return hole


def test_another_choice_keeps_the_next_best_fill() -> None:
    """By cost, the best first; after the last one the first again. In a sky, too, where the best is the only one that is made."""
    best = _chosen(_gravel(), FillRules())
    names = [_chosen(_gravel(), FillRules(choice=choice)).chosen for choice in range(1, len(best.scores) + 2)]
    assert names == [*sorted(best.scores, key=lambda name: best.scores[name].cost), best.chosen]
    assert _chosen(_sky(), FillRules()).chosen == "smooth"
    assert _chosen(_sky(), FillRules(choice=2)).chosen != "smooth"


def test_the_fill_of_a_named_engine_comes_first() -> None:
    """The other fills follow by cost."""
    best = _chosen(_gravel(), FillRules())
    assert best.chosen == "patches"
    assert _chosen(_gravel(), FillRules(engine_first=True)).chosen == "engine"
    assert _chosen(_gravel(), FillRules(engine_first=True, choice=2)).chosen == "patches"


def test_what_must_not_be_copied_is_not_copied() -> None:
    """The green ground lies beside the hole, yet every block comes from the rest."""
    pixels = _gravel().pixels.copy()
    pixels[:, 150:, 0] = 0
    barred = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    barred[:, 150:] = True
    hole = _chosen(Picture(freeze(pixels)), FillRules(never_copied=barred))
    window = hole.view
    inside = _mask()[window] > 0
    assert hole.fills["patches"][inside][:, 0].min() > 0.05


def test_cables_across_the_hole_go_on() -> None:
    """The dark lines cross the whole hole, from one end to the other, in the sky's own tone."""
    down, across = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    off = down - 0.3 * across
    pixels = _sky().pixels.copy()
    pixels[70:120, 80:140] = np.linspace(0.4, 0.6, HEIGHT, dtype=np.float32)[70:120, None, None]
    cables = sum(np.clip(2.5 - np.abs(off - place), 0, 1) for place in (40, 60, 83))[..., None]
    truth = (pixels * (1 - 0.8 * cables)).astype(np.float32)
    damaged = truth.copy()
    damaged[70:120, 80:140] = (1, 0, 0)
    hole = _chosen(_rounded(damaged), FillRules())
    scores = hole.scores["lines"]
    assert rank_cost("lines", scores) < rank_cost("patches", scores) == scores.cost
    inside = _mask()[hole.view] > 0
    assert float(np.abs(hole.fills["lines"] - truth[hole.view])[inside].mean()) < 0.03


def test_thin_holes_are_left_to_the_engine() -> None:
    """A scratch of 6 px is filled by the engine alone, and nothing is compared."""
    engine = NullInpainter()
    _, [hole] = _fill(_gravel(), _mask((70, 20, 76, 200)), engine)
    assert (hole.chosen, hole.scores, hole.fills) == ("engine", {}, {})
    assert len(engine.calls) == 1


def test_each_hole_gets_its_own_kind_of_fill() -> None:
    """One hole lies in the sky, the other in gravel; the number of changed pixels outside is counted over both."""
    pixels = np.concatenate([_sky().pixels, _gravel().pixels], axis=1)
    mask = np.concatenate([_mask(), _mask()], axis=1)
    picture = Picture(freeze(pixels))
    result, holes = _fill(picture, mask)
    assert [(hole.chosen, hole.box) for hole in holes] == [("smooth", (80, 70, 60, 50)), ("patches", (WIDTH + 80, 70, 60, 50))]
    assert np.array_equal(result.pixels[mask == 0], picture.pixels[mask == 0])
    assert (result.outside_pixels, result.outside_changed) == (int((mask == 0).sum()), 0)


@pytest.mark.parametrize("box", [(0, 80, 60, 150), (140, 180, 200, 240)], ids=["edge", "corner"])
def test_a_hole_at_the_border_is_filled(box: tuple[int, int, int, int]) -> None:
    """In sky and in gravel alike; blocks are copied there too, from places further away than the hole is long."""
    gravel = _gravel()
    for picture in (_sky(), gravel):
        result, [hole] = _fill(picture, _mask(box))
        inside = _mask(box) > 0
        assert "patches" in hole.scores or picture is not gravel
        assert np.isfinite(result.pixels).all()
        assert np.array_equal(result.pixels[~inside], picture.pixels[~inside])


def test_a_soft_mask_mixes_in_proportion() -> None:
    """Where the mask is a half, the picture is half the old one; where it is zero nothing changes."""
    picture = _sky()
    mask = np.clip(gaussian_blur(_mask(), 4.0), 0, 1)
    mask[mask < 0.02] = 0
    hard, _ = _fill(picture, (mask > 0).astype(np.float32))
    soft, _ = _fill(picture, mask)
    expected = picture.pixels + (hard.pixels - picture.pixels) * mask[..., None]
    assert np.abs(soft.pixels - expected).mean() < 1 / 255
    assert np.array_equal(soft.pixels[mask == 0], picture.pixels[mask == 0])


def test_the_same_seed_gives_the_same_pixels() -> None:
    """For the smooth fill and for copied blocks."""
    for picture in (_sky(), _gravel()):
        first, second = (_fill(picture, _mask())[0].pixels for _ in range(2))
        assert np.array_equal(first, second)


def test_a_mask_over_the_whole_picture_is_refused() -> None:
    """There is nothing to fill from."""
    with pytest.raises(InputError, match="covers the whole picture"):
        _fill(_sky(), np.ones((HEIGHT, WIDTH), np.float32))


def test_the_sheet_shows_every_fill_at_full_size() -> None:
    """It is wider than the compared fills together."""
    _, [hole] = _fill(_gravel(), _mask())
    sheet = hole.draw_sheet(_gravel())
    height, width = next(iter(hole.fills.values())).shape[:2]
    assert sheet.shape[1] > len(hole.fills) * width
    assert sheet.shape[0] > height
    assert next(iter(hole.fills)) == hole.chosen
