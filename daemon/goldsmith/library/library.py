"""``library/``: what briefs may refer to by name. A name never reaches outside its shelf."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from goldsmith.errors import Problem
from goldsmith.files import fold, is_litter, open_input, shipped

SHELVES = ("recipes", "looks", "heroes", "loras", "fonts", "logos", "faces", "plates", "profiles", "sounds")

_SHIPPED = ("fonts",)
"""Shelves of which some comes with the program: what lies in the root's own library under that name stands before it."""

_RECIPE_BYTES = 2**20
"""More than any recipe may have; what is longer is refused by whoever reads it as a brief."""


class Library:
    """The shelves under ``ROOT/library``; names are compared NFC and case-insensitively, symlinks are not followed."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "library"

    def names(self, shelf: str, suffixes: Sequence[str]) -> list[str]:
        """Every name on the shelf that has one of the suffixes, without the suffix, sorted."""
        return sorted({name for folder in self._folders(shelf) for name, _ in _entries(folder, suffixes)})

    def find(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path | None:
        """The file called ``name`` (with or without one of the suffixes), the first suffix winning; None where there is none."""
        wanted = fold(name)
        for folder in self._folders(shelf):
            entries = sorted(_entries(folder, suffixes), key=lambda entry: suffixes.index(entry[1].suffix.lower()))
            found = next((path for bare, path in entries if wanted in (fold(bare), fold(path.name))), None)
            if found is not None:
                return found
        return None

    def require(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        """As ``find``; raises Problem with the nearest real name."""
        found = self.find(shelf, name, suffixes)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, self.names(shelf, suffixes), n=1)
        hint = f"Did you mean “{near[0]}”?" if near else f"Put {name}{suffixes[0]} into library/{shelf}/."
        raise Problem(f"There is no “{name}” in library/{shelf}/ ({' or '.join(suffixes)}).", hint)

    def recipe(self, name: str) -> tuple[bytes, str]:
        """The bytes of a recipe and what it is called in sentences. Raises Problem where there is none."""
        path = self.require("recipes", name, (".toml",))
        called = f"library/recipes/{path.name}"
        descriptor = open_input(path)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_RECIPE_BYTES + 1), called

    def _folders(self, shelf: str) -> list[Path]:
        own = self._folder / shelf
        return [own, shipped("samples", "library", shelf)] if shelf in _SHIPPED else [own]


def comes_with_the_program(shelf: str, file: str) -> Path | None:
    """The file of that name that ships for the shelf; None where none does. ``file`` is a bare name."""
    made = shipped("samples", "library", shelf, file)
    return made if shelf in _SHIPPED and made.is_file() else None


def _entries(folder: Path, suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    try:
        with os.scandir(folder) as found:
            files = [Path(entry.path) for entry in found if entry.is_file(follow_symlinks=False) and not is_litter(entry.name)]
    except FileNotFoundError:
        return []
    return [(path.name[: -len(path.suffix)], path) for path in files if path.suffix.lower() in suffixes]
