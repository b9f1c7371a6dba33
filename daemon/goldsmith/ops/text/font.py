"""A font file opened: what it is called, what it measures, what it can do. The bytes are a stranger's: HarfBuzz checks every table."""

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
# Letters that are blank by what they mean: fillers of Hangul, and the empty cell of Braille.
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


class _OutlinePen:
    """Notes where an outline goes."""

    def __init__(self, drawn: list[tuple[float, float]]) -> None:
        self._drawn = drawn

    def moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - HarfBuzz calls it so
        """The begin of a contour, which may be all of it."""

    def lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self._drawn.append(point)

    def curveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        self._drawn.append(points[-1])

    qCurveTo = curveTo  # noqa: N815

    def closePath(self) -> None:  # noqa: N802
        """Nothing more to note."""

    endPath = closePath  # noqa: N815


@dataclass(frozen=True, slots=True, eq=False)
class Typeface:
    """A font at one setting of its axes. Lengths are in em, y upwards from the baseline.

    ascent and descent (negative) are the room of a line, cap is the height of capitals.
    """

    name: str
    version: str
    ascent: float
    descent: float
    cap_height: float
    units_per_em: int
    # HarfBuzz's own font, scaled to ``upem``.
    hb_font: Any = field(repr=False)
    # Of the file.
    sha256: str = ""
    # The OpenType features that it knows.
    features: frozenset[str] = frozenset()

    def has_visible_glyph(self, letter: str) -> bool:
        """True where it has a glyph for that character, and one that can be seen."""
        return bool(self.hb_font.get_nominal_glyph(ord(letter))) and not self.has_empty_glyph(letter)

    def has_empty_glyph(self, letter: str) -> bool:
        """True where its glyph for what is to be seen has no outline, as in fonts whose letters are coloured pictures."""
        number = self.hb_font.get_nominal_glyph(ord(letter))
        if not number or unicodedata.category(letter)[0] not in "LNPS" or letter in _BLANK_LETTERS:
            return False
        drawn: list[tuple[float, float]] = []
        self.hb_font.draw_glyph_with_pen(number, _OutlinePen(drawn))
        return not drawn


def open_font(data: bytes, file_name: str, axes: Mapping[str, float] | None = None, index: int = 0) -> Typeface:
    """The font in ``data``: the ``number``-th of a collection, with the axes of a variable one set.

    ``called`` names the file in sentences. Raises InputError where it is no font that can be set.
    """
    import uharfbuzz as hb

    if data[:4] in _WEB_FONT_MAGIC:
        raise InputError(f"{file_name} is a web font ({data[:4].decode()}).", "Put the .ttf or .otf of the same font into library/fonts/.")
    try:
        return _read_typeface(hb.Face(hb.Blob(data), index), data, file_name, axes or {}, index)
    except (ValueError, OverflowError) as fault:
        raise InputError(f"{file_name} is damaged: what it says of itself cannot be read.", _REMEDY) from fault


def _read_typeface(face: Any, data: bytes, file_name: str, axes: Mapping[str, float], index: int) -> Typeface:
    import uharfbuzz as hb

    if not face.glyph_count or not face.upem:
        raise InputError(f"{file_name} is no font that can be read, or damaged.", _REMEDY)
    if index and data[:4] != b"ttcf":
        raise InputError(f"{file_name} holds one font only; face = {index} was asked for.", "Leave out `face` in the text step.")
    if not set(face.table_tags) & set(_OUTLINE_TABLES):
        raise InputError(f"{file_name} holds pictures, not outlines (a colour or bitmap font).", "Choose another font for the text step.")
    font = hb.Font(face)
    _set_axes(font, face, file_name, axes)
    extents = font.get_font_extents("ltr")
    cap = font.get_metric_position_with_fallback(hb.OTMetricsTag.CAP_HEIGHT)
    return Typeface(
        _name_entry(face, 6) or file_name,
        _name_entry(face, 5),
        extents.ascender / face.upem,
        extents.descender / face.upem,
        cap / face.upem,
        face.upem,
        font,
        hashlib.sha256(data).hexdigest(),
        _feature_tags(face),
    )


def require_features(face: Typeface, features: Mapping[str, int]) -> None:
    """Raises InputError where a feature that is to be switched on is none of this font's."""
    for tag, value in features.items():
        if value and tag not in face.features:
            near = difflib.get_close_matches(tag, sorted(face.features), n=1)
            known = ", ".join(sorted(face.features)) or "none"
            raise InputError(
                f"The font {face.name} has no feature “{tag}”" + (f"; did you mean “{near[0]}”?" if near else "."),
                f"It has: {known}.",
            )


def _set_axes(font: Any, face: Any, file_name: str, axes: Mapping[str, float]) -> None:
    known = {axis.tag: axis for axis in face.axis_infos}
    for tag, value in axes.items():
        if tag not in known:
            has = ", ".join(f"{axis.tag} {axis.min_value:g} to {axis.max_value:g}" for axis in known.values())
            raise InputError(
                f"{file_name} has no axis “{tag}”.", f"Its axes are: {has}." if has else "It is no variable font: leave out `axes`."
            )
        low, high = known[tag].min_value, known[tag].max_value
        if not low <= value <= high:
            raise InputError(f"{file_name} goes from {low:g} to {high:g} on the axis “{tag}”; {value:g} was asked for.", "Stay within it.")
    if axes:
        font.set_variations(dict(axes))


def _name_entry(face: Any, name_id: int) -> str:
    try:
        told = face.get_name(name_id, "en") or ""
    except (UnicodeDecodeError, ValueError):
        return ""
    return "".join(letter for letter in told if letter.isprintable())[:120]


def _feature_tags(face: Any) -> frozenset[str]:
    found: set[str] = set()
    for table in ("GSUB", "GPOS"):
        for script in range(len(face.get_table_script_tags(table))):
            languages = range(len(face.get_script_language_tags(table, script)))
            for language in (_DEFAULT_LANGUAGE, *languages):
                found |= set(face.get_language_feature_tags(table, script, language))
    return frozenset(found)
