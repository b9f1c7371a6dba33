"""After a start: what was begun is ended, what lies about is cleared, and nothing that is somebody's is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.share import DAY, Share
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import FilesChanged, PlanCommitted
from goldsmith.pipeline.commit.recovery import recover_plans


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    journal = share.journal()
    yield journal
    journal.close()


def _recorded(share: Share, journal: Journal, plan: Plan) -> Plan:
    """A plan as a daemon leaves it that dies right after recording it."""
    plan = share.deliver(journal)._with_publish_sigs(plan)
    journal.record_plans([plan])
    return plan


def _move(share: Share, origin: str, goal: str) -> None:
    target = share.root / goal
    target.parent.mkdir(parents=True, exist_ok=True)
    (share.root / origin).rename(target)


def test_a_recorded_plan_is_carried_out(share: Share, journal: Journal) -> None:
    """The work is done and safe; it is not thrown away. A second recovery finds nothing to do."""
    plan = _recorded(share, journal, share.worked("a"))
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.way(plan) == "there"
    assert recover_plans(share.deliver(journal)) == []
    assert [row.job_id for row in journal.history()] == ["a"]
    assert journal.placed_file("masked/hero.png") is not None


def test_a_changed_input_is_left_and_the_rest_goes_back(share: Share, journal: Journal) -> None:
    """While nobody ran, somebody saved over the mask: picture and brief, already taken, come home."""
    plan = _recorded(share, journal, share.worked("a"))
    _move(share, plan.consumes[0].path, plan.consumes[0].destination)
    (share.root / plan.consumes[1].path).write_bytes(b"another mask")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [FilesChanged]
    assert share.files() == {
        "selected/hero.png": b"picture hero",
        "selected/hero.mask.png": b"another mask",
        "selected/hero.toml": b"brief hero",
    }
    assert list(journal.history()) == []


def test_a_result_that_was_moved_on_meanwhile_counts_as_put_down(share: Share, journal: Journal) -> None:
    """It left scratch, so it was there; a person dragged it on before the restart. It is not made a second time."""
    plan = _recorded(share, journal, share.worked("a"))
    for take in plan.consumes:
        _move(share, take.path, take.destination)
    Path(plan.publishes[0].source).rename(share.root / "elsewhere.png")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.files()["masked/hero_web.avif"] == b"for the web hero"
    assert journal.placed_file("masked/hero.png") is None
    assert [row.job_id for row in journal.history()] == ["a"]


def test_lost_scratch_brings_the_inputs_home(share: Share, journal: Journal) -> None:
    """Nothing is archived for a result that is no more."""
    plan = _recorded(share, journal, share.worked("a"))
    _move(share, plan.consumes[0].path, plan.consumes[0].destination)
    for put in plan.publishes:
        Path(put.source).unlink()
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [FilesChanged]
    assert share.way(plan) == "home"


def test_a_place_that_was_filled_again_is_respected(share: Share, journal: Journal) -> None:
    """The input was taken, a newer one lies in its place: the plan is finished with the old one and the new one is new work."""
    plan = _recorded(share, journal, share.worked("a"))
    for take in plan.consumes:
        _move(share, take.path, take.destination)
    share.put("selected/hero.png", b"the next one")
    assert [type(result) for result in recover_plans(share.deliver(journal))] == [PlanCommitted]
    assert share.files()["selected/hero.png"] == b"the next one"
    assert share.files()[f"archive/{DAY}/selected/hero.png"] == b"picture hero"


def test_a_name_taken_meanwhile_makes_a_version(share: Share, journal: Journal) -> None:
    """Recovery never writes over anything either."""
    _recorded(share, journal, share.worked("a"))
    share.put("masked/hero.png", b"somebody's")
    recover_plans(share.deliver(journal))
    assert share.files()["masked/hero.png"] == b"somebody's"
    assert share.files()["masked/hero_v002.png"] == b"finished hero"


def test_scratch_and_half_files_are_cleared(share: Share, journal: Journal) -> None:
    """Of jobs that are no more; what people put there stays, the archive and the library are not searched."""
    share.put(".goldsmith/work/old/0.png", b"x")
    share.put("masked/acme/.goldsmith-new-0123", b"half")
    share.put("masked/.goldsmith-copy-plan-x-0", b"half")
    share.put("masked/.hidden", b"somebody's")
    share.put("library/.goldsmith-new-0123", b"not looked at")
    recover_plans(share.deliver(journal))
    assert share.files() == {"masked/.hidden": b"somebody's", "library/.goldsmith-new-0123": b"not looked at"}
    assert list((share.root / ".goldsmith/work").iterdir()) == []


def test_an_input_parked_by_a_lost_journal_gets_a_name_again(share: Share, journal: Journal) -> None:
    """It may be the only copy: it is never removed, and its suffix says what it is."""
    share.put("selected/acme/.goldsmith-taken-plan-a-0", b"\x89PNG and so on")
    recover_plans(share.deliver(journal))
    assert share.files() == {"selected/acme/restored-plan-a-0.png": b"\x89PNG and so on"}
