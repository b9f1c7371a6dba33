"""Where: a small algebra over named regions, so that a recipe works on pictures nobody has masked.

    where  = term { "|" term }            either
    term   = factor { "&" factor }        both
    factor = "!" factor | "(" where ")" | "box(" x "," y "," w "," h ")" | NAME

Names are compared as file names are, NFC and without case.
Tighter first: ``!``, ``&``, ``|``. A union is the larger of two soft values, an intersection the smaller, ``!`` the rest to 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from goldsmith.files import fold
from goldsmith.plate.plate import Mask, Plate, frozen

NOT_YET = frozenset({"subject", "background", "face", "hands", "text"})
"""Reserved words: regions that have to be recognised in the picture."""
SIDES = frozenset({"left", "right", "top", "bottom", "center"})

_WORD = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?![\w-]))|(?P<name>\w[\w-]*)|(?P<sign>[&|!(),]))")
_MAX_LENGTH = 500
_MAX_DEPTH = 30
_THIRD = 1 / 3
_BOXES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 0.5, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 0.5),
    "center": (_THIRD, _THIRD, _THIRD, _THIRD),
}

Evaluate = Callable[[Plate], Mask]


@dataclass(frozen=True, slots=True)
class Where:
    """A region as it was written, understood but not yet looked up in any picture."""

    text: str
    mask_names: frozenset[str]
    _evaluate: Evaluate

    def names(self) -> frozenset[str]:
        """Names of the masks it uses; ``mask`` is the unnamed one."""
        return self.mask_names

    def evaluate(self, plate: Plate) -> Mask:
        """The region of this plate, (h, w) 0..1. KeyError where the plate lacks a mask of ``names()``."""
        return frozen(self._evaluate(plate))


def parse(where: str) -> Where:
    """Read a region. Raises ValueError with a plain sentence that says where in the text the fault is."""
    if len(where) > _MAX_LENGTH:
        raise ValueError(f"a region of {len(where)} letters is too long; the limit is {_MAX_LENGTH}")
    reading = _Reading(where, _words(where))
    evaluate = reading.either(0)
    if reading.at < len(reading.words):
        raise reading.fault('expected "&", "|" or the end')
    return Where(where, frozenset(reading.used), evaluate)


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

    def fault(self, expected: str) -> ValueError:
        if not self.words:
            return ValueError("a region must not be empty: write mask, a mask's name, left, right, top, bottom, center or box(x, y, w, h)")
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
            raise ValueError(f'"{self.text[:60]}" nests deeper than {_MAX_DEPTH} levels')
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
        made = self.region(depth)
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
        if word.text in NOT_YET:
            raise ValueError(f'"{word.text}" in "{self.text}" is not known to this version yet: paint a mask and name it')
        if word.text in _BOXES:
            return _box(*_BOXES[word.text])
        self.used.add(word.text)
        return _named(word.text)

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
    return lambda plate: how(one(plate), other(plate))


def _inverted(one: Evaluate) -> Evaluate:
    return lambda plate: 1 - one(plate)


def _named(name: str) -> Evaluate:
    return lambda plate: plate.masks[name]


def _box(x: float, y: float, w: float, h: float) -> Evaluate:
    """Every pixel whose centre lies inside; never none at all."""

    def evaluate(plate: Plate) -> Mask:
        made = np.zeros((plate.height, plate.width), np.float32)
        top, bottom = _span(y, h, plate.height)
        left, right = _span(x, w, plate.width)
        made[top:bottom, left:right] = 1.0
        return made

    return evaluate


def _span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(size - 1, int(start * size + 0.5))
    return first, max(first + 1, min(size, int((start + length) * size + 0.5)))
