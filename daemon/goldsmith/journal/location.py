"""The state directory: the journal's folder, one for each root, on a local disk, outside the share; and the notes of hashes of weights."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from goldsmith.errors import HostError, UsageError
from goldsmith.mounts import kind_at

_REMEDY = "Set state_dir (GOLDSMITH_STATE_DIR) to a folder on a local disk, outside the watched folders."


def root_key(root: Path) -> str:
    """Return a folder name for this root: its readable name and a short hash of its real path."""
    real_path = os.path.realpath(root)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", os.path.basename(real_path)).strip("-")[:40] or "root"
    return f"{readable}-{hashlib.sha256(os.fsencode(real_path)).hexdigest()[:10]}"


def default_state_dir() -> Path:
    """Return the state directory that systemd made for the service, or else ``goldsmith`` in the user's state directory (XDG)."""
    if systemd_folder := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(systemd_folder)
    if (home := os.environ.get("XDG_STATE_HOME", "")) and os.path.isabs(home):
        return Path(home, "goldsmith")
    try:
        return Path.home() / ".local" / "state" / "goldsmith"
    except RuntimeError:
        raise UsageError("This user has no home folder for the journal.", _REMEDY) from None


def journal_path(root: Path, state_dir: Path | None = None) -> Path:
    """Return the path of the journal of ``root``. Nothing is created or checked."""
    return (state_dir or default_state_dir()) / root_key(root) / "journal.sqlite"


def journal_bytes(path: Path) -> int:
    """Return the size of a journal with its log, in bytes; 0 if there is none or it cannot be looked at."""
    total = 0
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            total += os.stat(f"{path}{ending}").st_size
    return total


def weights_notes_path(state_dir: Path | None = None) -> Path | None:
    """Return the path of the notes of hashes of weights, one for all roots; None for a user without a home folder. Nothing is created."""
    try:
        return (state_dir or default_state_dir()) / "weights.json"
    except UsageError:
        return None


def prepare_journal_folder(root: Path, state_dir: Path | None = None) -> Path:
    """Create the folder for the journal of ``root`` and return the journal's path.

    Raises UsageError if the folder is inside the root or on a network filesystem, and HostError if it cannot be created.
    """
    path = journal_path(root, state_dir)
    check_journal_folder(path.parent, root)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"The folder for the journal, {path.parent}, cannot be created: {error.strerror}.", _REMEDY) from error
    return path


def check_journal_folder(folder: Path, root: Path) -> None:
    """Raise UsageError if ``folder`` is inside the root or on a network filesystem."""
    real_folder, real_root = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    if real_folder.is_relative_to(real_root):
        raise UsageError(f"The journal cannot be kept in {folder}: that is inside the watched folders at {root}.", _REMEDY)
    kind = kind_at(folder)
    if kind.may_be_network:
        what = "on a network filesystem" if kind.is_known else "on a filesystem that may be on a network"
        raise UsageError(
            f"The journal cannot be kept in {folder}: that is {what} ({kind.name}), "
            "and SQLite's write-ahead log needs memory that all its users share, on one machine.",
            _REMEDY,
        )
