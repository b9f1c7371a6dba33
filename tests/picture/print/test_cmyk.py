"""Inks equal those of littleCMS' own tool and stay below the limit, black is kept, and unprintable colours are measured."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
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
from goldsmith.picture.picture import Picture, freeze, quantise
from goldsmith.picture.print import cmyk

GHOSTSCRIPT = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")
TRANSICC = shutil.which("transicc")
INTENTS: tuple[colour.RenderingIntent, ...] = ("perceptual", "relative", "saturation", "absolute")


def _picture(pixels: np.ndarray, **more: object) -> Picture:
    return Picture(freeze(np.asarray(pixels, np.float32)), **more)  # type: ignore[arg-type]


def _photograph(name: str = "astronaut") -> Picture:
    return _picture(getattr(data, name)()[::4, ::4, :3] / np.float32(255))


def _colours() -> Picture:
    rows = np.random.default_rng(3).random((1, 200, 3))
    rows[0, :5] = [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    return _picture(np.round(rows * 65535) / 65535)


@pytest.mark.skipif(TRANSICC is None, reason="transicc (Debian's liblcms2-utils) is not installed")
@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("black_point", [False, True])
def test_inks_equal_those_of_the_tool_of_littlecms(intent: colour.RenderingIntent, black_point: bool, tmp_path: Path) -> None:
    """Inks equal those of transicc within two codes of 16 bits, for every intent, with and without black point compensation."""
    picture, source = _colours(), tmp_path / "srgb.icc"
    source.write_bytes(profiles.builtin_profile("srgb"))
    text = "\n".join(" ".join(f"{value * 255:.7f}" for value in colour_values) for colour_values in picture.pixels[0].astype(float)) + "\n"
    command = [str(TRANSICC), f"-i{source}", f"-o{press_file()}", f"-t{INTENTS.index(intent)}", "-n", "-c0", *(["-b"] * black_point)]
    output = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    expected = np.array([[float(word) for word in line.split()] for line in output.splitlines() if line.strip()]) / 100
    result = cmyk.convert_to_inks(picture, press_profile(), intent, black_point)
    assert expected.shape == result[0].shape
    assert np.abs(result[0] - expected).max() < 2 / 65535


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("black_point", [False, True])
@pytest.mark.parametrize("find_profile", [press_file, lambda: GHOSTSCRIPT], ids=["our own", "ghostscript's"])
def test_inks_equal_those_of_pillow(find_profile: Callable[[], Path], intent: colour.RenderingIntent, black_point: bool) -> None:
    """Pillow calls littleCMS at 8 bits; the results agree within one of its codes for every intent, also for another profile."""
    profile = find_profile()
    if not profile.exists():
        pytest.skip("Ghostscript's default_cmyk.icc (Debian's libgs-common) is not installed")
    codes = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    codes[0, :4] = [(0, 0, 0), (255, 255, 255), (10, 10, 10), (255, 0, 0)]
    flags = ImageCms.Flags.NOOPTIMIZE | (ImageCms.Flags.BLACKPOINTCOMPENSATION if black_point else 0)
    source = ImageCms.ImageCmsProfile(BytesIO(profiles.builtin_profile("srgb")))
    target = ImageCms.ImageCmsProfile(BytesIO(profile.read_bytes()))
    transform = ImageCms.buildTransform(source, target, "RGB", "CMYK", ImageCms.Intent(INTENTS.index(intent)), flags)
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(codes), transform)).astype(int)
    result = cmyk.convert_to_inks(_picture(codes / np.float32(255)), profile.read_bytes(), intent, black_point)
    assert np.abs(result * 255 - expected).max() < 1.1


def test_a_printable_picture_survives_conversion_to_inks_and_back() -> None:
    """Differences stay within the precision of tables of 9 and 17 nodes."""
    picture = _picture(_photograph("chelsea").pixels * 0.5 + 0.25)
    back = cmyk.soft_proof(
        quantise(cmyk.convert_to_inks(picture, press_profile(), "relative", True), 16), press_profile(), simulate_paper=False
    )
    assert np.abs(back - picture.pixels).mean() < 1.5 / 255


def test_the_intents_differ() -> None:
    """Intents have their own table or white; compensation changes the shadows and keeps the white of the paper."""
    picture = _colours()
    result = [cmyk.convert_to_inks(picture, press_profile(), intent, black_point=False) for intent in INTENTS]
    for number, inks in enumerate(result):
        assert all(np.abs(inks - other).max() > 0.02 for other in result[number + 1 :])
    compensated = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point=True)
    assert np.abs(compensated[0, 0] - result[1][0, 0]).max() > 0.1
    assert compensated[0, 1].max() < 0.01
    assert result[1][0, 1].max() < 0.01
    assert result[3][0, 1].max() < 0.01  # white is beyond the paper


def test_the_soft_proof_can_simulate_the_paper() -> None:
    """Paper without ink is white on the screen, or has the paper's colour if that is simulated; solid black is not black then."""
    none, solid = np.zeros((1, 1, 4), np.uint8), np.full((1, 1, 4), 255, np.uint8)
    assert cmyk.soft_proof(none, press_profile(), simulate_paper=False).min() > 0.995
    paper = cmyk.soft_proof(none, press_profile(), simulate_paper=True)[0, 0]
    assert 0.85 < paper.min() < paper.max() < 0.97
    assert paper[0] > paper[1] > paper[2]  # the paper is yellowish: L 94, b 4
    assert PAPER_LAB[2] > 0
    darkest = cmyk.soft_proof(solid, press_profile(), simulate_paper=False).max()
    assert darkest < 0.01
    assert cmyk.soft_proof(solid, press_profile(), simulate_paper=True).min() > darkest


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), limit=st.floats(150, 400))
def test_limited_inks_are_below_the_limit_and_keep_their_black(values: list[float], limit: float) -> None:
    """Limited inks stay in 0..1, black never shrinks and no colour grows."""
    before = np.array(values, np.float32).reshape(1, 1, 4)
    after = cmyk.limit_coverage(before, limit)
    assert after.min() >= -1e-6
    assert after.max() <= 1 + 1e-6
    assert cmyk.ink_coverage(after).max() <= limit + 1e-3
    assert after[0, 0, 3] >= before[0, 0, 3] - 1e-6
    assert (after[0, 0, :3] <= before[0, 0, :3] + 1e-6).all()


def test_inks_below_the_limit_are_not_changed() -> None:
    """If all sums are below the limit, the same array is returned; otherwise the pixels below the limit keep every value."""
    thin = np.random.default_rng(1).random((20, 20, 4), dtype=np.float32) * 0.6
    assert cmyk.limit_coverage(thin, 300) is thin
    thin[3, 4] = 1
    result = cmyk.limit_coverage(thin, 300)
    changed = (result != thin).any(axis=2)
    assert changed.sum() == 1
    assert changed[3, 4]


def test_the_limit_keeps_darkness_and_hue_better_than_scaling() -> None:
    """Replacing colour by black is closer on the darks of a photograph, by the model of the press, than scaling all inks."""
    inks = cmyk.convert_to_inks(_photograph(), press_profile(), "relative", black_point=False)
    dark = inks[cmyk.ink_coverage(inks) > 300][None]
    assert dark.shape[1] > 500
    expected, limit = _lab(dark), 260
    limited = np.abs(_lab(cmyk.limit_coverage(dark, limit)) - expected).mean(axis=1)
    scaled = np.abs(_lab(dark * (limit / cmyk.ink_coverage(dark))[..., None]) - expected).mean(axis=1)
    assert limited[0, 0] < scaled[0, 0] * 0.6
    assert np.sqrt(((_lab(cmyk.limit_coverage(dark, limit)) - expected) ** 2).sum(axis=2)).mean() < 3.5


def test_a_gradient_into_the_limit_has_no_edge() -> None:
    """Steps of the gradient change gradually, and none reverses."""
    slope = np.linspace(0.5, 1, 1001, dtype=np.float32)
    inks = np.repeat(slope[None, :, None], 4, axis=2)
    sums = cmyk.ink_coverage(cmyk.limit_coverage(inks, 300))[0]
    steps = np.diff(sums)
    assert steps.min() > -1e-3
    assert np.abs(np.diff(steps)).max() < 0.02


def test_codes_above_the_limit_are_reduced_after_rounding() -> None:
    """Codes above the limit lose colour, never black; codes below it are not changed."""
    random = np.random.default_rng(5)
    codes = random.integers(180, 200, (40, 40, 4)).astype(np.uint8)
    result = cmyk.limit_code_coverage(codes, 290)
    assert cmyk.code_sums(result).max() <= 290 / 100 * 255
    assert (result[..., 3] == codes[..., 3]).all()
    is_below = cmyk.code_sums(codes) <= 290 / 100 * 255
    assert is_below.any()
    assert (result[is_below] == codes[is_below]).all()
    assert (codes.astype(int) - result).max() <= 21
    odd = np.array([[[0, 255, 255, 255]]], np.uint8)
    assert cmyk.code_sums(cmyk.limit_code_coverage(odd, 250)).max() <= 250 / 100 * 255


def test_the_unprintable_share_of_a_picture_is_measured() -> None:
    """Grey is printable, a screen's blue is not, and a picture that is half grey and half blue gives one half."""
    grey, blue = np.full((40, 40, 3), 0.5), np.zeros((40, 40, 3))
    blue[..., 2] = 1
    assert cmyk.out_of_gamut_share(_picture(grey), press_profile()) == 0
    assert cmyk.out_of_gamut_share(_picture(blue), press_profile()) == 1
    assert cmyk.out_of_gamut_share(_picture(np.concatenate([grey, blue])), press_profile()) == pytest.approx(0.5)
    assert cmyk.out_of_gamut_share(_picture(grey[..., :1]), press_profile()) == 0


def test_separation_depends_on_the_colours_and_not_on_the_profile() -> None:
    """Grey without a profile is sRGB grey; the same colours in Display P3 get the same inks."""
    grey = _picture(np.linspace(0, 1, 50).reshape(1, 50, 1))
    coloured = _picture(np.repeat(grey.pixels, 3, axis=2))
    grey_inks, coloured_inks = (cmyk.convert_to_inks(picture, press_profile(), "relative", True) for picture in (grey, coloured))
    assert np.array_equal(grey_inks, coloured_inks)
    photo = _photograph()
    wide = colour.convert_profile(photo, "display-p3")
    first, second = (cmyk.convert_to_inks(picture, press_profile(), "relative", True) for picture in (photo, wide))
    assert np.abs(first - second).max() < 0.01


@pytest.mark.parametrize(
    ("make_profile", "message"),
    [
        (lambda: b"nothing", "is not an ICC profile"),
        (lambda: profiles.builtin_profile("srgb"), "is a profile for RGB (sRGB IEC61966-2.1), not for CMYK"),
        (lambda: press_profile() + b"\0" * cmyk.MAX_PROFILE_BYTES, "has more than 16 MB"),
        (lambda: press_profile().replace(b"prtr", b"link", 1), "is not the profile of a printing device (its class is “link”)"),
    ],
    ids=["no profile", "a screen's", "too large", "a link's"],
)
def test_a_profile_of_another_kind_than_a_press_is_refused(make_profile: Callable[[], bytes], message: str) -> None:
    """Messages name the file and its kind."""
    with pytest.raises(InputError) as caught:
        cmyk.validate_cmyk_profile(make_profile(), "library/profiles/x.icc")
    assert caught.value.sentence.startswith("library/profiles/x.icc")
    assert message in caught.value.sentence


def test_a_press_profile_without_b2a_tables_is_refused() -> None:
    """Profiles without tables to inks and profiles with damaged tables give a message."""
    with pytest.raises(InputError, match="no table from colours to inks"):
        cmyk.validate_cmyk_profile(press_profile().replace(b"B2A0", b"xxxx"), "library/profiles/x.icc")
    broken = press_profile().replace(b"mft2", b"mft9")
    with pytest.raises(InputError, match="cannot be used"):
        cmyk.convert_to_inks(_colours(), cmyk.validate_cmyk_profile(broken, "x"), "relative", True)


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_profile_works_or_is_refused(changes: list[tuple[int, int]]) -> None:
    """Damage to the header and the tag table gives inks or InputError, and no other exception."""
    icc = bytearray(press_profile())
    for position, value in changes:
        icc[position] = value
    try:
        inks = cmyk.convert_to_inks(_picture(np.full((1, 2, 3), 0.5)), cmyk.validate_cmyk_profile(bytes(icc), "x"), "relative", True)
    except InputError:
        return
    assert inks.shape == (1, 2, 4)


def test_separation_can_be_cancelled_between_bands() -> None:
    """Progress rises to 1, and an exception of its callback ends the work."""
    reports: list[float] = []
    picture = _picture(np.zeros((600, 1000, 3)))
    cmyk.convert_to_inks(picture, press_profile(), "relative", True, reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == 1
    assert len(reports) > 1

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cmyk.convert_to_inks(picture, press_profile(), "relative", True, stop)


def _lab(inks: np.ndarray) -> np.ndarray:
    """Return the Lab of inks (1, n, 4) by the model of the press, relative to D50."""
    ratio = printed(inks[0].astype(float)) / np.array([0.9642, 1.0, 0.8249])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)[None]
