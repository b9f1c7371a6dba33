"""What a job's failure is called when no file is to blame by itself: the sentences that lanes and the daemon share."""

from __future__ import annotations

import os
import signal
import traceback

from goldsmith.files import display_name
from goldsmith.jobs.job import Job, JobFault, JobProgress

# How much of a traceback or of a lane's last words goes to the log.
MAX_DETAIL_CHARS = 4096

_SIGNAL_MEANINGS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGKILL: "killed from outside, perhaps because the machine ran out of memory",
    signal.SIGABRT: "it gave up by itself",
    signal.SIGILL: "illegal instruction",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
}


def picture_name(job: Job) -> str:
    """The picture's name as a sentence says it, without its folders."""
    return display_name(os.path.basename(job.asset.path))


def out_of_memory(job: Job) -> JobFault:
    """The job outgrew its limit."""
    return JobFault(
        kind="memory",
        sentence=f"{picture_name(job)} needs more memory than a job may have ({job.limits.max_memory_bytes / 2**30:.3g} GiB).",
        remedy="Use a smaller picture or a smaller factor, or raise the limit in goldsmith.toml.",
        path=job.asset.path,
    )


def timed_out(job: Job) -> JobFault:
    """The job hung, or was simply too much work."""
    return JobFault(
        kind="timeout",
        sentence=f"{picture_name(job)} took longer than a job may take ({job.limits.timeout_seconds:g} s).",
        remedy="Use a smaller picture or fewer steps, or raise the limit in goldsmith.toml.",
        path=job.asset.path,
    )


def crashed(job: Job, exit_status: int) -> JobFault:
    """The lane process ended in mid-job: ``status`` as of ``Popen.returncode``."""
    return JobFault(
        kind="crash", sentence=f"The program died while working on {picture_name(job)} ({describe_exit(exit_status)}).", path=job.asset.path
    )


def device_failed(job: Job, device: str, fault: JobFault) -> JobFault:
    """The device fails over this job again, and is well with others."""
    sentence = f"The {device} fails over {picture_name(job)} and works for others: {fault.sentence.rstrip('.')}."
    return JobFault(kind="crash", sentence=sentence, remedy=fault.remedy, path=job.asset.path)


def describe_repeated_failure(job: Job, fault: JobFault) -> str:
    """Why a device is suspected: processes on it ended badly over two pictures, one after the other."""
    how = "took too long" if fault.kind == "timeout" else "ended its process"
    return f"two pictures running came to nothing on it; the last, {picture_name(job)}, {how}"


def protocol_violation(job: Job) -> JobFault:
    """The lane process said something that is no message: whatever it holds is not to be trusted."""
    sentence = f"The program lost its senses while working on {picture_name(job)} and was stopped."
    return JobFault(kind="crash", sentence=sentence, path=job.asset.path)


def describe_exit(exit_status: int) -> str:
    """How a process ended, in words."""
    if exit_status >= 0:
        return f"exit status {exit_status}"
    try:
        number = signal.Signals(-exit_status)
    except ValueError:
        return f"signal {-exit_status}"
    return f"signal {-exit_status}, {_SIGNAL_MEANINGS.get(number, number.name)}"


def cancelled(job: Job) -> JobFault:
    """The daemon asked for it: the inputs were withdrawn or changed, or it is stopping."""
    return JobFault(kind="cancelled", sentence=f"Work on {picture_name(job)} was called off.", path=job.asset.path)


def unexpected_error(job: Job, last: JobProgress | None, error: Exception) -> JobFault:
    """An operation raised what it never promised to. Call it where the error is being handled: the traceback goes along."""
    where = f" at step {last.step} ({last.op})" if last and last.step else ""
    first = (str(error).strip().splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first:.300}" if first else type(error).__name__
    return JobFault(
        kind="crash",
        sentence=f"The program failed while working on {picture_name(job)}{where}: {what.rstrip('.')}.",
        path=job.asset.path,
        detail=traceback.format_exc()[-MAX_DETAIL_CHARS:],
    )
