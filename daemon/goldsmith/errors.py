"""Errors that are shown to people: one sentence for the problem, one for the remedy, and an exit code.

Every error that a user, a designer or an administrator can cause is one of these classes, never a bare ``Exception``.
"""

from __future__ import annotations

import errno

_WRONG_PATH_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


# A sentence ends with one of these; one that ends with a command to copy has none.
_ENDS = (".", "!", "?", "…", ":")


def join_sentences(*sentences: str) -> str:
    """Return sentences as one text. Each but the last ends with a full stop, if it has no other end; empty ones are left out."""
    *first, last = [sentence for sentence in sentences if sentence] or [""]
    return " ".join([*(sentence if sentence.endswith(_ENDS) else f"{sentence}." for sentence in first), last])


class GoldsmithError(Exception):
    """The base class of every error that is shown to people.

    ``sentence`` says what is wrong, with the file, the place and the value; ``remedy`` says what to do. Both are plain sentences without
    a trailing line break. ``remedy`` may be empty.
    """

    exit_code = 1

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence, remedy)
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        return join_sentences(self.sentence, self.remedy)


class UsageError(GoldsmithError):
    """The command line or a configuration file is wrong."""

    exit_code = 2


class InputError(GoldsmithError):
    """A file, a mask or a brief is wrong. The asset gets a problem note and is not tried again until one of its files changes."""

    exit_code = 3


class UnreadableFileError(InputError):
    """A file cannot be read at the moment: a permission is denied, or its own disk fails. It is tried again by itself."""


class IncompleteFileError(InputError):
    """A picture file ends too soon. It may still be arriving, so it waits before it counts as broken."""


class HostError(GoldsmithError):
    """The machine has a fault: full disk, missing mount, dead device. The queue pauses and every file stays where it is."""

    exit_code = 4


def unreadable_config(path: object, error: OSError) -> GoldsmithError:
    """Return the error of a configuration file that cannot be read.

    A wrong path is a wrong use, which a restart cannot solve. Everything else is a fault of the machine, which may pass.
    """
    kind = UsageError if error.errno in _WRONG_PATH_ERRNOS else HostError
    return kind(f"{path} cannot be read: {error.strerror}.", "The service's user must be able to read it.")


class DeviceError(HostError):
    """A worker's device has failed. Its process is replaced and the device pauses; other workers continue."""


class AlreadyRunningError(GoldsmithError):
    """Another daemon already runs on this root."""

    exit_code = 5


class JobCancelled(Exception):
    """The job's inputs were withdrawn or changed; its results are discarded."""


class JobYielded(Exception):
    """The job lets others go first: it goes on at its next turn, with the parts that it has finished."""


def error_text(error: Exception) -> str:
    """Return an error as a part of a sentence, without a full stop."""
    text = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    return text.rstrip(".")
