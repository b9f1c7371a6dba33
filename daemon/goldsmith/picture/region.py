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

from goldsmith.files import fold_name
from goldsmith.picture.picture import Mask, Picture, freeze

# Regions that have to be recognised in the picture.
DETECTED_WORDS = ("subject", "face", "hands", "text")
# Words that are never a mask's name.
RESERVED_WORDS = frozenset({*DETECTED_WORDS, "background"})
SIDES = frozenset({"left", "right", "top", "bottom", "center"})

_TOKEN_PATTERN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?![\w-]))|(?P<name>\w[\w-]*)|(?P<sign>[&|!(),]))")
# A little more than a brief may say, for those who put two regions together.
_MAX_LENGTH = 512
_MAX_NESTING = 31
_THIRD = 1 / 3
_NAMED_BOXES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 0.5, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 0.5),
    "center": (_THIRD, _THIRD, _THIRD, _THIRD),
}

# Of every word that was looked for the mask (h, w) of it, or None where the picture has none.
DetectedMasks = Mapping[str, Mask | None]
NO_DETECTIONS: DetectedMasks = MappingProxyType({})


class _MissingRegion(Enum):
    """A region that is nowhere. ``NONE``: it is known that there is none. ``UNKNOWN``: nobody can tell what it would be."""

    NONE = "none"
    UNKNOWN = "unknown"


# Before a word: as it was found, for where it is to be spared.
_PROTECTED_PREFIX = "!"

RegionEvaluator = Callable[[Picture, DetectedMasks], Mask | _MissingRegion]


class RegionNotFound(ValueError):
    """The whole region is nowhere, since ``words`` were looked for and are not in the picture."""

    def __init__(self, missing_words: tuple[str, ...]) -> None:
        super().__init__(f"no {' and no '.join(missing_words)} was found")
        self.missing_words = missing_words


@dataclass(frozen=True, slots=True)
class ParsedRegion:
    """A region as it was written, understood but not yet looked up in any picture."""

    source: str
    mask_names: frozenset[str]
    detected_words: frozenset[str]
    protected_words: frozenset[str]
    _evaluate: RegionEvaluator

    def required_masks(self) -> frozenset[str]:
        """Names of the masks it uses; ``mask`` is the unnamed one."""
        return self.mask_names

    def required_detections(self) -> frozenset[str]:
        """Which of ``DETECTED_WORDS`` have to be looked for in the picture; ``background`` asks for the subject."""
        return self.detected_words

    def protected_detections(self) -> frozenset[str]:
        """Which of ``DETECTED_WORDS`` it leaves out wherever they are: the subject of ``background``, and ``face`` in ``!face``."""
        return self.protected_words

    def evaluate(
        self, picture: Picture, detected: DetectedMasks = NO_DETECTIONS, expand_mask: Callable[[Mask], Mask] | None = None
    ) -> Mask:
        """The region of this picture, (h, w) 0..1. ``found`` has every word of ``recognised()``.

        ``whole``: for a step that removes, what makes of a thing that was found all of it, to the last of its soft rim. What is to be
        spared (``!face``, and the subject of ``background``) stays as it was found.
        Raises Nowhere where what was not found leaves nothing of the region; KeyError where the picture lacks a mask of ``names()``.
        """
        if expand_mask is not None:
            spared = {_PROTECTED_PREFIX + word: mask for word, mask in detected.items()}
            detected = {**{word: mask if mask is None else expand_mask(mask) for word, mask in detected.items()}, **spared}
        made = self._evaluate(picture, detected)
        if isinstance(made, _MissingRegion):
            raise RegionNotFound(tuple(word for word in DETECTED_WORDS if word in self.detected_words and detected[word] is None))
        return freeze(made)


def parse_region(expression: str) -> ParsedRegion:
    """Read a region. Raises ValueError with a plain sentence that says where in the text the fault is."""
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"a region of {len(expression)} letters is too long; the limit is {_MAX_LENGTH}")
    reading = _RegionParser(expression, _tokenise(expression))
    evaluate = reading.parse_union(0)
    if reading.position < len(reading.tokens):
        raise reading.syntax_error('expected "&", "|" or the end')
    return ParsedRegion(
        expression, frozenset(reading.used_masks), frozenset(reading.detected_words), frozenset(reading.protected_words), evaluate
    )


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


def _tokenise(expression: str) -> list[_Token]:
    words, at = [], 0
    end = len(expression.rstrip())
    while at < end:
        found = _TOKEN_PATTERN.match(expression, at)
        if found is None or found.lastgroup is None:
            column = at + len(expression[at:]) - len(expression[at:].lstrip())
            raise ValueError(
                f'"{expression[column]}" at letter {column + 1} of "{expression}" means nothing here; regions are joined with & | ! and ( )'
            )
        words.append(_Token(found.lastgroup, fold_name(found[found.lastgroup]), found.start(found.lastgroup)))
        at = found.end()
    return words


class _RegionParser:
    """One pass over the words, from left to right."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.position = 0
        self.used_masks: set[str] = set()
        self.detected_words: set[str] = set()
        self.protected_words: set[str] = set()
        self.is_negated = False

    def syntax_error(self, expected: str) -> ValueError:
        if not self.tokens:
            return ValueError(
                "a region must not be empty: write mask, a mask's name, subject, background, face, hands, text, left, right, top, bottom, "
                "center or box(x, y, w, h)"
            )
        if self.position >= len(self.tokens):
            return ValueError(f'"{self.text}" breaks off: {expected}')
        word = self.tokens[self.position]
        return ValueError(f'{expected} at letter {word.column + 1} of "{self.text}", not "{word.text}"')

    def accept(self, operator: str) -> bool:
        if self.position < len(self.tokens) and (self.tokens[self.position].kind, self.tokens[self.position].text) == ("sign", operator):
            self.position += 1
            return True
        return False

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            raise self.syntax_error(f'expected "{operator}"')

    def parse_union(self, depth: int) -> RegionEvaluator:
        if depth > _MAX_NESTING:
            raise ValueError(f'"{self.text[:60]}" nests deeper than {_MAX_NESTING - 1} levels')
        made = self.parse_intersection(depth)
        while self.accept("|"):
            made = _combine(np.maximum, made, self.parse_intersection(depth))
        return made

    def parse_intersection(self, depth: int) -> RegionEvaluator:
        made = self.parse_factor(depth)
        while self.accept("&"):
            made = _combine(np.minimum, made, self.parse_factor(depth))
        return made

    def parse_factor(self, depth: int) -> RegionEvaluator:
        turned = False
        while self.accept("!"):
            turned = not turned
        self.is_negated ^= turned
        made = self.parse_operand(depth)
        self.is_negated ^= turned
        return _invert(made) if turned else made

    def parse_operand(self, depth: int) -> RegionEvaluator:
        if self.accept("("):
            made = self.parse_union(depth + 1)
            self.expect(")")
            return made
        if self.position >= len(self.tokens) or not (
            self.tokens[self.position].kind == "name" or self.tokens[self.position].text.isdigit()
        ):
            raise self.syntax_error("expected a region")
        word = self.tokens[self.position]
        self.position += 1
        if word.text == "box" and self.accept("("):
            return self.parse_box(word)
        if word.text in RESERVED_WORDS:
            return self.parse_detected(word.text)
        if word.text in _NAMED_BOXES:
            return _box_evaluator(*_NAMED_BOXES[word.text])
        self.used_masks.add(word.text)
        return _mask_evaluator(word.text)

    def parse_detected(self, word: str) -> RegionEvaluator:
        thing, spared = ("subject", not self.is_negated) if word == "background" else (word, self.is_negated)
        self.detected_words.add(thing)
        if spared:
            self.protected_words.add(thing)
        made = _detection_evaluator(thing, is_protected=spared)
        return _invert(made) if word == "background" else made

    def parse_box(self, token: _Token) -> RegionEvaluator:
        numbers: list[float] = []
        for number in range(4):
            if number:
                self.expect(",")
            if self.position >= len(self.tokens) or self.tokens[self.position].kind != "number":
                raise self.syntax_error("expected a number")
            numbers.append(float(self.tokens[self.position].text))
            self.position += 1
        self.expect(")")
        x, y, w, h = numbers
        if not (0 <= x < 1 and 0 <= y < 1 and 0 < w <= 1 - x + 1e-9 and 0 < h <= 1 - y + 1e-9):
            raise ValueError(
                f'box({x:g}, {y:g}, {w:g}, {h:g}) at letter {token.column + 1} of "{self.text}" leaves the picture: '
                "x, y, width and height are fractions of it, each 0 to 1"
            )
        return _box_evaluator(x, y, w, h)


def _combine(combine_masks: Callable[[Mask, Mask], Mask], first: RegionEvaluator, second: RegionEvaluator) -> RegionEvaluator:
    """A union or an intersection: only a union has something left where one of the two is nowhere."""

    def evaluate(plate: Picture, found: DetectedMasks) -> Mask | _MissingRegion:
        both = (first(plate, found), second(plate, found))
        there = [made for made in both if not isinstance(made, _MissingRegion)]
        if len(there) == 2:
            return combine_masks(*there)
        if there and combine_masks is np.maximum:
            return there[0]
        return (
            _MissingRegion.UNKNOWN
            if _MissingRegion.UNKNOWN in [made for made in both if isinstance(made, _MissingRegion)]
            else _MissingRegion.NONE
        )

    return evaluate


def _invert(evaluator: RegionEvaluator) -> RegionEvaluator:
    def evaluate(plate: Picture, found: DetectedMasks) -> Mask | _MissingRegion:
        made = evaluator(plate, found)
        if made is _MissingRegion.NONE:
            return np.ones((plate.height, plate.width), np.float32)
        return made if isinstance(made, _MissingRegion) else 1 - made

    return evaluate


def _mask_evaluator(name: str) -> RegionEvaluator:
    return lambda plate, _: plate.masks[name]


def _detection_evaluator(word: str, *, is_protected: bool) -> RegionEvaluator:
    absent = _MissingRegion.UNKNOWN if word == "subject" else _MissingRegion.NONE

    def evaluate(_: Picture, found: DetectedMasks) -> Mask | _MissingRegion:
        made = found.get(_PROTECTED_PREFIX + word, found[word]) if is_protected else found[word]
        return absent if made is None else made

    return evaluate


def _box_evaluator(x: float, y: float, w: float, h: float) -> RegionEvaluator:
    """Every pixel whose centre lies inside; never none at all."""

    def evaluate(plate: Picture, _: DetectedMasks) -> Mask:
        made = np.zeros((plate.height, plate.width), np.float32)
        top, bottom = _pixel_span(y, h, plate.height)
        left, right = _pixel_span(x, w, plate.width)
        made[top:bottom, left:right] = 1.0
        return made

    return evaluate


def _pixel_span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(size - 1, int(start * size + 0.5))
    return first, max(first + 1, min(size, int((start + length) * size + 0.5)))
