"""The picture that an address names, checked: an ordinary file in a folder of the pipeline, in review/ or in the archive."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, display_name, is_ignored_file, is_ignored_folder
from goldsmith.jobs.preview import version_of
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.root_folder import MAX_FOLDER_DEPTH
from goldsmith.web import strings
from goldsmith.web.access import PageError
from goldsmith.web.page import Page, page_of


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file below the root, as it was when the request came."""

    # Relative to the root.
    path: str
    signature: FileSignature

    @property
    def version(self) -> str:
        """A short text that changes whenever the file does."""
        return version_of(self.signature)

    @property
    def name(self) -> str:
        """The file's name."""
        return posixpath.basename(self.path)


def picture_of(request: Request, prefix: str) -> PictureFile:
    """Return the picture that the address names behind ``prefix`` ("/look/"). Raises PageError with status 404."""
    return find_picture(page_of(request), path_of(request, prefix))


def path_of(request: Request, prefix: str) -> str:
    """Return the path below the root that the address names behind ``prefix``, with bytes that are no UTF-8 as Python keeps them."""
    return path_from_address(request.scope["raw_path"].decode("ascii", "replace").removeprefix(prefix))


def path_from_address(text: str) -> str:
    """Return the path below the root in a part of an address, as ``url_path`` writes it."""
    return os.fsdecode(unquote_to_bytes(text))


def find_picture(page: Page, path: str) -> PictureFile:
    """Return the picture at a path below the root. Raises PageError with status 404 if there is none that may be shown."""
    error = PageError(404, strings.no_picture(display_name(path)), strings.NO_PICTURE_REMEDY)
    if not is_shown_path(page, path) or not is_picture_suffix(os.path.splitext(path)[1].lower()):
        raise error
    try:
        status = page.root.lstat(path)
    except (OSError, InputError):
        raise error from None
    if not stat.S_ISREG(status.st_mode):
        raise error
    return PictureFile(path, FileSignature.from_stat(status))


def is_shown_path(page: Page, path: str) -> bool:
    """Return whether a path is one of a folder that the page shows, and none of a temporary file."""
    top, *folders, name = ("", *path.split("/")) if "/" not in path else path.split("/")
    if top not in (*page.pipeline.shared_folders, ARCHIVE_FOLDER) or len(folders) > MAX_FOLDER_DEPTH:
        return False
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        return False
    return not is_ignored_file(name) and not any(map(is_ignored_folder, folders))
