"""What waits, and why: every picture with its stage, its state and the reason."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.web.access import allowed
from goldsmith.web.page import render


@allowed("look")
async def show_overview(request: Request) -> Response:
    """Show all pictures."""
    return render(request, "overview.html")


ROUTES = [Route("/", show_overview, methods=["GET"])]
