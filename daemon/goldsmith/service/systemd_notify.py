"""Notifies systemd of the daemon's state: ready, reloading, stopping, alive."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Callable

from goldsmith.files import display_text

# A start that takes long asks systemd for this much more time, this often.
_EXTENSION_SECONDS = 90
_EXTENSION_INTERVAL_SECONDS = 5.0


class SystemdNotifier:
    """Sends sd_notify(3) messages to the socket in NOTIFY_SOCKET. Without that variable, it does nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        self._last_ping_at: float | None = None
        self._last_extension_at = -math.inf
        # Seconds without a ping after which systemd restarts the service; 0 = no watchdog.
        self._watchdog_timeout = int(os.environ.get("WATCHDOG_USEC", "0") or 0) / 1e6

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two pings: a third of systemd's limit; None if the watchdog is off."""
        return self._watchdog_timeout / 3 if self._watchdog_timeout else None

    def ready(self) -> None:
        """Report that the folders are being watched."""
        self._send("READY=1")

    def status(self, sentence: str) -> None:
        """Set the sentence that `systemctl status` shows."""
        self._send(f"STATUS={display_text(sentence)}".replace("\n", " "))

    def reloading(self) -> None:
        """Report a reload after SIGHUP; ``ready`` follows. Type=notify-reload requires the monotonic time in the message."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1")

    def ping_watchdog(self) -> None:
        """Report that the main loop is alive, unless the last ping is less than a quarter of systemd's limit old."""
        if not self._watchdog_timeout:
            return
        now = self._clock()
        if self._last_ping_at is None or now - self._last_ping_at >= self._watchdog_timeout / 4:
            self._last_ping_at = now
            self._send("WATCHDOG=1")

    def keep_starting(self) -> None:
        """Report that a long start goes on: systemd waits as long again for the next report. Call it often; it reports every 5 s."""
        self.ping_watchdog()
        now = self._clock()
        if now - self._last_extension_at >= _EXTENSION_INTERVAL_SECONDS:
            self._last_extension_at = now
            self._send(f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * 1_000_000}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(message.encode("utf-8", "replace"), address)
