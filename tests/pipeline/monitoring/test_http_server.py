"""The server answers two pages to those who may ask, and keeps its limits."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from goldsmith.pipeline.monitoring import http_server
from goldsmith.pipeline.monitoring.http_server import MonitoringPage, MonitoringServer, text_page

TOKEN = "0123456789abcdef-token"  # noqa: S105 - made up


@contextmanager
def running(token: str = "", page: Callable[[], MonitoringPage] | None = None) -> Iterator[int]:
    """Yield the port of a server with one page."""
    server = MonitoringServer(("127.0.0.1", 0), {"/metrics": page or (lambda: text_page(HTTPStatus.OK, "Figures."))}, token)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_the_page_is_answered_and_no_other() -> None:
    """HEAD has no body; other methods and paths are refused."""
    with running() as port:
        assert ask(port) == (200, "Figures.\n")
        assert ask(port, "/metrics?x=1") == (200, "Figures.\n")
        assert ask(port, method="HEAD") == (200, "")
        assert ask(port, "/../etc/passwd")[0] == 404
        assert ask(port, method="POST")[0] == 501


def test_on_this_computer_a_foreign_host_is_refused() -> None:
    """A page on the web could otherwise ask through the browser of somebody here (DNS rebinding)."""
    with running() as port:
        allowed = ["localhost", f"127.0.0.1:{port}", "[::1]:9464", "[::1]", "LOCALHOST:1"]
        assert [ask(port, Host=host)[0] for host in allowed] == [200] * len(allowed)
        refused = ["evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8"]
        assert [ask(port, Host=host)[0] for host in refused] == [403] * len(refused)


def test_with_a_token_only_those_who_bring_it_are_answered() -> None:
    """Whatever the host; the answer says how to bring it."""
    with running(TOKEN) as port:
        assert ask(port, Authorization=f"Bearer {TOKEN}", Host="metrics.example") == (200, "Figures.\n")
        wrong = ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer \u00e4"]
        assert [ask(port, Authorization=value)[0] for value in wrong] == [401] * len(wrong)


def test_somebody_who_asks_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no thread for ever."""
    monkeypatch.setattr(http_server, "_REQUEST_SECONDS", 0.2)
    with running() as port, socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
        assert slow.recv(1000) == b""
        assert ask(port) == (200, "Figures.\n")


def test_too_many_requests_at_once_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before them are answered, and so is the next one."""
    monkeypatch.setattr(http_server, "_MAX_REQUESTS", 2)
    may_go, arrived = threading.Event(), threading.Semaphore(0)

    def slow_page() -> MonitoringPage:
        arrived.release()
        may_go.wait(60)
        return text_page(HTTPStatus.OK, "Figures.")

    answers: list[tuple[int, str]] = []
    with running(page=slow_page) as port:
        threads = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(2)]
        for thread in threads:
            thread.start()
            arrived.acquire()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(port)
        may_go.set()
        for thread in threads:
            thread.join()
        assert answers == [(200, "Figures.\n")] * 2
