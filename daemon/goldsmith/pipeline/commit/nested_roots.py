"""The check that no root lies in the folders of another one: both daemons would take the same pictures."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.settings import read_config
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.files import resource_path
from goldsmith.jobs.names import PRIVATE_FOLDER
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.root_folder import RootFolder

# Folders of every root, beside those of its pipeline.
_COMMON_FOLDERS = ("library", ARCHIVE_FOLDER, PRIVATE_FOLDER)
_PIPELINE_FILE = "pipeline.toml"


def require_separate_root(root: Path, folders: Sequence[str], *, trust_everybody: bool = False) -> None:
    """Raise UsageError if the root lies in a folder of another root, or if another root lies in its ``folders``.

    Every user who may write to the folders could make such a root there. So unless ``trust_everybody``, only those of this user and of the
    administrator count below the root: nobody else can keep a daemon from starting.
    """
    outer = _root_around(Path(os.path.realpath(root)))
    if outer is not None:
        raise UsageError(
            f"{root} lies in {outer}, a folder of another root: both would take the same pictures.",
            "Name a folder outside that root, or run Goldsmith on that root and use the folder as a campaign.",
        )
    inner = _root_below(root, folders, None if trust_everybody else (0, os.geteuid()))
    if inner:
        raise UsageError(
            f"{root / inner} is a root of its own, in a folder of {root}: both would take the same pictures.",
            f"Move it out of {root}, or remove its folder {PRIVATE_FOLDER} if nothing runs there any more.",
        )


def _root_around(root: Path) -> Path | None:
    """Return the folder of another root in which ``root`` lies; None if there is none.

    A root that everybody may write to, such as /tmp, does not count.
    """
    for above in root.parents:
        folder = above / root.relative_to(above).parts[0]
        if os.path.isdir(above / PRIVATE_FOLDER) and not above.stat().st_mode & stat.S_IWOTH and folder.name in _folders_of(above):
            return folder
    return None


def _root_below(root: Path, folders: Sequence[str], owners: tuple[int, ...] | None) -> str:
    """Return the path of a root in these folders, relative to ``root``; "" if there is none. ``owners``: the users whose roots count."""
    share = RootFolder(root)
    for path in (path for folder in folders for path, _ in share.walk(folder)):
        try:
            status = share.lstat(f"{path}/{PRIVATE_FOLDER}")
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and (owners is None or status.st_uid in owners):
            return path
    return ""


def _folders_of(root: Path) -> tuple[str, ...]:
    """Return the folders in which another root's pictures lie. Without a readable configuration these are the shipped pipeline's."""
    shipped = resource_path("config", _PIPELINE_FILE)
    for file in (root / "config" / _PIPELINE_FILE, shipped):
        try:
            return (*read_pipeline(read_config(file), str(file)).folders, *_COMMON_FOLDERS)
        except GoldsmithError:
            continue
    return _COMMON_FOLDERS
