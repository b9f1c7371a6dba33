"""text: what is written stands where it was asked for, can be read, and nothing else changes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.fonts import FontContext
from doubles.ground import picture as noisy
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.ops.text.operation import Text
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.picture.profiles import builtin_profile


def flat(grey: float = 0.2, height: int = 120, width: int = 300, channels: int = 3, depth: BitDepth = 8) -> Picture:
    levels = 2**depth - 1
    return Picture(freeze(np.full((height, width, channels), round(grey * levels) / levels, np.float32)), depth=depth)


def made(picture: Picture, **settings: Any) -> tuple[Picture, dict[str, Any]]:
    context = FontContext()
    done = Text(**{"string": "GOLD", **settings}).apply(picture, context)
    return done, dict(context.results.findings)


def drawn(picture: Picture, done: Picture) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (past the last) of what has changed."""
    changed = (picture.to_codes() != done.to_codes()).any(axis=2)
    rows, cols = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("depth", [8, 16])
def test_what_the_text_does_not_reach_is_bit_identical(depth: BitDepth) -> None:
    """All the rest is the very memory of the picture, at either depth, and the letters' inside is exactly the colour."""
    given = noisy(120, 300, depth=depth)
    done, told = made(given, size=40)
    (window,) = done.differing_windows(given) or ()
    left, top, width, height = told["ink_box"]
    inside = np.zeros((120, 300), bool)
    inside[int(top) : int(top + height) + 1, int(left) : int(left + width) + 1] = True
    assert np.array_equal(done.to_codes()[~inside], given.to_codes()[~inside])
    assert (window[0].stop - window[0].start) <= height + 6
    assert (done.to_codes() == done.max_code).all(axis=2).sum() > 500


def test_fit_takes_the_largest_size_that_goes_into_the_box() -> None:
    """The ink ends at the box on the one side that decides, and a hundredth more would not go in."""
    given = flat()
    done, told = made(given, fit=True, safe=0, box=(0.1, 0.05, 0.8, 0.9))
    assert drawn(given, done)[0::2] == (30, 270)
    with pytest.raises(InputError, match="does not go into its box"):
        made(given, size=told["size_px"] * 1.01, safe=0, box=(0.1, 0.05, 0.8, 0.9))


def test_fit_with_a_size_is_at_most_that_size() -> None:
    """A long name becomes smaller, a short one does not become larger."""
    assert made(flat(), fit=True, size=20)[1]["size_px"] == 20
    assert made(flat(), fit=True, size=150)[1]["size_px"] < 150


def test_the_safe_area_is_kept() -> None:
    """The ink keeps off the edges, also with a stroke; what could not is refused with the size that could."""
    given = flat()
    done, _ = made(given, fit=True, safe=10, stroke={"width": 5})
    left, top, right, bottom = drawn(given, done)
    assert left >= 30 and right <= 270 and top >= 12 and bottom <= 108  # noqa: PT018
    with pytest.raises(InputError, match="safe area") as caught:
        made(given, size=100, safe=10)
    size = float(str(caught.value).split("At ")[1].split(" px")[0])
    assert made(given, size=size, safe=10)[1]["size_px"] == size


@pytest.mark.parametrize(("align", "valign"), [("left", "top"), ("right", "bottom"), ("center", "middle")])
def test_alignment(align: str, valign: str) -> None:
    """The ink lies at that side of the box, within the room that a line takes."""
    given = flat()
    done, _ = made(given, size=30, align=align, valign=valign, safe=0)
    left, top, right, bottom = drawn(given, done)
    share = {"left": 0, "top": 0, "center": 0.5, "middle": 0.5, "right": 1, "bottom": 1}
    assert abs(left - share[align] * (300 - (right - left))) <= 3
    slack = 1 if valign == "middle" else 12
    assert abs(top - share[valign] * (120 - (bottom - top))) <= slack


def test_contrast_is_that_of_the_formula() -> None:
    """White on sRGB grey 118/255 is (1 + 0.05) / (L + 0.05) with L by the sRGB curve."""
    _, told = made(flat(118 / 255), size=40)
    light = ((118 / 255 + 0.055) / 1.055) ** 2.4
    assert told["contrast"] == told["contrast_median"] == pytest.approx(1.05 / (light + 0.05), abs=0.006)


def test_too_little_contrast_is_a_problem_only_where_it_was_asked_for() -> None:
    """Else it is a remark on record."""
    grey = flat(0.9)
    assert "less than 3" in made(grey)[1]["remark"]
    with pytest.raises(InputError, match=r"contrast of 1\.\d\d : 1"):
        made(grey, min_contrast=4.5)
    assert made(grey, min_contrast=4.5, panel={"colour": "#111111"})[1]["contrast"] > 15
    assert made(grey, size=60, min_contrast=4.5, stroke={"width": 12, "colour": "#111111"})[1]["contrast_median"] > 15


def test_a_missing_letter_is_an_error_that_names_it() -> None:
    """Never an empty box."""
    with pytest.raises(InputError, match=r"has no “漢” \(U\+6F22\), “字” \(U\+5B57\)"):
        made(flat(), string="GOLD 漢字")


def test_a_font_of_the_library_that_has_the_missing_letters_is_named() -> None:
    """Source Sans has small phonetic letters that Manrope has not; taken as the second font it fills them in, and both are on record."""
    with pytest.raises(InputError, match=r'have what is missing: say also = \["SourceSansPro-Regular"\]'):
        made(flat(), string="ʰGOLDʷ")
    told = made(flat(), string="ʰGOLDʷ", also=["SourceSansPro-Semibold"])[1]
    assert [font["name"] for font in told["fonts"]] == ["Manrope-Bold", "SourceSansPro-Semibold"]
    assert all(len(font["sha256"]) == 64 for font in told["fonts"])


def test_right_to_left_is_drawn_from_the_right() -> None:
    """Turned round by direction and override, the letters are those of the same word written backwards, pixel for pixel."""
    settings = {"features": ["-kern"], "size": 50}
    backwards = made(flat(), string="DLOG", **settings)[0].to_codes()
    assert np.array_equal(made(flat(), string="\u202eGOLD", **settings)[0].to_codes(), backwards)
    assert not np.array_equal(made(flat(), string="GOLD", **settings)[0].to_codes(), backwards)
    mixed = made(flat(), string="AB 12", direction="rtl", size=40)[0].to_codes()
    assert np.array_equal(mixed, made(flat(), string="AB 12", size=40)[0].to_codes())
    assert np.array_equal(
        made(flat(), string="A!", direction="rtl", size=40, features=["-kern"])[0].to_codes(),
        made(flat(), string="!A", size=40, features=["-kern"])[0].to_codes(),
    )


def test_a_font_of_the_library_stands_before_one_that_ships(tmp_path: Path) -> None:
    """A studio's own cut of the same name is the one that is used."""
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    own = resource_path("samples", "library", "fonts", "Manrope-Regular.ttf").read_bytes()
    (tmp_path / "library" / "fonts" / "Manrope-Bold.ttf").write_bytes(own)
    context = FontContext(tmp_path)
    Text(string="GOLD").apply(flat(), context)
    (font,) = context.results.findings["fonts"]  # type: ignore[union-attr, misc]
    assert font["sha256"] == hashlib.sha256(own).hexdigest()  # type: ignore[index, call-overload]


def test_a_font_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    """64 MiB is more than any font that is set from has."""
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    with (tmp_path / "library" / "fonts" / "huge.ttf").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(InputError, match="more than 64 MiB"):
        Text(string="GOLD", font="huge").apply(flat(), FontContext(tmp_path))


def test_a_shadow_falls_where_it_was_sent() -> None:
    """Below and to the right of the letters, and softer than they are."""
    given = flat(0.8)
    plain = drawn(given, made(given, size=40, colour="black")[0])
    done = made(given, size=40, colour="black", shadow={"offset": [20, 30], "blur": 0, "opacity": 0.5})[0]
    assert np.subtract(drawn(given, done), plain).tolist() == pytest.approx([0, 0, 8, 12], abs=1)
    assert 102 in done.to_codes()


def test_turned_text_keeps_to_the_safe_area() -> None:
    """Its turned ink, with panel, is fitted as a whole."""
    given = flat()
    done, _ = made(given, fit=True, rotate=-20, safe=10, panel={"padding": 20, "colour": "red"})
    left, top, right, bottom = drawn(given, done)
    assert left >= 29 and right <= 271 and top >= 11 and bottom <= 109  # noqa: PT018


def test_an_unknown_font_is_told_with_the_nearest_name() -> None:
    """The fonts that ship are among the names."""
    with pytest.raises(InputError, match="Manrope-Bold"):
        made(flat(), font="Manrop-Bold")


def test_an_unknown_feature_or_axis_is_told() -> None:
    """A setting without effect would be a silent fall-back."""
    with pytest.raises(InputError, match="no feature “zzzz”"):
        made(flat(), features=["zzzz"])
    with pytest.raises(InputError, match="wght 200 to 800"):
        made(flat(), font="Manrope", axes={"wdth": 100})
    with pytest.raises(InputError, match="from 200 to 800"):
        made(flat(), font="Manrope", axes={"wght": 900})


def test_a_grey_picture_takes_grey_and_becomes_rgb_for_a_colour() -> None:
    """One with a grey profile cannot, and says so."""
    given = flat(channels=1)
    assert made(given)[0].channels == 1
    coloured = made(given, colour="red")[0]
    assert coloured.channels == 3
    assert coloured.to_codes().reshape(-1, 3).max(axis=0).tolist() == [255, 51, 51]


def test_a_colour_is_brought_into_the_profile() -> None:
    """sRGB red is less than the whole of Adobe RGB's red."""
    given = replace(flat(), icc=builtin_profile("adobe-rgb"))
    codes = made(given, colour="#ff0000", size=60)[0].to_codes().reshape(-1, 3)
    assert codes[codes[:, 0].argmax()].tolist() == pytest.approx([219, 0, 0], abs=2)


def test_edges_mix_in_linear_light() -> None:
    """A pixel half covered by white on black has half the light: 188 of 255, not 128."""
    from goldsmith.ops.text.colour_fill import Backdrop, ColourFill, composite_fills

    ground = Backdrop(np.zeros((1, 3, 3), np.float32), None, None)
    white = np.ones(3, np.float32)
    done = composite_fills(ground, [ColourFill(white, 1.0, np.array([[0, 0.5, 1]], np.float32))]).pixels
    assert np.round(done[0, :, 0] * 255).tolist() == [0, 188, 255]
    half = composite_fills(ground, [ColourFill(white, 0.5, np.ones((1, 3), np.float32))]).pixels
    assert half[0, 0, 0] == 0.5


def test_a_hole_in_a_panel_shows_the_picture_bit_for_bit() -> None:
    """Inside the letters nothing changes; the panel round them is its colour."""
    given = noisy(120, 300)
    done, told = made(given, size=60, panel={"colour": "#ffcc00"}, knock_out=True)
    left, top, width, height = (round(value) for value in told["ink_box"])
    part = np.s_[top + 1 : top + height - 1, left + 1 : left + width - 1]
    same = (done.to_codes()[part] == given.to_codes()[part]).all(axis=2)
    panel = (done.to_codes()[part] == [255, 204, 0]).all(axis=2)
    assert same.mean() > 0.1
    assert panel.mean() > 0.5
    assert (same | panel).mean() > 0.9


def test_a_hole_without_a_panel_is_cut_out_of_the_picture() -> None:
    """The picture gets alpha; its pixels stay, every one."""
    given = noisy(120, 300)
    done, _ = made(given, size=60, knock_out=True)
    assert done.alpha is not None
    assert done.alpha.min() == 0
    assert done.alpha[0, 0] == 1
    assert np.array_equal(done.to_codes(), given.to_codes())


def test_on_transparency_the_letters_are_opaque() -> None:
    """Type over nothing is type, in its own colour; outside it the alpha stays."""
    given = replace(flat(), alpha=freeze(np.zeros((120, 300), np.float32)))
    done, _ = made(given, size=60, colour="#ff8000")
    assert done.alpha is not None
    assert done.alpha.max() == 1
    assert (done.to_codes()[done.alpha > 0] == [255, 128, 0]).all()
    assert done.alpha[:5].max() == 0


def test_nothing_to_be_seen_returns_the_plate_itself() -> None:
    """Opacity 0 and nothing else to draw."""
    given = flat()
    assert made(given, opacity=0)[0] is given


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"string": "  \n "}, "empty"),
        ({"string": "a\x07"}, "U\\+0007"),
        ({"string": "a" * 2001}, "2000"),
        ({"font": "../../etc/passwd"}, "path"),
        ({"size": "12pt"}, "no size"),
        ({"size": 0}, "no size"),
        ({"colour": "#12345"}, "no colour"),
        ({"box": (0.5, 0, 0.6, 1)}, "within it"),
        ({"features": ["kerning"]}, "OpenType feature"),
        ({"axes": {"weight": 4}}, "four letters"),
        ({"knock_out": True, "shadow": {}}, "no shadow"),
        ({"stroke": {"width": 51}}, "50"),
        ({"min_contrast": 22}, "21"),
    ],
)
def test_what_cannot_be_is_refused_when_the_brief_is_read(settings: dict[str, object], said: str) -> None:
    """One sentence each."""
    with pytest.raises(ValidationError, match=said):
        Text.model_validate({"string": "GOLD", **settings})
