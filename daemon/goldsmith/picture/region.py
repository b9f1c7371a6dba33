"""Where: a small algebra over named regions, so that a recipe works on pictures nobody has masked.

    where  = term { "|" term }            either
    term   = factor { "&" factor }        both
    factor = "!" factor | "(" where ")" | "box(" x "," y "," w "," h ")" | NAME

Names are compared as file names are, NFC and without case.
Tighter first: ``!``, ``&``, ``|``. A union is the larger of two soft values, an intersection the smaller, ``!`` the rest to 1.

``subject``, ``face``, ``hands`` and ``text`` are looked for in the picture by somebody else, who gives what was found; ``background`` is
what the subject leaves. Where one of them is not there, a union has its other part; ``& face`` is nowhere, and so is the whole region
then; ``!face`` is everything, since there is nothing to spare. Without a subject nobody can tell what the background is: that is nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

from goldsmith.files import fold
from goldsmith.picture.picture import Mask, Plate, frozen

SEEN = ("subject", "face", "hands", "text")
"""Regions that have to be recognised in the picture."""
RESERVED = frozenset({*SEEN, "background"})
"""Words that are never a mask's name."""
SIDES = frozenset({"left", "right", "top", "bottom", "center"})

_WORD = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?![\w-]))|(?P<name>\w[\w-]*)|(?P<sign>[&|!(),]))")
_MAX_LENGTH = 512
"""A little more than a brief may say, for those who put two regions together."""
_MAX_DEPTH = 31
_THIRD = 1 / 3
_BOXES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 0.5, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 0.5),
    "center": (_THIRD, _THIRD, _THIRD, _THIRD),
}

Found = Mapping[str, Mask | None]
"""Of every word that was looked for the mask (h, w) of it, or None where the picture has none."""
NOTHING_SOUGHT: Found = MappingProxyType({})


class _Absent(Enum):
    """A region that is nowhere. ``NONE``: it is known that there is none. ``UNKNOWN``: nobody can tell what it would be."""

    NONE = "none"
    UNKNOWN = "unknown"


_SPARED = "!"
"""Before a word: as it was found, for where it is to be spared."""

Evaluate = Callable[[Plate, Found], Mask | _Absent]


class Nowhere(ValueError):
    """The whole region is nowhere, since ``words`` were looked for and are not in the picture."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__(f"no {' and no '.join(words)} was found")
        self.words = words


@dataclass(frozen=True, slots=True)
class Where:
    """A region as it was written, understood but not yet looked up in any picture."""

    text: str
    mask_names: frozenset[str]
    seen: frozenset[str]
    kept: frozenset[str]
    _evaluate: Evaluate

    def names(self) -> frozenset[str]:
        """Names of the masks it uses; ``mask`` is the unnamed one."""
        return self.mask_names

    def recognised(self) -> frozenset[str]:
        """Which of ``SEEN`` have to be looked for in the picture; ``background`` asks for the subject."""
        return self.seen

    def spares(self) -> frozenset[str]:
        """Which of ``SEEN`` it leaves out wherever they are: the subject of ``background``, and ``face`` in ``!face``."""
        return self.kept

    def evaluate(self, plate: Plate, found: Found = NOTHING_SOUGHT, whole: Callable[[Mask], Mask] | None = None) -> Mask:
        """The region of this plate, (h, w) 0..1. ``found`` has every word of ``recognised()``.

        ``whole``: for a step that removes, what makes of a thing that was found all of it, to the last of its soft rim. What is to be
        spared (``!face``, and the subject of ``background``) stays as it was found.
        Raises Nowhere where what was not found leaves nothing of the region; KeyError where the plate lacks a mask of ``names()``.
        """
        if whole is not None:
            spared = {_SPARED + word: mask for word, mask in found.items()}
            found = {**{word: mask if mask is None else whole(mask) for word, mask in found.items()}, **spared}
        made = self._evaluate(plate, found)
        if isinstance(made, _Absent):
            raise Nowhere(tuple(word for word in SEEN if word in self.seen and found[word] is None))
        return frozen(made)


def parse(where: str) -> Where:
    """Read a region. Raises ValueError with a plain sentence that says where in the text the fault is."""
    if len(where) > _MAX_LENGTH:
        raise ValueError(f"a region of {len(where)} letters is too long; the limit is {_MAX_LENGTH}")
    reading = _Reading(where, _words(where))
    evaluate = reading.either(0)
    if reading.at < len(reading.words):
        raise reading.fault('expected "&", "|" or the end')
    return Where(where, frozenset(reading.used), frozenset(reading.seen), frozenset(reading.kept), evaluate)


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    column: int


def _words(where: str) -> list[_Word]:
    words, at = [], 0
    end = len(where.rstrip())
    while at < end:
        found = _WORD.match(where, at)
        if found is None or found.lastgroup is None:
            column = at + len(where[at:]) - len(where[at:].lstrip())
            raise ValueError(
                f'"{where[column]}" at letter {column + 1} of "{where}" means nothing here; regions are joined with & | ! and ( )'
            )
        words.append(_Word(found.lastgroup, fold(found[found.lastgroup]), found.start(found.lastgroup)))
        at = found.end()
    return words


class _Reading:
    """One pass over the words, from left to right."""

    def __init__(self, text: str, words: list[_Word]) -> None:
        self.text = text
        self.words = words
        self.at = 0
        self.used: set[str] = set()
        self.seen: set[str] = set()
        self.kept: set[str] = set()
        self.spared = False

    def fault(self, expected: str) -> ValueError:
        if not self.words:
            return ValueError(
                "a region must not be empty: write mask, a mask's name, subject, background, face, hands, text, left, right, top, bottom, "
                "center or box(x, y, w, h)"
            )
        if self.at >= len(self.words):
            return ValueError(f'"{self.text}" breaks off: {expected}')
        word = self.words[self.at]
        return ValueError(f'{expected} at letter {word.column + 1} of "{self.text}", not "{word.text}"')

    def took(self, sign: str) -> bool:
        if self.at < len(self.words) and (self.words[self.at].kind, self.words[self.at].text) == ("sign", sign):
            self.at += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.took(sign):
            raise self.fault(f'expected "{sign}"')

    def either(self, depth: int) -> Evaluate:
        if depth > _MAX_DEPTH:
            raise ValueError(f'"{self.text[:60]}" nests deeper than {_MAX_DEPTH - 1} levels')
        made = self.both(depth)
        while self.took("|"):
            made = _joined(np.maximum, made, self.both(depth))
        return made

    def both(self, depth: int) -> Evaluate:
        made = self.factor(depth)
        while self.took("&"):
            made = _joined(np.minimum, made, self.factor(depth))
        return made

    def factor(self, depth: int) -> Evaluate:
        turned = False
        while self.took("!"):
            turned = not turned
        self.spared ^= turned
        made = self.region(depth)
        self.spared ^= turned
        return _inverted(made) if turned else made

    def region(self, depth: int) -> Evaluate:
        if self.took("("):
            made = self.either(depth + 1)
            self.need(")")
            return made
        if self.at >= len(self.words) or not (self.words[self.at].kind == "name" or self.words[self.at].text.isdigit()):
            raise self.fault("expected a region")
        word = self.words[self.at]
        self.at += 1
        if word.text == "box" and self.took("("):
            return self.box(word)
        if word.text in RESERVED:
            return self.looked_for(word.text)
        if word.text in _BOXES:
            return _box(*_BOXES[word.text])
        self.used.add(word.text)
        return _named(word.text)

    def looked_for(self, word: str) -> Evaluate:
        thing, spared = ("subject", not self.spared) if word == "background" else (word, self.spared)
        self.seen.add(thing)
        if spared:
            self.kept.add(thing)
        made = _seen(thing, spared=spared)
        return _inverted(made) if word == "background" else made

    def box(self, word: _Word) -> Evaluate:
        numbers: list[float] = []
        for number in range(4):
            if number:
                self.need(",")
            if self.at >= len(self.words) or self.words[self.at].kind != "number":
                raise self.fault("expected a number")
            numbers.append(float(self.words[self.at].text))
            self.at += 1
        self.need(")")
        x, y, w, h = numbers
        if not (0 <= x < 1 and 0 <= y < 1 and 0 < w <= 1 - x + 1e-9 and 0 < h <= 1 - y + 1e-9):
            raise ValueError(
                f'box({x:g}, {y:g}, {w:g}, {h:g}) at letter {word.column + 1} of "{self.text}" leaves the picture: '
                "x, y, width and height are fractions of it, each 0 to 1"
            )
        return _box(x, y, w, h)


def _joined(how: Callable[[Mask, Mask], Mask], one: Evaluate, other: Evaluate) -> Evaluate:
    """A union or an intersection: only a union has something left where one of the two is nowhere."""

    def evaluate(plate: Plate, found: Found) -> Mask | _Absent:
        both = (one(plate, found), other(plate, found))
        there = [made for made in both if not isinstance(made, _Absent)]
        if len(there) == 2:
            return how(*there)
        if there and how is np.maximum:
            return there[0]
        return _Absent.UNKNOWN if _Absent.UNKNOWN in [made for made in both if isinstance(made, _Absent)] else _Absent.NONE

    return evaluate


def _inverted(one: Evaluate) -> Evaluate:
    def evaluate(plate: Plate, found: Found) -> Mask | _Absent:
        made = one(plate, found)
        if made is _Absent.NONE:
            return np.ones((plate.height, plate.width), np.float32)
        return made if isinstance(made, _Absent) else 1 - made

    return evaluate


def _named(name: str) -> Evaluate:
    return lambda plate, _: plate.masks[name]


def _seen(word: str, *, spared: bool) -> Evaluate:
    absent = _Absent.UNKNOWN if word == "subject" else _Absent.NONE

    def evaluate(_: Plate, found: Found) -> Mask | _Absent:
        made = found.get(_SPARED + word, found[word]) if spared else found[word]
        return absent if made is None else made

    return evaluate


def _box(x: float, y: float, w: float, h: float) -> Evaluate:
    """Every pixel whose centre lies inside; never none at all."""

    def evaluate(plate: Plate, _: Found) -> Mask:
        made = np.zeros((plate.height, plate.width), np.float32)
        top, bottom = _span(y, h, plate.height)
        left, right = _span(x, w, plate.width)
        made[top:bottom, left:right] = 1.0
        return made

    return evaluate


def _span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(size - 1, int(start * size + 0.5))
    return first, max(first + 1, min(size, int((start + length) * size + 0.5)))
