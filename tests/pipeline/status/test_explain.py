"""The explanations of ``why`` and ``status``: one plain sentence for each file in the folders."""

from __future__ import annotations

import errno
import fcntl
import os
import re
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
from goldsmith.pipeline.status.daemon_state import DaemonState, WorkerStatus
from goldsmith.pipeline.status.explain import Explainer, generalise_sentence
from goldsmith.root_folder import MAX_FOLDER_DEPTH, RootFolder

RUNNING = DaemonState(holder="process 1 on atelier", has_state_file=True)
# The current time in the tests, in Unix seconds.
NOW = 5.0
# Times after which every file counts as complete.
NO_QUIET = SettleTimes(quiet=0.0, breath=0.0, weak_quiet=0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("inbox", "selected", "masked", "graded", "delivered", "archive", "library"):
        (tmp_path / "hot" / folder).mkdir(parents=True)
    return tmp_path / "hot"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


@pytest.fixture
def pipeline() -> Pipeline:
    return read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")


MakeExplainer = Callable[..., Explainer]


@pytest.fixture
def make_explainer(root: Path, pipeline: Pipeline, journal: Journal) -> MakeExplainer:
    """Return a function that makes an explainer. A daemon runs unless another state is given."""

    def make(
        daemon: DaemonState = RUNNING, settle_times: SettleTimes = NO_QUIET, readable_journal: Journal | None = journal, now: float = NOW
    ) -> Explainer:
        readiness = Readiness(pipeline, Resolver(pipeline, Library(root).read_recipe), TextFileCache(root).read_bytes)
        return Explainer(root, pipeline, lambda: readiness, readable_journal, daemon, settle_times, lambda: now)

    return make


def put(root: Path, *paths: str, data: bytes = b"x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def record_job(journal: Journal, path: str, job_id: str, *results: str, parent: str = "", outcome: str = "passed") -> None:
    row = HistoryRow(
        job_id=job_id,
        path=path,
        sha256="00",
        started_at=0.0,
        taken_at=1.0,
        stage="generate",
        outcome=outcome,
        results=results,
        parent_job_id=parent,
    )
    placed = tuple(PlacedFile(path=result, sig=FileSignature(1, 2, 3, 4, 5), sha256="00", job_id=job_id) for result in results)
    journal.complete_plans([CompletedPlan(plan_id=job_id, history_rows=(row,), placed_files=placed, versions=())])


# --- waiting files


def test_a_picture_alone_waits_for_an_instruction(root: Path, make_explainer: MakeExplainer) -> None:
    """The sentence names the files that would be an instruction."""
    put(root, "inbox/hero.png")
    sentence = make_explainer().explain_file("inbox/hero.png")
    assert sentence == "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."


@pytest.mark.parametrize("folder", ["masked", "graded"])
def test_no_mask_is_asked_for_where_it_moves_nothing(root: Path, make_explainer: MakeExplainer, folder: str) -> None:
    """Only a brief helps there; beside a mask, the sentence says that the mask alone does nothing."""
    put(root, f"{folder}/hero.png")
    sentence = make_explainer().explain_file(f"{folder}/hero.png")
    assert sentence == "Waiting for an instruction: put a brief (“hero.toml”) beside it."
    put(root, f"{folder}/hero.mask.png")
    assert " does nothing with a mask alone; put a brief (“hero.toml”)" in make_explainer().explain_file(f"{folder}/hero.png")


def test_a_misspelt_region_is_told_from_a_missing_mask(root: Path, make_explainer: MakeExplainer) -> None:
    """A name that is no region is a mask's; the sentence also names the region that is much like it."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[edit]]\nop = "erase"\nwhere = "backgroud"\n')
    sentence = make_explainer().explain_file("selected/hero.png")
    assert sentence.endswith("put “hero.mask.backgroud.png” beside it. If you mean a region and no mask, write “background”.")


def test_a_step_waits_for_its_mask_by_name(root: Path, make_explainer: MakeExplainer) -> None:
    """The sentence gives the stage, the step and the file name."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[edit]]\nop = "inpaint"\nwhere = "sky"\n')
    sentence = make_explainer().explain_file("selected/hero.png")
    assert sentence == "Waiting for the mask “sky” (step 1 of edit needs it): put “hero.mask.sky.png” beside it."
    assert make_explainer().explain_file("selected/hero.toml") == sentence


def test_a_mask_waits_for_its_picture(root: Path, make_explainer: MakeExplainer) -> None:
    """Sidecars may arrive first."""
    put(root, "selected/hero.mask.png")
    assert make_explainer().explain_file("selected/hero.mask.png").startswith("Waiting for its picture")


def test_a_picture_at_the_end_of_its_brief_waits(root: Path, make_explainer: MakeExplainer) -> None:
    """It waits for another stage in the brief, or for a person who moves it."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[generate]]\nop = "select"\n')
    assert (
        make_explainer().explain_file("selected/hero.png")
        == "Its brief ends with generate: add [[edit]] to hero.toml, or move the picture on by hand."
    )


def test_a_ready_picture_names_its_next_stage_and_whether_a_daemon_runs(root: Path, make_explainer: MakeExplainer) -> None:
    """The sentence differs if no daemon runs."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    assert make_explainer().explain_file("selected/hero.png") == "Everything is here: edit is next."
    assert make_explainer(DaemonState()).explain_file("selected/hero.png") == "Everything is here: edit is next, as soon as Goldsmith runs."


def test_a_file_that_another_program_writes_is_named(root: Path, make_explainer: MakeExplainer) -> None:
    """The kernel refuses a lease while the file is open for writing."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    with (root / "selected/hero.mask.png").open("ab"):
        assert make_explainer().explain_file("selected/hero.png") == "“hero.mask.png” is still being written by another program."
    assert make_explainer().explain_file("selected/hero.png").startswith("Everything is here")


def test_an_explanation_leaves_no_lease_behind(root: Path, make_explainer: MakeExplainer) -> None:
    """Another program can open the file for writing immediately afterwards."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    make_explainer().explain_file("selected/hero.png")
    writer = os.open(root / "selected/hero.png", os.O_WRONLY | os.O_NONBLOCK)
    os.close(writer)
    assert signal.getsignal(signal.SIGURG) in (signal.SIG_DFL, signal.SIG_IGN, None)


def test_an_empty_and_a_fresh_file_are_not_complete(root: Path, make_explainer: MakeExplainer) -> None:
    """A fresh file is complete after the quiet time, which is longer under the weaker rule."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    times = SettleTimes(quiet=60.0, breath=0.1, weak_quiet=300.0)
    assert (
        make_explainer(settle_times=times).explain_file("selected/hero.png").endswith("it is processed after 60 seconds without a change.")
    )
    weak = DaemonState(holder="process 1 on atelier", has_state_file=True, weak_quiet_folders=("selected",))
    assert make_explainer(weak, times).explain_file("selected/hero.png").endswith("it is processed after 300 seconds without a change.")
    put(root, "selected/hero.mask.png", data=b"")
    assert make_explainer(settle_times=NO_QUIET).explain_file("selected/hero.png") == "“hero.mask.png” is still empty."


def test_a_file_that_the_daemon_wrote_is_complete_at_once(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """There is no quiet time between two stages."""
    put(root, "selected/hero.png")
    put(root, "selected/hero.toml", data=b'[[edit]]\nop = "denoise"\n')
    for path in ("selected/hero.png", "selected/hero.toml"):
        placed = PlacedFile(path=path, sig=FileSignature.from_stat((root / path).stat()), sha256="00", job_id="one")
        row = HistoryRow(job_id="one", path="inbox/hero.png", sha256="00", started_at=0.0, stage="generate", outcome="passed")
        journal.complete_plans([CompletedPlan(plan_id=path, history_rows=(row,), placed_files=(placed,), versions=())])
    assert (
        make_explainer(settle_times=SettleTimes(quiet=60.0, breath=0.1, weak_quiet=60.0)).explain_file("selected/hero.png")
        == "Everything is here: edit is next."
    )


def test_the_remarks_about_a_picture_follow_the_reason(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """Those of all stages before, for the picture where it lies now, for its deliverables, and for the original that is gone."""
    steps = (("selected", "inbox", ["it has 2 frames"]), ("masked", "selected", []), ("delivered", "masked", ["it is odd."]))
    for number, (folder, source, notes) in enumerate(steps, 1):
        put(root, f"{folder}/hero.png")
        placed = PlacedFile(path=f"{folder}/hero.png", sig=FileSignature(1, 2, 3, 4, 5), sha256="00", job_id=f"j{number}")
        row = HistoryRow(
            job_id=f"j{number}",
            path=f"{source}/hero.png",
            sha256="00",
            started_at=0.0,
            stage="edit",
            outcome="passed",
            results=(f"{folder}/hero.png",),
            parent_job_id=f"j{number - 1}" if number > 1 else "",
            record={"facts": {"notes": list(notes)}},
        )
        journal.complete_plans([CompletedPlan(plan_id=folder, history_rows=(row,), placed_files=(placed,), versions=())])
    explain = make_explainer().explain_file
    assert explain("masked/hero.png").endswith(" beside it. Remarks: It has 2 frames.")
    assert explain("delivered/hero.png").endswith(" nothing more happens to it. Remarks: It has 2 frames. It is odd.")
    assert explain("inbox/hero.png").endswith(" It became selected/hero.png. Remarks: It has 2 frames.")


def test_a_fault_of_the_host_makes_every_instructed_picture_wait(root: Path, make_explainer: MakeExplainer) -> None:
    """The sentence of a full disk or a missing folder comes first; pictures without a brief wait for a brief as before."""
    put(root, "selected/hero.png", "selected/hero.mask.png", "selected/alone.png")
    full = DaemonState(holder="process 1 on atelier", has_state_file=True, pause_reason="The disk is full.")
    assert make_explainer(full).explain_file("selected/hero.png") == "Everything waits: The disk is full."
    assert make_explainer(full).explain_file("selected/alone.png").startswith("Waiting for an instruction")
    unavailable = DaemonState(
        holder="process 1 on atelier",
        has_state_file=True,
        unavailable_folders={"selected": "selected/ is not there: is the share mounted?"},
    )
    assert (
        make_explainer(unavailable).explain_file("selected/hero.png") == "Everything waits: selected/ is not there: is the share mounted?"
    )


# --- names that are meant as something else


def test_a_picture_and_its_near_miss_give_the_same_question(root: Path, make_explainer: MakeExplainer) -> None:
    """Whoever asks about the picture or about the file learns the name that would be taken."""
    put(root, "selected/n9.png", "selected/n9_mask_final.png")
    question = "Is “n9_mask_final.png” the mask of “n9.png”? Call it “n9.mask.png”."
    assert make_explainer().explain_file("selected/n9.png").startswith("Waiting for an instruction")
    assert make_explainer().explain_file("selected/n9.png").endswith(question)
    assert make_explainer().explain_file("selected/n9_mask_final.png").startswith(f"{question} If not: Waiting for an instruction")
    put(root, "selected/n9.toml", data=b'[[edit]]\nop = "inpaint"\nwhere = "mask"\n')
    assert make_explainer().explain_file("selected/n9.png").startswith("Waiting for a mask (step 1 of edit needs one)")
    assert make_explainer().explain_file("selected/n9.png").endswith(question)


def test_a_named_mask_where_a_step_needs_the_unnamed_one_is_told(root: Path, make_explainer: MakeExplainer) -> None:
    """``hero.mask.final.png`` is a mask called final."""
    put(root, "selected/hero.png", "selected/hero.mask.final.png")
    sentence = make_explainer().explain_file("selected/hero.png")
    assert sentence.endswith("“hero.mask.final.png” is the mask called “final”: if no step asks for that name, call it “hero.mask.png”.")


def test_a_file_in_a_folder_of_masks_is_explained(root: Path, make_explainer: MakeExplainer) -> None:
    """Masks lie beside their pictures, in one folder."""
    put(root, "selected/spring/hero.png", "selected/spring/masks/hero.png")
    sentence = make_explainer().explain_file("selected/spring/masks/hero.png")
    assert sentence.startswith("Is “masks/hero.png” the mask of “hero.png”? Call it “hero.mask.png”.")
    assert "so move it to selected/spring/. If not: Waiting for an instruction" in sentence


def test_a_foreign_file_beside_its_picture_is_explained(root: Path, make_explainer: MakeExplainer) -> None:
    """A working file is ignored; a mask in a format that is not read holds the picture, and both have the same sentence."""
    put(root, "selected/hero.png", "selected/hero.exr", "selected/lamp.png", "selected/lamp.mask.exr")
    explain = make_explainer().explain_file
    assert explain("selected/hero.exr") == (
        "“hero.exr” is ignored: Goldsmith does not read an OpenEXR picture, and “hero.png” is used instead."
    )
    sentence = "“lamp.mask.exr” is an OpenEXR picture, which Goldsmith does not read: save it as “lamp.mask.png”."
    assert explain("selected/lamp.png") == explain("selected/lamp.mask.exr") == sentence


@pytest.mark.parametrize("name", ["old.png.", "old.png ", "old.exr"])
def test_a_brief_that_waits_for_its_picture_is_told_of_a_picture_that_is_not_taken(
    root: Path, make_explainer: MakeExplainer, name: str
) -> None:
    """The name that would be taken ends the sentence."""
    put(root, f"selected/{name}")
    put(root, "selected/old.toml", data=b'[[edit]]\nop = "sharpen"\n')
    sentence = make_explainer().explain_file("selected/old.toml")
    if name == "old.exr":  # then it is the picture, and the job's note says what to do
        assert sentence == "Everything is here: edit is next."
    else:
        assert sentence.startswith("Waiting for its picture")
        assert sentence.endswith(": call it “old.png”.")


def test_a_copy_of_a_conflict_is_explained(root: Path, make_explainer: MakeExplainer) -> None:
    """It is no temporary file."""
    put(root, "selected/hero (copie en conflit de Anna).png")
    sentence = make_explainer().explain_file("selected/hero (copie en conflit de Anna).png")
    assert sentence.endswith("a synchronisation made this copy because two people changed the file. Rename it to use it.")


def test_the_status_file_explains_itself(root: Path, make_explainer: MakeExplainer) -> None:
    """It is no temporary file of another program."""
    put(root, "selected/_status.txt")
    assert make_explainer().explain_file("selected/_status.txt").startswith("Goldsmith writes “_status.txt”: ")


# --- running jobs and held pictures


def test_the_position_in_the_queue_is_that_predicted_by_the_daemon(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """The daemon knows which models are loaded. A job that is not in the state file yet keeps its order of arrival."""
    names = [f"selected/{name}.png" for name in "abcd"]
    put(root, *names)
    for number, name in enumerate(names):
        journal.record_queued(f"job{number}", "edit", "gpu", name, 0.0)
    daemon = DaemonState(holder="process 1 on atelier", has_state_file=True, queue_order={"gpu": ("job2", "job0", "job1")})
    assert [make_explainer(daemon).explain_file(name).split(", ")[1] for name in names] == [
        "2nd in the queue.",
        "3rd in the queue.",
        "1st in the queue.",
        "4th in the queue.",
    ]


def test_a_position_beyond_the_state_file_counts_in_fair_turns(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """The state file lists the first jobs only. Of the others, two campaigns take turns, although one arrived a thousand jobs later."""
    for number in range(1000):
        journal.record_queued(f"acme{number}", "edit", "gpu", f"selected/acme/{number}.png", 0.0)
    for number in range(10):
        journal.record_queued(f"bolt{number}", "edit", "gpu", f"selected/bolt/{number}.png", 0.0)
    names = ["selected/acme/1.png", "selected/bolt/9.png", "selected/acme/999.png"]
    put(root, *names)
    daemon = DaemonState(holder="process 1 on atelier", has_state_file=True, queue_order={"gpu": ("acme0", "bolt0", "acme1")})
    positions = [int(re.findall(r"(\d+)\w\w in the queue", make_explainer(daemon).explain_file(name))[0]) for name in names]
    assert positions[0] == 3
    assert 19 <= positions[1] <= 22
    assert positions[2] == 1010


def test_a_job_gives_its_position_in_the_queue_or_its_progress(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """Each queue counts separately; a running job gives step and per cent; without a daemon the rows are ignored."""
    names = [f"selected/{name}.png" for name in "abcd"]
    put(root, *names)
    for number, (name, queue) in enumerate(zip(names, ("gpu", "gpu", "cpu", "gpu"), strict=True)):
        journal.record_queued(f"job{number}", "edit", queue, name, 0.0)
    journal.record_started("job0", 1.0, 9.0)
    assert make_explainer().explain_file(names[0]) == "Being read for edit."
    journal.record_progress("job0", 2, "upscale", 0.25, "tile 3 of 12", 9.0)
    assert make_explainer().explain_file(names[0]) == "Being worked on: upscale (step 2 of edit), 25%, tile 3 of 12."
    assert [make_explainer().explain_file(name) for name in names[1:]] == [
        "Waiting for the GPU, 1st in the queue.",
        "Waiting for the CPU, 1st in the queue.",
        "Waiting for the GPU, 2nd in the queue.",
    ]
    paused = DaemonState(holder="process 1 on atelier", has_state_file=True, queue_pauses={"gpu": "The GPU does not answer."})
    assert make_explainer(paused).explain_file(names[1]) == "Waiting: The GPU does not answer."
    assert make_explainer(DaemonState()).explain_file(names[1]).startswith("Waiting for an instruction")


def test_a_job_that_gave_way_says_so_and_what_is_at_work(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """Its finished parts are counted. A running job of another queue is not named, and a job that did not give way says nothing of it."""
    names = [f"selected/{name}.png" for name in "abcd"]
    put(root, *names)
    for number, (name, queue) in enumerate(zip(names, ("gpu", "gpu", "cpu", "gpu"), strict=True)):
        journal.record_queued(f"job{number}", "edit", queue, name, 0.0)
    journal.record_started("job0", 1.0, 9.0)
    journal.record_started("job2", 1.0, 9.0)
    daemon = DaemonState(holder="process 1 on atelier", has_state_file=True, gave_way={names[1]: 16, names[0]: 3})
    assert make_explainer(daemon).explain_file(names[1]) == (
        "Waiting for the GPU, 1st in the queue. It has let other work go first: its 16 finished parts are kept, and it goes on from there. "
        "Now “a.png” is at work."
    )
    assert make_explainer(daemon).explain_file(names[0]) == "Being read for edit."
    assert make_explainer(daemon).explain_file(names[3]) == "Waiting for the GPU, 2nd in the queue."
    single = daemon.model_copy(update={"gave_way": {names[1]: 1}, "queue_pauses": {"gpu": "The GPU does not answer."}})
    sentence = make_explainer(single).explain_file(names[1])
    assert sentence.startswith("Waiting: The GPU does not answer. It has let other work go first: its 1 finished part is kept,")


def test_an_expired_lease_is_not_believed(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """The daemon that wrote the row seems to be stuck, and the sentence gives the remedy. A renewed lease is believed again."""
    put(root, "selected/a.png", "selected/a.mask.png", "selected/b.png", "selected/b.mask.png")
    for name in "ab":
        journal.record_queued(name, "edit", "gpu", f"selected/{name}.png", 0.0)
    journal.record_started("a", 1.0, 9.0)
    journal.record_progress("a", 1, "upscale", 0.25, "", 9.0)
    assert make_explainer(now=9.0).explain_file("selected/a.png") == "Being worked on: upscale (step 1 of edit), 25%."
    stuck = make_explainer(now=9.5)
    sentence = stuck.explain_file("selected/a.png")
    assert sentence.startswith("Its job should have ended by 19")
    assert sentence.endswith(
        "(process 1 on atelier) seems to be stuck. Check with `systemctl status goldsmith`. After a restart the job starts again."
    )
    assert [job.path for job in stuck.active_jobs] == ["selected/b.png"]
    assert stuck.explain_file("selected/b.png") == "Waiting for the GPU, 1st in the queue."
    full = DaemonState(holder="process 1 on atelier", has_state_file=True, pause_reason="The disk is full.")
    assert make_explainer(full, now=9.5).explain_file("selected/a.png") == "Everything waits: The disk is full."
    assert (
        make_explainer(DaemonState(), now=9.5)
        .explain_file("selected/a.png")
        .startswith("Everything is here: edit is next, as soon as Goldsmith runs")
    )
    journal.renew_lease("a", 20.0)
    assert make_explainer(now=9.5).explain_file("selected/a.png") == "Being worked on: upscale (step 1 of edit), 25%."


@pytest.mark.parametrize(
    ("number", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st")]
)
def test_positions_are_english_ordinals(root: Path, make_explainer: MakeExplainer, journal: Journal, number: int, expected: str) -> None:
    """They end in st, nd, rd or th."""
    for each in range(number):
        journal.record_queued(f"job{each}", "edit", "gpu", f"selected/{each}.png", 0.0)
    put(root, f"selected/{number - 1}.png")
    assert make_explainer().explain_file(f"selected/{number - 1}.png") == f"Waiting for the GPU, {expected} in the queue."


def test_a_held_picture_repeats_its_note(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """Without the journal, the sentence points to the note. Without the note, the picture is not held."""
    put(root, "inbox/hero.png", "inbox/hero.png.problem.txt")
    journal.record_hold("inbox/hero.png", "fp", "hero.png is cut off.", "Copy it again.", note_path("inbox/hero.png"), 1.0)
    assert make_explainer().explain_file("inbox/hero.png") == "hero.png is cut off. Copy it again."
    assert make_explainer().explain_file("inbox/hero.png.problem.txt") == "hero.png is cut off. Copy it again."
    assert "“hero.png.problem.txt” beside it says what is wrong" in make_explainer(readable_journal=None).explain_file("inbox/hero.png")
    (root / "inbox/hero.png.problem.txt").unlink()
    assert make_explainer().explain_file("inbox/hero.png").startswith("Waiting for an instruction")


def test_a_brief_with_errors_is_explained_without_a_daemon(root: Path, make_explainer: MakeExplainer) -> None:
    """The sentence is the one that the note will have."""
    put(root, "inbox/hero.png")
    put(root, "inbox/hero.toml", data=b'[[generate]]\nop = "selct"\n')
    answer = make_explainer(DaemonState()).explain_bundle(make_explainer().bundle_containing("inbox/hero.png") or pytest.fail("no bundle"))
    assert answer.status == "held"
    assert 'generate.1.op is "selct"' in answer.sentence


# --- other paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("archive/2026-01-01/inbox/a.png", "This is the archive"),
        ("library/looks/a.cube", "This is the library"),
        (".goldsmith/lock", "This is Goldsmith's own folder"),
        ("hero.png", "hero.png is in none of the pipeline's folders (inbox, selected, masked, graded, delivered, review)"),
        ("inbox/brief.toml", "This is the campaign's brief"),
        ("inbox/notes.doc", "“notes.doc” is neither a picture nor a sidecar"),
        (
            "inbox/hero.exr",
            "“hero.exr” is an OpenEXR picture, which Goldsmith does not read: save it as “hero.png”.",
        ),
        ("inbox/README.txt", "“README.txt” is neither a picture nor a sidecar"),
        ("inbox/hero.png.part", "“hero.png.part” is ignored"),
        ("inbox/@eaDir/hero.png", "“hero.png” is ignored"),
        ("inbox/gone.png", "inbox/gone.png does not exist, and Goldsmith never processed it."),
        ("inbox", "inbox is a folder"),
        ("delivered/hero.avif", "delivered/hero.avif is in the last folder"),
    ],
)
def test_every_kind_of_path_has_its_sentence(root: Path, make_explainer: MakeExplainer, path: str, expected: str) -> None:
    """Folders outside the pipeline, foreign files, ignored names and missing files are explained."""
    if path not in ("inbox", "inbox/gone.png", ".goldsmith/lock"):
        put(root, path)
    assert make_explainer().explain_file(path).startswith(expected)


def test_links_pipes_and_folders_are_explained_without_opening_them(root: Path, make_explainer: MakeExplainer) -> None:
    """An explanation of a pipe does not hang."""
    os.symlink("/etc/hostname", root / "inbox/link.png")
    os.mkfifo(root / "inbox/pipe.png")
    (root / "inbox/folder.png").mkdir()
    assert "is a link" in make_explainer().explain_file("inbox/link.png")
    assert "is not a file" in make_explainer().explain_file("inbox/pipe.png")
    assert "is a folder" in make_explainer().explain_file("inbox/folder.png")


def test_a_processed_file_names_its_results(make_explainer: MakeExplainer, journal: Journal) -> None:
    """The last job counts, unless it ended with a problem."""
    record_job(journal, "inbox/hero.png", "one", "selected/hero.png", "selected/hero.toml")
    record_job(journal, "inbox/hero.png", "two", outcome="problem")
    sentence = make_explainer().explain_file("inbox/hero.png")
    assert sentence.startswith("inbox/hero.png was processed by generate (19")
    assert sentence.endswith("It became selected/hero.png, selected/hero.toml.")


def test_a_finished_file_names_its_first_input(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """The input of the first stage counts, not that of the last."""
    record_job(journal, "inbox/hero.png", "one", "selected/hero.png")
    record_job(journal, "selected/hero.png", "two", "delivered/hero_web.avif", parent="one", outcome="delivered")
    put(root, "delivered/hero_web.avif")
    assert "was made from inbox/hero.png" in make_explainer().explain_file("delivered/hero_web.avif")


def test_names_cannot_break_a_sentence(root: Path, make_explainer: MakeExplainer) -> None:
    """Line breaks and undecodable bytes are replaced."""
    name = os.fsdecode(b"he\nro\xff.png")
    put(root, f"inbox/{name}")
    sentence = make_explainer().explain_file(f"inbox/{name}")
    assert "\n" not in sentence
    sentence.encode()
    assert "“he�ro�.toml”" in sentence


# --- many files


def test_equal_reasons_become_one_sentence(root: Path, make_explainer: MakeExplainer) -> None:
    """NAME replaces the picture's own name."""
    put(root, "inbox/a.png", "inbox/b.png", "inbox/sub/c.jpg", "selected/d.png")
    put(root, "selected/d.toml", data=b'[[generate]]\nop = "select"\n')
    explainer = make_explainer()
    sentences = {generalise_sentence(bundle, explainer.explain_bundle(bundle).sentence) for bundle in explainer.bundles("inbox")}
    assert sentences == {"Waiting for an instruction: put a mask (“NAME.mask.png”) or a brief (“NAME.toml”) beside it."}
    (ended,) = (generalise_sentence(bundle, explainer.explain_bundle(bundle).sentence) for bundle in explainer.bundles("selected"))
    assert ended == "Its brief ends with generate: add [[edit]] to NAME.toml, or move the picture on by hand."


def test_the_nearest_campaign_brief_applies(root: Path, make_explainer: MakeExplainer) -> None:
    """The search ends at the stage's folder."""
    put(root, "inbox/brief.toml", "inbox/a/brief.toml", "inbox/a/b/hero.png", "inbox/c/hero.png", "brief.toml", "masked/x/hero.png")
    explainer = make_explainer()
    briefs = {bundle.picture: bundle.campaign_brief for folder in ("inbox", "masked") for bundle in explainer.bundles(folder)}
    assert briefs == {"inbox/a/b/hero.png": "inbox/a/brief.toml", "inbox/c/hero.png": "inbox/brief.toml", "masked/x/hero.png": None}


def test_explanations_work_without_a_journal(root: Path, make_explainer: MakeExplainer) -> None:
    """The folders alone give the answer."""
    put(root, "inbox/hero.png")
    assert make_explainer(readable_journal=None).explain_file("inbox/hero.png").startswith("Waiting for an instruction")
    assert (
        make_explainer(readable_journal=None).explain_file("inbox/gone.png")
        == "inbox/gone.png does not exist, and Goldsmith never processed it."
    )


def test_a_file_that_another_program_locked_is_explained(root: Path, make_explainer: MakeExplainer) -> None:
    """Locks of other programs make no difference."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    with (root / "selected/hero.png").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert make_explainer().explain_file("selected/hero.png").startswith("Everything is here")


def test_a_file_in_a_folder_that_lies_too_deep_has_its_sentence(make_explainer: MakeExplainer, root: Path) -> None:
    """It is never found, and its campaign is named."""
    path = "inbox/acme" + "/x" * MAX_FOLDER_DEPTH + "/hero.png"
    put(root, path)
    assert make_explainer().explain_file(path).startswith("inbox/acme/ has folders more than 64 deep")


# --- sidecars that were used, and folders that are in the way


def test_a_sidecar_that_was_used_is_explained(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """The sentence says for which picture, by which stage, and where the mask is kept."""
    inputs = [{"role": "mask", "name": "mask", "path": "selected/hero.mask.png", "sha256": "00"}]
    inputs.append({"role": "prompt", "name": "", "path": "selected/hero.txt", "sha256": "01"})
    row = HistoryRow(
        job_id="1",
        path="selected/hero.png",
        sha256="00",
        started_at=0.0,
        taken_at=1.0,
        stage="edit",
        outcome="passed",
        results=("masked/hero.png",),
        record={"inputs": inputs, "archived": {"selected/hero.mask.png": "archive/2026/selected/hero.mask.png"}},
    )
    journal.complete_plans([CompletedPlan("1", (row,), (), ())])
    explainer = make_explainer()
    sentence = explainer.explain_file("selected/hero.mask.png")
    assert sentence.startswith("selected/hero.mask.png was used by edit for selected/hero.png (")
    assert sentence.endswith(" It is kept as archive/2026/selected/hero.mask.png.")
    assert explainer.explain_file("selected/hero.txt").endswith(" It went on with the picture.")
    assert explainer.explain_file("selected/other.mask.png").endswith("does not exist, and Goldsmith never processed it.")


def test_a_file_in_a_linked_folder_is_not_said_to_be_missing(root: Path, make_explainer: MakeExplainer, tmp_path: Path) -> None:
    """The link is named, and what to do."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hero.png").write_bytes(b"x")
    (root / "selected" / "linked").symlink_to(tmp_path / "elsewhere")
    sentence = make_explainer().explain_file("selected/linked/hero.png")
    assert sentence == "selected/linked is a link, and links are not followed: move the folder itself here."
    put(root, "selected/file")
    assert make_explainer().explain_file("selected/file/hero.png") == "selected/file is a file, not a folder."


def test_a_file_in_an_unreadable_folder_is_explained(root: Path, make_explainer: MakeExplainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the folder's files nor a brief of the campaign can be seen: the folder's permission is named."""
    put(root, "selected/locked/hero.png", "selected/hero.png", "selected/hero.mask.png")
    really_open = RootFolder.open_folder

    def open_folder(self: RootFolder, path: str) -> int:
        if path == "selected/locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really_open(self, path)

    monkeypatch.setattr(RootFolder, "open_folder", open_folder)
    sentence = make_explainer().explain_file("selected/locked/hero.png")
    assert sentence.startswith("selected/locked/ cannot be read (Permission denied), so nothing happens to the files in it")
    assert make_explainer().explain_file("selected/hero.png").startswith("Everything is here")


def test_a_folder_that_only_the_daemon_cannot_read_is_explained(root: Path, make_explainer: MakeExplainer) -> None:
    """Whoever asks may read it; the daemon has said that it may not."""
    put(root, "selected/locked/hero.png")
    daemon = DaemonState(
        holder="process 1 on atelier", unavailable_folders={"selected/locked": "selected/locked/ cannot be read (EACCES)."}
    )
    assert make_explainer(daemon).explain_file("selected/locked/hero.png") == "selected/locked/ cannot be read (EACCES)."
    put(root, "selected/locked/deeper/hero.png")
    assert make_explainer(daemon).explain_file("selected/locked/deeper/hero.png") == "selected/locked/ cannot be read (EACCES)."


def test_a_brief_beside_two_pictures_says_so_itself(root: Path, make_explainer: MakeExplainer) -> None:
    """The pictures have the sentence as well."""
    put(root, "selected/tw.png", "selected/tw.jpg", "selected/tw.toml")
    expected = "“tw.toml” could belong to “tw.jpg” or “tw.png”: call it “tw.jpg.toml” or “tw.png.toml”."
    assert make_explainer().explain_file("selected/tw.toml") == expected


# --- jobs


def _start(journal: Journal, path: str, queue: str = "gpu") -> None:
    journal.record_queued("1", "edit", queue, path, 0.0)
    journal.record_started("1", 1.0, 1e12)


def test_results_that_cannot_be_put_down_are_not_called_work(root: Path, make_explainer: MakeExplainer, journal: Journal) -> None:
    """While the next folder is missing or everything is paused, a finished job would otherwise be "worked on" for ever."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    _start(journal, "selected/hero.png")
    assert make_explainer().explain_file("selected/hero.png") == "Being read for edit."
    paused = DaemonState(holder="process 1 on atelier", pause_reason="The disk is full.")
    assert make_explainer(paused).explain_file("selected/hero.png") == "Its results wait: The disk is full."
    (root / "masked").rmdir()
    assert make_explainer().explain_file("selected/hero.png") == "Its results wait: masked/ is not there: is the share mounted?"


@pytest.mark.parametrize(("device", "title"), [("cpu", "the CPU"), ("cuda:0", "the GPU")])
def test_nobody_waits_for_a_gpu_that_is_not_there(
    root: Path, make_explainer: MakeExplainer, journal: Journal, device: str, title: str
) -> None:
    """Without a GPU, the queue of the models has a worker on the CPU."""
    put(root, "selected/hero.png", "selected/hero.mask.png")
    journal.record_queued("1", "edit", "gpu", "selected/hero.png", 0.0)
    daemon = DaemonState(holder="process 1 on atelier", workers=(WorkerStatus(queue="gpu", device=device), WorkerStatus(queue="cpu")))
    assert make_explainer(daemon).explain_file("selected/hero.png") == f"Waiting for {title}, 1st in the queue."
