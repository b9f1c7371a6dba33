"""text: words are legible at the place that the brief sets, and nothing else changes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.fonts import FontContext
from doubles.operation_samples import picture as noisy
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.ops.text.operation import Text
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.picture.profiles import builtin_profile


def flat(grey: float = 0.2, height: int = 120, width: int = 300, channels: int = 3, depth: BitDepth = 8) -> Picture:
    levels = 2**depth - 1
    return Picture(freeze(np.full((height, width, channels), round(grey * levels) / levels, np.float32)), depth=depth)


def apply_text(picture: Picture, **settings: Any) -> tuple[Picture, dict[str, Any]]:
    context = FontContext()
    result = Text(**{"string": "GOLD", **settings}).apply(picture, context)
    return result, dict(context.results.findings)


def changed_box(picture: Picture, result: Picture) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom (past the last pixel) of the changed area, in px."""
    changed = (picture.to_codes() != result.to_codes()).any(axis=2)
    rows, cols = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_outside_the_text_are_identical(depth: BitDepth) -> None:
    """Pixels outside the ink box are shared with the picture at either depth; letters have exactly their colour."""
    source = noisy(120, 300, depth=depth)
    result, record = apply_text(source, size=40)
    (window,) = result.differing_windows(source) or ()
    left, top, width, height = record["ink_box"]
    inside = np.zeros((120, 300), bool)
    inside[int(top) : int(top + height) + 1, int(left) : int(left + width) + 1] = True
    assert np.array_equal(result.to_codes()[~inside], source.to_codes()[~inside])
    assert (window[0].stop - window[0].start) <= height + 6
    assert (result.to_codes() == result.max_code).all(axis=2).sum() > 500


def test_fit_takes_the_largest_size_that_fits() -> None:
    """Ink ends at the box on the tighter axis; at one per cent more it does not fit."""
    source = flat()
    result, record = apply_text(source, fit=True, safe=0, box=(0.1, 0.05, 0.8, 0.9))
    assert changed_box(source, result)[0::2] == (30, 270)
    with pytest.raises(InputError, match="does not fit into its box"):
        apply_text(source, size=record["size_px"] * 1.01, safe=0, box=(0.1, 0.05, 0.8, 0.9))


def test_fit_with_a_size_is_at_most_that_size() -> None:
    """Long text becomes smaller; short text does not become larger."""
    assert apply_text(flat(), fit=True, size=20)[1]["size_px"] == 20
    assert apply_text(flat(), fit=True, size=150)[1]["size_px"] < 150


def test_the_safe_area_is_kept() -> None:
    """Ink, stroke included, stays out of the margin; a text that cannot is refused with the size that fits."""
    source = flat()
    result, _ = apply_text(source, fit=True, safe=10, stroke={"width": 5})
    left, top, right, bottom = changed_box(source, result)
    assert left >= 30 and right <= 270 and top >= 12 and bottom <= 108  # noqa: PT018
    with pytest.raises(InputError, match="safe area") as caught:
        apply_text(source, size=100, safe=10)
    size = float(str(caught.value).split("At ")[1].split(" px")[0])
    assert apply_text(source, size=size, safe=10)[1]["size_px"] == size


@pytest.mark.parametrize(("align", "valign"), [("left", "top"), ("right", "bottom"), ("center", "middle")])
def test_text_is_aligned_in_its_box(align: str, valign: str) -> None:
    """Ink lies at that side of the box, within the height of a line."""
    source = flat()
    result, _ = apply_text(source, size=30, align=align, valign=valign, safe=0)
    left, top, right, bottom = changed_box(source, result)
    share = {"left": 0, "top": 0, "center": 0.5, "middle": 0.5, "right": 1, "bottom": 1}
    assert abs(left - share[align] * (300 - (right - left))) <= 3
    slack = 1 if valign == "middle" else 12
    assert abs(top - share[valign] * (120 - (bottom - top))) <= slack


def test_contrast_follows_the_formula() -> None:
    """White on sRGB grey 118/255 has the contrast (1 + 0.05) / (L + 0.05)."""
    _, record = apply_text(flat(118 / 255), size=40)
    light = ((118 / 255 + 0.055) / 1.055) ** 2.4
    assert record["contrast"] == record["contrast_median"] == pytest.approx(1.05 / (light + 0.05), abs=0.006)


def test_low_contrast_is_refused_with_the_ratio_and_the_remedy() -> None:
    """The default limit is 3 : 1; the remedy names only what the step has not got; `min_contrast = 1` makes it a remark on record."""
    grey = flat(0.9)
    with pytest.raises(InputError, match=r"contrast of 1\.\d\d : 1 with what lies behind it; at least 3 : 1 is required") as caught:
        apply_text(grey, colour="white")
    assert 'colour = "auto"' in caught.value.remedy
    assert 'anchor = "auto"' in caught.value.remedy
    with pytest.raises(InputError, match="min_contrast = 1") as caught:
        apply_text(grey, colour="white", panel={"colour": "white"})
    assert "panel" not in caught.value.remedy
    assert "scrim" not in caught.value.remedy
    assert "less than 3" in apply_text(grey, colour="white", min_contrast=1)[1]["remark"]
    assert apply_text(grey, colour="white", min_contrast=4.5, panel={"colour": "#111111"})[1]["contrast"] > 15
    dark_stroke = {"width": 12, "colour": "#111111"}
    assert apply_text(grey, size=60, colour="white", min_contrast=1, stroke=dark_stroke)[1]["contrast_median"] > 15


@pytest.mark.parametrize(("grey", "colour"), [(0.0, "#ffffff"), (0.45, "#ffffff"), (0.5, "#000000"), (1.0, "#000000")])
def test_the_colour_is_white_where_it_is_legible_and_black_elsewhere(grey: float, colour: str) -> None:
    """White has 4.5 : 1 on every grey up to 118/255; the chosen colour is on record and every letter has it."""
    result, record = apply_text(flat(grey), size=60)
    assert record["colour"] == colour
    assert record["contrast"] >= 4.5
    assert ((result.to_codes() == (255 if colour == "#ffffff" else 0)).all(axis=2)).sum() > 500


@pytest.mark.parametrize("limit", [3.0, 7.0])
@pytest.mark.parametrize("colour", ["white", "black", "auto"])
def test_a_scrim_is_just_strong_enough(colour: str, limit: float) -> None:
    """On a ground of black and white stripes it gives 4.5 : 1, or the limit of the step, and a fiftieth less would not."""
    stripes = np.zeros((160, 400, 3), np.float32)
    stripes[:, ::16], stripes[:, 1::16] = 1, 0.8
    source = Picture(freeze(stripes))
    result, record = apply_text(source, size=48, colour=colour, scrim={}, min_contrast=limit)
    required_contrast = max(4.5, limit)
    assert record["contrast"] >= required_contrast
    weaker = record["scrim_opacity"] - 0.02
    chosen = {"colour": record["colour"], "scrim": {"opacity": weaker}}
    assert apply_text(source, size=48, min_contrast=1, **chosen)[1]["contrast"] < required_contrast
    assert np.array_equal(result.to_codes()[:, :8], source.to_codes()[:, :8])


@pytest.mark.parametrize(("ground", "bar", "letters"), [(0.0, 0.95, "#ffffff"), (1.0, 0.2, "#000000")])
def test_of_two_scrims_the_one_that_is_seen_less_is_drawn(ground: float, bar: float, letters: str) -> None:
    """On black water with light birds a veil of white is seen at once, even a faint one. So the birds are veiled in black."""
    source = flat(ground, 200, 400).pixels.copy()
    source[:, ::8] = bar
    picture = Picture(freeze(source))
    result, record = apply_text(picture, size=48, scrim={})
    assert record["colour"] == letters
    assert record["contrast"] >= 4.5
    change = np.abs(result.pixels - picture.pixels)[:20].mean(dtype=float)
    other = apply_text(picture, size=48, scrim={}, colour="black" if letters == "#ffffff" else "white")[0]
    assert change <= np.abs(other.pixels - picture.pixels)[:20].mean(dtype=float)


def test_a_scrim_that_is_not_needed_is_not_drawn() -> None:
    """White on black with a scrim has the pixels of white on black."""
    source = flat(0)
    assert np.array_equal(apply_text(source, scrim={})[0].to_codes(), apply_text(source)[0].to_codes())


def test_a_scrim_fades_out_without_an_edge() -> None:
    """Outside the letters it darkens a white picture in steps of at most 5 codes a pixel, and beyond its softness not at all."""
    source = flat(1.0, 200, 400)
    result, record = apply_text(source, size=40, colour="white", scrim={"opacity": 0.8, "softness": 150})
    below = result.to_codes()[round(record["ink_box"][1] + record["ink_box"][3]) + 9 :, 200, 0].astype(int)
    assert below[0] < 80
    assert below[-1] == 255
    assert 0 <= np.diff(below).min() <= np.diff(below).max() <= 7


def test_a_missing_letter_is_refused_by_name() -> None:
    """InputError lists the missing letters; no box is drawn for them."""
    with pytest.raises(InputError, match=r"has no “漢” \(U\+6F22\), “字” \(U\+5B57\)"):
        apply_text(flat(), string="GOLD 漢字")


def test_a_font_of_the_library_that_has_the_missing_letters_is_named() -> None:
    """Source Sans supplies phonetic letters that Manrope lacks; both fonts are recorded."""
    with pytest.raises(InputError, match=r'have the missing letters: set also = \["SourceSansPro-Regular"\]'):
        apply_text(flat(), string="ʰGOLDʷ")
    record = apply_text(flat(), string="ʰGOLDʷ", also=["SourceSansPro-Semibold"])[1]
    assert [font["name"] for font in record["fonts"]] == ["Manrope-Bold", "SourceSansPro-Semibold"]
    assert all(len(font["sha256"]) == 64 for font in record["fonts"])


def test_right_to_left_is_drawn_from_the_right() -> None:
    """Text under an override has the same pixels as the reversed word."""
    settings = {"features": ["-kern"], "size": 50}
    backwards = apply_text(flat(), string="DLOG", **settings)[0].to_codes()
    assert np.array_equal(apply_text(flat(), string="\u202eGOLD", **settings)[0].to_codes(), backwards)
    assert not np.array_equal(apply_text(flat(), string="GOLD", **settings)[0].to_codes(), backwards)
    mixed = apply_text(flat(), string="AB 12", direction="rtl", size=40)[0].to_codes()
    assert np.array_equal(mixed, apply_text(flat(), string="AB 12", size=40)[0].to_codes())
    assert np.array_equal(
        apply_text(flat(), string="A!", direction="rtl", size=40, features=["-kern"])[0].to_codes(),
        apply_text(flat(), string="!A", size=40, features=["-kern"])[0].to_codes(),
    )


def test_a_font_of_the_library_wins_over_a_shipped_one(tmp_path: Path) -> None:
    """Text uses the library's font if a shipped one has the same name."""
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    own = resource_path("samples", "library", "fonts", "Manrope-Regular.ttf").read_bytes()
    (tmp_path / "library" / "fonts" / "Manrope-Bold.ttf").write_bytes(own)
    context = FontContext(tmp_path)
    Text(string="GOLD").apply(flat(), context)
    (font,) = context.results.findings["fonts"]  # type: ignore[union-attr, misc]
    assert font["sha256"] == hashlib.sha256(own).hexdigest()  # type: ignore[index, call-overload]


def test_a_font_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused by its size."""
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    with (tmp_path / "library" / "fonts" / "huge.ttf").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"huge\.ttf has 1,048,576 MiB; a font has at most 64 MiB"):
        Text(string="GOLD", font="huge").apply(flat(), FontContext(tmp_path))


def test_a_shadow_falls_at_its_offset() -> None:
    """Shadows lie to the right and below the letters by their offset."""
    source = flat(0.8)
    plain = changed_box(source, apply_text(source, size=40, colour="black")[0])
    result = apply_text(source, size=40, colour="black", shadow={"offset": [20, 30], "blur": 0, "opacity": 0.5})[0]
    assert np.subtract(changed_box(source, result), plain).tolist() == pytest.approx([0, 0, 8, 12], abs=1)
    assert 102 in result.to_codes()


def test_rotated_text_stays_in_the_safe_area() -> None:
    """Rotated ink and panel are fitted as a whole."""
    source = flat()
    result, _ = apply_text(source, fit=True, rotate=-20, safe=10, panel={"padding": 20, "colour": "red"})
    left, top, right, bottom = changed_box(source, result)
    assert left >= 29 and right <= 271 and top >= 11 and bottom <= 109  # noqa: PT018


def test_an_unknown_font_is_refused_with_the_nearest_name() -> None:
    """InputError suggests names, those of shipped fonts included."""
    with pytest.raises(InputError, match="Manrope-Bold"):
        apply_text(flat(), font="Manrop-Bold")


def test_an_unknown_feature_or_axis_is_refused() -> None:
    """Ignoring the setting would be a silent fall-back."""
    with pytest.raises(InputError, match="no feature “zzzz”"):
        apply_text(flat(), features=["zzzz"])
    with pytest.raises(InputError, match="wght 200 to 800"):
        apply_text(flat(), font="Manrope", axes={"wdth": 100})
    with pytest.raises(InputError, match="from 200 to 800"):
        apply_text(flat(), font="Manrope", axes={"wght": 900})


def test_a_grey_picture_takes_grey_and_becomes_rgb_for_a_colour() -> None:
    """Neutral text keeps a grey picture grey; coloured text makes it RGB."""
    source = flat(channels=1)
    assert apply_text(source)[0].channels == 1
    coloured = apply_text(source, colour="red")[0]
    assert coloured.channels == 3
    assert coloured.to_codes().reshape(-1, 3).max(axis=0).tolist() == [255, 51, 51]


def test_a_colour_is_converted_to_the_profile() -> None:
    """Red in sRGB is less saturated than red in Adobe RGB."""
    source = replace(flat(), icc=builtin_profile("adobe-rgb"))
    codes = apply_text(source, colour="#ff0000", size=60)[0].to_codes().reshape(-1, 3)
    assert codes[codes[:, 0].argmax()].tolist() == pytest.approx([219, 0, 0], abs=2)


def test_a_hole_in_a_panel_shows_the_picture_unchanged() -> None:
    """Pixels inside the letters are unchanged; the panel has its colour."""
    source = noisy(120, 300)
    result, record = apply_text(source, size=60, panel={"colour": "#ffcc00"}, knock_out=True, min_contrast=1)
    left, top, width, height = (round(value) for value in record["ink_box"])
    part = np.s_[top + 1 : top + height - 1, left + 1 : left + width - 1]
    same = (result.to_codes()[part] == source.to_codes()[part]).all(axis=2)
    panel = (result.to_codes()[part] == [255, 204, 0]).all(axis=2)
    assert same.mean() > 0.1
    assert panel.mean() > 0.5
    assert (same | panel).mean() > 0.9


def test_a_hole_without_a_panel_is_cut_out_of_the_picture() -> None:
    """Letters become transparent in the alpha; no pixel changes."""
    source = noisy(120, 300)
    result, _ = apply_text(source, size=60, knock_out=True)
    assert result.alpha is not None
    assert result.alpha.min() == 0
    assert result.alpha[0, 0] == 1
    assert np.array_equal(result.to_codes(), source.to_codes())


def test_on_transparency_the_letters_are_opaque() -> None:
    """Letters over transparency are opaque in their own colour; the alpha outside them is unchanged."""
    source = replace(flat(), alpha=freeze(np.zeros((120, 300), np.float32)))
    result, _ = apply_text(source, size=60, colour="#ff8000")
    assert result.alpha is not None
    assert result.alpha.max() == 1
    assert (result.to_codes()[result.alpha > 0] == [255, 128, 0]).all()
    assert result.alpha[:5].max() == 0


def test_invisible_text_returns_the_picture_itself() -> None:
    """Opacity 0 without other parts returns the picture itself."""
    source = flat()
    assert apply_text(source, opacity=0)[0] is source


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"string": "  \n "}, "empty"),
        ({"string": "a\x07"}, "U\\+0007"),
        ({"string": "a" * 2001}, "2000"),
        ({"font": "../../etc/passwd"}, "path"),
        ({"size": "12pt"}, "not a size"),
        ({"size": 0}, "not a size"),
        ({"colour": "#12345"}, "not a colour"),
        ({"box": (0.5, 0, 0.6, 1)}, "within it"),
        ({"features": ["kerning"]}, "OpenType feature"),
        ({"axes": {"weight": 4}}, "four letters"),
        ({"knock_out": True, "shadow": {}}, "no shadow"),
        ({"scrim": {}, "panel": {}}, "leave out either scrim or panel"),
        ({"scrim": {"colour": "aut"}}, "not a colour"),
        ({"anchor": "top"}, "box"),
        ({"stroke": {"width": 51}}, "50"),
        ({"min_contrast": 22}, "21"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_brief(settings: dict[str, object], message: str) -> None:
    """Validation names the wrong value."""
    with pytest.raises(ValidationError, match=message):
        Text.model_validate({"string": "GOLD", **settings})
