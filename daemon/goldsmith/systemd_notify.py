"""A word to systemd: ready, reloading, alive."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable


class SystemdNotifier:
    """systemd's readiness protocol: datagrams to the socket in NOTIFY_SOCKET (sd_notify(3)); silent where there is none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        self._last_ping_at: float | None = None
        # Seconds after which systemd takes silence for a hang; 0 = it does not ask.
        self._watchdog_timeout = int(os.environ.get("WATCHDOG_USEC", "0") or 0) / 1e6

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds that may pass between two pets: a third of what systemd allows; None where it does not ask."""
        return self._watchdog_timeout / 3 if self._watchdog_timeout else None

    def ready(self) -> None:
        """The folders are being watched."""
        self._send("READY=1")

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={sentence}".replace("\n", " "))

    def reloading(self) -> None:
        """SIGHUP was taken; ``ready`` follows. Type=notify-reload wants the monotonic time beside it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """SIGTERM was taken."""
        self._send("STOPPING=1")

    def ping_watchdog(self) -> None:
        """The loop turns. Called each turn; says so no more often than is asked for."""
        if not self._watchdog_timeout:
            return
        now = self._clock()
        if self._last_ping_at is None or now - self._last_ping_at >= self._watchdog_timeout / 4:
            self._last_ping_at = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender, contextlib.suppress(OSError):
            sender.sendto(message.encode("utf-8", "replace"), address)
