"""What waits, and why: every picture with its stage, its state and the reason."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.errors import InputError
from goldsmith.files import FileSignature
from goldsmith.jobs.preview import version_of
from goldsmith.pipeline.intake.file_names import CAMPAIGN_BRIEF
from goldsmith.root_folder import RootFolder
from goldsmith.web.access import allowed, visitor_of
from goldsmith.web.asset_board import STATES, Asset, select_assets
from goldsmith.web.page import Page, page_of, render
from goldsmith.web.pictures import is_shown_path

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
    rows = selected[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
    versions = await asyncio.to_thread(_versions, page_of(request).root, rows)
    may_ask = visitor_of(request).may_decide
    folders = await asyncio.to_thread(_campaign_folders, page_of(request), campaign) if campaign and may_ask else []
    chosen = {"state": state, "campaign": campaign, "q": words}
    return render(
        request,
        "overview.html",
        board=board,
        states=STATES,
        state=state,
        campaign=campaign,
        words=words,
        assets=rows,
        versions=versions,
        folders=folders,
        found=len(selected),
        number=number,
        page_count=page_count,
        link=lambda **changes: "/?" + urlencode({key: value for key, value in {**chosen, **changes}.items() if value}),
    )


def _campaign_folders(page: Page, campaign: str) -> list[str]:
    """Return the folders of the stages in which a campaign has pictures or a brief: those for which a person may ask."""
    folders = []
    for stage in page.pipeline.stages:
        folder = f"{stage.folder}/{campaign}"
        if is_shown_path(page, f"{folder}/{CAMPAIGN_BRIEF}"):
            with contextlib.suppress(OSError, InputError), page.root.opened_folder(folder):
                folders.append(folder)
    return folders


def _versions(root: RootFolder, assets: Sequence[Asset]) -> dict[str, str]:
    """Return the version of each picture in the list, by its path; none for a picture that has just gone."""
    versions = {}
    for path in filter(None, (asset.picture for asset in assets)):
        with contextlib.suppress(OSError, InputError):
            versions[path] = version_of(FileSignature.from_stat(root.lstat(path)))
    return versions


ROUTES = [Route("/", show_overview, methods=["GET"])]
