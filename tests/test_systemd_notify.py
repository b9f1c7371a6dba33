"""The messages to systemd, on a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.yard import ManualClock
from goldsmith.service.systemd_notify import SystemdNotifier

TakeMessages = Callable[[], list[str]]


@pytest.fixture(params=["path", "abstract"])
def take_messages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TakeMessages]:
    """Return a function that returns the messages since its last call."""
    base = tmp_path_factory.mktemp("n")
    address = str(base / "s") if request.param == "path" else f"@goldsmith-test-{base.name}-{id(base)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + address[1:] if address.startswith("@") else address)
        server.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)

        def take() -> list[str]:
            messages = []
            try:
                while True:
                    messages.append(server.recv(4096).decode())
            except BlockingIOError:
                return messages

        yield take


def test_each_message_is_one_datagram(take_messages: TakeMessages) -> None:
    """Check ready, status on one line, reloading with the monotonic time, and stopping."""
    notify = SystemdNotifier()
    notify.ready()
    notify.status("Watching\nthe folders.")
    notify.reloading()
    notify.stopping()
    ready, status, reloading, stopping = take_messages()
    assert (ready, status, stopping) == ("READY=1", "STATUS=Watching the folders.", "STOPPING=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(reloading.rpartition("=")[2]) > 0


def test_the_watchdog_is_pinged_at_most_once_per_quarter_of_its_time(take_messages: TakeMessages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval of the main loop is a third of systemd's time limit."""
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    clock = ManualClock()
    notify = SystemdNotifier(clock)
    assert notify.watchdog_interval == pytest.approx(8 / 3)
    counts = []
    for seconds in (0.0, 1.0, 0.9, 0.2, 5.0):
        clock.now += seconds
        notify.ping_watchdog()
        counts.append(len(take_messages()))
    assert counts == [1, 0, 0, 1, 1]


def test_without_a_watchdog_there_is_no_ping_and_no_interval(take_messages: TakeMessages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main loop may then sleep without limit."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    notify = SystemdNotifier()
    notify.ping_watchdog()
    assert (take_messages(), notify.watchdog_interval) == ([], None)


def test_a_missing_notify_socket_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notify a socket that does not exist, and without a socket in the environment."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    SystemdNotifier().ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    SystemdNotifier().ready()


def test_a_long_start_asks_for_more_time_every_five_seconds(take_messages: TakeMessages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recovery may copy large files before the daemon is ready. It pings the watchdog as well."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    clock = ManualClock()
    notify = SystemdNotifier(clock)
    for seconds in (0.0, 1.0, 4.0, 4.9):
        clock.now += seconds
        notify.keep_starting()
    assert take_messages() == ["WATCHDOG=1", "EXTEND_TIMEOUT_USEC=90000000", "EXTEND_TIMEOUT_USEC=90000000"]
