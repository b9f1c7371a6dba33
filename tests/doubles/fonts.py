"""The fonts that ship, as operations find them: under their own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doubles.step_context import StepContextDouble
from goldsmith.files import resource_path
from goldsmith.library.library import Library
from goldsmith.ops.text.font import Typeface, open_font


class FontContext(StepContextDouble):
    """A bench with the library of a root; where that is empty the fonts that ship are all there is."""

    def __init__(self, root: Path = Path("/nonexistent")) -> None:
        super().__init__()
        self._library = Library(root)

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        return self._library.require(folder, name, suffixes)

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self._library.list_names(folder, suffixes)


def typeface(name: str, **axes: float) -> Typeface:
    """A font that ships, by its file's name."""
    return open_font(resource_path("samples", "library", "fonts", name).read_bytes(), name, axes)
