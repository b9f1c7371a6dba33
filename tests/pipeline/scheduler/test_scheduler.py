"""The foreman through the folders: what lies there before, what people do, what lies there after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, LINE, NULLS, SELECT, SHARPEN, WHOLE
from doubles.pictures import black, mask, png
from doubles.studio import Studio, studio_at
from goldsmith.pipeline.scheduler.results import Results

BROKEN = '[[edit]]\nop = "sharpn"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        made.line(LINE)
        yield made


def held(studio: Studio, picture: str) -> str:
    """Wait for a picture's note, and read it."""
    studio.until(lambda: studio.note(picture), f"a note on {picture}")
    return studio.note(picture)


# ---------------------------------------------------------------------- how far a picture goes


def test_a_brief_of_all_four_stages_takes_a_picture_from_inbox_to_delivered(studio: Studio) -> None:
    """Nothing is left on the way; every input is in the archive under the folder it lay in."""
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


def test_a_picture_waits_where_its_brief_ends(studio: Studio) -> None:
    """A brief that stops after edit leaves picture and brief in masked/ for a colourist."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT + SHARPEN)
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_a_bare_mask_is_good_for_one_stage(studio: Studio) -> None:
    """The mask is used up and no brief travels on."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png"]}
    assert studio.archived() == ["selected/hero.mask.png", "selected/hero.png"]


def test_a_prompt_is_good_for_one_stage(studio: Studio) -> None:
    """hero.txt runs the folder's default steps with its text as the prompt."""
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.txt", "warmer")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png"]}
    assert studio.history()[0].record["prompt"] == "warmer"


def test_a_campaigns_brief_moves_every_picture_below_it_and_stays(studio: Studio) -> None:
    """Subfolders are kept all the way; the campaign's brief lies where it lay."""
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


def test_a_recipe_is_the_same_as_its_tables_in_the_brief(studio: Studio) -> None:
    """What lies in library/recipes is asked for by name."""
    studio.put("library/recipes/spring.toml", SHARPEN + GRADE)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", 'recipe = "spring"\n')
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}


def test_a_stage_that_the_brief_skips_runs_its_default(studio: Studio) -> None:
    """The line's default grade lies between an edit and a deliver."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN + EXPORT)
    studio.until_idle()
    stages = studio.manifest("delivered/hero.manifest.json")["stages"]
    assert [(stage["stage"], [step["op"] for step in stage["steps"]]) for stage in stages] == [
        ("edit", ["sharpen"]),
        ("grade", ["grade"]),
        ("deliver", ["export", "export"]),
    ]


def test_a_line_with_a_sixth_folder_needs_no_code(studio: Studio) -> None:
    """A stage that exists only in TOML has its folder and its place in the way."""
    studio.line(
        LINE.replace('next = "graded"', 'next = "polished"')
        + '[[stage]]\nname = "polish"\nfolder = "polished"\nnext = "graded"\nsteps = ["sharpen"]\n'
    )
    text = (studio.root / "config/pipeline.toml").read_text().split("[[stage]]")
    studio.line("[[stage]]".join([*text[:4], text[5], text[4]]))
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", GRADE + '[[polish]]\nop = "sharpen"\n')
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}
    assert [row.stage for row in studio.history()] == ["grade", "polish"]


# ---------------------------------------------------------------------- waiting for what is asked


def test_a_brief_that_needs_a_mask_waits_for_it_and_starts_at_once_when_it_is_there(studio: Studio) -> None:
    """The sentence says which file; with a gather time of an hour nothing more is waited for than the quiet."""
    studio.flags["gather"] = 3600
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", INPAINT)
    studio.until_idle()
    works = studio.works
    assert works is not None
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    studio.put("selected/hero.mask.png", mask())
    studio.until(lambda: studio.folder("masked"))
    assert studio.folder("masked") == ["hero.png", "hero.toml"]


def test_a_picture_may_come_after_its_mask_and_its_brief(studio: Studio) -> None:
    """Sidecars wait for their picture without a word."""
    studio.put("selected/hero.mask.png", mask())
    studio.put("selected/hero.toml", INPAINT)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.mask.png", "hero.toml"]}
    studio.put("selected/hero.png", png())
    studio.until(lambda: studio.folder("masked"))
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_sidecars_that_come_within_the_gather_time_are_taken_along(studio: Studio) -> None:
    """Two layers that arrive one after the other both travel on with their picture."""
    studio.flags["gather"] = 1.0
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_heard("started")
    studio.put("selected/hero.layer.one.png", png(1))
    studio.until_heard("started", count=2)
    studio.put("selected/hero.layer.two.png", png(2))
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.layer.one.png", "hero.layer.two.png", "hero.png", "hero.toml"]}
    assert len(studio.history()) == 1


def test_sidecars_travel_until_a_step_has_used_them(studio: Studio) -> None:
    """The mask goes with the picture through generate, is used up by edit, and lies in the archive then."""
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


# ---------------------------------------------------------------------- byte for byte


def test_a_stage_that_does_nothing_hands_the_very_file_on(studio: Studio) -> None:
    """The inode is the same; the archive has a copy of what a person dropped, and only of that."""
    dropped = studio.put("inbox/hero.png", png())
    inode = os.stat(dropped).st_ino
    studio.put("inbox/hero.toml", NULLS)
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero.png"]}
    assert os.stat(studio.at("delivered/hero.png")).st_ino == inode
    assert studio.read("delivered/hero.png") == png()
    assert [path for path in studio.archived() if path.endswith(".png")] == ["inbox/hero.png"]


def test_a_step_that_changes_no_pixel_hands_the_very_file_on(studio: Studio) -> None:
    """select looks and records; the bytes stay."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT)
    studio.until_idle()
    assert studio.read("selected/hero.png") == png()
    assert studio.history()[0].record["steps"][0]["findings"]["width"] == 24


# ---------------------------------------------------------------------- versions


def test_what_was_delivered_before_comes_out_as_the_next_version(studio: Studio) -> None:
    """Also where the first one was taken away meanwhile: a client may have it."""
    for number in range(3):
        studio.put("graded/hero.png", png(number))
        studio.put("graded/hero.toml", EXPORT)
        studio.until(lambda: len(studio.heard("committed")) == number + 1)  # noqa: B023 - called at once
        if number == 1:
            for path in (studio.root / "delivered").glob("hero*"):
                path.unlink()
    assert studio.folders() == {"delivered": ["hero_v003.manifest.json", "hero_v003_print.png", "hero_v003_web.jpg"]}


def test_a_picture_dragged_back_comes_out_as_the_next_version(studio: Studio) -> None:
    """What lies in masked/ is dragged to selected/ with its brief, and comes back as _v002."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: studio.folder("masked"))
    for name in ("hero.png", "hero.toml"):
        os.rename(studio.at(f"masked/{name}"), studio.at(f"selected/{name}"))
    studio.until(lambda: len(studio.heard("committed")) == 2)
    assert studio.folders() == {"masked": ["hero_v002.png", "hero_v002.toml"]}


def test_the_manifest_names_the_files_of_its_own_version(studio: Studio) -> None:
    """Hashes and names are true although somebody put a file of that name there in the last instant."""
    works = studio.start()
    commit = works.scheduler._plan_executor.commit

    def late(plans):  # type: ignore[no-untyped-def]
        studio.at("delivered/hero_web.jpg").write_bytes(b"somebody's own")
        return commit(plans)

    works.scheduler._plan_executor.commit = late  # type: ignore[method-assign]
    studio.put("graded/hero.png", png())
    studio.put("graded/hero.toml", EXPORT)
    studio.until(lambda: studio.heard("committed"))
    assert studio.folder("delivered") == ["hero_v002.manifest.json", "hero_v002_print.png", "hero_v002_web.jpg", "hero_web.jpg"]
    manifest = studio.manifest("delivered/hero_v002.manifest.json")
    assert [each["file"] for each in manifest["deliverables"]] == ["hero_v002_web.jpg", "hero_v002_print.png"]
    assert manifest["stages"][-1]["results"] == ["delivered/hero_v002_web.jpg", "delivered/hero_v002_print.png"]
    assert studio.read("delivered/hero_web.jpg") == b"somebody's own"


def test_two_pictures_of_one_stem_go_on_as_two_assets(studio: Studio) -> None:
    """hero.png and hero.jpg, each with a brief of its own: nothing is overwritten, neither is lost."""
    from PIL import Image

    studio.put("selected/hero.png", png(1))
    jpeg = studio.root.parent / "hero.jpg"
    Image.effect_noise((24, 16), 50).convert("RGB").save(jpeg)
    studio.put("selected/hero.jpg", jpeg.read_bytes())
    studio.put("selected/hero.png.toml", SHARPEN + GRADE)
    studio.put("selected/hero.jpg.toml", SHARPEN + GRADE)
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml", "hero_v002.png", "hero_v002.toml"]}


# ---------------------------------------------------------------------- problems


@pytest.mark.parametrize("mend", ["brief", "note"])
def test_a_note_goes_when_the_bundle_is_changed_or_the_note_deleted(studio: Studio, mend: str) -> None:
    """A bad brief gets a note at once; then it is tried again, once."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    assert "did you mean sharpen?" in held(studio, "selected/hero.png")
    studio.until_idle()
    assert len(studio.heard("held")) == 1
    if mend == "brief":
        studio.put("selected/hero.toml", SHARPEN)
        studio.until(lambda: studio.folder("masked"))
        assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    else:
        os.unlink(studio.at("selected/hero.png.problem.txt"))
        assert "did you mean sharpen?" in held(studio, "selected/hero.png")
        assert len(studio.heard("held")) == 2


def test_what_is_held_stays_held_over_a_restart(studio: Studio) -> None:
    """Neither is it tried again nor is the note written anew."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    assert "all black" in held(studio, "selected/hero.png")
    studio.until_idle()
    inode = os.stat(studio.at("selected/hero.png.problem.txt")).st_ino
    studio.restart()
    studio.events.clear()
    studio.until_idle()
    assert studio.events == []
    assert os.stat(studio.at("selected/hero.png.problem.txt")).st_ino == inode


def test_a_note_deleted_while_the_daemon_is_down_means_try_again(studio: Studio) -> None:
    """It is found out at the start."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    held(studio, "selected/hero.png")
    studio.until_idle()
    studio.stop()
    os.unlink(studio.at("selected/hero.png.problem.txt"))
    studio.events.clear()
    studio.start()
    assert "all black" in held(studio, "selected/hero.png")
    assert len(studio.heard("held")) == 1


def test_a_note_deleted_the_instant_it_appears_means_try_again(studio: Studio) -> None:
    """Before anything was heard of it."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", BROKEN)
    studio.until_heard("held")
    os.unlink(studio.at("selected/hero.png.problem.txt"))
    studio.until_heard("held", count=2)
    studio.until_idle()
    assert studio.note("selected/hero.png")
    assert len(studio.heard("held")) == 2


def test_a_bundle_mended_while_the_daemon_is_down_is_tried_again(studio: Studio) -> None:
    """And its note goes."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    held(studio, "selected/hero.png")
    studio.stop()
    studio.put("selected/hero.mask.png", mask())
    studio.start()
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png"]}


@pytest.mark.parametrize("down", [False, True])
def test_the_note_of_a_picture_that_was_taken_away_goes_with_it(studio: Studio, down: bool) -> None:
    """Whether the daemon runs or not."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", black())
    held(studio, "selected/hero.png")
    if down:
        studio.stop()
    os.unlink(studio.at("selected/hero.png"))
    os.unlink(studio.at("selected/hero.mask.png"))
    if down:
        studio.start()
    studio.until(lambda: not studio.folders(), "no note")


def test_a_picture_that_ends_too_soon_waits_for_the_rest_of_it(studio: Studio) -> None:
    """A half upload is no fault until a long silence says so; the rest may still come."""
    studio.flags["broken_after"] = 3600
    half = studio.at("inbox/hero.png")
    half.write_bytes(png()[:300])
    studio.put("inbox/hero.toml", SELECT)
    studio.until_heard("fault", kind="incomplete")
    with half.open("ab") as file:
        file.write(png()[300:])
    studio.until(lambda: studio.folder("selected"))
    assert studio.read("selected/hero.png") == png()
    assert studio.heard("held") == []


def test_a_picture_that_stays_half_gets_a_note(studio: Studio) -> None:
    """After the silence it is called broken, and stays where it lies."""
    studio.put("inbox/hero.png", png()[:300])
    studio.put("inbox/hero.toml", SELECT)
    assert held(studio, "inbox/hero.png")
    assert studio.folders() == {"inbox": ["hero.png", "hero.png.problem.txt", "hero.toml"]}


def test_a_recipe_mended_in_the_library_sets_those_free_that_it_held(studio: Studio) -> None:
    """Nothing beside the picture has changed, but what it asked for is there now."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", 'recipe = "spring"\n')
    assert "spring" in held(studio, "selected/hero.png")
    studio.until_idle()
    studio.put("library/recipes/spring.toml", BROKEN)
    studio.until(lambda: "did you mean sharpen?" in studio.note("selected/hero.png"))
    studio.put("library/recipes/spring.toml", SHARPEN)
    studio.until(lambda: studio.folder("masked"))
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


def test_the_folder_of_a_picture_at_fault_may_vanish(studio: Studio) -> None:
    """That is nobody's fault: the line does not pause for it."""
    works = studio.start()
    hold = Results.hold

    def late(*words, **more):  # type: ignore[no-untyped-def]
        for path in (studio.root / "selected/acme").glob("*"):
            path.unlink()
        (studio.root / "selected/acme").rmdir()
        works.scheduler._results.hold = lambda *w, **m: hold(works.scheduler._results, *w, **m)  # type: ignore[method-assign]
        return hold(works.scheduler._results, *words, **more)

    works.scheduler._results.hold = late  # type: ignore[method-assign]
    studio.put("selected/acme/hero.png", png())
    studio.put("selected/acme/hero.toml", BROKEN)
    studio.until(lambda: not (studio.root / "selected/acme").exists())
    studio.until_idle()
    assert studio.heard("paused") == []


# ---------------------------------------------------------------------- while it is under work


def test_a_picture_saved_over_while_under_work_is_taken_once_as_it_is_now(studio: Studio) -> None:
    """The first work is thrown away."""
    studio.flags["quiet"] = 1.0
    studio.put("inbox/hero.png", png(1))
    studio.put("inbox/hero.toml", SELECT)
    studio.until_heard("started")
    studio.put("inbox/hero.png", png(2))
    studio.until_idle()
    assert studio.read("selected/hero.png") == png(2)
    assert [row.outcome for row in studio.history()] == ["passed"]
    assert studio.archived() == ["inbox/hero.png", "inbox/hero.toml"]


def test_a_picture_deleted_while_under_work_is_gone(studio: Studio) -> None:
    """Nothing of it appears anywhere, and nothing waits for it."""
    studio.flags["quiet"] = 1.0
    studio.put("inbox/hero.png", png(1))
    studio.put("inbox/hero.toml", SELECT)
    studio.until_heard("started")
    os.unlink(studio.at("inbox/hero.png"))
    studio.until_idle()
    assert studio.folders() == {"inbox": ["hero.toml"]}
    assert studio.archived() == []


def test_a_bundle_that_changes_again_and_again_is_taken_once(studio: Studio) -> None:
    """A mask saved over at every word the daemon says, ten times: its last state counts."""
    studio.put("selected/hero.png", png(1))
    studio.put("selected/hero.toml", INPAINT)
    for number in range(10):
        studio.put("selected/hero.mask.png", mask() if number == 9 else black())
        before = len(studio.events)
        studio.until(lambda: len(studio.events) > before)  # noqa: B023 - called at once
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    assert [row.outcome for row in studio.history()].count("passed") == 1


def test_a_campaigns_brief_edited_while_twenty_are_under_work_counts_for_all(studio: Studio) -> None:
    """Whatever was done for the old brief is thrown away; what is under way to the next folder carries its own."""
    studio.flags["quiet"] = 1.5
    studio.put("selected/acme/brief.toml", SHARPEN)
    for number in range(20):
        studio.put(f"selected/acme/p{number}.png", png(number))
    studio.until_heard("started", count=3)
    studio.put("selected/acme/brief.toml", SHARPEN + GRADE)
    studio.until_idle()
    assert len([name for name in studio.folder("graded") if name.endswith(".png")]) == 20
    assert studio.folder("masked") == []


def test_a_brief_edited_between_two_stages_counts_from_there_on(studio: Studio) -> None:
    """What you read beside the picture is what will be run."""
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
def test_any_name_goes_through_all_stages(studio: Studio, stem: bytes) -> None:
    """Deliverables and manifest are called after it, shortened where there is no room."""
    studio.put(b"inbox/" + stem + b".png", png())
    if len(stem) < 250:
        studio.put(b"inbox/" + stem + b".toml", WHOLE)
    else:
        studio.put("inbox/brief.toml", WHOLE)
    studio.until_heard("committed", count=4)
    names = [os.fsencode(name) for name in studio.folder("delivered")]
    kept = stem[:200]
    assert [name.startswith(kept[:150]) for name in names] == [True, True, True]
    assert sorted(name[-9:] for name in names) == sorted([b"fest.json", b"print.png", b"o_web.jpg"[-9:]]) or len(names) == 3
    assert studio.heard("held") == []


def test_two_hundred_at_once_arrive_once_each(studio: Studio) -> None:
    """Batches of commits, one after another."""
    studio.put("inbox/acme/brief.toml", NULLS)
    for number in range(200):
        studio.put(f"inbox/acme/p{number:03d}.png", png(number, 4, 4))
    studio.until_idle(120)
    assert len(studio.folder("delivered")) == 400
    assert studio.folder("inbox") == ["acme/brief.toml"]
    assert all(studio.read(f"delivered/acme/p{number:03d}.png") == png(number, 4, 4) for number in range(200))


# ---------------------------------------------------------------------- the memory


def test_without_its_journal_the_line_still_runs(studio: Studio) -> None:
    """What lies in the folders is enough: briefs travel with their pictures."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.until(lambda: studio.heard("committed"))
    studio.stop()
    for path in studio.journal_path.parent.glob("journal.sqlite*"):
        path.unlink()
    studio.start()
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]}


def test_a_silent_job_is_believed_for_as_long_as_it_may_take_and_done_work_for_as_long_as_it_waits(studio: Studio) -> None:
    """The lease of its row counts from its last word; work that is done and gathers for an hour is not taken for stuck."""
    studio.flags |= {"job_seconds": 500.0, "gather": 3600.0}
    leases: list[float] = []

    def leased() -> bool:
        leases.extend((job.lease_until or 0.0) - time.time() for job in studio.journal.active_jobs() if job.started_at is not None)
        return bool(leases) and leases[-1] > 1000.0

    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until_heard("started")
    studio.until(leased, "work that is done")
    assert {round(lease / 10) * 10 for lease in leases} <= {560, 3660, 3650}
    assert 550.0 < leases[0] <= 560.0


# ---------------------------------------------------------------------- the end


def _worked(studio: Studio) -> None:
    """A picture that is done and waits for its files to settle."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    works = studio.start()
    studio.until(
        lambda: studio.heard("started") and not works.workers.running_jobs() and not any(map(works.workers.queue_length, ("cpu", "gpu")))
    )
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


def test_work_that_only_waits_for_its_quiet_is_put_down_before_the_end(studio: Studio) -> None:
    """Nothing is done twice for a stop in the wrong second."""
    studio.flags["quiet"] = 6.0
    _worked(studio)
    assert studio.works is not None
    studio.works.drain(60.0, lambda: None)
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("wait", ["quiet", "gather"])
def test_work_that_waits_for_longer_than_the_end_may_take_does_not_delay_it(studio: Studio, wait: str) -> None:
    """It lies where it lay and is done again by the next daemon."""
    studio.flags[wait] = 3600.0
    _worked(studio)
    assert studio.works is not None
    waited: list[None] = []
    studio.works.drain(60.0, lambda: waited.append(None))
    assert len(waited) < 10
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
