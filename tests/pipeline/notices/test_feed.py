"""The feed finds each thing once: reviews, problems, campaigns that are done, and what stops the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doubles.history_rows import history_row
from goldsmith.journal.journal import Journal
from goldsmith.journal.notice_record import ChannelState, Notice, NoticeRecord
from goldsmith.pipeline.notices import feed as feed_module
from goldsmith.pipeline.notices.feed import CAMPAIGN_QUIET_SECONDS, NoticeFeed, Surroundings, campaign_of
from goldsmith.pipeline.notices.machine_conditions import GRACE_SECONDS, MachineConditions
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.service.setup import Setup, build_explainer

RUNNING = DaemonState(holder="process 1 on atelier")
# Looks at the journal and records what it finds; returns the notices.
Look = Callable[..., list[Notice]]


@pytest.fixture
def look(setup: Setup, journal: Journal, record: NoticeRecord) -> Look:
    feed = NoticeFeed(setup.pipeline, record, MachineConditions(str(setup.root)))

    def look_once(now: float = 1000.0, daemon: DaemonState = RUNNING) -> list[Notice]:
        reading, _ = feed.look(Surroundings(journal, daemon, lambda: build_explainer(setup, journal, daemon)), now)
        record.add(reading, {notice.key: ["phone"] for notice in reading.notices})
        return list(reading.notices)

    return look_once


def hold(journal: Journal, path: str = "inbox/acme/a.png", sentence: str = "a.png is empty.") -> None:
    journal.record_hold(path, "fp", sentence, "Save it again.", "", 900.0)


def test_a_problem_is_told_once_until_it_is_solved(look: Look, journal: Journal) -> None:
    """Held again after somebody has tried, it is told again."""
    look()
    hold(journal)
    (notice,) = look()
    assert (notice.kind, notice.campaign, notice.path) == ("problem", "acme", "inbox/acme/a.png")
    assert notice.sentence == "a.png is empty. Save it again."
    assert look() == []
    hold(journal, sentence="a.png is cut off.")
    assert [each.sentence for each in look()] == ["a.png is cut off. Save it again."]
    journal.release_hold("inbox/acme/a.png")
    assert look() == []
    hold(journal, sentence="a.png is cut off.")
    assert len(look()) == 1


def test_the_first_look_tells_nothing_of_what_waits_already(look: Look, journal: Journal) -> None:
    """Nobody wants a message about every problem of the last year."""
    hold(journal)
    journal.record_problem(history_row("selected/a.png", "review/a.png"))
    known = look()
    assert [each.kind for each in known] == ["problem"]  # on record as known; the caller tells it on no channel
    assert look() == []


def test_a_result_in_review_is_told_once_for_all_its_files(look: Look, journal: Journal) -> None:
    """Its sheet, its brief and the copy of its original are no results of their own; of candidates the first stands for all."""
    look()
    results = ("review/acme/hero.review.jpg", "review/acme/hero.png", "review/acme/hero.review.before.png", "review/acme/hero.toml")
    journal.record_problem(history_row("selected/acme/hero.png", *results))
    journal.record_problem(history_row("inbox/b.png", "review/b.candidates.jpg", "review/b.1.png", "review/b.2.png", stage="generate"))
    journal.record_problem(history_row("selected/c.png", "masked/c.png"))
    assert [(each.kind, each.campaign, each.path) for each in look()] == [
        ("review", "acme", "review/acme/hero.png"),
        ("review", "", "review/b.1.png"),
    ]
    assert look() == []


def test_a_campaign_is_done_when_nothing_more_of_it_waits(look: Look, journal: Journal, setup: Setup) -> None:
    """Two deliveries, a picture that still has an instruction, and then the end of it."""
    look()
    for name in ("a", "b"):
        delivered = (f"delivered/acme/{name}_web.jpg", f"delivered/acme/{name}.manifest.json")
        journal.record_problem(
            history_row(f"graded/acme/{name}.png", *delivered, stage="deliver", outcome="delivered", started_at=1000.0, taken_at=1000.0)
        )
    later = 1000.0 + CAMPAIGN_QUIET_SECONDS
    waiting = setup.root / "masked" / "acme" / "web" / "c.toml"
    waiting.parent.mkdir(parents=True)
    (waiting.parent / "c.png").write_bytes(b"x")
    waiting.write_text('[[grade]]\nop = "grade"\n')
    assert look(later) == []
    assert look(later) == []
    waiting.unlink()
    assert look(later - 1) == []
    assert look(later, DaemonState()) == []
    (notice,) = look(later)
    assert (notice.kind, notice.campaign, notice.path) == ("campaign done", "acme", "delivered/acme/b_web.jpg")
    assert notice.sentence == "2 pictures delivered, and nothing of it waits or is at work."
    assert look(later + 1000) == []


@pytest.mark.parametrize("path", ["review/acme/x.png", "review/approve/acme/x.png", "inbox/acme/x.png"])
def test_a_picture_that_waits_for_a_person_keeps_its_campaign_open(look: Look, journal: Journal, setup: Setup, path: str) -> None:
    """In review/, in a tray, or held with a note."""
    look()
    journal.record_problem(history_row("graded/acme/a.png", "delivered/acme/a.jpg", stage="deliver", outcome="delivered", taken_at=1000.0))
    (setup.root / path).parent.mkdir(parents=True)
    (setup.root / path).write_bytes(b"x")
    (setup.root / path).with_name("x.png.problem.txt" if path.startswith("inbox") else "x.toml").write_text('title = "x"\n')
    look(5000.0)
    assert look(5000.0) == []
    assert [name.unlink() for name in (setup.root / path).parent.iterdir()]
    assert [each.kind for each in look(5000.0)] == ["campaign done"]


def test_a_job_at_work_keeps_its_campaign_open(look: Look, journal: Journal) -> None:
    """Its files may all be in the archive already."""
    look()
    journal.record_problem(history_row("graded/acme/a.png", "delivered/acme/a.jpg", stage="deliver", outcome="delivered", taken_at=1000.0))
    journal.record_queued("j", "edit", "cpu", "selected/acme/web/b.png", 990.0)
    look(5000.0)
    assert look(5000.0) == []
    journal.remove_job("j")
    assert [each.kind for each in look(5000.0)] == ["campaign done"]


def test_pictures_outside_of_campaigns_are_no_campaign_that_could_be_done(look: Look, journal: Journal) -> None:
    """Whoever drops pictures one by one gets no message for each."""
    look()
    journal.record_problem(history_row("graded/a.png", "delivered/a.jpg", stage="deliver", outcome="delivered", taken_at=1000.0))
    look(5000.0)
    assert look(5000.0) == []


def test_a_new_journal_is_read_from_its_beginning(look: Look, journal: Journal, record: NoticeRecord) -> None:
    """The old one was broken: what it had is not told again, because its jobs are known, and what is new is told."""
    look()
    journal.record_problem(history_row("selected/a.png", "review/a.png", job_id="old"))
    assert len(look()) == 1
    kept = journal.replace_broken(2000.0)
    assert kept.exists()
    for job_id in ("old", "new"):
        journal.record_problem(history_row("selected/a.png", "review/a.png", job_id=job_id))
    look()
    assert [each.key for each in record.due("phone", 10)[0]] == ["review:old", "review:new"]


def test_a_long_history_is_read_in_parts(setup: Setup, journal: Journal, record: NoticeRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood does not fill the memory, and nothing of it is lost."""
    monkeypatch.setattr(feed_module, "_MAX_ROWS", 2)
    feed = NoticeFeed(setup.pipeline, record, MachineConditions(str(setup.root)))
    around = Surroundings(journal, RUNNING, lambda: build_explainer(setup, journal, RUNNING))
    record.add(feed.look(around, 0.0)[0], {})
    for number in range(5):
        journal.record_problem(history_row(f"selected/{number}.png", f"review/{number}.png"))
    paths: list[str] = []
    is_more = True
    while is_more:
        reading, is_more = feed.look(around, 0.0)
        record.add(reading, {})
        paths += [each.path for each in reading.notices]
    assert paths == [f"review/{number}.png" for number in range(5)]


def test_what_stops_the_machine_is_told_after_a_minute_and_when_it_is_over(look: Look, record: NoticeRecord, setup: Setup) -> None:
    """The time of the next try is no news; a path of the server stays here; the end is told only to those who know of the beginning."""
    look()

    def full(minute: int) -> DaemonState:
        return RUNNING.model_copy(update={"pause_reason": f"{setup.root}/inbox is full. Next try at 12:{minute}."})

    assert look(1000.0, full(1)) == []
    (notice,) = look(1000.0 + GRACE_SECONDS, full(2))
    assert (notice.kind, notice.sentence) == ("machine", "inbox is full. Next try at 12:2.")
    assert look(2000.0, full(3)) == []
    record.record_told(ChannelState("phone", "channel 1"), [record.due("phone", 1)[0][0].number], 2000.0)
    (over,) = look(2001.0)
    assert (over.kind, over.sentence) == ("machine over", "Over: inbox is full. Next try at 12:2.")
    assert look(2002.0) == []


def test_what_has_ended_before_anybody_was_told_is_not_told_to_be_over(look: Look) -> None:
    """The digest had not gone out yet."""
    look()
    stopped = DaemonState()
    look(1000.0, stopped)
    (notice,) = look(1060.0, stopped)
    assert notice.sentence.startswith("Goldsmith is not running")
    assert look(1061.0) == []


def test_every_pause_and_missing_folder_is_a_notice_of_its_own(look: Look) -> None:
    """Of one sentence there is one."""
    look()
    daemon = RUNNING.model_copy(
        update={
            "queue_pauses": {"gpu": "The GPU has failed.", "cpu": ""},
            "unavailable_folders": {"inbox": "inbox/ is not there.", "inbox/acme": "inbox/ is not there."},
        }
    )
    look(1000.0, daemon)
    assert [each.sentence for each in look(1060.0, daemon)] == ["The GPU has failed.", "inbox/ is not there."]


def test_the_campaign_of_a_path_has_no_tray() -> None:
    """Folders of stages and trays are no campaigns."""
    paths = ["inbox/a.png", "inbox/acme/a.png", "review/acme/spring/a.png", "review/approve/acme/a.png", "review/Again/a.png"]
    assert list(map(campaign_of, paths)) == ["", "acme", "acme/spring", "acme", ""]
