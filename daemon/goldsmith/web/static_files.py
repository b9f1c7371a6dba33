"""The page's own scripts, styles and pictures. Anybody may read them: the sign-in page needs them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from goldsmith.web.page import WEB_FOLDER


class PageFiles(StaticFiles):
    """The files in ``static/``. Browsers keep them, and ask each time whether they have changed."""

    def __init__(self) -> None:
        super().__init__(directory=WEB_FOLDER / "static")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return one file, or that the browser's copy is still right."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response
