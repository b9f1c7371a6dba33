"""Where the journal lives: a folder of its own for each root, on a local disk, outside the share."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from goldsmith.errors import HostError, UsageError
from goldsmith.files import filesystem_type, is_network_filesystem

_REMEDY = "Set state_dir (GOLDSMITH_STATE_DIR) to a folder on a local disk, outside the watched folders."


def root_key(root: Path) -> str:
    """A folder name for this root: its own name, readable, and a short hash of where it really lies."""
    real = os.path.realpath(root)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", os.path.basename(real)).strip("-")[:40] or "root"
    return f"{readable}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:10]}"


def default_state_dir() -> Path:
    """The state directory that systemd made for the service, else ``goldsmith`` in the user's own (XDG base directories)."""
    if given := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if (home := os.environ.get("XDG_STATE_HOME", "")) and os.path.isabs(home):
        return Path(home, "goldsmith")
    try:
        return Path.home() / ".local" / "state" / "goldsmith"
    except RuntimeError:
        raise UsageError("There is no home folder to keep the journal in.", _REMEDY) from None


def journal_path(root: Path, state_dir: Path | None = None) -> Path:
    """Where the journal of ``root`` is; nothing is made or checked."""
    return (state_dir or default_state_dir()) / root_key(root) / "journal.sqlite"


def prepare_journal_folder(root: Path, state_dir: Path | None = None) -> Path:
    """Make the folder for the journal of ``root`` and return the journal's path.

    UsageFault where the folder lies inside the root or on a network filesystem; MachineFault where it cannot be made.
    """
    path = journal_path(root, state_dir)
    check_journal_folder(path.parent, root)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"The folder for the journal, {path.parent}, cannot be made: {error.strerror}.", _REMEDY) from error
    return path


def check_journal_folder(folder: Path, root: Path) -> None:
    """UsageFault where a journal must not lie in ``folder``."""
    real, share = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    if real.is_relative_to(share):
        raise UsageError(f"The journal cannot lie in {folder}: that is inside the watched folders at {root}.", _REMEDY)
    kind = filesystem_type(folder)
    if is_network_filesystem(kind):
        raise UsageError(
            f"The journal cannot lie in {folder}: that is on a network filesystem ({kind}), "
            "and its write-ahead log needs memory that is shared within one host.",
            _REMEDY,
        )
