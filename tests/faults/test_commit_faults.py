"""After any failure and any kill, a commit has left either every input in place or the whole result: laws 3 and 5."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from doubles.disk import Disk, ImmediateCopier, Killed, Overwritten, Script, ScriptedJournal
from doubles.share import Share
from goldsmith.errors import HostError
from goldsmith.files import Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import (
    FileRefused,
    FilesChanged,
    PlanCommitted,
    PlanExecutor,
    PlanHalted,
    PlanResult,
    ResultsRejected,
)
from goldsmith.pipeline.commit.recovery import recover_plans
from goldsmith.service.service import open_journal

Prepare = Callable[[Share], list[Plan]]


@dataclass(frozen=True)
class Scenario:
    """The plans of a commit, and the kind of disk. ``copies_first``: files are copied between disks before their commit."""

    prepare: Prepare
    flags: bool = True
    links: bool | int = True
    mounts: tuple[str, ...] = ()
    taken_first: bool = False
    copies_first: bool = False

    def disk(self, script: Script) -> Disk:
        return Disk(script, flags=self.flags, links=self.links, mounts=self.mounts, taken_first=self.taken_first)

    def commit(self, share: Share, journal: Journal, script: Script, plans: list[Plan]) -> tuple[PlanExecutor, list[PlanResult]]:
        """Commit the plans, and wait for their copies."""
        disk = self.disk(script)
        with contextlib.closing(ImmediateCopier(disk, share.root)) as copier:
            executor = share.deliver(journal, disk, copier=copier if self.copies_first else None)
            results = executor.commit(plans)
            while executor.copying_plans:
                results += executor.finish_copied()
        return executor, results


def _one_plan(share: Share) -> list[Plan]:
    return [share.worked("a", campaign="acme/")]


def _two_plans(share: Share) -> list[Plan]:
    return [share.passed("a", "hero"), share.worked("b", "villain")]


def _with_archive_only_files(share: Share) -> list[Plan]:
    plans = [share.chosen("a")]
    path = "archive/2026-09-21/selected/hero_candidate003.png"
    share.before[share.put(path, b"of this morning")] = b"of this morning"
    return plans


def _lone_brief(share: Share) -> list[Plan]:
    return [share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})]


def _taken_name(share: Share) -> list[Plan]:
    plans = [share.worked("a")]
    for path in ("masked/hero_web.avif", "archive/2026-09-21/selected/hero.mask.png"):
        share.before[share.put(path, b"somebody else's")] = b"somebody else's"
    return plans


SCENARIOS = {
    "one": Scenario(_one_plan),
    "two": Scenario(_two_plans),
    "name taken": Scenario(_taken_name),
    "archive only": Scenario(_with_archive_only_files),
    "lone brief": Scenario(_lone_brief),
    "no flag": Scenario(_two_plans, flags=False),
    "no links": Scenario(_one_plan, flags=False, links=False),
    "rclone": Scenario(_one_plan, flags=False, links=errno.EIO),
    "cryfs, name taken": Scenario(_taken_name, flags=False, links=errno.ERANGE),
    "subvolumes of btrfs": Scenario(_one_plan, mounts=("selected", "masked", "archive"), taken_first=True),
    "archive is a mount": Scenario(_two_plans, mounts=("archive",)),
    "all are mounts": Scenario(_one_plan, mounts=("selected", "masked", "archive")),
    "all are mounts, no flag": Scenario(_one_plan, flags=False, mounts=("selected", "masked", "archive")),
    "mounts, name taken": Scenario(_taken_name, mounts=("selected", "masked", "archive")),
    "copies first": Scenario(_one_plan, mounts=("archive",), copies_first=True),
    "copies first, all are mounts": Scenario(_one_plan, mounts=("selected", "masked", "archive"), copies_first=True),
    "copies first, name taken": Scenario(_taken_name, mounts=("selected", "masked", "archive"), copies_first=True),
}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
# An error, whether it stays, and which calls fail with it: the first one, and every so many after it.
TROUBLES = [
    *(pytest.param(number, False, 1 + index, len(ERRORS), id=errno.errorcode[number]) for index, number in enumerate(ERRORS)),
    pytest.param(errno.ENOSPC, True, 2, 3, id="ENOSPC for good"),
    pytest.param(errno.ENOSPC, True, 1, 1, id="ENOSPC for good, everywhere", marks=pytest.mark.soak),
    *(pytest.param(number, False, 1, 1, id=f"{errno.errorcode[number]} everywhere", marks=pytest.mark.soak) for number in ERRORS),
]


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.fixture
def new_folder() -> Iterator[Callable[[], Path]]:
    """Yield a function that returns a new folder in memory: thousands of commits run here, and the speed of the disk does not matter."""
    base = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    numbers = itertools.count()
    yield lambda: base / str(next(numbers))
    shutil.rmtree(base)


def _commit(scenario: Scenario, share: Share, plans: list[Plan], script: Script) -> list[PlanResult] | None:
    """Commit the plans and return the results, or None if the daemon was killed during the commit."""
    journal = share.journal(ScriptedJournal)
    assert isinstance(journal, ScriptedJournal)
    journal.script = script
    try:
        return scenario.commit(share, journal, script, plans)[1]
    except Killed:
        return None
    finally:
        journal.close()


def _recover(scenario: Scenario, share: Share, script: Script) -> None:
    journal = share.journal()
    try:
        recover_plans(share.deliver(journal, scenario.disk(script)))
    except Killed:
        pass
    finally:
        journal.close()


def _calls(scenario: Scenario, folder: Path) -> list[str]:
    """Return the calls of an undisturbed commit."""
    share, script = Share(folder), Script()
    plans = scenario.prepare(share)
    results = _commit(scenario, share, plans, script)
    assert results is not None
    assert all(isinstance(result, PlanCommitted) for result in results), results
    _check(share, plans, {"done"})
    return script.calls


def _check(share: Share, plans: list[Plan], states: set[str]) -> None:
    """Check that each plan is completely done or undone, that no other file has changed, and that the journal agrees."""
    files, journal = share.files(), share.journal()
    rows = [row.job_id for row in journal.history()]
    for plan in plans:
        state = share.plan_state(plan)
        assert state in states
        assert rows.count(plan.job_id) == (1 if state == "done" else 0)
    assert {path: files.get(path) for path in share.before} == share.before
    assert journal.open_plans() == []
    journal.close()


@pytest.mark.parametrize(("number", "lasting", "first", "stride"), TROUBLES)
def test_a_failing_disk_never_leaves_half_a_commit(
    scenario: Scenario, number: int, lasting: bool, first: int, stride: int, new_folder: Callable[[], Path]
) -> None:
    """Each call of a commit fails in turn, once or from then on. The result reports it, and recovery finishes or undoes the plan."""
    for at in range(first, len(_calls(scenario, new_folder())) + 1, stride):
        share = Share(new_folder())
        plans = scenario.prepare(share)
        script = Script(at, partial(_trouble, number), lasting=lasting)
        results = _commit(scenario, share, plans, script)
        assert results is not None
        assert {result.plan.job_id for result in results} == {plan.job_id for plan in plans}
        assert len(results) == len(plans)
        # A denied rename back into scratch discards the result: the work is done again.
        expected = PlanCommitted | FileRefused | PlanHalted | (ResultsRejected if number == errno.EACCES else PlanHalted)
        assert all(isinstance(result, expected) for result in results), results
        for result in results:
            plan = result.plan
            if isinstance(result, PlanCommitted):
                assert share.plan_state(plan) == "done"
            elif isinstance(result, FileRefused | ResultsRejected) or (isinstance(result, PlanHalted) and not result.is_pending):
                assert share.plan_state(plan) == "undone"
        _recover(scenario, share, Script())
        _check(share, plans, {"undone", "done"})


def _trouble(number: int, call: str) -> Exception:
    if call in ("intend", "replan", "done"):
        return HostError("The journal cannot be used.", "")
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_the_next_commit_finishes_or_undoes_pending_plans(scenario: Scenario, stride: int, new_folder: Callable[[], Path]) -> None:
    """If a disk fails during a commit and recovers, the same daemon finishes or undoes the plans and goes on."""
    for at in range(1, len(_calls(scenario, new_folder())) + 1, stride):
        share = Share(new_folder())
        plans = scenario.prepare(share)
        script = Script(at, partial(_trouble, errno.EIO), lasting=True)
        journal = share.journal(ScriptedJournal)
        assert isinstance(journal, ScriptedJournal)
        journal.script = script
        executor, first = scenario.commit(share, journal, script, plans)
        pending = {result.plan.job_id for result in first if isinstance(result, PlanHalted) and result.is_pending}
        assert set(executor.pending_jobs) == pending
        script.at = 0
        later = executor.commit([])
        assert {result.plan.job_id for result in later} == pending
        assert not any(isinstance(result, PlanHalted) for result in later)
        journal.close()
        _check(share, plans, {"undone", "done"})


@pytest.mark.parametrize(
    ("after", "stride"),
    [
        pytest.param(False, 1, id="before"),
        # Just after a call is just before the next one, unless a change to the disk is no call of the script.
        pytest.param(True, 7, id="after"),
        pytest.param(True, 1, id="after each", marks=pytest.mark.soak),
    ],
)
def test_a_commit_that_is_killed_at_any_call_is_finished_or_undone(
    scenario: Scenario, after: bool, stride: int, new_folder: Callable[[], Path]
) -> None:
    """The kill comes just before or just after a call, also after the last one, and the next start recovers the commit."""
    for at in range(len(_calls(scenario, new_folder())), 0, -stride):
        share = Share(new_folder())
        plans = scenario.prepare(share)
        assert _commit(scenario, share, plans, Script(at, after=after)) is None
        _recover(scenario, share, Script())
        _check(share, plans, {"undone", "done"})


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_a_kill_and_the_loss_of_the_journal_leave_no_half_commit(scenario: Scenario, stride: int, new_folder: Callable[[], Path]) -> None:
    """The journal that had the plan is broken at the next start: the copy of the plan finishes or undoes it, once."""
    for at in range(1, len(_calls(scenario, new_folder())) + 1, stride):
        share = Share(new_folder())
        plans = scenario.prepare(share)
        assert _commit(scenario, share, plans, Script(at, after=at % 3 == 0)) is None
        share.journal_path.write_bytes(b"noise" * 1000)
        journal = open_journal(share.journal_path, lambda event, **facts: None)
        assert journal.is_new
        recover_plans(share.deliver(journal, scenario.disk(Script())))
        recover_plans(share.deliver(journal, scenario.disk(Script())))
        journal.close()
        _check(share, plans, {"undone", "done"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_makes_no_second_version(after: bool, new_folder: Callable[[], Path]) -> None:
    """No file has the name, so after the recovery no result is called v002: neither on one disk nor across subvolumes of btrfs."""
    for scenario in (SCENARIOS["one"], SCENARIOS["all are mounts"], SCENARIOS["subvolumes of btrfs"]):
        for at in range(1, len(_calls(scenario, new_folder())) + 1):
            share = Share(new_folder())
            plans = scenario.prepare(share)
            assert _commit(scenario, share, plans, Script(at, after=after)) is None
            _recover(scenario, share, Script())
            assert not [path for path in share.files() if "_v002" in path], at


@pytest.mark.parametrize("stride", [29, pytest.param(1, marks=pytest.mark.soak)])
def test_a_recovery_that_is_killed_is_completed_by_the_next_recovery(
    scenario: Scenario, stride: int, new_folder: Callable[[], Path]
) -> None:
    """The daemon is killed during a commit and then during its recovery."""
    for at in range(1, len(_calls(scenario, new_folder())) + 1, stride):
        for second in itertools.count(1 + at % stride, stride):
            share = Share(new_folder())
            plans = scenario.prepare(share)
            _commit(scenario, share, plans, Script(at, after=True))
            script = Script(second, after=second % 2 == 0)
            _recover(scenario, share, script)
            _recover(scenario, share, Script())
            _check(share, plans, {"undone", "done"})
            if len(script.calls) < second:
                break


@pytest.mark.parametrize("stride", [13, pytest.param(5, marks=pytest.mark.soak)])
def test_a_disk_that_is_full_during_recovery_leaves_the_plan_open(scenario: Scenario, stride: int, new_folder: Callable[[], Path]) -> None:
    """The next recovery finishes or undoes the plan."""
    for at in range(1, len(_calls(scenario, new_folder())) + 1, stride):
        for second in (1, 3, 8):
            share = Share(new_folder())
            plans = scenario.prepare(share)
            _commit(scenario, share, plans, Script(at))
            _recover(scenario, share, Script(second, partial(_trouble, errno.ENOSPC), lasting=True))
            _recover(scenario, share, Script())
            _check(share, plans, {"undone", "done"})


def _renamed_over(path: Path) -> None:
    path.with_suffix(".tmp").write_bytes(b"saved over, and longer")
    path.with_suffix(".tmp").rename(path)


def _written_over(path: Path) -> None:
    path.write_bytes(b"saved over, and longer")


@pytest.mark.parametrize("change", [_renamed_over, _written_over])
@pytest.mark.parametrize("mounts", [(), ("archive",)], ids=["one disk", "two disks"])
def test_a_kill_while_a_changed_input_is_put_back_loses_no_bytes(
    new_folder: Callable[[], Path], change: Callable[[Path], None], mounts: tuple[str, ...]
) -> None:
    """If the input is saved over at the last moment and the daemon dies while putting it back, the new bytes are at the source."""
    for at in itertools.count(1):
        share = Share(new_folder())
        plan = _one_plan(share)[0]
        picture = share.root / plan.consumes[0].path
        disk = Overwritten(Script(at, after=at % 2 == 0), str(picture), partial(change, picture), mounts=mounts)
        journal = share.journal()
        results: list[PlanResult] = []
        with contextlib.suppress(Killed):
            results = share.deliver(journal, disk).commit([plan])
        journal.close()
        _recover(Scenario(_one_plan, mounts=mounts), share, Script())
        if disk.path:
            _check(share, [plan], {"undone", "done"})
        else:
            assert picture.read_bytes() == b"saved over, and longer"
            assert len(share.files()) == 3
        if results:
            assert isinstance(results[0], FilesChanged)
            break


@pytest.mark.parametrize("mounts", [(), ("archive",)], ids=["one disk", "two disks"])
def test_a_kill_while_a_brief_returns_to_its_picture_loses_neither(new_folder: Callable[[], Path], mounts: tuple[str, ...]) -> None:
    """If the picture arrives as its lone brief is moved, and the daemon dies at any later call, both files are side by side."""
    for at in itertools.count(1):
        share = Share(new_folder())
        plan = share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})
        brief = share.root / "selected/hero.toml"
        disk = Overwritten(Script(at, after=at % 2 == 0), str(brief), partial(share.put, "selected/hero.png", b"arrived"), mounts=mounts)
        journal = share.journal()
        results: list[PlanResult] = []
        with contextlib.suppress(Killed):
            results = share.deliver(journal, disk).commit([plan])
        journal.close()
        _recover(Scenario(_one_plan, mounts=mounts), share, Script())
        if disk.path:
            _check(share, [plan], {"undone", "done"})
        else:
            assert share.files() == {"selected/hero.toml": b"brief hero", "selected/hero.png": b"arrived"}
        if results:
            assert isinstance(results[0], FilesChanged)
            break


def test_a_commit_waits_for_a_real_disk_that_is_full(tmp_path: Path) -> None:
    """The folder of a stage is a full tmpfs. Every file stays in place until there is space."""
    share = Share(tmp_path)
    plan = share.plan("a", "hero", (share.take("selected/hero.png", "archive/hero.png", b"x" * 40_000),), ())
    plan = plan.model_copy(update={"publishes": (share.result("a", "0.png", "masked/hero.png", b"y" * 40_000),)})
    full = share.root / "masked"
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(full)], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("mounting a tmpfs is not allowed")
    try:
        (full / "ballast").write_bytes(b"z" * 40_000)
        journal = share.journal()
        executor = share.deliver(journal, Filesystem())
        result = executor.commit([plan])[0]
        assert isinstance(result, PlanHalted)
        assert "space" in result.sentence
        assert not result.is_pending
        assert share.plan_state(plan) == "undone"
        (full / "ballast").unlink()
        later = executor.commit([plan])
        assert isinstance(later[0], PlanCommitted)
        assert share.plan_state(plan) == "done"
        journal.close()
    finally:
        subprocess.run(["umount", str(full)], check=True)
