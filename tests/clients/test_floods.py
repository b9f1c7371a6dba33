"""More files at once than the daemon can keep up with: thousands of files, and an overflow of the event queue."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clients import pictures
from clients.watched import Drop, Watched

# Seconds until the test gives up. Alone on two cores, 20,000 pictures took 58.
MAX_SECONDS = 30 * 60.0
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_IN_CREATE, _IN_DELETE, _IN_Q_OVERFLOW = 0x100, 0x200, 0x4000


@pytest.mark.timeout(2 * MAX_SECONDS)
@pytest.mark.parametrize("count", [1_000, *(pytest.param(count, marks=pytest.mark.soak) for count in (4_000, 20_000))])
def test_thousands_of_files_at_once(watched: Watched, count: int) -> None:
    """Small pictures of one size differ only in their bytes, and each is taken once."""
    _flood(watched.drop(f"flood_{count}"), count)


@pytest.mark.skipif(not _QUEUE.exists() or int(_QUEUE.read_text()) > 200_000, reason="the event queue is not of the usual length")
def test_an_overflow_of_the_event_queue(watched: Watched) -> None:
    """Files whose events were lost are found, even in folders whose own events were lost."""
    drop = watched.drop("overflow")
    drop.expect(drop.copy_in(drop.picture("before.png")))
    drop.wait_until_taken()
    with _stopped(watched), _unread_watch(drop.inbox) as overflowed:
        litter = drop.inbox / "litter.tmp"
        for _ in range(int(_QUEUE.read_text()) // 2 + 1):
            litter.touch()
            litter.unlink()
        assert overflowed()
        for number in range(50):
            source = drop.picture(f"hero{number}.png", side=16)
            drop.expect(drop.copy_in(source))
            (drop.inbox / f"folder{number}" / "deep").mkdir(parents=True)
            drop.expect(drop.copy_in(drop.picture(f"deep{number}.png", side=16), f"folder{number}/deep/{source.name}"))
    drop.verify()
    for number in range(50):  # the folders made meanwhile are watched again
        drop.expect(drop.copy_in(drop.picture(f"after{number}.png", side=16), f"folder{number}/deep/after.png"))
    drop.verify()


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()


def _flood(drop: Drop, count: int) -> None:
    """Copy ``count`` pictures with one `cp`."""
    series = drop.outside / "series"
    series.mkdir()
    for number in range(count):
        data = pictures.grey(number)
        (series / f"{number:05d}.png").write_bytes(data)
        drop.expect(drop.inbox / "series" / f"{number:05d}.png", data)
    drop.run("cp", "-r", series, drop.inbox)
    drop.wait_until_taken(MAX_SECONDS)
    drop.verify()


@contextmanager
def _stopped(watched: Watched) -> Iterator[None]:
    """Stop the daemon within the block."""
    watched.daemon.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, watched.daemon.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        watched.daemon.send_signal(signal.SIGCONT)


@contextmanager
def _unread_watch(folder: Path) -> Iterator[Callable[[], bool]]:
    """Watch the folder without reading the events; yield a function that returns whether that queue has overflowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_CREATE | _IN_DELETE) >= 0, os.strerror(ctypes.get_errno())

    def overflowed() -> bool:
        while read := _read(descriptor):
            at = 0
            while at < len(read):
                _, mask, _, length = struct.unpack_from("iIII", read, at)
                if mask & _IN_Q_OVERFLOW:
                    return True
                at += 16 + length
        return False

    try:
        yield overflowed
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""
