"""A root, its page, and a browser in which Anna has signed in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from doubles import web_pages
from goldsmith.web.page import Page


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
