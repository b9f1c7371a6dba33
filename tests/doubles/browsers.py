"""A real browser for the page: Debian's Chromium, driven by Playwright, and the page on a free port of loopback.

Nothing waits for ever: what takes too long fails, with the page's words, its unanswered requests, a screenshot and the server's stacks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.applications import Starlette

from doubles import web_pages
from goldsmith.web.app import create_app
from goldsmith.web.page import Page

_CHROMIUM = shutil.which("chromium")
# For hangs only: a busy machine takes many times as long as a quiet one. One step of a test, and all that happens in one window.
_PATIENCE_MS, _WINDOW_SECONDS = 240_000, 900.0
# What the account of a failure may take to ask the page.
_ACCOUNT_MS = 10_000
# The rules of WCAG AA that a program can check, as the list of what breaks them.
RULES = (Path(__file__).parents[1] / "web" / "accessibility_rules.js").read_text()
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser with a home folder of its own; skip the test where it, or Playwright, is missing."""
    if _CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="goldsmith-chromium-", ignore_cleanup_errors=True) as home,
        playwright.sync_playwright() as driver,
    ):
        # Settings, caches and the reports of crashes: nothing is shared with another browser on this machine.
        own = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "BREAKPAD_DUMP_LOCATION": home}
        # Chromium refuses its sandbox where tests run as root.
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"], env={**os.environ, **own}, timeout=_PATIENCE_MS)
        playwright.expect.set_options(timeout=_PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


def _complaint(message: Any) -> str:
    """Return the words of a message in the console, with the address of what it is about."""
    return f"{message.text} {message.location.get('url', '')}"


@dataclass
class ServedPage:
    """The page behind a real server.

    ``complaints``: the warnings and errors in the console of a tab, its dialogs, and what broke the rules of accessibility.
    """

    page: Page
    app: Starlette
    address: str
    browser: Any
    complaints: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def window(self, **options: object) -> Iterator[Any]:
        """Open a window, and in it a tab in which Anna has signed in; ``options``: those of the window."""
        window = self.browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        window.set_default_timeout(_PATIENCE_MS)
        watch = threading.Timer(_WINDOW_SECONDS, _end_browsers)
        watch.start()
        unanswered: list[str] = []
        try:
            tab = window.new_page()
            self._listen(tab, unanswered)
            try:
                tab.goto(f"{self.address}/sign-in?key={self.page.access.sign_in_key}")
                tab.wait_for_url(f"{self.address}/")
                yield tab
            except Exception as error:
                error.add_note(self._account(tab, unanswered))
                raise
        finally:
            watch.cancel()
            window.close()

    @contextlib.contextmanager
    def tab(self, path: str, **options: object) -> Iterator[Any]:
        """Open a path in a new window; at the end the rules of accessibility are checked."""
        with self.window(**options) as tab:
            tab.goto(f"{self.address}/{path}")
            yield tab
            self.complaints += tab.evaluate(RULES)

    def _listen(self, tab: Any, unanswered: list[str]) -> None:
        tab.on("console", lambda message: self.complaints.append(_complaint(message)) if message.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.on("crash", lambda _: self.complaints.append("the tab has crashed"))
        tab.on("request", lambda request: unanswered.append(request.url))
        for end in ("requestfinished", "requestfailed"):
            tab.on(end, lambda request: unanswered.remove(request.url) if request.url in unanswered else None)

    def _account(self, tab: Any, unanswered: list[str]) -> str:
        """Return what a failed test waited for."""
        lines = [f"The tab is at {tab.url}.", f"Requests without an answer: {unanswered}", f"The console: {self.complaints}"]
        try:
            lines.append("Its words:\n" + tab.locator("body").inner_text(timeout=_ACCOUNT_MS))
            screenshot = Path(tempfile.mkdtemp(prefix="goldsmith-browser-"), "tab.png")
            tab.screenshot(path=screenshot, timeout=_ACCOUNT_MS)
            lines.append(f"A screenshot: {screenshot}")
        except Exception as error:  # noqa: BLE001 - the account is of a failure, which must not be replaced by another
            lines.append(f"The tab does not answer: {error}")
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            lines.append(f"Thread {names.get(ident)}:\n{''.join(traceback.format_stack(frame)[-8:])}")
        lines += [f"Process {child.pid}, {child.status()}" for child in psutil.Process().children(recursive=True)]
        return "\n".join(lines)


def _end_browsers() -> None:
    """Kill the browsers of this process, so that a call to the driver that waits for ever raises."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chromium" in child.name():
                child.kill()


@contextlib.contextmanager
def served(page: Page, browser: Any) -> Iterator[ServedPage]:
    """Serve a page until the end of the body."""
    app = create_app(page)
    with web_pages.served(page, app) as port:
        yield ServedPage(page, app, f"http://127.0.0.1:{port}", browser)
