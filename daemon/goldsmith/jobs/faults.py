"""What a job's failure is called when no file is to blame by itself: the sentences that lanes and the daemon share."""

from __future__ import annotations

import os
import signal
import traceback

from goldsmith.files import display_name
from goldsmith.jobs.job import Fault, Job, Progress

DETAIL = 4096
"""How much of a traceback or of a lane's last words goes to the log."""

_MEANING = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGKILL: "killed from outside, perhaps because the machine ran out of memory",
    signal.SIGABRT: "it gave up by itself",
    signal.SIGILL: "illegal instruction",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
}


def name_of(job: Job) -> str:
    """The picture's name as a sentence says it, without its folders."""
    return display_name(os.path.basename(job.picture.path))


def too_much_memory(job: Job) -> Fault:
    """The job outgrew its limit."""
    return Fault(
        kind="memory",
        sentence=f"{name_of(job)} needs more memory than a job may have ({job.limits.memory_bytes / 2**30:.3g} GiB).",
        remedy="Use a smaller picture or a smaller factor, or raise the limit in house.toml.",
        path=job.picture.path,
    )


def too_long(job: Job) -> Fault:
    """The job hung, or was simply too much work."""
    return Fault(
        kind="timeout",
        sentence=f"{name_of(job)} took longer than a job may take ({job.limits.seconds:g} s).",
        remedy="Use a smaller picture or fewer steps, or raise the limit in house.toml.",
        path=job.picture.path,
    )


def died(job: Job, status: int) -> Fault:
    """The lane process ended in mid-job: ``status`` as of ``Popen.returncode``."""
    return Fault(kind="crash", sentence=f"The program died while working on {name_of(job)} ({manner(status)}).", path=job.picture.path)


def fails_device(job: Job, device: str, fault: Fault) -> Fault:
    """The device fails over this job again, and is well with others."""
    sentence = f"The {device} fails over {name_of(job)} and works for others: {fault.sentence.rstrip('.')}."
    return Fault(kind="crash", sentence=sentence, remedy=fault.remedy, path=job.picture.path)


def twice_running(job: Job, fault: Fault) -> str:
    """Why a device is suspected: processes on it ended badly over two pictures, one after the other."""
    how = "took too long" if fault.kind == "timeout" else "ended its process"
    return f"two pictures running came to nothing on it; the last, {name_of(job)}, {how}"


def nonsense(job: Job) -> Fault:
    """The lane process said something that is no message: whatever it holds is not to be trusted."""
    sentence = f"The program lost its senses while working on {name_of(job)} and was stopped."
    return Fault(kind="crash", sentence=sentence, path=job.picture.path)


def manner(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"signal {-status}"
    return f"signal {-status}, {_MEANING.get(number, number.name)}"


def cancelled(job: Job) -> Fault:
    """The daemon asked for it: the inputs were withdrawn or changed, or it is stopping."""
    return Fault(kind="cancelled", sentence=f"Work on {name_of(job)} was called off.", path=job.picture.path)


def unforeseen(job: Job, last: Progress | None, error: Exception) -> Fault:
    """An operation raised what it never promised to. Call it where the error is being handled: the traceback goes along."""
    where = f" at step {last.step} ({last.op})" if last and last.step else ""
    first = (str(error).strip().splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first:.300}" if first else type(error).__name__
    return Fault(
        kind="crash",
        sentence=f"The program failed while working on {name_of(job)}{where}: {what.rstrip('.')}.",
        path=job.picture.path,
        detail=traceback.format_exc()[-DETAIL:],
    )
