"""Only lane processes are killed, at random instants through a whole run: no asset is lost, none is blamed, the end is the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from doubles.commission import LINE, drop, lying, thirty, undisturbed
from doubles.studio import Daemon, Studio

KILLS = 24
# Seconds: on a busy machine a process takes some to start, and one that is killed before it worked is started later and later.
_PATIENCE = 10.0
SEED = int(os.environ.get("GOLDSMITH_TEST_SEED", "0")) or time.time_ns() % 1_000_000


def test_lanes_killed_twenty_four_times_change_nothing(tmp_path: Path) -> None:
    """Thirty assets arrive one after another while their lanes die; what was under work is simply done again."""
    chance = random.Random(SEED)
    print(f"GOLDSMITH_TEST_SEED={SEED}")
    reference = undisturbed(Studio(tmp_path / "undisturbed", quiet=0.15), thirty())
    studio = Studio(tmp_path / "killed", quiet=0.15, attempts=10, log_level="debug")
    studio.line(LINE)
    assets = thirty()
    with Daemon(studio) as daemon:
        daemon.until_ready()
        for number in range(KILLS):
            for asset in assets[number * len(assets) // KILLS : (number + 1) * len(assets) // KILLS]:
                drop(studio, asset)
            _kill_one(daemon, chance)
        assert daemon.end() == 0
        deaths = [told for told in daemon.heard("fault") if told["kind"] == "crash"]
        assert len(deaths) >= 4, "the lanes were killed while they did nothing"
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the end of the run")
    assert lying(studio.root) == reference


def _kill_one(daemon: Daemon, chance: random.Random) -> None:
    """Wait until a lane has begun something, or for a while where there is nothing to begin; then one of the lanes is killed."""
    begun = len(daemon.heard("progress"))
    end = time.monotonic() + _PATIENCE
    while len(daemon.heard("progress")) == begun and (left := end - time.monotonic()) > 0:
        daemon.listen(left)
    daemon.pass_time(chance.uniform(0, 0.05))
    daemon.until(daemon.lanes, "a lane process")
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(daemon.lanes()), signal.SIGKILL)
