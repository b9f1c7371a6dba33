"""The page that paints a mask over a picture, and the addresses that open, save and propose one."""

from __future__ import annotations

import re
from typing import get_args

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.library.availability import check_engine
from goldsmith.operation import StepNeeds, region_needs
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed, visitor_of
from goldsmith.web.page import Page, page_of, render
from goldsmith.web.painting.mask_files import UNNAMED, MaskFiles, find_mask_files, replace_mask
from goldsmith.web.painting.mask_jobs import MaskJobs
from goldsmith.web.painting.mask_operation import OBJECT_NEEDS, ProposedRegion
from goldsmith.web.painting.mask_tiles import MaskReader, read_size
from goldsmith.web.pictures import PictureFile, picture_of

_PAINT, _MASK, _PROPOSAL = "/paint/", "/paint-mask/", "/paint-proposal/"
_REGIONS: tuple[ProposedRegion, ...] = get_args(ProposedRegion)
# The tool that finds the object at a point.
OBJECT = "object"
_PIXEL = re.compile(r"[0-9]{1,7}")
# The largest mask that is taken, whatever the settings say.
_MAX_MASK_BYTES = 2**30
# Stands for whatever mask is there.
_ANYTHING = "*"
_TILES_TYPE = "application/octet-stream"
_log = structlog.get_logger("goldsmith.web")


@allowed("decide")
async def show_painting(request: Request) -> Response:
    """Show the page that paints a mask."""
    page, picture = page_of(request), picture_of(request, _PAINT)
    name = request.query_params.get("name", UNNAMED)
    masks = await run_in_threadpool(find_mask_files, page, picture, name)
    regions = [region for region in _REGIONS if _has_engines(page, region_needs(region))]
    can_find = _has_engines(page, OBJECT_NEEDS)
    tools = [tool for tool in strings.PAINT_TOOLS if can_find or tool[0] != OBJECT]
    return render(request, "paint.html", picture=picture, masks=masks, name=name, regions=regions, tools=tools)


@allowed("decide")
async def open_mask(request: Request) -> Response:
    """Return the mask of a picture as tiles; without a mask all is black."""
    picture, masks = await _asked_mask(request)
    tiles = await _jobs_of(request).open_masks(picture, masks.files)
    _sizes_of(request)[picture.version] = read_size(tiles)
    return Response(tiles, media_type=_TILES_TYPE, headers={"x-mask-stamp": masks.stamp})


@allowed("decide", max_body=_MAX_MASK_BYTES)
async def save_mask(request: Request) -> Response:
    """Write the mask beside its picture, unless another one has been put there since it was opened."""
    page = page_of(request)
    picture, masks = await _asked_mask(request)
    _check_stamp(request, masks)
    reader = MaskReader(*await _size_of(request, picture))
    async for block in request.stream():
        await run_in_threadpool(reader.feed, block)
    png = await run_in_threadpool(reader.finish)
    if reader.is_empty:
        raise InputError(strings.EMPTY_MASK, strings.EMPTY_MASK_REMEDY)
    async with page.saving:
        # The body took its time: the folder is looked at again.
        picture, masks = await _asked_mask(request)
        _check_stamp(request, masks)
        await run_in_threadpool(replace_mask, page, visitor_of(request), masks, png)
    _log.info("mask_saved", file=display_name(masks.target), person=visitor_of(request).name)
    _, saved = await _asked_mask(request)
    name = display_name(masks.target.rpartition("/")[2])
    return JSONResponse({"stamp": saved.stamp, "sentence": strings.mask_saved(name)})


@allowed("decide")
async def propose_mask(request: Request) -> Response:
    """Return a region that is detected in the picture, or the object at a point, as tiles."""
    picture, page = picture_of(request, _PROPOSAL), page_of(request)
    word = request.query_params.get("region")
    region = next((region for region in _REGIONS if region == word), None)
    if word == OBJECT and _has_engines(page, OBJECT_NEEDS):
        tiles = await _jobs_of(request).propose_object(picture, *_asked_point(request))
    elif region is not None and _has_engines(page, region_needs(region)):
        tiles = await _jobs_of(request).propose_mask(picture, region)
    else:
        raise PageError(404, strings.NO_SUCH_PROPOSAL, strings.PAINT_BY_HAND)
    return Response(tiles, media_type=_TILES_TYPE)


async def _asked_mask(request: Request) -> tuple[PictureFile, MaskFiles]:
    """Return the picture that the address names, and the files of its mask as they are now."""
    picture = picture_of(request, _MASK)
    return picture, await run_in_threadpool(find_mask_files, page_of(request), picture, request.query_params.get("name", UNNAMED))


def _check_stamp(request: Request, masks: MaskFiles) -> None:
    stamp = request.query_params.get("replaces", "")
    if stamp not in (masks.stamp, _ANYTHING):
        raise PageError(409, strings.MASK_CHANGED, strings.MASK_CHANGED_REMEDY)


async def _size_of(request: Request, picture: PictureFile) -> tuple[int, int]:
    """Return width and height of a picture, in px, as a worker process has read them."""
    sizes = _sizes_of(request)
    if picture.version not in sizes:
        sizes[picture.version] = read_size(await _jobs_of(request).open_masks(picture, ()))
    return sizes[picture.version]


def _sizes_of(request: Request) -> dict[str, tuple[int, int]]:
    """Return the sizes of pictures, by their version, that have been opened since the page started; of the last thousand."""
    state = request.app.state
    if not hasattr(state, "picture_sizes"):
        state.picture_sizes = {}
    sizes: dict[str, tuple[int, int]] = state.picture_sizes
    while len(sizes) >= 1000:
        del sizes[next(iter(sizes))]
    return sizes


def _jobs_of(request: Request) -> MaskJobs:
    state = request.app.state
    if not hasattr(state, "mask_jobs"):
        state.mask_jobs = MaskJobs(page_of(request).setup)
    jobs: MaskJobs = state.mask_jobs
    return jobs


def _asked_point(request: Request) -> tuple[int, int]:
    """Return the px x and y of the picture that the address names. Raises PageError."""
    x, y = (request.query_params.get(name, "") for name in ("x", "y"))
    if not (_PIXEL.fullmatch(x) and _PIXEL.fullmatch(y)):
        raise PageError(400, strings.NO_SUCH_PROPOSAL, strings.PAINT_BY_HAND)
    return int(x), int(y)


def _has_engines(page: Page, needs: StepNeeds) -> bool:
    """Return whether this machine has the engines that find something."""
    return all(check_engine(page.setup.weights, need) is None for need in needs.engines)


ROUTES = [
    Route(_PAINT + "{path:path}", show_painting, methods=["GET"]),
    Route(_MASK + "{path:path}", open_mask, methods=["GET"]),
    Route(_MASK + "{path:path}", save_mask, methods=["PUT"]),
    Route(_PROPOSAL + "{path:path}", propose_mask, methods=["POST"]),
]
