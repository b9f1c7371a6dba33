"""SIGKILL at random instants: every asset stays exactly once somewhere, whole, and the end is that of a run nothing disturbed."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import dying
from doubles.commission import LINE, Asset, Ledger, finish, lying, thirty, undisturbed
from doubles.studio import Daemon, Doorbell, Studio
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import PlanExecutor
from goldsmith.pipeline.commit.recovery import recover_plans

Tell = Callable[[str, object], None]
KILLS = 60
# Seconds for which a daemon that is to end itself is waited for: there may be nothing left for it to do.
LONGEST_LIFE = 8.0
# The share of the kills that must hit between a plan's record and its tick.
LEAST_INSIDE = 1 / 10
SEED = int(os.environ.get("GOLDSMITH_TEST_SEED", "0")) or time.time_ns() % 1_000_000


def test_killed_sixty_times_the_daemon_ends_where_an_undisturbed_one_does(tmp_path: Path, record_property: Tell) -> None:
    """Thirty assets arrive one after another while the daemon is killed sixty times: nothing is lost, doubled or half there."""
    _killed(tmp_path, SEED, KILLS, record_property)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(17))
def test_killed_a_thousand_times_nothing_is_lost(tmp_path: Path, seed: int, record_property: Tell) -> None:
    """The same, seventeen times over, each with other instants."""
    _killed(tmp_path, SEED + 1 + seed, KILLS, record_property)


def _killed(place: Path, seed: int, kills: int, tell: Tell) -> None:
    chance = random.Random(seed)
    print(f"GOLDSMITH_TEST_SEED={seed}")
    assets = thirty()
    reference = undisturbed(Studio(place / "undisturbed", quiet=0.15), assets)
    studio = Studio(place / "killed", quiet=0.15)
    studio.line(LINE)
    ledger = Ledger(studio, reference)
    chance.shuffle(assets)
    assets.sort(key=lambda asset: "brief.toml" not in asset.files[0][0])  # a campaign's brief before its pictures
    inside = replayed = 0
    for life in range(kills):
        arriving = assets[life * len(assets) // kills : (life + 1) * len(assets) // kills]
        _one_life(studio, ledger, arriving, chance)
        inside += bool(_begun(studio))
        if chance.random() < 0.7:  # else the next daemon finds what this one left, and may be killed over it
            replayed += _recovered(studio)
            ledger.check()
    print(f"{kills} kills, {inside} of them between a plan's record and its tick; {replayed} commits were found half done by the checks")
    tell("kills", kills)
    tell("kills inside a commit", inside)
    assert inside >= kills * LEAST_INSIDE, "too few of the kills hit what they are for"
    finish(studio)
    ledger.check()
    assert lying(studio.root) == reference


def _one_life(studio: Studio, ledger: Ledger, arriving: list[Asset], chance: random.Random) -> None:
    """The daemon starts, assets arrive before or after that, and at some instant it is killed, or ends itself in the middle of a commit."""
    aimed = chance.random() < (0.8 if arriving else 0.25)  # where nothing is to be done nothing is committed
    early = aimed or chance.random() < 0.5
    if early:
        _arrive(ledger, arriving)
    daemon = Daemon(studio, program=_dying(chance)) if aimed else Daemon(studio)
    try:
        if aimed:
            daemon.pass_time(LONGEST_LIFE)
            return
        if chance.random() < 0.2:
            daemon.pass_time(chance.uniform(0.05, 0.9))
            return
        daemon.until_ready()
        if not early:
            _arrive(ledger, arriving)
        if chance.random() < 0.6:
            _in_a_commit(daemon, chance)
        else:
            daemon.pass_time(chance.uniform(0, 0.5))
    finally:
        daemon.kill()
        if not early and ledger.dropped[-len(arriving) :] != arriving:
            _arrive(ledger, arriving)


def _dying(chance: random.Random) -> tuple[str, ...]:
    """The program that ends itself at some call of a commit, or, one time in four, of what it does first: recovery."""
    return dying.__file__, str(chance.choice((1, 1, 1, -1)) * chance.randint(1, 16))


def _arrive(ledger: Ledger, arriving: list[Asset]) -> None:
    for asset in arriving:
        ledger.drop(asset)


def _in_a_commit(daemon: Daemon, chance: random.Random) -> None:
    """Wait for one of the next renames into a folder; there may be none, where nothing is left to do."""
    folders = [path for top in ("selected", "masked", "graded", "delivered", "archive") for path in (daemon.studio.root / top).glob("**/")]
    bell = Doorbell(folders)
    try:
        daemon.until_bell(bell, chance.choice((1, 1, 1, 2, 3, 6, 9)), seconds=0.8)
        if chance.random() < 0.5:
            daemon.pass_time(chance.uniform(0, 0.003))
    finally:
        bell.close()


def _begun(studio: Studio) -> list[Plan]:
    """The plans that are on record and not ticked off at this moment, whoever runs."""
    try:
        with contextlib.closing(Journal.open(studio.journal_path, read_only=True)) as journal:
            return journal.open_plans()
    except (UsageError, HostError):  # not there yet, or not up to date: killed before anything
        return []


def _recovered(studio: Studio) -> int:
    with contextlib.closing(Journal.open(studio.journal_path)) as journal:
        return len(recover_plans(PlanExecutor(studio.root, journal, Filesystem())))
