"""Recovery: open plans are finished or undone, temporary files are deleted, and people's files are not touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.share import DAY, Share
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import FilesChanged, PlanCommitted, ResultsRejected
from goldsmith.pipeline.commit.recovery import recover_plans


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    journal = share.journal()
    yield journal
    journal.close()


def _record_plan(share: Share, journal: Journal, plan: Plan) -> Plan:
    """Record a plan, like a daemon that dies right afterwards."""
    journal.record_plans([plan])
    return plan


def _move(share: Share, source: str, destination: str) -> None:
    target = share.root / destination
    target.parent.mkdir(parents=True, exist_ok=True)
    (share.root / source).rename(target)


def test_a_recorded_plan_is_finished(share: Share, journal: Journal) -> None:
    """Finished work is not discarded. A second recovery changes nothing."""
    plan = _record_plan(share, journal, share.worked("a"))
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.plan_state(plan) == "done"
    assert recover_plans(share.deliver(journal)) == []
    assert [row.job_id for row in journal.history()] == ["a"]
    assert journal.placed_file("masked/hero.png") is not None


def test_a_changed_input_stays_and_the_other_inputs_return(share: Share, journal: Journal) -> None:
    """If a person saves over the mask while no daemon runs, the picture, which was already moved, returns."""
    plan = _record_plan(share, journal, share.worked("a"))
    _move(share, plan.consumes[0].path, plan.consumes[0].destination)
    (share.root / plan.consumes[1].path).write_bytes(b"another mask")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [FilesChanged]
    assert share.files() == {
        "selected/hero.png": b"picture hero",
        "selected/hero.mask.png": b"another mask",
        "selected/hero.toml": b"brief hero",
    }
    assert list(journal.history()) == []


def test_a_result_that_a_person_has_moved_on_counts_as_placed(share: Share, journal: Journal) -> None:
    """A result that has left the scratch folder was placed. A person moved it before the restart."""
    plan = _record_plan(share, journal, share.worked("a"))
    for take in plan.consumes:
        _move(share, take.path, take.destination)
    Path(plan.publishes[0].source).rename(share.root / "elsewhere.png")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.files()["masked/hero_web.avif"] == b"for the web hero"
    assert journal.placed_file("masked/hero.png") is None
    assert [row.job_id for row in journal.history()] == ["a"]


def test_the_inputs_return_if_the_scratch_folder_is_lost(share: Share, journal: Journal) -> None:
    """No input is archived for a result that does not exist any more."""
    plan = _record_plan(share, journal, share.worked("a"))
    _move(share, plan.consumes[0].path, plan.consumes[0].destination)
    for put in plan.publishes:
        Path(put.source).unlink()
    assert recover_plans(share.deliver(journal)) == [ResultsRejected(plan, is_missing=True)]
    assert share.plan_state(plan) == "undone"


def test_a_new_file_at_a_source_stays(share: Share, journal: Journal) -> None:
    """The plan is finished with the old input, and the new file is new work."""
    plan = _record_plan(share, journal, share.worked("a"))
    for take in plan.consumes:
        _move(share, take.path, take.destination)
    share.put("selected/hero.png", b"the next one")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.files()["selected/hero.png"] == b"the next one"
    assert share.files()[f"archive/{DAY}/selected/hero.png"] == b"picture hero"


def test_a_name_that_was_taken_meanwhile_leads_to_the_next_version(share: Share, journal: Journal) -> None:
    """Recovery overwrites no file."""
    _record_plan(share, journal, share.worked("a"))
    share.put("masked/hero.png", b"somebody's")
    recover_plans(share.deliver(journal))
    assert share.files()["masked/hero.png"] == b"somebody's"
    assert share.files()["masked/hero_v002.png"] == b"finished hero"


def test_scratch_folders_and_unfinished_files_are_deleted(share: Share, journal: Journal) -> None:
    """They belong to ended jobs. People's files stay, and the archive and the library are not searched."""
    share.put(".goldsmith/work/old/0.png", b"x")
    share.put("masked/acme/.goldsmith-new-0123", b"half")
    share.put("masked/.goldsmith-copy-plan-x-0", b"half")
    share.put("masked/.hidden", b"somebody's")
    share.put("library/.goldsmith-new-0123", b"not looked at")
    recover_plans(share.deliver(journal))
    assert share.files() == {"masked/.hidden": b"somebody's", "library/.goldsmith-new-0123": b"not looked at"}
    assert list((share.root / ".goldsmith/work").iterdir()) == []


def test_the_results_of_an_open_plan_outlive_the_process_that_made_them(share: Share, journal: Journal) -> None:
    """Everything else in the folder of the process is deleted: the folders of other jobs, and its temporary files."""
    takes = (share.take("selected/hero.png", f"archive/{DAY}/selected/hero.png", b"picture"),)
    puts = (
        share.result("worker-a/a", "000.png", "masked/hero.png", b"result"),
        share.result("a", "text-toml", "masked/hero.toml", b"text"),
    )
    _record_plan(share, journal, share.plan("a", "hero", takes, puts))
    (share.root / "archive").rename(share.root / "elsewhere")
    share.put(".goldsmith/work/worker-a/b/0.png", b"of a job without a plan")
    share.put(".goldsmith/work/worker-a/tmp/x", b"temporary")
    share.put(".goldsmith/work/worker-b/c/0.png", b"of another process")
    work = share.root / ".goldsmith/work"
    recover_plans(share.deliver(journal))
    assert {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()} == {"worker-a/a/000.png", "a/text-toml"}
    assert sorted(path.name for path in (work / "worker-a").iterdir()) == ["a"]


def test_a_parked_input_of_a_lost_journal_gets_a_visible_name(share: Share, journal: Journal) -> None:
    """The input may be the only copy, so it is never deleted. Its suffix follows from its contents."""
    share.put("selected/acme/.goldsmith-taken-plan-a-0", b"\x89PNG\r\n\x1a\n and so on")
    recover_plans(share.deliver(journal))
    assert share.files() == {"selected/acme/restored-plan-a-0.png": b"\x89PNG\r\n\x1a\n and so on"}
