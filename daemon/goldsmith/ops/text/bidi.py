"""The Unicode bidirectional algorithm (UAX #9, revision 48): which way each character runs, and the order in which a line is seen.

Classes come from Python's own Unicode tables. Bracket pairs are told by their category and neighbours in the code charts.
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
    """0 where the paragraph runs left to right, 1 where right to left; "auto" goes by its first letter (P2, P3)."""
    if direction != "auto":
        return int(direction == "rtl")
    return first_strong_level([unicodedata.bidirectional(letter) for letter in text])


def embedding_levels(text: str, base: int) -> list[int]:
    """The embedding level of every character of one paragraph: even runs left to right, odd right to left.

    What the algorithm takes out (X9) has the level of what stands before it.
    """
    classes = [unicodedata.bidirectional(letter) or "L" for letter in text]
    partners = match_isolates(classes)
    explicit, changed = explicit_levels(classes, partners, base)
    found = list(explicit)
    for run in _isolating_run_sequences(classes, explicit, partners):
        sides = _sequence_boundaries(run, classes, explicit, base)
        for place, level in zip(run, _resolve_sequence(run, text, changed, classes, explicit[run[0]], sides), strict=True):
            found[place] = level
    before = base
    for place, kind in enumerate(classes):
        if kind in _REMOVED_BY_X9:
            found[place] = before
        before = found[place]
    return _reset_separators(classes, found, base)


def visual_runs(levels: Sequence[int]) -> list[tuple[int, int, int]]:
    """The runs (start, end, level) of one line in the order in which they are seen from the left (L2)."""
    runs: list[tuple[int, int, int]] = []
    for place, level in enumerate(levels):
        if runs and runs[-1][2] == level:
            runs[-1] = (runs[-1][0], place + 1, level)
        else:
            runs.append((place, place + 1, level))
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
    """The levels of ``text[start:end]`` as a line of its own: white space at its end runs as the paragraph does (L1)."""
    made = list(levels[start:end])
    for place in range(end - start - 1, -1, -1):
        if unicodedata.bidirectional(text[start + place]) not in ("WS", *ISOLATES, "PDI", *_REMOVED_BY_X9):
            break
        made[place] = base
    return made


def _isolating_run_sequences(classes: list[str], levels: list[int], partners: dict[int, int]) -> list[list[int]]:
    """BD13: places of one level, over isolates that lie between them; what X9 takes out is left out."""
    runs: list[list[int]] = []
    for place, kind in enumerate(classes):
        if kind in _REMOVED_BY_X9:
            continue
        if runs and levels[runs[-1][-1]] == levels[place]:
            runs[-1].append(place)
        else:
            runs.append([place])
    starts = {run[0]: run for run in runs}
    made: list[list[int]] = []
    for run in runs:
        if classes[run[0]] == "PDI" and run[0] in partners:
            continue
        whole = list(run)
        while classes[whole[-1]] in ISOLATES and whole[-1] in partners and partners[whole[-1]] in starts:
            whole += starts[partners[whole[-1]]]
        made.append(whole)
    return made


def _sequence_boundaries(run: list[int], classes: list[str], explicit: list[int], base: int) -> tuple[str, str]:
    """sos and eos of X10: the ways of the two ends of an isolating run."""
    level = explicit[run[0]]
    first = next((explicit[place] for place in range(run[0] - 1, -1, -1) if classes[place] not in _REMOVED_BY_X9), base)
    last = next((explicit[place] for place in range(run[-1] + 1, len(classes)) if classes[place] not in _REMOVED_BY_X9), base)
    if classes[run[-1]] in ISOLATES:
        last = base
    return "R" if max(level, first) % 2 else "L", "R" if max(level, last) % 2 else "L"


def _resolve_sequence(
    run: list[int], text: str, changed: list[str], classes: list[str], level: int, boundaries: tuple[str, str]
) -> list[int]:
    """W1 to I2 for one isolating run: its levels."""
    sos, eos = boundaries
    kinds = _resolve_weak([changed[place] for place in run], sos)
    embedding = "R" if level % 2 else "L"
    _resolve_brackets(kinds, [text[place] for place in run], [classes[place] for place in run], sos, embedding)
    _resolve_neutral(kinds, sos, eos, embedding)
    if level % 2 == 0:
        return [level + {"L": 0, "R": 1}.get(kind, 2) for kind in kinds]
    return [level + (kind != "R") for kind in kinds]


def _resolve_weak(kinds: list[str], sos: str) -> list[str]:
    """W1 to W7."""
    before = strong = sos
    for place, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[place] = "ON" if before in (*ISOLATES, "PDI") else before
        elif kind == "EN" and strong == "AL":
            kinds[place] = "AN"
        if kinds[place] in ("L", "R", "AL"):
            strong = kinds[place]
        before = kinds[place]
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for place in range(1, len(kinds) - 1):
        sides = kinds[place - 1], kinds[place + 1]
        if sides[0] == sides[1] and ((kinds[place] in ("ES", "CS") and sides[0] == "EN") or (kinds[place] == "CS" and sides[0] == "AN")):
            kinds[place] = sides[0]
    _resolve_terminators(kinds)
    strong = sos
    for place, kind in enumerate(kinds):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[place] = "L"
    return kinds


def _resolve_terminators(kinds: list[str]) -> None:
    """W5 and W6: signs beside a number belong to it, others are neutral."""
    place = 0
    while place < len(kinds):
        end = place
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > place:
            numbered = (place > 0 and kinds[place - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")
            kinds[place:end] = ["EN" if numbered else "ON"] * (end - place)
        place = max(end, place + 1)
    kinds[:] = ["ON" if kind in ("ES", "CS") else kind for kind in kinds]


def _closing_bracket(letter: str) -> str:
    """What closes an opening bracket, "" for other characters."""
    if unicodedata.category(letter) != "Ps" or not unicodedata.mirrored(letter) or letter == "\u298d" or letter == "\u298f":
        return {"\u298d": "\u2990", "\u298f": "\u298e"}.get(letter, "")
    mates = (chr(ord(letter) + step) for step in (1, 2))
    return next((mate for mate in mates if unicodedata.category(mate) == "Pe"), "")


def _resolve_brackets(kinds: list[str], letters: list[str], original_classes: list[str], sos: str, embedding: str) -> None:
    """N0: a pair of brackets goes the way of what stands in it, or round it."""
    for start, end in _bracket_pairs(kinds, letters):
        inside = {"R" if kind in ("R", "EN", "AN") else kind for kind in kinds[start + 1 : end]}
        if embedding in inside:
            chosen = embedding
        elif inside & {"L", "R"}:
            sides = ("L" if kind == "L" else "R" for kind in reversed(kinds[:start]) if kind in ("L", "R", "EN", "AN"))
            around = next(sides, sos)
            other = "L" if embedding == "R" else "R"
            chosen = other if around == other else embedding
        else:
            continue
        for place in (start, end):
            kinds[place] = chosen
            mark = place + 1
            while mark < len(kinds) and original_classes[mark] == "NSM":
                kinds[mark] = chosen
                mark += 1


def _bracket_pairs(kinds: list[str], letters: list[str]) -> list[tuple[int, int]]:
    opened: list[tuple[str, int]] = []
    found: list[tuple[int, int]] = []
    for place, letter in enumerate(letters):
        if kinds[place] != "ON":
            continue
        closing = _closing_bracket(letter)
        if closing:
            if len(opened) == _MAX_OPEN_BRACKETS:
                return []
            opened.append((_CANONICAL_BRACKET.get(closing, closing), place))
        elif unicodedata.category(letter) == "Pe":
            wanted = _CANONICAL_BRACKET.get(letter, letter)
            depth = next((depth for depth in range(len(opened) - 1, -1, -1) if opened[depth][0] == wanted), None)
            if depth is not None:
                found.append((opened[depth][1], place))
                del opened[depth:]
    return sorted(found)


def _resolve_neutral(kinds: list[str], sos: str, eos: str, embedding: str) -> None:
    """N1 and N2."""
    place = 0
    while place < len(kinds):
        end = place
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        if end > place:
            sides = kinds[place - 1] if place else sos, kinds[end] if end < len(kinds) else eos
            ways = ["L" if side == "L" else "R" for side in sides]
            kinds[place:end] = [ways[0] if ways[0] == ways[1] else embedding] * (end - place)
        place = max(end, place + 1)


def _reset_separators(classes: list[str], levels: list[int], base: int) -> list[int]:
    """L1 for separators within the paragraph: they, and white space before them, run as the paragraph does."""
    ending = False
    for place in range(len(levels) - 1, -1, -1):
        kind = classes[place]
        ending = kind in ("S", "B") or (ending and kind in ("WS", *ISOLATES, "PDI", *_REMOVED_BY_X9))
        if ending:
            levels[place] = base
    return levels
