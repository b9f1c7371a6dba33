"""Where a line may end: at spaces, after hyphens and dashes, and between the characters of Chinese and Japanese (plain kinsoku).

The usual cases of UAX #14, by Python's own Unicode tables. A word is divided only where somebody wrote a soft hyphen. Korean breaks
at its spaces; Thai, Lao, Khmer and Burmese, which need a dictionary, only where somebody wrote a space or U+200B.
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
# What may be spaced off inside, as French does it, and still never stands alone at a line's begin or end.
_SPACED_CLOSING, _SPACED_OPENING = "!?:;»›)]}…%‰", "«‹([{¿¡"
# Skin tones, which belong to the emoji before them.
_SKIN_TONES = "\U0001f3fb", "\U0001f3ff"
# Hangul syllables.
_HANGUL_SYLLABLES = 0xAC00, 0xD7A3


def break_opportunities(text: str) -> list[int]:
    """Every place before which ``text`` (one paragraph) may be broken, its end included."""
    return [place for place in range(1, len(text)) if _can_break_before(text, place)] + [len(text)]


def _can_break_before(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if after in _SPACES or after in _GLUE or before in _GLUE or _is_combining(after):
        return before == "\u200b"
    if before in _SPACES:
        return before == "\u200b" or not _is_unbreakable_space(text, place)
    if before == _SOFT_HYPHEN:
        return True
    if before in _HYPHENS_AND_DASHES:
        return place >= 2 and after.isalpha() and text[place - 2] not in _SPACES and not text[place - 2].isspace()
    if not (_breaks_freely(before) or _breaks_freely(after)):
        return False
    return not (_forbids_break_before(after) or _forbids_break_after(before))


def _is_combining(letter: str) -> bool:
    """True for what belongs to the character before it."""
    return unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf") or _SKIN_TONES[0] <= letter <= _SKIN_TONES[1]


def _is_unbreakable_space(text: str, place: int) -> bool:
    """True where the space before ``place`` lies between a sign or unit and what it belongs to: « oui », 25 %, 99 €."""
    start = place
    while start and text[start - 1] in _SPACES:
        start -= 1
    led, after = text[start - 1 : start], text[place]
    opens = led != "" and led in _SPACED_OPENING and (start == 1 or text[start - 2] in _SPACES)
    closes = after in _SPACED_CLOSING and not text[place + 1 : place + 2].isalnum()
    return opens or closes or (led.isdigit() and unicodedata.category(after) == "Sc")


def _breaks_freely(letter: str) -> bool:
    """True for characters with no words round them: ideographs, kana, full-width forms, emoji."""
    hangul = _HANGUL_SYLLABLES[0] <= ord(letter) <= _HANGUL_SYLLABLES[1]
    return unicodedata.east_asian_width(letter) in ("W", "F") and not hangul


def _forbids_break_before(letter: str) -> bool:
    return letter in _NOT_AT_LINE_START or unicodedata.category(letter) in ("Pe", "Pf") or letter in ",.!?:;%)]}"


def _forbids_break_after(letter: str) -> bool:
    return letter in _NOT_AT_LINE_END or unicodedata.category(letter) in ("Ps", "Pi") or letter in "$£¥#"
