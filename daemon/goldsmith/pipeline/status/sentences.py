"""The words for a job in a lane, for `status` and `why`."""

from __future__ import annotations

import time

from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState


def working_sentence(job: ActiveJob, note: str) -> str:
    """What is done to a picture at this moment."""
    if not job.step:
        return f"Being read for {job.stage}."
    return f"Being worked on: {job.op} (step {job.step} of {job.stage}), {job.fraction:.0%}{f', {note}' if note else ''}."


def progress_note(job: ActiveJob, daemon: DaemonState) -> str:
    """What the step last said of itself; while its model is loaded, for how long that has been going on."""
    cold = (seat.loading_sentence(time.time()) for seat in daemon.workers if job.job_id in seat.jobs)
    return next((said for said in cold if said), "" if job.note.startswith("loading ") and daemon.workers else job.note)


def expired_lease_sentence(job: ActiveJob, holder: str) -> str:
    """Why a job that is said to run is not believed. runs: who holds the root, "process 4711 on atelier"."""
    return (
        f"It was being worked on and should have ended by {format_time(job.lease_until or job.queued_at)} at the latest, but nothing more was "
        f"heard of it: Goldsmith ({holder}) seems to be stuck. Look with `systemctl status goldsmith`; once restarted, it begins anew."
    )


def format_time(unix_seconds: float) -> str:
    """Unix seconds as people here write them."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_seconds))


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 11th, 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
