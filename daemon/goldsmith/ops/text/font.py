"""Opening a font file: its name, its measures and its features. Font files are untrusted input: HarfBuzz sanitises every table."""

from __future__ import annotations

import difflib
import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldsmith.errors import InputError

MAX_FONT_BYTES = 64 * 2**20
FONT_SUFFIXES = (".ttf", ".otf", ".ttc")
_WEB_FONT_MAGIC = (b"wOFF", b"wOF2")
_OUTLINE_TABLES = ("glyf", "CFF ", "CFF2")
_REMEDY = "Put a working .ttf or .otf into library/fonts/."
_DEFAULT_LANGUAGE = 0xFFFF
# Letters that are blank by definition: the fillers of Hangul, and the empty cell of Braille.
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


class _OutlinePen:
    """Collects the points of an outline."""

    def __init__(self, points: list[tuple[float, float]]) -> None:
        self._points = points

    def moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - HarfBuzz calls this name
        """Ignore the start of a contour: a contour may hold nothing else."""

    def lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        """Add the end of a line."""
        self._points.append(point)

    def curveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        """Add the end of a curve."""
        self._points.append(points[-1])

    qCurveTo = curveTo  # noqa: N815

    def closePath(self) -> None:  # noqa: N802
        """Do nothing: closing a contour adds no point."""

    endPath = closePath  # noqa: N815


@dataclass(frozen=True, slots=True, eq=False)
class Typeface:
    """A font at one setting of its axes. Lengths are in em, y upwards from the baseline.

    ``ascent`` and ``descent`` (negative) are the height of a line above and below its baseline; ``cap_height`` is the height of capitals.
    """

    name: str
    version: str
    ascent: float
    descent: float
    cap_height: float
    units_per_em: int
    # The HarfBuzz font, in units of ``units_per_em``.
    hb_font: Any = field(repr=False)
    # Hash of the font file.
    sha256: str = ""
    # Tags of the OpenType features that the font has.
    features: frozenset[str] = frozenset()

    def has_visible_glyph(self, letter: str) -> bool:
        """Return whether the font has a glyph for the character, and the glyph is not empty."""
        return bool(self.hb_font.get_nominal_glyph(ord(letter))) and not self.has_empty_glyph(letter)

    def has_empty_glyph(self, letter: str) -> bool:
        """Return whether the glyph of a character that should be visible has no outline, as in fonts whose letters are colour bitmaps."""
        glyph_id = self.hb_font.get_nominal_glyph(ord(letter))
        if not glyph_id or unicodedata.category(letter)[0] not in "LNPS" or letter in _BLANK_LETTERS:
            return False
        points: list[tuple[float, float]] = []
        self.hb_font.draw_glyph_with_pen(glyph_id, _OutlinePen(points))
        return not points


def open_font(data: bytes, file_name: str, axes: Mapping[str, float] | None = None, index: int = 0) -> Typeface:
    """Return the font in ``data`` with the axes of a variable font set; ``index`` chooses a font of a collection.

    ``file_name`` names the file in messages. Raises InputError if the data is no font that can be typeset.
    """
    import uharfbuzz as hb

    if data[:4] in _WEB_FONT_MAGIC:
        raise InputError(f"{file_name} is a web font ({data[:4].decode()}).", "Put the .ttf or .otf of the same font into library/fonts/.")
    try:
        return _read_typeface(hb.Face(hb.Blob(data), index), data, file_name, axes or {}, index)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{file_name} is damaged: its tables cannot be read.", _REMEDY) from error


def _read_typeface(face: Any, data: bytes, file_name: str, axes: Mapping[str, float], index: int) -> Typeface:
    """Return the checked font. Raises InputError if it has no glyphs or no outlines, or if ``index`` or ``axes`` do not fit it."""
    import uharfbuzz as hb

    if not face.glyph_count or not face.upem:
        raise InputError(f"{file_name} is damaged, or not a font that Goldsmith can read.", _REMEDY)
    if index and data[:4] != b"ttcf":
        raise InputError(f"{file_name} holds only one font, but the step asks for face = {index}.", "Leave out `face` in the text step.")
    if not set(face.table_tags) & set(_OUTLINE_TABLES):
        raise InputError(f"{file_name} holds pictures, not outlines (a colour or bitmap font).", "Choose another font for the text step.")
    font = hb.Font(face)
    _set_axes(font, face, file_name, axes)
    extents = font.get_font_extents("ltr")
    cap_height = font.get_metric_position_with_fallback(hb.OTMetricsTag.CAP_HEIGHT)
    return Typeface(
        _name_entry(face, 6) or file_name,
        _name_entry(face, 5),
        extents.ascender / face.upem,
        extents.descender / face.upem,
        cap_height / face.upem,
        face.upem,
        font,
        hashlib.sha256(data).hexdigest(),
        _feature_tags(face),
    )


def require_features(face: Typeface, features: Mapping[str, int]) -> None:
    """Raise InputError if the font does not have a feature that is to be switched on."""
    for tag, value in features.items():
        if value and tag not in face.features:
            near = difflib.get_close_matches(tag, sorted(face.features), n=1)
            known = ", ".join(sorted(face.features)) or "none"
            raise InputError(
                f"The font {face.name} has no feature “{tag}”" + (f"; did you mean “{near[0]}”?" if near else "."),
                f"It has: {known}.",
            )


def _set_axes(font: Any, face: Any, file_name: str, axes: Mapping[str, float]) -> None:
    """Set the axes of a variable font. Raises InputError if the font lacks an axis, or if a value is outside the axis' range."""
    known = {axis.tag: axis for axis in face.axis_infos}
    for tag, value in axes.items():
        if tag not in known:
            has = ", ".join(f"{axis.tag} {axis.min_value:g} to {axis.max_value:g}" for axis in known.values())
            raise InputError(
                f"{file_name} has no axis “{tag}”.", f"Its axes are: {has}." if has else "This is not a variable font: leave out `axes`."
            )
        low, high = known[tag].min_value, known[tag].max_value
        if not low <= value <= high:
            raise InputError(
                f"{file_name} goes from {low:g} to {high:g} on the axis “{tag}”; the step asks for {value:g}.",
                "Choose a value within this range.",
            )
    if axes:
        font.set_variations(dict(axes))


def _name_entry(face: Any, name_id: int) -> str:
    """Return one entry of the font's name table in printable characters, at most 120; "" if the font lacks it or it cannot be decoded."""
    try:
        entry = face.get_name(name_id, "en") or ""
    except (UnicodeDecodeError, ValueError):
        return ""
    return "".join(letter for letter in entry if letter.isprintable())[:120]


def _feature_tags(face: Any) -> frozenset[str]:
    """Return the tags of all OpenType features that the font has for any script and language."""
    tags: set[str] = set()
    for table in ("GSUB", "GPOS"):
        for script in range(len(face.get_table_script_tags(table))):
            languages = range(len(face.get_script_language_tags(table, script)))
            for language in (_DEFAULT_LANGUAGE, *languages):
                tags |= set(face.get_language_feature_tags(table, script, language))
    return frozenset(tags)
