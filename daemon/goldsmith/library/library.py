"""The folder ``library/``, from which briefs name files. A name never leads out of its library folder."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import fold_name, is_ignored_file, open_input, resource_path

LIBRARY_FOLDERS = ("recipes", "looks", "heroes", "loras", "fonts", "logos", "faces", "plates", "profiles", "sounds")

# Folders of which some files ship with the program. A file of that name in the root's own library has precedence.
_SHIPPED_FOLDERS = ("fonts",)

# More than a recipe may have: the reader of briefs refuses a longer one.
_MAX_RECIPE_BYTES = 2**20


class Library:
    """The library folders under ``ROOT/library``. Names are compared in NFC and without case; symlinks are not followed."""

    def __init__(self, root: Path) -> None:
        self._library_root = root / "library"

    def list_names(self, folder_name: str, suffixes: Sequence[str]) -> list[str]:
        """Return the names in a library folder that have one of the suffixes, without the suffix, sorted."""
        return sorted({name for folder in self._search_folders(folder_name) for name, _ in _entries(folder, suffixes)})

    def find(self, folder_name: str, name: str, suffixes: Sequence[str]) -> Path | None:
        """Return the file called ``name``, with or without a suffix, or None. If several match, the first of the suffixes decides."""
        folded_name = fold_name(name)
        for folder in self._search_folders(folder_name):
            entries = sorted(_entries(folder, suffixes), key=lambda entry: suffixes.index(entry[1].suffix.lower()))
            match = next((path for bare, path in entries if folded_name in (fold_name(bare), fold_name(path.name))), None)
            if match is not None:
                return match
        return None

    def require(self, folder_name: str, name: str, suffixes: Sequence[str]) -> Path:
        """Return the file as ``find`` does. Raises InputError with the nearest existing name if there is none."""
        match = self.find(folder_name, name, suffixes)
        if match is not None:
            return match
        near = difflib.get_close_matches(name, self.list_names(folder_name, suffixes), n=1)
        hint = f"Did you mean “{near[0]}”?" if near else f"Put {name}{suffixes[0]} into library/{folder_name}/."
        raise InputError(f"There is no “{name}” in library/{folder_name}/ ({' or '.join(suffixes)}).", hint)

    def read_recipe(self, name: str) -> tuple[bytes, str]:
        """Return the bytes of a recipe and its name in messages. Raises InputError if there is no such recipe."""
        path = self.require("recipes", name, (".toml",))
        with os.fdopen(open_input(path), "rb") as file:
            return file.read(_MAX_RECIPE_BYTES + 1), f"library/recipes/{path.name}"

    def _search_folders(self, folder_name: str) -> list[Path]:
        own = self._library_root / folder_name
        return [own, resource_path("samples", "library", folder_name)] if folder_name in _SHIPPED_FOLDERS else [own]


def shipped_file(folder_name: str, file: str) -> Path | None:
    """Return the shipped file ``file`` of a library folder, or None. ``file`` is a name without folders."""
    path = resource_path("samples", "library", folder_name, file)
    return path if folder_name in _SHIPPED_FOLDERS and path.is_file() else None


def _entries(folder: Path, suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    try:
        with os.scandir(folder) as entries:
            files = [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False) and not is_ignored_file(entry.name)]
    except FileNotFoundError:
        return []
    return [(path.name[: -len(path.suffix)], path) for path in files if path.suffix.lower() in suffixes]
