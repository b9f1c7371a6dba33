"""Whatever fails, and whenever the daemon is killed, a commit leaves all inputs as they were or the whole result: law 3 and law 5."""

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

from doubles.disk import Disk, Killed, Overwritten, Script, ScriptedJournal
from doubles.share import Share
from goldsmith.errors import HostError
from goldsmith.files import Filesystem
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import FileRefused, FilesChanged, PlanCommitted, PlanHalted, PlanResult
from goldsmith.pipeline.commit.recovery import recover_plans

Prepare = Callable[[Share], list[Plan]]


@dataclass(frozen=True)
class Ground:
    """What is committed, and on what kind of disk."""

    prepare: Prepare
    flags: bool = True
    links: bool = True
    mounts: tuple[str, ...] = ()

    def disk(self, script: Script) -> Disk:
        return Disk(script, flags=self.flags, links=self.links, mounts=self.mounts)


def _one(share: Share) -> list[Plan]:
    return [share.worked("a", campaign="acme/")]


def _two(share: Share) -> list[Plan]:
    return [share.passed("a", "hero"), share.worked("b", "villain")]


def _chosen(share: Share) -> list[Plan]:
    plans = [share.chosen("a")]
    path = "archive/2026-09-21/selected/hero_candidate03.png"
    share.before[share.put(path, b"of this morning")] = b"of this morning"
    return plans


def _alone(share: Share) -> list[Plan]:
    return [share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})]


def _taken_name(share: Share) -> list[Plan]:
    plans = [share.worked("a")]
    for path in ("masked/hero_web.avif", "archive/2026-09-21/selected/hero.mask.png"):
        share.before[share.put(path, b"somebody else's")] = b"somebody else's"
    return plans


GROUNDS = {
    "one": Ground(_one),
    "two": Ground(_two),
    "name taken": Ground(_taken_name),
    "kept aside": Ground(_chosen),
    "a brief alone": Ground(_alone),
    "no flag": Ground(_two, flags=False),
    "no links": Ground(_one, flags=False, links=False),
    "archive is a mount": Ground(_two, mounts=("archive",)),
    "all are mounts": Ground(_one, mounts=("selected", "masked", "archive")),
    "mounts, name taken": Ground(_taken_name, mounts=("selected", "masked", "archive")),
}
TROUBLES = [
    *(pytest.param(number, False, id=errno.errorcode[number]) for number in (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)),
    pytest.param(errno.ENOSPC, True, id="ENOSPC for good"),
]


@pytest.fixture(params=GROUNDS)
def ground(request: pytest.FixtureRequest) -> Ground:
    return GROUNDS[request.param]


@pytest.fixture
def places() -> Iterator[Callable[[], Path]]:
    """Fresh folders in memory: some thousand commits are made here, and none of them is about the speed of a disk."""
    base = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    numbers = itertools.count()
    yield lambda: base / str(next(numbers))
    shutil.rmtree(base)


def _commit(ground: Ground, share: Share, plans: list[Plan], script: Script) -> list[PlanResult] | None:
    """The results; None where the daemon was killed in mid-commit."""
    journal = share.journal(ScriptedJournal)
    assert isinstance(journal, ScriptedJournal)
    journal.script = script
    try:
        return share.deliver(journal, ground.disk(script)).commit(plans)
    except Killed:
        return None
    finally:
        journal.close()


def _recover(ground: Ground, share: Share, script: Script) -> None:
    journal = share.journal()
    try:
        recover_plans(share.deliver(journal, ground.disk(script)))
    except Killed:
        pass
    finally:
        journal.close()


def _calls(ground: Ground, place: Path) -> list[str]:
    """What a commit that nothing disturbs does, call by call."""
    share, script = Share(place), Script()
    plans = ground.prepare(share)
    results = _commit(ground, share, plans, script)
    assert results is not None
    assert all(isinstance(result, PlanCommitted) for result in results), results
    _judge(share, plans, {"there"})
    return script.calls


def _judge(share: Share, plans: list[Plan], ways: set[str]) -> None:
    """Each plan all here or all there, nothing of anybody else's touched, and the record says the same."""
    files, journal = share.files(), share.journal()
    rows = [row.job_id for row in journal.history()]
    for plan in plans:
        way = share.way(plan)
        assert way in ways
        assert rows.count(plan.job_id) == (1 if way == "there" else 0)
    assert {path: files.get(path) for path in share.before} == share.before
    assert journal.open_plans() == []
    journal.close()


@pytest.mark.parametrize(("number", "lasting"), TROUBLES)
def test_a_failing_disk_never_halves_a_commit(ground: Ground, number: int, lasting: bool, places: Callable[[], Path]) -> None:
    """Each call of a commit fails in turn, once or from then on; said as a result, and whole after the next start."""
    for at in range(1, len(_calls(ground, places())) + 1):
        share = Share(places())
        plans = ground.prepare(share)
        script = Script(at, partial(_trouble, number), lasting=lasting)
        results = _commit(ground, share, plans, script)
        assert results is not None
        assert {result.plan.job_id for result in results} == {plan.job_id for plan in plans}
        assert len(results) == len(plans)
        assert all(isinstance(result, PlanCommitted | FileRefused | PlanHalted) for result in results), results
        for result in results:
            plan = result.plan
            if isinstance(result, PlanCommitted):
                assert share.way(plan) == "there"
            elif isinstance(result, FileRefused) or (isinstance(result, PlanHalted) and not result.is_pending):
                assert share.way(plan) == "home"
        _recover(ground, share, Script())
        _judge(share, plans, {"home", "there"})


def _trouble(number: int, call: str) -> Exception:
    if call in ("intend", "replan", "done"):
        return HostError("The journal cannot be used.", "")
    return OSError(number, os.strerror(number))


def test_what_a_disk_left_pending_is_settled_by_the_next_commit(ground: Ground, places: Callable[[], Path]) -> None:
    """A disk that fails for good in mid-commit and then is well again: the same daemon finishes or takes back, and goes on."""
    for at in range(1, len(_calls(ground, places())) + 1):
        share = Share(places())
        plans = ground.prepare(share)
        script = Script(at, partial(_trouble, errno.EIO), lasting=True)
        journal = share.journal(ScriptedJournal)
        assert isinstance(journal, ScriptedJournal)
        journal.script = script
        deliver = share.deliver(journal, ground.disk(script))
        first = deliver.commit(plans)
        pending = {result.plan.job_id for result in first if isinstance(result, PlanHalted) and result.is_pending}
        assert set(deliver.pending_jobs) == pending
        script.at = 0
        later = deliver.commit([])
        assert {result.plan.job_id for result in later} == pending
        assert not any(isinstance(result, PlanHalted) for result in later)
        journal.close()
        _judge(share, plans, {"home", "there"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_leaves_all_or_nothing(ground: Ground, after: bool, places: Callable[[], Path]) -> None:
    """SIGKILL just before, or just after, each call: the next start finishes the commit or takes it back."""
    for at in range(1, len(_calls(ground, places())) + 1):
        share = Share(places())
        plans = ground.prepare(share)
        assert _commit(ground, share, plans, Script(at, after=after)) is None
        _recover(ground, share, Script())
        _judge(share, plans, {"home", "there"})


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.soak)])
def test_a_kill_during_recovery_is_recovered_from(ground: Ground, stride: int, places: Callable[[], Path]) -> None:
    """Killed in mid-commit, then again in mid-recovery, then left alone."""
    for at in range(1, len(_calls(ground, places())) + 1, stride):
        for again in itertools.count(1 + at % stride, stride):
            share = Share(places())
            plans = ground.prepare(share)
            _commit(ground, share, plans, Script(at, after=True))
            script = Script(again, after=again % 2 == 0)
            _recover(ground, share, script)
            _recover(ground, share, Script())
            _judge(share, plans, {"home", "there"})
            if len(script.calls) < again:
                break


def test_a_disk_that_is_full_during_recovery_leaves_the_plan_open(ground: Ground, places: Callable[[], Path]) -> None:
    """Recovery on a disk that fails is no loss either: the one after it ends the plan."""
    for at in range(1, len(_calls(ground, places())) + 1, 5):
        for again in (1, 3, 8):
            share = Share(places())
            plans = ground.prepare(share)
            _commit(ground, share, plans, Script(at))
            _recover(ground, share, Script(again, partial(_trouble, errno.ENOSPC), lasting=True))
            _recover(ground, share, Script())
            _judge(share, plans, {"home", "there"})


def _renamed_over(path: Path) -> None:
    path.with_suffix(".tmp").write_bytes(b"saved over, and longer")
    path.with_suffix(".tmp").rename(path)


def _written_over(path: Path) -> None:
    path.write_bytes(b"saved over, and longer")


@pytest.mark.parametrize("meddle", [_renamed_over, _written_over])
@pytest.mark.parametrize("mounts", [(), ("archive",)], ids=["one disk", "two disks"])
def test_a_kill_while_a_changed_input_is_put_back(
    places: Callable[[], Path], meddle: Callable[[Path], None], mounts: tuple[str, ...]
) -> None:
    """The input was saved over at the last moment, the daemon dies while putting it back: the new bytes lie at the old place."""
    for at in itertools.count(1):
        share = Share(places())
        plan = _one(share)[0]
        picture = share.root / plan.consumes[0].path
        disk = Overwritten(Script(at, after=at % 2 == 0), str(picture), partial(meddle, picture), mounts=mounts)
        journal = share.journal()
        results: list[PlanResult] = []
        with contextlib.suppress(Killed):
            results = share.deliver(journal, disk).commit([plan])
        journal.close()
        _recover(Ground(_one, mounts=mounts), share, Script())
        if disk.path:
            _judge(share, [plan], {"home", "there"})
        else:
            assert picture.read_bytes() == b"saved over, and longer"
            assert len(share.files()) == 3
        if results:
            assert isinstance(results[0], FilesChanged)
            break


@pytest.mark.parametrize("mounts", [(), ("archive",)], ids=["one disk", "two disks"])
def test_a_kill_while_a_brief_goes_back_to_the_picture_that_came(places: Callable[[], Path], mounts: tuple[str, ...]) -> None:
    """The picture came as its brief was taken for alone, and the daemon dies at any call from then on: both lie side by side."""
    for at in itertools.count(1):
        share = Share(places())
        plan = share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})
        brief = share.root / "selected/hero.toml"
        disk = Overwritten(Script(at, after=at % 2 == 0), str(brief), partial(share.put, "selected/hero.png", b"came"), mounts=mounts)
        journal = share.journal()
        results: list[PlanResult] = []
        with contextlib.suppress(Killed):
            results = share.deliver(journal, disk).commit([plan])
        journal.close()
        _recover(Ground(_one, mounts=mounts), share, Script())
        if disk.path:
            _judge(share, [plan], {"home", "there"})
        else:
            assert share.files() == {"selected/hero.toml": b"brief hero", "selected/hero.png": b"came"}
        if results:
            assert isinstance(results[0], FilesChanged)
            break


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A tmpfs of 64 KiB, mounted as a folder of the line and filled to the brim: everything waits in place, then goes on."""
    share = Share(tmp_path)
    plan = share.plan("a", "hero", (share.take("selected/hero.png", "archive/hero.png", b"x" * 40_000),), ())
    plan = plan.model_copy(update={"publishes": (share.result("a", "0.png", "masked/hero.png", b"y" * 40_000),)})
    full = share.root / "masked"
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(full)], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        (full / "ballast").write_bytes(b"z" * 40_000)
        journal = share.journal()
        deliver = share.deliver(journal, Filesystem())
        result = deliver.commit([plan])[0]
        assert isinstance(result, PlanHalted)
        assert "space" in result.sentence
        assert not result.is_pending
        assert share.way(plan) == "home"
        (full / "ballast").unlink()
        again = deliver.commit([plan])
        assert isinstance(again[0], PlanCommitted)
        assert share.way(plan) == "there"
        journal.close()
    finally:
        subprocess.run(["umount", str(full)], check=True)
