"""The program that answers Prometheus: reads journal and state file when it is asked, and changes nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from goldsmith.brief.settings import MetricsSettings
from goldsmith.errors import GoldsmithError, HostError, UsageError
from goldsmith.files import display_text
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.pipeline.monitoring.health import find_fault
from goldsmith.pipeline.monitoring.http_server import MonitoringPage, MonitoringServer, text_page
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, read_daemon_state
from goldsmith.service.setup import Setup
from goldsmith.service.stop_signals import stop_signals
from goldsmith.service.systemd_notify import SystemdNotifier

if TYPE_CHECKING:
    from goldsmith.pipeline.monitoring.service_metrics import ServiceMetrics

TOKEN_CREDENTIAL = "metrics-token"  # noqa: S105 - the name of a credential
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NOT_INSTALLED = "The figures need the extra metrics: pip install 'goldsmith[metrics]'."
_MAX_TOKEN_BYTES = 4096
_MIN_TOKEN_CHARS = 16
# An answer about the health is used again for so long, in seconds: each one wakes the daemon.
_HEALTH_SECONDS = 2.0


class MetricsService:
    """Answers ``/metrics`` and ``/healthz`` for one root."""

    def __init__(self, setup: Setup, token: str, wall_clock: Callable[[], float] = time.time) -> None:
        """Raises UsageError if the address needs a token and there is none, and HostError if the address cannot be used."""
        self._setup = setup
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._metrics = self._create_metrics()
        # When the health was found out, and what it was.
        self._health: tuple[float, DaemonState, str] | None = None
        host, _, port = setup.settings.metrics.listen.rpartition(":")
        address = (host.removeprefix("[").removesuffix("]"), int(port))
        try:
            self.server = MonitoringServer(address, {"/metrics": self.metrics_page, "/healthz": self.health_page}, token)
        except OSError as error:
            raise HostError(
                f"{setup.settings.metrics.listen} cannot be used: {error.strerror}.", "Set metrics.listen to a free address."
            ) from None
        if not self.server.is_local and not token:
            self.server.server_close()
            raise UsageError(
                f"{setup.settings.metrics.listen} can be reached from other computers, and there is no token.",
                f"Set metrics.token_file, give the unit LoadCredential={TOKEN_CREDENTIAL}:FILE, or listen on 127.0.0.1.",
            )

    def run(self) -> None:
        """Answer until SIGTERM or Ctrl-C."""
        # Its interval is for its own end, for which nobody waits: the process ends with this thread.
        thread = threading.Thread(target=self.server.serve_forever, args=(3600.0,), name="monitoring", daemon=True)
        notify = SystemdNotifier()
        with stop_signals() as signals, contextlib.closing(self):
            self.refresh_counters()
            thread.start()
            notify.ready()
            structlog.get_logger("goldsmith").info("answering", address=self._setup.settings.metrics.listen, until="Ctrl-C or SIGTERM")
            while not signals.is_requested:
                signals.wait(3600.0)

    def close(self) -> None:
        self.server.server_close()

    def refresh_counters(self) -> None:
        """Find out where the counters begin, so that they count from now on and not from the first scrape."""
        self.metrics_page()

    @property
    def _journal_file(self) -> Path:
        return journal_path(self._setup.root, self._setup.settings.state_dir)

    def _create_metrics(self) -> ServiceMetrics | None:
        """Return the figures; None without the library that keeps them."""
        try:
            from goldsmith.pipeline.monitoring.service_metrics import ServiceMetrics
        except ImportError:
            return None
        setup = self._setup
        places = {"root": setup.root, "state": self._journal_file.parent, "models": setup.weights.folder}
        return ServiceMetrics(setup.root, setup.pipeline, places, self._journal_file)

    def health_page(self) -> MonitoringPage:
        """Return 200, or 503 with the sentence that says what is wrong."""
        with self._lock:
            _, fault = self._find_health()
        return (
            text_page(HTTPStatus.SERVICE_UNAVAILABLE, display_text(fault)) if fault else text_page(HTTPStatus.OK, "Goldsmith is healthy.")
        )

    def metrics_page(self) -> MonitoringPage:
        """Return the figures, or 503 with the sentence that says why there are none."""
        if self._metrics is None:
            return text_page(HTTPStatus.SERVICE_UNAVAILABLE, _NOT_INSTALLED)
        from goldsmith.pipeline.monitoring.service_metrics import Snapshot

        with self._lock, contextlib.ExitStack() as stack:
            daemon, fault = self._find_health()
            try:
                journal = None
                if self._journal_file.exists():
                    journal = stack.enter_context(contextlib.closing(Journal.open(self._journal_file, read_only=True)))
                body = self._metrics.render(Snapshot(daemon, fault, journal, self._wall_clock()))
            except (GoldsmithError, OSError):  # the health says what is wrong with the journal
                body = self._metrics.render(Snapshot(daemon, fault, None, self._wall_clock()))
        return MonitoringPage(HTTPStatus.OK, _METRICS_TYPE, body)

    def _find_health(self) -> tuple[DaemonState, str]:
        now = time.monotonic()
        if self._health is None or now - self._health[0] > _HEALTH_SECONDS:
            folder = self._journal_file.parent
            daemon = read_daemon_state(self._setup.root, folder / STATE_FILE)
            self._health = (now, daemon, find_fault(self._setup.root, folder, daemon))
        return self._health[1:]


def read_token(settings: MetricsSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Return the token that requests must bring; "" if none is set. Raises UsageError if its file cannot be used."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    file = settings.token_file or (Path(folder, TOKEN_CREDENTIAL) if folder else None)
    if file is None or (settings.token_file is None and not file.exists()):
        return ""
    try:
        with file.open("rb") as opened:
            token = opened.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise UsageError(f"The file of the token, {file}, cannot be read: {reason}.", "Let the service's user read it.") from None
    if len(token) < _MIN_TOKEN_CHARS:
        raise UsageError(f"The token in {file} has fewer than {_MIN_TOKEN_CHARS} characters.", f"Run: openssl rand -hex 32 > {file}")
    return token
