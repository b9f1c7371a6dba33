"""The state directory: the journal's folder, one for each root, on a local disk, outside the share; and the notes of hashes of weights.

A root has an id in ``.goldsmith``, and the journal's folder has the id and the path of its root. So the journal of a root that was moved is
found again, and the copy of a root does not take the journal of the original.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from goldsmith.errors import HostError, InputError, UsageError
from goldsmith.files import Filesystem, write_atomically, write_atomically_in
from goldsmith.mounts import kind_at
from goldsmith.root_folder import RootFolder

_JOURNAL_NAME = "journal.sqlite"
# In the journal's folder: the id and the path of its root.
_OWNER_NAME = "root.json"
# In the root: the service's own folder, and the id in it.
_PRIVATE_FOLDER, _ID_NAME = ".goldsmith", "id"
_MAX_ID_BYTES = 100
_ID = re.compile(r"[0-9a-f]{32}")
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
    """Return the path of the journal of ``root``: by the root's id, else by its path. Nothing is created."""
    base = state_dir or default_state_dir()
    folder, root_id = base / root_key(root), _read_root_id(root)
    owner = _read_owner(folder)
    if root_id and (owner is None or owner.id != root_id):
        elsewhere = _find_folder(base, root_id, root)
        if elsewhere is not None:
            folder = elsewhere
        elif owner is not None:
            folder = folder.with_name(f"{folder.name}-{root_id[:8]}")
    return folder / _JOURNAL_NAME


def register_root(root: Path, folder: Path) -> str:
    """Write the root's id into the root and, with its path, into the journal's folder. The daemon that holds the root calls this.

    Return a sentence if the root was moved, is a copy, or has lost its journal; else "". Raises HostError if a disk fails.
    """
    real_path, root_id, owner = os.path.realpath(root), _read_root_id(root), _read_owner(folder)
    sentence = ""
    if not root_id and owner is not None:
        root_id = owner.id  # its .goldsmith folder was removed
    elif root_id and owner is None:
        original = _owner_of(folder.parent, root_id, folder)
        if original is not None and _is_other_root(original, root, root_id):
            sentence = f"{root} is a copy of {original.path}, which is still there: it gets an id and a journal of its own."
            root_id = ""
        elif not (folder / _JOURNAL_NAME).exists():
            sentence = f"{root} has been worked on before, but there is no journal of it in {folder.parent}: a new one begins."
    elif owner is not None and owner.path != real_path:
        sentence = f"{root} was at {owner.path} before: its journal was found by the root's id and goes on in {folder}."
    root_id = root_id or secrets.token_hex(16)
    try:
        if root_id != _read_root_id(root):
            with RootFolder(root).opened_folder(_PRIVATE_FOLDER) as private:
                write_atomically_in(Filesystem(), private, _ID_NAME, f"{root_id}\n".encode(), replace=True)
        if owner != (root_id, real_path):
            content = json.dumps({"id": root_id, "path": real_path}) + "\n"
            write_atomically(Filesystem(), folder / _OWNER_NAME, content.encode(), replace=True)
    except OSError as error:
        raise HostError(
            f"The id of {root} cannot be written: {error.strerror}.", "Check the disks of the root and of state_dir."
        ) from error
    return sentence


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


class _Owner(NamedTuple):
    """The root that a journal's folder belongs to."""

    id: str
    path: str


def _read_root_id(root: Path) -> str:
    """Return the id of a root; "" if it has none, or if this user may not read it."""
    try:
        root_id = RootFolder(root).read_file(f"{_PRIVATE_FOLDER}/{_ID_NAME}", _MAX_ID_BYTES).decode("ascii", "replace").strip()
    except (OSError, InputError):
        return ""
    return root_id if _ID.fullmatch(root_id) else ""


def _read_owner(folder: Path) -> _Owner | None:
    """Return the root that a journal's folder belongs to; None if it does not say, or if this user may not read it."""
    try:
        content = json.loads((folder / _OWNER_NAME).read_bytes())
        return _Owner(str(content["id"]), str(content["path"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _find_folder(base: Path, root_id: str, root: Path) -> Path | None:
    """Return the folder of the journal with this id; None if there is none, or if it belongs to another root with the same id."""
    for folder in _folders(base):
        owner = _read_owner(folder)
        if owner is not None and owner.id == root_id:
            return None if _is_other_root(owner, root, root_id) else folder
    return None


def _owner_of(base: Path, root_id: str, own_folder: Path) -> _Owner | None:
    owners = (_read_owner(folder) for folder in _folders(base) if folder != own_folder)
    return next((owner for owner in owners if owner is not None and owner.id == root_id), None)


def _folders(base: Path) -> list[Path]:
    try:
        return sorted(base.iterdir())
    except OSError:
        return []


def _is_other_root(owner: _Owner, root: Path, root_id: str) -> bool:
    """Return whether a root with this id is still at the recorded path, and is not ``root`` itself by another path (a bind mount)."""
    if _read_root_id(Path(owner.path)) != root_id:
        return False
    try:
        own_file, other_file = (RootFolder(path).lstat(f"{_PRIVATE_FOLDER}/{_ID_NAME}") for path in (root, owner.path))
    except OSError:
        return False
    return not os.path.samestat(own_file, other_file)


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
