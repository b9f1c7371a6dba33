"""The report of a campaign, as a file to keep: the same as that of ``goldsmith report``."""

from __future__ import annotations

import asyncio
import re
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.files import display_name
from goldsmith.service.one_off import build_report
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed
from goldsmith.web.page import page_of
from goldsmith.web.pictures import path_of

_REPORT = "/report/"
# A report decodes up to 300 pictures: one at a time is made.
_making = asyncio.Lock()


@allowed("look")
async def send_report(request: Request) -> Response:
    """Make the report of a campaign and send it as a download: what a person opens from it is no part of this page."""
    page, campaign = page_of(request), path_of(request, _REPORT).strip("/")
    if any(part in ("", ".", "..") for part in campaign.split("/")) or display_name(campaign) != campaign:
        raise PageError(404, strings.NOT_FOUND, strings.NOT_FOUND_REMEDY)
    if _making.locked():
        raise PageError(503, strings.REPORT_BUSY, strings.REPORT_BUSY_REMEDY)
    async with _making:
        report = await asyncio.to_thread(build_report, page.setup, campaign, time.time())
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "-", campaign).strip("-.")[:100] or "campaign"
    headers = {"content-disposition": f'attachment; filename="report-{name}.html"'}
    return Response(report.html.encode("utf-8", "replace"), media_type="text/html", headers=headers)


ROUTES = [Route(_REPORT + "{path:path}", send_report, methods=["GET"])]
