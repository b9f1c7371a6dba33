"""What changes while somebody looks, as server-sent events: the progress of running jobs, and that the overview has changed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from goldsmith.service.location import open_setup, read_with_journal
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed, visitor_of
from goldsmith.web.asset_board import read_progress
from goldsmith.web.page import Page, page_of, url_path

# Seconds between two looks at the jobs, and at the folders.
_PROGRESS_SECONDS, _BOARD_SECONDS = 1.0, 4.0
# How many browsers may listen at once.
MAX_LISTENERS = 32


class LiveEvents:
    """The events of one page. However many listen, the journal is read once a second, and not at all while nobody does."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._progress: list[dict[str, object]] = []
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self.listener_count = 0

    async def stream(self, has_ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield an event for each change, and a comment when nothing has changed, until the browser goes or its session ends."""
        self.listener_count += 1
        last_progress, last_version, looked_at = "", "", float("-inf")
        try:
            yield b"retry: 3000\n\n"
            while not has_ended():
                progress = json.dumps(await self._current_progress())
                if progress != last_progress:
                    last_progress = progress
                    yield _event("progress", progress)
                if time.monotonic() - looked_at >= _BOARD_SECONDS:
                    looked_at = time.monotonic()
                    board = await self._page.board.current()
                    if board.version != last_version:
                        last_version = board.version
                        yield _event("board", json.dumps({"version": board.version, "counts": dict(board.counts)}))
                    else:
                        yield b": still here\n\n"
                await asyncio.sleep(_PROGRESS_SECONDS)
        finally:
            self.listener_count -= 1

    async def _current_progress(self) -> list[dict[str, object]]:
        async with self._lock:
            if time.monotonic() - self._read_at >= _PROGRESS_SECONDS:
                self._progress = await asyncio.to_thread(self._read)
                self._read_at = time.monotonic()
        return self._progress

    def _read(self) -> list[dict[str, object]]:
        with open_setup(self._page.setup) as opened:
            jobs = read_with_journal(opened, read_progress)[1]
        # As the overview writes it: a script would write some signs in another way, and cannot write bytes that are no UTF-8.
        return [{**job, "path": url_path(str(job["path"]))} for job in jobs]


def _event(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode("ascii", "replace")


@allowed("look")
async def stream_events(request: Request) -> Response:
    """Stream the events to one browser."""
    page = page_of(request)
    if not hasattr(request.app.state, "live_events"):
        request.app.state.live_events = LiveEvents(page)
    live: LiveEvents = request.app.state.live_events
    if live.listener_count >= MAX_LISTENERS:
        raise PageError(503, strings.TOO_MANY_LISTENERS, strings.TOO_MANY_LISTENERS_REMEDY)
    visitor = visitor_of(request)
    return StreamingResponse(live.stream(lambda: page.access.has_ended(visitor)), media_type="text/event-stream")


ROUTES = [Route("/events", stream_events, methods=["GET"])]
