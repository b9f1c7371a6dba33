"""Regions: a small algebra over named regions, so that a recipe works on pictures without a mask.

where  = term { "|" term }            either
term   = factor { "&" factor }        both
factor = "!" factor | "(" where ")" | "box(" x "," y "," w "," h ")" | NAME

Names are compared like file names: NFC and case-insensitive. Precedence, highest first: ``!``, ``&``, ``|``. A union is the larger of two
soft values, an intersection the smaller, ``!`` is 1 minus the value.

``subject``, ``face``, ``hands`` and ``text`` are detected elsewhere and passed in; ``background`` is the complement of the subject. If one
of them is not in the picture, a union has its other part; ``& face`` is missing, and so is the whole region then; ``!face`` is everything.
Without a subject the background is undefined, and so it is missing too.

``shadows``, ``midtones`` and ``highlights`` are measured on the luma of the picture; they are soft and add up to the whole picture.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

from goldsmith.files import fold_name
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.picture.tonal_ranges import zone_weights

# Regions that must be detected in the picture.
DETECTED_WORDS = ("subject", "face", "hands", "text")
# Words that are never the name of a mask.
RESERVED_WORDS = frozenset({*DETECTED_WORDS, "background"})
SIDES = frozenset({"left", "right", "top", "bottom", "center"})
# Regions by brightness, from dark to bright: the order of ``zone_weights``.
TONES = ("shadows", "midtones", "highlights")

_TOKEN_PATTERN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?![\w-]))|(?P<name>\w[\w-]*)|(?P<sign>[&|!(),]))")
# Slightly more than a brief may contain, for code that combines two regions.
_MAX_LENGTH = 512
_MAX_NESTING = 31
_BOX_NUMBERS = 4
_THIRD = 1 / 3
_NAMED_BOXES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 0.5, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 0.5),
    "center": (_THIRD, _THIRD, _THIRD, _THIRD),
}

_ALL_WORDS = RESERVED_WORDS | SIDES | {"mask", *TONES}
_SIGNS_IN_PHRASES = frozenset("&|!")
# What people write for a region or between two regions; "" is left out.
_REGION_WORDS = {
    **dict.fromkeys(("the", "a", "an", "of", "in", "on", "at", "side", "part", "half", "area", "corner", "hand", "picture", "image"), ""),
    **dict.fromkeys(("and", "+", ",", "with"), "&"),
    "or": "|",
    **dict.fromkeys(("not", "without", "except"), "!"),
    **dict.fromkeys(("middle", "centre"), "center"),
    **dict.fromkeys(("person", "people", "man", "woman", "model", "figure", "foreground", "object"), "subject"),
    **dict.fromkeys(("bg", "backdrop"), "background"),
    **dict.fromkeys(("upper", "above"), "top"),
    **dict.fromkeys(("lower", "below"), "bottom"),
    "faces": "face",
    "words": "text",
    "letters": "text",
    "masked": "mask",
    **dict.fromkeys(("darks", "blacks"), "shadows"),
    **dict.fromkeys(("mids", "midtone", "greys"), "midtones"),
    **dict.fromkeys(("lights", "brights", "highlight", "whites"), "highlights"),
}
_KNOWN_REGIONS = (
    "subject, background, face, hands, text, left, right, top, bottom, center, shadows, midtones, highlights or box(x, y, w, h)"
)

# For every detected word its mask (h, w), or None if the picture has none.
DetectedMasks = Mapping[str, Mask | None]
NO_DETECTIONS: DetectedMasks = MappingProxyType({})


class _MissingRegion(Enum):
    """A missing region. ``NONE``: it is not in the picture. ``UNKNOWN``: it is undefined."""

    NONE = "none"
    UNKNOWN = "unknown"


# Before a word: the mask as detected, for a region that is to be protected.
_PROTECTED_PREFIX = "!"

RegionEvaluator = Callable[[Picture, DetectedMasks], Mask | _MissingRegion]


class RegionNotFound(ValueError):
    """The whole region is missing, because ``missing_words`` are not in the picture."""

    def __init__(self, missing_words: tuple[str, ...]) -> None:
        super().__init__(f"no {' and no '.join(missing_words)} was found")
        self.missing_words = missing_words


@dataclass(frozen=True, slots=True)
class ParsedRegion:
    """A parsed region that is not yet evaluated on a picture."""

    source: str
    mask_names: frozenset[str]
    detected_words: frozenset[str]
    protected_words: frozenset[str]
    _evaluate: RegionEvaluator

    def required_masks(self) -> frozenset[str]:
        """Return the names of the masks it uses; ``mask`` is the unnamed one."""
        return self.mask_names

    def required_detections(self) -> frozenset[str]:
        """Return the ``DETECTED_WORDS`` that must be detected in the picture; ``background`` needs the subject."""
        return self.detected_words

    def protected_detections(self) -> frozenset[str]:
        """Return the ``DETECTED_WORDS`` that it excludes: the subject for ``background``, and ``face`` for ``!face``."""
        return self.protected_words

    def evaluate(
        self, picture: Picture, detected: DetectedMasks = NO_DETECTIONS, expand_mask: Callable[[Mask], Mask] | None = None
    ) -> Mask:
        """Return the region of this picture, (h, w), 0..1. ``detected`` has every word of ``required_detections()``.

        ``expand_mask``: for a step that removes content, extends a detected object to the end of its soft rim. Protected objects
        (``!face``, and the subject of ``background``) stay as detected. Raises RegionNotFound if missing objects leave nothing of the
        region; KeyError if the picture lacks a mask of ``required_masks()``.
        """
        if expand_mask is not None:
            protected = {_PROTECTED_PREFIX + word: mask for word, mask in detected.items()}
            detected = {**{word: mask if mask is None else expand_mask(mask) for word, mask in detected.items()}, **protected}
        result = self._evaluate(picture, detected)
        if isinstance(result, _MissingRegion):
            raise RegionNotFound(tuple(word for word in DETECTED_WORDS if word in self.detected_words and detected[word] is None))
        return freeze(result)


def is_mask_name(expression: str) -> bool:
    """Return whether a region is the mask of one name and nothing else. Raises ValueError as ``parse_region``."""
    return parse_region(expression).required_masks() == {fold_name(expression.strip())}


def parse_region(expression: str) -> ParsedRegion:
    """Return the parsed region. Raises ValueError with a plain sentence and the position of the mistake."""
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"a region of {len(expression)} letters is too long; the limit is {_MAX_LENGTH}")
    parser = _RegionParser(expression, _tokenise(expression))
    evaluate = parser.parse_union(0)
    if parser.position < len(parser.tokens):
        raise parser.syntax_error('expected "&", "|" or the end')
    return ParsedRegion(
        expression, frozenset(parser.used_masks), frozenset(parser.detected_words), frozenset(parser.protected_words), evaluate
    )


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


def suggest_region(expression: str) -> str:
    """Return the expression that a phrase stands for: ``background & left`` for "Background left"; "" if it has an unknown word."""
    if not re.fullmatch(r"[^\W\d][\w\s&|!+,'-]*\w", expression.strip()):
        return ""
    parts: list[str] = []
    for word in re.findall(r"[^\W\d]\w*|[&|!+,]", fold_name(expression)):
        known = _REGION_WORDS.get(word, word if word in _ALL_WORDS or word in _SIGNS_IN_PHRASES else None)
        if known is None:
            return ""
        if known in ("&", "|") and parts[-1:] not in ([], ["&"], ["|"], ["!"]):
            parts.append(known)
        elif known == "!" or known not in ("", "&", "|"):
            parts += ["&"] if parts and parts[-1] not in ("&", "|", "!") else []
            parts.append(known)
    while parts and parts[-1] in ("&", "|", "!"):
        parts.pop()
    return " ".join(parts).replace("! ", "!")


def suggest_word(name: str) -> str:
    """Return the region that a mask's name may mean: another word for it, or one much like it; "" if there is none."""
    phrase = suggest_region(name)
    near = difflib.get_close_matches(fold_name(name), sorted(_ALL_WORDS - {"mask"}), n=1, cutoff=0.75)
    return phrase if phrase and fold_name(phrase) != fold_name(name) else next(iter(near), "")


def _suggest_box(expression: str) -> str:
    """Return the box that an expression with four fractions stands for; "" if it is none."""
    numbers = re.findall(r"\d[.,]\d+|\b[01]\b", expression) if expression.strip().lower().startswith("box") else []
    return f"box({', '.join(number.replace(',', '.') for number in numbers)})" if len(numbers) == _BOX_NUMBERS else ""


def _suggestion_error(expression: str) -> ValueError:
    suggestion = suggest_region(expression)
    if " & " in suggestion and re.search(r"\band\b|\+|,", expression, re.IGNORECASE):
        return ValueError(f'write "{suggestion}" for the part where both are, or "{suggestion.replace("&", "|")}" for either')
    return ValueError(f'write "{suggestion}"')


def _tokenise(expression: str) -> list[_Token]:
    tokens, position = [], 0
    end = len(expression.rstrip())
    while position < end:
        match = _TOKEN_PATTERN.match(expression, position)
        if match is None or match.lastgroup is None:
            column = position + len(expression[position:]) - len(expression[position:].lstrip())
            if suggest_region(expression):
                raise _suggestion_error(expression)
            raise ValueError(
                f'"{expression[column]}" at letter {column + 1} of "{expression}" means nothing here; regions are joined with & | ! and ( )'
            )
        tokens.append(_Token(match.lastgroup, fold_name(match[match.lastgroup]), match.start(match.lastgroup)))
        position = match.end()
    return tokens


class _RegionParser:
    """Parse the words from left to right."""

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
            return ValueError(f"a region must not be empty: write mask, a mask's name, {_KNOWN_REGIONS}")
        if suggest_region(self.text):
            return _suggestion_error(self.text)
        box = _suggest_box(self.text)
        if box:
            return ValueError(f'write "{box}", with points in the numbers')
        words = self.text.split()
        if len(words) > 1 and all(re.fullmatch(r"[^\W\d][\w'-]*", word.strip(",.;")) for word in words):
            return ValueError(f'no region is called so; there is {_KNOWN_REGIONS}. For anything else, paint a mask and write "mask"')
        if self.position >= len(self.tokens):
            return ValueError(f'"{self.text}" breaks off: {expected}')
        token = self.tokens[self.position]
        return ValueError(f'{expected} at letter {token.column + 1} of "{self.text}", not "{token.text}"')

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
        result = self.parse_intersection(depth)
        while self.accept("|"):
            result = _combine(np.maximum, result, self.parse_intersection(depth))
        return result

    def parse_intersection(self, depth: int) -> RegionEvaluator:
        result = self.parse_factor(depth)
        while self.accept("&"):
            result = _combine(np.minimum, result, self.parse_factor(depth))
        return result

    def parse_factor(self, depth: int) -> RegionEvaluator:
        is_inverted = False
        while self.accept("!"):
            is_inverted = not is_inverted
        self.is_negated ^= is_inverted
        result = self.parse_operand(depth)
        self.is_negated ^= is_inverted
        return _invert(result) if is_inverted else result

    def parse_operand(self, depth: int) -> RegionEvaluator:
        if self.accept("("):
            result = self.parse_union(depth + 1)
            self.expect(")")
            return result
        if self.position >= len(self.tokens) or not (
            self.tokens[self.position].kind == "name" or self.tokens[self.position].text.isdigit()
        ):
            raise self.syntax_error("expected a region")
        token = self.tokens[self.position]
        self.position += 1
        if token.text == "box" and self.accept("("):
            return self.parse_box(token)
        if token.text in RESERVED_WORDS:
            return self.parse_detected(token.text)
        if token.text in _NAMED_BOXES:
            return _box_evaluator(*_NAMED_BOXES[token.text])
        if token.text in TONES:
            return _tone_evaluator(TONES.index(token.text))
        self.used_masks.add(token.text)
        return _mask_evaluator(token.text)

    def parse_detected(self, word: str) -> RegionEvaluator:
        detected_word, is_protected = ("subject", not self.is_negated) if word == "background" else (word, self.is_negated)
        self.detected_words.add(detected_word)
        if is_protected:
            self.protected_words.add(detected_word)
        result = _detection_evaluator(detected_word, is_protected=is_protected)
        return _invert(result) if word == "background" else result

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
    """Return a union or an intersection. If one of the two is missing, a union is the other one and an intersection is missing too."""

    def evaluate(picture: Picture, detected: DetectedMasks) -> Mask | _MissingRegion:
        results = (first(picture, detected), second(picture, detected))
        present = [result for result in results if not isinstance(result, _MissingRegion)]
        if len(present) == 2:
            return combine_masks(*present)
        if present and combine_masks is np.maximum:
            return present[0]
        return (
            _MissingRegion.UNKNOWN
            if _MissingRegion.UNKNOWN in [result for result in results if isinstance(result, _MissingRegion)]
            else _MissingRegion.NONE
        )

    return evaluate


def _invert(evaluator: RegionEvaluator) -> RegionEvaluator:
    def evaluate(picture: Picture, detected: DetectedMasks) -> Mask | _MissingRegion:
        result = evaluator(picture, detected)
        if result is _MissingRegion.NONE:
            return np.ones((picture.height, picture.width), np.float32)
        return result if isinstance(result, _MissingRegion) else 1 - result

    return evaluate


def _mask_evaluator(name: str) -> RegionEvaluator:
    return lambda picture, _: picture.masks[name]


def _tone_evaluator(zone: int) -> RegionEvaluator:
    return lambda picture, _: np.clip(zone_weights(luma(picture.pixels))[zone], 0.0, 1.0)


def _detection_evaluator(word: str, *, is_protected: bool) -> RegionEvaluator:
    absent = _MissingRegion.UNKNOWN if word == "subject" else _MissingRegion.NONE

    def evaluate(_: Picture, detected: DetectedMasks) -> Mask | _MissingRegion:
        result = detected.get(_PROTECTED_PREFIX + word, detected[word]) if is_protected else detected[word]
        return absent if result is None else result

    return evaluate


def _box_evaluator(x: float, y: float, w: float, h: float) -> RegionEvaluator:
    """Return a box with every pixel whose centre lies inside; never empty."""

    def evaluate(picture: Picture, _: DetectedMasks) -> Mask:
        result = np.zeros((picture.height, picture.width), np.float32)
        top, bottom = _pixel_span(y, h, picture.height)
        left, right = _pixel_span(x, w, picture.width)
        result[top:bottom, left:right] = 1.0
        return result

    return evaluate


def _pixel_span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(size - 1, int(start * size + 0.5))
    return first, max(first + 1, min(size, int((start + length) * size + 0.5)))
