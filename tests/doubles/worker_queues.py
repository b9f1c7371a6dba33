"""Holds back the jobs of a queue, and finds the place of a job in it, for tests that need jobs to wait."""

from __future__ import annotations

from goldsmith.pipeline.workers.worker_pools import WorkerPools

_LONG_SECONDS = 3600.0


def pause_queue(pools: WorkerPools, queue: str, reason: str = "The test is not ready.") -> None:
    """Pause every device of the queue, as a failure of each device would."""
    for device in pools._pools[queue].devices:
        device.health.pause_reason, device.health.retry_at = reason, pools._clock() + _LONG_SECONDS


def resume_queue(pools: WorkerPools, queue: str) -> None:
    """End the pauses of all devices of the queue, also of those that failed, and start jobs."""
    pool = pools._pools[queue]
    for device in pool.devices:
        device.health.pause_reason = ""
    pool.dispatch(pools._clock())


def queue_position(pools: WorkerPools, job_id: str) -> int | None:
    """Return 0 for a job that runs, else its place in the predicted order of its queue, from 1; None if there is no such job."""
    if job_id in pools.running_jobs():
        return 0
    orders = (pools.predict_order(queue, pools.queue_length(queue)) for queue in pools._pools)
    return next((order.index(job_id) + 1 for order in orders if job_id in order), None)
