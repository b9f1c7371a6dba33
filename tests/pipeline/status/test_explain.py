"""Law 7 from outside the daemon: one plain sentence for whatever may lie in the folders."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.files import FileSignature, resource_path
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile
from goldsmith.library.library import Library
from goldsmith.pipeline.intake.file_tracker import SettleTimes
from goldsmith.pipeline.scheduler.problem_notes import note_path
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer, generalise_sentence, walk_folder

SOMEBODY = DaemonState("process 1 on atelier", has_state_file=True)
# The time of day at which is asked, in Unix seconds.
NOW = 5.0
# A pace at which whatever lies there has been quiet long enough.
OLD = SettleTimes(quiet=0.0, breath=0.0, weak_quiet=0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("inbox", "selected", "masked", "graded", "delivered", "archive", "library"):
        (tmp_path / "hot" / folder).mkdir(parents=True)
    return tmp_path / "hot"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(tmp_path / "journal.sqlite")
    yield made
    made.close()


@pytest.fixture
def line() -> Pipeline:
    return read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")


Ask = Callable[..., Explainer]


@pytest.fixture
def ask(root: Path, line: Pipeline, journal: Journal) -> Ask:
    """``ask().why("inbox/hero.png")``, with a daemon running unless said otherwise."""

    def asking(
        daemon: DaemonState = SOMEBODY, pace: SettleTimes = OLD, remembered: Journal | None = journal, now: float = NOW
    ) -> Explainer:
        judge = Readiness(line, Resolver(line, Library(root).read_recipe), TextFileCache(root).read_bytes)
        return Explainer(root, line, judge, remembered, daemon, pace, lambda: now)

    return asking


def put(root: Path, *paths: str, data: bytes = b"x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def taken(journal: Journal, path: str, job_id: str, *results: str, lineage: str = "", outcome: str = "passed") -> None:
    row = HistoryRow(
        job_id=job_id,
        path=path,
        sha256="00",
        started_at=0.0,
        taken_at=1.0,
        stage="generate",
        outcome=outcome,
        results=results,
        parent_job_id=lineage,
    )
    placed = tuple(PlacedFile(path=result, sig=FileSignature(1, 2, 3, 4, 5), sha256="00", job_id=job_id) for result in results)
    journal.complete_plans([CompletedPlan(plan_id=job_id, history_rows=(row,), placed_files=placed, versions=())])


# --- what waits


def test_a_picture_alone_waits_for_an_instruction(root: Path, ask: Ask) -> None:
    """The sentence names the files that would be one."""
    put(root, "inbox/hero.png")
    said = ask().explain_file("inbox/hero.png")
    assert said == "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."


def test_a_step_waits_for_its_mask_by_name(root: Path, ask: Ask) -> None:
    """Which step of which stage needs it, and what the file must be called."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[edit]]\nop = "inpaint"\nwhere = "sky"\n')
    said = ask().explain_file("selected/hero.png")
    assert said == "Waiting for the mask “sky” (step 1 of edit needs it): put “hero.mask.sky.png” beside it."
    assert ask().explain_file("selected/hero.toml") == said


def test_a_mask_waits_for_its_picture(root: Path, ask: Ask) -> None:
    """Sidecars may come first."""
    put(root, "selected/hero.mask.png")
    assert ask().explain_file("selected/hero.mask.png").startswith("Waiting for its picture")


def test_the_end_of_a_brief_is_said(root: Path, ask: Ask) -> None:
    """A picture that went as far as its brief speaks waits for the next word or a hand."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[generate]]\nop = "select"\n')
    assert (
        ask().explain_file("selected/hero.png")
        == "Its brief ends with generate: add [[edit]] to hero.toml, or move the picture on by hand."
    )


def test_what_is_ready_says_what_comes_next_and_whether_anybody_is_there_to_do_it(root: Path, ask: Ask) -> None:
    """With a daemon and without one."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    assert ask().explain_file("selected/hero.png") == "All is there: edit is done to it next."
    assert (
        ask(DaemonState()).explain_file("selected/hero.png")
        == "All is there, but Goldsmith is not running here: edit is done to it next once it is."
    )


def test_a_file_that_somebody_writes_is_named(root: Path, ask: Ask) -> None:
    """The lease is refused while it is open for writing; afterwards the sentence is another."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    with (root / "selected/hero.mask.png").open("ab"):
        assert ask().explain_file("selected/hero.png") == "“hero.mask.png” is still being written by another program."
    assert ask().explain_file("selected/hero.png").startswith("All is there")


def test_asking_leaves_no_lease_behind(root: Path, ask: Ask) -> None:
    """Somebody who wants to write right after the question is not kept waiting."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    ask().explain_file("selected/hero.png")
    writer = os.open(root / "selected/hero.png", os.O_WRONLY | os.O_NONBLOCK)
    os.close(writer)
    assert signal.getsignal(signal.SIGURG) in (signal.SIG_DFL, signal.SIG_IGN, None)


def test_an_empty_and_a_fresh_file_are_not_complete(root: Path, ask: Ask) -> None:
    """Empty ones never; fresh ones after the quiet time, which is longer under the weaker rule."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    pace = SettleTimes(quiet=60.0, breath=0.1, weak_quiet=300.0)
    assert ask(pace=pace).explain_file("selected/hero.png").endswith("it is taken once it has been quiet for 60 seconds.")
    weak = DaemonState("process 1 on atelier", has_state_file=True, weak_quiet_folders=frozenset({"selected"}))
    assert ask(weak, pace).explain_file("selected/hero.png").endswith("it is taken once it has been quiet for 300 seconds.")
    put(root, "selected/hero.mask.png", data=b"")
    assert ask(pace=OLD).explain_file("selected/hero.png") == "“hero.mask.png” is still empty."


def test_what_the_daemon_put_down_itself_is_complete_at_once(root: Path, ask: Ask, journal: Journal) -> None:
    """No quiet time between its own stages."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[edit]]\nop = "denoise"\n')
    for path in ("selected/hero.png", "selected/hero.toml"):
        placed = PlacedFile(path=path, sig=FileSignature.from_stat((root / path).stat()), sha256="00", job_id="one")
        row = HistoryRow(job_id="one", path="inbox/hero.png", sha256="00", started_at=0.0, stage="generate", outcome="passed")
        journal.complete_plans([CompletedPlan(plan_id=path, history_rows=(row,), placed_files=(placed,), versions=())])
    assert (
        ask(pace=SettleTimes(quiet=60.0, breath=0.1, weak_quiet=60.0)).explain_file("selected/hero.png")
        == "All is there: edit is done to it next."
    )


def test_the_machines_fault_is_why_everything_waits(root: Path, ask: Ask) -> None:
    """A full disk is said for every instructed picture, and not for those that nobody asked anything of."""
    put(root, "selected/hero.png", "selected/hero.mask.png", "selected/alone.png")
    full = DaemonState("process 1 on atelier", has_state_file=True, pause_reason="The disk is full.")
    assert ask(full).explain_file("selected/hero.png") == "Everything waits: The disk is full."
    assert ask(full).explain_file("selected/alone.png").startswith("Waiting for an instruction")
    gone = DaemonState(
        "process 1 on atelier", has_state_file=True, unavailable_folders={"selected": "selected/ is not there: is the share mounted?"}
    )
    assert ask(gone).explain_file("selected/hero.png") == "Everything waits: selected/ is not there: is the share mounted?"


# --- what is worked on, what is held


def test_the_place_in_line_is_the_one_the_daemon_tells(root: Path, ask: Ask, journal: Journal) -> None:
    """It knows which models are loaded, and so who goes first; a job that it has not told of yet counts as it came."""
    names = [f"selected/{name}.png" for name in "abcd"]
    put(root, *names)
    for number, name in enumerate(names):
        journal.record_queued(f"job{number}", "edit", "gpu", name, 0.0)
    daemon = DaemonState("process 1 on atelier", has_state_file=True, queue_order={"gpu": ["job2", "job0", "job1"]})
    assert [ask(daemon).explain_file(name).split(", ")[1] for name in names] == [
        "2nd in line.",
        "3rd in line.",
        "1st in line.",
        "4th in line.",
    ]


def test_a_job_says_its_place_in_the_line_and_its_progress(root: Path, ask: Ask, journal: Journal) -> None:
    """Each lane counts for itself; what runs says step and per cent; without a daemon the queue is an old one."""
    names = [f"selected/{name}.png" for name in "abcd"]
    put(root, *names)
    for number, (name, lane) in enumerate(zip(names, ("gpu", "gpu", "cpu", "gpu"), strict=True)):
        journal.record_queued(f"job{number}", "edit", lane, name, 0.0)
    journal.record_started("job0", 1.0, 9.0)
    assert ask().explain_file(names[0]) == "Being read for edit."
    journal.record_progress("job0", 2, "upscale", 0.25, "tile 3 of 12", 9.0)
    assert ask().explain_file(names[0]) == "Being worked on: upscale (step 2 of edit), 25%, tile 3 of 12."
    assert [ask().explain_file(name) for name in names[1:]] == [
        "Waiting for the GPU, 1st in line.",
        "Waiting for the CPU, 1st in line.",
        "Waiting for the GPU, 2nd in line.",
    ]
    paused = DaemonState("process 1 on atelier", has_state_file=True, queue_pauses={"gpu": "The GPU does not answer."})
    assert ask(paused).explain_file(names[1]) == "Waiting: The GPU does not answer."
    assert ask(DaemonState()).explain_file(names[1]).startswith("Waiting for an instruction")


def test_a_job_whose_lease_has_run_out_is_not_believed(root: Path, ask: Ask, journal: Journal) -> None:
    """Silent for longer than a job may take: whoever wrote that is stuck, and what to do is said. A word of it renews the lease."""
    put(root, "selected/a.png", "selected/a.mask.png", "selected/b.png", "selected/b.mask.png")
    for name in "ab":
        journal.record_queued(name, "edit", "gpu", f"selected/{name}.png", 0.0)
    journal.record_started("a", 1.0, 9.0)
    journal.record_progress("a", 1, "upscale", 0.25, "", 9.0)
    assert ask(now=9.0).explain_file("selected/a.png") == "Being worked on: upscale (step 1 of edit), 25%."
    stuck = ask(now=9.5)
    said = stuck.explain_file("selected/a.png")
    assert said.startswith("It was being worked on and should have ended by 19")
    assert said.endswith(
        "(process 1 on atelier) seems to be stuck. Look with `systemctl status goldsmith`; once restarted, it begins anew."
    )
    assert [job.path for job in stuck.active_jobs] == ["selected/b.png"]
    assert stuck.explain_file("selected/b.png") == "Waiting for the GPU, 1st in line."
    full = DaemonState("process 1 on atelier", has_state_file=True, pause_reason="The disk is full.")
    assert ask(full, now=9.5).explain_file("selected/a.png") == "Everything waits: The disk is full."
    assert ask(DaemonState(), now=9.5).explain_file("selected/a.png").startswith("All is there, but Goldsmith is not running here")
    journal.renew_lease("a", 20.0)
    assert ask(now=9.5).explain_file("selected/a.png") == "Being worked on: upscale (step 1 of edit), 25%."


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st")]
)
def test_places_in_the_line_are_said_as_people_say_them(root: Path, ask: Ask, journal: Journal, number: int, said: str) -> None:
    """1st, 2nd, 3rd, 11th, 21st."""
    for each in range(number):
        journal.record_queued(f"job{each}", "edit", "gpu", f"selected/{each}.png", 0.0)
    put(root, f"selected/{number - 1}.png")
    assert ask().explain_file(f"selected/{number - 1}.png") == f"Waiting for the GPU, {said} in line."


def test_a_held_picture_says_what_its_note_says(root: Path, ask: Ask, journal: Journal) -> None:
    """The same sentence and remedy; without the journal the note is pointed to; without the note it is open again."""
    put(root, "inbox/hero.png", "inbox/hero.png.problem.txt")
    journal.record_hold("inbox/hero.png", "fp", "hero.png is cut off.", "Copy it again.", note_path("inbox/hero.png"), 1.0)
    assert ask().explain_file("inbox/hero.png") == "hero.png is cut off. Copy it again."
    assert ask().explain_file("inbox/hero.png.problem.txt") == "hero.png is cut off. Copy it again."
    assert "“hero.png.problem.txt” beside it says what is wrong" in ask(remembered=None).explain_file("inbox/hero.png")
    (root / "inbox/hero.png.problem.txt").unlink()
    assert ask().explain_file("inbox/hero.png").startswith("Waiting for an instruction")


def test_a_wrong_brief_is_told_although_nobody_runs(root: Path, ask: Ask) -> None:
    """The sentence that the note will have."""
    put(root, "inbox/hero.png")
    put(root, "inbox/hero.toml", data=b'[[generate]]\nop = "selct"\n')
    answer = ask(DaemonState()).explain_bundle(ask().bundle_containing("inbox/hero.png") or pytest.fail("no bundle"))
    assert answer.status == "held"
    assert 'generate.1.op is "selct"' in answer.sentence


# --- what lies elsewhere, or is nothing


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("archive/2026-01-01/inbox/a.png", "This is the archive"),
        ("library/looks/a.cube", "This is the library"),
        (".goldsmith/lock", "This is Goldsmith's own folder"),
        ("hero.png", "hero.png is in none of the folders of the line (inbox, selected, masked, graded, delivered)"),
        ("inbox/brief.toml", "This is the campaign's brief"),
        ("inbox/notes.doc", "“notes.doc” is no picture and no sidecar of one"),
        ("inbox/hero.psd", "“hero.psd” is of a kind that is not read here, so nothing happens to it: save the picture as PNG or TIFF."),
        ("inbox/README.txt", "“README.txt” is no picture and no sidecar of one"),
        ("inbox/hero.png.part", "“hero.png.part” is never taken"),
        ("inbox/@eaDir/hero.png", "“hero.png” is never taken"),
        ("inbox/gone.png", "inbox/gone.png is not there, and was never taken."),
        ("inbox", "inbox is a folder"),
        ("delivered/hero.avif", "delivered/hero.avif lies at the end of the line"),
    ],
)
def test_every_place_has_its_sentence(root: Path, ask: Ask, path: str, said: str) -> None:
    """Whatever may be asked for is answered."""
    if path not in ("inbox", "inbox/gone.png", ".goldsmith/lock"):
        put(root, path)
    assert ask().explain_file(path).startswith(said)


def test_links_pipes_and_folders_are_told_without_being_opened(root: Path, ask: Ask) -> None:
    """Asking about a pipe does not hang."""
    os.symlink("/etc/hostname", root / "inbox/link.png")
    os.mkfifo(root / "inbox/pipe.png")
    (root / "inbox/folder.png").mkdir()
    assert "is a link" in ask().explain_file("inbox/link.png")
    assert "is not a file" in ask().explain_file("inbox/pipe.png")
    assert "is a folder" in ask().explain_file("inbox/folder.png")


def test_a_file_that_was_taken_says_what_became_of_it(ask: Ask, journal: Journal) -> None:
    """The last time it was taken; what was only looked at does not count."""
    taken(journal, "inbox/hero.png", "one", "selected/hero.png", "selected/hero.toml")
    taken(journal, "inbox/hero.png", "two", outcome="problem")
    said = ask().explain_file("inbox/hero.png")
    assert said.startswith("inbox/hero.png was taken by generate (19")
    assert said.endswith("it became selected/hero.png, selected/hero.toml.")


def test_a_finished_file_says_what_it_was_made_of(root: Path, ask: Ask, journal: Journal) -> None:
    """The first input on its way, however many stages ago."""
    taken(journal, "inbox/hero.png", "one", "selected/hero.png")
    taken(journal, "selected/hero.png", "two", "delivered/hero_web.avif", lineage="one", outcome="delivered")
    put(root, "delivered/hero_web.avif")
    assert "was made of inbox/hero.png" in ask().explain_file("delivered/hero_web.avif")


def test_names_cannot_break_a_sentence(root: Path, ask: Ask) -> None:
    """Line breaks and undecodable bytes are shown with a stand-in."""
    name = os.fsdecode(b"he\nro\xff.png")
    put(root, f"inbox/{name}")
    said = ask().explain_file(f"inbox/{name}")
    assert "\n" not in said
    said.encode()
    assert "“he�ro�.toml”" in said


# --- many at once


def test_what_is_true_of_many_is_one_sentence(root: Path, ask: Ask) -> None:
    """The picture's own name gives way to NAME, wherever it stands."""
    put(root, "inbox/a.png", "inbox/b.png", "inbox/sub/c.jpg", "selected/d.png")
    put(root, "selected/d.toml", data=b'[[generate]]\nop = "select"\n')
    explain = ask()
    found = {generalise_sentence(bundle, explain.explain_bundle(bundle).sentence) for bundle in explain.bundles("inbox")}
    assert found == {"Waiting for an instruction: put a mask (“NAME.mask.png”) or a brief (“NAME.toml”) beside it."}
    (ended,) = (generalise_sentence(bundle, explain.explain_bundle(bundle).sentence) for bundle in explain.bundles("selected"))
    assert ended == "Its brief ends with generate: add [[edit]] to NAME.toml, or move the picture on by hand."


def test_the_nearest_campaign_brief_speaks(root: Path, ask: Ask) -> None:
    """Up to the stage's folder and no further."""
    put(root, "inbox/brief.toml", "inbox/a/brief.toml", "inbox/a/b/hero.png", "inbox/c/hero.png", "brief.toml", "masked/x/hero.png")
    explain = ask()
    briefs = {bundle.picture: bundle.campaign_brief for folder in ("inbox", "masked") for bundle in explain.bundles(folder)}
    assert briefs == {"inbox/a/b/hero.png": "inbox/a/brief.toml", "inbox/c/hero.png": "inbox/brief.toml", "masked/x/hero.png": None}


def test_a_walk_enters_neither_links_nor_litter(root: Path, tmp_path: Path) -> None:
    """And a folder that cannot be read is no end of it."""
    put(root, "inbox/a/x.png", "inbox/.git/y.png", "inbox/@eaDir/z.png")
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", root / "inbox/link")
    assert sorted(place for place, _ in walk_folder(root, "inbox")) == ["inbox", "inbox/a"]
    assert list(walk_folder(root, "nowhere")) == [("nowhere", [])]


def test_asking_needs_no_journal(root: Path, ask: Ask) -> None:
    """With the journal gone the folders alone answer (law 1)."""
    put(root, "inbox/hero.png")
    assert ask(remembered=None).explain_file("inbox/hero.png").startswith("Waiting for an instruction")
    assert ask(remembered=None).explain_file("inbox/gone.png") == "inbox/gone.png is not there, and was never taken."


def test_a_file_locked_by_others_is_still_answered(root: Path, ask: Ask) -> None:
    """Locks of other programs are none of its business."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    with (root / "selected/hero.png").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ask().explain_file("selected/hero.png").startswith("All is there")
