"""A service that takes notices, on this computer: Apprise reaches it as ``json://127.0.0.1:PORT/secret-path``."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

SECRET = "s3cret-key-of-the-studio"  # noqa: S105 - made up


class Hook(HTTPServer):
    """Collects the messages. ``refuses``: the status with which it answers, 0 = it takes them; with ``takes_pictures`` False, those too."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[dict[str, Any]] = []
        self.refuses = 0
        self.takes_pictures = True

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_address[1]}/{SECRET}"

    @property
    def bodies(self) -> list[str]:
        return [message["message"] for message in self.messages]

    def pictures(self, number: int = -1) -> list[bytes]:
        """Return the pictures of a message."""
        return [base64.b64decode(each["base64"]) for each in self.messages[number]["attachments"]]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.refuses or (413 if message["attachments"] and not self.server.takes_pictures else 200)
        if status == 200:
            self.server.messages.append(message)
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the signature of http.server
        """Log nothing."""


@contextlib.contextmanager
def running_hook() -> Iterator[Hook]:
    """Yield a service that runs in a thread."""
    hook = Hook()
    thread = threading.Thread(target=hook.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.shutdown()
        thread.join()
        hook.server_close()
