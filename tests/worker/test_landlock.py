"""Landlock refuses what no rule allows, in every version of its interface that this kernel knows."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from goldsmith.worker.landlock import READ, READ_AND_EXECUTE, TCP_VERSION, WRITE, landlock_version, restrict_thread

VERSIONS = range(1, landlock_version() + 1)
pytestmark = pytest.mark.skipif(not VERSIONS, reason="this kernel has no Landlock")


def in_a_thread(work: Callable[[], None]) -> None:
    """Run the function in a thread that ends with it, since a restriction cannot be lifted."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - a failed assertion
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thread_writes_and_reads_only_what_a_rule_allows(tmp_path: Path, version: int) -> None:
    """A folder that may be written may also be read, and its files may be replaced and deleted."""
    for name in ("open", "shown", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")

    def work() -> None:
        fds = [os.open(tmp_path / name, os.O_PATH) for name in ("open", "shown")]
        restrict_thread(version, zip(fds, (WRITE, READ), strict=True))
        (tmp_path / "open/new").write_bytes(b"y")
        (tmp_path / "open/new").replace(tmp_path / "open/file")
        (tmp_path / "open/file").unlink()
        assert (tmp_path / "shown/file").read_bytes() == b"x"
        for refused in (
            lambda: (tmp_path / "shown/file").write_bytes(b""),
            lambda: (tmp_path / "shown/file").unlink(),
            lambda: (tmp_path / "closed/file").read_bytes(),
            lambda: os.listdir(tmp_path / "closed"),
            lambda: (tmp_path / "open/link").symlink_to("/etc"),
            lambda: os.mkfifo(tmp_path / "open/pipe"),
        ):
            with pytest.raises(PermissionError):
                refused()
        for fd in fds:
            os.close(fd)

    in_a_thread(work)
    assert (tmp_path / "closed/file").read_bytes() == b"x"


def test_a_file_below_a_read_only_rule_is_not_executed(tmp_path: Path) -> None:
    """A program that lies on a share is not run, whoever asks."""
    script = tmp_path / "script"
    script.write_text("#!/bin/true\n")
    script.chmod(0o755)

    def work() -> None:
        share, system = os.open(tmp_path, os.O_PATH), os.open("/", os.O_PATH)
        restrict_thread(1, [(share, READ), (system, READ)])
        with pytest.raises(PermissionError):
            os.posix_spawn(script, [str(script)], {})
        os.close(share)
        os.close(system)

    in_a_thread(work)


@pytest.mark.parametrize("version", VERSIONS)
def test_tcp_is_refused_from_version_4_on(version: int) -> None:
    """Earlier versions know files only."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            root = os.open("/", os.O_PATH)
            restrict_thread(version, [(root, READ_AND_EXECUTE)])
            os.close(root)
            with socket.socket() as client:
                if version < TCP_VERSION:
                    client.connect(server.getsockname())
                else:
                    with pytest.raises(PermissionError):
                        client.connect(server.getsockname())

        in_a_thread(work)


def test_a_refused_rule_is_an_error(tmp_path: Path) -> None:
    """The thread is then not restricted at all."""

    def work() -> None:
        with pytest.raises(OSError, match="No message"):
            restrict_thread(1, [(os.open(os.devnull, os.O_RDONLY), 0)])
        (tmp_path / "file").write_bytes(b"")

    in_a_thread(work)
