"""The scheduler on real folders: the files before, what people do, and the files afterwards."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, NULLS, PIPELINE, SELECT, SHARPEN, WHOLE
from doubles.pictures import black, mask, png
from doubles.slow_copies import SlowCopies
from doubles.studio import Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.errors import HostError
from goldsmith.files import Filesystem
from goldsmith.jobs.job import JobFault, JobFaultKind, Outcome
from goldsmith.jobs.protocol import TEMPORARY_FOLDER
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler import holds, scheduler
from goldsmith.pipeline.scheduler.problem_notes import write_note
from goldsmith.pipeline.scheduler.readiness import Readiness, ReadinessResult
from goldsmith.pipeline.scheduler.results import Results
from goldsmith.pipeline.workers.job_queue import QueuedJob
from goldsmith.root_folder import RootFolder
from goldsmith.service.runtime import DaemonRuntime

BROKEN = '[[edit]]\nop = "sharpn"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def wait_for_note(studio: Studio, picture: str) -> str:
    """Wait for a picture's note and return its text."""
    studio.until(lambda: studio.note(picture), f"a note on {picture}")
    return studio.note(picture)


# ---------------------------------------------------------------------- the last stage of a picture


def test_a_brief_of_all_four_stages_takes_a_picture_from_inbox_to_delivered(studio: Studio) -> None:
    """No file remains in between; every input is in the archive, under its original folder."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]}
    assert studio.archived() == [
        "graded/hero.png",
        "graded/hero.toml",
        "inbox/hero.png",
        "inbox/hero.toml",
        "masked/hero.png",
        "selected/hero.png",
    ]


def test_no_scratch_folder_of_an_ended_job_is_left(studio: Studio) -> None:
    """Of a delivered picture and of one with a note, while the worker process that made them still lives."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.put("inbox/bad.png", b"not a picture")
    studio.put("inbox/bad.toml", WHOLE)
    wait_for_note(studio, "inbox/bad.png")
    studio.until_idle()
    (folder,) = studio.at(".goldsmith/work").iterdir()
    assert [path.name for path in folder.iterdir()] == [TEMPORARY_FOLDER]


def test_a_note_that_finds_no_folder_is_written_later_if_its_picture_is_still_there(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a picture that has gone with its folder needs no note; else the host has failed, and the picture is not forgotten."""
    calls: list[str] = []

    def refuse_once(fs: Filesystem, root: RootFolder, note: str, sentence: str, remedy: str) -> None:
        calls.append(note)
        if len(calls) == 1:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        write_note(fs, root, note, sentence, remedy)

    monkeypatch.setattr(holds, "write_note", refuse_once)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    assert "sharpn" in wait_for_note(studio, "selected/hero.png")
    assert len(calls) == 2
    assert len(studio.events_of("paused")) == 1


def test_a_hold_that_the_journal_refuses_is_reported_once_it_is_recorded(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is there by then; the log and the journal have the problem too, as soon as the journal works again."""
    record, calls = Journal.record_hold, list[str]()

    def refuse_once(journal: Journal, *fields: Any) -> None:
        calls.append(str(fields[0]))
        if len(calls) == 1:
            raise HostError("The journal cannot be used.", "Check its disk.")
        record(journal, *fields)

    monkeypatch.setattr(Journal, "record_hold", refuse_once)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    studio.until_event("held", picture="selected/hero.png")
    assert len(studio.events_of("paused")) == 1
    assert len(calls) == 2


def test_a_picture_waits_where_its_brief_ends(studio: Studio) -> None:
    """A brief that ends with edit leaves the picture and the brief in masked/ for a colourist."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT + SHARPEN)
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_a_bare_mask_applies_to_one_stage(studio: Studio) -> None:
    """The mask is archived and no brief moves on."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png"]}
    assert studio.archived() == ["selected/hero.mask.png", "selected/hero.png"]


def test_a_prompt_passes_through_select_and_is_painted(studio: Studio) -> None:
    """In inbox/ no step reads hero.txt: it travels with the mask, and the inpainting in selected/ uses both."""
    studio.put("inbox/hero.mask.png", mask())
    studio.put("inbox/hero.txt", "a red chair")
    studio.put("inbox/hero.png", png())
    studio.until(lambda: "hero.png" in studio.folder("masked"), "hero in masked")
    studio.until_idle()
    assert [row.record["prompt"] for row in studio.history()] == ["a red chair", "a red chair"]
    assert "selected/hero.txt" in studio.archived()
    assert studio.folders() == {"masked": ["hero.png"]}


def test_a_prompt_applies_to_one_stage(studio: Studio) -> None:
    """hero.txt runs the stage's default steps with its text as the prompt."""
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.txt", "warmer")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png"]}
    assert studio.history()[0].record["prompt"] == "warmer"


def test_a_campaigns_brief_applies_to_every_picture_below_it_and_stays(studio: Studio) -> None:
    """Every stage keeps the subfolders; the campaign's brief stays in its folder."""
    studio.put("inbox/acme/brief.toml", WHOLE)
    studio.put("inbox/acme/spring/one.png", png(1))
    studio.put("inbox/acme/two.png", png(2))
    studio.until_idle()
    assert studio.folders() == {
        "inbox": ["acme/brief.toml"],
        "delivered": sorted(
            f"acme/{stem}{tail}" for stem in ("spring/one", "two") for tail in (".manifest.json", "_print.png", "_web.jpg")
        ),
    }


def test_a_recipe_works_like_its_tables_in_the_brief(studio: Studio) -> None:
    """The brief names a file in library/recipes."""
    studio.put("library/recipes/spring.toml", SHARPEN + GRADE)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", 'recipe = "spring"\n')
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}


def test_a_stage_without_a_table_in_the_brief_runs_its_default_steps(studio: Studio) -> None:
    """The brief has edit and deliver, and the pipeline's default grade runs between them."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN + EXPORT)
    studio.until_idle()
    stages = studio.manifest("delivered/hero.manifest.json")["stages"]
    assert [(stage["stage"], [step["op"] for step in stage["steps"]]) for stage in stages] == [
        ("edit", ["sharpen"]),
        ("grade", ["grade"]),
        ("deliver", ["export", "export"]),
    ]


def test_a_pipeline_with_a_sixth_folder_needs_no_code(studio: Studio) -> None:
    """A stage that exists only in TOML has its folder and its position in the pipeline."""
    studio.write_pipeline(
        PIPELINE.replace('next = "graded"', 'next = "polished"')
        + '[[stage]]\nname = "polish"\nfolder = "polished"\nnext = "graded"\nsteps = ["sharpen"]\n'
    )
    text = (studio.root / "config/pipeline.toml").read_text().split("[[stage]]")
    studio.write_pipeline("[[stage]]".join([*text[:4], text[5], text[4]]))
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", GRADE + '[[polish]]\nop = "sharpen"\n')
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}
    assert [row.stage for row in studio.history()] == ["grade", "polish"]


# ---------------------------------------------------------------------- waiting for files


def test_a_brief_that_needs_a_mask_waits_for_it_and_starts_as_soon_as_it_arrives(studio: Studio) -> None:
    """With a gather time of an hour the work still starts as soon as the mask is quiet."""
    studio.flags["gather"] = 3600
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", INPAINT)
    studio.until_idle()
    works = studio.runtime
    assert works is not None
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    studio.put("selected/hero.mask.png", mask())
    studio.until(lambda: studio.folder("masked"))
    assert studio.folder("masked") == ["hero.png", "hero.toml"]


def test_a_picture_may_arrive_after_its_mask_and_its_brief(studio: Studio) -> None:
    """Sidecars wait for their picture without a note."""
    studio.put("selected/hero.mask.png", mask())
    studio.put("selected/hero.toml", INPAINT)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.mask.png", "hero.toml"]}
    studio.put("selected/hero.png", png())
    studio.until(lambda: studio.folder("masked"))
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_sidecars_that_arrive_within_the_gather_time_move_on_with_their_picture(studio: Studio) -> None:
    """Two layers arrive one after the other, and the work starts again for each."""
    studio.flags["gather"] = 1.0
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_event("started")
    studio.put("selected/hero.layer.one.png", png(1))
    studio.until_event("started", count=2)
    studio.put("selected/hero.layer.two.png", png(2))
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.layer.one.png", "hero.layer.two.png", "hero.png", "hero.toml"]}
    assert len(studio.history()) == 1


def test_sidecars_move_on_until_a_step_uses_them(studio: Studio) -> None:
    """The mask moves with the picture through generate; edit uses it, and then it is archived."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.mask.png", mask())
    studio.put("inbox/hero_mask.face.png", mask())
    studio.put("inbox/hero.ref.png", png(1))
    studio.put("inbox/hero.layer.sky.png", png(2))
    studio.put("inbox/hero.keep.sky.png", mask())
    studio.put("inbox/hero.toml", SELECT + INPAINT)
    studio.until_idle()
    assert "selected/hero.mask.png" in studio.archived()
    assert "hero.mask.png" not in studio.folder("masked")
    assert {"hero.layer.sky.png", "hero.ref.png", "hero.keep.sky.png", "hero.png", "hero.toml"} <= set(studio.folder("masked"))


# ---------------------------------------------------------------------- unchanged files


def test_a_stage_without_steps_moves_the_file_itself(studio: Studio) -> None:
    """The inode stays the same; the archive has a copy of the file that a person dropped, and of no other."""
    dropped = studio.put("inbox/hero.png", png())
    inode = os.stat(dropped).st_ino
    studio.put("inbox/hero.toml", NULLS)
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero.png"]}
    assert os.stat(studio.at("delivered/hero.png")).st_ino == inode
    assert studio.read("delivered/hero.png") == png()
    assert [path for path in studio.archived() if path.endswith(".png")] == ["inbox/hero.png"]


def test_a_step_that_changes_no_pixel_moves_the_file_itself(studio: Studio) -> None:
    """select only records its findings, so the bytes stay the same."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT)
    studio.until_idle()
    assert studio.read("selected/hero.png") == png()
    assert studio.history()[0].record["steps"][0]["findings"]["width"] == 24


# ---------------------------------------------------------------------- versions


def test_a_picture_that_was_delivered_before_gets_the_next_version(studio: Studio) -> None:
    """This holds even if the earlier files were removed, since a client may have them."""
    for number in range(3):
        studio.put("graded/hero.png", png(number))
        studio.put("graded/hero.toml", EXPORT)
        studio.until(lambda: len(studio.events_of("committed")) == number + 1)  # noqa: B023 - called at once
        if number == 1:
            for path in (studio.root / "delivered").glob("hero*"):
                path.unlink()
    assert studio.folders() == {"delivered": ["hero_v003.manifest.json", "hero_v003_print.png", "hero_v003_web.jpg"]}


def test_a_picture_that_is_dragged_back_gets_the_next_version(studio: Studio) -> None:
    """The picture in masked/ is dragged to selected/ with its brief and returns as _v002."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: studio.folder("masked"))
    for name in ("hero.png", "hero.toml"):
        os.rename(studio.at(f"masked/{name}"), studio.at(f"selected/{name}"))
    studio.until(lambda: len(studio.events_of("committed")) == 2)
    assert studio.folders() == {"masked": ["hero_v002.png", "hero_v002.toml"]}


def test_the_manifest_names_the_files_of_its_own_version(studio: Studio) -> None:
    """Hashes and names are correct although a person placed a file with the same name at the last moment."""
    works = studio.start()
    commit = works.scheduler._plan_executor.commit

    def commit_after_a_new_file(plans):  # type: ignore[no-untyped-def]
        studio.at("delivered/hero_web.jpg").write_bytes(b"somebody's own")
        return commit(plans)

    works.scheduler._plan_executor.commit = commit_after_a_new_file  # type: ignore[method-assign]
    studio.put("graded/hero.png", png())
    studio.put("graded/hero.toml", EXPORT)
    studio.until(lambda: studio.events_of("committed"))
    assert studio.folder("delivered") == ["hero_v002.manifest.json", "hero_v002_print.png", "hero_v002_web.jpg", "hero_web.jpg"]
    manifest = studio.manifest("delivered/hero_v002.manifest.json")
    assert [each["file"] for each in manifest["deliverables"]] == ["hero_v002_web.jpg", "hero_v002_print.png"]
    assert manifest["stages"][-1]["results"] == ["delivered/hero_v002_web.jpg", "delivered/hero_v002_print.png"]
    assert studio.read("delivered/hero_web.jpg") == b"somebody's own"


def test_two_pictures_with_one_stem_are_two_assets(studio: Studio) -> None:
    """hero.png and hero.jpg each have a brief: neither is overwritten or lost, and none is a version of the other."""
    from PIL import Image

    studio.put("selected/hero.png", png(1))
    jpeg = studio.root.parent / "hero.jpg"
    Image.effect_noise((24, 16), 50).convert("RGB").save(jpeg)
    studio.put("selected/hero.jpg", jpeg.read_bytes())
    studio.put("selected/hero.png.toml", SHARPEN + GRADE)
    studio.put("selected/hero.jpg.toml", SHARPEN + GRADE)
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml", "hero_jpg.png", "hero_jpg.toml"]}


# ---------------------------------------------------------------------- problems


@pytest.mark.parametrize("change", ["brief", "note"])
def test_a_held_picture_is_tried_again_when_its_bundle_changes_or_its_note_is_deleted(studio: Studio, change: str) -> None:
    """An invalid brief gets a note at once; each change leads to exactly one new try."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    assert 'write op = "sharpen"' in wait_for_note(studio, "selected/hero.png")
    studio.until_idle()
    assert len(studio.events_of("held")) == 1
    if change == "brief":
        studio.put("selected/hero.toml", SHARPEN)
        studio.until(lambda: studio.folder("masked"))
        assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    else:
        os.unlink(studio.at("selected/hero.png.problem.txt"))
        assert 'write op = "sharpen"' in wait_for_note(studio, "selected/hero.png")
        assert len(studio.events_of("held")) == 2


def test_a_held_picture_stays_held_after_a_restart(studio: Studio) -> None:
    """The picture is not tried again, and its note is not written again."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    assert "all black" in wait_for_note(studio, "selected/hero.png")
    studio.until_idle()
    inode = os.stat(studio.at("selected/hero.png.problem.txt")).st_ino
    studio.restart()
    studio.events.clear()
    studio.until_idle()
    assert studio.events == []
    assert os.stat(studio.at("selected/hero.png.problem.txt")).st_ino == inode


def test_a_note_that_is_deleted_while_the_daemon_is_down_leads_to_a_new_try(studio: Studio) -> None:
    """The daemon notices at its start."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    wait_for_note(studio, "selected/hero.png")
    studio.until_idle()
    studio.stop()
    os.unlink(studio.at("selected/hero.png.problem.txt"))
    studio.events.clear()
    studio.start()
    assert "all black" in wait_for_note(studio, "selected/hero.png")
    assert len(studio.events_of("held")) == 1


def test_a_note_that_is_deleted_as_soon_as_it_appears_leads_to_a_new_try(studio: Studio) -> None:
    """The deletion comes before any event of the watcher."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    studio.until_event("held")
    os.unlink(studio.at("selected/hero.png.problem.txt"))
    studio.until_event("held", count=2)
    studio.until_idle()
    assert studio.note("selected/hero.png")
    assert len(studio.events_of("held")) == 2


def test_a_bundle_that_is_fixed_while_the_daemon_is_down_is_tried_again(studio: Studio) -> None:
    """Its note is deleted."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    wait_for_note(studio, "selected/hero.png")
    studio.stop()
    studio.put("selected/hero.mask.png", mask())
    studio.start()
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png"]}


@pytest.mark.parametrize("down", [False, True])
def test_the_note_of_a_removed_picture_is_deleted(studio: Studio, down: bool) -> None:
    """This holds whether the daemon runs or not."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    wait_for_note(studio, "selected/hero.png")
    if down:
        studio.stop()
    os.unlink(studio.at("selected/hero.png"))
    os.unlink(studio.at("selected/hero.mask.png"))
    if down:
        studio.start()
    studio.until(lambda: not studio.folders(), "no note")


def test_an_incomplete_picture_waits_for_the_rest(studio: Studio) -> None:
    """An upload may continue, so an incomplete picture is no problem until the waiting time has passed."""
    studio.flags["broken_after"] = 3600
    half = studio.at("inbox/hero.png")
    half.write_bytes(png()[:300])
    studio.put("inbox/hero.toml", SELECT)
    studio.until_event("fault", kind="incomplete")
    with half.open("ab") as file:
        file.write(png()[300:])
    studio.until(lambda: studio.folder("selected"))
    assert studio.read("selected/hero.png") == png()
    assert studio.events_of("held") == []


def test_a_picture_that_stays_incomplete_gets_a_note(studio: Studio) -> None:
    """After the waiting time the picture is reported as broken and stays in its folder."""
    studio.put("inbox/hero.png", png()[:300])
    studio.put("inbox/hero.toml", SELECT)
    assert wait_for_note(studio, "inbox/hero.png")
    assert studio.folders() == {"inbox": ["hero.png", "hero.png.problem.txt", "hero.toml"]}


def test_a_recipe_that_is_fixed_in_the_library_releases_the_pictures_that_it_held(studio: Studio) -> None:
    """The bundle itself is unchanged, but the recipe is valid now."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", 'recipe = "spring"\n')
    assert "spring" in wait_for_note(studio, "selected/hero.png")
    studio.until_idle()
    studio.put("library/recipes/spring.toml", BROKEN)
    studio.until(lambda: 'write op = "sharpen"' in studio.note("selected/hero.png"))
    studio.put("library/recipes/spring.toml", SHARPEN)
    studio.until(lambda: studio.folder("masked"))
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_the_folder_of_a_picture_with_a_problem_may_disappear(studio: Studio) -> None:
    """The daemon does not pause."""
    works = studio.start()
    hold = Results.hold

    def hold_after_deletion(*arguments, **options):  # type: ignore[no-untyped-def]
        for path in (studio.root / "selected/acme").glob("*"):
            path.unlink()
        (studio.root / "selected/acme").rmdir()
        works.scheduler._results.hold = lambda *arguments, **options: hold(works.scheduler._results, *arguments, **options)  # type: ignore[method-assign]
        return hold(works.scheduler._results, *arguments, **options)

    works.scheduler._results.hold = hold_after_deletion  # type: ignore[method-assign]
    studio.put("selected/acme/hero.png", png())
    studio.put("selected/acme/hero.toml", BROKEN)
    studio.until(lambda: not (studio.root / "selected/acme").exists())
    studio.until_idle()
    assert studio.events_of("paused") == []


def _kill_the_worker_of_every_job(studio: Studio, kind: JobFaultKind) -> None:
    """Start the daemon with workers that die of every job."""
    workers = studio.start().workers
    outcomes: list[Outcome] = []

    def enqueue(queued: QueuedJob) -> None:
        job = workers.build_job(queued)
        assert job is not None
        outcomes.append(Outcome(job_id=job.id, fault=JobFault(kind=kind, sentence="The worker died.", remedy="Relax its limits.")))

    def collect(now: float) -> list[Outcome]:
        events = list(outcomes)
        outcomes.clear()
        return events

    workers.enqueue = enqueue  # type: ignore[method-assign]
    workers.collect = collect  # type: ignore[method-assign, assignment]
    workers.seconds_until_due = lambda now: 0.0 if outcomes else None  # type: ignore[method-assign]


@pytest.mark.parametrize(("kind", "attempts"), [("crash", 1), ("timeout", 2), ("memory", 3)])
def test_a_job_that_kills_its_worker_is_tried_exactly_as_often_as_the_settings_say(
    studio: Studio, kind: JobFaultKind, attempts: int
) -> None:
    """After the last attempt the picture is held; a deleted note allows the same number of attempts again."""
    studio.flags["attempts"] = attempts
    _kill_the_worker_of_every_job(studio, kind)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    for tries in (1, 2):
        studio.until_event("held", count=tries)
        studio.until_idle()
        assert len(studio.events_of("started")) == len(studio.events_of("fault", kind=kind)) == tries * attempts
        assert len(studio.events_of("held")) == tries
        assert studio.note("selected/hero.png").startswith(f"The worker died. It was tried {attempts} times.\nRelax its limits.\n")
        os.unlink(studio.at("selected/hero.png.problem.txt"))


def test_a_restart_does_not_reset_the_count_of_attempts(studio: Studio) -> None:
    """The daemon is restarted after each attempt, and the third one is still the last."""
    studio.flags["attempts"] = 3
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    for attempt in (1, 2, 3):
        _kill_the_worker_of_every_job(studio, "crash")
        studio.until_event("fault", count=attempt)
        assert bool(studio.events_of("held")) == (attempt == 3)
        studio.stop()
    studio.until_idle()
    assert len(studio.events_of("fault")) == 3


# ---------------------------------------------------------------------- changes during the work


def test_a_picture_that_is_saved_over_during_the_work_moves_on_once_with_its_new_contents(studio: Studio) -> None:
    """The first result is discarded."""
    studio.flags["quiet"] = 1.0
    studio.put("inbox/hero.png", png(1))
    studio.put("inbox/hero.toml", SELECT)
    studio.until_event("started")
    studio.put("inbox/hero.png", png(2))
    studio.until_idle()
    assert studio.read("selected/hero.png") == png(2)
    assert [row.outcome for row in studio.history()] == ["passed"]
    assert studio.archived() == ["inbox/hero.png", "inbox/hero.toml"]


def test_a_picture_that_is_deleted_during_the_work_has_no_result(studio: Studio) -> None:
    """No result appears, and no input is archived."""
    studio.flags["quiet"] = 1.0
    studio.put("inbox/hero.png", png(1))
    studio.put("inbox/hero.toml", SELECT)
    studio.until_event("started")
    os.unlink(studio.at("inbox/hero.png"))
    studio.until_idle()
    assert studio.folders() == {"inbox": ["hero.toml"]}
    assert studio.archived() == []


def test_a_bundle_that_changes_repeatedly_moves_on_once(studio: Studio) -> None:
    """The mask is saved over at each of ten events, and its last state counts."""
    studio.put("selected/hero.png", png(1))
    studio.put("selected/hero.toml", INPAINT)
    for number in range(10):
        studio.put("selected/hero.mask.png", mask() if number == 9 else black())
        before = len(studio.events)
        studio.until(lambda: len(studio.events) > before)  # noqa: B023 - called at once
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    assert [row.outcome for row in studio.history()].count("passed") == 1


def test_a_campaigns_brief_that_is_edited_during_the_work_applies_to_all_twenty_pictures(studio: Studio) -> None:
    """Results of the old brief are discarded."""
    studio.flags["quiet"] = 4.0
    studio.put("selected/acme/brief.toml", SHARPEN)
    for number in range(20):
        studio.put(f"selected/acme/p{number}.png", png(number))
    studio.until_event("started")
    studio.put("selected/acme/brief.toml", SHARPEN + GRADE)
    studio.until_idle()
    assert len([name for name in studio.folder("graded") if name.endswith(".png")]) == 20
    assert studio.folder("masked") == []


def test_a_brief_that_is_edited_between_two_stages_applies_from_there_on(studio: Studio) -> None:
    """The brief beside the picture shows the steps that will run."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: studio.folder("masked"))
    brief = studio.read("masked/hero.toml").decode()
    studio.put("masked/hero.toml", brief + GRADE)
    studio.until(lambda: studio.folder("graded"))
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}
    assert studio.history()[-1].record["steps"][0]["settings"]["saturation"] == 0.7


# ---------------------------------------------------------------------- names and numbers


@pytest.mark.parametrize(
    "stem",
    [
        b"two\nlines",
        b"caf\xe9",
        b"-rf",
        "größe".encode(),
        "한글".encode(),
        "🌄".encode(),
        b"a b'c\"$(d)",
        b"x" * 251,
        "ü".encode() * 125 + b"x",
    ],
    ids=["newline", "invalid", "dash", "umlaut", "korean", "emoji", "shell", "255 bytes", "255 bytes of umlauts"],
)
def test_a_picture_with_any_name_passes_all_stages(studio: Studio, stem: bytes) -> None:
    """The deliverables and the manifest have its name, shortened if necessary."""
    studio.put(b"inbox/" + stem + b".png", png())
    if len(stem) < 250:
        studio.put(b"inbox/" + stem + b".toml", WHOLE)
    else:
        studio.put("inbox/brief.toml", WHOLE)
    studio.until_event("committed", count=4)
    names = [os.fsencode(name) for name in studio.folder("delivered")]
    assert [name.startswith(stem[:150]) for name in names] == [True, True, True]
    assert all(any(name.endswith(tail) for name in names) for tail in (b".manifest.json", b"_print.png", b"_web.jpg"))
    assert studio.events_of("held") == []


def test_each_of_two_hundred_pictures_is_delivered_once(studio: Studio) -> None:
    """The commits come in several batches."""
    studio.put("inbox/acme/brief.toml", NULLS)
    for number in range(200):
        studio.put(f"inbox/acme/p{number:03d}.png", png(number, 4, 4))
    studio.until_idle()
    assert len(studio.folder("delivered")) == 400
    assert studio.folder("inbox") == ["acme/brief.toml"]
    assert all(studio.read(f"delivered/acme/p{number:03d}.png") == png(number, 4, 4) for number in range(200))


# ---------------------------------------------------------------------- the journal


def test_the_pipeline_runs_on_after_the_loss_of_its_journal(studio: Studio) -> None:
    """The folders hold everything that is needed, since briefs move with their pictures."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.until(lambda: studio.events_of("committed"))
    studio.stop()
    for path in studio.journal_path.parent.glob("journal.sqlite*"):
        path.unlink()
    studio.start()
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]}


def test_a_lease_covers_the_timeout_of_a_silent_job_and_the_wait_of_finished_work(studio: Studio) -> None:
    """The lease starts at the last event; finished work that waits an hour for sidecars does not look stuck."""
    studio.flags |= {"job_seconds": 500.0, "gather": 3600.0}
    leases: list[float] = []

    def has_long_lease() -> bool:
        leases.extend((job.lease_until or 0.0) - time.time() for job in studio.journal.active_jobs() if job.started_at is not None)
        return bool(leases) and leases[-1] > 1000.0

    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_event("started")
    studio.until(has_long_lease, "finished work")
    assert {round(lease / 10) * 10 for lease in leases} <= {560, 3660, 3650}
    assert 550.0 < leases[0] <= 560.0


# ---------------------------------------------------------------------- the end of the daemon


def _finish_one_picture(studio: Studio) -> None:
    """Finish the work on a picture, whose files have not settled yet."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    works = studio.start()
    studio.until(
        lambda: (
            studio.events_of("started") and not works.workers.running_jobs() and not any(map(works.workers.queue_length, ("cpu", "gpu")))
        )
    )


def test_finished_work_that_waits_for_quiet_files_is_committed_before_the_end(studio: Studio) -> None:
    """The next daemon does not have to repeat the work."""
    studio.flags["quiet"] = 6.0  # a busy computer may need longer for the work: then it does not wait
    _finish_one_picture(studio)
    assert studio.runtime is not None
    studio.runtime.drain(60.0, lambda: None)
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("wait", ["quiet", "gather"])
def test_finished_work_that_waits_longer_than_the_drain_does_not_delay_the_end(studio: Studio, wait: str) -> None:
    """The files stay in place, and the next daemon repeats the work."""
    studio.flags[wait] = 3600.0
    _finish_one_picture(studio)
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    assert studio.runtime is not None
    turns: list[None] = []
    studio.runtime.drain(60.0, lambda: turns.append(None))
    assert len(turns) < 10
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


# ---------------------------------------------------------------------- copies to another filesystem


def _finish_with_a_slow_archive(studio: Studio, disk: SlowCopies) -> None:
    """Finish the work on a picture whose original goes to the archive on another disk, up to its copy."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.start(disk)
    studio.until(lambda: disk.copying_threads, "the copy")
    assert studio.folder("masked") == []


def test_the_loop_goes_on_while_a_file_is_copied_to_another_disk(studio: Studio) -> None:
    """Other pictures pass all their stages meanwhile, and the copied picture moves on when its copy is made."""
    disk = SlowCopies()
    _finish_with_a_slow_archive(studio, disk)
    studio.put("masked/brief.toml", GRADE)
    studio.put("masked/bolt/brief.toml", 'grade = []\n[[deliver]]\nop = "export"\n')
    studio.put("graded/bolt/other.png", b"not a picture")
    studio.put("graded/bolt/other.toml", EXPORT)
    studio.until(lambda: studio.note("graded/bolt/other.png"), "a note on another picture")
    assert studio.folder("masked") == ["bolt/brief.toml", "brief.toml"]
    assert not studio.runtime.scheduler.is_idle  # type: ignore[union-attr]
    disk.go_on.set()
    studio.until(lambda: "hero.png" in studio.folder("masked") + studio.folder("graded"), "the copied picture")
    assert set(disk.copying_threads) == {"copy"}


def test_the_end_waits_for_a_copy_until_its_time_is_over(studio: Studio) -> None:
    """A copy that goes on is finished and committed; one that does not is left to the next start, which delivers it once."""
    disk = SlowCopies()
    _finish_with_a_slow_archive(studio, disk)
    works = studio.runtime
    assert works is not None
    works.drain(0.3, lambda: None)
    assert studio.folder("masked") == []
    studio.stop()
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    assert studio.archived() == ["selected/hero.png", "selected/hero.toml"]
    disk = SlowCopies()
    studio.stop()
    studio.put("selected/other.png", png(1))
    studio.put("selected/other.toml", SHARPEN)
    works = studio.start(disk)
    studio.until(lambda: disk.copying_threads, "the copy")
    works.drain(600.0, disk.go_on.set)
    assert "other.png" in studio.folder("masked")


def test_no_job_starts_while_too_much_finished_work_waits_for_its_copies(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that wait would fill the scratch disk. Work goes on when some are committed."""
    monkeypatch.setattr(scheduler, "MAX_UNCOMMITTED", 2)
    disk = SlowCopies()
    for number in range(6):
        studio.put(f"selected/p{number}.png", png(number))
        studio.put(f"selected/p{number}.toml", SHARPEN)
    works = studio.start(disk)
    studio.until(lambda: works.workers.is_held, "the hold")
    assert studio.folder("masked") == []
    assert len(studio.events_of("started")) < 6
    disk.go_on.set()
    studio.until_idle()
    assert len(studio.folder("masked")) == 12


# ---------------------------------------------------------------------- turns


def _start_paused(studio: Studio, *pictures: str) -> DaemonRuntime:
    """Start the daemon with these pictures in the queue, and no worker that takes them."""
    works = studio.start()
    pause_queue(works.workers, "cpu")
    _queue(studio, *pictures)
    return works


def _queue(studio: Studio, *pictures: str) -> None:
    works = studio.runtime
    assert works is not None
    before = works.workers.queue_length("cpu")
    for number, picture in enumerate(pictures):
        studio.put(f"{picture}.toml", SHARPEN + GRADE)
        studio.put(f"{picture}.png", png(number))
    studio.until(lambda: works.workers.queue_length("cpu") == before + len(pictures), "the queue")


def _starts(studio: Studio, count: int) -> list[str]:
    """Return the pictures whose work started, in order, once there are as many as ``count``."""
    works = studio.runtime
    assert works is not None
    resume_queue(works.workers, "cpu")
    studio.until_event("started", count=count, stage="edit")
    return [str(facts["picture"]).removesuffix(".png") for facts in studio.events_of("started", stage="edit")][:count]


def test_a_single_picture_starts_behind_one_picture_of_a_flood(studio: Studio) -> None:
    """It arrives last, in another campaign. The order in the state file says so before."""
    works = _start_paused(studio, *(f"selected/acme/p{number:02d}" for number in range(30)))
    _queue(studio, "selected/bolt/hero")
    assert len(works.state().queue_order["cpu"]) == 31
    assert studio.journal.active_jobs()[-1].job_id in works.state().queue_order["cpu"][:2]
    assert "selected/bolt/hero" in _starts(studio, 2)


def test_a_picture_that_is_saved_over_while_it_waits_keeps_its_place(studio: Studio) -> None:
    """No job of its old contents runs."""
    works = _start_paused(studio, *(f"selected/p{number}" for number in range(4)))
    # A busy machine does not queue them in the order in which they were written.
    paths = {job.job_id: job.path.removesuffix(".png") for job in studio.journal.active_jobs()}
    order = [paths[job] for job in works.state().queue_order["cpu"]]
    studio.put(f"{order[1]}.toml", GRADE)
    studio.until(lambda: works.workers.queue_length("cpu") == 3, "the changed picture's leaving")
    studio.put(f"{order[1]}.toml", SHARPEN)
    studio.until(lambda: works.workers.queue_length("cpu") == 4, "its return")
    assert _starts(studio, 3) == order[:3]
    assert len(studio.events_of("started", picture=f"{order[1]}.png")) == 1


def test_a_queue_keeps_its_order_over_a_restart(studio: Studio) -> None:
    """Names would be read in their own order, which is not that of arrival."""
    works = _start_paused(studio, "selected/c")
    _queue(studio, "selected/b")
    _queue(studio, "selected/a")
    studio.stop()
    works = studio.start()
    pause_queue(works.workers, "cpu")
    studio.until(lambda: works.workers.queue_length("cpu") == 3, "the queue")
    assert _starts(studio, 3) == ["selected/c", "selected/b", "selected/a"]


def test_a_brief_that_cannot_be_used_any_more_is_held_although_its_picture_is_queued(studio: Studio) -> None:
    """The note is there at once, not when the picture's turn comes."""
    works = _start_paused(studio, "selected/a", "selected/b")
    studio.put("selected/b.toml", BROKEN)
    assert "no such operation" in wait_for_note(studio, "selected/b.png")
    assert works.workers.queue_length("cpu") == 1
    assert len(studio.journal.active_jobs()) == 1


# ---------------------------------------------------------------------- what the system refuses


@pytest.mark.parametrize(("number", "event", "other"), [(errno.EMFILE, "paused", "held"), (errno.EACCES, "held", "paused")])
def test_only_a_fault_of_the_whole_machine_pauses_everything(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, number: int, event: str, other: str
) -> None:
    """A machine without descriptors pauses; a folder that refuses one bundle makes that bundle wait. Both go on by themselves."""
    check = Readiness.check
    refusals = iter(range(3))

    def refuse(readiness: Readiness, bundle: Bundle) -> ReadinessResult:
        if next(refusals, None) is not None:
            raise OSError(number, os.strerror(number))
        return check(readiness, bundle)

    monkeypatch.setattr(Readiness, "check", refuse)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_event("committed")
    assert (len(studio.events_of(event)), studio.events_of(other)) == (1, [])


def test_an_unknown_error_pauses_and_is_logged_with_its_traceback(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the program does not end the daemon either."""
    check = Readiness.check
    refusals = iter(range(2))

    def fail(readiness: Readiness, bundle: Bundle) -> ReadinessResult:
        if next(refusals, None) is not None:
            raise LookupError("no such thing")
        return check(readiness, bundle)

    monkeypatch.setattr(Readiness, "check", fail)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_event("committed")
    assert "LookupError: no such thing" in studio.events_of("error")[0]["sentence"]
    assert "in fail" in studio.events_of("error")[0]["detail"]
    assert (len(studio.events_of("paused")), len(studio.events_of("resumed"))) == (1, 1)
