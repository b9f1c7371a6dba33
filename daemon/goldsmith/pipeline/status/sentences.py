"""The sentences of ``status`` and ``why`` about a queued or running job."""

from __future__ import annotations

import time
from collections.abc import Sequence

from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState


def queue_title(queue: str, daemon: DaemonState) -> str:
    """Return what a job in ``queue`` waits for: the cluster, the GPU if the queue has one, the CPU, or a queue of the studio."""
    if any(worker.host for worker in daemon.workers if worker.queue == queue):
        return "the cluster"
    devices = [worker.device for worker in daemon.workers if worker.queue == queue]
    if devices:
        return "the CPU" if all(device == "cpu" for device in devices) else "the GPU"
    return "the CPU" if queue == "cpu" else "the GPU" if queue == "gpu" and not daemon.workers else f"the queue “{queue}”"


def refused_node_sentence(refusal: str) -> str:
    """Return that a node of the cluster gets no jobs. ``refusal`` says which, why, and what to do."""
    return f"A node of the cluster gets no jobs: {refusal}"


def gave_way_sentence(part_count: int, others_at_work: Sequence[str]) -> str:
    """Return that a job has let others go first, and which of them are at work now, by the names of their pictures."""
    parts = "1 finished part is" if part_count == 1 else f"{part_count} finished parts are"
    names = " and ".join(f"“{name}”" for name in others_at_work)
    now = f" Now {names} {'is' if len(others_at_work) == 1 else 'are'} at work." if others_at_work else ""
    return f"It has let other work go first: its {parts} kept, and it goes on from there.{now}"


def working_sentence(job: ActiveJob, note: str) -> str:
    """Return what a running job does at the moment. ``note`` is the step's own progress note."""
    if not job.step:
        return f"Being read for {job.stage}."
    return f"Being worked on: {job.op} (step {job.step} of {job.stage}), {job.fraction:.0%}{f', {note}' if note else ''}."


def progress_note(job: ActiveJob, daemon: DaemonState) -> str:
    """Return the step's last progress note, or for how long its model has been loading."""
    loading = (worker.loading_sentence(time.time()) for worker in daemon.workers if job.job_id in worker.jobs)
    return next(filter(None, loading), "" if job.note.startswith("loading ") and daemon.workers else job.note)


def expired_lease_sentence(job: ActiveJob, holder: str) -> str:
    """Return why a job whose lease has expired counts as waiting. ``holder`` is the daemon's process: "process 4711 on atelier"."""
    return (
        f"Its job should have ended by {format_time(job.lease_until or job.queued_at)} and has not reported since: Goldsmith ({holder}) "
        f"seems to be stuck. Check with `systemctl status goldsmith`. After a restart the job starts again."
    )


def format_time(unix_seconds: float) -> str:
    """Return Unix seconds as local date and time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_seconds))


def ordinal(number: int) -> str:
    """Return the English ordinal: 1st, 2nd, 3rd, 11th, 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
