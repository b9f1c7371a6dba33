"""The small HTTP server of `goldsmith metrics`: two pages, read only, with limits in time and number for whoever asks."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

# How long one request may take, and how many may be under way at once.
_REQUEST_SECONDS = 20.0
_MAX_REQUESTS = 8
_LOCAL_NAMES = ("localhost", "localhost.localdomain")


class MonitoringPage(NamedTuple):
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class MonitoringServer(ThreadingHTTPServer):
    """Answers ``/metrics`` and ``/healthz``. ``token``: what a request must bring in its header Authorization; "" = nothing."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], MonitoringPage]], token: str) -> None:
        """Raises OSError if the address cannot be used."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self.token = token
        self.is_local = ipaddress.ip_address(address[0]).is_loopback
        self._slots = threading.BoundedSemaphore(_MAX_REQUESTS)
        super().__init__(address, _Answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own. Of too many requests at once, the last is closed."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and end the connection of somebody who takes too long to ask or to read."""
        timer = threading.Timer(_REQUEST_SECONDS, _end_connection, (request,))
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""


def _end_connection(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Answer(BaseHTTPRequestHandler):
    server: MonitoringServer
    server_version = "Goldsmith"
    sys_version = ""
    timeout = 5

    def do_GET(self) -> None:
        page = self._find_page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if page.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the signature of http.server
        """Log nothing: a scrape every few seconds would fill the log."""

    def _find_page(self) -> MonitoringPage:
        """Return the page that is asked for. On the computer itself a foreign Host is refused: a web page may have sent the request."""
        if self.server.is_local and not self.server.token and not _is_local_host(self.headers.get("Host", "")):
            return text_page(HTTPStatus.FORBIDDEN, "Ask for this computer by its address.")
        if self.server.token and not self._has_token():
            return text_page(HTTPStatus.UNAUTHORIZED, "Send the token in the header Authorization: Bearer TOKEN.")
        page = self.server.pages.get(self.path.partition("?")[0])
        return page() if page is not None else text_page(HTTPStatus.NOT_FOUND, "There are /metrics and /healthz.")

    def _has_token(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.server.token.encode())


def text_page(status: HTTPStatus, sentence: str) -> MonitoringPage:
    """Return a page with one sentence."""
    return MonitoringPage(status, "text/plain; charset=utf-8", f"{sentence}\n".encode("utf-8", "replace"))


def _is_local_host(host: str) -> bool:
    """Return whether a Host header names this computer: no header, its loopback address, or localhost."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    try:
        return not host or ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return name.casefold() in _LOCAL_NAMES
