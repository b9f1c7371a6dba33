"""The shipped fonts, under their own names, as operations find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doubles.step_context import LibraryDouble, ResultsDouble, StepContextDouble
from goldsmith.files import resource_path
from goldsmith.library.library import Library
from goldsmith.ops.text.font import Typeface, open_font


class FontContext(StepContextDouble):
    """A step context with the library of a root; if the root is empty, the library has only the shipped fonts."""

    def __init__(self, root: Path = Path("/nonexistent")) -> None:
        super().__init__(library=_FontLibrary(root))


class _FontLibrary(LibraryDouble):
    def __init__(self, root: Path) -> None:
        super().__init__(ResultsDouble())
        self._library = Library(root)

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        return self._library.require(folder, name, suffixes)

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self._library.list_names(folder, suffixes)


def typeface(name: str, **axes: float) -> Typeface:
    """Return a shipped font by its file's name."""
    return open_font(resource_path("samples", "library", "fonts", name).read_bytes(), name, axes)
