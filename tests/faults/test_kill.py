"""Kills at random moments: every asset exists exactly once and complete, and the end is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import dying
from doubles.commission import PIPELINE, Asset, Ledger, finish, thirty_assets, undisturbed, visible_files
from doubles.studio import Daemon, Doorbell, Studio
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import PlanExecutor
from goldsmith.pipeline.commit.recovery import recover_plans

RecordProperty = Callable[[str, object], None]
SOAK_KILLS = 60
# The share of the kills that must fall between the record of a plan and its completion.
MIN_INSIDE = 1 / 10
SEED = int(os.environ.get("GOLDSMITH_TEST_SEED", "0")) or time.time_ns() % 1_000_000


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.soak)])
def test_a_daemon_that_is_killed_repeatedly_ends_like_an_undisturbed_one(
    tmp_path: Path, kills: int, record_property: RecordProperty
) -> None:
    """Thirty assets arrive while the daemon is killed: none is lost, doubled or incomplete."""
    _kill_repeatedly(tmp_path, SEED, kills, record_property)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(17))
def test_nothing_is_lost_after_a_thousand_kills(tmp_path: Path, seed: int, record_property: RecordProperty) -> None:
    """Each of seventeen runs kills the daemon sixty times, at other moments."""
    _kill_repeatedly(tmp_path, SEED + 1 + seed, SOAK_KILLS, record_property)


def _kill_repeatedly(folder: Path, seed: int, kills: int, record_property: RecordProperty) -> None:
    rng = random.Random(seed)
    print(f"GOLDSMITH_TEST_SEED={seed}")
    assets = thirty_assets()
    reference = undisturbed(Studio(folder / "undisturbed", quiet=0.15), assets)
    studio = Studio(folder / "killed", quiet=0.15)
    studio.write_pipeline(PIPELINE)
    ledger = Ledger(studio, reference)
    rng.shuffle(assets)
    assets.sort(key=lambda asset: "brief.toml" not in asset.files[0][0])  # a campaign's brief before its pictures
    inside = replayed = 0
    for run in range(kills):
        arriving = assets[run * len(assets) // kills : (run + 1) * len(assets) // kills]
        _run_and_kill(studio, ledger, arriving, rng)
        inside += bool(_open_plans(studio))
        if rng.random() < 0.7:  # else the next daemon finds the half-done commit and may be killed during its recovery
            replayed += _recover(studio)
            ledger.check()
    print(f"{kills} kills, {inside} of them between a plan's record and its completion; the checks found {replayed} half-done commits")
    record_property("kills", kills)
    record_property("kills inside a commit", inside)
    assert inside >= kills * MIN_INSIDE, "too few kills fell into a commit"
    finish(studio)
    ledger.check()
    assert visible_files(studio.root) == reference


def _run_and_kill(studio: Studio, ledger: Ledger, arriving: list[Asset], rng: random.Random) -> None:
    """Start the daemon, drop assets before or after that, and kill it at a random moment or during a commit."""
    dies_in_commit = rng.random() < (0.8 if arriving else 0.25)  # without new assets there may be no commit
    drops_first = dies_in_commit or rng.random() < 0.5
    if drops_first:
        _drop_all(ledger, arriving)
    daemon = Daemon(studio, "--until-idle", program=_dying_program(rng)) if dies_in_commit else Daemon(studio)
    try:
        if dies_in_commit:
            daemon.until(lambda: daemon.process.poll() is not None, "the end of a daemon that kills itself or has nothing left to do")
            return
        if rng.random() < 0.2:
            daemon.pass_time(rng.uniform(0.05, 0.9))
            return
        daemon.until_ready()
        if not drops_first:
            _drop_all(ledger, arriving)
        if rng.random() < 0.6:
            _wait_for_a_commit(daemon, rng)
        else:
            daemon.pass_time(rng.uniform(0, 0.5))
    finally:
        daemon.kill()
        if not drops_first and ledger.dropped[-len(arriving) :] != arriving:
            _drop_all(ledger, arriving)


def _dying_program(rng: random.Random) -> tuple[str, ...]:
    """Return a program that kills itself at a random call of a commit, or, one time in four, of its recovery."""
    return dying.__file__, str(rng.choice((1, 1, 1, -1)) * rng.randint(1, 16))


def _drop_all(ledger: Ledger, arriving: list[Asset]) -> None:
    for asset in arriving:
        ledger.drop(asset)


def _wait_for_a_commit(daemon: Daemon, rng: random.Random) -> None:
    """Wait for one of the next renames into a folder, for at most 0.8 s, since there may be none."""
    folders = [path for top in ("selected", "masked", "graded", "delivered", "archive") for path in (daemon.studio.root / top).glob("**/")]
    bell = Doorbell(folders)
    try:
        daemon.until_bell(bell, rng.choice((1, 1, 1, 2, 3, 6, 9)), seconds=0.8)
        if rng.random() < 0.5:
            daemon.pass_time(rng.uniform(0, 0.003))
    finally:
        bell.close()


def _open_plans(studio: Studio) -> list[Plan]:
    """Return the plans that are recorded and not complete."""
    try:
        with contextlib.closing(Journal.open(studio.journal_path, read_only=True)) as journal:
            return journal.open_plans()
    except (UsageError, HostError):  # the journal does not exist or is not migrated yet: the daemon was killed before any work
        return []


def _recover(studio: Studio) -> int:
    with contextlib.closing(Journal.open(studio.journal_path)) as journal:
        return len(recover_plans(PlanExecutor(studio.root, journal, Filesystem())))
