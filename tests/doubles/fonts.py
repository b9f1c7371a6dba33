"""The fonts that ship, as operations find them: under their own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doubles.bench import BenchDouble
from goldsmith.files import shipped
from goldsmith.line.library import Library
from goldsmith.plate.craft.lettering.font import Typeface, opened


class FontBench(BenchDouble):
    """A bench whose library is empty, so that the fonts that ship are all there is."""

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        return Library(Path("/nonexistent")).require(shelf, name, suffixes)


def typeface(name: str, **axes: float) -> Typeface:
    """A font that ships, by its file's name."""
    return opened(shipped("samples", "library", "fonts", name).read_bytes(), name, axes)
