"""A page over a root of its own, and browsers for it that need no network."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from goldsmith.brief.web_settings import WebSettings
from goldsmith.service.setup import load_setup
from goldsmith.web.app import create_app
from goldsmith.web.page import Page, build_page
from goldsmith.web.pictures import find_picture
from goldsmith.web.server import build_server

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
    # Any page carries the token; this one reads no folder.
    client.headers["x-csrf-token"] = token_in(client.get("/no-such-page", headers=AS_BROWSER).text)
    return client


@contextmanager
def served(page: Page, app: Starlette | None = None) -> Iterator[int]:
    """Serve the page, or an application that was made of it, on a port of loopback in the block, which gets the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = build_server(create_app(page) if app is None else app)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    running.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


def token_in(html: str) -> str:
    """Return the token of the session that a page carries; "" if it carries none."""
    return html.partition('name="csrf-token" content="')[2].partition('"')[0]


IN_REVIEW = """\
[in_review]
stage = "edit"
seed = 7
bytes = {size}

[[edit]]
op = "grade"
exposure = 1.0
"""


def lay_in_review(root: Path, stem: str = "hero", campaign: str = "acme", picture: bytes = b"") -> str:
    """Lay a result into review/ as the daemon does, with its brief and what it was made from, and return the path of its picture."""
    folder = root / "review" / campaign
    folder.mkdir(parents=True, exist_ok=True)
    data = picture or small_png(200)
    (folder / f"{stem}.png").write_bytes(data)
    (folder / f"{stem}.toml").write_text(IN_REVIEW.format(size=len(data)))
    (folder / f"{stem}.review.before.png").write_bytes(small_png(100))
    (folder / f"{stem}.review.before.mask.png").write_bytes(small_png(255))
    (folder / f"{stem}.review.jpg").write_bytes(small_png(50))
    return f"review/{campaign}/{stem}.png"


def lay_candidates(root: Path, count: int, stem: str = "hero", campaign: str = "acme") -> list[str]:
    """Lay a set of candidates into review/, and return their paths."""
    folder = root / "review" / campaign
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{stem}_candidate{number:03d}.png" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(small_png(number))
    steps = f'\n[in_review]\nstage = "generate"\nseed = 7\nbytes = 1\ncandidates = {count}\n\n[[generate]]\nop = "select"\nask = true\n'
    (folder / f"{stem}.toml").write_text(f'prompt = "a chair"\n{steps}')
    (folder / f"{stem}.candidates.jpg").write_bytes(small_png(50))
    return [f"review/{campaign}/{name}" for name in names]


def cheap_hash(password: str) -> str:
    """Return the hash of a password with the lowest costs that the settings take."""
    salt = bytes(16)
    return f"scrypt$10$1$1${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, n=2**10, r=1, p=1, dklen=32).hex()}"


def small_png(shade: int, width: int = 8, height: int = 6) -> bytes:
    """Return a grey picture as a PNG file."""
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.new("RGB", (width, height), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def version_at(page: Page, path: str) -> str:
    """Return the version of the picture at a path, as the page tells it to the browser."""
    return find_picture(page, path).version
