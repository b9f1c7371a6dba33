"""The mask files beside a picture: which of them make up its mask, which one is written, and what becomes of those it replaces.

In review/, a mask that waits can be painted over, and so can the copy of the mask that a result was made with, for the next try.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from dataclasses import dataclass

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import FileSignature, display_name, fold_name
from goldsmith.picture.region import RESERVED_WORDS
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles, split_tray
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.scheduler.review_decisions import is_original_picture
from goldsmith.web import strings
from goldsmith.web.access import PageError, Visitor
from goldsmith.web.hands import put_file, told_to_the_person
from goldsmith.web.page import Page
from goldsmith.web.pictures import PictureFile
from goldsmith.web.replaced_files import copy_to_archive
from goldsmith.web.review_masks import copied_role

# The name of the mask without a name.
UNNAMED = "mask"
_MASK_NAME = re.compile(r"[^\W\d_][\w-]{0,39}")


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """The files of one mask of a picture.

    target: the path that is written; files: those that make up the mask now; keeps: the files that take something out of it.
    waiting: the path of the picture in review/ that a person decides about once the mask is right; "" elsewhere.
    """

    target: str
    files: tuple[PictureFile, ...]
    keeps: tuple[str, ...]
    waiting: str = ""

    @property
    def stamp(self) -> str:
        """A short text that changes whenever one of the files does; "" without files."""
        texts = [f"{file.path} {file.version}" for file in self.files]
        return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:16] if texts else ""

    @property
    def replaced(self) -> tuple[PictureFile, ...]:
        """The files that are taken away when ``target`` is written."""
        return tuple(file for file in self.files if file.path != self.target)


def find_mask_files(page: Page, picture: PictureFile, name: str = UNNAMED) -> MaskFiles:
    """Return the files of a picture's mask. Raises PageError if none can be painted for it."""
    folder, _, campaign = posixpath.dirname(picture.path).partition("/")
    if folder == REVIEW_FOLDER and not split_tray(folder, campaign)[0]:
        return _masks_in_review(page, picture, campaign, name)
    if page.pipeline.stage_of_folder(folder) not in page.pipeline.stages:
        folders = ", ".join(f"{stage.folder}/" for stage in page.pipeline.stages)
        raise PageError(409, strings.no_mask_here(display_name(folder)), strings.mask_folders(folders))
    label = _checked_label(name)
    bundle = _bundle_of(page, picture, folder, campaign)
    files = tuple(_mask_file(page, path) for path in bundle.masks.get(label, ()))
    return MaskFiles(_target(bundle, picture, files, name), files, bundle.keeps.get(label, ()))


def _masks_in_review(page: Page, picture: PictureFile, campaign: str, name: str) -> MaskFiles:
    """Return the files of a mask in review/. Raises PageError with status 409 if none waits there: a new one would not be used."""
    label = _checked_label(name)
    names, _ = page.root.list_names(posixpath.dirname(picture.path))
    bundles = group_bundles(REVIEW_FOLDER, campaign, names)
    bundle = next((bundle for bundle in bundles if picture.path in (bundle.picture, *bundle.reviews)), None)
    is_original = is_original_picture(picture.path)
    masks: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    if bundle is not None and is_original:
        masks, keeps = (tuple(path for path in bundle.reviews if copied_role(path) == (role, label)) for role in ("mask", "keep"))
    elif bundle is not None:
        masks, keeps = bundle.masks.get(label, ()), bundle.keeps.get(label, ())
    if bundle is None or bundle.picture is None or not masks:
        raise PageError(409, strings.no_mask_waits(display_name(picture.name)), strings.NO_MASK_WAITS_REMEDY)
    files = tuple(_mask_file(page, path) for path in masks)
    stem = os.path.splitext(picture.path)[0]
    target = f"{stem}{_mask_tail(name)}" if is_original else _target(bundle, picture, files, name)
    return MaskFiles(target, files, keeps, bundle.picture)


def replace_mask(page: Page, visitor: Visitor, masks: MaskFiles, png: bytes) -> None:
    """Write a mask, after the files that it replaces have been copied into the archive. Raises PageError, HostError."""
    for file in masks.files:
        copy_to_archive(page, file.path)
    is_target_there = any(file.path == masks.target for file in masks.files)
    put_file(page, visitor, masks.target, png, "painted", replace=is_target_there)
    for file in masks.replaced:
        # An editor may have saved over it since it was copied: then it stays, and the next opening shows both.
        if _mask_file(page, file.path).signature == file.signature:
            with told_to_the_person(file.path):
                page.root.unlink(file.path)


def _checked_label(name: str) -> str:
    """Return the label by which the bundle has a mask of this name. Raises PageError if no mask can have it."""
    if not _MASK_NAME.fullmatch(name) or (name != UNNAMED and fold_name(name) in RESERVED_WORDS):
        raise PageError(400, strings.bad_mask_name(display_name(name[:40])), strings.MASK_NAME_REMEDY)
    return fold_name(name)


def _bundle_of(page: Page, picture: PictureFile, folder: str, campaign: str) -> Bundle:
    names, _ = page.root.list_names(posixpath.dirname(picture.path))
    bundle = next((bundle for bundle in group_bundles(folder, campaign, names) if bundle.picture == picture.path), None)
    if bundle is None:
        raise PageError(404, strings.no_picture(display_name(picture.path)), strings.NO_PICTURE_REMEDY)
    return bundle


def _target(bundle: Bundle, picture: PictureFile, files: tuple[PictureFile, ...], name: str) -> str:
    """Return the path of the mask: that of the only file if it is a PNG, else the plainest name that belongs to this picture alone."""
    if len(files) == 1 and files[0].path.lower().endswith(".png"):
        return files[0].path
    stem = picture.name if bundle.twins else bundle.stem
    target = posixpath.join(posixpath.dirname(picture.path), stem + _mask_tail(name))
    parsed = classify(posixpath.basename(target))
    if parsed.role != "mask" or fold_name(parsed.stem) != fold_name(stem) or parsed.label != fold_name(name):
        raise PageError(409, strings.no_mask_name(display_name(picture.name)), strings.RENAME_PICTURE_REMEDY)
    return target


def _mask_tail(name: str) -> str:
    return ".mask.png" if name == UNNAMED else f".mask.{name}.png"


def _mask_file(page: Page, path: str) -> PictureFile:
    with told_to_the_person(path):
        return PictureFile(path, FileSignature.from_stat(page.root.lstat(path)))
