"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.yard import ManualClock
from goldsmith.systemd_notify import SystemdNotifier

Words = Callable[[], list[str]]


@pytest.fixture(params=["path", "abstract"])
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Words]:
    """Everything that was said since the last call."""
    base = tmp_path_factory.mktemp("n")
    address = str(base / "s") if request.param == "path" else f"@goldsmith-test-{base.name}-{id(base)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + address[1:] if address.startswith("@") else address)
        ear.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)

        def heard() -> list[str]:
            found = []
            try:
                while True:
                    found.append(ear.recv(4096).decode())
            except BlockingIOError:
                return found

        yield heard


def test_each_word_is_one_datagram(words: Words) -> None:
    """Ready, status on one line, reloading with the monotonic time, stopping."""
    notify = SystemdNotifier()
    notify.ready()
    notify.status("Watching\nthe folders.")
    notify.reloading()
    notify.stopping()
    ready, status, reloading, stopping = words()
    assert (ready, status, stopping) == ("READY=1", "STATUS=Watching the folders.", "STOPPING=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(reloading.rpartition("=")[2]) > 0


def test_the_watchdog_is_petted_no_more_often_than_is_asked(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of what systemd allows lies between two pets; the loop turns at least three times in it."""
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    clock = ManualClock()
    notify = SystemdNotifier(clock)
    assert notify.watchdog_interval == pytest.approx(8 / 3)
    said = []
    for later in (0.0, 1.0, 0.9, 0.2, 5.0):
        clock.now += later
        notify.ping_watchdog()
        said.append(len(words()))
    assert said == [1, 0, 0, 1, 1]


def test_without_a_watchdog_nobody_is_petted(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the loop may sleep for as long as it likes."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    notify = SystemdNotifier()
    notify.ping_watchdog()
    assert (words(), notify.watchdog_interval) == ([], None)


def test_a_listener_that_is_gone_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is it that there never was one."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    SystemdNotifier().ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    SystemdNotifier().ready()
