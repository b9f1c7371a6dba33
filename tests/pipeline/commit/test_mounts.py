"""The commit on real mounts: kinds without hard links, subvolumes of btrfs, and bind mounts that vanish."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.attached import attached, make
from doubles.disk import Disk, Killed, Script, ScriptedJournal
from doubles.mounted import KINDS, mounted
from doubles.share import DAY, Share
from goldsmith.files import Filesystem
from goldsmith.pipeline.commit.plan_executor import FileRefused, PlanCommitted, PlanHalted, PlanResult
from goldsmith.pipeline.commit.recovery import recover_plans
from goldsmith.pipeline.commit.root_lock import RootLock

# It takes half a minute to make its key.
CRYFS = pytest.param("cryfs", marks=pytest.mark.soak)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def _commit(share: Share, *names: str, fs: Filesystem | None = None) -> list[PlanResult]:
    journal = share.journal()
    with contextlib.closing(journal):
        return share.deliver(journal, fs).commit([share.worked(name, name) for name in names])


@pytest.mark.parametrize("kind", [*(kind for kind in KINDS if kind != "cryfs"), CRYFS])
def test_a_commit_works_on_every_kind_of_mount(tmp_path: Path, kind: str) -> None:
    """Inputs and results are in place, each once, and a taken name is never overwritten."""
    with mounted(kind, tmp_path / "parts", tmp_path / "root"):
        share = Share(tmp_path)
        share.put("masked/second_web.avif", b"older")
        assert [type(result) for result in _commit(share, "first", "second")] == [PlanCommitted, PlanCommitted]
        assert share.files() == {
            "masked/first.png": b"finished first",
            "masked/first_web.avif": b"for the web first",
            "masked/first.toml": b"brief first",
            f"archive/{DAY}/selected/first.png": b"picture first",
            f"archive/{DAY}/selected/first.mask.png": b"mask first",
            "masked/second_web.avif": b"older",
            "masked/second_v002.png": b"finished second",
            "masked/second_v002_web.avif": b"for the web second",
            "masked/second_v002.toml": b"brief second",
            f"archive/{DAY}/selected/second.png": b"picture second",
            f"archive/{DAY}/selected/second.mask.png": b"mask second",
        }


@contextlib.contextmanager
def _stages_on(kind: str, place: Path, root: Path) -> Iterator[None]:
    """Put each stage's folder on this kind: as subvolumes of one btrfs, or as a mount of one folder each."""
    names = ("selected", "masked", "archive")
    if kind == "btrfs":
        with mounted(kind, place, root):
            for name in names:
                subprocess.run(["btrfs", "subvolume", "create", str(root / name)], capture_output=True, check=True)
            yield
        return
    disk = place / "disk"
    with mounted(kind, place / "parts", disk), contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(attached("--bind", make(disk / name), make(root / name)))
        yield


# Not rclone: for a moment it shows a file that it is uploading under its old name as well.
@pytest.mark.parametrize("kind", ["btrfs", "bindfs", CRYFS])
def test_a_kill_on_a_real_mount_makes_no_second_version(tmp_path: Path, kind: str) -> None:
    """The daemon dies after every third call. The recovery finishes or undoes the plan, and no file is called v002."""
    with _stages_on(kind, tmp_path / "kind", tmp_path / "root"):
        for at in itertools.count(1, 3):
            share = Share(make(tmp_path / str(at)), tmp_path / "root")
            plan = share.worked(f"job{at}", f"hero{at}")
            journal, script = share.journal(ScriptedJournal), Script(at, after=True)
            assert isinstance(journal, ScriptedJournal)
            journal.script = script
            is_done = False
            with contextlib.closing(journal), contextlib.suppress(Killed):
                is_done = bool(share.deliver(journal, Disk(script)).commit([plan]))
            with contextlib.closing(share.journal()) as again:
                recover_plans(share.deliver(again))
            assert share.plan_state(plan) in ("done", "undone"), at
            assert not [path for path in share.files() if "_v002" in path], at
            if is_done:
                assert at > 20
                break


# ---------------------------------------------------------------------- mounts that vanish


@pytest.mark.parametrize("name", ["masked", "selected", "archive"])
def test_a_bind_mount_of_the_same_filesystem_that_vanishes_is_noticed(tmp_path: Path, share: Share, name: str) -> None:
    """The folder beneath has the same device. Nothing is written there, and work goes on after the mount's return."""
    journal = share.journal()
    with contextlib.closing(journal):
        with attached("--bind", make(tmp_path / "elsewhere"), share.root / name):
            executor = share.deliver(journal)
            plan = share.worked("a")
        before = share.files()
        result = executor.commit([plan])[0]
        assert isinstance(result, PlanHalted)
        assert f"{name} has lost its mount" in result.sentence
        assert share.files() == before
        with attached("--bind", tmp_path / "elsewhere", share.root / name):
            assert isinstance(executor.commit([plan])[0], PlanCommitted)
            assert share.plan_state(plan) == "done"


def test_a_mount_is_remembered_when_the_configuration_is_read_again(tmp_path: Path, share: Share) -> None:
    """A reload makes a new executor while the mount is missing."""
    journal = share.journal()
    with contextlib.closing(journal), RootLock.acquire(share.root) as lock:
        with attached("--bind", make(tmp_path / "elsewhere"), share.root / "masked"):
            share.deliver(journal, lock=lock)
        result = share.deliver(journal, lock=lock).commit([share.worked("a")])[0]
        assert isinstance(result, PlanHalted)
        assert "lost its mount" in result.sentence


def test_a_campaign_that_lost_its_mount_waits_alone(tmp_path: Path, share: Share) -> None:
    """Its pictures get a sentence; the other campaigns go on."""
    journal = share.journal()
    make(share.root / "masked" / "acme")
    with contextlib.closing(journal):
        executor = share.deliver(journal)
        with attached("--bind", make(tmp_path / "elsewhere"), share.root / "masked" / "acme"):
            assert isinstance(executor.commit([share.worked("a", campaign="acme/")])[0], PlanCommitted)
            assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["hero.png", "hero.toml", "hero_web.avif"]
        plans = [share.worked("b", "next", campaign="acme/"), share.worked("c", "other")]
        refused, committed = executor.commit(plans)
        assert isinstance(refused, FileRefused)
        assert "masked/acme has lost its mount" in refused.sentence
        assert isinstance(committed, PlanCommitted)
        assert share.plan_state(plans[0]) == "undone"


def test_nothing_is_committed_without_the_lock(share: Share) -> None:
    """Another daemon may work on the same pictures. Once the lock is made anew, the commit goes on."""
    journal = share.journal()
    with contextlib.closing(journal), RootLock.acquire(share.root) as lock:
        executor = share.deliver(journal, lock=lock)
        plan = share.worked("a")
        (share.root / ".goldsmith" / "lock").unlink()
        result = executor.commit([plan])[0]
        assert isinstance(result, PlanHalted)
        assert not result.is_pending
        assert "was removed or replaced" in result.sentence
        assert share.plan_state(plan) == "undone"
        assert journal.open_plans() == []
        assert lock.check()
        assert isinstance(executor.commit([plan])[0], PlanCommitted)


def test_a_plan_that_was_left_half_done_waits_for_the_lock(share: Share) -> None:
    """The recovery of a second daemon may be at it."""
    journal, script = share.journal(), Script(12, lambda _: OSError(5, "I/O error"), lasting=True)
    with contextlib.closing(journal), RootLock.acquire(share.root) as lock:
        executor = share.deliver(journal, Disk(script), lock)
        plan = share.worked("a")
        executor.commit([plan])
        assert executor.pending_jobs == ["a"]
        script.at = 0
        (share.root / ".goldsmith" / "lock").unlink()
        before = share.files()
        (result,) = executor.finish_open_plans()
        assert isinstance(result, PlanHalted)
        assert result.is_pending
        assert share.files() == before
        assert lock.check()
        executor.finish_open_plans()
        assert executor.pending_jobs == []
        assert share.plan_state(plan) in ("done", "undone")
