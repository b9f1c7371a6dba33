"""correct: each fault is found where it was added and reduced; a clean picture comes back unchanged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from skimage import data

from doubles.faults_of_pictures import changed, cloned, coded, fringed, overlap, parted, photograph, sharpened, tiled, under_sky
from doubles.step_context import NullInpainter, StepContextDouble
from doubles.studio import studio_at
from goldsmith.engines.kinds import INPAINTER
from goldsmith.errors import InputError
from goldsmith.ops.correct import copy_move
from goldsmith.ops.correct.defect import make_window
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import BitDepth, Picture, Pixels, freeze

OFF: dict[str, object] = dict.fromkeys(("blocks", "grid", "dust", "banding", "seams", "noise", "fringes", "halos", "repeats"), "off")


def _picture(pixels: Pixels, depth: BitDepth = 8) -> Picture:
    return Picture(freeze(pixels), depth=depth)


def _correct_only(**settings: object) -> Correct:
    return Correct.model_validate(OFF | settings)


def _findings(context: StepContextDouble, kind: str) -> list[dict[str, object]]:
    findings = context.results.findings[kind]
    assert isinstance(findings, list)
    return findings


def _box(finding: dict[str, object], name: str = "box") -> tuple[slice, slice]:
    box = finding[name]
    assert isinstance(box, list)
    left, top, width, height = box
    return make_window(top, left, height, width)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_a_clean_photograph_comes_back_as_the_same_object(name: str) -> None:
    """Nothing is found, so nothing is recorded and nothing is copied."""
    picture, context = _picture(photograph(name)), StepContextDouble()
    assert Correct().apply(picture, context) is picture
    assert context.results.findings == {}


@pytest.mark.parametrize(
    "name",
    ["camera", "moon", "coins", "brick", "gravel", "grass", "page", "text", "immunohistochemistry", "hubble_deep_field", "logo"],
)
def test_other_clean_photographs_textures_prints_and_a_drawing_come_back_as_the_same_object(name: str) -> None:
    """No search takes grain, craters, mortar, lines of letters or flat colours for a fault."""
    codes = getattr(data, name)()[:512, :512]
    pixels = np.asarray((codes if codes.ndim == 3 else codes[:, :, None])[:, :, :3] / np.float32(255), np.float32)
    picture, context = _picture(np.ascontiguousarray(pixels)), StepContextDouble()
    assert Correct(repeats="off").apply(picture, context) is picture
    assert context.results.findings == {}


def test_the_astronaut_has_only_the_fringe_of_the_lamp_in_the_visor() -> None:
    """The fringe is real, so fewer than 400 px of a clean photograph change."""
    picture, context = _picture(photograph("astronaut")), StepContextDouble()
    result = Correct().apply(picture, context)
    assert set(context.results.findings) == {"fringes", "fringes_count"}
    assert overlap(_box(_findings(context, "fringes")[0]), make_window(420, 341, 39, 34)) > 0.6
    assert 0 < changed(picture.pixels, result.pixels).sum() < 400


def test_off_skips_every_search() -> None:
    """The picture itself is returned, however bad it is."""
    picture, context = _picture(sharpened(photograph("coffee"), 3)), StepContextDouble()
    assert _correct_only().apply(picture, context) is picture
    assert context.results.findings == {}


def test_a_strength_of_zero_records_faults_and_repairs_nothing() -> None:
    """The record has the place and the size of the fault; the picture itself is returned."""
    picture, context = _picture(tiled(photograph("rocket"), 200, 6)), StepContextDouble()
    assert _correct_only(seams=0).apply(picture, context) is picture
    assert all(finding["before"] == finding["after"] for finding in _findings(context, "seams"))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_banded_sky_becomes_smooth_and_the_land_stays(depth: BitDepth) -> None:
    """At 16 bits the sky becomes a slope; at 8 bits it is dithered, and its means over 5 x 5 px are smooth."""
    smooth, banded = under_sky("coffee", 200)
    context = StepContextDouble()
    result = Correct(repeats="off").apply(_picture(banded, depth), context)
    (finding,) = _findings(context, "banding")
    assert overlap(_box(finding), make_window(0, 0, 200, 600)) > 0.85
    assert float(str(finding["after"])) < 0.4 * float(str(finding["before"]))
    assert not changed(banded, result.pixels)[200:].any()
    inner = np.s_[20:160, 20:-20]
    if depth == 16:
        assert np.abs(result.pixels - banded).max() <= 0.51 / 255
        assert np.abs(result.pixels - smooth)[inner].mean() < 0.8 * np.abs(banded - smooth)[inner].mean()
    else:
        assert np.array_equal(result.pixels, coded(result.pixels))
        blocks = [pixels[inner].reshape(28, 5, 112, 5, 3).mean(axis=(1, 3)) for pixels in (result.pixels, smooth)]
        assert np.abs(blocks[0] - blocks[1]).mean() < 0.3 / 255


def test_the_dither_depends_on_the_seed() -> None:
    """Equal seeds give equal codes, other seeds other codes."""
    _, banded = under_sky("rocket", 200)
    first, second, other_seed = (
        _correct_only(banding="auto").apply(_picture(banded), StepContextDouble(seed=seed)).pixels for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other_seed)


def test_tile_seams_are_found_and_reduced() -> None:
    """Both seams are found at their lines; in the 16-bit picture the step of the upright one falls to 35 % or less."""
    context = StepContextDouble()
    picture = _picture(tiled(photograph("rocket"), 200, 6), 16)
    result = _correct_only(seams="auto").apply(picture, context)
    boxes = [_box(finding) for finding in _findings(context, "seams")]
    assert any(rows == slice(0, 427) and columns.start < 400 < columns.stop for rows, columns in boxes)
    assert any(columns == slice(0, 640) and rows.start < 200 < rows.stop for rows, columns in boxes)
    steps = [np.abs(np.median(pixels[:190, 400] - pixels[:190, 399], axis=0)).mean() for pixels in (picture.pixels, result.pixels)]
    assert steps[1] < 0.35 * steps[0]


def test_misaligned_colours_are_realigned() -> None:
    """The error falls to 60 % or less, and the record has the misalignment in px."""
    clean = photograph("astronaut")
    context = StepContextDouble()
    misaligned = parted(clean, 0.004, -0.003)
    result = _correct_only(fringes="auto").apply(_picture(misaligned), context)
    (finding,) = _findings(context, "lateral")
    assert float(str(finding["before"])) == pytest.approx(1.4, abs=0.25)
    assert float(str(finding["after"])) < 0.3
    errors = [np.abs(pixels - clean)[16:-16, 16:-16].mean() for pixels in (result.pixels, misaligned)]
    assert errors[0] < 0.6 * errors[1]


def test_a_purple_rim_loses_its_colour_and_nothing_else_changes() -> None:
    """The rim of a blown highlight is found at its place and loses three quarters of its purple."""
    picture, context = _picture(fringed(photograph("chelsea"), np.s_[120:170, 120:200])), StepContextDouble()
    result = _correct_only(fringes="auto").apply(picture, context)
    (finding,) = _findings(context, "fringes")
    assert overlap(_box(finding), make_window(116, 116, 58, 88)) > 0.6
    rows, columns = _box(finding)
    outside = np.ones((picture.height, picture.width), bool)
    outside[rows, columns] = False
    assert not changed(picture.pixels, result.pixels)[outside].any()
    purple = [
        (np.minimum(pixels[..., 0], pixels[..., 2]) - pixels[..., 1])[116:174, 116:204].clip(0).mean()
        for pixels in (picture.pixels, result.pixels)
    ]
    assert purple[1] < 0.25 * purple[0]


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_halos_of_strong_sharpening_are_reduced(name: str) -> None:
    """Overshoot falls to less than half, and the picture comes closer to the one before sharpening."""
    clean = photograph(name)
    context = StepContextDouble()
    oversharpened = sharpened(clean, 3)
    result = _correct_only(halos="auto").apply(_picture(oversharpened), context)
    for finding in _findings(context, "halos"):
        assert float(str(finding["after"])) < 0.5 * float(str(finding["before"]))
    assert np.abs(result.pixels - clean).mean() < 0.75 * np.abs(oversharpened - clean).mean()


def test_noise_is_reduced_only_above_the_limit() -> None:
    """Ordinary noise stays; noise of more than twice the limit does not."""
    clean = photograph("chelsea")
    grain = np.random.default_rng(1).standard_normal(clean.shape, dtype=np.float32)
    slightly_noisy, very_noisy = (_picture(coded(clean + np.float32(sigma) * grain)) for sigma in (0.015, 0.06))
    assert _correct_only(noise="auto").apply(slightly_noisy, StepContextDouble()) is slightly_noisy
    context = StepContextDouble()
    result = _correct_only(noise="auto").apply(very_noisy, context)
    (finding,) = _findings(context, "noise")
    assert float(str(finding["after"])) < 0.5 * float(str(finding["before"]))
    assert np.abs(result.pixels - clean).mean() < 0.75 * np.abs(very_noisy.pixels - clean).mean()


@pytest.mark.parametrize(("name", "source", "place"), [("astronaut", (40, 180), (300, 20)), ("chelsea", (100, 100), (180, 330))])
def test_a_reported_copy_is_not_changed(name: str, source: tuple[int, int], place: tuple[int, int]) -> None:
    """Both places are on record."""
    picture, context = _picture(cloned(photograph(name), source, place, 70)), StepContextDouble()
    assert _correct_only(repeats="report").apply(picture, context) is picture
    (finding,) = _findings(context, "repeats")
    assert overlap(_box(finding), make_window(*place, 70, 70)) > 0.5
    assert overlap(_box(finding, "same_as"), make_window(*source, 70, 70)) > 0.5
    assert finding["pattern"] is False


def test_a_copy_is_repainted_only_on_request() -> None:
    """The engine fills the whole copy with its edge; the original and the rest stay, and only "repair" needs an engine."""
    picture = _picture(cloned(photograph("astronaut"), (40, 180), (300, 20), 70))
    context = StepContextDouble(inpainter=NullInpainter(side=64))
    result = _correct_only(repeats="repair").apply(picture, context)
    assert context.results.findings["repaired"] == 1
    difference = changed(picture.pixels, result.pixels)
    assert difference[300:370, 20:90].mean() > 0.75  # the copy is round
    difference[294:376, 14:96] = False
    assert not difference.any()
    assert _correct_only(repeats="repair").needs().engines[0].kind is INPAINTER
    assert _correct_only(repeats="report").needs().engines == ()


def test_a_copy_is_repainted_with_the_best_of_several_fills() -> None:
    """What it is a copy of is not copied into it once more; an engine that is named fills alone."""
    picture = _picture(cloned(photograph("astronaut"), (40, 180), (300, 20), 70))
    context = StepContextDouble(inpainter=NullInpainter(side=64))
    result = _correct_only(repeats="repair").apply(picture, context)
    (fill,) = _findings(context, "fills")
    assert fill["chosen"] in {"engine", "engine with detail", "patches"}
    assert copy_move.find(result.pixels) == []
    alone = StepContextDouble(inpainter=NullInpainter(side=64))
    _correct_only(repeats="repair", model="null-inpaint").apply(picture, alone)
    assert "fills" not in alone.results.findings


def test_a_repair_that_shows_an_object_of_its_own_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note says how to keep the copies, or the fill."""
    picture = _picture(cloned(photograph("astronaut"), (40, 180), (300, 20), 70))
    monkeypatch.setattr("goldsmith.stitching.best_fill.UNFIT_FOREIGN", -1.0)
    with pytest.raises(InputError, match="No fill is good enough") as problem:
        _correct_only(repeats="repair").apply(picture, StepContextDouble(inpainter=NullInpainter(side=64)))
    assert 'repeats = "report"' in problem.value.remedy


def test_a_pattern_is_not_repainted() -> None:
    """Tiles on a wall are recorded as a pattern; even with "repair" the picture itself is returned."""
    small = photograph("chelsea")[100:180, 100:180]
    picture, context = _picture(np.tile(small, (4, 5, 1))), StepContextDouble()
    assert _correct_only(repeats="repair").apply(picture, context) is picture
    assert all(finding["pattern"] for finding in _findings(context, "repeats"))


def test_outside_the_region_nothing_is_repaired() -> None:
    """With where = "sky" the half outside the mask keeps its bands; with an empty mask the picture itself is returned."""
    _, banded = under_sky("coffee", 200)
    mask = np.zeros(banded.shape[:2], np.float32)
    mask[:, :300] = 1
    picture = Picture(freeze(banded), masks={"sky": freeze(mask)})
    result = Correct(where="sky", repeats="off").apply(picture, StepContextDouble())
    difference = changed(banded, result.pixels)
    assert difference[:, :300].any()
    assert not difference[:, 300:].any()
    assert Correct(where="sky").needs().masks == {"sky"}
    empty = Picture(freeze(banded), masks={"sky": freeze(0 * mask)})
    assert Correct(where="sky").apply(empty, StepContextDouble()) is empty


@pytest.mark.parametrize("wrong", [{"banding": -1}, {"seams": 101}, {"halos": "on"}, {"repeats": "auto"}, {"where": "("}, {"model": ""}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Each setting has limits."""
    with pytest.raises(ValidationError):
        Correct.model_validate(wrong)


def test_a_banded_picture_is_dithered_on_its_way_through_the_folders(tmp_path: Path) -> None:
    """With the shortest brief of the manual, from selected/ to masked/, 8 bits stay 8 bits; the sky changes and the land does not."""
    _, banded = under_sky("coffee", 200)
    codes = np.round(banded * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    with studio_at(tmp_path) as studio:
        studio.put("selected/hero.png", file.getvalue())
        studio.put("selected/hero.toml", '[[edit]]\nop = "correct"\n')
        studio.until(lambda: "hero.png" in studio.folder("masked"), "the corrected picture")
        with Image.open(studio.at("masked/hero.png")) as result:
            assert result.mode == "RGB"
            difference = (np.asarray(result) != codes).any(axis=2)
    assert difference[:180].mean() > 0.3
    assert not difference[200:].any()


def test_a_drawn_pattern_is_not_noise() -> None:
    """Contrast above that of any camera's noise is intended."""
    dots = np.random.default_rng(1).integers(0, 2, (200, 200, 1)) * np.float32(0.4) + np.float32(0.3)
    picture = _picture(coded(np.repeat(dots, 3, axis=2)))
    assert _correct_only(noise="auto").apply(picture, StepContextDouble()) is picture
