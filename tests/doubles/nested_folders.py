"""Folders inside each other, deeper than a path may be long."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_NAME = "deeper"


def make_nested_folders(place: Path, depth: int) -> None:
    """Make ``depth`` folders inside each other in ``place``, by descriptor."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(_NAME, dir_fd=folder)
        inner = os.open(_NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


@contextlib.contextmanager
def nested_folders(place: Path, depth: int) -> Iterator[None]:
    """Make nested folders, and remove them at the end: pytest itself could not, because it removes folders by recursion."""
    make_nested_folders(place, depth)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(place / _NAME)], check=True)
