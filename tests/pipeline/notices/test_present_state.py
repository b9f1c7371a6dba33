"""What is told is true at that moment, and a picture that goes with it is one that a worker made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from doubles.history_rows import history_row
from goldsmith.files import FileSignature
from goldsmith.journal.journal import Journal
from goldsmith.journal.notice_record import Notice, NoticeRecord, Reading
from goldsmith.journal.records import CompletedPlan, PlacedFile
from goldsmith.pipeline.notices.message import Telling
from goldsmith.pipeline.notices.present_state import PresentState
from goldsmith.pipeline.previews.preview_maker import PreviewResult
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.root_folder import RootFolder
from goldsmith.service.setup import Setup, build_explainer

SHEET = "review/acme/hero.review.jpg"


class Present:
    """The present state of the root, and the pictures that were asked for."""

    def __init__(self, setup: Setup, journal: Journal, record: NoticeRecord) -> None:
        self.setup = setup
        self.journal = journal
        self.asked: list[str] = []
        explainer = build_explainer(setup, journal, DaemonState(holder="process 1 on atelier"))
        self.state = PresentState(RootFolder(setup.root), journal, record, explainer, self._make_previews)

    def _make_previews(self, paths: Sequence[str], side: int) -> dict[str, PreviewResult]:
        self.asked += paths
        results = {path: PreviewResult(f"preview of {path}".encode()) for path in paths}
        return results | {path: PreviewResult(reason="It is broken.") for path in paths if "broken" in path}

    def put(self, path: str, data: bytes) -> None:
        (self.setup.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.setup.root / path).write_bytes(data)

    def lay_for_review(self, sheet: bytes = b"sheet") -> Telling:
        """Lay a result with its sheet into review/ as a commit does, and return its notice."""
        row = history_row("selected/acme/hero.png", SHEET, "review/acme/hero.png")
        self.put(SHEET, sheet)
        self.put("review/acme/hero.png", b"x")
        sig = FileSignature.from_stat((self.setup.root / SHEET).stat())
        placed = PlacedFile(path=SHEET, sig=sig, sha256=hashlib.sha256(sheet).hexdigest(), job_id=row.job_id)
        self.journal.complete_plans([CompletedPlan("plan", (row,), (placed,), ())])
        return Telling(Notice(1, f"review:{row.job_id}", "review", "acme", "review/acme/hero.png", "", 0.0), "Waits.")


@pytest.fixture
def present(setup: Setup, journal: Journal, record: NoticeRecord) -> Present:
    return Present(setup, journal, record)


def about(kind: str, path: str) -> Telling:
    return Telling(Notice(1, f"{kind}:{path}", kind, "", path, "", 0.0), "A sentence.")


def test_a_review_has_the_sentence_of_why_and_goes_with_its_picture(present: Present) -> None:
    """Once somebody has dragged the picture away, there is nothing to tell."""
    notice = present.lay_for_review().notice
    (telling,) = present.state.check([notice])
    assert telling.sentence == present.state._explainer.explain_file("review/acme/hero.png")
    (present.setup.root / "review/acme/hero.png").unlink()
    assert present.state.check([notice]) == []


def test_a_problem_that_was_solved_is_not_told(present: Present, record: NoticeRecord) -> None:
    """The same is true of a machine that works again."""
    notices = [Notice(0, kind, kind, "", "inbox/a.png", f"{kind}!", 0.0) for kind in ("problem", "machine", "campaign done")]
    record.add(Reading(notices, (), (), (), 1.0, 1), {each.key: ["phone"] for each in notices})
    waiting = record.due("phone", 10)[0]
    assert [each.sentence for each in present.state.check(waiting)] == ["problem!", "machine!", "campaign done!"]
    record.add(Reading((), ("problem", "machine"), (), (), 1.0, 1), {})
    assert [each.sentence for each in present.state.check(waiting)] == ["campaign done!"]


def test_the_sheet_of_a_review_is_sent_as_the_worker_made_it(present: Present) -> None:
    """Its hash is on record, and no worker has to open it again."""
    telling = present.lay_for_review()
    assert present.state.pictures([telling]) == [("1-hero.jpg", b"sheet")]
    assert present.asked == []


@pytest.mark.parametrize("how", ["changed", "link", "gone"])
def test_a_sheet_that_somebody_has_replaced_is_not_sent(present: Present, how: str) -> None:
    """Who may write to the share could otherwise send any file of the server into the chat."""
    telling = present.lay_for_review()
    sheet = present.setup.root / SHEET
    sheet.unlink()
    if how == "changed":
        sheet.write_bytes(b"Sheet")
    elif how == "link":
        (present.setup.root / "elsewhere").write_bytes(b"sheet")
        sheet.symlink_to(present.setup.root / "elsewhere")
    assert present.state.pictures([telling]) == []


def test_at_most_three_pictures_go_with_a_message_and_sheets_come_first(present: Present) -> None:
    """A preview that cannot be made is left out; a name becomes one that every service takes."""
    review = present.lay_for_review()
    others = [about("problem", "inbox/broken.png"), about("problem", "inbox/ü b.png"), about("campaign done", "delivered/c.jpg")]
    assert present.state.pictures([*others, about("machine", ""), review]) == [
        ("1-hero.jpg", b"sheet"),
        ("2-__b.jpg", "preview of inbox/ü b.png".encode()),
    ]
    assert present.asked == ["inbox/broken.png", "inbox/ü b.png"]


def test_a_held_brief_has_no_picture(present: Present) -> None:
    """No worker is started for it."""
    assert present.state.pictures([about("problem", "inbox/hero.toml")]) == []
    assert present.asked == []
