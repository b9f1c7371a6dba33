"""The application: the routes of all pages, behind the checks of ``access``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from goldsmith.errors import GoldsmithError, HostError
from goldsmith.web import decide, events, images, look, overview, reporting, signing_in, strings, uploading
from goldsmith.web.access import STATIC_PATH, AccessChecks, PageError
from goldsmith.web.asking import ask_pages
from goldsmith.web.page import Page, error_response
from goldsmith.web.painting import mask_pages
from goldsmith.web.static_files import PageFiles

_THREADS = 4
_CLEANING_SECONDS = 6 * 3600.0

ROUTES: list[BaseRoute] = [
    *mask_pages.ROUTES,
    *ask_pages.ROUTES,
    *uploading.ROUTES,
    *signing_in.ROUTES,
    *overview.ROUTES,
    *reporting.ROUTES,
    *events.ROUTES,
    *look.ROUTES,
    *images.ROUTES,
    *decide.ROUTES,
]


def create_app(page: Page) -> Starlette:
    """Return the application for the page of a root."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # Each thread has a stack, and caches of its own.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        cleaning = asyncio.create_task(_remove_old_notes(page))
        yield
        cleaning.cancel()
        page.previews.close()

    app = Starlette(
        lifespan=lifespan,
        routes=[*ROUTES, Mount(STATIC_PATH.rstrip("/"), PageFiles())],
        middleware=[Middleware(AccessChecks, access=page.access, on_error=partial(_on_error, page))],
        exception_handlers={
            GoldsmithError: partial(_on_error, page),
            HTTPException: partial(_on_http_error, page),
        },
    )
    app.state.page = page
    return app


async def _remove_old_notes(page: Page) -> None:
    """Remove the notes that nobody needs any more, at the start and from time to time."""
    while True:
        await asyncio.to_thread(page.notes.remove_old, page.root.is_missing)
        await asyncio.sleep(_CLEANING_SECONDS)


def _on_error(page: Page, request: Request, error: Exception) -> Response:
    if not isinstance(error, GoldsmithError):
        raise error
    status = error.status if isinstance(error, PageError) else 503 if isinstance(error, HostError) else 400
    return error_response(request, page, status, error)


def _on_http_error(page: Page, request: Request, error: Exception) -> Response:
    """Return the page's own words for what Starlette refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return error_response(request, page, 404, PageError(404, strings.NOT_FOUND, strings.NOT_FOUND_REMEDY))
    if status == 405:
        return error_response(request, page, 405, PageError(405, strings.WRONG_METHOD, strings.NOT_FOUND_REMEDY))
    return error_response(request, page, status, PageError(status, str(getattr(error, "detail", "")) or strings.NOT_FOUND))
