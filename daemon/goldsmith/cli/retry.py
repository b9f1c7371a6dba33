"""``goldsmith retry``: a picture that is held with a problem is tried again."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.location import ConfigOption, Location, RootOption, open_location, resolve_file
from goldsmith.cli.output import print_text, sanitise
from goldsmith.errors import HostError, UsageError
from goldsmith.files import OPEN_FOLDER_FLAGS


def retry(
    files: Annotated[list[Path], typer.Argument(help="The picture, its problem note, or anything beside it.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Take the problem note beside a picture away, so that it is tried again as it is.

    Example: goldsmith retry selected/spring/hero.png
    """
    with open_location(root, config, near=files[0]) as place:
        for file in files:
            _remove_hold_note(place, resolve_file(place, file))


def _remove_hold_note(location: Location, path: str) -> None:
    explain = location.explain()
    bundle = explain.bundle_containing(path) if path.partition("/")[0] in location.setup.pipeline.folders else None
    if bundle is None or bundle.note is None:
        raise UsageError(f"There is nothing to retry: no problem note lies beside {sanitise(path)}.", explain.explain_file(path))
    _delete_note(location.root, bundle.note)
    name = sanitise(bundle.asset or bundle.note)
    said = "it is tried again now" if location.daemon.holder else "it is tried again as soon as Goldsmith runs here"
    print_text(f"The note beside {name} is gone: {said}.")


def _delete_note(root: Path, note: str) -> None:
    """Delete the note and nothing else: every folder on the way is opened without following a link."""
    with contextlib.ExitStack() as opened:
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, folder)
            for part in posixpath.dirname(note).split("/"):
                folder = os.open(part, OPEN_FOLDER_FLAGS, dir_fd=folder)
                opened.callback(os.close, folder)
            name = posixpath.basename(note)
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise UsageError(
                    f"{sanitise(note)} is no ordinary file, so it is no note of Goldsmith's.", "Look at it and move it away by hand."
                )
            os.unlink(name, dir_fd=folder)
        except OSError as error:
            raise HostError(f"The note {sanitise(note)} cannot be deleted: {error.strerror}.", "Delete it as somebody who may.") from error
