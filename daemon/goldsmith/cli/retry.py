"""``goldsmith retry``: a picture that is held with a problem is tried again."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.places import Config, Place, Root, file_in, looking_at
from goldsmith.cli.screen import plain, say
from goldsmith.errors import MachineFault, UsageFault
from goldsmith.files import FOLDER_FLAGS


def retry(
    files: Annotated[list[Path], typer.Argument(help="The picture, its problem note, or anything beside it.", metavar="FILE")],
    root: Root = None,
    config: Config = None,
) -> None:
    """Take the problem note beside a picture away, so that it is tried again as it is.

    Example: goldsmith retry selected/spring/hero.png
    """
    with looking_at(root, config, near=files[0]) as place:
        for file in files:
            _retry(place, file_in(place, file))


def _retry(place: Place, path: str) -> None:
    explain = place.explain()
    bundle = explain.bundle_with(path) if path.partition("/")[0] in place.setup.line.folders else None
    if bundle is None or bundle.note is None:
        raise UsageFault(f"There is nothing to retry: no problem note lies beside {plain(path)}.", explain.why(path))
    _remove(place.root, bundle.note)
    name = plain(bundle.asset or bundle.note)
    said = "it is tried again now" if place.daemon.runs else "it is tried again as soon as Goldsmith runs here"
    say(f"The note beside {name} is gone: {said}.")


def _remove(root: Path, note: str) -> None:
    """Delete the note and nothing else: every folder on the way is opened without following a link."""
    with contextlib.ExitStack() as opened:
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, folder)
            for part in posixpath.dirname(note).split("/"):
                folder = os.open(part, FOLDER_FLAGS, dir_fd=folder)
                opened.callback(os.close, folder)
            name = posixpath.basename(note)
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise UsageFault(
                    f"{plain(note)} is no ordinary file, so it is no note of Goldsmith's.", "Look at it and move it away by hand."
                )
            os.unlink(name, dir_fd=folder)
        except OSError as error:
            raise MachineFault(f"The note {plain(note)} cannot be deleted: {error.strerror}.", "Delete it as somebody who may.") from error
