"""Copies between filesystems: made in a thread before the commit, and checked by it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.disk import Disk, ImmediateCopier, Script
from doubles.share import Share
from doubles.slow_copies import SlowCopies
from goldsmith.files import Filesystem, PathAt
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.mounts import mount_id
from goldsmith.pipeline.commit.copier import Copier
from goldsmith.pipeline.commit.plan_executor import FilesChanged, PlanCommitted, PlanExecutor, PlanHalted, PlanResult
from goldsmith.pipeline.commit.recovery import recover_plans


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    with contextlib.closing(share.journal()) as journal:
        yield journal


@pytest.fixture
def disk() -> Iterator[SlowCopies]:
    disk = SlowCopies()
    yield disk
    disk.go_on.set()


def finish(executor: PlanExecutor, copier: Copier) -> list[PlanResult]:
    """Wait for the copies, and return the results of all plans."""
    results = executor.finish_copied()
    while executor.copying_plans:
        select.select([copier.fd], [], [])
        results += executor.finish_copied()
    return results


def test_sixty_four_plans_are_copied_while_the_caller_goes_on(share: Share, journal: Journal, disk: SlowCopies) -> None:
    """The commit records the plans and returns without a result; no file is copied in the caller's thread."""
    plans = [share.worked(f"job{number}", f"hero{number}") for number in range(64)]
    copier = Copier(disk, share.root)
    executor = share.deliver(journal, disk, copier=copier)
    assert executor.commit(plans) == []
    assert executor.finish_copied() == []
    assert set(executor.copying_plans) == {plan.id for plan in plans} == {plan.id for plan in journal.open_plans()}
    assert {share.plan_state(plan) for plan in plans if not share.plan_state(plan).startswith("left over")} <= {"undone"}
    disk.go_on.set()
    results = finish(executor, copier)
    assert [type(result) for result in results] == [PlanCommitted] * 64
    assert {share.plan_state(plan) for plan in plans} == {"done"}
    assert set(disk.copying_threads) == {"copy"}
    assert journal.open_plans() == []
    copier.close()


def test_a_plan_within_one_filesystem_does_not_wait_for_the_copies_of_others(share: Share, journal: Journal, disk: SlowCopies) -> None:
    """It is carried out at once, in the same commit."""
    across, within = share.worked("a", "hero"), share.plan("b", "brief", (share.take("selected/b.toml", "masked/b.toml", b"brief"),), ())
    copier = Copier(disk, share.root)
    executor = share.deliver(journal, disk, copier=copier)
    assert [type(result) for result in executor.commit([across, within])] == [PlanCommitted]
    assert share.files()["masked/b.toml"] == b"brief"
    disk.go_on.set()
    assert [result.plan.id for result in finish(executor, copier)] == [across.id]
    copier.close()


def test_a_stopped_copy_is_finished_by_the_recovery(share: Share, journal: Journal, disk: SlowCopies) -> None:
    """The end of the daemon does not wait for it. The plan stays open, and the next start carries it out once."""
    plan = share.worked("a")
    copier = Copier(disk, share.root)
    assert share.deliver(journal, disk, copier=copier).commit([plan]) == []
    copier.close()
    assert copier.fd == -1
    assert [open_plan.id for open_plan in journal.open_plans()] == [plan.id]
    assert [type(result) for result in recover_plans(share.deliver(journal, Disk(Script(), mounts=("archive",))))] == [PlanCommitted]
    assert share.plan_state(plan) == "done"


def _commit_with(share: Share, journal: Journal, disk: Disk, plan: Plan) -> list[PlanResult]:
    with contextlib.closing(ImmediateCopier(disk, share.root)) as copier:
        executor = share.deliver(journal, disk, copier=copier)
        assert executor.commit([plan]) == []
        return executor.finish_copied()


def test_an_input_that_changes_during_its_copy_undoes_the_plan(share: Share, journal: Journal) -> None:
    """The new bytes stay at the source, and no copy is left over."""
    plan = share.worked("a")

    class Meddling(Disk):
        def copy(self, source: PathAt, target: PathAt, *others: object) -> str:
            digest = super().copy(source, target)
            share.put("selected/hero.png", b"saved over, and longer")
            return digest

    results = _commit_with(share, journal, Meddling(Script(), mounts=("archive",)), plan)
    assert [type(result) for result in results] == [FilesChanged]
    files = share.files()
    assert files["selected/hero.png"] == b"saved over, and longer"
    assert [path for path in files if "goldsmith" in path] == []
    assert journal.open_plans() == []


def test_a_disk_that_is_full_during_a_copy_pauses_and_leaves_nothing_over(share: Share, journal: Journal) -> None:
    """The failure is reported when the plan is carried out, and every file is where it was."""
    plan = share.worked("a")

    class Full(Disk):
        def copy(self, source: PathAt, target: PathAt, *others: object) -> str:
            os.close(self.create(target))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (result,) = _commit_with(share, journal, Full(Script(), mounts=("archive",)), plan)
    assert isinstance(result, PlanHalted)
    assert (result.is_pending, "No space left" in result.sentence) == (False, True)
    assert share.plan_state(plan) == "undone"
    assert journal.open_plans() == []


def test_a_prepared_copy_that_somebody_has_replaced_is_not_used(share: Share, journal: Journal) -> None:
    """The commit makes another copy, of the right bytes."""
    plan = share.worked("a")
    disk = Disk(Script(), mounts=("archive",))
    with contextlib.closing(ImmediateCopier(disk, share.root)) as copier:
        executor = share.deliver(journal, disk, copier=copier)
        executor.commit([plan])
        for copy in (share.root / "archive").rglob(".goldsmith-copy-*"):
            copy.unlink()
            copy.write_bytes(b"something else")
        assert [type(result) for result in executor.finish_copied()] == [PlanCommitted]
    assert share.plan_state(plan) == "done"


def test_bind_mounts_and_other_disks_are_told_by_their_mounts(tmp_path: Path) -> None:
    """Between two mounts a file is copied, also if both are of one filesystem."""
    for name in ("one", "two", "bound"):
        (tmp_path / name).mkdir()
    fs = Filesystem()
    with contextlib.ExitStack() as stack:

        def opened(name: str) -> int:
            fd = os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, fd)
            return fd

        assert fs.can_rename_between(opened("one"), opened("two"))
        assert mount_id(opened("one")) == mount_id(opened("two"))
        command = ["mount", "--bind", str(tmp_path / "two"), str(tmp_path / "bound")]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("bind mounts are not allowed")
        try:
            assert not fs.can_rename_between(opened("one"), opened("bound"))
        finally:
            stack.close()
            subprocess.run(["umount", str(tmp_path / "bound")], check=True)
