"""The folder ``library/``, from which briefs name files. A name never leads out of its library folder, and no link is followed."""

from __future__ import annotations

import difflib
import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldsmith.errors import HostError, InputError
from goldsmith.files import MACHINE_ERRNOS, display_name, fold_name, is_ignored_file, resource_path
from goldsmith.root_folder import RootFolder

LIBRARY_FOLDERS = (
    "recipes",
    "looks",
    "heroes",
    "loras",
    "embeddings",
    "fonts",
    "logos",
    "faces",
    "plates",
    "profiles",
    "sounds",
    "wildcards",
)

# Folders of which some files ship with the program. A file of that name in the root's own library has precedence.
_SHIPPED_FOLDERS = ("fonts",)

# Bytes that a file may have, by library folder. Real looks and fonts have a few MiB, profiles of presses 2, and LoRAs up to 2 GiB.
MAX_FILE_BYTES = {
    "looks": 64 << 20,
    "fonts": 64 << 20,
    "profiles": 16_000_000,
    "loras": 8 << 30,
    "embeddings": 64 << 20,
    "wildcards": 1 << 20,
}
_BLOCK_BYTES = 1 << 20

# More than a recipe may have: the reader of briefs refuses a longer one.
_MAX_RECIPE_BYTES = 2**20


class Library:
    """The library folders under ``ROOT/library``. Names are compared in NFC and without case.

    A path that a method returns is a name for ``open_file`` and for sentences: by the time it is opened, a folder of it may be a link.
    Every method raises InputError if the library or one of its folders is a link or a file, or cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = RootFolder(root)

    def list_names(self, folder_name: str, suffixes: Sequence[str]) -> list[str]:
        """Return the names in a library folder that have one of the suffixes, without the suffix, sorted."""
        return sorted({name for entries in self._entries(folder_name, suffixes) for name, _ in entries})

    def find(self, folder_name: str, name: str, suffixes: Sequence[str]) -> Path | None:
        """Return the file called ``name``, with or without a suffix, or None. If several match, the first of the suffixes decides."""
        folded_name = fold_name(name)
        for unsorted in self._entries(folder_name, suffixes):
            entries = sorted(unsorted, key=lambda entry: suffixes.index(entry[1].suffix.lower()))
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
        return self.read_file(path, _MAX_RECIPE_BYTES), f"library/recipes/{path.name}"

    def open_file(self, path: Path, max_bytes: int | None = None) -> int:
        """Open a file that ``find`` has returned, and return its descriptor.

        Its size is asked first, so that a sparse file of a terabyte costs nothing. Raises InputError if it is no ordinary file, larger
        than ``max_bytes`` or cannot be opened, and HostError if the disk fails.
        """
        name = f"library/{path.parent.name}/{display_name(path.name)}"
        try:
            return self._root.open_named_file(path, max_bytes, name)
        except OSError as error:
            raise _unreadable(name, error) from error

    def read_file(self, path: Path, max_bytes: int) -> bytes:
        """Return the bytes of a file that ``find`` has returned. Raises as ``open_file`` does."""
        return b"".join(self._read_blocks(path, max_bytes))

    def hash_file(self, path: Path, max_bytes: int) -> str:
        """Return the SHA-256 (hex) of a file that ``find`` has returned. Raises as ``open_file`` does."""
        digest = hashlib.sha256()
        for block in self._read_blocks(path, max_bytes):
            digest.update(block)
        return digest.hexdigest()

    def is_shipped(self, path: Path) -> bool:
        """Return whether a file that ``find`` has returned ships with the program, so that nobody on the share can change it."""
        return self._root.relative_path(path) is None

    def _read_blocks(self, path: Path, max_bytes: int) -> Iterator[bytes]:
        """Yield what the file had when it was opened, and nothing that is added to it meanwhile."""
        with os.fdopen(self.open_file(path, max_bytes), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            while size > 0 and (block := file.read(min(size, _BLOCK_BYTES))):
                yield block
                size -= len(block)

    def _entries(self, folder_name: str, suffixes: Sequence[str]) -> Iterator[list[tuple[str, Path]]]:
        """Yield name and path of each file in the root's own folder, then of each that ships with the program."""
        own = posixpath.join("library", folder_name)
        names = [name for name in self._own_names(own) if not is_ignored_file(name)]
        yield _with_suffix([Path(self._root.path, own, name) for name in names], suffixes)
        if folder_name in _SHIPPED_FOLDERS:
            yield _with_suffix(list(resource_path("samples", "library", folder_name).iterdir()), suffixes)

    def _own_names(self, folder: str) -> list[str]:
        try:
            with self._root.scan(folder) as entries:
                return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise InputError(f"{folder}/ is a link or a file, and links are not followed.", "Put the folder itself there.") from None
        except OSError as error:
            raise _unreadable(f"{folder}/", error) from error


def shipped_file(folder_name: str, file: str) -> Path | None:
    """Return the shipped file ``file`` of a library folder, or None. ``file`` is a name without folders."""
    path = resource_path("samples", "library", folder_name, file)
    return path if folder_name in _SHIPPED_FOLDERS and path.is_file() else None


def _unreadable(name: str, error: OSError) -> InputError | HostError:
    """Return the error for something in the library that cannot be read. The main loop reads recipes itself, and must not end."""
    kind = HostError if error.errno in MACHINE_ERRNOS else InputError
    return kind(f"{name} cannot be read: {error.strerror}.", "Let Goldsmith's user read it (chmod g+r).")


def _with_suffix(files: Sequence[Path], suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    return [(path.name[: -len(path.suffix)], path) for path in files if path.suffix.lower() in suffixes]
