"""grade: CDL as in OpenColorIO and the ASC's formulas, zones that sum to one and keep luma and hue, and look files read strictly."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import PyOpenColorIO
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.grade import look_files
from goldsmith.ops.grade.grading_changes import ZoneBalance, cdl_change, look_change, zone_balance_change
from goldsmith.ops.grade.look_files import Cdl, parse_cdl, parse_cube, read_look
from goldsmith.ops.grade.operation import Grade
from goldsmith.picture import colour, profiles
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.slab_processing import map_slabs

_RAMP = "LUT_3D_SIZE 2\n" + "\n".join(f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)) + "\n"


def _picture(seed: int = 1, channels: int = 3, height: int = 40, width: int = 50) -> Picture:
    codes = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return Picture(freeze(codes.astype(np.float32) / np.float32(255)))


def _asc_reference(pixels: NDArray[np.float32], cdl: Cdl) -> NDArray[np.float64]:
    """Return the result of the formulas of ASC CDL v1.2."""
    toned = np.clip(np.clip(pixels.astype(np.float64) * cdl.slope + cdl.offset, 0, 1) ** np.array(cdl.power), 0, 1)
    grey = (toned @ np.array(colour.REC709_WEIGHTS))[..., None]
    return np.asarray(np.clip(grey + cdl.saturation * (toned - grey), 0, 1))


_TRIPLE = st.tuples(*[st.floats(0.3, 2.5)] * 3)


@settings(max_examples=25, deadline=None)
@given(slope=_TRIPLE, offset=st.tuples(*[st.floats(-0.4, 0.4)] * 3), power=_TRIPLE, saturation=st.floats(0, 3))
def test_the_cdl_follows_the_asc_formula(
    slope: tuple[float, float, float], offset: tuple[float, float, float], power: tuple[float, float, float], saturation: float
) -> None:
    """Slope, offset, power and saturation give what ASC CDL v1.2 says, within 1e-5."""
    cdl = Cdl(slope, offset, power, saturation)
    pixels = _picture().pixels
    assert np.abs(map_slabs(pixels, cdl_change(cdl)) - _asc_reference(pixels, cdl)).max() < 1e-5


def test_one_number_stands_for_all_channels() -> None:
    """slope = 1.2 equals slope = [1.2, 1.2, 1.2]."""
    assert Grade.model_validate({"slope": 1.2}).slope == (1.2, 1.2, 1.2)


@pytest.mark.parametrize("neutral", [{}, {"slope": 1, "saturation": 1}, {"look": "warm", "look_strength": 0}, {"shadows": {}}])
def test_a_neutral_grade_returns_the_picture_itself(neutral: dict[str, object]) -> None:
    """Neutral settings change nothing, and the look file is not searched."""
    picture = _picture()
    assert Grade.model_validate(neutral).apply(picture, StepContextDouble()) is picture


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 9), st.integers(0, 99))
def test_zones_keep_the_luma_and_stay_in_range(shares: tuple[float, ...], seed: int) -> None:
    """Pixels keep their luma and stay within 0..1 for any balance."""
    change = zone_balance_change(ZoneBalance(*shares[:3]), ZoneBalance(*shares[3:6]), ZoneBalance(*shares[6:]))
    pixels = _picture(seed).pixels
    result = change(pixels.copy())
    assert 0.0 <= result.min() <= result.max() <= 1.0
    assert np.abs(colour.luma(result) - colour.luma(pixels)).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-0.95, 1)] * 3), st.integers(0, 99))
def test_saturation_by_zone_keeps_the_hue(shares: tuple[float, float, float], seed: int) -> None:
    """Saturation changes the length of every pixel's colour, not its direction."""
    pixels = _picture(seed).pixels
    result = zone_balance_change(*(ZoneBalance(saturation=share) for share in shares))(pixels.copy())
    before = pixels - colour.luma(pixels)[..., None]
    after = result - colour.luma(result)[..., None]
    cross = np.linalg.norm(np.cross(before, after), axis=2)
    assert cross.max() < 1e-5
    assert (before * after).sum(axis=2).min() > -1e-6


def test_temperature_warms_and_cools_along_one_line() -> None:
    """Amber raises red over blue on greys of every brightness, and blue does the reverse."""
    greys = np.repeat(np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None, None], 3, axis=2)
    warm = zone_balance_change(*[ZoneBalance(temperature=0.5)] * 3)(greys.copy())
    cool = zone_balance_change(*[ZoneBalance(temperature=-0.5)] * 3)(greys.copy())
    assert (warm[..., 0] > warm[..., 1]).all()
    assert (warm[..., 1] > warm[..., 2]).all()
    assert (cool[..., 2] > cool[..., 0]).all()
    hue = (warm[..., 0] - warm[..., 1]) / (warm[..., 1] - warm[..., 2])
    assert np.allclose(hue, hue[0], rtol=1e-3)


def test_shadows_leave_the_highlights_alone() -> None:
    """Pixels brighter than one half keep their codes if only the shadows are balanced."""
    picture = _picture()
    result = Grade.model_validate({"shadows": {"temperature": -80, "saturation": 50}}).apply(picture, StepContextDouble())
    bright = colour.luma(picture.pixels) >= 0.5
    assert (result.to_codes()[bright] == picture.to_codes()[bright]).all()
    assert (result.to_codes()[~bright] != picture.to_codes()[~bright]).any()


def _cube_text(size: int = 9, extra: str = "") -> str:
    steps = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    rows = np.stack([red**0.8, 0.9 * green + 0.05 * red, blue**1.3 * (1 - 0.2 * red)], -1).reshape(-1, 3)
    return f'TITLE "a look"\n# made for a test\nLUT_3D_SIZE {size}\n{extra}' + "\n".join(
        "{:.9f} {:.9f} {:.9f}".format(*row) for row in rows
    )


@pytest.mark.parametrize("extra", ["", "DOMAIN_MIN -0.1 0 0\nDOMAIN_MAX 1 1.2 1\n\n"])
def test_a_cube_equals_opencolorios_own_reading(tmp_path: Path, extra: str) -> None:
    """Tables read here and applied by OpenColorIO equal OpenColorIO's own reading of the file."""
    path = tmp_path / "look.cube"
    path.write_text(_cube_text(extra=extra))
    whole = PyOpenColorIO.FileTransform(str(path))
    whole.setInterpolation(PyOpenColorIO.INTERP_TETRAHEDRAL)
    expected = _picture().pixels.copy()
    PyOpenColorIO.Config.CreateRaw().getProcessor(whole).getDefaultCPUProcessor().applyRGB(expected)
    result = look_change(read_look(path), 1.0)(_picture().pixels.copy())
    assert np.abs(result - np.clip(expected, 0, 1)).max() < 1e-6


def test_curves_apply_before_the_table() -> None:
    """Resolve's .cube may hold a curve and a table: here the curve inverts and the table is neutral."""
    text = "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 1\nLUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0 1\n1 1 1\n0 0 0\n" + _RAMP.split("\n", 1)[1]
    pixels = _picture().pixels
    result = look_change(parse_cube(text.encode(), "look.cube"), 1.0)(pixels.copy())
    assert np.abs(result - (1 - pixels)).max() < 1e-6


def test_look_strength_mixes_look_and_picture(tmp_path: Path) -> None:
    """look_strength mixes the look with the picture."""
    path = tmp_path / "look.cube"
    path.write_text(_cube_text())
    context = StepContextDouble(references={("looks", "warm"): path})
    picture = _picture()
    whole, half = (Grade(look="warm", look_strength=strength).apply(picture, context).pixels for strength in (1.0, 0.5))
    assert np.abs(half - (picture.pixels + whole) / 2).max() < 1e-6


def test_a_look_that_was_saved_over_is_read_again(tmp_path: Path) -> None:
    """Looks are never served from a cache."""
    path = tmp_path / "look.cube"
    context = StepContextDouble(references={("looks", "warm"): path})
    picture = _picture()
    path.write_text(_RAMP)
    assert np.abs(Grade(look="warm").apply(picture, context).pixels - picture.pixels).max() < 1e-6
    path.write_text(_cube_text())
    assert np.abs(Grade(look="warm").apply(picture, context).pixels - picture.pixels).max() > 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither LUT_3D_SIZE nor LUT_1D_SIZE"),
        ("LUT_3D_SIZE 100000\n0 0 0\n", "line 1: LUT_3D_SIZE is 100000"),
        ("LUT_3D_SIZE 2.5\n0 0 0\n", "line 1: LUT_3D_SIZE is 2.5"),
        ("LUT_3D_SIZE nan\n0 0 0\n", "line 1: “nan” is not 1 plain number"),
        ("LUT_3D_SIZE 2\n0 0 0\n", "has 1 lines of values; its size requires 8"),
        (_RAMP + "0 0 0\n", "has 9 lines of values"),
        (_RAMP.replace("1 1 0", "1 nan 0"), "line 5: “1 nan 0” is not 3 plain numbers"),
        (_RAMP.replace("1 1 0", "1 1e999 0"), "line 5"),
        (_RAMP.replace("1 1 0", "1 1"), "line 5: “1 1” is not 3"),
        (_RAMP.replace("1 1 0", "1 1 zero"), "line 5"),
        ("LUT_3D_SIZE 2\nnan 0 0\n", "line 2"),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN 1 1 1\n" + _RAMP.split("\n", 1)[1], "is empty"),
        ("<html>not found</html>", "neither"),
        ("HELLO 1\n", "line 1: “HELLO” is not a keyword"),
        ("\x00\x01\x02" * 50, "neither"),
    ],
)
def test_a_malformed_cube_is_refused_with_the_line(text: str, message: str) -> None:
    """InputError names the file and the line."""
    with pytest.raises(InputError) as caught:
        parse_cube(text.encode(), "bad.cube")
    assert message in caught.value.sentence
    assert "bad.cube" in caught.value.sentence


def test_a_huge_cube_is_refused_without_reading(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused by its size."""
    path = tmp_path / "huge.cube"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"huge\.cube has 1,048,576 MiB; a look of this kind has at most 64 MiB"):
        read_look(path)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_look_or_an_input_error(data: bytes) -> None:
    """Arbitrary bytes give a look or an InputError, and no other exception."""
    for read in (parse_cube, parse_cdl):
        with suppress(InputError):
            read(b"LUT_1D_SIZE 2\n" + data if read is parse_cube else data, "x")


_CC = (
    '<?xml version="1.0"?><ColorCorrection xmlns="urn:ASC:CDL:v1.2" id="a"><SOPNode><Slope>1.1 1 0.9</Slope><Offset>0.01 0 -0.02</Offset>'
    "<Power>0.9 1 1.1</Power></SOPNode><SatNode><Saturation>1.2</Saturation></SatNode></ColorCorrection>"
)


_DECISION = f"<ColorDecision>{_CC[21:]}</ColorDecision>"


@pytest.mark.parametrize("text", [_CC, f"<ColorDecisionList>{_DECISION}{_DECISION.replace('1.1', '3')}</ColorDecisionList>"])
def test_the_first_correction_of_a_file_is_read(text: str) -> None:
    """.cc and .cdl files are equivalent; the first of several corrections counts."""
    assert parse_cdl(text.encode(), "a.cdl") == Cdl((1.1, 1, 0.9), (0.01, 0, -0.02), (0.9, 1, 1.1), 1.2)


def test_a_cdl_file_grades_as_the_same_numbers_in_the_brief(tmp_path: Path) -> None:
    """CDL files and equal settings give the same picture."""
    path = tmp_path / "day.cc"
    path.write_text(_CC)
    context, picture = StepContextDouble(references={("looks", "day"): path}), _picture()
    from_file = Grade(look="day").apply(picture, context)
    from_settings = Grade(slope=(1.1, 1, 0.9), offset=(0.01, 0, -0.02), power=(0.9, 1, 1.1), saturation=1.2).apply(picture, context)
    assert np.abs(from_file.pixels - from_settings.pixels).max() < 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a>",
        "<a/>",
        _CC.replace("1.1 1 0.9", "1.1 nan 0.9"),
        _CC.replace("1.1 1 0.9", "1.1 0.9"),
        _CC.replace("1.1 1 0.9", "-1 1 1"),
        '<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
        "<a>" * 40 + "</a>" * 40,
    ],
)
def test_a_malformed_cdl_is_refused(text: str) -> None:
    """Broken XML, entities, wrong counts and impossible values are problems with the file's name."""
    with pytest.raises(InputError, match=r"bad\.cdl"):
        parse_cdl(text.encode(), "bad.cdl")


def test_a_large_cdl_is_refused_without_reading(tmp_path: Path) -> None:
    """CDL files above 1 MiB are refused by their size."""
    path = tmp_path / "large.cdl"
    path.write_bytes(b"<a>" * (look_files.MAX_CUBE_BYTES // 32))
    with pytest.raises(InputError, match="at most 1 MiB"):
        read_look(path)


def test_outside_the_region_nothing_changes() -> None:
    """Floats are unchanged where the mask is zero; a region without pixels returns the picture itself."""
    mask = np.zeros((40, 50), np.float32)
    mask[10:20, 5:30] = np.linspace(0, 1, 25, dtype=np.float32)
    picture = Picture(_picture().pixels, masks={"mask": freeze(mask), "none": freeze(np.zeros((40, 50)))})
    grade = Grade(slope=(1.4, 1, 0.7), where="mask")
    result = grade.apply(picture, StepContextDouble())
    whole = Grade(slope=(1.4, 1, 0.7)).apply(picture, StepContextDouble())
    assert np.array_equal(result.pixels[mask == 0], picture.pixels[mask == 0])
    assert np.abs(result.pixels[mask == 1] - whole.pixels[mask == 1]).max() < 1e-6
    assert grade.needs().masks == {"mask"}
    assert Grade(slope=(2, 2, 2), where="none").apply(picture, StepContextDouble()) is picture


def test_a_grey_picture_becomes_rgb_only_for_colour() -> None:
    """Tone keeps the picture grey, saturation does nothing, temperature makes it RGB."""
    picture = _picture(channels=1)
    assert Grade(slope=(1.2, 1.2, 1.2), saturation=2).apply(picture, StepContextDouble()).channels == 1
    assert Grade.model_validate({"saturation": 2, "shadows": {"saturation": 50}}).apply(picture, StepContextDouble()) is picture
    toned = Grade.model_validate({"midtones": {"temperature": 40}}).apply(picture, StepContextDouble())
    assert toned.channels == 3
    assert np.abs(colour.luma(toned.pixels) - picture.pixels[..., 0]).max() < 1e-5


def test_a_cancelled_job_ends_the_work_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """JobCancelled from the progress callback stops slabs that have not begun."""
    monkeypatch.setattr("goldsmith.picture.row_slabs._SLAB_PIXELS", 1)
    started: list[int] = []
    gate = threading.Event()

    def change(slab: NDArray[np.float32]) -> NDArray[np.float32]:
        started.append(1)
        if len(started) > 1:
            gate.wait(600)
        return slab

    def tick(_: float) -> None:
        gate.set()
        raise JobCancelled

    with pytest.raises(JobCancelled):
        map_slabs(_picture(height=2000).pixels, change, tick)
    assert len(started) < 2000


def test_profile_alpha_and_masks_stay() -> None:
    """Grading acts on display values of the wide-gamut picture and keeps profile, depth, resolution and alpha."""
    alpha = freeze(np.full((40, 50), 0.5))
    picture = Picture(_picture().pixels, alpha=alpha, depth=16, icc=profiles.builtin_profile("display-p3"), ppi=(300, 300))
    result = Grade(slope=(1.1, 1, 1)).apply(picture, StepContextDouble())
    assert (result.icc, result.depth, result.ppi) == (picture.icc, 16, (300, 300))
    assert result.alpha is alpha


@pytest.mark.parametrize(
    "wrong",
    [
        {"slope": -1},
        {"slope": [1, 2]},
        {"power": 0},
        {"offset": float("nan")},
        {"saturation": float("inf")},
        {"look": "../../etc/passwd"},
        {"look": "/etc/passwd"},
        {"look_strength": 1.5},
        {"shadows": {"temperature": 101}},
        {"shadows": {"warmth": 1}},
        {"where": "mask &"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Paths, wrong counts, NaN and values out of range are refused before anything runs."""
    with pytest.raises(ValidationError):
        Grade.model_validate(wrong)


def test_a_look_is_needed_from_the_library() -> None:
    """Needs name the look with its library folder and suffixes."""
    assert Grade(look="warm").needs().library_files == (("looks", "warm", (".cube", ".cdl", ".cc")),)
    assert Grade().needs().library_files == ()
