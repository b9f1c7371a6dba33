"""A root, its page, and browsers in which Anna has signed in: one that needs no network, and a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient

from doubles import web_pages
from doubles.browsers import ServedPage, chromium, served
from goldsmith.web.page import Page


@pytest.fixture(autouse=True)
def open_log() -> None:
    """Log to the present stdout: a command tested before may have left a log with a closed stream, and then no request succeeds."""
    structlog.reset_defaults()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty root whose journal's folder is outside it."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # What a test has just written counts as having lain there for a minute.
    monkeypatch.setattr("goldsmith.pipeline.status.explain.time", SimpleNamespace(time=lambda: time.time() + 60))
    return web_pages.make_root(tmp_path / "root")


@pytest.fixture
def page(root: Path) -> Page:
    """Return the page of the root, on loopback with a link."""
    return web_pages.make_page(root)


@pytest.fixture
def client(page: Page) -> Iterator[TestClient]:
    """Return the browser of Anna, who may decide."""
    with web_pages.signed_in_client(page) as browser:
        yield browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a running browser for all tests of a file: starting it takes seconds."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    """Return the page of an empty root behind a server, for all tests of a file. What lies in its folders has lain there for a minute."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOLDSMITH_STATE_DIR", str(folder / "state"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr("goldsmith.pipeline.status.explain.time", SimpleNamespace(time=lambda: time.time() + 60))
        patch.setattr("goldsmith.web.events._BOARD_SECONDS", 0.2)
        patch.setattr("goldsmith.web.events._PROGRESS_SECONDS", 0.2)
        with served(web_pages.make_page(web_pages.make_root(folder / "root")), browser) as site:
            yield site
