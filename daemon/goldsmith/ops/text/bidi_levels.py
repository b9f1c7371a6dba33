"""How deep every character is nested: embeddings, overrides and isolates of UAX #9 (P2, P3, BD9 and X1 to X8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ISOLATES = ("LRI", "RLI", "FSI")
_MAX_DEPTH = 125


class _DirectionalStatus(NamedTuple):
    level: int
    override: str
    isolate: bool


class _DirectionalStatusStack:
    """The directional status stack of X1 to X8, with what goes deeper than it may counted off."""

    def __init__(self, base: int) -> None:
        self._stack = [_DirectionalStatus(base, "", False)]
        self._overflow_isolates = self._overflow_embeddings = self._valid_isolates = 0

    @property
    def top(self) -> _DirectionalStatus:
        return self._stack[-1]

    def embed(self, rtl: bool, override: str) -> None:
        """X2 to X5."""
        if not self._push(rtl, override, isolate=False) and not self._overflow_isolates:
            self._overflow_embeddings += 1

    def isolate(self, rtl: bool) -> None:
        """X5a to X5c."""
        if self._push(rtl, "", isolate=True):
            self._valid_isolates += 1
        else:
            self._overflow_isolates += 1

    def end_isolate(self) -> None:
        """X6a."""
        if self._overflow_isolates:
            self._overflow_isolates -= 1
        elif self._valid_isolates:
            self._overflow_embeddings = 0
            while not self.top.isolate:
                self._stack.pop()
            self._stack.pop()
            self._valid_isolates -= 1

    def end_embedding(self) -> None:
        """X7."""
        if self._overflow_isolates:
            return
        if self._overflow_embeddings:
            self._overflow_embeddings -= 1
        elif not self.top.isolate and len(self._stack) > 1:
            self._stack.pop()

    def _push(self, rtl: bool, override: str, *, isolate: bool) -> bool:
        level = self.top.level
        deeper = (level + 1) | 1 if rtl else (level + 2) & ~1
        if deeper > _MAX_DEPTH or self._overflow_isolates or self._overflow_embeddings:
            return False
        self._stack.append(_DirectionalStatus(deeper, override, isolate))
        return True


def first_strong_level(classes: Sequence[str]) -> int:
    """0 or 1 by the first strong character that is not isolated; 0 where there is none."""
    depth = 0
    for kind in classes:
        if kind in ISOLATES:
            depth += 1
        elif kind == "PDI":
            depth = max(0, depth - 1)
        elif depth == 0 and kind in ("L", "R", "AL"):
            return int(kind != "L")
    return 0


def match_isolates(classes: Sequence[str]) -> dict[int, int]:
    """Isolate initiators and their PDIs, both ways (BD9)."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for place, kind in enumerate(classes):
        if kind in ISOLATES:
            opened.append(place)
        elif kind == "PDI" and opened:
            start = opened.pop()
            found[start], found[place] = place, start
    return found


def explicit_levels(classes: list[str], partners: dict[int, int], base: int) -> tuple[list[int], list[str]]:
    """X1 to X8: levels by embeddings, overrides and isolates; and the classes with overrides laid over them."""
    found, changed = [base] * len(classes), list(classes)
    nesting = _DirectionalStatusStack(base)
    for place, kind in enumerate(classes):
        if kind == "PDI":
            nesting.end_isolate()
        found[place] = nesting.top.level
        if kind in ("RLE", "LRE", "RLO", "LRO"):
            nesting.embed(kind[0] == "R", {"RLO": "R", "LRO": "L"}.get(kind, ""))
        elif kind == "PDF":
            nesting.end_embedding()
        elif kind not in ("BN", "B"):
            changed[place] = nesting.top.override or kind
        if kind in ISOLATES:
            inside = classes[place + 1 : partners.get(place, len(classes))]
            nesting.isolate(kind == "RLI" or (kind == "FSI" and first_strong_level(inside) == 1))
    return found, changed
