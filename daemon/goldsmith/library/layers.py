"""Layers by name: where in the library one lies, read whole. A picture's own layers are the lane's to know."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import open_input
from goldsmith.library.library import Library
from goldsmith.operation import LAYER_FOLDERS, LAYER_SUFFIXES

LAYER_FOLDERS_TEXT = " or ".join(f"library/{shelf}/" for shelf in LAYER_FOLDERS)


def find_layer(library: Library, name: str) -> Path:
    """The picture of that name on the first shelf for layers that has one; raises InputError with the nearest real name."""
    for shelf in LAYER_FOLDERS:
        found = library.find(shelf, name, LAYER_SUFFIXES)
        if found is not None:
            return found
    names = [known for shelf in LAYER_FOLDERS for known in library.list_names(shelf, LAYER_SUFFIXES)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean “{near[0]}”?" if near else f"Put it beside the picture as a layer, or {name}.png into {LAYER_FOLDERS_TEXT}."
    raise InputError(f"There is no layer “{name}” beside the picture, nor in {LAYER_FOLDERS_TEXT}.", hint)


def read_layer(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file of the library. Raises InputError where it has more than ``most``, or is no ordinary file."""
    with os.fdopen(open_input(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, max_bytes) + 1)  # what is asked for is laid aside in memory before anything is read
    if len(data) > max_bytes:
        raise InputError(
            f"library/{path.parent.name}/{path.name} has more than {max_bytes / 2**20:.0f} MiB and is not read.", "Make it smaller."
        )
    return data
