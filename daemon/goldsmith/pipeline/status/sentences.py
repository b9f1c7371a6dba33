"""The words for a job in a lane, for `status` and `why`."""

from __future__ import annotations

import time

from goldsmith.journal.records import LiveJob
from goldsmith.pipeline.status.daemon_state import Daemon


def working_sentence(job: LiveJob, note: str) -> str:
    """What is done to a picture at this moment."""
    if not job.step:
        return f"Being read for {job.stage}."
    return f"Being worked on: {job.op} (step {job.step} of {job.stage}), {job.fraction:.0%}{f', {note}' if note else ''}."


def note_of(job: LiveJob, daemon: Daemon) -> str:
    """What the step last said of itself; while its model is loaded, for how long that has been going on."""
    cold = (seat.cold_start(time.time()) for seat in daemon.seats if job.job_id in seat.jobs)
    return next((said for said in cold if said), "" if job.note.startswith("loading ") and daemon.seats else job.note)


def lapsed_sentence(job: LiveJob, runs: str) -> str:
    """Why a job that is said to run is not believed. runs: who holds the root, "process 4711 on atelier"."""
    return (
        f"It was being worked on and should have ended by {moment(job.lease_until or job.queued_at)} at the latest, but nothing more was "
        f"heard of it: Goldsmith ({runs}) seems to be stuck. Look with `systemctl status goldsmith`; once restarted, it begins anew."
    )


def moment(when: float) -> str:
    """Unix seconds as people here write them."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 11th, 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
