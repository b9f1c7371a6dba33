"""The Unicode bidirectional algorithm (UAX #9, revision 48): the direction of each character, and the order in which a line is seen.

Character classes come from Python's own Unicode tables. Bracket pairs are found by general category and neighbouring code points.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

from goldsmith.ops.text.bidi_levels import ISOLATES, explicit_levels, first_strong_level, match_isolates

Direction = Literal["auto", "ltr", "rtl"]

_REMOVED_BY_X9 = ("LRE", "RLE", "LRO", "RLO", "PDF", "BN")
_NEUTRAL = ("B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI")
_MAX_OPEN_BRACKETS = 63
_CANONICAL_BRACKET = {"\u2329": "\u3008", "\u232a": "\u3009"}


def base_level(text: str, direction: Direction) -> int:
    """Return 0 if the paragraph runs left to right, 1 if right to left; with "auto" its first letter outside isolates decides (P2, P3)."""
    if direction != "auto":
        return int(direction == "rtl")
    return first_strong_level([unicodedata.bidirectional(letter) for letter in text])


def embedding_levels(text: str, base: int) -> list[int]:
    """Return the embedding level of every character of one paragraph: even levels run left to right, odd ones right to left.

    A character that the algorithm removes (X9) has the level of the character before it.
    """
    classes = [unicodedata.bidirectional(letter) or "L" for letter in text]
    partners = match_isolates(classes)
    explicit, changed = explicit_levels(classes, partners, base)
    levels = list(explicit)
    for sequence in _isolating_run_sequences(classes, explicit, partners):
        boundaries = _sequence_boundaries(sequence, classes, explicit, base)
        for index, level in zip(
            sequence, _resolve_sequence(sequence, text, changed, classes, explicit[sequence[0]], boundaries), strict=True
        ):
            levels[index] = level
    previous = base
    for index, bidi_class in enumerate(classes):
        if bidi_class in _REMOVED_BY_X9:
            levels[index] = previous
        previous = levels[index]
    return _reset_separators(classes, levels, base)


def visual_runs(levels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the runs (start, end, level) of one line, in the order in which they are seen from the left (L2)."""
    runs: list[tuple[int, int, int]] = []
    for index, level in enumerate(levels):
        if runs and runs[-1][2] == level:
            runs[-1] = (runs[-1][0], index + 1, level)
        else:
            runs.append((index, index + 1, level))
    odd = [level for _, _, level in runs if level % 2]
    for depth in range(max((level for _, _, level in runs), default=0), min(odd, default=1) - 1, -1):
        start = 0
        while start < len(runs):
            end = start
            while end < len(runs) and runs[end][2] >= depth:
                end += 1
            runs[start:end] = runs[start:end][::-1]
            start = max(end, start + 1)
    return runs


def line_levels(text: str, levels: Sequence[int], start: int, end: int, base: int) -> list[int]:
    """Return the levels of ``text[start:end]`` as a line of its own: white space at its end gets the paragraph's level (L1)."""
    adjusted = list(levels[start:end])
    for index in range(end - start - 1, -1, -1):
        if unicodedata.bidirectional(text[start + index]) not in ("WS", *ISOLATES, "PDI", *_REMOVED_BY_X9):
            break
        adjusted[index] = base
    return adjusted


def _isolating_run_sequences(classes: list[str], levels: list[int], partners: dict[int, int]) -> list[list[int]]:
    """Return the isolating run sequences of BD13 as lists of indices, without the characters that X9 removes."""
    runs: list[list[int]] = []
    for index, bidi_class in enumerate(classes):
        if bidi_class in _REMOVED_BY_X9:
            continue
        if runs and levels[runs[-1][-1]] == levels[index]:
            runs[-1].append(index)
        else:
            runs.append([index])
    starts = {run[0]: run for run in runs}
    sequences: list[list[int]] = []
    for run in runs:
        if classes[run[0]] == "PDI" and run[0] in partners:
            continue
        sequence = list(run)
        while classes[sequence[-1]] in ISOLATES and sequence[-1] in partners and partners[sequence[-1]] in starts:
            sequence += starts[partners[sequence[-1]]]
        sequences.append(sequence)
    return sequences


def _sequence_boundaries(sequence: list[int], classes: list[str], explicit: list[int], base: int) -> tuple[str, str]:
    """Return sos and eos of X10: the directions, "L" or "R", at the two ends of an isolating run sequence."""
    level = explicit[sequence[0]]
    first = next((explicit[index] for index in range(sequence[0] - 1, -1, -1) if classes[index] not in _REMOVED_BY_X9), base)
    last = next((explicit[index] for index in range(sequence[-1] + 1, len(classes)) if classes[index] not in _REMOVED_BY_X9), base)
    if classes[sequence[-1]] in ISOLATES:
        last = base
    return "R" if max(level, first) % 2 else "L", "R" if max(level, last) % 2 else "L"


def _resolve_sequence(
    sequence: list[int], text: str, changed: list[str], classes: list[str], level: int, boundaries: tuple[str, str]
) -> list[int]:
    """Return the levels of one isolating run sequence, by the rules W1 to I2."""
    sos, eos = boundaries
    kinds = _resolve_weak([changed[index] for index in sequence], sos)
    embedding = "R" if level % 2 else "L"
    _resolve_brackets(kinds, [text[index] for index in sequence], [classes[index] for index in sequence], sos, embedding)
    _resolve_neutral(kinds, sos, eos, embedding)
    if level % 2 == 0:
        return [level + {"L": 0, "R": 1}.get(kind, 2) for kind in kinds]
    return [level + (kind != "R") for kind in kinds]


def _resolve_weak(kinds: list[str], sos: str) -> list[str]:
    """Apply W1 to W7 to the classes in place and return them."""
    previous = strong = sos
    for index, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[index] = "ON" if previous in (*ISOLATES, "PDI") else previous
        elif kind == "EN" and strong == "AL":
            kinds[index] = "AN"
        if kinds[index] in ("L", "R", "AL"):
            strong = kinds[index]
        previous = kinds[index]
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for index in range(1, len(kinds) - 1):
        neighbours = kinds[index - 1], kinds[index + 1]
        if neighbours[0] == neighbours[1] and (
            (kinds[index] in ("ES", "CS") and neighbours[0] == "EN") or (kinds[index] == "CS" and neighbours[0] == "AN")
        ):
            kinds[index] = neighbours[0]
    _resolve_terminators(kinds)
    strong = sos
    for index, kind in enumerate(kinds):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[index] = "L"
    return kinds


def _resolve_terminators(kinds: list[str]) -> None:
    """Apply W5 and W6: a terminator beside a number becomes part of it; other terminators and separators become neutral."""
    index = 0
    while index < len(kinds):
        end = index
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > index:
            is_in_number = (index > 0 and kinds[index - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")
            kinds[index:end] = ["EN" if is_in_number else "ON"] * (end - index)
        index = max(end, index + 1)
    kinds[:] = ["ON" if kind in ("ES", "CS") else kind for kind in kinds]


def _closing_bracket(letter: str) -> str:
    """Return the bracket that closes an opening one, "" for any other character."""
    if unicodedata.category(letter) != "Ps" or not unicodedata.mirrored(letter) or letter == "\u298d" or letter == "\u298f":
        return {"\u298d": "\u2990", "\u298f": "\u298e"}.get(letter, "")
    candidates = (chr(ord(letter) + step) for step in (1, 2))
    return next((candidate for candidate in candidates if unicodedata.category(candidate) == "Pe"), "")


def _resolve_brackets(kinds: list[str], letters: list[str], original_classes: list[str], sos: str, embedding: str) -> None:
    """Apply N0 in place: both brackets of a pair take the direction of the text in the pair, or of the text before it."""
    for start, end in _bracket_pairs(kinds, letters):
        inside = {"R" if kind in ("R", "EN", "AN") else kind for kind in kinds[start + 1 : end]}
        if embedding in inside:
            direction = embedding
        elif inside & {"L", "R"}:
            preceding = ("L" if kind == "L" else "R" for kind in reversed(kinds[:start]) if kind in ("L", "R", "EN", "AN"))
            context = next(preceding, sos)
            opposite = "L" if embedding == "R" else "R"
            direction = opposite if context == opposite else embedding
        else:
            continue
        for index in (start, end):
            kinds[index] = direction
            mark = index + 1
            while mark < len(kinds) and original_classes[mark] == "NSM":
                kinds[mark] = direction
                mark += 1


def _bracket_pairs(kinds: list[str], letters: list[str]) -> list[tuple[int, int]]:
    """Return the (opening, closing) indices of all bracket pairs, in the order of the opening brackets (BD16)."""
    open_brackets: list[tuple[str, int]] = []
    pairs: list[tuple[int, int]] = []
    for index, letter in enumerate(letters):
        if kinds[index] != "ON":
            continue
        closing = _closing_bracket(letter)
        if closing:
            if len(open_brackets) == _MAX_OPEN_BRACKETS:
                return []
            open_brackets.append((_CANONICAL_BRACKET.get(closing, closing), index))
        elif unicodedata.category(letter) == "Pe":
            canonical = _CANONICAL_BRACKET.get(letter, letter)
            depth = next((depth for depth in range(len(open_brackets) - 1, -1, -1) if open_brackets[depth][0] == canonical), None)
            if depth is not None:
                pairs.append((open_brackets[depth][1], index))
                del open_brackets[depth:]
    return sorted(pairs)


def _resolve_neutral(kinds: list[str], sos: str, eos: str, embedding: str) -> None:
    """Apply N1 and N2 in place: neutrals take the direction of both neighbours if these agree, else the embedding direction."""
    index = 0
    while index < len(kinds):
        end = index
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        if end > index:
            neighbours = kinds[index - 1] if index else sos, kinds[end] if end < len(kinds) else eos
            directions = ["L" if side == "L" else "R" for side in neighbours]
            kinds[index:end] = [directions[0] if directions[0] == directions[1] else embedding] * (end - index)
        index = max(end, index + 1)


def _reset_separators(classes: list[str], levels: list[int], base: int) -> list[int]:
    """Return the levels with separators, and white space before them, at the paragraph's level (L1 within the paragraph)."""
    is_trailing = False
    for index in range(len(levels) - 1, -1, -1):
        bidi_class = classes[index]
        is_trailing = bidi_class in ("S", "B") or (is_trailing and bidi_class in ("WS", *ISOLATES, "PDI", *_REMOVED_BY_X9))
        if is_trailing:
            levels[index] = base
    return levels
