"""Font files are untrusted: one that cannot be typeset is refused with a message, and damage causes no crash."""

from __future__ import annotations

import contextlib
import random
import struct

import numpy as np
import pytest

from doubles.fonts import typeface
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.ops.text.font import open_font, require_features
from goldsmith.ops.text.shaping import MissingGlyph, Paragraph, ShapingOptions, glyph_boxes

DATA = resource_path("samples", "library", "fonts", "Manrope-Bold.ttf").read_bytes()


def test_a_font_has_its_name_version_hash_and_measures() -> None:
    """Name, version, hash and measures are those of the font that ships."""
    face = typeface("Manrope-Bold.ttf")
    assert (face.name, face.version) == ("Manrope-Bold", "Version 4.504")
    assert face.sha256 == "8452aa3443b61a9b007e2dc59b6ed16a40d453c77a4181645e581a0a899c9c5d"
    assert (face.ascent, face.descent, face.cap_height) == pytest.approx((1.066, -0.3, 0.72))
    assert {"kern", "liga"} <= face.features


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"wOF2" + bytes(40), "web font"),
        (b"wOFF" + bytes(40), "web font"),
        (b"", "damaged"),
        (b"GIF89a" + bytes(200), "damaged"),
        (DATA[:400], "damaged"),
    ],
)
def test_a_file_that_is_no_font_is_refused(data: bytes, message: str) -> None:
    """Messages name the file."""
    with pytest.raises(InputError, match=f"bad.ttf.*{message}|bad.ttf.*pictures"):
        open_font(data, "bad.ttf")


def test_a_face_number_for_a_single_font_is_refused() -> None:
    """Ignoring `face` would be a silent fall-back."""
    with pytest.raises(InputError, match="only one font"):
        open_font(DATA, "Manrope-Bold.ttf", index=2)


def test_a_font_without_outlines_is_refused() -> None:
    """Colour bitmaps would be drawn as nothing."""
    renamed = DATA.replace(b"glyf", b"glyx", 1)
    with pytest.raises(InputError, match="pictures, not outlines"):
        open_font(renamed, "emoji.ttf")


def test_an_unknown_feature_is_refused_with_the_nearest_one() -> None:
    """InputError suggests the nearest feature; switching off an unknown one is allowed."""
    with pytest.raises(InputError, match="did you mean “liga”"):
        require_features(typeface("Manrope-Bold.ttf"), {"lige": 1})
    require_features(typeface("Manrope-Bold.ttf"), {"zzzz": 0})


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_font_causes_no_crash(seed: int) -> None:
    """Random bytes in a font lead to an InputError, a MissingGlyph or finite glyphs, and to nothing else."""
    chance = random.Random(seed)
    data = bytearray(DATA)
    for _ in range(chance.randrange(1, 400)):
        data[chance.randrange(12 if seed % 2 else 600, len(data))] = chance.randrange(256)
    with contextlib.suppress(InputError, MissingGlyph):
        face = open_font(bytes(data), "bad.ttf")
        line = Paragraph((face,), "AVATAR fi (gold)", ShapingOptions(tracking=0.1)).shape_line(0, 16)
        assert all(np.isfinite((glyph.x, glyph.y)).all() for glyph in line.glyphs)
        assert np.isfinite(glyph_boxes((face,), line.glyphs)).all()


def test_a_letter_without_an_outline_is_missing() -> None:
    """MissingGlyph is raised for an empty glyph, as in fonts of colour bitmaps, so that no gap appears."""
    data = bytearray(resource_path("samples", "library", "fonts", "Manrope-Regular.ttf").read_bytes())
    tables = {bytes(data[at : at + 4]): struct.unpack(">II", data[at + 8 : at + 16]) for at in range(12, 12 + 16 * data[5], 16)}
    long = data[tables[b"head"][0] + 51] == 1
    glyph = typeface("Manrope-Regular.ttf").hb_font.get_nominal_glyph(ord("A"))
    size = 4 if long else 2
    start = tables[b"loca"][0] + glyph * size
    data[start + size : start + 2 * size] = data[start : start + size]  # the next glyph begins where this one does
    hollow = open_font(bytes(data), "hollow.ttf")
    assert hollow.hb_font.get_nominal_glyph(ord("A"))
    assert hollow.has_empty_glyph("A")
    assert not hollow.has_visible_glyph("A")
    assert hollow.has_visible_glyph("H")
    assert not hollow.has_empty_glyph(" ")
    with pytest.raises(MissingGlyph) as caught:
        Paragraph((hollow,), "HAH", ShapingOptions()).shape_line(0, 3)
    assert caught.value.characters == "A"
    mixed = Paragraph((hollow, typeface("Manrope-Bold.ttf")), "HAH", ShapingOptions()).shape_line(0, 3)
    assert [glyph.typeface_index for glyph in mixed.glyphs] == [0, 1, 0]


def test_every_letter_of_the_fonts_that_ship_has_an_outline() -> None:
    """Letters of the fonts that ship are never taken for empty."""
    for name in ("Manrope.ttf", "SourceSansPro-Regular.otf"):
        face = typeface(name)
        assert not [chr(code) for code in range(33, 0x3000) if face.has_empty_glyph(chr(code))]
