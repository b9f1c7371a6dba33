"""The server of the page: uvicorn, with a time limit for the head of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.applications import Starlette

# Seconds in which the head of a request must arrive. uvicorn has no such limit.
HEAD_SECONDS = 10.0
_MAX_CONNECTIONS = 256
_STOP_SECONDS = 3


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request head does not arrive in time (the attack called slow loris)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Handle data; while the head of a request is incomplete, its time runs."""
        was_busy = self._is_busy()
        super().data_received(data)
        if self._is_busy():
            self._stop_timer()
        elif not was_busy:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._is_busy() and not self.transport.is_closing():
            self.transport.close()


def build_server(app: Starlette) -> uvicorn.Server:
    """Return the server; ``run`` serves on sockets until it is told to stop."""
    options: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,  # ``access`` reads them, and believes them from the proxy alone
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": _STOP_SECONDS,
        "limit_concurrency": _MAX_CONNECTIONS,
        "h11_max_incomplete_event_size": 32 * 1024,
        "lifespan": "on",
        "ws": "none",
        "loop": "asyncio",
    }
    return uvicorn.Server(uvicorn.Config(app, http=PatientProtocol, **options))
