"""Line breaking: at spaces, after hyphens and dashes, and between the characters of Chinese and Japanese (basic kinsoku).

The common cases of UAX #14, by Python's own Unicode tables. A word is divided only at a soft hyphen. Korean breaks at its spaces.
Thai, Lao, Khmer and Burmese, which would need a dictionary, break only at a space or U+200B.
"""

from __future__ import annotations

import unicodedata

_SPACES = " \t\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u205f\u3000\u200b"
_GLUE = "\u00a0\u202f\u2007\u2060\ufeff\u200d"
_HYPHENS_AND_DASHES = "-\u2010\u2012\u2013\u2014"
_NOT_AT_LINE_START = (
    "、。，．・：；？！゛゜ヽヾゝゞ々〻ー〜～‐’”）〕］｝〉》」』】〙〗〟｠»…‥％‰℃"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ｡､･ｧｨｩｪｫｬｭｮｯｰ"
)
_NOT_AT_LINE_END = "‘“（〔［｛〈《「『【〘〖〝｟«￥＄￡＃"
_SOFT_HYPHEN = "\u00ad"
# French puts a space between these signs and the text. They still never stand alone at the start or end of a line.
_SPACED_CLOSING, _SPACED_OPENING = "!?:;»›)]}…%‰", "«‹([{¿¡"
# The first and last skin tone; each belongs to the emoji before it.
_SKIN_TONES = "\U0001f3fb", "\U0001f3ff"
# The first and last Hangul syllable.
_HANGUL_SYLLABLES = 0xAC00, 0xD7A3


def break_opportunities(text: str) -> list[int]:
    """Return every index before which ``text`` (one paragraph) may be broken, and the index of its end."""
    return [index for index in range(1, len(text)) if _can_break_before(text, index)] + [len(text)]


def _can_break_before(text: str, index: int) -> bool:
    before, after = text[index - 1], text[index]
    if after in _SPACES or after in _GLUE or before in _GLUE or _is_combining(after):
        return before == "\u200b"
    if before in _SPACES:
        return before == "\u200b" or not _is_unbreakable_space(text, index)
    if before == _SOFT_HYPHEN:
        return True
    if before in _HYPHENS_AND_DASHES:
        return index >= 2 and after.isalpha() and text[index - 2] not in _SPACES and not text[index - 2].isspace()
    if not (_breaks_freely(before) or _breaks_freely(after)):
        return False
    return not (_forbids_break_before(after) or _forbids_break_after(before))


def _is_combining(letter: str) -> bool:
    """Return whether the character belongs to the character before it."""
    return unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf") or _SKIN_TONES[0] <= letter <= _SKIN_TONES[1]


def _is_unbreakable_space(text: str, index: int) -> bool:
    """Return whether the space before ``index`` separates a sign or unit from its word or number: « oui », 25 %, 99 €."""
    start = index
    while start and text[start - 1] in _SPACES:
        start -= 1
    before, after = text[start - 1 : start], text[index]
    is_after_opening = before != "" and before in _SPACED_OPENING and (start == 1 or text[start - 2] in _SPACES)
    is_before_closing = after in _SPACED_CLOSING and not text[index + 1 : index + 2].isalnum()
    return is_after_opening or is_before_closing or (before.isdigit() and unicodedata.category(after) == "Sc")


def _breaks_freely(letter: str) -> bool:
    """Return whether a line may break beside the character without a space: ideographs, kana, full-width forms, emoji."""
    hangul = _HANGUL_SYLLABLES[0] <= ord(letter) <= _HANGUL_SYLLABLES[1]
    return unicodedata.east_asian_width(letter) in ("W", "F") and not hangul


def _forbids_break_before(letter: str) -> bool:
    """Return whether the character must not begin a line."""
    return letter in _NOT_AT_LINE_START or unicodedata.category(letter) in ("Pe", "Pf") or letter in ",.!?:;%)]}"


def _forbids_break_after(letter: str) -> bool:
    """Return whether the character must not end a line."""
    return letter in _NOT_AT_LINE_END or unicodedata.category(letter) in ("Ps", "Pi") or letter in "$£¥#"
