"""``goldsmith metrics`` answers beside the daemon, also when the daemon does not run, and only those who may ask."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, WriteState
from doubles.studio import Daemon, Studio
from goldsmith.brief.settings import MetricsSettings
from goldsmith.errors import HostError, UsageError
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.monitoring.loop_probe import LoopProbe
from goldsmith.service.metrics_service import MetricsService, read_token
from goldsmith.service.setup import load_setup

TOKEN = "0123456789abcdef-token"  # noqa: S105 - made up


def set_address(root: Path, text: str) -> None:
    (root / "config" / "goldsmith.toml").write_text(f"[metrics]\n{text}\n")


@contextlib.contextmanager
def answering(root: Path, token: str = "") -> Iterator[MetricsService]:
    """Yield the service on a free port; its pages are asked for directly or by HTTP."""
    setup = load_setup(root)
    free = setup.settings.metrics.model_copy(update={"listen": "127.0.0.1:0"})
    setup = replace(setup, settings=setup.settings.model_copy(update={"metrics": free}))
    with contextlib.closing(MetricsService(setup, token)) as service:
        thread = threading.Thread(target=service.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.server.shutdown()
            thread.join()


def ask(service: MetricsService, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", service.server.server_address[1], timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_a_service_that_does_not_run_is_not_healthy_and_has_figures(root: Path, journal: Journal) -> None:
    """The figures say so, too."""
    with answering(root) as service:
        assert ask(service, "/healthz") == (503, "Goldsmith is not running on these folders.\n")
        status, text = ask(service, "/metrics")
        assert status == 200
        assert "\ngoldsmith_up 0.0\n" in text
        assert "\ngoldsmith_healthy 0.0\n" in text
        assert 'goldsmith_queued_jobs{queue="cpu"} 0.0' in text


def test_a_loop_that_turns_is_healthy(root: Path, journal: Journal, write_daemon_state: WriteState) -> None:
    """Its answer is used for two seconds: not every request wakes it."""
    stop = threading.Event()
    with contextlib.closing(LoopProbe(journal)) as probe, answering(root) as service:
        # The journal belongs to this thread: so that the other one may answer, it does not test it.
        probe._test_journal = lambda: ""  # type: ignore[method-assign]

        def turn() -> None:
            while not stop.wait(0.01):
                probe.answer()

        loop = threading.Thread(target=turn)
        loop.start()
        try:
            assert ask(service, "/healthz") == (200, "Goldsmith is healthy.\n")
        finally:
            stop.set()
            loop.join()
        assert ask(service, "/healthz")[0] == 200


def test_without_a_journal_there_are_figures_all_the_same(root: Path) -> None:
    """No daemon has ever run here."""
    with answering(root) as service:
        status, text = ask(service, "/metrics")
        assert (status, "goldsmith_up 0.0" in text, "goldsmith_queued_jobs{" in text) == (200, True, False)


def test_a_broken_journal_ends_nothing(root: Path, journal: Journal) -> None:
    """The health says what is wrong; the figures that need it are left out."""
    journal.close()
    journal.path.with_name("journal.sqlite-wal").unlink(missing_ok=True)
    journal.path.write_bytes(b"no database" * 1000)
    with answering(root) as service:
        status, text = ask(service, "/metrics")
        assert (status, "goldsmith_queued_jobs{" in text) == (200, False)


def test_without_the_library_the_health_is_still_answered(root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default install does not have it."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "goldsmith.pipeline.monitoring.service_metrics", raising=False)
    with answering(root) as service:
        assert ask(service, "/metrics") == (503, "The figures need the extra metrics: pip install 'goldsmith[metrics]'.\n")
        assert ask(service, "/healthz")[0] == 503


def test_beyond_this_computer_it_needs_a_token(root: Path, journal: Journal, goldsmith: Goldsmith) -> None:
    """It does not start without one."""
    set_address(root, 'listen = "0.0.0.0:59464"')
    result = goldsmith("metrics", "-r", root)
    assert (result.code, "can be reached from other computers, and there is no token." in result.err) == (2, True)
    setup = load_setup(root)
    with contextlib.closing(MetricsService(setup, TOKEN)) as service:
        assert not service.server.is_local
    with answering(root, TOKEN) as service:
        assert ask(service, "/healthz")[0] == 401
        assert ask(service, "/healthz", Authorization=f"Bearer {TOKEN}")[0] == 503


def test_an_address_that_is_taken_is_a_fault_of_the_computer(root: Path) -> None:
    """The unit is started again and again until it is free."""
    with answering(root) as service:
        set_address(root, f'listen = "127.0.0.1:{service.server.server_address[1]}"')
        with pytest.raises(HostError, match="cannot be used: Address already in use"):
            MetricsService(load_setup(root), "")


def test_the_token_is_read_from_its_file_or_from_a_credential(tmp_path: Path) -> None:
    """A short one is refused, and so is a file that cannot be read; without a credential there is none."""
    file = tmp_path / "metrics-token"
    file.write_text(f"{TOKEN}\n")
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_token(MetricsSettings(token_file=file), {}) == read_token(MetricsSettings(), credentials) == TOKEN
    assert read_token(MetricsSettings(), {}) == read_token(MetricsSettings(), {"CREDENTIALS_DIRECTORY": str(tmp_path / "x")}) == ""
    file.write_text("short")
    with pytest.raises(UsageError, match="fewer than 16 characters"):
        read_token(MetricsSettings(token_file=file), {})
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_token(MetricsSettings(token_file=tmp_path / "gone"), {})


def test_a_real_daemon_is_healthy_until_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop is woken and answers; its end is seen. SIGSTOP stands for a loop that hangs."""
    studio = Studio(tmp_path)
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(studio.state_dir))
    monkeypatch.setattr("goldsmith.service.metrics_service._HEALTH_SECONDS", 0.0)
    daemon = Daemon(studio).until_ready()
    try:
        with answering(studio.root) as service:
            assert ask(service, "/healthz") == (200, "Goldsmith is healthy.\n")
            assert "\ngoldsmith_healthy 1.0\n" in ask(service, "/metrics")[1]
            monkeypatch.setattr("goldsmith.pipeline.monitoring.health.find_fault.__defaults__", (0.2,))
            os.kill(daemon.pid, signal.SIGSTOP)
            status, sentence = ask(service, "/healthz")
            assert (status, "does not answer" in sentence) == (503, True)
            os.kill(daemon.pid, signal.SIGCONT)
            daemon.kill()
            daemon.process.wait()
            assert ask(service, "/healthz") == (503, "Goldsmith is not running on these folders.\n")
    finally:
        daemon.kill()


def test_the_program_runs_until_sigterm(root: Path, journal: Journal, tmp_path: Path) -> None:
    """It says where it answers."""
    with answering(root) as service:
        port = service.server.server_address[1]
    set_address(root, f'listen = "127.0.0.1:{port}"')
    command = [sys.executable, "-m", "goldsmith", "metrics", "--root", str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ}) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
    assert (process.returncode, f"127.0.0.1:{port}" in line) == (0, True)
