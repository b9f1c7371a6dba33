"""A page over a root of its own, and browsers for it that need no network."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from goldsmith.brief.web_settings import WebSettings
from goldsmith.service.setup import load_setup
from goldsmith.web.app import create_app
from goldsmith.web.page import Page, build_page

FOLDERS = ("inbox", "selected", "masked", "graded", "delivered", "review/approve", "review/again", "review/reject", "library", "archive")
# How a browser asks for a page.
AS_BROWSER = {"accept": "text/html"}


def make_root(folder: Path) -> Path:
    """Make the folders of an empty root, and return it."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    return folder


def make_page(root: Path, **settings: object) -> Page:
    """Return the page of a root with these settings in ``[web]``. Anna has started it."""
    return build_page(load_setup(root), WebSettings.model_validate(settings), "anna")


def client_of(page: Page, **options: object) -> TestClient:
    """Return a browser in which nobody has signed in. ``options``: those of TestClient."""
    options = {"base_url": "http://127.0.0.1:8642", "follow_redirects": False, "raise_server_exceptions": False, **options}
    return TestClient(create_app(page), **options)  # type: ignore[arg-type]


def signed_in_client(page: Page) -> TestClient:
    """Return a browser in which the person who has started the page has opened the link; its requests carry the token of the session."""
    client = client_of(page)
    client.get("/sign-in", params={"key": page.access.sign_in_key}, headers=AS_BROWSER)
    client.headers["x-csrf-token"] = token_in(client.get("/", headers=AS_BROWSER).text)
    return client


def token_in(html: str) -> str:
    """Return the token of the session that a page carries; "" if it carries none."""
    return html.partition('name="csrf-token" content="')[2].partition('"')[0]
