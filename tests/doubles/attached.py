"""Folders with something mounted on them, by the words of mount(8): ``with attached("--bind", other, folder)``."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def make(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def attached(*words: str | Path) -> Iterator[Path]:
    """Run mount(8) with these words, of which the last is the folder, and yield that folder. Skip the test if that is not possible."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mount {words[0]} is not possible here: {done.stderr.strip()[-200:]}")
    try:
        yield Path(words[-1])
    finally:
        subprocess.run(["umount", "--lazy", str(words[-1])], capture_output=True, check=True)
