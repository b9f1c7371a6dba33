"""The permissions that results and new folders get from the folder they are in, and what is said if the system refuses them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from goldsmith.files import OPEN_FOLDER_FLAGS, Filesystem, PathAt, copy_owner

_DEFAULT_ACL = "system.posix_acl_default"
_REMEDY = "Run `goldsmith doctor` as the service's user: it tries the same and says what to change."


def make_shared_folder(fs: Filesystem, at: PathAt) -> None:
    """Create a folder with the group and the mode of the folder it is in. The kernel copies a default ACL and set-group-id by itself.

    The mode is given when the folder is created, because a filter of system calls may refuse to set set-group-id afterwards
    (RestrictSUIDSGID, systemd.exec(5)), and any other change of the mode would remove it. Raises FileExistsError and other OSErrors.
    """
    parent_status = os.fstat(at.dir_fd)
    has_acl = _has_default_acl(at.dir_fd)
    fs.mkdir(at, 0o777 if has_acl else parent_status.st_mode)
    fd = os.open(at.name, OPEN_FOLDER_FLAGS, dir_fd=at.dir_fd)
    try:
        status = os.fstat(fd)
        refused = "" if copy_owner(fd, status, parent_status) else "group"
        if not has_acl and not _copy_mode(fd, status.st_mode, parent_status.st_mode):
            refused = refused or "mode"
    finally:
        os.close(fd)
    if refused and fs.on_refused is not None:
        fs.on_refused(at.dir_fd, refused)


def _has_default_acl(fd: int) -> bool:
    try:
        return _DEFAULT_ACL in os.listxattr(fd)
    except OSError:
        return False


def _copy_mode(fd: int, mode: int, new_mode: int) -> bool:
    """Give an open folder the permission bits of ``new_mode``. Return False if the system refuses to add one."""
    if stat.S_IMODE(mode) == stat.S_IMODE(new_mode):
        return True
    try:
        os.fchmod(fd, stat.S_IMODE(new_mode))
    except OSError:
        return not stat.S_IMODE(new_mode) & ~mode
    return True


class PermissionRefusals:
    """Counts the files and folders that did not get the group, mode or ACL of their folder, and reports each stage's folder once."""

    def __init__(self, root: Path, report: Callable[..., None]) -> None:
        self._root = os.path.realpath(root)
        self._report = report
        self._counts = Counter[str]()
        self._sentences: dict[str, str] = {}

    @property
    def sentences(self) -> dict[str, str]:
        """The folder of a stage -> what was refused there last, and how often something was refused."""
        return dict(self._sentences)

    def add(self, folder: int, refused: str) -> None:
        """Count one refusal in an open folder. The first in a stage's folder is reported as an event. Raises nothing."""
        try:
            path = os.path.relpath(os.readlink(f"/proc/self/fd/{folder}"), self._root)
        except OSError:
            return
        stage = path.partition("/")[0]
        self._counts[stage] += 1
        self._sentences[stage] = f"The system refused the {refused} of {stage}/ to new files there, {self._counts[stage]} so far."
        if self._counts[stage] == 1:
            self._report("permissions refused", folder=stage, sentence=self._sentences[stage], remedy=_REMEDY)
