"""Embedding levels from explicit controls: embeddings, overrides and isolates of UAX #9 (P2, P3, BD9 and X1 to X8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ISOLATES = ("LRI", "RLI", "FSI")
_MAX_DEPTH = 125


class _DirectionalStatus(NamedTuple):
    """One entry of the directional status stack: the level, "L", "R" or "" for the override, and whether an isolate opened it."""

    level: int
    override: str
    isolate: bool


class _DirectionalStatusStack:
    """The directional status stack of X1 to X8, with counters for embeddings and isolates beyond the maximum depth."""

    def __init__(self, base: int) -> None:
        self._stack = [_DirectionalStatus(base, "", False)]
        self._overflow_isolates = self._overflow_embeddings = self._valid_isolates = 0

    @property
    def top(self) -> _DirectionalStatus:
        """The innermost entry."""
        return self._stack[-1]

    def embed(self, rtl: bool, override: str) -> None:
        """Open an embedding or an override (X2 to X5)."""
        if not self._push(rtl, override, isolate=False) and not self._overflow_isolates:
            self._overflow_embeddings += 1

    def isolate(self, rtl: bool) -> None:
        """Open an isolate (X5a to X5c)."""
        if self._push(rtl, "", isolate=True):
            self._valid_isolates += 1
        else:
            self._overflow_isolates += 1

    def end_isolate(self) -> None:
        """Close the innermost isolate and every embedding opened within it (X6a)."""
        if self._overflow_isolates:
            self._overflow_isolates -= 1
        elif self._valid_isolates:
            self._overflow_embeddings = 0
            while not self.top.isolate:
                self._stack.pop()
            self._stack.pop()
            self._valid_isolates -= 1

    def end_embedding(self) -> None:
        """Close the innermost embedding or override, unless an isolate encloses the character (X7)."""
        if self._overflow_isolates:
            return
        if self._overflow_embeddings:
            self._overflow_embeddings -= 1
        elif not self.top.isolate and len(self._stack) > 1:
            self._stack.pop()

    def _push(self, rtl: bool, override: str, *, isolate: bool) -> bool:
        """Push the next level and return True, or return False if it exceeds the maximum depth or follows an overflow."""
        level = self.top.level
        deeper = (level + 1) | 1 if rtl else (level + 2) & ~1
        if deeper > _MAX_DEPTH or self._overflow_isolates or self._overflow_embeddings:
            return False
        self._stack.append(_DirectionalStatus(deeper, override, isolate))
        return True


def first_strong_level(classes: Sequence[str]) -> int:
    """Return 0 or 1 by the first strong character outside isolates; 0 if no character is strong."""
    depth = 0
    for bidi_class in classes:
        if bidi_class in ISOLATES:
            depth += 1
        elif bidi_class == "PDI":
            depth = max(0, depth - 1)
        elif depth == 0 and bidi_class in ("L", "R", "AL"):
            return int(bidi_class != "L")
    return 0


def match_isolates(classes: Sequence[str]) -> dict[int, int]:
    """Return the index of the PDI for each isolate initiator, and of the initiator for each PDI that matches one (BD9)."""
    partners: dict[int, int] = {}
    open_isolates: list[int] = []
    for index, bidi_class in enumerate(classes):
        if bidi_class in ISOLATES:
            open_isolates.append(index)
        elif bidi_class == "PDI" and open_isolates:
            start = open_isolates.pop()
            partners[start], partners[index] = index, start
    return partners


def explicit_levels(classes: list[str], partners: dict[int, int], base: int) -> tuple[list[int], list[str]]:
    """Apply X1 to X8 and return the level of every character, and the classes after overrides."""
    levels, overridden = [base] * len(classes), list(classes)
    stack = _DirectionalStatusStack(base)
    for index, bidi_class in enumerate(classes):
        if bidi_class == "PDI":
            stack.end_isolate()
        levels[index] = stack.top.level
        if bidi_class in ("RLE", "LRE", "RLO", "LRO"):
            stack.embed(bidi_class[0] == "R", {"RLO": "R", "LRO": "L"}.get(bidi_class, ""))
        elif bidi_class == "PDF":
            stack.end_embedding()
        elif bidi_class not in ("BN", "B"):
            overridden[index] = stack.top.override or bidi_class
        if bidi_class in ISOLATES:
            isolated = classes[index + 1 : partners.get(index, len(classes))]
            stack.isolate(bidi_class == "RLI" or (bidi_class == "FSI" and first_strong_level(isolated) == 1))
    return levels, overridden
