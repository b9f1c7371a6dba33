"""Worker processes are killed at random moments during a whole run: no asset is lost or blamed, and the result is the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from doubles.commission import PIPELINE, drop, thirty_assets, undisturbed, visible_files
from doubles.studio import Daemon, Studio

# Seconds. On a busy machine a process starts slowly, and after each kill before the first job the next start comes later.
_PATIENCE = 10.0
SEED = int(os.environ.get("GOLDSMITH_TEST_SEED", "0")) or time.time_ns() % 1_000_000


@pytest.mark.parametrize("kills", [6, pytest.param(24, marks=pytest.mark.soak)])
def test_a_run_with_killed_workers_ends_like_an_undisturbed_run(tmp_path: Path, kills: int) -> None:
    """Thirty assets arrive one after another while workers are killed. The jobs of the killed workers are done again."""
    rng = random.Random(SEED)
    print(f"GOLDSMITH_TEST_SEED={SEED}")
    reference = undisturbed(Studio(tmp_path / "undisturbed", quiet=0.15), thirty_assets())
    studio = Studio(tmp_path / "killed", quiet=0.15, attempts=10, log_level="debug")
    studio.write_pipeline(PIPELINE)
    assets = thirty_assets()
    with Daemon(studio) as daemon:
        daemon.until_ready()
        for number in range(kills):
            for asset in assets[number * len(assets) // kills : (number + 1) * len(assets) // kills]:
                drop(studio, asset)
            _kill_one(daemon, rng)
        assert daemon.end() == 0
        deaths = [*daemon.events_of("requeued"), *(event for event in daemon.events_of("fault") if event["kind"] == "crash")]
        assert len(deaths) >= min(4, kills // 3), "the workers were killed while they were idle"
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the end of the run")
    assert visible_files(studio.root) == reference


def _kill_one(daemon: Daemon, rng: random.Random) -> None:
    """Wait until a worker has started a job, or for _PATIENCE if no job starts. Then kill one of the workers."""
    started = len(daemon.events_of("progress"))
    end = time.monotonic() + _PATIENCE
    while len(daemon.events_of("progress")) == started and (left := end - time.monotonic()) > 0:
        daemon.listen(left)
    daemon.pass_time(rng.uniform(0, 0.05))
    daemon.until(daemon.worker_pids, "a worker process")
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(daemon.worker_pids()), signal.SIGKILL)
