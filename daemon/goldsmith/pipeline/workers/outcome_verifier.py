"""Verifies the files of outcomes: small ones at once; large ones, and claims about the disk, in a thread: the main loop goes on."""

from __future__ import annotations

import os
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, Outcome
from goldsmith.pipeline.workers.outcome_check import OutcomeRefused
from goldsmith.pipeline.workers.outcome_files import (
    CheckStopped,
    InputReplaced,
    ResultMissing,
    bytes_to_hash,
    check_files,
    needs_disk_probe,
)

# An outcome with at most this many bytes to hash is verified at once: that takes a few milliseconds.
MAX_IMMEDIATE_BYTES = 4 * 2**20
# Seconds that the daemon waits at its end for a thread that may hang on a dead disk.
_JOIN_SECONDS = 1.0


class Verification:
    """The verification of one outcome. ``is_done``: ``outcome`` is the verified outcome, or one with the fault that was found."""

    def __init__(self, job: Job, outcome: Outcome) -> None:
        self.job = job
        self.outcome = outcome
        self.is_done = False
        self.is_stopped = False
        # Set if the worker process is at fault.
        self.refusal: OutcomeRefused | None = None

    def run(self) -> None:
        """Verify the files. Nothing is raised: every failure becomes a fault."""
        deadline = monotonic() + self.job.limits.timeout_seconds
        try:
            self.outcome = check_files(self.job, self.outcome, lambda: self.is_stopped or monotonic() > deadline)
        except OutcomeRefused as refusal:
            self.refusal = refusal
        except ResultMissing:
            self._fail(job_faults.result_lost(self.job))
        except InputReplaced as change:
            sentence = f"An input of {job_faults.picture_name(self.job)} was changed while it was being worked on."
            self._fail(JobFault(kind="changed", sentence=sentence, path=change.path))
        except CheckStopped:
            self._fail(job_faults.timed_out(self.job))
        except OSError as error:
            sentence = f"The results of {job_faults.picture_name(self.job)} cannot be read: {error.strerror or error}."
            self._fail(JobFault(kind="machine", sentence=sentence, remedy="Check the disk that holds the hot folders."))
        except Exception as error:  # noqa: BLE001 - if the thread ended here, the job would have no outcome
            self.refusal = OutcomeRefused("its results cannot be verified", repr(error))
        self.is_done = True

    def _fail(self, fault: JobFault) -> None:
        self.outcome = Outcome(job_id=self.job.id, fault=fault, seconds=self.outcome.seconds)


class OutcomeVerifier:
    """Verifies outcomes one after the other. ``fd`` becomes readable when the thread has finished one."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waiting: SimpleQueue[Verification | None] = SimpleQueue()
        self._thread: Thread | None = None

    def begin(self, job: Job, outcome: Outcome) -> Verification:
        """Return the verification of an outcome that ``check_outcome`` has accepted. It is done already if the files are small."""
        verification = Verification(job, outcome)
        if bytes_to_hash(job, outcome) <= MAX_IMMEDIATE_BYTES and not needs_disk_probe(outcome):
            verification.run()
            return verification
        if not self._has_thread():
            verification.run()
            return verification
        self._waiting.put(verification)
        return verification

    def _has_thread(self) -> bool:
        """Return whether the thread runs; start it the first time. False if the system has no thread to give."""
        if self._thread is None:
            thread = Thread(target=self._run, name="verify", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def clear_signal(self) -> None:
        """Make ``fd`` unreadable again, before the finished verifications are collected."""
        with suppress(OSError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """End the thread. Stop all verifications first."""
        if self.fd < 0:
            return
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_JOIN_SECONDS)
        if self._thread is None or not self._thread.is_alive():  # a thread that hangs would write to a descriptor of something else
            with suppress(OSError):
                os.close(self.fd)
        self.fd = -1

    def _run(self) -> None:
        fd = self.fd
        while (verification := self._waiting.get()) is not None:
            verification.run()
            os.eventfd_write(fd, 1)
