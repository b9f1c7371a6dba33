"""The checks of ``goldsmith doctor`` for permissions: who may change the root, and whether results will belong to the share."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.location import abbreviate_list
from goldsmith.files import Filesystem, PathAt, display_name
from goldsmith.jobs.names import PRIVATE_FOLDER
from goldsmith.mounts import kind_at
from goldsmith.root_folder import RootFolder

# How many folders of each stage are looked at.
_MAX_CAMPAIGNS = 5000


def check_sharing(root: Path, folders: Sequence[str], probe_name: str, refusals: Mapping[str, str]) -> Iterator[Finding]:
    """Yield faults and notes about owners, groups and modes.

    ``folders`` are the pipeline's. ``probe_name`` is the name of a file that is created in each and deleted. ``refusals`` are the sentences
    of a running daemon.
    """
    statuses = {}
    for folder in folders:
        with contextlib.suppress(OSError):  # a missing folder has a fault of its own
            statuses[folder] = os.lstat(root / folder)
    statuses = {folder: status for folder, status in statuses.items() if stat.S_ISDIR(status.st_mode)}
    yield from _check_root(root)
    yield from _check_groups(root, statuses)
    yield from _check_campaigns(root, statuses)
    yield from _check_group_change(root, statuses, probe_name)
    remedy = "Put the service's user into the group of its folders, keep SystemCallFilter=@chown in the unit, and restart the service."
    yield from (fault("sharing", sentence, remedy) for sentence in refusals.values())


def _check_root(root: Path) -> Iterator[Finding]:
    """Yield a note if others may rename the folders of the root."""
    if os.stat(root).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield note(
            "sharing",
            f"Other users may write to {root} itself, so they can rename .goldsmith or a stage's folder and put their own there.",
            kind_at(root).mode_remedy(f"chmod go-w {root}"),
        )


def _check_groups(root: Path, statuses: Mapping[str, os.stat_result]) -> Iterator[Finding]:
    """Yield notes if results will not belong to the group that shares the folders."""
    if len({status.st_gid for status in statuses.values()}) > 1:
        yield note(
            "sharing",
            "The folders belong to different groups, so the group of results changes from stage to stage.",
            "chgrp the folders to one group.",
        )
    without_setgid = [
        f"{name}/"
        for name, status in statuses.items()
        # Where files have no modes of their own, the mount's options give all of them one group.
        if status.st_mode & stat.S_IWGRP and not status.st_mode & stat.S_ISGID and not kind_at(root / name).owner_options
    ]
    if without_setgid:
        yield note("sharing", f"New subfolders in {', '.join(without_setgid)} will not get the folder's group.", "chmod g+s them.")


def _check_campaigns(root: Path, statuses: Mapping[str, os.stat_result]) -> Iterator[Finding]:
    """Yield a fault if the service cannot take pictures out of the campaign folders that people have made."""
    try:
        service = RootFolder(root).lstat(PRIVATE_FOLDER).st_uid
    except OSError:
        return
    folder = RootFolder(root)
    campaigns = (
        (path, statuses[name]) for name in statuses for path, _ in islice(folder.walk(name), _MAX_CAMPAIGNS) if path not in statuses
    )
    closed = [f"{path}/" for path, stage in campaigns if not _can_use(folder, path, stage, service)]
    if closed:
        yield fault(
            "sharing",
            f"The service cannot read and change {abbreviate_list([display_name(path) for path in closed])}, so pictures there wait.",
            "chmod g+rwx them, and give them the group of their stage's folder. The manual says how new folders get both by themselves "
            "(running.md, Permissions).",
        )


def _can_use(root: RootFolder, path: str, stage: os.stat_result, service: int) -> bool:
    """Return whether the service's user may read and change a campaign folder. Asked as another user, modes and ACLs must tell."""
    try:
        fd = root.open_folder(path)
    except PermissionError:
        return False
    except OSError:
        return True  # it has gone meanwhile
    try:
        if os.geteuid() == service:
            return os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
        status = os.fstat(fd)
        if status.st_uid == service:
            return status.st_mode & stat.S_IRWXU == stat.S_IRWXU
        has_acl = any(name.endswith("posix_acl_access") for name in os.listxattr(fd))
        return status.st_mode & stat.S_IRWXG == stat.S_IRWXG and (has_acl or status.st_gid == stage.st_gid)
    finally:
        os.close(fd)


def _check_group_change(root: Path, statuses: Mapping[str, os.stat_result], probe_name: str) -> Iterator[Finding]:
    """Yield whether this user can give files the group of their folder, which every result needs."""
    refused: dict[int, list[str]] = {}
    for folder, status in statuses.items():
        with contextlib.suppress(OSError):  # a folder that takes no file has a fault of its own
            if not _can_give_group(RootFolder(root), f"{folder}/{probe_name}", status.st_gid):
                refused.setdefault(status.st_gid, []).append(f"{folder}/")
    for gid, names in refused.items():
        group, user = _group_name(gid), _user_name(os.geteuid())
        yield fault(
            "sharing",
            f"{user} cannot give files the group of {', '.join(names)} ({group}), so other people may not be able to open the results.",
            f"usermod -aG {group} {user}, and restart the service.",
        )
    if statuses and not refused:
        yield ok("results", "Files get the group of their folder.")


def _can_give_group(root: RootFolder, path: str, gid: int) -> bool:
    """Create a file with this user's own group, change its group and delete it. Raises OSError if it cannot be created."""
    folder, _, name = path.rpartition("/")
    with root.opened_folder(folder) as parent:
        fd = Filesystem().create(PathAt(parent, name))
    try:
        # A set-group-id folder has already given its group.
        with contextlib.suppress(OSError):
            os.fchown(fd, -1, os.getegid())
        os.fchown(fd, -1, gid)
    except PermissionError:
        return False
    finally:
        os.close(fd)
        root.unlink(path)
    return True


def owner_name(status: os.stat_result) -> str:
    """Return owner and group as names, or as numbers if they have none."""
    return f"{_user_name(status.st_uid)}:{_group_name(status.st_gid)}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
