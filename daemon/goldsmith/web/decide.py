"""Deciding about results in review/: approve, reject, make again, and pick among candidates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldsmith.brief.pipeline import AGAIN, APPROVE, REJECT, REVIEW_FOLDER
from goldsmith.files import display_name
from goldsmith.web import strings
from goldsmith.web.access import PageError, Visitor, allowed, visitor_of
from goldsmith.web.hands import make_folders, move_into_tray, told_to_the_person, write_file
from goldsmith.web.page import Page, page_of, url_path
from goldsmith.web.pictures import PictureFile, find_picture, path_from_address

MAX_REMARK_CHARS = 2000
_MAX_PICKED = 100
_TRAYS = {"approve": APPROVE, "again": AGAIN, "reject": REJECT}

Model = TypeVar("Model", bound=BaseModel)


class _Seen(BaseModel):
    """A picture as the person has seen it: its path as in an address, and its version."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    path: Annotated[str, Field(max_length=20_000)]
    version: Annotated[str, Field(max_length=40)]


class _DecisionRequest(_Seen):
    decision: Literal["approve", "again", "reject"]
    remark: str = ""


class _PickRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    chosen: Annotated[list[_Seen], Field(max_length=_MAX_PICKED)]
    # The sheet of the set, if no further candidate is wanted.
    sheet: _Seen | None = None


@allowed("decide")
async def decide(request: Request) -> Response:
    """Move one picture into a tray, with a remark if there is one."""
    page, wish = page_of(request), await _read_json(request, _DecisionRequest)
    remark = wish.remark.strip()
    if len(remark) > MAX_REMARK_CHARS:
        raise PageError(400, strings.remark_too_long(len(remark), MAX_REMARK_CHARS), strings.SHORTEN_REMEDY)
    picture = _as_seen(page, wish)
    next_path = await _next_to_decide(page, picture.path)
    await asyncio.to_thread(_move, page, visitor_of(request), picture, _TRAYS[wish.decision], remark)
    page.board.invalidate()
    done = strings.done(wish.decision, display_name(picture.name))
    return JSONResponse({"done": done, "next": f"/look/{url_path(next_path)}" if next_path else ""})


@allowed("decide")
async def pick(request: Request) -> Response:
    """Approve candidates of a set, and put the sheet away if no further one is wanted."""
    page, wish = page_of(request), await _read_json(request, _PickRequest)
    chosen = [_as_seen(page, reference) for reference in wish.chosen]
    if not chosen and wish.sheet is None:
        raise PageError(400, strings.NOTHING_CHOSEN)
    visitor = visitor_of(request)
    for picture in chosen:
        await asyncio.to_thread(_move, page, visitor, picture, APPROVE, "")
    if wish.sheet is not None:
        await asyncio.to_thread(_move, page, visitor, _as_seen(page, wish.sheet), REJECT, "")
    page.board.invalidate()
    return JSONResponse({"done": ", ".join(display_name(picture.name) for picture in chosen), "next": "/?state=review"})


def _move(page: Page, visitor: Visitor, picture: PictureFile, tray: str, remark: str) -> None:
    """Put the remark into the tray, then the picture. Without the picture, the remark does not stay."""
    remark_path = ""
    if remark:
        campaign = posixpath.dirname(picture.path).partition("/")[2]
        folder = posixpath.join(REVIEW_FOLDER, tray, campaign).rstrip("/")
        remark_path = posixpath.join(folder, os.path.splitext(picture.name)[0] + ".txt")
        with told_to_the_person(remark_path):
            make_folders(page, folder)
        write_file(page, remark_path, f"{remark}\n".encode("utf-8", "replace"), replace=False)
    try:
        move_into_tray(page, visitor, picture, tray)
    except BaseException:
        if remark_path:
            with contextlib.suppress(OSError):
                page.root.unlink(remark_path)
        raise


def _as_seen(page: Page, reference: _Seen) -> PictureFile:
    """Return the picture, if it is still the one that the person has looked at. Raises PageError with status 409."""
    path = path_from_address(reference.path)
    try:
        picture = find_picture(page, path)
    except PageError:
        raise PageError(409, strings.gone_meanwhile(display_name(posixpath.basename(path))), strings.NO_PICTURE_REMEDY) from None
    if picture.version != reference.version:
        raise PageError(409, strings.changed_meanwhile(display_name(picture.name)), strings.LOOK_AGAIN_REMEDY)
    return picture


async def _next_to_decide(page: Page, path: str) -> str:
    board = await page.board.current()
    paths = [asset.picture for asset in board.assets if asset.state == "review" and asset.picture and not asset.candidates]
    following = paths[paths.index(path) + 1 :] if path in paths else paths
    # The board may be a little old: others decide too.
    return next((other for other in [*following, *paths] if other != path and page.root.exists(other)), "")


async def _read_json(request: Request, model: type[Model]) -> Model:
    """Return the body of a request. Raises PageError with status 400 if it is another one, 415 if it is no JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise PageError(415, strings.WRONG_REQUEST, strings.STALE_PAGE_REMEDY)
    try:
        return model.model_validate_json(await request.body())
    except ValidationError:
        raise PageError(400, strings.WRONG_REQUEST, strings.STALE_PAGE_REMEDY) from None


ROUTES = [Route("/decide", decide, methods=["POST"]), Route("/pick", pick, methods=["POST"])]
