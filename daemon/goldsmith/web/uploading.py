"""Pictures that people drop into a campaign: each file arrives whole or not at all, and only what the stages take is taken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldsmith.brief.parsing import MAX_FILE_BYTES as MAX_BRIEF_BYTES
from goldsmith.brief.parsing import read_text
from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import TEMP_PREFIX, Filesystem, PathAt, display_name, is_ignored_file, is_ignored_folder
from goldsmith.library.library import MAX_FILE_BYTES as MAX_LIBRARY_BYTES
from goldsmith.picture.format_detection import detect_format
from goldsmith.picture.formats.table import DETECTION_BYTES, describe_suffix
from goldsmith.pipeline.intake.file_names import FileRole, classify
from goldsmith.root_folder import MAX_FOLDER_DEPTH, check_file_size
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed, visitor_of
from goldsmith.web.hands import make_folders, note_person, told_to_the_person
from goldsmith.web.page import Page, page_of, render
from goldsmith.web.pictures import path_of

_DROP, _UPLOAD = "/drop/", "/upload/"
_PICTURE_ROLES: frozenset[FileRole] = frozenset({"picture", "mask", "keep", "layer", "ref", "control"})
_MASK_ROLES: frozenset[FileRole] = frozenset({"mask", "keep"})
# Bytes that the other files may have, by role.
_MAX_BYTES: dict[FileRole, int] = {
    **dict.fromkeys(("brief", "campaign", "prompt"), MAX_BRIEF_BYTES),
    "look": MAX_LIBRARY_BYTES["looks"],
    "xmp": 8 << 20,
}
_TEXT_ROLES: frozenset[FileRole] = frozenset({"brief", "campaign", "prompt"})
# The largest body that is received at all; what a picture may have follows from the settings.
_MAX_BODY_BYTES = 64 << 30
_MAX_NAME_BYTES = 240
_MAX_CAMPAIGNS = 500
_log = structlog.get_logger("goldsmith.web")


@dataclass(frozen=True, slots=True)
class _Upload:
    """One file that is about to arrive: where it goes, what it is, and how many bytes were promised."""

    folder: str
    name: str
    role: FileRole
    size: int

    @property
    def shown_name(self) -> str:
        """The file's name for a sentence."""
        return display_name(self.name)


@allowed("decide")
async def show_drop(request: Request) -> Response:
    """Show the page on which pictures are dropped."""
    page = page_of(request)
    path = path_of(request, _DROP).strip("/")
    folder, _, campaign = path.partition("/")
    folders = [stage.folder for stage in page.pipeline.stages]
    if path:
        check_folder(page, path)
    campaigns = await run_in_threadpool(_campaigns, page, folder or folders[0])
    return render(request, "drop.html", folders=folders, folder=folder or folders[0], campaign=campaign, campaigns=campaigns)


@allowed("decide", max_body=_MAX_BODY_BYTES)
async def receive_file(request: Request) -> Response:
    """Receive one file and put it into its folder, which is made if it is missing."""
    page = page_of(request)
    upload = await run_in_threadpool(_announced, page, request)
    blocks = request.stream()
    start = await _read_start(blocks, upload)
    _check_start(upload, start)
    try:
        sha256 = await _receive(page, upload, start, blocks)
    except ClientDisconnect:
        raise PageError(400, strings.cut_off(upload.shown_name), strings.INCOMPLETE_FILE_REMEDY) from None
    await run_in_threadpool(note_person, page, visitor_of(request), f"{upload.folder}/{upload.name}", sha256, "dropped")
    _log.info("file_dropped", file=display_name(f"{upload.folder}/{upload.name}"), person=visitor_of(request).name)
    return JSONResponse({"path": f"{upload.folder}/{upload.name}", "sentence": f"{upload.shown_name} {strings.DROP_DONE}"}, 201)


def check_folder(page: Page, folder: str) -> None:
    """Raise PageError unless files may be dropped into a folder: that of a stage, or a campaign in it, which need not exist yet."""
    top, *campaign = folder.split("/")
    stage = page.pipeline.stage_of_folder(top)
    if stage is None or top == REVIEW_FOLDER:
        folders = ", ".join(f"{stage.folder}/" for stage in page.pipeline.stages)
        raise PageError(409, strings.no_drop_here(display_name(top)), strings.drop_folders(folders))
    if len(campaign) > MAX_FOLDER_DEPTH or any(map(_is_bad_part, campaign)):
        raise PageError(400, strings.bad_campaign(display_name("/".join(campaign)[:200])), strings.BAD_CAMPAIGN_REMEDY)


def _is_bad_part(part: str) -> bool:
    is_odd = part != part.strip() or part in ("", ".", "..") or display_name(part) != part or len(os.fsencode(part)) > _MAX_NAME_BYTES
    return is_odd or is_ignored_folder(part)


def _announced(page: Page, request: Request) -> _Upload:
    """Return what a request is about to send. Raises PageError or InputError if it is not taken."""
    folder, name = posixpath.split(path_of(request, _UPLOAD))
    check_folder(page, folder)
    shown_name = display_name(name)
    if shown_name != name or len(os.fsencode(name)) > _MAX_NAME_BYTES or name in ("", ".", ".."):
        raise PageError(400, strings.unseen_characters(shown_name[:200]), strings.KINDS_REMEDY)
    if is_ignored_file(name):
        raise PageError(400, strings.bad_file_name(shown_name), strings.KINDS_REMEDY)
    role = classify(name).role
    if role == "foreign":
        raise PageError(415, strings.wrong_content(shown_name, describe_suffix(posixpath.splitext(name)[1].lower())), strings.KINDS_REMEDY)
    if role not in _PICTURE_ROLES and role not in _MAX_BYTES:
        raise PageError(415, strings.not_taken(shown_name), strings.KINDS_REMEDY)
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise PageError(411, strings.NO_LENGTH, strings.NO_LENGTH_REMEDY)
    size = int(length)
    # A picture may have half of a job's memory: a larger one would be refused by its worker process.
    check_file_size(shown_name, size, _MAX_BYTES.get(role, page.settings.worker_memory_mb * 2**19))
    if page.root.exists(f"{folder}/{name}"):
        raise PageError(409, strings.name_taken(shown_name), strings.TAKEN_REMEDY)
    return _Upload(folder, name, role, size)


async def _read_start(blocks: AsyncIterator[bytes], upload: _Upload) -> bytes:
    """Return the first bytes, as many as the check of the content needs: of a text all of them."""
    start_size = upload.size if upload.role in _TEXT_ROLES else min(upload.size, max(DETECTION_BYTES, 4096))
    start = b""
    while len(start) < start_size:
        try:
            block = await anext(blocks, b"")
        except ClientDisconnect:
            block = b""
        if not block:
            raise PageError(400, strings.cut_off(upload.shown_name), strings.INCOMPLETE_FILE_REMEDY)
        start += block
    return start


def _check_start(upload: _Upload, start: bytes) -> None:
    """Raise InputError unless the content is what the name says: no drawing, page or archive comes in as a picture."""
    if upload.role in _PICTURE_ROLES:
        detect_format(start, upload.shown_name, is_mask=upload.role in _MASK_ROLES)
    elif upload.role in _TEXT_ROLES:
        read_text(start, upload.shown_name)


async def _receive(page: Page, upload: _Upload, start: bytes, blocks: AsyncIterator[bytes]) -> str:
    """Write the file under a dot-name, fsync it, and rename it when it is complete; else remove it. Return its hash."""
    fs = Filesystem()
    with told_to_the_person(f"{upload.folder}/{upload.name}"), contextlib.ExitStack() as stack:
        await run_in_threadpool(make_folders, page, upload.folder)
        folder = stack.enter_context(page.root.opened_folder(upload.folder))
        temporary = PathAt(folder, f"{TEMP_PREFIX}{secrets.token_hex(8)}")
        descriptor = fs.create(temporary)
        stack.callback(os.close, descriptor)
        try:
            received, digest = len(start), hashlib.sha256(start)
            await run_in_threadpool(fs.write_all, descriptor, start)
            async for block in blocks:
                received += len(block)
                await run_in_threadpool(digest.update, block)
                await run_in_threadpool(fs.write_all, descriptor, block)
            if received != upload.size:
                raise PageError(400, strings.cut_off(upload.shown_name), strings.INCOMPLETE_FILE_REMEDY)
            fs.inherit_permissions(descriptor, folder)
            await run_in_threadpool(fs.fsync, descriptor)
            fs.rename_noreplace(temporary, PathAt(folder, upload.name))
        except BaseException:
            with contextlib.suppress(OSError):
                fs.unlink(temporary)
            raise
        await run_in_threadpool(fs.fsync_dir, folder)
    return digest.hexdigest()


def _campaigns(page: Page, folder: str) -> list[str]:
    """Return the campaigns in a stage's folder, as paths below it."""
    campaigns = []
    for path, _ in page.root.walk(folder):
        if path != folder and display_name(path) == path:
            campaigns.append(path.removeprefix(f"{folder}/"))
        if len(campaigns) >= _MAX_CAMPAIGNS:
            break
    return sorted(campaigns)


ROUTES = [
    Route(_DROP + "{path:path}", show_drop, methods=["GET"]),
    Route(_UPLOAD + "{path:path}", receive_file, methods=["PUT"]),
]
