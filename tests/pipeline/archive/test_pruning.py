"""Pruning removes what is old and what nothing needs: no file of a young delivery, of a picture in work, or of a person."""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from goldsmith.brief.pipeline import read_pipeline
from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, Consume, HistoryRow, PlacedFile, Plan
from goldsmith.pipeline.archive.archived_files import measure_archive
from goldsmith.pipeline.archive.daily_pruning import DailyPruning
from goldsmith.pipeline.archive.pruning import PruneReport, Pruning
from goldsmith.root_folder import RootFolder

NOW = 1_790_000_000.0
DAYS = 90
FOLDERS = ("inbox", "selected", "masked", "delivered")
_STAGES = (f'[[stage]]\nname = "{each}-work"\nfolder = "{each}"\nnext = "{after}"\nsteps = "*"\n' for each, after in pairwise(FOLDERS))
PIPELINE = read_pipeline("".join(_STAGES).encode(), "pipeline.toml")


class Store:
    """A root with an archive and a journal, in which jobs were done some days ago."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        for folder in (*FOLDERS, "archive"):
            (self.root / folder).mkdir(parents=True)
        self.journal = Journal.open(place / "journal.sqlite")
        self.journal._db.execute("UPDATE migration SET at = 0")

    def put(self, path: str, data: bytes = b"0123456789") -> str:
        at = self.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)
        return path

    def job(self, job_id: str, path: str, result: str, days_ago: float, parent: str = "") -> str:
        """Record a job that archived its input; the result is not put down. Return the input's path in the archive."""
        archived = self.put(f"archive/{day(days_ago)}/{path}")
        sheet = self.put(f"archive/{day(days_ago)}/{path}_sheet.jpg")
        row = HistoryRow(
            job_id=job_id,
            path=path,
            sha256="aa",
            started_at=moment(days_ago),
            taken_at=moment(days_ago),
            stage=path.partition("/")[0],
            outcome="delivered" if result.startswith("delivered") else "passed",
            results=(result,),
            parent_job_id=parent,
            record={"archived": {path: archived}, "archive_only": [{"archived": sheet}], "inputs": [{"path": path}]},
        )
        placed = PlacedFile(path=result, sig=FileSignature(1, 2, 3, 4, 5), sha256="bb", job_id=job_id)
        self.journal.complete_plans([CompletedPlan("", (row,), (placed,), ())])
        return archived

    def manifest(self, name: str, days_ago: float, archived: dict[str, str], beside: str = "") -> Path:
        """Write the manifest of a delivery with these inputs; ``beside``: a sheet that it names."""
        inputs = [{"role": "picture", "name": "", "path": path, "sha256": "ab" * 32} for path in archived]
        stage = {
            "stage": "edit",
            "queue": "cpu",
            "stem": "a",
            "seed": 1,
            "prompt": "",
            "mask_fit": "refuse",
            "mask_from": "files",
            "working": "png",
            "deliver": True,
            "inputs": inputs,
            "steps": [],
            "outputs": [],
            "archived": archived,
            "environment": {},
            "archive_only": [{"archived": beside}] if beside else [],
        }
        content = {
            "goldsmith": "1",
            "delivered_at": datetime.fromtimestamp(moment(days_ago), UTC).isoformat(),
            "deliverables": [{"file": "a.png", "sha256": "ab" * 32, "bytes": 1}],
            "stages": [stage],
        }
        path = self.root / self.put(f"delivered/{name}.manifest.json", json.dumps(content).encode())
        os.utime(path, (moment(days_ago), moment(days_ago)))
        return path

    def prune(self, *, is_dry_run: bool = False) -> PruneReport:
        pruning = Pruning(self.root, PIPELINE, self.journal, DAYS, NOW, is_dry_run=is_dry_run)
        deque(pruning.steps(), maxlen=0)
        return pruning.report

    def archive(self) -> set[str]:
        """Return the files of the archive."""
        folder = self.root / "archive"
        return {str(path.relative_to(self.root)) for path in folder.rglob("*") if not path.is_dir()}

    def jobs(self) -> list[str]:
        return [row.job_id for row in self.journal.history()]


def moment(days_ago: float) -> float:
    return NOW - 86_400 * days_ago


def day(days_ago: float) -> str:
    return datetime.fromtimestamp(moment(days_ago), UTC).strftime("%Y-%m-%d")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_old_and_not_needed_is_removed(store: Store) -> None:
    """Files, rows, their index and their placed files go; what is young stays. Empty folders of old days go, too."""
    store.job("old", "inbox/a.png", "delivered/a.png", 100)
    young = store.job("young", "inbox/b.png", "delivered/b.png", 80)
    report = store.prune()
    assert store.archive() == {young, f"{young}_sheet.jpg"}
    assert sorted(os.listdir(store.root / "archive")) == [day(80)]
    assert store.jobs() == ["young"]
    assert (report.files, report.file_bytes, report.rows, report.kept_files) == (2, 20, 1, 0)
    assert report.row_bytes > 100
    assert list(store.journal.related_rows(["inbox/a.png"])) == []
    assert store.journal.placed_file("delivered/a.png") is None
    assert store.journal.placed_file("delivered/b.png") is not None
    assert store.journal.pruned_before() == day(90)


def test_a_dry_run_says_the_same_and_changes_nothing(store: Store) -> None:
    """The report of the dry run is that of the run after it."""
    for number in range(120):
        store.job(f"{number}-1", f"inbox/{number}.png", f"selected/{number}.png", 100)
        store.job(f"{number}-2", f"selected/{number}.png", f"delivered/{number}.png", 95 if number % 2 else 50, parent=f"{number}-1")
    files, jobs = store.archive(), store.jobs()
    before = store.prune(is_dry_run=True)
    assert (store.archive(), store.jobs(), store.journal.pruned_before()) == (files, jobs, "")
    assert (before.rows, before.files, before.kept_files) == (120, 240, 120)
    assert store.prune() == before
    assert len(store.jobs()) == 120


def test_the_whole_chain_of_a_young_delivery_stays(store: Store) -> None:
    """Its original was archived a year ago, its second stage half a year ago: a replay needs the first, and the manifest names both."""
    first = store.job("1", "inbox/a.png", "selected/a.png", 365)
    second = store.job("2", "selected/a.png", "masked/a.png", 180, parent="1")
    store.job("3", "masked/a.png", "delivered/a.png", 10, parent="2")
    other = store.job("x", "inbox/x.png", "selected/x.png", 365)
    store.prune()
    assert {first, second, f"{first}_sheet.jpg"} <= store.archive()
    assert other not in store.archive()
    assert store.jobs() == ["1", "2", "3"]


def test_the_whole_chain_of_a_picture_that_still_waits_stays(store: Store) -> None:
    """A picture has waited in masked/ for half a year: its delivery, some day, is younger than the limit."""
    first = store.job("1", "inbox/a.png", "selected/a.png", 200)
    second = store.job("2", "selected/a.png", "masked/a.png", 180, parent="1")
    store.put("masked/a.png")
    store.prune()
    assert {first, second} <= store.archive()
    assert store.jobs() == ["1", "2"]
    (store.root / "masked/a.png").unlink()
    store.prune()
    assert store.archive() == set()
    assert store.jobs() == []


def test_a_delivered_file_that_still_lies_there_keeps_nothing(store: Store) -> None:
    """Deliveries stay in the last folder for years; they are old when the limit says so."""
    store.job("1", "inbox/a.png", "delivered/a.png", 200)
    store.put("delivered/a.png")
    manifest = store.manifest("a", 200, {"inbox/a.png": f"archive/{day(200)}/inbox/a.png"})
    report = store.prune()
    assert (store.archive(), report.old_deliveries, manifest.exists()) == (set(), 1, True)


def test_what_the_manifest_of_a_young_delivery_names_stays_without_the_journal(store: Store) -> None:
    """The journal was lost. The manifest names an original of last year and a contact sheet."""
    original, sheet = store.put(f"archive/{day(365)}/inbox/a.png"), store.put(f"archive/{day(365)}/inbox/a_sheet.jpg")
    other = store.put(f"archive/{day(365)}/inbox/b.png")
    store.manifest("a", 10, {"inbox/a.png": original}, sheet)
    report = store.prune()
    assert store.archive() == {original, sheet}
    assert (report.files, report.kept_files) == (1, 2)
    assert other not in store.archive()


def test_an_original_that_was_moved_to_another_day_stays(store: Store) -> None:
    """A replay looks for it under every day and number, so these stay while the recorded one is not there."""
    moved = store.put(f"archive/{day(400)}/inbox/a~2.png")
    store.manifest("a", 10, {"inbox/a.png": f"archive/{day(365)}/inbox/a.png"})
    store.prune()
    assert store.archive() == {moved}


def test_the_manifest_itself_says_how_old_a_delivery_is(store: Store) -> None:
    """A file that was touched yesterday may be the manifest of an old delivery; one without a date counts as young."""
    originals = [store.put(f"archive/{day(365)}/inbox/{name}.png") for name in ("a", "b")]
    for number, (name, days_ago) in enumerate((("a", 200.0), ("b", 200.0))):
        path = store.manifest(name, days_ago, {f"inbox/{name}.png": originals[number]})
        if name == "b":
            content = json.loads(path.read_bytes())
            del content["delivered_at"]
            path.write_text(json.dumps(content))
        os.utime(path, (moment(1), moment(1)))
    store.prune()
    assert store.archive() == {originals[1]}


@pytest.mark.parametrize("content", [b"no json", b"{}", b'{"goldsmith": "1", "deliverables": [], "stages": []}'])
def test_a_young_manifest_that_cannot_be_read_stops_the_run_before_it_begins(store: Store, content: bytes) -> None:
    """It might need anything. The sentence names it and says what to do."""
    old = store.job("1", "inbox/a.png", "delivered/a.png", 200)
    path = store.put("delivered/b.manifest.json", content)
    os.utime(store.root / path, (moment(1), moment(1)))
    with pytest.raises(InputError, match=r"Nothing is pruned: delivered/b\.manifest\.json cannot be read") as refusal:
        store.prune()
    assert "move it out" in refusal.value.remedy
    assert old in store.archive()
    assert store.jobs() == ["1"]


def test_files_of_people_in_the_archive_stay(store: Store) -> None:
    """Only folders that are called like a day are pruned; a link is removed as a link, and nothing behind it."""
    kept = {store.put("archive/read me.txt"), store.put("archive/2019/inbox/a.png")}
    outside = store.root / "library.png"
    outside.write_bytes(b"outside")
    store.put(f"archive/{day(200)}/inbox/a.png")
    os.symlink(outside, store.root / f"archive/{day(200)}/inbox/link.png")
    os.symlink(store.root / "inbox", store.root / f"archive/{day(201)}")
    store.put("inbox/waiting.png")
    store.prune()
    assert store.archive() == kept
    assert outside.read_bytes() == b"outside"
    assert (store.root / "inbox/waiting.png").exists()


def test_a_commit_under_way_keeps_the_row_that_it_will_name(store: Store) -> None:
    """The picture has left masked/ and its row is not written yet: only the open plan knows its parent."""
    first = store.job("1", "inbox/a.png", "masked/a.png", 200)
    row = HistoryRow(job_id="2", path="masked/a.png", sha256="aa", started_at=NOW, stage="grade", outcome="delivered", parent_job_id="1")
    consume = Consume(path="masked/a.png", sig=FileSignature(1, 2, 3, 4, 5), sha256="bb", destination=f"archive/{day(0)}/masked/a.png")
    store.journal.record_plans([Plan(id="p", job_id="2", stem="a", consumes=(consume,), history_row=row)])
    store.prune()
    assert first in store.archive()
    assert store.jobs() == ["1"]


def test_a_journal_that_is_younger_than_the_limit_prunes_nothing(store: Store) -> None:
    """After a loss of the journal, a new one does not know what the pictures in the folders need. It says since when it knows."""
    old = store.put(f"archive/{day(365)}/inbox/a.png")
    store.journal._db.execute("UPDATE migration SET at = ?", (moment(80),))
    report = store.prune()
    assert (report.files, report.rows, report.journal_began_at) == (0, 0, moment(80))
    assert old in store.archive()
    store.journal._db.execute("UPDATE migration SET at = ?", (moment(91),))
    assert store.prune().files == 1


def test_a_journal_that_is_replaced_during_a_run_ends_it(store: Store) -> None:
    """The rows that protected a picture in work are gone with the broken journal."""
    originals = [store.job(f"{number}-1", f"inbox/{number}.png", f"masked/{number}.png", 200) for number in range(30)]
    for number in range(30):
        store.put(f"masked/{number}.png")
    steps = Pruning(store.root, PIPELINE, store.journal, DAYS, NOW, is_dry_run=False).steps()
    next(steps)
    store.journal.replace_broken(NOW)
    deque(steps, maxlen=0)
    assert len(store.archive() & set(originals)) >= 29


def test_a_run_that_is_interrupted_is_completed_by_the_next(store: Store) -> None:
    """It may stop between any two steps: nothing that is needed is missing, and the next run ends like an undisturbed one."""
    for number in range(60):
        store.job(f"{number}-1", f"inbox/{number}.png", f"selected/{number}.png", 100)
        store.job(f"{number}-2", f"selected/{number}.png", f"delivered/{number}.png", 40 if number < 5 else 95, parent=f"{number}-1")
    for count in (1, 2, 3, 7, 30):
        steps = Pruning(store.root, PIPELINE, store.journal, DAYS, NOW, is_dry_run=False).steps()
        for _ in range(count):
            next(steps, None)
        assert all(f"archive/{day(100)}/inbox/{number}.png" in store.archive() for number in range(5))
    store.prune()
    assert sorted(store.jobs()) == sorted(f"{number}-{stage}" for number in range(5) for stage in (1, 2))
    assert len(store.archive()) == 20


def test_a_file_that_cannot_be_removed_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go; a failing disk ends the run."""
    store.job("1", "inbox/a.png", "delivered/a.png", 200)
    unlink = RootFolder.unlink

    def refuse(self: RootFolder, path: str, number: int = errno.EACCES) -> None:
        if path.endswith("a.png"):
            raise OSError(number, os.strerror(number))
        unlink(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(RootFolder, "unlink", refuse)
        report = store.prune()
        assert (report.files, report.refused_files) == (1, 1)
        assert report.refusal == f"archive/{day(200)}/inbox/a.png cannot be removed: Permission denied."
        patched.setattr(RootFolder, "unlink", lambda self, path: refuse(self, path, errno.EIO))
        with pytest.raises(HostError, match="cannot be removed: Input/output error"):
            store.prune()


def test_the_journal_gives_its_room_back(store: Store) -> None:
    """After the rows of 300 jobs have gone, the file is smaller."""
    with store.journal.batch():
        for number in range(300):
            row = HistoryRow(
                job_id=str(number),
                path="inbox/a.png",
                sha256="aa",
                started_at=1.0,
                taken_at=moment(100),
                stage="edit",
                outcome="problem",
                record={"sentence": "x" * 5000},
            )
            store.journal.record_problem(row)
    pages = store.journal._db.execute("PRAGMA page_count").fetchone()[0]
    store.prune()
    assert store.journal._db.execute("PRAGMA page_count").fetchone()[0] < pages / 4


# ---------------------------------------------------------------------- the size, and the daemon's own pruning


def test_the_size_of_the_archive_is_counted_up_to_a_limit(store: Store) -> None:
    """No more files than the limit are looked at, the newest day first."""
    for number in range(30):
        store.put(f"archive/{day(100)}/inbox/{number}.png")
        store.put(f"archive/{day(10)}/inbox/{number}.png", b"x")
    size = measure_archive(store.root, 1000, 600.0)
    assert (size.files, size.bytes, size.is_complete, size.first_day) == (60, 330, True, day(100))
    size = measure_archive(store.root, 20, 600.0)
    assert (size.files, size.bytes, size.is_complete, size.first_day) == (20, 20, False, day(100))
    assert measure_archive(store.root, 1000, -1.0).files == 0


def test_the_daemon_prunes_in_short_turns_once_a_day(store: Store) -> None:
    """A turn ends after 10 ms of steps, the next one goes on; the event has the figures; then nothing happens for a day."""
    for number in range(40):
        store.job(str(number), f"inbox/{number}.png", f"delivered/{number}.png", 100)
    clock = [0.0]
    events: list[tuple[str, dict[str, object]]] = []

    def begin() -> Pruning:
        return Pruning(store.root, PIPELINE, store.journal, DAYS, NOW, is_dry_run=False)

    def tick() -> float:
        clock[0] += 0.004
        return clock[0]

    daily = DailyPruning(begin, tick, lambda event, **facts: events.append((event, facts)))
    daily.run_once()
    assert (store.jobs(), daily.seconds_until_due()) != ([], 0.0)
    clock[0] += 600
    turns = 0
    while not events:
        assert daily.seconds_until_due() == 0.0
        daily.run_once()
        turns += 1
    assert turns > 10
    assert (events[0][0], events[0][1]["files"], events[0][1]["rows"]) == ("pruned", 80, 40)
    assert 86_000 < (daily.seconds_until_due() or 0) <= 86_400
    assert DailyPruning(None, tick, lambda event, **facts: None).seconds_until_due() is None


def test_a_pruning_that_stops_is_told_and_tried_again_a_day_later(store: Store) -> None:
    """An unreadable manifest of a young delivery is a sentence in the log, and the daemon goes on."""
    path = store.put("delivered/b.manifest.json", b"no json")
    os.utime(store.root / path, (moment(1), moment(1)))
    clock = [0.0]
    events: list[tuple[str, dict[str, object]]] = []
    daily = DailyPruning(
        lambda: Pruning(store.root, PIPELINE, store.journal, DAYS, NOW, is_dry_run=False),
        lambda: clock[0],
        lambda event, **facts: events.append((event, facts)),
    )
    clock[0] = 601.0
    daily.run_once()
    assert [event for event, _ in events] == ["not pruned"]
    assert "delivered/b.manifest.json" in str(events[0][1]["sentence"])
    daily.run_once()
    assert len(events) == 1


def test_a_mistake_during_a_pruning_is_logged_with_its_traceback() -> None:
    """The sentence asks for a report, and does not blame the disk."""
    events: list[tuple[str, dict[str, object]]] = []
    clock = [0.0]

    def begin() -> Pruning:
        raise KeyError("rows")

    daily = DailyPruning(begin, lambda: clock[0], lambda event, **facts: events.append((event, facts)))
    clock[0] = 601.0
    daily.run_once()
    assert [event for event, _ in events] == ["not pruned"]
    assert events[0][1]["sentence"] == "Goldsmith met an error that it does not know: KeyError: 'rows'."
    assert "in begin" in str(events[0][1]["detail"])
