"""What every endpoint gets: the root, the settings, the templates and who may do what."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from goldsmith.brief.pipeline import Pipeline
from goldsmith.brief.settings import Settings
from goldsmith.brief.web_settings import WebSettings
from goldsmith.errors import GoldsmithError
from goldsmith.files import display_name
from goldsmith.journal.location import journal_path
from goldsmith.journal.person_notes import PersonNotes
from goldsmith.root_folder import RootFolder
from goldsmith.service.setup import Setup
from goldsmith.web import strings
from goldsmith.web.access import Access
from goldsmith.web.asset_board import AssetBoard
from goldsmith.web.previews.preview_cache import default_cache_folder
from goldsmith.web.previews.preview_pool import PreviewPool, open_preview_pool

WEB_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """The page of one root."""

    setup: Setup
    web_settings: WebSettings
    root: RootFolder
    access: Access
    notes: PersonNotes
    previews: PreviewPool
    board: AssetBoard
    templates: jinja2.Environment
    # Held while a file is compared with what a person has opened, and replaced: of two people who save at once, one is told so.
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def settings(self) -> Settings:
        """The settings in goldsmith.toml."""
        return self.setup.settings

    @property
    def pipeline(self) -> Pipeline:
        """The stages and their folders."""
        return self.setup.pipeline


def build_page(setup: Setup, settings: WebSettings, link_name: str) -> Page:
    """Return the page of a root. ``link_name``: the person who signs in with the printed link."""
    notes = PersonNotes(journal_path(setup.root, setup.settings.state_dir).parent)
    limits = (setup.settings.max_pixels, setup.settings.worker_memory_mb, settings.cache_mb)
    previews = open_preview_pool(setup.root, default_cache_folder(), *limits)
    access = Access(settings, link_name)
    return Page(setup, settings, RootFolder(setup.root), access, notes, previews, AssetBoard(setup), build_templates())


def build_templates() -> jinja2.Environment:
    """Return the templates; they escape everything, and a name that is not given is an error."""
    loader = jinja2.FileSystemLoader(WEB_FOLDER / "templates")
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters["shown"] = display_name
    templates.filters["url_path"] = url_path
    templates.filters["age"] = strings.age
    templates.filters["moment"] = strings.moment
    templates.filters["size"] = strings.size
    return templates


def url_path(path: str) -> str:
    """Return a path below the root as a part of an address. Names with undecodable bytes keep them."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


def page_of(request: Request) -> Page:
    """Return the page that a request belongs to."""
    page = request.app.state.page
    if not isinstance(page, Page):
        raise TypeError("the application has no page")
    return page


def render(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Return a template as a response. Every template also gets ``visitor`` (None = not signed in), ``strings`` and ``path``."""
    return _render(page_of(request), request, template, status, **values)


def _render(page: Page, request: Request, template: str, status: int, **values: object) -> HTMLResponse:
    fixed = {"visitor": request.state.visitor, "strings": strings, "path": request.url.path}
    text = page.templates.get_template(template).render(**fixed, **values)
    return HTMLResponse(text.encode("utf-8", "replace"), status)


def wants_json(request: Request) -> bool:
    """Return whether a request comes from a script, which gets its errors as JSON."""
    return "text/html" not in request.headers.get("accept", "")


def error_response(request: Request, page: Page, status: int, error: GoldsmithError) -> Response:
    """Return an error as a page for a browser, and as JSON for a script: ``{"error": sentence, "remedy": sentence}``."""
    if wants_json(request):
        return JSONResponse({"error": error.sentence, "remedy": error.remedy}, status)
    return _render(page, request, "error.html", status, sentence=error.sentence, remedy=error.remedy)
