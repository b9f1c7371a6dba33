"""What waits, and why: every picture with its stage, its state and the reason."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.web.access import allowed
from goldsmith.web.asset_board import STATES, select_assets
from goldsmith.web.page import page_of, render

# Pictures on one page of the list.
ROWS_PER_PAGE = 100
_MAX_WORDS_CHARS = 200


@allowed("look")
async def show_overview(request: Request) -> Response:
    """Show the pictures with a state, of a campaign, and with words in their path; all without."""
    board = await page_of(request).board.current()
    query = request.query_params
    state = query.get("state", "") if query.get("state") in STATES else ""
    campaign, words = query.get("campaign", ""), query.get("q", "")[:_MAX_WORDS_CHARS]
    selected = select_assets(board, state, campaign, words)
    page_count = max(1, -(-len(selected) // ROWS_PER_PAGE))
    number = min(max(1, int(query["page"])), page_count) if query.get("page", "").isdecimal() and len(query["page"]) < 10 else 1
    chosen = {"state": state, "campaign": campaign, "q": words}
    return render(
        request,
        "overview.html",
        board=board,
        states=STATES,
        state=state,
        campaign=campaign,
        words=words,
        assets=selected[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE],
        found=len(selected),
        number=number,
        page_count=page_count,
        link=lambda **changes: "/?" + urlencode({key: value for key, value in {**chosen, **changes}.items() if value}),
    )


ROUTES = [Route("/", show_overview, methods=["GET"])]
