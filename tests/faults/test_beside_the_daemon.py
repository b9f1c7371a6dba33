"""The programs beside the daemon as their units run them: the service's user, the units' system-call filters, and no right to write."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles import service_user, unit_filters
from doubles.commission import EXPORT, SELECT
from doubles.hook import running_hook
from doubles.pictures import png
from doubles.shared_studio import PYTHON_PATH, SERVICE, STUDIO, drop, find_obstacle, run_service, shared_studio
from doubles.studio import DEADLINE, Studio

UNITS = unit_filters.UNIT.parent

pytestmark = [pytest.mark.soak, pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle() or "all tools are there")]


@contextlib.contextmanager
def program(studio: Studio, command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``goldsmith COMMAND`` behind the filters of its unit, and end it with SIGTERM."""
    unit = UNITS / f"goldsmith-{command}.service"
    words = [*service_user.program(SERVICE, (SERVICE, STUDIO), unit), command, "--root", str(studio.root)]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "GOLDSMITH_STATE_DIR": str(studio.state_dir)}
    with log.open("wb") as output, subprocess.Popen([sys.executable, "-P", *words], stderr=output, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0, log.read_text()


def ask(port: int, page: str) -> str:
    """Return an answer, or "" while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()
    except OSError:
        return ""


def test_notices_go_out_with_a_preview_and_health_is_answered(tmp_path: Path) -> None:
    """The daemon has no network, and these two programs have no right that it does not have."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with shared_studio() as studio, running_hook() as hook:
        settings = f'[[notify]]\nurl = "{hook.url}"\non = ["problem"]\ndigest_minutes = 0\n[metrics]\nlisten = "127.0.0.1:{port}"\n'
        (studio.root / "config" / "goldsmith.toml").write_text(settings)
        with run_service(studio) as daemon:
            daemon.until_ready()
            with (
                program(studio, "metrics", tmp_path / "metrics.log") as metrics,
                program(studio, "notify", tmp_path / "notify.log") as notify,
            ):

                def until(done: Callable[[], object], why: str) -> None:
                    daemon.until(lambda: metrics.poll() is not None or notify.poll() is not None or done(), why)
                    assert metrics.poll() is notify.poll() is None, "".join(log.read_text() for log in tmp_path.glob("*.log"))

                until(lambda: list(studio.state_dir.glob("*/notices.sqlite")), "the first look of goldsmith notify")
                drop(studio, {"inbox/acme/a.png": png(), "inbox/acme/a.toml": f"{SELECT}min_side = 30000\n{EXPORT}".encode()})
                until(lambda: daemon.events_of("held"), "a held picture")
                until(lambda: ask(port, "healthz") == "Goldsmith is healthy.\n", "an answer")
                assert 'goldsmith_held_pictures{folder="inbox"} 1.0' in ask(port, "metrics")
                until(lambda: hook.messages, "a message")
        (message,) = hook.messages
        assert message["title"] == "Problem: a"
        assert [picture[:3] for picture in hook.pictures()] == [b"\xff\xd8\xff"]
