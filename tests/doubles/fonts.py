"""The fonts that ship, as operations find them: under their own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doubles.bench import BenchDouble
from goldsmith.files import shipped
from goldsmith.library.library import Library
from goldsmith.ops.text.font import Typeface, opened


class FontBench(BenchDouble):
    """A bench with the library of a root; where that is empty the fonts that ship are all there is."""

    def __init__(self, root: Path = Path("/nonexistent")) -> None:
        super().__init__()
        self._library = Library(root)

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        return self._library.require(shelf, name, suffixes)

    def names(self, shelf: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self._library.names(shelf, suffixes)


def typeface(name: str, **axes: float) -> Typeface:
    """A font that ships, by its file's name."""
    return opened(shipped("samples", "library", "fonts", name).read_bytes(), name, axes)
