"""Inks: the same as littleCMS' own tool makes, never above the limit, black kept, and what a press cannot print is found."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from skimage import data

from doubles.press import PAPER_LAB, press_file, press_profile, printed
from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print import cmyk

GHOSTSCRIPT = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")
TRANSICC = shutil.which("transicc")
INTENTS: tuple[colour.RenderingIntent, ...] = ("perceptual", "relative", "saturation", "absolute")


def _plate(pixels: np.ndarray, **more: object) -> Picture:
    return Picture(freeze(np.asarray(pixels, np.float32)), **more)  # type: ignore[arg-type]


def _photograph(name: str = "astronaut") -> Picture:
    return _plate(getattr(data, name)()[::4, ::4, :3] / np.float32(255))


def _colours() -> Picture:
    rows = np.random.default_rng(3).random((1, 200, 3))
    rows[0, :5] = [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    return _plate(np.round(rows * 65535) / 65535)


@pytest.mark.skipif(TRANSICC is None, reason="transicc (Debian's liblcms2-utils) is not here")
@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("black_point", [False, True])
def test_the_inks_are_those_of_littlecms_own_tool(intent: colour.RenderingIntent, black_point: bool, tmp_path: Path) -> None:
    """Every intent, with and without black point compensation, within a code of 16 bits of transicc in floats."""
    picture, source = _colours(), tmp_path / "srgb.icc"
    source.write_bytes(profiles.builtin_profile("srgb"))
    asked = "\n".join(" ".join(f"{value * 255:.7f}" for value in one) for one in picture.pixels[0].astype(float)) + "\n"
    command = [str(TRANSICC), f"-i{source}", f"-o{press_file()}", f"-t{INTENTS.index(intent)}", "-n", "-c0", *(["-b"] * black_point)]
    said = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
    wanted = np.array([[float(word) for word in line.split()] for line in said.splitlines() if line.strip()]) / 100
    made = cmyk.convert_to_inks(picture, press_profile(), intent, black_point)
    assert wanted.shape == made[0].shape
    assert np.abs(made[0] - wanted).max() < 2 / 65535


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("black_point", [False, True])
@pytest.mark.parametrize("profile", [press_file(), GHOSTSCRIPT], ids=["our own", "ghostscript's"])
def test_the_inks_are_those_that_pillow_asks_littlecms_for(profile: Path, intent: colour.RenderingIntent, black_point: bool) -> None:
    """Another way to the same library, which knows 8 bits only: within a code of them for every intent, also for a press of others."""
    if not profile.exists():
        pytest.skip("Ghostscript's default_cmyk.icc (Debian's libgs-common) is not here")
    codes = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    codes[0, :4] = [(0, 0, 0), (255, 255, 255), (10, 10, 10), (255, 0, 0)]
    flags = ImageCms.Flags.NOOPTIMIZE | (ImageCms.Flags.BLACKPOINTCOMPENSATION if black_point else 0)
    source = ImageCms.ImageCmsProfile(BytesIO(profiles.builtin_profile("srgb")))
    target = ImageCms.ImageCmsProfile(BytesIO(profile.read_bytes()))
    way = ImageCms.buildTransform(source, target, "RGB", "CMYK", ImageCms.Intent(INTENTS.index(intent)), flags)
    wanted = np.asarray(ImageCms.applyTransform(Image.fromarray(codes), way)).astype(int)
    made = cmyk.convert_to_inks(_plate(codes / np.float32(255)), profile.read_bytes(), intent, black_point)
    assert np.abs(made * 255 - wanted).max() < 1.1


def test_a_picture_comes_back_from_the_press() -> None:
    """There and back a printable photograph is what it was, within what tables of 9 and 17 nodes can tell."""
    picture = _plate(_photograph("chelsea").pixels * 0.5 + 0.25)
    back = cmyk.soft_proof(cmyk.convert_to_inks(picture, press_profile(), "relative", True), press_profile(), simulate_paper=False)
    assert np.abs(back - picture.pixels).mean() < 1.5 / 255


def test_the_intents_are_different_things() -> None:
    """Each has its own table or its own white; compensation changes the shadows and leaves white paper white."""
    picture = _colours()
    made = [cmyk.convert_to_inks(picture, press_profile(), intent, black_point=False) for intent in INTENTS]
    for number, one in enumerate(made):
        assert all(np.abs(one - other).max() > 0.02 for other in made[number + 1 :])
    with_it = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point=True)
    assert np.abs(with_it[0, 0] - made[1][0, 0]).max() > 0.1
    assert with_it[0, 1].max() < 0.01
    assert made[1][0, 1].max() < 0.01
    assert made[3][0, 1].max() < 0.01  # white is beyond the paper


def test_the_proof_on_paper_shows_the_paper() -> None:
    """No ink at all is white on the screen, and the paper's own colour with ``paper``; solid black is then no black."""
    none, solid = np.zeros((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)
    assert cmyk.soft_proof(none, press_profile(), simulate_paper=False).min() > 0.995
    seen = cmyk.soft_proof(none, press_profile(), simulate_paper=True)[0, 0]
    assert 0.85 < seen.min() < seen.max() < 0.97
    assert seen[0] > seen[1] > seen[2]  # the paper is yellowish: L 94, b 4
    assert PAPER_LAB[2] > 0
    darkest = cmyk.soft_proof(solid, press_profile(), simulate_paper=False).max()
    assert darkest < 0.01
    assert cmyk.soft_proof(solid, press_profile(), simulate_paper=True).min() > darkest


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), limit=st.floats(150, 400))
def test_no_sum_of_inks_is_above_the_limit_and_no_black_is_taken(values: list[float], limit: float) -> None:
    """Whatever the inks: they stay inks, their sum stays below the limit, black never shrinks and no colour grows."""
    before = np.array(values, np.float32).reshape(1, 1, 4)
    after = cmyk.limit_coverage(before, limit)
    assert after.min() >= -1e-6
    assert after.max() <= 1 + 1e-6
    assert cmyk.ink_coverage(after).max() <= limit + 1e-3
    assert after[0, 0, 3] >= before[0, 0, 3] - 1e-6
    assert (after[0, 0, :3] <= before[0, 0, :3] + 1e-6).all()


def test_inks_far_below_the_limit_are_left_alone() -> None:
    """The very array comes back; where only some are above, the others keep every value."""
    thin = np.random.default_rng(1).random((20, 20, 4), dtype=np.float32) * 0.6
    assert cmyk.limit_coverage(thin, 300) is thin
    thin[3, 4] = 1
    made = cmyk.limit_coverage(thin, 300)
    changed = (made != thin).any(axis=2)
    assert changed.sum() == 1
    assert changed[3, 4]


def test_the_limit_keeps_darkness_and_hue_better_than_scaling() -> None:
    """On the darks of a photograph grey for black is nearer, by the model of the press itself, than all inks made smaller."""
    inks = cmyk.convert_to_inks(_photograph(), press_profile(), "relative", black_point=False)
    dark = inks[cmyk.ink_coverage(inks) > 300][None]
    assert dark.shape[1] > 500
    wanted, limit = _lab(dark), 260
    ours = np.abs(_lab(cmyk.limit_coverage(dark, limit)) - wanted).mean(axis=1)
    scaled = np.abs(_lab(dark * (limit / cmyk.ink_coverage(dark))[..., None]) - wanted).mean(axis=1)
    assert ours[0, 0] < scaled[0, 0] * 0.6
    assert np.sqrt(((_lab(cmyk.limit_coverage(dark, limit)) - wanted) ** 2).sum(axis=2)).mean() < 3.5


def test_a_slope_into_the_limit_has_no_edge() -> None:
    """Where the sum reaches the limit it bends: no step of the slope is much unlike the one before it, and none turns back."""
    slope = np.linspace(0.5, 1, 1001, dtype=np.float32)
    inks = np.repeat(slope[None, :, None], 4, axis=2)
    sums = cmyk.ink_coverage(cmyk.limit_coverage(inks, 300))[0]
    steps = np.diff(sums)
    assert steps.min() > -1e-3
    assert np.abs(np.diff(steps)).max() < 0.02


def test_rounding_and_dither_cannot_lift_codes_above_the_limit() -> None:
    """Codes a little too high lose a code or two of the colours, never black; those below are left."""
    random = np.random.default_rng(5)
    codes = random.integers(180, 200, (40, 40, 4)).astype(np.uint8)
    made = cmyk.limit_code_coverage(codes, 290)
    assert cmyk.code_sums(made).max() <= 290 / 100 * 255
    assert (made[..., 3] == codes[..., 3]).all()
    under = cmyk.code_sums(codes) <= 290 / 100 * 255
    assert under.any()
    assert (made[under] == codes[under]).all()
    assert (codes.astype(int) - made).max() <= 21
    odd = np.array([[[0, 255, 255, 255]]], np.uint8)
    assert cmyk.code_sums(cmyk.limit_code_coverage(odd, 250)).max() <= 250 / 100 * 255


def test_what_the_press_cannot_print_is_a_share() -> None:
    """Grey is printable, a screen's blue and green are not, and half of each is half."""
    grey, blue = np.full((40, 40, 3), 0.5), np.zeros((40, 40, 3))
    blue[..., 2] = 1
    assert cmyk.out_of_gamut_share(_plate(grey), press_profile()) == 0
    assert cmyk.out_of_gamut_share(_plate(blue), press_profile()) == 1
    assert cmyk.out_of_gamut_share(_plate(np.concatenate([grey, blue])), press_profile()) == pytest.approx(0.5)
    assert cmyk.out_of_gamut_share(_plate(grey[..., :1]), press_profile()) == 0


def test_a_grey_picture_and_one_of_another_profile_are_separated_by_what_they_look_like() -> None:
    """One channel without a profile is that grey of sRGB; the same colours in Display P3 get the same inks."""
    grey = _plate(np.linspace(0, 1, 50).reshape(1, 50, 1))
    coloured = _plate(np.repeat(grey.pixels, 3, axis=2))
    one, other = (cmyk.convert_to_inks(picture, press_profile(), "relative", True) for picture in (grey, coloured))
    assert np.array_equal(one, other)
    photo = _photograph()
    wide = colour.convert_profile(photo, "display-p3")
    first, second = (cmyk.convert_to_inks(picture, press_profile(), "relative", True) for picture in (photo, wide))
    assert np.abs(first - second).max() < 0.01


@pytest.mark.parametrize(
    ("icc", "said"),
    [
        (b"nothing", "is no ICC profile"),
        (profiles.builtin_profile("srgb"), "is a profile for RGB (sRGB IEC61966-2.1), not for CMYK"),
        (press_profile() + b"\0" * cmyk.MAX_PROFILE_BYTES, "has more than 16 MB"),
        (press_profile().replace(b"prtr", b"link", 1), "is no profile of a printing device (its class is “link”)"),
    ],
    ids=["no profile", "a screen's", "too large", "a link's"],
)
def test_a_profile_of_no_press_is_refused_by_name(icc: bytes, said: str) -> None:
    """The sentence says which file and what it is."""
    with pytest.raises(InputError) as caught:
        cmyk.validate_cmyk_profile(icc, "library/profiles/x.icc")
    assert caught.value.sentence.startswith("library/profiles/x.icc")
    assert said in caught.value.sentence


def test_a_press_profile_without_its_way_to_inks_is_refused() -> None:
    """One that can only be looked through prints nothing; a damaged table is a sentence too, no crash."""
    with pytest.raises(InputError, match="no table from colours to inks"):
        cmyk.validate_cmyk_profile(press_profile().replace(b"B2A0", b"xxxx"), "library/profiles/x.icc")
    broken = press_profile().replace(b"mft2", b"mft9")
    with pytest.raises(InputError, match="cannot be used"):
        cmyk.convert_to_inks(_colours(), cmyk.validate_cmyk_profile(broken, "x"), "relative", True)


@settings(max_examples=150, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_profile_is_a_sentence_or_works(places: list[tuple[int, int]]) -> None:
    """Whatever stands in its header and its table of tags: inks, or a Problem, never another error."""
    icc = bytearray(press_profile())
    for place, value in places:
        icc[place] = value
    try:
        inks = cmyk.convert_to_inks(_plate(np.full((1, 2, 3), 0.5)), cmyk.validate_cmyk_profile(bytes(icc), "x"), "relative", True)
    except InputError:
        return
    assert inks.shape == (1, 2, 4)


def test_the_work_can_be_called_off_between_bands() -> None:
    """Progress is told in rising fractions to the end, and what it raises ends the work."""
    told: list[float] = []
    picture = _plate(np.zeros((600, 1000, 3)))
    cmyk.convert_to_inks(picture, press_profile(), "relative", True, told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 1

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cmyk.convert_to_inks(picture, press_profile(), "relative", True, stop)


def _lab(inks: np.ndarray) -> np.ndarray:
    """Lab of (1, n, 4) inks by the model of the press, relative to D50."""
    ratio = printed(inks[0].astype(float)) / np.array([0.9642, 1.0, 0.8249])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)[None]
