"""How deep every character is nested: embeddings, overrides and isolates of UAX #9 (P2, P3, BD9 and X1 to X8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ISOLATES = ("LRI", "RLI", "FSI")
_DEEPEST = 125


class _Status(NamedTuple):
    level: int
    override: str
    isolate: bool


class _Nesting:
    """The directional status stack of X1 to X8, with what goes deeper than it may counted off."""

    def __init__(self, base: int) -> None:
        self._stack = [_Status(base, "", False)]
        self._isolates_beyond = self._embeddings_beyond = self._isolates = 0

    @property
    def top(self) -> _Status:
        return self._stack[-1]

    def embed(self, rtl: bool, override: str) -> None:
        """X2 to X5."""
        if not self._pushed(rtl, override, isolate=False) and not self._isolates_beyond:
            self._embeddings_beyond += 1

    def isolate(self, rtl: bool) -> None:
        """X5a to X5c."""
        if self._pushed(rtl, "", isolate=True):
            self._isolates += 1
        else:
            self._isolates_beyond += 1

    def end_isolate(self) -> None:
        """X6a."""
        if self._isolates_beyond:
            self._isolates_beyond -= 1
        elif self._isolates:
            self._embeddings_beyond = 0
            while not self.top.isolate:
                self._stack.pop()
            self._stack.pop()
            self._isolates -= 1

    def end_embedding(self) -> None:
        """X7."""
        if self._isolates_beyond:
            return
        if self._embeddings_beyond:
            self._embeddings_beyond -= 1
        elif not self.top.isolate and len(self._stack) > 1:
            self._stack.pop()

    def _pushed(self, rtl: bool, override: str, *, isolate: bool) -> bool:
        level = self.top.level
        deeper = (level + 1) | 1 if rtl else (level + 2) & ~1
        if deeper > _DEEPEST or self._isolates_beyond or self._embeddings_beyond:
            return False
        self._stack.append(_Status(deeper, override, isolate))
        return True


def first_strong(classes: Sequence[str]) -> int:
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


def partners_of(classes: Sequence[str]) -> dict[int, int]:
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
    nesting = _Nesting(base)
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
            nesting.isolate(kind == "RLI" or (kind == "FSI" and first_strong(inside) == 1))
    return found, changed
