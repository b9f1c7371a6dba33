"""The real daemon as a separate process, observed from outside: its log with times, and the kernel's figures of the process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDERS = ("inbox", "selected", "masked", "graded", "delivered")
# A campaign's brief that moves every picture through all folders without any step.
NULL_BRIEF = "generate = []\nedit = []\ngrade = []\ndeliver = []\n"


def tiny_png(number: int) -> bytes:
    """Return a 16 x 16 grey PNG of about 80 bytes, a different one for each number below 2^24."""
    rows = b"".join(b"\0" + number.to_bytes(3, "big") + bytes(13) for _ in range(16))
    head = struct.pack("!IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def fresh_root(place: Path) -> Path:
    """Return a new root with empty folders, made by ``goldsmith init``."""
    root = place / "hotfolders"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "goldsmith", "init", str(root)], check=True, stdout=subprocess.DEVNULL)
    return root


class Lines:
    """The output of a program, each line with its monotonic time of arrival."""

    def __init__(self, command: list[str], *, stream: str, env: dict[str, str] | None = None) -> None:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
        self.process = subprocess.Popen(command, env=env, **pipes)  # type: ignore[call-overload]
        self.lines: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(getattr(self.process, stream),), daemon=True)
        self._thread.start()

    def _read(self, stream: Iterator[bytes]) -> None:
        for line in stream:
            now = time.monotonic()
            with self._news:
                self.lines.append((now, line.decode("utf-8", "replace").rstrip("\n")))
                self._news.notify_all()

    def wait_for(self, done: Callable[[list[tuple[float, str]]], bool], seconds: float) -> bool:
        """Wait until ``done`` accepts the lines so far. Return False if the time is over before that."""
        with self._news:
            return self._news.wait_for(lambda: done(self.lines), timeout=seconds)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join(10)


class Daemon(Lines):
    """``goldsmith run`` on a root, with default settings. The daemon is ready after the construction of this object."""

    def __init__(self, root: Path, *arguments: str, level: str = "info", patience: float = 120.0) -> None:
        notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"\0goldsmith-bench-{os.getpid()}-{time.monotonic_ns()}"
        notify_socket.bind(address)
        env = dict(os.environ) | {
            "NOTIFY_SOCKET": "@" + address[1:],
            "GOLDSMITH_STATE_DIR": str(root.parent / "state"),
            "GOLDSMITH_LOG_LEVEL": level,
            "GOLDSMITH_LOG_FORMAT": "json",
        }
        self.began = time.monotonic()
        command = [sys.executable, "-m", "goldsmith", "run", "--root", str(root), *arguments]
        super().__init__(command, stream="stderr", env=env)
        with contextlib.closing(notify_socket):
            self.ready_after = self._until_ready(notify_socket, patience)

    def _until_ready(self, notify_socket: socket.socket, patience: float) -> float:
        while time.monotonic() - self.began < patience and self.process.poll() is None:
            if select.select([notify_socket], [], [], 0.25)[0] and b"READY=1" in notify_socket.recv(4096):
                return time.monotonic() - self.began
        raise RuntimeError(f"The daemon did not become ready: {self.lines[-3:]}")

    def events(self, name: str) -> Iterator[tuple[float, dict[str, object]]]:
        """Yield the log entries of this event, each with its time."""
        for moment, line in list(self.lines):
            if f'"{name}"' in line:
                facts = json.loads(line)
                if facts.get("event") == name:
                    yield moment, facts

    @property
    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in text.split()]


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of all living threads of a process, to the nanosecond: the clock ticks of /proc/PID/stat are too coarse."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def cpu_used(pid: int) -> float:
    """Return the CPU seconds of a process, including threads that have ended, to the clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakings(pid: int) -> int:
    """Return how often the threads went to sleep voluntarily, which is how often they were woken."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = (task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2]
            total += int(words.split()[0])
    return total


def resident_mib(pid: int) -> float:
    words = Path(f"/proc/{pid}/status").read_text().partition("\nVmRSS:")[2]
    return int(words.split()[0]) / 1024


def mapped(pid: int, names: tuple[str, ...]) -> list[str]:
    """Return the names that occur in the path of a file that the process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in names if name in maps]


def durable_renames(folder: Path, count: int) -> float:
    """Return the seconds to write, fsync and rename ``count`` small files, with an fsync of the folder after each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    data = tiny_png(1)
    began = time.perf_counter()
    for number in range(count):
        fd = os.open(f"{folder}/.{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(f"{folder}/.{number}", f"{folder}/{number}")
        os.fsync(above)
    seconds = time.perf_counter() - began
    os.close(above)
    shutil.rmtree(folder)
    return seconds
