"""What hands can do in the folders: drag a picture into a tray, and put a whole file down. Every act has the name of a person."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
import secrets
from collections.abc import Iterator

import structlog

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.errors import HostError, InputError
from goldsmith.files import TEMP_PREFIX, FileSignature, Filesystem, PathAt, display_name, write_atomically_in
from goldsmith.journal.person_notes import Act
from goldsmith.pipeline.intake.bundle import split_tray
from goldsmith.web import strings
from goldsmith.web.access import PageError, Visitor
from goldsmith.web.page import Page
from goldsmith.web.pictures import PictureFile

# Refusals that say something about the folders, not about the request.
_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV, errno.ESTALE})
_log = structlog.get_logger("goldsmith.web")


def move_into_tray(page: Page, visitor: Visitor, picture: PictureFile, tray: str) -> str:
    """Move a picture that waits in review/ into a tray, in the folder of its campaign, and note who did it. Return its new path.

    Raises PageError with status 409 if the picture has changed or gone meanwhile, or if one of that name lies in the tray.
    """
    folder, _, campaign = posixpath.dirname(picture.path).partition("/")
    if folder != REVIEW_FOLDER or split_tray(folder, campaign)[0]:
        raise PageError(409, strings.not_in_review(display_name(picture.name)), strings.NO_PICTURE_REMEDY)
    target_folder = posixpath.join(REVIEW_FOLDER, tray, campaign).rstrip("/")
    target = posixpath.join(target_folder, picture.name)
    with told_to_the_person(picture.path), contextlib.ExitStack() as stack:
        descriptor = page.root.open_file(picture.path)
        stack.callback(os.close, descriptor)
        _check_unchanged(picture, descriptor)
        make_folders(page, target_folder)
        source_fd = stack.enter_context(page.root.opened_folder(posixpath.dirname(picture.path)))
        target_fd = stack.enter_context(page.root.opened_folder(target_folder))
        sha256 = _hash_of(descriptor)
        page.notes.write(target, FileSignature.from_stat(os.fstat(descriptor)), sha256, visitor.name)
        try:
            moved = _move(PathAt(source_fd, picture.name), PathAt(target_fd, picture.name), descriptor)
        except BaseException:
            page.notes.remove(target)
            raise
        # The rename has changed the file's status: only from now on is the note about the file in the tray.
        page.notes.write(target, moved, sha256, visitor.name)
    return target


def _move(source: PathAt, target: PathAt, descriptor: int) -> FileSignature:
    """Move the file that is open as ``descriptor``, without replacing another, and return its signature. A tray may be another mount."""
    fs = Filesystem()
    if fs.can_rename_between(source.dir_fd, target.dir_fd):
        fs.rename_noreplace(source, target)
        fs.fsync_dir(target.dir_fd)
        return FileSignature.from_stat(os.fstat(descriptor))
    copy = PathAt(target.dir_fd, f"{TEMP_PREFIX}{secrets.token_hex(8)}")
    try:
        fs.copy(source, copy, target.dir_fd)
        fs.rename_noreplace(copy, target)
    except BaseException:
        with contextlib.suppress(OSError):
            fs.unlink(copy)
        raise
    fs.fsync_dir(target.dir_fd)
    fs.unlink(source)
    return FileSignature.from_stat(fs.lstat(target))


def _check_unchanged(picture: PictureFile, descriptor: int) -> None:
    if FileSignature.from_stat(os.fstat(descriptor)) != picture.signature:
        raise PageError(409, strings.changed_meanwhile(display_name(picture.name)), strings.LOOK_AGAIN_REMEDY)


def _hash_of(descriptor: int) -> str:
    with open(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_file(page: Page, path: str, data: bytes, *, replace: bool) -> None:
    """Write a whole file at a path below the root, or none: under a dot-name, fsynced, renamed. Its folder must exist.

    Raises PageError with status 409 if the name is taken and ``replace`` is false.
    """
    folder, name = posixpath.split(path)
    with told_to_the_person(path), page.root.opened_folder(folder) as folder_fd:
        write_atomically_in(Filesystem(), folder_fd, name, data, replace=replace)


def put_file(page: Page, visitor: Visitor, path: str, data: bytes, act: Act, *, replace: bool) -> None:
    """Write a file as ``write_file`` does, and note who has done it, and how."""
    write_file(page, path, data, replace=replace)
    note_person(page, visitor, path, hashlib.sha256(data).hexdigest(), act)


def note_person(page: Page, visitor: Visitor, path: str, sha256: str, act: Act) -> None:
    """Note who has put the file with this hash at ``path``, and how. The file is there: if no note can be written, the log says so."""
    try:
        page.notes.write(path, FileSignature.from_stat(page.root.lstat(path)), sha256, visitor.name, act)
    except OSError as error:
        _log.warning("person_not_noted", file=display_name(path), person=visitor.name, reason=error.strerror or str(error))


def make_folders(page: Page, folder: str) -> None:
    """Make a folder below the root and those above it, as far as they are missing. Raises OSError."""
    parts = folder.split("/")
    for depth in range(2, len(parts) + 1):
        page.root.make_folder("/".join(parts[:depth]))


@contextlib.contextmanager
def told_to_the_person(path: str) -> Iterator[None]:
    """Turn what the system refuses about ``path`` into an error that the page shows."""
    name = display_name(posixpath.basename(path))
    try:
        yield
    except FileExistsError:
        raise PageError(409, strings.name_taken(name), strings.LOOK_AGAIN_REMEDY) from None
    except (FileNotFoundError, NotADirectoryError):
        raise PageError(409, strings.gone_meanwhile(name), strings.NO_PICTURE_REMEDY) from None
    except InputError as error:
        raise PageError(409, error.sentence, error.remedy) from None
    except OSError as error:
        if error.errno in _DISK_ERRNOS:
            raise HostError(strings.refused(name, error.strerror or ""), strings.DISK_REMEDY) from error
        raise PageError(403, strings.refused(name, error.strerror or ""), strings.RIGHTS_REMEDY) from error
