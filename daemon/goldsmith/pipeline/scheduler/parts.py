"""The collaborators that the scheduler and its handling of results share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.host_health import HostHealth, OnEvent
from goldsmith.pipeline.scheduler.in_flight import InFlight
from goldsmith.pipeline.scheduler.kept_parts import KeptParts
from goldsmith.pipeline.workers.worker_pools import WorkerPools


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks: monotonic seconds for waiting, Unix seconds for records."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


@dataclass(frozen=True, slots=True)
class SchedulerState:
    """Everything that is remembered about assets and the host between two turns."""

    in_flight: InFlight
    holds: Holds
    host_health: HostHealth
    journal: Journal
    work_folder: WorkFolder
    root_lock: RootLock
    kept_parts: KeptParts


@dataclass(frozen=True, slots=True)
class SharedParts:
    """The parts that the scheduler and its handling of results share."""

    state: SchedulerState
    intake: Intake
    workers: WorkerPools
    clocks: Clocks
    on_event: OnEvent
