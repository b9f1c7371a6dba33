"""Plans: which file goes where, under which name, and what history will say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, LINE, SHARPEN
from doubles.share import DAY, NOON, Share, sha256
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.files import FileSignature, Filesystem
from goldsmith.jobs.job import Outcome, OutputFile, ResourceLimits
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile, PlacedVersion, Plan
from goldsmith.pipeline.commit.manifest import RECORDED_JOB_FIELDS
from goldsmith.pipeline.commit.plan_executor import with_destinations
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.scheduler.readiness import Readiness, Ready
from goldsmith.pipeline.scheduler.work_item import WorkItem, build_job, job_inputs

WORDS = '[[edit]]\nop = "regenerate"\nprompt = "a chair"\n'
NAMES = ("hero.png", "hero.toml", "hero.mask.png")


class Desk:
    """A share with files in it, and a planner over it."""

    def __init__(self, share: Share, journal: Journal) -> None:
        self.share, self.journal = share, journal
        self.there: set[tuple[str, str, str]] = set()
        self.line = read_pipeline(LINE.encode(), "pipeline.toml")
        self.planner = Planner(
            share.root,
            self.line.final_folder,
            journal,
            Filesystem(),
            lambda folder, campaign, stem: (folder, campaign, stem) in self.there,
            lambda: NOON,
        )

    def work(self, *names: str, brief: str = SHARPEN, folder: str = "selected", campaign: str = "", job: str = "job1") -> WorkItem:
        """Work on a bundle that is laid down here."""
        place = f"{folder}/{campaign}".rstrip("/")
        for name in names:
            self.share.put(f"{place}/{name}", brief.encode() if name.endswith(".toml") else name.encode())
        (bundle,) = group_bundles(folder, campaign, names)
        ready = Readiness(
            self.line, Resolver(self.line, lambda name: (b"", name)), lambda path: (self.share.root / path).read_bytes()
        ).check(bundle)
        assert isinstance(ready, Ready), ready
        sigs = {path: FileSignature.from_stat(os.lstat(self.share.root / path)) for path in bundle.files}
        hashes = {path: sha256((self.share.root / path).read_bytes()) for path in bundle.files}
        limits = ResourceLimits(timeout_seconds=1, max_memory_bytes=1, max_pixels=1)
        made = build_job(
            job,
            self.share.root,
            bundle,
            ready,
            job_inputs(bundle, sigs, lambda path: None),
            limits,
            ready.stage.next_folder == self.line.final_folder,
        )
        return WorkItem(bundle, ready, made, sigs, hashes, NOON - 5)

    def plan(
        self, work: WorkItem, *outputs: tuple[str, bytes], unchanged: bool = False, original: bool = False, used: tuple[str, ...] = ()
    ) -> Plan:
        """The plan for an outcome of these outputs."""
        made = []
        for number, (tail, data) in enumerate(outputs):
            path = self.share.root / self.share.put(f".goldsmith/work/{work.job.id}/{number}", data)
            made.append(OutputFile(role="picture", tail=tail, path=str(path), sha256=sha256(data), size=len(data)))
        scratch = str(self.share.root / f".goldsmith/work/{work.job.id}/original") if original else ""
        work.outcome = Outcome(job_id=work.job.id, outputs=tuple(made), is_unchanged=unchanged, original_copy=scratch, consumed_files=used)
        return self.planner.plan(work)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    share = Share(tmp_path)
    journal = share.journal()
    yield Desk(share, journal)
    journal.close()


def takes(plan: Plan) -> dict[str, str]:
    return {take.path: take.destination for take in plan.consumes}


def puts(plan: Plan) -> list[str]:
    return [put.destination for put in plan.publishes]


def test_a_changed_picture_goes_to_the_archive_and_its_result_to_the_next_folder(desk: Desk) -> None:
    """The mask that no step used and the resolved brief travel on."""
    plan = desk.plan(desk.work(*NAMES), (".png", b"new"))
    assert takes(plan) == {
        "selected/hero.png": f"archive/{DAY}/selected/hero.png",
        "selected/hero.mask.png": "masked/hero.mask.png",
        "selected/hero.toml": f"archive/{DAY}/selected/hero.toml",
    }
    assert puts(plan) == ["masked/hero.png", "masked/hero.toml"]
    assert (plan.history_row.outcome, plan.history_row.results, plan.stem) == ("passed", ("masked/hero.png",), "hero")


def test_a_mask_that_was_used_goes_to_the_archive(desk: Desk) -> None:
    """It has had its day."""
    plan = desk.plan(desk.work(*NAMES, brief=INPAINT), (".png", b"new"), used=("selected/hero.mask.png",))
    assert takes(plan)["selected/hero.mask.png"] == f"archive/{DAY}/selected/hero.mask.png"


def test_an_unchanged_picture_is_itself_handed_on_and_a_copy_archived(desk: Desk) -> None:
    """The copy only of what a person put there."""
    plan = desk.plan(desk.work("hero.png", "hero.toml"), unchanged=True, original=True)
    assert takes(plan)["selected/hero.png"] == "masked/hero.png"
    assert puts(plan) == [f"archive/{DAY}/selected/hero.png", "masked/hero.toml"]
    sig, digest = FileSignature.from_stat(os.lstat(desk.share.root / "selected/hero.png")), sha256(b"hero.png")
    placed = PlacedFile(path="selected/hero.png", sig=sig, sha256=digest, job_id="before")
    row = HistoryRow(job_id="before", path="inbox/hero.png", sha256=digest, started_at=1, taken_at=2, stage="generate", outcome="passed")
    desk.journal.complete_plans([CompletedPlan("before", (row,), (placed,), ())])
    desk.planner.clear_reservations()
    plan = desk.plan(desk.work("hero.png", "hero.toml"), unchanged=True, original=True)
    assert puts(plan) == ["masked/hero.toml"]
    assert plan.history_row.parent_job_id == "before"


ASIDE = (("_candidate02.png", {"number": 2, "seed": 9, "score": 61.5}), ("_candidates.jpg", {"what": "contact sheet"}))


def with_aside(desk: Desk, work: WorkItem) -> Plan:
    """The plan of a picture that goes on and of two files that are kept aside."""
    desk.plan(work, (".png", b"new"))
    desk.planner.clear_reservations()
    assert work.outcome is not None
    outputs = list(work.outcome.outputs)
    for tail, facts in ASIDE:
        data = tail.encode()
        path = desk.share.root / desk.share.put(f".goldsmith/work/{work.job.id}/{tail}", data)
        outputs.append(OutputFile(role="archive_only", tail=tail, path=str(path), sha256=sha256(data), size=len(data), facts=facts))
    work.outcome = work.outcome.model_copy(update={"outputs": tuple(outputs)})
    return desk.planner.plan(work)


def test_what_is_kept_aside_goes_to_the_archive_beside_the_original(desk: Desk) -> None:
    """In the same plan, on record with its hash and its place, and no result of the stage."""
    plan = with_aside(desk, desk.work("hero.png", "hero.toml", campaign="acme"))
    folder = f"archive/{DAY}/selected/acme"
    aside = [f"{folder}/hero_candidate02.png", f"{folder}/hero_candidates.jpg"]
    assert puts(plan) == ["masked/acme/hero.png", *aside, "masked/acme/hero.toml"]
    assert plan.history_row.results == ("masked/acme/hero.png",)
    assert plan.history_row.record["archive_only"] == [
        {"number": 2, "seed": 9, "score": 61.5, "sha256": sha256(b"_candidate02.png"), "archived": f"{folder}/hero_candidate02.png"},
        {"what": "contact sheet", "sha256": sha256(b"_candidates.jpg"), "archived": f"{folder}/hero_candidates.jpg"},
    ]


def test_what_lies_aside_already_stays(desk: Desk) -> None:
    """The new one is numbered on; and where its name is taken in the last instant, the record follows."""
    desk.share.put(f"archive/{DAY}/selected/hero_candidate02.png", b"of this morning")
    plan = with_aside(desk, desk.work("hero.png", "hero.toml"))
    assert f"archive/{DAY}/selected/hero_candidate02~2.png" in puts(plan)
    goal = f"archive/{DAY}/selected/hero_candidates.jpg"
    later = with_destinations(plan, {goal: goal.replace(".jpg", "~5.jpg")})
    assert [one["archived"] for one in later.history_row.record["archive_only"]] == [  # type: ignore[index,union-attr]
        f"archive/{DAY}/selected/hero_candidate02~2.png",
        f"archive/{DAY}/selected/hero_candidates~5.jpg",
    ]


def test_the_longest_name_leaves_room_for_what_is_laid_aside(desk: Desk) -> None:
    """255 bytes are a name's limit."""
    plan = with_aside(desk, desk.work("h" * 250 + ".png", "h" * 250 + ".toml"))
    assert all(len(os.fsencode(os.path.basename(goal))) <= 255 for goal in puts(plan))


def test_a_brief_alone_goes_to_the_archive_and_its_picture_to_the_next_folder(desk: Desk) -> None:
    """It is taken once, it is what history is about, and it travels on resolved like any other."""
    work = desk.work("hero.toml", "hero.ref.png", brief=WORDS)
    plan = desk.plan(work, (".png", b"new"), used=("selected/hero.ref.png",))
    assert takes(plan) == {
        "selected/hero.ref.png": f"archive/{DAY}/selected/hero.ref.png",
        "selected/hero.toml": f"archive/{DAY}/selected/hero.toml",
    }
    assert (len(plan.consumes), plan.lone_brief) == (2, "selected/hero.toml")
    assert puts(plan) == ["masked/hero.png", "masked/hero.toml"]
    assert (plan.history_row.path, plan.history_row.sha256) == ("selected/hero.toml", sha256(WORDS.encode()))
    assert [each["role"] for each in plan.history_row.record["inputs"]] == ["brief", "ref"]  # type: ignore[index,union-attr,call-overload]


def test_a_complete_brief_travels_as_it_is_and_another_one_resolved(desk: Desk) -> None:
    """What is read beside the picture is what will be run."""
    first = desk.plan(desk.work("hero.png", "hero.toml", brief=SHARPEN + GRADE), (".png", b"new"))
    written = next(Path(put.source) for put in first.publishes if put.destination.endswith(".toml")).read_text()
    assert "resolved = true" in written
    desk.planner.clear_reservations()
    again = desk.plan(desk.work("hero.png", "hero.toml", brief=written, job="job2"), (".png", b"new"))
    assert takes(again)["selected/hero.toml"] == "masked/hero.toml"
    assert puts(again) == ["masked/hero.png"]


def test_what_spoke_for_one_stage_stays_behind(desk: Desk) -> None:
    """A bare mask leaves no brief in the next folder."""
    plan = desk.plan(desk.work("hero.png", "hero.mask.png"), (".png", b"new"), used=("selected/hero.mask.png",))
    assert puts(plan) == ["masked/hero.png"]


def test_the_end_of_the_line_gets_deliverables_and_a_manifest(desk: Desk) -> None:
    """Sidecars and brief are put away; the manifest has the whole way and every hash."""
    plan = desk.plan(desk.work("hero.png", "hero.toml", "hero.ref.png", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg"))
    assert {path.partition("/")[0] for path in takes(plan).values()} == {"archive"}
    assert puts(plan) == ["delivered/hero_web.jpg", "delivered/hero.manifest.json"]
    put = plan.publishes[-1]
    data = Path(put.source).read_bytes()
    manifest = json.loads(data)
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest["deliverables"] == [{"file": "hero_web.jpg", "sha256": sha256(b"jpeg"), "bytes": 4}]
    assert manifest["source"]["sha256"] == sha256(b"hero.png")
    assert {each["path"]: each["sha256"] for each in manifest["stages"][0]["inputs"]} == {
        path: sha256((desk.share.root / path).read_bytes()) for path in ("graded/hero.png", "graded/hero.ref.png", "graded/hero.toml")
    }


def test_a_campaigns_folder_is_kept(desk: Desk) -> None:
    """In the next folder and in the archive."""
    plan = desk.plan(desk.work("hero.png", "hero.toml", campaign="acme/spring"), (".png", b"new"))
    assert puts(plan) == ["masked/acme/spring/hero.png", "masked/acme/spring/hero.toml"]
    assert takes(plan)["selected/acme/spring/hero.png"] == f"archive/{DAY}/selected/acme/spring/hero.png"


@pytest.mark.parametrize("campaign", ["", "acme"])
def test_every_version_that_ever_was_counts(desk: Desk, campaign: str) -> None:
    """Though it lies there no longer."""
    folder = f"masked/{campaign}".rstrip("/")
    desk.journal.complete_plans([CompletedPlan("before", (), (), (PlacedVersion(folder, "hero", 1), PlacedVersion(folder, "hero", 4)))])
    assert desk.plan(desk.work("hero.png", "hero.toml", campaign=campaign), (".png", b"new")).stem == "hero_v005"


@pytest.mark.parametrize("lying", ["masked/hero.png", "masked/hero.toml"])
def test_what_lies_in_the_next_folder_is_never_overwritten(desk: Desk, lying: str) -> None:
    """Picture or brief, whoever put it there."""
    desk.share.put(lying, b"somebody's")
    assert puts(desk.plan(desk.work("hero.png", "hero.toml"), (".png", b"new"))) == ["masked/hero_v002.png", "masked/hero_v002.toml"]


def test_a_stem_that_another_picture_has_there_is_taken(desk: Desk) -> None:
    """hero.jpg lies in the next folder: a hero.png beside it would make their sidecars doubtful."""
    desk.there.add(("masked", "", "hero"))
    assert desk.plan(desk.work("hero.png", "hero.toml"), (".png", b"new")).stem == "hero_v002"


def test_two_of_one_batch_never_share_a_stem(desk: Desk) -> None:
    """Whatever their suffixes, and though neither leaves a brief."""
    first = desk.plan(desk.work("hero.png", "hero.png.mask.png"), unchanged=True)
    for name in ("hero.png", "hero.png.mask.png"):
        (desk.share.root / "selected" / name).unlink()
    second = desk.plan(desk.work("hero.jpg", "hero.jpg.mask.png", job="job2"), unchanged=True)
    assert (first.stem, second.stem) == ("hero", "hero_v002")


def test_two_of_one_batch_never_share_a_place_in_the_archive(desk: Desk) -> None:
    """The second gets a number."""
    first = desk.plan(desk.work("hero.png", "hero.toml"), (".png", b"new"))
    second = desk.plan(desk.work("hero.png", "hero.toml", job="job2"), (".png", b"new"))
    assert takes(first)["selected/hero.png"] == f"archive/{DAY}/selected/hero.png"
    assert takes(second)["selected/hero.png"] == f"archive/{DAY}/selected/hero~2.png"


def test_a_plan_under_another_stem_has_a_manifest_that_names_it(desk: Desk) -> None:
    """With a hash that is true again; the first text is left as it was, since the plan may go back."""
    plan = desk.plan(desk.work("hero.png", "hero.toml", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg"))
    renamed = desk.planner.rename_plan(plan, "hero_v007")
    assert puts(renamed) == ["delivered/hero_v007_web.jpg", "delivered/hero_v007.manifest.json"]
    data = Path(renamed.publishes[-1].source).read_bytes()
    assert renamed.publishes[-1].sha256 == hashlib.sha256(data).hexdigest()
    manifest = json.loads(data)
    assert [each["file"] for each in manifest["deliverables"]] == ["hero_v007_web.jpg"]
    assert manifest["stages"][-1]["results"] == ["delivered/hero_v007_web.jpg"]
    assert hashlib.sha256(Path(plan.publishes[-1].source).read_bytes()).hexdigest() == plan.publishes[-1].sha256


def test_the_longest_names_leave_room_for_what_follows(desk: Desk) -> None:
    """Version, export name and suffix still fit into 255 bytes."""
    stem = "x" * 250
    plan = desk.plan(desk.work(f"{stem}.png", f"{stem}.toml", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg"))
    assert plan.stem.startswith("x" * 200)
    assert all(len(os.path.basename(path)) <= 255 for path in [*puts(plan), *takes(plan).values()])


def test_the_record_has_all_that_a_job_was_asked_and_what_it_left(desk: Desk) -> None:
    """Inputs by role and hash, those of the lane first; outputs by what follows the stem; everything a replay needs to set."""
    work = desk.work(*NAMES)
    record = desk.plan(work, (".png", b"new")).history_row.record
    assert {name: record[name] for name in RECORDED_JOB_FIELDS} == {name: getattr(work.job, name) for name in RECORDED_JOB_FIELDS}
    given = [(each["role"], each["name"], each["path"], each["sha256"]) for each in record["inputs"]]  # type: ignore[union-attr, index, call-overload]
    assert given == [
        ("picture", "", "selected/hero.png", sha256(b"hero.png")),
        ("mask", "mask", "selected/hero.mask.png", sha256(b"hero.mask.png")),
        ("brief", "", "selected/hero.toml", sha256(SHARPEN.encode())),
    ]
    assert record["outputs"] == [{"role": "picture", "tail": ".png", "sha256": sha256(b"new")}]


def test_a_picture_that_was_not_changed_is_its_own_output(desk: Desk) -> None:
    """With the hash and the ending it has."""
    record = desk.plan(desk.work("hero.png", "hero.toml"), unchanged=True).history_row.record
    assert record["outputs"] == [{"role": "picture", "tail": ".png", "sha256": sha256(b"hero.png")}]


@pytest.mark.parametrize("unchanged", [False, True])
def test_the_manifest_says_where_every_input_came_to_lie(desk: Desk, unchanged: bool) -> None:
    """Of the last stage, too, whose inputs are moved when it is written; a picture that is delivered itself has its copy there."""
    outputs = () if unchanged else ((".png", b"new"),)
    plan = desk.plan(desk.work(*NAMES, brief=EXPORT, folder="graded"), *outputs, unchanged=unchanged, original=unchanged)
    manifest = json.loads(Path(plan.publishes[-1].source).read_bytes())
    assert manifest["stages"][-1]["archived"] == {f"graded/{name}": f"archive/{DAY}/graded/{name}" for name in NAMES}
