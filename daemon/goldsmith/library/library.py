"""``library/``: what briefs may refer to by name. A name never reaches outside its shelf."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import fold_name, is_ignored_file, open_input, resource_path

LIBRARY_FOLDERS = ("recipes", "looks", "heroes", "loras", "fonts", "logos", "faces", "plates", "profiles", "sounds")

# Shelves of which some comes with the program: what lies in the root's own library under that name stands before it.
_SHIPPED_FOLDERS = ("fonts",)

# More than any recipe may have; what is longer is refused by whoever reads it as a brief.
_MAX_RECIPE_BYTES = 2**20


class Library:
    """The shelves under ``ROOT/library``; names are compared NFC and case-insensitively, symlinks are not followed."""

    def __init__(self, root: Path) -> None:
        self._library_root = root / "library"

    def list_names(self, folder_name: str, suffixes: Sequence[str]) -> list[str]:
        """Every name on the shelf that has one of the suffixes, without the suffix, sorted."""
        return sorted({name for folder in self._search_folders(folder_name) for name, _ in _entries(folder, suffixes)})

    def find(self, folder_name: str, name: str, suffixes: Sequence[str]) -> Path | None:
        """The file called ``name`` (with or without one of the suffixes), the first suffix winning; None where there is none."""
        wanted = fold_name(name)
        for folder in self._search_folders(folder_name):
            entries = sorted(_entries(folder, suffixes), key=lambda entry: suffixes.index(entry[1].suffix.lower()))
            found = next((path for bare, path in entries if wanted in (fold_name(bare), fold_name(path.name))), None)
            if found is not None:
                return found
        return None

    def require(self, folder_name: str, name: str, suffixes: Sequence[str]) -> Path:
        """As ``find``; raises InputError with the nearest real name."""
        found = self.find(folder_name, name, suffixes)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, self.list_names(folder_name, suffixes), n=1)
        hint = f"Did you mean “{near[0]}”?" if near else f"Put {name}{suffixes[0]} into library/{folder_name}/."
        raise InputError(f"There is no “{name}” in library/{folder_name}/ ({' or '.join(suffixes)}).", hint)

    def read_recipe(self, name: str) -> tuple[bytes, str]:
        """The bytes of a recipe and what it is called in sentences. Raises InputError where there is none."""
        path = self.require("recipes", name, (".toml",))
        called = f"library/recipes/{path.name}"
        descriptor = open_input(path)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MAX_RECIPE_BYTES + 1), called

    def _search_folders(self, folder_name: str) -> list[Path]:
        own = self._library_root / folder_name
        return [own, resource_path("samples", "library", folder_name)] if folder_name in _SHIPPED_FOLDERS else [own]


def shipped_file(folder_name: str, file: str) -> Path | None:
    """The file of that name that ships for the shelf; None where none does. ``file`` is a bare name."""
    made = resource_path("samples", "library", folder_name, file)
    return made if folder_name in _SHIPPED_FOLDERS and made.is_file() else None


def _entries(folder: Path, suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    try:
        with os.scandir(folder) as found:
            files = [Path(entry.path) for entry in found if entry.is_file(follow_symlinks=False) and not is_ignored_file(entry.name)]
    except FileNotFoundError:
        return []
    return [(path.name[: -len(path.suffix)], path) for path in files if path.suffix.lower() in suffixes]
