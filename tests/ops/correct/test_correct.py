"""correct: each fault is found where it was built in and made smaller; what is clean comes back as it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from doubles.faults_of_pictures import changed, cloned, coded, fringed, overlap, parted, photograph, sharpened, tiled, under_sky
from doubles.step_context import NullInpainter, StepContextDouble
from doubles.studio import studio_at
from goldsmith.engines.kinds import INPAINTER
from goldsmith.ops.correct.defect import make_window
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import BitDepth, Picture, Pixels, freeze

OFF: dict[str, object] = {"banding": "off", "seams": "off", "noise": "off", "fringes": "off", "halos": "off", "repeats": "off"}


def _plate(pixels: Pixels, depth: BitDepth = 8) -> Picture:
    return Picture(freeze(pixels), depth=depth)


def _only(**settings: object) -> Correct:
    return Correct.model_validate(OFF | settings)


def _told(context: StepContextDouble, kind: str) -> list[dict[str, object]]:
    found = context.results.findings[kind]
    assert isinstance(found, list)
    return found


def _box(told: dict[str, object], name: str = "box") -> tuple[slice, slice]:
    box = told[name]
    assert isinstance(box, list)
    left, top, width, height = box
    return make_window(top, left, height, width)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_a_clean_photograph_comes_back_as_the_same_object(name: str) -> None:
    """Nothing is found, so nothing is on record and nothing is copied."""
    picture, context = _plate(photograph(name)), StepContextDouble()
    assert Correct().apply(picture, context) is picture
    assert context.results.findings == {}


def test_in_the_astronaut_only_the_rim_of_the_lamp_in_the_visor_is_found() -> None:
    """It is a true fringe: 40 px of a clean photograph change, and the rest is bit for bit the same."""
    picture, context = _plate(photograph("astronaut")), StepContextDouble()
    made = Correct().apply(picture, context)
    assert set(context.results.findings) == {"fringes", "fringes_count"}
    assert overlap(_box(_told(context, "fringes")[0]), make_window(420, 341, 39, 34)) > 0.6
    assert 0 < changed(picture.pixels, made.pixels).sum() < 400


def test_everything_off_returns_the_picture_and_looks_for_nothing() -> None:
    """Off is off, however bad the picture is."""
    picture, context = _plate(sharpened(photograph("coffee"), 3)), StepContextDouble()
    assert _only().apply(picture, context) is picture
    assert context.results.findings == {}


def test_a_strength_of_zero_records_and_mends_nothing() -> None:
    """The place and the size of the fault are told; the picture is the one that came."""
    picture, context = _plate(tiled(photograph("rocket"), 200, 6)), StepContextDouble()
    assert _only(seams=0).apply(picture, context) is picture
    assert all(told["before"] == told["after"] for told in _told(context, "seams"))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_banded_sky_becomes_smooth_and_the_land_stays(depth: BitDepth) -> None:
    """At 16 bits the slope is a slope; at 8 its dither is at most two codes off, and smooth when looked at from afar."""
    smooth, banded = under_sky("coffee", 200)
    context = StepContextDouble()
    made = Correct(repeats="off").apply(_plate(banded, depth), context)
    (told,) = _told(context, "banding")
    assert overlap(_box(told), make_window(0, 0, 200, 600)) > 0.85
    assert float(str(told["after"])) < 0.4 * float(str(told["before"]))
    assert not changed(banded, made.pixels)[200:].any()
    inner = np.s_[20:160, 20:-20]
    if depth == 16:
        assert np.abs(made.pixels - banded).max() <= 0.51 / 255
        assert np.abs(made.pixels - smooth)[inner].mean() < 0.8 * np.abs(banded - smooth)[inner].mean()
    else:
        assert np.array_equal(made.pixels, coded(made.pixels))
        blocks = [one[inner].reshape(28, 5, 112, 5, 3).mean(axis=(1, 3)) for one in (made.pixels, smooth)]
        assert np.abs(blocks[0] - blocks[1]).mean() < 0.3 / 255


def test_the_dither_is_that_of_the_seed() -> None:
    """The same seed gives the same codes, another seed others."""
    _, banded = under_sky("rocket", 200)
    one, again, other = (_only(banding="auto").apply(_plate(banded), StepContextDouble(seed=seed)).pixels for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_seams_of_tiles_are_found_and_fade() -> None:
    """Each line where it is, and its step down to a quarter on the 16-bit picture."""
    context = StepContextDouble()
    picture = _plate(tiled(photograph("rocket"), 200, 6), 16)
    made = _only(seams="auto").apply(picture, context)
    boxes = [_box(told) for told in _told(context, "seams")]
    assert any(rows == slice(0, 427) and columns.start < 400 < columns.stop for rows, columns in boxes)
    assert any(columns == slice(0, 640) and rows.start < 200 < rows.stop for rows, columns in boxes)
    steps = [np.abs(np.median(one[:190, 400] - one[:190, 399], axis=0)).mean() for one in (picture.pixels, made.pixels)]
    assert steps[1] < 0.35 * steps[0]


def test_colours_that_part_come_together() -> None:
    """Red and blue lie on green again: half as far from the picture they came from, and the record says by how many px they parted."""
    clean = photograph("astronaut")
    context = StepContextDouble()
    bad = parted(clean, 0.004, -0.003)
    made = _only(fringes="auto").apply(_plate(bad), context)
    (told,) = _told(context, "lateral")
    assert float(str(told["before"])) == pytest.approx(1.4, abs=0.25)
    assert float(str(told["after"])) < 0.3
    errors = [np.abs(one - clean)[16:-16, 16:-16].mean() for one in (made.pixels, bad)]
    assert errors[0] < 0.6 * errors[1]


def test_a_purple_rim_beside_a_blown_light_loses_its_colour_and_nothing_else_changes() -> None:
    """Found at its place; three quarters of the purple are gone; luma stays."""
    picture, context = _plate(fringed(photograph("chelsea"), np.s_[120:170, 120:200])), StepContextDouble()
    made = _only(fringes="auto").apply(picture, context)
    (told,) = _told(context, "fringes")
    assert overlap(_box(told), make_window(116, 116, 58, 88)) > 0.6
    rows, columns = _box(told)
    outside = np.ones((picture.height, picture.width), bool)
    outside[rows, columns] = False
    assert not changed(picture.pixels, made.pixels)[outside].any()
    purple = [
        (np.minimum(one[..., 0], one[..., 2]) - one[..., 1])[116:174, 116:204].clip(0).mean() for one in (picture.pixels, made.pixels)
    ]
    assert purple[1] < 0.25 * purple[0]


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_halos_of_much_too_much_sharpening_go(name: str) -> None:
    """Overshoot falls to less than half, and the picture comes closer to the one that was sharpened."""
    clean = photograph(name)
    context = StepContextDouble()
    bad = sharpened(clean, 3)
    made = _only(halos="auto").apply(_plate(bad), context)
    for told in _told(context, "halos"):
        assert float(str(told["after"])) < 0.5 * float(str(told["before"]))
    assert np.abs(made.pixels - clean).mean() < 0.75 * np.abs(bad - clean).mean()


def test_noise_is_cleaned_only_above_the_limit() -> None:
    """Ordinary noise stays; twice the limit does not."""
    clean = photograph("chelsea")
    grain = np.random.default_rng(1).standard_normal(clean.shape, dtype=np.float32)
    little, much = (_plate(coded(clean + np.float32(sigma) * grain)) for sigma in (0.015, 0.06))
    assert _only(noise="auto").apply(little, StepContextDouble()) is little
    context = StepContextDouble()
    made = _only(noise="auto").apply(much, context)
    (told,) = _told(context, "noise")
    assert float(str(told["after"])) < 0.5 * float(str(told["before"]))
    assert np.abs(made.pixels - clean).mean() < 0.75 * np.abs(much.pixels - clean).mean()


@pytest.mark.parametrize(("name", "source", "place"), [("astronaut", (40, 180), (300, 20)), ("chelsea", (100, 100), (180, 330))])
def test_what_was_cloned_is_told_and_left(name: str, source: tuple[int, int], place: tuple[int, int]) -> None:
    """Both places are on record; reporting changes nothing."""
    picture, context = _plate(cloned(photograph(name), source, place, 70)), StepContextDouble()
    assert _only(repeats="report").apply(picture, context) is picture
    (told,) = _told(context, "repeats")
    assert overlap(_box(told), make_window(*place, 70, 70)) > 0.5
    assert overlap(_box(told, "same_as"), make_window(*source, 70, 70)) > 0.5
    assert told["pattern"] is False


def test_a_copy_is_made_new_only_where_that_is_asked() -> None:
    """The engine fills all of the copy, its edge too; what it was copied from and the rest are not touched."""
    picture = _plate(cloned(photograph("astronaut"), (40, 180), (300, 20), 70))
    context = StepContextDouble(inpainter=NullInpainter(side=64))
    made = _only(repeats="repair").apply(picture, context)
    assert context.results.findings["repaired"] == 1
    moved = changed(picture.pixels, made.pixels)
    assert moved[300:370, 20:90].mean() > 0.75  # the copy is round
    moved[294:376, 14:96] = False
    assert not moved.any()
    assert _only(repeats="repair").needs().engines[0].kind is INPAINTER
    assert _only(repeats="report").needs().engines == ()


def test_what_repeats_by_nature_is_not_made_new() -> None:
    """Tiles on a wall are told as a pattern at most; with "repair" the very picture comes back."""
    small = photograph("chelsea")[100:180, 100:180]
    picture, context = _plate(np.tile(small, (4, 5, 1))), StepContextDouble()
    assert _only(repeats="repair").apply(picture, context) is picture
    assert all(told["pattern"] for told in _told(context, "repeats"))


def test_outside_the_region_nothing_is_mended() -> None:
    """With where = "sky" the half without it keeps its bands."""
    _, banded = under_sky("coffee", 200)
    mask = np.zeros(banded.shape[:2], np.float32)
    mask[:, :300] = 1
    picture = Picture(freeze(banded), masks={"sky": freeze(mask)})
    made = Correct(where="sky", repeats="off").apply(picture, StepContextDouble())
    moved = changed(banded, made.pixels)
    assert moved[:, :300].any()
    assert not moved[:, 300:].any()
    assert Correct(where="sky").needs().masks == {"sky"}
    empty = Picture(freeze(banded), masks={"sky": freeze(0 * mask)})
    assert Correct(where="sky").apply(empty, StepContextDouble()) is empty


@pytest.mark.parametrize("wrong", [{"banding": -1}, {"seams": 101}, {"halos": "on"}, {"repeats": "auto"}, {"where": "("}, {"model": ""}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Each setting has its bounds."""
    with pytest.raises(ValidationError):
        Correct.model_validate(wrong)


def test_through_the_folders_a_banded_picture_comes_out_dithered(tmp_path: Path) -> None:
    """The shortest brief of the manual, from selected/ to masked/: 8 bits in, 8 bits out, the sky changed and the land not."""
    _, banded = under_sky("coffee", 200)
    codes = np.round(banded * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    with studio_at(tmp_path) as studio:
        studio.put("selected/hero.png", file.getvalue())
        studio.put("selected/hero.toml", '[[edit]]\nop = "correct"\n')
        studio.until(lambda: "hero.png" in studio.folder("masked"), "the corrected picture")
        with Image.open(studio.at("masked/hero.png")) as made:
            assert made.mode == "RGB"
            moved = (np.asarray(made) != codes).any(axis=2)
    assert moved[:180].mean() > 0.3
    assert not moved[200:].any()


def test_a_drawn_pattern_is_not_cleaned_as_noise() -> None:
    """What stands out by more than any camera's noise was meant."""
    dots = np.random.default_rng(1).integers(0, 2, (200, 200, 1)) * np.float32(0.4) + np.float32(0.3)
    picture = _plate(coded(np.repeat(dots, 3, axis=2)))
    assert _only(noise="auto").apply(picture, StepContextDouble()) is picture
