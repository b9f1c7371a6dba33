"""A real browser for the page: Debian's Chromium, driven by Playwright, and the page on a free port of loopback."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from doubles import web_pages
from goldsmith.web.page import Page

# Debian's, which needs no sandbox of its own where tests run as root.
_CHROMIUM = shutil.which("chromium")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# For hangs only: a busy machine takes many times as long as a quiet one.
_PATIENCE_MS = 600_000
# The rules of WCAG AA that a program can check, as the list of what breaks them.
RULES = (Path(__file__).parents[1] / "web" / "accessibility_rules.js").read_text()
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; skip the test where it, or Playwright, is missing."""
    if _CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class ServedPage:
    """The page behind a real server. ``complaints``: the errors in the console of a tab, and what broke the rules of accessibility."""

    page: Page
    address: str
    browser: Any
    complaints: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def tab(self, path: str, **options: object) -> Iterator[Any]:
        """Open a path in a new window in which Anna has signed in; ``options``: those of the window."""
        window = self.browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        try:
            tab = window.new_page()
            tab.set_default_timeout(_PATIENCE_MS)
            tab.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: self.complaints.append(str(error)))
            tab.goto(f"{self.address}/sign-in?key={self.page.access.sign_in_key}")
            tab.wait_for_url(f"{self.address}/")
            tab.goto(f"{self.address}/{path}")
            yield tab
            self.complaints += tab.evaluate(RULES)
        finally:
            window.close()


@contextlib.contextmanager
def served(page: Page, browser: Any) -> Iterator[ServedPage]:
    """Serve a page until the end of the body."""
    with web_pages.served(page) as port:
        yield ServedPage(page, f"http://127.0.0.1:{port}", browser)
