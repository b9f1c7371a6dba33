"""Errors a person meets: one sentence that says what is wrong, one that says what to do, and an exit code.

Nothing above this floor raises a bare ``Exception`` for something a user, a designer or an admin can bring about.
"""

from __future__ import annotations


class GoldsmithError(Exception):
    """Root of every error that is shown to a person.

    ``sentence`` says what is wrong, with the file, the place and the value; ``remedy`` says what to do about it.
    Both are plain sentences without a trailing line break; ``remedy`` may be empty when ``sentence`` says it all.
    """

    exit_code = 1

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence, remedy)
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".strip()


class UsageError(GoldsmithError):
    """The command line or a configuration file asks for something that cannot be."""

    exit_code = 2


class InputError(GoldsmithError):
    """The job's fault: a file, a mask or a brief is wrong. It gets a problem note and is not tried again unchanged."""

    exit_code = 3


class IncompleteFileError(InputError):
    """A file ends before its picture does: it may still be arriving, so it waits before it is called broken."""


class HostError(GoldsmithError):
    """The machine's fault: full disk, missing mount, dead device. The lane pauses and everything waits in place."""

    exit_code = 4


class DeviceError(HostError):
    """What the lane computes on has failed: its process is replaced, its device pauses, and the other lanes go on."""


class AlreadyRunningError(GoldsmithError):
    """Another daemon holds this root."""

    exit_code = 5


class JobCancelled(Exception):
    """Raised inside a job when its inputs were withdrawn or changed; nothing of the job is kept."""
