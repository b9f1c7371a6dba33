"""What becomes of a file that a person saves over in the page: a copy goes into the archive first."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import time

from goldsmith.files import TEMP_PREFIX, Filesystem, PathAt
from goldsmith.pipeline.commit.naming import archive_path
from goldsmith.web.hands import make_folders, told_to_the_person
from goldsmith.web.page import Page


def copy_to_archive(page: Page, path: str) -> None:
    """Copy a file below the root into the archive of today, durably. Raises PageError, HostError."""
    fs = Filesystem()
    target = archive_path(path, time.time(), page.root.is_missing)
    folder, name = posixpath.split(target)
    with told_to_the_person(path):
        make_folders(page, folder)
        with page.root.opened_folder(posixpath.dirname(path)) as source_fd, page.root.opened_folder(folder) as target_fd:
            copy = PathAt(target_fd, f"{TEMP_PREFIX}{secrets.token_hex(8)}")
            try:
                fs.copy(PathAt(source_fd, posixpath.basename(path)), copy, target_fd)
                fs.rename_noreplace(copy, PathAt(target_fd, name))
            except BaseException:
                with contextlib.suppress(OSError):
                    fs.unlink(copy)
                raise
            fs.fsync_dir(target_fd)
