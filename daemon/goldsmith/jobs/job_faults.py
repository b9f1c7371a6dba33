"""Faults of jobs that no single file causes, with the sentences that workers and the daemon share."""

from __future__ import annotations

import os
import signal
import traceback

from goldsmith.files import display_name
from goldsmith.jobs.job import Job, JobFault, JobProgress
from goldsmith.jobs.names import SCRATCH_FOLDER

# How much of a traceback or of a worker's stderr goes to the log.
MAX_DETAIL_CHARS = 4096

# The exit status of a worker process that has sent the outcome of the job that is at fault, and then ended itself.
REPORTED_EXIT_STATUS = 75

MEMORY_EXHAUSTED = "This computer ran out of memory, and the kernel ended a worker process."
MEMORY_EXHAUSTED_REMEDY = "If it happens again, lower cpu_workers or worker_memory_mb in goldsmith.toml, or end other programs."

_SIGNAL_MEANINGS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGKILL: "killed from outside",
    signal.SIGABRT: "aborted by itself",
    signal.SIGILL: "illegal instruction",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
}


def picture_name(job: Job) -> str:
    """Return the picture's name without its folders, for a message."""
    return display_name(os.path.basename(job.asset.path))


def out_of_memory(job: Job) -> JobFault:
    """Return the fault of a job that exceeded its memory limit."""
    return JobFault(
        kind="memory",
        sentence=f"{picture_name(job)} needs more memory than a job may have ({job.limits.max_memory_bytes / 2**30:.3g} GiB).",
        remedy="Use a smaller picture or a smaller factor, or raise the limit in goldsmith.toml.",
        path=job.asset.path,
    )


def decoding_too_slow(job: Job, name: str, max_seconds: float) -> JobFault:
    """Return the fault of a job in which decoding the file ``name`` took more than ``max_seconds`` of processor time."""
    return JobFault(
        kind="problem",
        sentence=f"{name} takes too long to decode: more than {max_seconds:.0f} s of processor time.",
        remedy="Save it again with another program, or as PNG.",
        path=job.asset.path,
    )


def timed_out(job: Job) -> JobFault:
    """Return the fault of a job that exceeded its time limit."""
    return JobFault(
        kind="timeout",
        sentence=f"{picture_name(job)} took longer than a job may take ({job.limits.timeout_seconds:g} s).",
        remedy="Use a smaller picture or fewer steps, or raise the limit in goldsmith.toml.",
        path=job.asset.path,
    )


def crashed(job: Job, exit_status: int) -> JobFault:
    """Return the fault of a job whose worker process ended. ``exit_status`` is that of ``Popen.returncode``."""
    return JobFault(
        kind="crash", sentence=f"The program died while working on {picture_name(job)} ({describe_exit(exit_status)}).", path=job.asset.path
    )


def host_lost(job: Job, reason: str) -> JobFault:
    """Return the fault of a job that has lost its host again and again; ``reason`` is the sentence about the last loss."""
    return JobFault(
        kind="crash",
        sentence=f"Each computer that worked on {picture_name(job)} was lost. The last time: {reason}",
        remedy="Check the computers of the cluster with another picture.",
        path=job.asset.path,
    )


def killed_for_memory(job: Job) -> JobFault:
    """Return the fault of a job whose process the kernel has ended again and again because memory ran out."""
    return JobFault(
        kind="memory",
        sentence=f"Each time, this computer ran out of memory during the work on {picture_name(job)}.",
        remedy=MEMORY_EXHAUSTED_REMEDY,
        path=job.asset.path,
    )


def device_failed(job: Job, device: str, fault: JobFault) -> JobFault:
    """Return the fault of a job on which the device fails repeatedly while other jobs succeed."""
    sentence = f"The {device} fails with {picture_name(job)} and works with other pictures: {fault.sentence.rstrip('.')}."
    return JobFault(kind="crash", sentence=sentence, remedy=fault.remedy, path=job.asset.path)


def device_blamed(job: Job, device: str, fault: JobFault) -> JobFault:
    """Return the fault of a job on which the device has failed again and again, while no other job has shown that the device works."""
    sentence = f"The {device} fails with {picture_name(job)} again and again: {fault.sentence.rstrip('.')}."
    return JobFault(kind="crash", sentence=sentence, remedy="Check the device with another picture.", path=job.asset.path)


def describe_repeated_failure(job: Job, fault: JobFault) -> str:
    """Return why a device is suspected: two jobs in a row failed on it."""
    reason = "took too long" if fault.kind == "timeout" else "ended its process"
    return f"two pictures in a row failed on it; the last, {picture_name(job)}, {reason}"


def protocol_violation(job: Job) -> JobFault:
    """Return the fault of a job whose worker sent an invalid message; nothing from that process can be trusted."""
    sentence = f"The worker process sent an invalid message while working on {picture_name(job)} and was stopped."
    return JobFault(kind="crash", sentence=sentence, path=job.asset.path)


def refused_outcome(job: Job, reason: str, detail: str = "") -> JobFault:
    """Return the fault of a job whose worker sent an outcome that the daemon does not accept. ``reason`` has no full stop."""
    return JobFault(
        kind="refused",
        sentence=f"A worker process sent a result that Goldsmith does not accept ({picture_name(job)}): {reason}.",
        remedy="The log has the detail. If other pictures fail in this way too, check the models and the operations that were added.",
        path=job.asset.path,
        detail=detail,
    )


def result_lost(job: Job) -> JobFault:
    """Return the fault of a job whose result disappeared from its scratch folder."""
    return JobFault(
        kind="lost",
        sentence=f"Something takes results out of {SCRATCH_FOLDER} (a virus scanner?).",
        remedy="Exclude that folder.",
        path=job.asset.path,
    )


def result_changed(job: Job) -> JobFault:
    """Return the fault of a job whose result is not the file that the daemon has hashed."""
    return JobFault(
        kind="lost",
        sentence=f"A result of {picture_name(job)} was changed in {SCRATCH_FOLDER} before it was published.",
        remedy="No other program may write to that folder.",
        path=job.asset.path,
    )


def describe_exit(exit_status: int) -> str:
    """Return how a process ended, as text."""
    if exit_status >= 0:
        return f"exit status {exit_status}"
    try:
        number = signal.Signals(-exit_status)
    except ValueError:
        return f"signal {-exit_status}"
    return f"signal {-exit_status}, {_SIGNAL_MEANINGS.get(number, number.name)}"


def cancelled(path: str) -> JobFault:
    """Return the fault of the job for the asset at ``path`` that the daemon cancelled: its inputs changed, or the daemon is stopping."""
    return JobFault(kind="cancelled", sentence=f"Work on {display_name(os.path.basename(path))} was cancelled.", path=path)


def yielded(job: Job) -> JobFault:
    """Return the fault of a job that lets others go first: it goes on later, with the parts that it has finished."""
    return JobFault(kind="yielded", sentence=f"Work on {picture_name(job)} lets other pictures go first.", path=job.asset.path)


def unexpected_error(job: Job, last: JobProgress | None, error: Exception) -> JobFault:
    """Return the fault of a job whose operation raised an unexpected error. Call it in the ``except`` block, for the traceback."""
    where = f" at step {last.step} ({last.op})" if last and last.step else ""
    first_line = (str(error).strip().splitlines() or [""])[0]
    reason = f"{type(error).__name__}: {first_line:.300}" if first_line else type(error).__name__
    return JobFault(
        kind="crash",
        sentence=f"The program failed while working on {picture_name(job)}{where}: {reason.rstrip('.')}.",
        path=job.asset.path,
        detail=traceback.format_exc()[-MAX_DETAIL_CHARS:],
    )
