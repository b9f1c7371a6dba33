"""Files that cannot mean a mask are held with a sentence; every mask that people and programs make is obeyed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from doubles.masks import Codes, as_jpeg, box, disc, gradient, legitimate, to_codes
from goldsmith.errors import InputError
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.mask_judgement import GROUND, JudgedMask, MaskNames, clean_ground, judge_mask

LIMIT = 10_000_000
DOUBLES = Path(__file__).parents[1] / "doubles"
NAMES = MaskNames("hero.mask.png", "hero.png")
KEEP = MaskNames("hero.keep.png", "hero.png", is_keep=True)
PAINT = "Paint white where the picture is to change and black where it is to stay"
# A colour with black beside it: paint on a layer that was saved with its ground.
RED, GREEN, BLUE = (230, 20, 20), (20, 200, 40), (30, 60, 230)


def photograph(name: str) -> Codes:
    """Return a photograph of scikit-image, (h, w) or (h, w, 3), codes 0..255."""
    from skimage import data

    return np.asarray(getattr(data, name)())


def as_picture(codes: NDArray[Any]) -> Picture:
    """Return codes (h, w), (h, w, 3) or (h, w, 4) as the picture in a PNG."""
    out = io.BytesIO()
    Image.fromarray(codes).save(out, "PNG")
    return decode(out.getvalue(), "hero.png", LIMIT)


ASTRONAUT = as_picture(photograph("astronaut"))


def judge(codes: NDArray[Any], picture: Picture = ASTRONAUT, names: MaskNames = NAMES) -> JudgedMask:
    """Return what a file with these codes means beside the picture."""
    return judge_mask(as_picture(codes), picture, names)


def refusal(codes: NDArray[Any], picture: Picture = ASTRONAUT, names: MaskNames = NAMES) -> InputError:
    """Return the error for a file with these codes."""
    with pytest.raises(InputError) as caught:
        judge(codes, picture, names)
    return caught.value


PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "grass", "gravel"),
    *("immunohistochemistry", "moon", "page", "rocket", "text"),
)

# Masks that are obeyed


def test_every_kind_of_mask_is_obeyed() -> None:
    """No level is changed by more than the ground, and there is nothing to tell."""
    for kind, codes in legitimate().items():
        result = judge_mask(Picture(freeze(codes[:, :, None] / np.float32(255))), ASTRONAUT, NAMES)
        assert result.remark == "", kind
        assert np.abs(result.mask - codes / np.float32(255)).max() <= GROUND + 1e-6, kind


@pytest.mark.parametrize("codes", [disc(600, 512, 0.3), disc(600, 512, 1.2), gradient(600, 512)])
@pytest.mark.parametrize("names", [NAMES, KEEP])
def test_a_mask_of_the_picture_s_own_size_is_obeyed_beside_it(codes: Codes, names: MaskNames) -> None:
    """Few of the picture's greys stand in the mask at the same place."""
    picture = as_picture(cv2.resize(photograph("astronaut"), codes.shape[::-1]))
    assert judge(codes, picture, names).remark == ""


def test_a_gradient_over_a_picture_with_the_same_gradient_is_obeyed() -> None:
    """A sky fades like the mask that is painted for it, and is not repeated by it."""
    sky = gradient(400, 600, 0.9, 0.3, noise=2)
    assert judge(gradient(400, 600, 1.0, 0.0), as_picture(sky)).mask.max() == 1


# Photographs


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("is_grey", [False, True])
def test_a_photograph_is_not_a_mask(name: str, is_grey: bool) -> None:
    """Whatever the picture is, and whether the photograph has colours or not."""
    codes = photograph(name)
    codes = cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY) if is_grey and codes.ndim == 3 else codes
    error = refusal(codes, as_picture(box(64, 64)))
    assert "hero.mask.png is a picture, not a mask: " in error.sentence
    assert error.sentence.endswith("of it is neither black nor white.")
    assert error.remedy == f"{PAINT}, and save only what you painted."


def test_a_photograph_as_jpeg_in_another_size_is_not_a_mask() -> None:
    """Hands on a white table: 40 % of them is nearly white."""
    codes = np.asarray(Image.open(DOUBLES / "hands.jpg").convert("L"))
    for scale in (0.5, 1.0, 4.0):
        resized = cv2.resize(codes, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        assert "is a picture, not a mask" in refusal(as_jpeg(resized, 80)).sentence


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "camera"])
def test_a_cut_out_photograph_on_black_or_white_is_not_a_mask(name: str, ground: int) -> None:
    """It is the picture of a product on plain ground, in grey: three quarters are black or white, as in a mask."""
    codes = photograph(name)
    codes = cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY) if codes.ndim == 3 else codes
    down, across = np.mgrid[0 : codes.shape[0], 0 : codes.shape[1]]
    inside = np.hypot(down / codes.shape[0] - 0.5, across / codes.shape[1] - 0.5) < 0.3
    assert "is a picture, not a mask" in refusal(np.where(inside, codes, ground).astype(np.uint8)).sentence


@pytest.mark.parametrize("paint", [RED, (255, 255, 255), (0, 0, 0)])
@pytest.mark.parametrize("names", [NAMES, KEEP])
def test_paint_on_a_copy_of_the_picture_is_not_a_mask(paint: tuple[int, int, int], names: MaskNames) -> None:
    """The unpainted part shows the picture. A keep file is judged in the same way, and its remedy says what its white means."""
    codes = photograph("astronaut").copy()
    codes[40:300, 350:480] = paint
    error = refusal(codes, names=names)
    assert error.sentence == f"{names.mask} is a picture, not a mask: it shows what hero.png shows."
    assert error.remedy == f"{names.hint}, and save only what you painted."


def test_a_copy_of_a_smooth_or_dark_picture_is_not_a_mask() -> None:
    """A gradient and a night sky have no texture, but they repeat the picture's greys."""
    for codes in (gradient(300, 400, 0.3, 0.7), cv2.cvtColor(photograph("hubble_deep_field"), cv2.COLOR_RGB2GRAY)):
        assert "it shows what hero.png shows" in refusal(codes, as_picture(codes)).sentence


# Transparent files


def with_hole(codes: Codes, hidden: int | None = None) -> Codes:
    """Return codes (h, w, 4) with a soft transparent disc; ``hidden``: the code under it, or None if the colours stay."""
    hole = disc(codes.shape[0], codes.shape[1], 0.1)
    colours = codes if hidden is None else np.where(hole[:, :, None] == 255, hidden, codes)
    return np.dstack([colours, 255 - hole]).astype(np.uint8)


@pytest.mark.parametrize("hidden", [None, 0, 255])
def test_the_hole_in_a_copy_of_the_picture_is_the_mask(hidden: int | None) -> None:
    """Photoshop and GIMP save it so, with and without the colours of transparent pixels. The record says how it was read."""
    codes = with_hole(photograph("astronaut"), hidden)
    result = judge(codes)
    expected = clean_ground(freeze((255 - codes[:, :, 3]) / np.float32(255)))
    assert np.abs(result.mask - expected).max() < 1e-6
    assert result.mask[0, 0] == 0
    assert result.mask[256, 256] == 1
    assert result.remark == "hero.mask.png is hero.png with a transparent part: that part is the mask"


def test_a_hole_is_the_mask_after_jpeg_and_after_a_grade() -> None:
    """The rest need not be equal to the code: it shows the same."""
    codes = photograph("astronaut")
    for changed in (as_jpeg(codes, 60), (255 * (codes / 255) ** 0.7).astype(np.uint8)):
        assert judge(with_hole(np.asarray(changed))).mask[256, 256] == 1


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_a_hole_in_a_copy_of_another_size_is_the_mask(scale: float) -> None:
    """Its size is the next question, and a brief may ask for the mask to be scaled."""
    codes = cv2.resize(with_hole(photograph("astronaut")), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = judge(codes).mask
    assert (mask[0, 0], mask[round(256 * scale), round(256 * scale)]) == (0, 1)


def test_a_hole_in_another_picture_is_held() -> None:
    """Neither the hole nor the rest of a strange picture can be meant."""
    error = refusal(with_hole(np.ascontiguousarray(photograph("astronaut")[:, ::-1])))
    assert error.sentence == (
        "hero.mask.png is a picture with transparent parts, and the rest of it is not hero.png: it does not say which part is to change."
    )
    assert error.remedy == f"{PAINT}, or erase that part in a copy of hero.png."


def test_a_hole_in_a_flat_picture_is_held_because_it_may_be_paint() -> None:
    """One colour round a hole in a picture of that colour, or paint of that colour: the inverse is never obeyed."""
    flat = np.full((300, 400, 3), (64, 128, 188), np.uint8)
    error = refusal(with_hole(flat), as_picture(flat))
    assert "it may be paint, or the picture with a hole" in error.sentence


def test_a_keep_file_with_a_hole_is_held() -> None:
    """It may be the part to keep or the part to change."""
    error = refusal(with_hole(photograph("astronaut")), names=KEEP)
    assert error.sentence == ("hero.keep.png is hero.png with a transparent part: it may be the part to keep, or the part to change.")
    assert "If the transparent part is to change, name the file .mask. instead of .keep." in error.remedy


@pytest.mark.parametrize("paint", [RED, GREEN, BLUE, (250, 250, 250), (0, 0, 0), (128, 128, 128)])
@pytest.mark.parametrize("grain", [0, 12])
def test_paint_of_one_hue_on_transparent_ground_counts_by_its_alpha(paint: tuple[int, int, int], grain: int) -> None:
    """Its brightness and the grain of the brush do not count."""
    noise = np.random.default_rng(0).normal(0, grain, (512, 512, 1))
    alpha = disc(512, 512, 0.2)
    codes = np.dstack([np.clip(np.array(paint) + noise, 0, 255), alpha]).astype(np.uint8)
    result = judge(codes)
    assert np.abs(result.mask - clean_ground(freeze(alpha / np.float32(255)))).max() < 1e-6


def test_a_brush_with_much_grain_counts_by_its_alpha_if_it_has_one_hue() -> None:
    """Red from dark to bright."""
    shade = np.random.default_rng(0).uniform(0.4, 1.0, (512, 512, 1))
    codes = np.dstack([np.array(RED) * shade, disc(512, 512, 0)]).astype(np.uint8)
    assert judge(codes).mask[256, 256] == 1


def test_black_and_white_on_transparent_ground_count_by_their_brightness() -> None:
    """Black paint keeps, and so does the ground."""
    codes = np.dstack([box(512, 512), disc(512, 512, 0)])
    mask = judge(np.dstack([codes[:, :, :1]] * 3 + [codes[:, :, 1]])).mask
    assert (mask[256, 256], mask[110, 256], mask[0, 0]) == (1, 0, 0)


def test_a_gradient_on_transparent_ground_counts_by_its_brightness() -> None:
    """Greys of a mask are smooth."""
    shade, alpha = gradient(512, 512), box(512, 512)
    mask = judge(np.dstack([shade, shade, shade, alpha])).mask
    assert mask[256, 300] == pytest.approx(shade[256, 300] / 255, abs=1e-6)
    assert mask[5, 300] == 0


def test_a_file_that_is_transparent_all_over_is_held() -> None:
    """Nothing is painted on the layer."""
    error = refusal(np.zeros((512, 512, 4), np.uint8))
    assert error.sentence == "The mask hero.mask.png is transparent all over, so it selects nothing."


# Colour


@pytest.mark.parametrize("paint", [RED, GREEN, BLUE, (128, 0, 0)])
@pytest.mark.parametrize("ground", [0, 255])
def test_colour_on_opaque_ground_is_held(paint: tuple[int, int, int], ground: int) -> None:
    """Its brightness would count: red 0.21, blue 0.07. The same colours are the first classes of a label map."""
    codes = np.where(box(512, 512)[:, :, None] == 255, paint, ground).astype(np.uint8)
    error = refusal(codes)
    assert error.sentence == ("hero.mask.png is painted in colour (25% of it): a label map, or a layer that was saved with its ground?")
    assert error.remedy == f"{PAINT}, or save the paint alone, on transparent ground."


def test_a_small_dot_of_colour_is_held_on_opaque_ground_and_obeyed_on_transparent_ground() -> None:
    """A dust spot in a large picture may fall between the samples."""
    codes = np.zeros((2100, 2100, 3), np.uint8)
    codes[1001:1004, 1001:1004] = RED
    assert "is painted in colour (less than 1% of it)" in refusal(codes).sentence
    mask = judge(np.dstack([codes, codes.max(axis=2) // RED[0] * 255])).mask
    assert (np.count_nonzero(mask), mask.max()) == (9, 1)


def test_a_faint_cast_of_a_mask_is_no_colour() -> None:
    """A warm white and the colours that JPEG leaves at edges."""
    codes = np.dstack([box(512, 512), box(512, 512, 250), box(512, 512, 240)])
    assert judge(as_jpeg(codes, 60)).mask[256, 256] > 0.9


def test_a_palette_of_a_label_map_is_held() -> None:
    """PASCAL VOC: black ground, class 15 and a pale border, as an indexed PNG."""
    image = Image.fromarray(np.where(box(300, 400) == 255, 15, 0).astype(np.uint8), "P")
    palette = np.zeros((256, 3), np.uint8)
    palette[15], palette[255] = (192, 128, 128), (224, 224, 192)
    image.putpalette(palette.tobytes())
    out = io.BytesIO()
    image.save(out, "PNG")
    with pytest.raises(InputError, match="is painted in colour"):
        judge_mask(decode(out.getvalue(), "a.png", LIMIT), ASTRONAUT, NAMES)


# Levels


@pytest.mark.parametrize("label", [1, 2, 8, 16, 20, 63])
def test_a_label_map_is_held(label: int) -> None:
    """Its brightest value is under a quarter of white."""
    error = refusal(box(300, 400, label))
    assert error.sentence == f"hero.mask.png is nearly black, its brightest value is {label} of 255: a label map?"
    assert error.remedy == "Make the part that is to change white (255) and the rest black (0)."
    assert "the part that is to stay" in refusal(box(300, 400, label), names=KEEP).remedy


@pytest.mark.parametrize(("value", "guess"), [(1, "a label map?"), (255, "8-bit values in a 16-bit file?")])
def test_codes_of_8_bits_in_a_file_of_16_are_held(value: int, guess: str) -> None:
    """The sentence counts in the file's own codes."""
    error = refusal(box(300, 400).astype(np.uint16) // 255 * value)
    assert error.sentence == f"hero.mask.png is nearly black, its brightest value is {value} of 65535: {guess}"


def test_a_quarter_of_white_is_a_mask_and_16_bits_are_too() -> None:
    """64 of 255, and full 16-bit codes."""
    assert judge(box(300, 400, 64)).mask.max() == pytest.approx(64 / 255)
    assert judge(box(300, 400).astype(np.uint16) * 257).mask.max() == 1


def test_a_named_mask_may_be_as_dark_as_clear_glass() -> None:
    """The opacity of glass is about 0.18; a label map of that name is held all the same."""
    glass = MaskNames("hero.mask.pane.png", "hero.png", has_name=True)
    assert judge(box(300, 400, 46), names=glass).mask.max() == pytest.approx(46 / 255)
    assert "its brightest value is 8 of 255" in refusal(box(300, 400, 8), names=glass).sentence


def test_many_flat_greys_are_a_label_map() -> None:
    """Classes or objects numbered in steps; two flat greys are a person's."""
    codes = box(300, 400)
    for number, level in enumerate((60, 90, 120, 150, 180)):
        codes[10 + 50 * number : 50 + 50 * number, 10:60] = level
    assert refusal(codes).sentence == "hero.mask.png has flat parts with the values 60, 90, 120, 150 … of 255: a label map?"
    codes[:, :60] = 0
    codes[10:100, 10:90], codes[110:200, 10:90] = 64, 128
    assert judge(codes).mask[50, 50] == pytest.approx(64 / 255)


def test_a_dark_flat_level_beside_black_is_a_label_map() -> None:
    """Class 15 and a white border: the class would count as ground, and only its border would change."""
    codes = box(300, 400, 15)
    codes[70:75], codes[225:230] = 255, 255
    assert refusal(codes).sentence == "hero.mask.png has flat parts with the value 15 of 255: a label map?"


@pytest.mark.parametrize("level", [40, 128, 250])
def test_one_grey_all_over_says_what_it_is(level: int) -> None:
    """Not "probably inverted". JPEG noise is tolerated."""
    if level == 40:
        assert "its brightest value is 40 of 255" in refusal(np.full((300, 400), level, np.uint8)).sentence
        return
    error = refusal(as_jpeg(np.full((300, 400), level, np.uint8), 80))
    assert error.sentence == f"hero.mask.png is one grey all over ({level} of 255), so it selects no part of the picture."


def test_greys_without_black_and_white_say_what_they_are() -> None:
    """A soft cloud of greys from 100 to 180."""
    error = refusal(to_codes(0.39 + 0.32 * disc(300, 400, 1.0) / 255))
    assert error.sentence == "hero.mask.png is grey all over: its values go from 100 to 178 of 255, without black or white."


def test_a_grey_ground_is_held() -> None:
    """With a ground of 20 the whole picture would change by 8 %."""
    error = refusal(box(300, 400, 255, ground=20))
    assert error.sentence == "hero.mask.png has no black: its ground is 20 of 255, so all of the picture would change."


@pytest.mark.parametrize("ground", [1, 4, 15, 16])
def test_a_dark_ground_is_black(ground: int) -> None:
    """Levels up to 16 of 255 change nothing: every pixel of the ground is zero, and white stays white."""
    mask = judge(box(300, 400, 255, ground)).mask
    assert np.count_nonzero(mask) == 300 * 400 // 4
    assert mask.max() == 1


def test_video_range_is_stretched_and_told() -> None:
    """Black is 16 and white 235: neither would be."""
    result = judge(box(300, 400, 235, 16))
    assert set(np.unique(result.mask)) == {0, 1}
    assert result.remark == "hero.mask.png has video range (16 to 235 of 255): it was stretched"


def test_a_cleaned_ground_leaves_no_step_and_no_other_level() -> None:
    """Levels from twice the ground on are exact, and the curve between is continuous and rises."""
    ramp = freeze(np.linspace(0, 1, 2551, dtype=np.float32)[None])
    cleaned = clean_ground(ramp)
    assert np.array_equal(cleaned[ramp >= 2 * GROUND + 1e-6], ramp[ramp >= 2 * GROUND + 1e-6])
    assert not cleaned[ramp <= GROUND].any()
    assert 0 <= np.diff(cleaned[0]).min() <= np.diff(cleaned[0]).max() < 3 / 2551
    binary = freeze(np.round(ramp))
    assert clean_ground(binary) is binary
