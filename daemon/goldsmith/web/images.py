"""Previews as files for the browser: the whole picture reduced, parts at 100 %, masks in red, and facts as JSON.

A file of the share is never sent as it is: what arrives in the browser was decoded and encoded again.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.jobs.preview import FIT_SIDES, PreviewRequest
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed
from goldsmith.web.page import page_of
from goldsmith.web.pictures import picture_of

# With its version in the address, a preview never changes.
_FOR_EVER = "private, max-age=31536000, immutable"
_MAX_TILES = 1000


async def _answer(request: Request, prefix: str, wish: PreviewRequest) -> Response:
    picture = picture_of(request, prefix)
    preview = await page_of(request).previews.preview(picture.path, picture.version, wish)
    content = preview.facts.model_dump_json().encode() if wish.kind == "facts" else preview.data
    is_named = request.query_params.get("v") == picture.version
    return Response(content, media_type=wish.media_type, headers={"cache-control": _FOR_EVER if is_named else "no-store"})


def _side(request: Request) -> int:
    side = int(request.path_params["side"])
    if side not in FIT_SIDES:
        raise PageError(404, strings.NOT_FOUND, strings.NOT_FOUND_REMEDY)
    return side


def _place(request: Request) -> tuple[int, int]:
    column, row = int(request.path_params["column"]), int(request.path_params["row"])
    if column >= _MAX_TILES or row >= _MAX_TILES:
        raise PageError(404, strings.NOT_FOUND, strings.NOT_FOUND_REMEDY)
    return column, row


@allowed("look")
async def send_fit(request: Request) -> Response:
    """Send the whole picture, reduced to fit into a square."""
    side = _side(request)
    return await _answer(request, f"/fit/{side}/", PreviewRequest(kind="fit", side=side))


@allowed("look")
async def send_tile(request: Request) -> Response:
    """Send a part of 512 px at 100 %."""
    column, row = _place(request)
    return await _answer(request, f"/tile/{column}/{row}/", PreviewRequest(kind="tile", column=column, row=row))


@allowed("look")
async def send_mask(request: Request) -> Response:
    """Send a mask in red, reduced to fit into a square."""
    side = _side(request)
    return await _answer(request, f"/mask/{side}/", PreviewRequest(kind="mask", side=side))


@allowed("look")
async def send_mask_tile(request: Request) -> Response:
    """Send a part of a mask in red, 512 px at 100 %."""
    column, row = _place(request)
    return await _answer(request, f"/mask-tile/{column}/{row}/", PreviewRequest(kind="mask_tile", column=column, row=row))


@allowed("look")
async def send_facts(request: Request) -> Response:
    """Send the size, the depth and the profile of a picture."""
    return await _answer(request, "/facts/", PreviewRequest(kind="facts"))


ROUTES = [
    Route("/fit/{side:int}/{path:path}", send_fit, methods=["GET"]),
    Route("/tile/{column:int}/{row:int}/{path:path}", send_tile, methods=["GET"]),
    Route("/mask/{side:int}/{path:path}", send_mask, methods=["GET"]),
    Route("/mask-tile/{column:int}/{row:int}/{path:path}", send_mask_tile, methods=["GET"]),
    Route("/facts/{path:path}", send_facts, methods=["GET"]),
]
