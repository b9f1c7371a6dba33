"""The command ``goldsmith retry``: try a picture with a problem again."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, open_location, resolve_file
from goldsmith.cli.output import print_text, sanitise
from goldsmith.errors import HostError, UsageError
from goldsmith.root_folder import RootFolder

if TYPE_CHECKING:
    from goldsmith.service.location import Location


def retry(
    files: Annotated[list[Path], typer.Argument(help="The picture, its problem note, or one of its sidecars.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete the problem note of a picture, so that Goldsmith tries the picture again.

    A picture whose folder took no note is touched instead: its time of change moves on by a millisecond.

    Example: goldsmith retry selected/spring/hero.png
    """
    with open_location(root, config, near=files[0]) as location:
        for file in files:
            _remove_hold_note(location, resolve_file(location, file))


def _remove_hold_note(location: Location, path: str) -> None:
    explain = location.explain()
    bundle = explain.bundle_containing(path) if path.partition("/")[0] in location.setup.pipeline.shared_folders else None
    if bundle is not None and bundle.note is None and explain.is_held_without_note(bundle):
        _touch(location.root, bundle.asset)
        print_text(f"{sanitise(bundle.asset)} has no problem note, since its folder takes none. {_tried_again_sentence(location)}")
        return
    if bundle is None or bundle.note is None:
        raise UsageError(f"There is nothing to retry: {sanitise(path)} has no problem note.", explain.explain_file(path))
    _delete_note(location.root, bundle.note)
    name = sanitise(bundle.asset or bundle.note)
    print_text(f"The problem note of {name} is deleted. {_tried_again_sentence(location)}")


def _tried_again_sentence(location: Location) -> str:
    return f"Goldsmith tries the picture again {'now' if location.daemon.holder else 'as soon as it runs'}."


def _touch(root: Path, path: str) -> None:
    """Move the picture's time of change on by a millisecond: the daemon sees that as a change of the file."""
    try:
        fd = RootFolder(root).open_file(path)
        try:
            status = os.fstat(fd)
            os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        finally:
            os.close(fd)
    except OSError as error:
        raise HostError(
            f"{sanitise(path)} cannot be touched: {error.strerror}.",
            "Run this as the file's owner or as root. Goldsmith also tries the picture again by itself, within ten minutes.",
        ) from error


def _delete_note(root: Path, note: str) -> None:
    """Delete the note. No link is followed, so that nothing else can be deleted."""
    folder = RootFolder(root)
    try:
        if not stat.S_ISREG(folder.lstat(note).st_mode):
            raise UsageError(
                f"{sanitise(note)} is not a regular file, so Goldsmith did not write it.", "Check it and move it away by hand."
            )
        folder.unlink(note)
    except OSError as error:
        raise HostError(
            f"The note {sanitise(note)} cannot be deleted: {error.strerror}.", "Delete it as a user who may write to the folder."
        ) from error
