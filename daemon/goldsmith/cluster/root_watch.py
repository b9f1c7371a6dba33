"""Whether a node still has the root that it had when a worker process was started on it."""

from __future__ import annotations

import os
import socket


class RootLost(Exception):
    """The node has lost the root."""


class RootWatch:
    """Looks at the root for one worker process.

    The fence of the process holds the folders of the moment of its start: it follows neither an unmounted root nor one that is mounted
    again. So a root that is lost stays lost for this process, and the next one gets a watch of its own.
    """

    def __init__(self, root: str) -> None:
        # Why the root is lost, as a sentence with its remedy; "" while it is there.
        self.fault = ""
        self._root = root
        self._identity: tuple[str, int, int] | None = None
        try:
            self._identity = _read_identity(root)
        except OSError as error:
            self.lose(error.strerror or str(error))

    def look(self) -> None:
        """Look at the root, and note if it is lost."""
        if self.fault:
            return
        try:
            if _read_identity(self._root) != self._identity:
                self.lose("it was unmounted, or mounted anew")
        except OSError as error:
            self.lose(error.strerror or str(error))

    def require(self) -> None:
        """Look at the root. Raises RootLost."""
        self.look()
        if self.fault:
            raise RootLost(self.fault)

    def lose(self, reason: str) -> None:
        """Note that the root is lost for this reason."""
        self.fault = f"The node {socket.gethostname()} has lost the root {self._root}: {reason}. Mount the share there again."


def _read_identity(path: str) -> tuple[str, int, int]:
    """Return the mount, the device and the inode of a folder. Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            mount = next((line.split()[1] for line in file if line.startswith("mnt_id:")), "")
    finally:
        os.close(fd)
    return mount, status.st_dev, status.st_ino
