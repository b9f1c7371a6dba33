"""The server: slow and endless requests, live events, templates without code of their own, and the program itself."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.types import Message
from typer.testing import CliRunner

from doubles.web_pages import AS_BROWSER, make_page, served, signed_in_client
from goldsmith.cli.app import build_app
from goldsmith.web import events, server
from goldsmith.web.access import PageError, Visitor, check_password, limit_body
from goldsmith.web.events import LiveEvents
from goldsmith.web.page import WEB_FOLDER, Page

# The page's own process, in MiB: the limit of its memory.
MAX_RESIDENT_MIB = 80


def received_until_closed(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_connection_without_a_whole_request_is_closed(page: Page, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """Otherwise a few lines of code could hold all connections for ever (slow loris). A byte now and then does not help."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    with served(page) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(start)
        assert received_until_closed(connection) == b""


def test_the_second_request_of_a_connection_has_its_time_too(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a whole request, its head may not drip for ever either."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    with served(page) as port, socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while b"</svg>" not in answer:
            answer += connection.recv(65536)
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert received_until_closed(connection).strip() == b""


def test_an_ordinary_request_is_answered_and_its_connection_serves_the_next(page: Page) -> None:
    """The time limit for the head begins anew with each request."""
    with served(page) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert [client.get("/sign-in", headers=AS_BROWSER).status_code for _ in range(3)] == [200, 200, 200]


def test_a_huge_head_is_refused(page: Page) -> None:
    """It is not kept in memory until it ends."""
    with served(page) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        sent = 0
        with suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            while sent < 2000 and not select.select([connection], [], [], 0)[0]:
                connection.sendall(b"x" * 65536)
                sent += 1
            assert b" 400 " in received_until_closed(connection)
    assert sent < 2000


class SlowSender:
    """A body that arrives in parts, each some seconds after the one before."""

    def __init__(self, parts: list[bytes], seconds: float) -> None:
        self.now = 0.0
        self._parts = parts
        self._seconds = seconds

    def clock(self) -> float:
        return self.now

    async def receive(self) -> Message:
        self.now += self._seconds
        body = self._parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._parts)}

    def body(self, max_body: int, length: str = "") -> bytes:
        headers = [(b"content-length", length.encode())] if length else []
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, self.receive)
        return asyncio.run(limit_body(request, max_body, self.clock).body())


def test_a_body_that_drips_is_given_up() -> None:
    """After thirty seconds there must be a kilobyte a second."""
    with pytest.raises(PageError, match="too slowly"):
        SlowSender([b"x"] * 50, 1.0).body(1000)
    assert SlowSender([b"x" * 2048] * 50, 1.0).body(10**6) == b"x" * 2048 * 50


@pytest.mark.parametrize("length", ["", "1001", "-1", "99999999999999999999", "x"])
def test_a_body_that_is_too_large_is_refused(length: str) -> None:
    """By what it says, before a byte is read; without that by its bytes, before they are kept."""
    with pytest.raises(PageError) as refused:
        SlowSender([b"x" * 600] * 3, 0.0).body(1000, length)
    assert refused.value.status == 413


def test_live_events_tell_of_progress_and_of_a_changed_list(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, until something changes."""
    monkeypatch.setattr(events, "_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(events, "_BOARD_SECONDS", 0.0)
    jobs = [[], [{"path": "selected/hero.png", "sentence": "Being worked on: erase, 40%.", "progress": 0.4}]]
    live = LiveEvents(page)
    monkeypatch.setattr(live, "_read", lambda: jobs.pop(0) if len(jobs) > 1 else jobs[0])

    async def listen() -> list[str]:
        stream = live.stream(lambda: False)
        messages = [(await anext(stream)).decode() for _ in range(6)]
        assert live.listener_count == 1
        await stream.aclose()
        return messages

    messages = [text for text in asyncio.run(listen()) if text.startswith("event")]
    assert [text.partition("\n")[0] for text in messages] == ["event: progress", "event: board", "event: progress"]
    assert json.loads(messages[2].partition("data: ")[2])[0]["progress"] == 0.4
    assert live.listener_count == 0


def test_the_live_view_ends_with_its_session(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that was signed out elsewhere sees nothing more; and watching does not lengthen a session."""
    monkeypatch.setattr(events, "_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(events, "_BOARD_SECONDS", 0.0)
    now = [0.0]
    monkeypatch.setattr(page.access, "_clock", lambda: now[0])

    def visitor() -> Visitor:
        cookie = page.access.sign_in_by_key(page.access.sign_in_key, "")
        signed_in = page.access.visitor({"type": "http", "headers": [(b"cookie", f"goldsmith={cookie}".encode())]})
        assert signed_in is not None
        return signed_in

    async def count_messages(watcher: Visitor, end: Callable[[], None]) -> int:
        count = 0
        async for _ in LiveEvents(page).stream(lambda: page.access.has_ended(watcher)):
            count += 1
            if count == 4:
                end()
        return count

    first, second = visitor(), visitor()
    assert asyncio.run(count_messages(first, lambda: page.access.sign_out(second, everywhere=True))) < 8
    now[0] = 12 * 3600 - 1.0
    third = visitor()
    assert asyncio.run(count_messages(third, lambda: now.__setitem__(0, now[0] + 12 * 3600 + 1))) < 8


def test_too_many_listeners_are_refused(page: Page) -> None:
    """Each costs a connection."""
    client = signed_in_client(page)
    client.app.state.live_events = live = LiveEvents(page)  # type: ignore[attr-defined]
    live.listener_count = events.MAX_LISTENERS
    assert client.get("/events").status_code == 503


def test_a_bug_shows_a_sentence_and_no_traceback(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the headers of every answer."""

    async def fail() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(page.board, "current", fail)
    answer = signed_in_client(page).get("/", headers=AS_BROWSER)
    assert (answer.status_code, "secret detail" in answer.text) == (500, False)
    assert "The page has a fault" in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_no_template_has_code_or_style_of_its_own() -> None:
    """The policy of every answer forbids it, so it would silently not work; and nothing comes from another site."""
    for template in (WEB_FOLDER / "templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)|\son[a-z]+=|\sstyle=|<style|javascript:|\|\s*safe\b|https?://", text), (
            template
        )
    for file in (WEB_FOLDER / "static").rglob("*.*"):
        if file.suffix in (".js", ".css"):
            assert not re.search(r"\beval\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?://|@import", file.read_text()), (
                file
            )


def test_the_daemon_and_the_command_line_know_nothing_of_the_page() -> None:
    """Neither imports it nor its libraries."""
    names = ["goldsmith.web", "starlette", "uvicorn", "jinja2"]
    modules = f"print([name for name in {names!r} if name in sys.modules])"
    code = f"import sys, goldsmith.service.service, goldsmith.cli.app; goldsmith.cli.app.build_app(); {modules}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# ---------------------------------------------------------------------- the command


def test_beyond_this_computer_the_command_needs_passwords(root: Path) -> None:
    """It says which setting is missing, and where."""
    result = CliRunner().invoke(build_app(), ["web", "--root", str(root), "--host", "0.0.0.0"])  # noqa: S104 - it is refused
    assert "needs people with passwords, or proxy_header" in str(result.exception)


def test_a_port_that_is_taken_is_said(root: Path) -> None:
    """With its number and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(build_app(), ["web", "--root", str(root), "--port", str(port)])
    assert f"port {port}: Address already in use. Name another address with --host" in str(result.exception)


def test_a_password_is_printed_as_a_hash() -> None:
    """It is asked for twice, and never shown."""
    result = CliRunner().invoke(build_app(), ["web", "--hash-password"], input="amber and oak\namber and oak\n")
    (line,) = re.findall(r"scrypt\S+", result.output)
    assert check_password("amber and oak", line)
    assert "amber" not in result.output


def test_the_program_prints_its_link_serves_within_its_memory_and_ends(root: Path) -> None:
    """The link opens the page; a thousand pictures need less than 80 MiB; SIGTERM ends it."""
    for number in range(1000):
        (root / "inbox" / f"{number:04d}.png").write_bytes(b"x")
    command = [sys.executable, "-m", "goldsmith", "web", "--root", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        assert process.stdout is not None
        link = re.search(r"http://127\.0\.0\.1:\d+/sign-in\?key=\S+", process.stdout.readline())
        assert link is not None
        with httpx2.Client(timeout=600) as client:
            assert client.get(link[0], headers=AS_BROWSER).status_code == 200
            home = link[0].partition("/sign-in")[0]
            for _ in range(5):
                assert "1,000 pictures" in client.get(home, headers=AS_BROWSER).text
        resident = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[0]) / 1024
        process.send_signal(signal.SIGTERM)
        # uvicorn stops in good order, then ends by the signal that it got: systemd counts both as success.
        assert process.wait() in (0, -signal.SIGTERM)
    assert resident < MAX_RESIDENT_MIB


def test_the_settings_of_the_file_reach_the_page(root: Path) -> None:
    """People in [web] of goldsmith.toml can sign in."""
    (root / "config").mkdir()
    (root / "config/goldsmith.toml").write_text('[web.people.bertha]\nrole = "decide"\n\n[web.people.carl]\n')
    from goldsmith.service.setup import load_setup

    settings = load_setup(root).settings.web
    assert {name: account.role for name, account in settings.people.items()} == {"bertha": "decide", "carl": "look"}
    assert make_page(root, people=settings.model_dump()["people"]).access.sign_in_key == ""
