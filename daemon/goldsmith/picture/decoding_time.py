"""The processor time that decoding one file may take. A file that takes more is at fault, however small it is.

The time is generous: every decoder is at least ten times faster on a slow machine. It is processor time, so that a busy machine does not
make a file too slow. Code in C cannot be interrupted, so a watch that somebody else provides (``set_decoding_watch``) ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

# Seconds of processor time for any file, and in addition for each megapixel.
BASE_SECONDS = 30.0
SECONDS_PER_MEGAPIXEL = 4.0
# Seconds of processor time for the largest file. A job may take 900 s unless the settings say otherwise.
MAX_SECONDS = 600.0


@dataclass(slots=True)
class Decoding:
    """The decoding of the file ``name``, which may take ``max_seconds`` of processor time."""

    name: str
    max_seconds: float

    def allow_pixels(self, count: int) -> None:
        """Allow the time for that many pixels."""
        self.max_seconds = min(BASE_SECONDS + SECONDS_PER_MEGAPIXEL * count / 1e6, MAX_SECONDS)


DecodingWatch = Callable[[Decoding], AbstractContextManager[None]]
_watches: list[DecodingWatch] = []


def set_decoding_watch(watch: DecodingWatch) -> None:
    """Have ``watch`` entered round every decoding in this process from now on; it replaces an earlier one."""
    _watches[:] = [watch]


@contextmanager
def limited_decoding(name: str) -> Iterator[Decoding]:
    """Watch the decoding of the file ``name`` in this block. Without a watch, the time is not limited."""
    decoding = Decoding(name, BASE_SECONDS)
    if not _watches:
        yield decoding
        return
    with _watches[0](decoding):
        yield decoding
