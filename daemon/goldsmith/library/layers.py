"""Layers in the library, found by name. A picture's own layers are among its job's inputs."""

from __future__ import annotations

import difflib
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.library.library import Library
from goldsmith.step_needs import LAYER_FOLDERS, LAYER_SUFFIXES

LAYER_FOLDERS_TEXT = " or ".join(f"library/{folder}/" for folder in LAYER_FOLDERS)


def find_layer(library: Library, name: str) -> Path:
    """Return the picture of that name from the first layer folder that has one. Raises InputError with the nearest existing name."""
    for folder in LAYER_FOLDERS:
        path = library.find(folder, name, LAYER_SUFFIXES)
        if path is not None:
            return path
    names = [known for folder in LAYER_FOLDERS for known in library.list_names(folder, LAYER_SUFFIXES)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean “{near[0]}”?" if near else f"Put it beside the picture as a layer, or {name}.png into {LAYER_FOLDERS_TEXT}."
    raise InputError(f"There is no layer “{name}” beside the picture, nor in {LAYER_FOLDERS_TEXT}.", hint)
