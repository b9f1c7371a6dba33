"""A catalogue with one operation, which does what a worker process would do that a picture has taken over."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.operation import Operation, PictureOperation, StepContext
from goldsmith.picture.picture import Picture


class Intrude(PictureOperation):
    """Tries everything that its settings name, and records for each what came of it: "done", or the error."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    make_link: tuple[str, ...] = ()
    port: int = 0
    pid: int = 0

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        results = {f"read {path}": _attempt(lambda path=path: Path(path).read_bytes()) for path in self.read}  # type: ignore[misc]
        results |= {f"write {path}": _attempt(lambda path=path: _write(path)) for path in self.write}  # type: ignore[misc]
        results |= {f"link {path}": _attempt(lambda path=path: os.symlink("/etc", path)) for path in self.make_link}  # type: ignore[misc]
        results["connect"] = _attempt(lambda: socket.create_connection(("127.0.0.1", self.port)))
        results["signal"] = _attempt(lambda: os.kill(self.pid, signal.SIGCONT))
        results["own scratch"] = _attempt(lambda: _write(str(context.scratch / "mine")))
        results["temporary file"] = _attempt(_write_temporary)
        results["own signal"] = _attempt(lambda: os.kill(os.getpid(), 0))
        context.results.record(results=results)
        return picture


def _attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def _write(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")


def _write_temporary() -> None:
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(b"x")


def catalogue() -> Mapping[str, type[Operation]]:
    """Return the operation by its name."""
    return {"intrude": Intrude}
