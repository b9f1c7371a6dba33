"""Plans: where each file goes, its name, and the row for the history."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, PIPELINE, SELECT, SHARPEN
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
from goldsmith.pipeline.scheduler.origins import Origins
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.stage_work import Ready, StageWork, build_job, job_inputs

PROMPT_BRIEF = '[[edit]]\nop = "regenerate"\nprompt = "a chair"\n'
NAMES = ("hero.png", "hero.toml", "hero.mask.png")


class PlannerOnShare:
    """A share with files, and a planner for the share."""

    def __init__(self, share: Share, journal: Journal) -> None:
        self.share, self.journal = share, journal
        # (Folder, campaign, stem) -> the names with that stem.
        self.taken_stems: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.pipeline = read_pipeline(PIPELINE.encode(), "pipeline.toml")
        self.planner = Planner(
            share.root,
            self.pipeline.final_folder,
            journal,
            Filesystem(),
            lambda folder, campaign, stem: self.taken_stems.get((folder, campaign, stem), ()),
            lambda: NOON,
            self.pipeline.folders,
        )

    def work(
        self,
        *names: str,
        brief: str = SHARPEN,
        folder: str = "selected",
        campaign: str = "",
        job: str = "job1",
        campaign_brief: str | None = None,
    ) -> StageWork:
        """Put the files of a bundle on the share and return the work on it."""
        bundle_folder = f"{folder}/{campaign}".rstrip("/")
        for name in names:
            self.share.put(f"{bundle_folder}/{name}", brief.encode() if name.endswith(".toml") else name.encode())
        (bundle,) = group_bundles(folder, campaign, names, campaign_brief)
        ready = Readiness(
            self.pipeline, Resolver(self.pipeline, lambda name: (b"", name)), lambda path: (self.share.root / path).read_bytes()
        ).check(bundle)
        assert isinstance(ready, Ready), ready
        sigs = {path: FileSignature.from_stat(os.lstat(self.share.root / path)) for path in bundle.files}
        hashes = {path: sha256((self.share.root / path).read_bytes()) for path in bundle.files}
        limits = ResourceLimits(timeout_seconds=1, max_memory_bytes=1, max_pixels=1)
        built = build_job(
            job,
            self.share.root,
            bundle,
            ready,
            job_inputs(bundle, sigs, lambda path: None),
            limits,
            ready.stage.next_folder == self.pipeline.final_folder,
        )
        return StageWork(bundle, ready, built, sigs, hashes, NOON - 5)

    def twin(self, name: str, campaign: str, *sidecars: str) -> StageWork:
        """Return the work on one of two pictures that lie together, each with its own brief."""
        work = self.work(name, f"{name}.toml", *sidecars, campaign=campaign, job=f"job-{name}")
        bundles = group_bundles("selected", campaign, (*TWIN, *sidecars))
        bundle = next(bundle for bundle in bundles if bundle.asset == work.asset_path)
        return StageWork(bundle, work.ready, work.job, work.sigs, work.hashes, work.started_at)

    def plan(
        self, work: StageWork, *outputs: tuple[str, bytes], unchanged: bool = False, original: bool = False, used: tuple[str, ...] = ()
    ) -> Plan:
        """Return the plan for an outcome with these outputs."""
        files = []
        for number, (tail, data) in enumerate(outputs):
            path = self.share.root / self.share.put(f".goldsmith/work/{work.job.id}/{number}", data)
            files.append(OutputFile(role="picture", tail=tail, path=str(path), sha256=sha256(data), size=len(data)))
        scratch = str(self.share.root / self.share.put(f".goldsmith/work/{work.job.id}/original", b"picture")) if original else ""
        paths = [*(file.path for file in files), *([scratch] if original else [])]
        work.outcome = Outcome(
            job_id=work.job.id,
            outputs=tuple(files),
            is_unchanged=unchanged,
            original_copy=scratch,
            consumed_files=used,
            verified_sigs={path: FileSignature.from_stat(os.lstat(path)) for path in paths},
        )
        work.origin = Origins(self.journal).find(work)
        return self.planner.plan(work)


@pytest.fixture
def share_planner(tmp_path: Path) -> Iterator[PlannerOnShare]:
    share = Share(tmp_path)
    journal = share.journal()
    yield PlannerOnShare(share, journal)
    journal.close()


def test_the_texts_of_a_plan_lie_where_no_worker_process_may_write(share_planner: PlannerOnShare) -> None:
    """A worker that was taken over could else replace the manifest between the plan and the commit."""
    work = share_planner.work(*NAMES)
    plan = share_planner.plan(work, (".png", b"new"))
    (text,) = [publish for publish in plan.publishes if publish.destination == "masked/hero.toml"]
    assert Path(text.source).parent == work.text_folder == share_planner.share.root / ".goldsmith/work" / work.job.id
    assert work.job.scratch == ""


@pytest.mark.parametrize(
    ("folder", "names", "brief", "destinations"),
    [
        ("inbox", ("hero.png", "hero.txt"), "", {"hero.txt": "selected/hero.txt"}),
        ("inbox", ("hero.png", "hero.txt.txt"), "", {"hero.txt.txt": "selected/hero.txt"}),
        ("inbox", ("hero.png", "hero.toml"), 'prompt = "a chair"', {"hero.toml": "selected/hero.toml"}),
        ("inbox", ("hero.png", "hero.toml"), 'title = "Chair"', {"hero.toml": f"archive/{DAY}/inbox/hero.toml"}),
        ("inbox", ("hero.png", "hero.toml", "hero.txt"), SELECT, {"hero.txt": f"archive/{DAY}/inbox/hero.txt"}),
        ("selected", ("hero.png", "hero.mask.png", "hero.txt"), "", {"hero.txt": f"archive/{DAY}/selected/hero.txt"}),
        ("masked", ("hero.png", "hero.txt"), "", {"hero.txt": f"archive/{DAY}/masked/hero.txt"}),
    ],
)
def test_words_travel_until_a_step_reads_them(
    share_planner: PlannerOnShare, folder: str, names: tuple[str, ...], brief: str, destinations: dict[str, str]
) -> None:
    """``select`` reads none, and ``inpaint`` in the next stage does. After that stage they are archived: no later step reads them."""
    plan = share_planner.plan(share_planner.work(*names, folder=folder, brief=brief), (".png", b"new"))
    destination_by_name = {os.path.basename(consume.path): consume.destination for consume in plan.consumes}
    assert {name: destination_by_name[name] for name in destinations} == destinations


def test_the_words_of_a_campaign_travel_with_each_picture(share_planner: PlannerOnShare) -> None:
    """The next folder need not have the campaign's brief: the words go there as the picture's own."""
    share_planner.share.put("inbox/acme/brief.toml", b'prompt = "a chair"')
    work = share_planner.work("hero.png", folder="inbox", campaign="acme", campaign_brief="inbox/acme/brief.toml")
    plan = share_planner.plan(work, (".png", b"new"))
    (text,) = [publish for publish in plan.publishes if publish.destination == "selected/acme/hero.txt"]
    assert Path(text.source).read_bytes() == b"a chair\n"
    assert "inbox/acme/brief.toml" not in [consume.path for consume in plan.consumes]


def input_destinations(plan: Plan) -> dict[str, str]:
    return {take.path: take.destination for take in plan.consumes}


def output_paths(plan: Plan) -> list[str]:
    return [put.destination for put in plan.publishes]


def test_a_changed_picture_goes_to_the_archive_and_its_result_to_the_next_folder(share_planner: PlannerOnShare) -> None:
    """The unused mask and the resolved brief move on."""
    plan = share_planner.plan(share_planner.work(*NAMES), (".png", b"new"))
    assert input_destinations(plan) == {
        "selected/hero.png": f"archive/{DAY}/selected/hero.png",
        "selected/hero.mask.png": "masked/hero.mask.png",
        "selected/hero.toml": f"archive/{DAY}/selected/hero.toml",
    }
    assert output_paths(plan) == ["masked/hero.png", "masked/hero.toml"]
    assert (plan.history_row.outcome, plan.history_row.results, plan.stem) == ("passed", ("masked/hero.png",), "hero")


def test_a_used_mask_goes_to_the_archive(share_planner: PlannerOnShare) -> None:
    """No later stage uses it."""
    plan = share_planner.plan(share_planner.work(*NAMES, brief=INPAINT), (".png", b"new"), used=("selected/hero.mask.png",))
    assert input_destinations(plan)["selected/hero.mask.png"] == f"archive/{DAY}/selected/hero.mask.png"


def test_an_unchanged_picture_moves_on_itself_and_its_copy_is_archived(share_planner: PlannerOnShare) -> None:
    """Only a picture that a person put there is copied, or one that waits for a person now."""
    plan = share_planner.plan(share_planner.work("hero.png", "hero.toml"), unchanged=True, original=True)
    assert input_destinations(plan)["selected/hero.png"] == "masked/hero.png"
    assert output_paths(plan) == [f"archive/{DAY}/selected/hero.png", "masked/hero.toml"]
    sig, digest = FileSignature.from_stat(os.lstat(share_planner.share.root / "selected/hero.png")), sha256(b"hero.png")
    placed = PlacedFile(path="selected/hero.png", sig=sig, sha256=digest, job_id="before")
    row = HistoryRow(job_id="before", path="inbox/hero.png", sha256=digest, started_at=1, taken_at=2, stage="generate", outcome="passed")
    share_planner.journal.complete_plans([CompletedPlan("before", (row,), (placed,), ())])
    for brief, copies in ((SHARPEN, [f"archive/{DAY}/selected/hero.png"]), (SHARPEN + "[[grade]]\nop = 'grade'\n", [])):
        share_planner.planner.clear_reservations()
        plan = share_planner.plan(share_planner.work("hero.png", "hero.toml", brief=brief), unchanged=True, original=True)
        assert output_paths(plan) == [*copies, "masked/hero.toml"]
    assert plan.history_row.parent_job_id == "before"


ARCHIVE_ONLY = (("_candidate002.png", {"number": 2, "seed": 9, "score": 61.5}), ("_candidates.jpg", {"what": "contact sheet"}))


def plan_with_archive_only_files(share_planner: PlannerOnShare, work: StageWork) -> Plan:
    """Return the plan of a picture that moves on and of two files that go to the archive only."""
    share_planner.plan(work, (".png", b"new"))
    share_planner.planner.clear_reservations()
    assert work.outcome is not None
    outputs = list(work.outcome.outputs)
    for tail, facts in ARCHIVE_ONLY:
        data = tail.encode()
        path = share_planner.share.root / share_planner.share.put(f".goldsmith/work/{work.job.id}/{tail}", data)
        outputs.append(OutputFile(role="archive_only", tail=tail, path=str(path), sha256=sha256(data), size=len(data), facts=facts))
    sigs = {output.path: FileSignature.from_stat(os.lstat(output.path)) for output in outputs}
    work.outcome = work.outcome.model_copy(update={"outputs": tuple(outputs), "verified_sigs": sigs})
    return share_planner.planner.plan(work)


def test_archive_only_files_go_to_the_archive_beside_the_original(share_planner: PlannerOnShare) -> None:
    """The record has their hashes and paths. They are not results of the stage."""
    plan = plan_with_archive_only_files(share_planner, share_planner.work("hero.png", "hero.toml", campaign="acme"))
    folder = f"archive/{DAY}/selected/acme"
    archive_only = [f"{folder}/hero_candidate002.png", f"{folder}/hero_candidates.jpg"]
    assert output_paths(plan) == ["masked/acme/hero.png", *archive_only, "masked/acme/hero.toml"]
    assert plan.history_row.results == ("masked/acme/hero.png",)
    assert plan.history_row.record["archive_only"] == [
        {"number": 2, "seed": 9, "score": 61.5, "sha256": sha256(b"_candidate002.png"), "archived": f"{folder}/hero_candidate002.png"},
        {"what": "contact sheet", "sha256": sha256(b"_candidates.jpg"), "archived": f"{folder}/hero_candidates.jpg"},
    ]


def test_an_archive_only_file_with_a_taken_name_gets_a_number(share_planner: PlannerOnShare) -> None:
    """The existing file stays. If a name is taken at the last moment, the record follows the new one."""
    share_planner.share.put(f"archive/{DAY}/selected/hero_candidate002.png", b"of this morning")
    plan = plan_with_archive_only_files(share_planner, share_planner.work("hero.png", "hero.toml"))
    assert f"archive/{DAY}/selected/hero_candidate002~2.png" in output_paths(plan)
    path = f"archive/{DAY}/selected/hero_candidates.jpg"
    later = with_destinations(plan, {path: path.replace(".jpg", "~5.jpg")})
    assert [entry["archived"] for entry in later.history_row.record["archive_only"]] == [  # type: ignore[index,union-attr]
        f"archive/{DAY}/selected/hero_candidate002~2.png",
        f"archive/{DAY}/selected/hero_candidates~5.jpg",
    ]


def test_the_longest_name_leaves_room_for_archive_only_files(share_planner: PlannerOnShare) -> None:
    """A name has at most 255 bytes."""
    plan = plan_with_archive_only_files(share_planner, share_planner.work("h" * 250 + ".png", "h" * 250 + ".toml"))
    assert all(len(os.fsencode(os.path.basename(path))) <= 255 for path in output_paths(plan))


def test_a_lone_brief_goes_to_the_archive_and_its_picture_to_the_next_folder(share_planner: PlannerOnShare) -> None:
    """The brief is moved once, the history row is about it, and its resolved form moves on."""
    work = share_planner.work("hero.toml", "hero.ref.png", brief=PROMPT_BRIEF)
    plan = share_planner.plan(work, (".png", b"new"), used=("selected/hero.ref.png",))
    assert input_destinations(plan) == {
        "selected/hero.ref.png": f"archive/{DAY}/selected/hero.ref.png",
        "selected/hero.toml": f"archive/{DAY}/selected/hero.toml",
    }
    assert (len(plan.consumes), plan.lone_brief) == (2, "selected/hero.toml")
    assert output_paths(plan) == ["masked/hero.png", "masked/hero.toml"]
    assert (plan.history_row.path, plan.history_row.sha256) == ("selected/hero.toml", sha256(PROMPT_BRIEF.encode()))
    assert [each["role"] for each in plan.history_row.record["inputs"]] == ["brief", "ref"]  # type: ignore[index,union-attr,call-overload]


def test_a_complete_brief_moves_on_unchanged_and_any_other_resolved(share_planner: PlannerOnShare) -> None:
    """The brief beside the picture shows the steps that will run."""
    first = share_planner.plan(share_planner.work("hero.png", "hero.toml", brief=SHARPEN + GRADE), (".png", b"new"))
    text = next(Path(put.source) for put in first.publishes if put.destination.endswith(".toml")).read_text()
    assert "resolved = true" in text
    share_planner.planner.clear_reservations()
    second = share_planner.plan(share_planner.work("hero.png", "hero.toml", brief=text, job="job2"), (".png", b"new"))
    assert input_destinations(second)["selected/hero.toml"] == "masked/hero.toml"
    assert output_paths(second) == ["masked/hero.png"]


def test_an_instruction_for_one_stage_does_not_move_on(share_planner: PlannerOnShare) -> None:
    """A bare mask makes no brief in the next folder."""
    plan = share_planner.plan(share_planner.work("hero.png", "hero.mask.png"), (".png", b"new"), used=("selected/hero.mask.png",))
    assert output_paths(plan) == ["masked/hero.png"]


def test_the_last_folder_gets_deliverables_and_a_manifest(share_planner: PlannerOnShare) -> None:
    """The sidecars and the brief are archived; the manifest has every stage and every hash."""
    plan = share_planner.plan(
        share_planner.work("hero.png", "hero.toml", "hero.ref.png", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg")
    )
    assert {path.partition("/")[0] for path in input_destinations(plan).values()} == {"archive"}
    assert output_paths(plan) == ["delivered/hero_web.jpg", "delivered/hero.manifest.json"]
    put = plan.publishes[-1]
    data = Path(put.source).read_bytes()
    manifest = json.loads(data)
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest["deliverables"] == [{"file": "hero_web.jpg", "sha256": sha256(b"jpeg"), "bytes": 4}]
    assert manifest["source"]["sha256"] == sha256(b"hero.png")
    assert {each["path"]: each["sha256"] for each in manifest["stages"][0]["inputs"]} == {
        path: sha256((share_planner.share.root / path).read_bytes())
        for path in ("graded/hero.png", "graded/hero.ref.png", "graded/hero.toml")
    }


def test_a_campaigns_folder_is_kept(share_planner: PlannerOnShare) -> None:
    """The campaign's folder exists in the next folder and in the archive."""
    plan = share_planner.plan(share_planner.work("hero.png", "hero.toml", campaign="acme/spring"), (".png", b"new"))
    assert output_paths(plan) == ["masked/acme/spring/hero.png", "masked/acme/spring/hero.toml"]
    assert input_destinations(plan)["selected/acme/spring/hero.png"] == f"archive/{DAY}/selected/acme/spring/hero.png"


@pytest.mark.parametrize("campaign", ["", "acme"])
def test_the_next_version_is_above_every_earlier_version(share_planner: PlannerOnShare, campaign: str) -> None:
    """Versions whose files no longer exist count too."""
    folder = f"masked/{campaign}".rstrip("/")
    share_planner.journal.complete_plans(
        [CompletedPlan("before", (), (), (PlacedVersion(folder, "hero", 1), PlacedVersion(folder, "hero", 4)))]
    )
    assert share_planner.plan(share_planner.work("hero.png", "hero.toml", campaign=campaign), (".png", b"new")).stem == "hero_v005"


TWIN = ("hero.png", "hero.jpg", "hero.png.toml", "hero.jpg.toml")


@pytest.mark.parametrize("campaign", ["", "acme"])
def test_of_two_pictures_with_one_stem_one_gets_its_suffix_into_the_name(share_planner: PlannerOnShare, campaign: str) -> None:
    """They are two assets, never versions of each other, whichever is finished first. The format that comes first keeps the stem."""
    stems = {name: share_planner.plan(share_planner.twin(name, campaign), (".png", b"new")).stem for name in ("hero.jpg", "hero.png")}
    assert stems == {"hero.jpg": "hero_jpg", "hero.png": "hero"}


def test_sidecars_keep_to_their_picture_under_its_new_name(share_planner: PlannerOnShare) -> None:
    """hero.jpg.mask.png becomes the mask of hero_jpg.png."""
    work = share_planner.twin("hero.jpg", "", "hero.jpg.mask.png")
    plan = share_planner.plan(work, (".png", b"new"))
    assert "masked/hero_jpg.mask.png" in plan.destinations
    assert output_paths(plan) == ["masked/hero_jpg.png", "masked/hero_jpg.toml"]


def placed_before(share_planner: PlannerOnShare, source: str, stem: str = "hero", sha256: str = "") -> None:
    """Record that an asset was placed in masked/ before, and has moved on."""
    placed = PlacedFile(path="masked/hero.png", sig=FileSignature(1, 2, 3, 4, 5), sha256=sha256, job_id="before")
    share_planner.journal.complete_plans([CompletedPlan("before", (), (placed,), (PlacedVersion("masked", stem, 1, source),))])


@pytest.mark.parametrize(
    ("name", "source", "stem"),
    [
        ("hero.png", "hero.png", "hero_v002"),
        ("hero.png", "hero.jpg", "hero_png"),
        ("hero.jpg", "hero.png", "hero_jpg"),
        ("hero_v002.png", "hero.png", "hero_v002"),
        ("hero_v002.jpg", "hero.png", "hero_jpg_v002"),
        ("HERO.JPG", "hero.jpg", "HERO_v002"),
        ("hero.png", "hero.toml", "hero_v002"),
        ("hero.png", "", "hero_v002"),
    ],
)
def test_a_picture_of_another_format_that_comes_later_is_no_version(
    share_planner: PlannerOnShare, name: str, source: str, stem: str
) -> None:
    """The journal knows from which asset the earlier version was made. A brief alone, and a journal of before, say nothing."""
    placed_before(share_planner, source)
    assert share_planner.plan(share_planner.work(name, f"{name}.toml"), (".png", b"new")).stem == stem


def test_a_result_that_is_dragged_back_is_a_version_also_of_another_format(share_planner: PlannerOnShare) -> None:
    """selected/hero.jpg became masked/hero.png, which is dragged back unchanged to selected/: its bytes say so."""
    placed_before(share_planner, "hero.jpg", sha256=sha256(b"hero.png"))
    assert share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new")).stem == "hero_v002"


def test_a_third_picture_finds_a_stem_of_its_own(share_planner: PlannerOnShare) -> None:
    """hero_jpg belongs to a picture that is really called so."""
    placed_before(share_planner, "hero.png")
    placed_before(share_planner, "hero_jpg.png", "hero_jpg")
    assert share_planner.plan(share_planner.work("hero.jpg", "hero.toml"), (".png", b"new")).stem == "hero_jpg_2"


@pytest.mark.parametrize("existing", ["masked/hero.png", "masked/hero.toml"])
def test_a_file_in_the_next_folder_is_never_overwritten(share_planner: PlannerOnShare, existing: str) -> None:
    """An existing picture or brief leads to the next version."""
    share_planner.share.put(existing, b"somebody's")
    assert output_paths(share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new"))) == [
        "masked/hero_v002.png",
        "masked/hero_v002.toml",
    ]


def test_the_stem_of_another_picture_in_the_next_folder_is_taken(share_planner: PlannerOnShare) -> None:
    """Somebody has put hero.jpg into the next folder. hero.png is no version of it, and must not make its sidecars ambiguous."""
    share_planner.share.put("masked/hero.jpg", b"somebody's")
    share_planner.taken_stems["masked", "", "hero"] = ("hero.jpg",)
    assert share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new")).stem == "hero_png"


def test_a_brief_of_the_same_stem_in_the_next_folder_gives_the_next_version(share_planner: PlannerOnShare) -> None:
    """The brief would else belong to the new picture."""
    share_planner.share.put("masked/hero.toml.toml", b"somebody's")
    share_planner.taken_stems["masked", "", "hero"] = ("hero.toml.toml",)
    assert share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new")).stem == "hero_v002"


@pytest.mark.parametrize("missing_name", ["hero.png", "hero.jpg"])
def test_a_known_name_that_is_not_there_takes_no_stem(share_planner: PlannerOnShare, missing_name: str) -> None:
    """A plan that was undone has put it there for a moment, and the intake does not know yet that it is gone."""
    share_planner.taken_stems["masked", "", "hero"] = (missing_name,)
    assert share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new")).stem == "hero"


def test_two_plans_of_one_batch_never_share_a_stem(share_planner: PlannerOnShare) -> None:
    """This holds for different suffixes too, and if neither plan has a brief."""
    first = share_planner.plan(share_planner.work("hero.png", "hero.png.mask.png"), unchanged=True)
    for name in ("hero.png", "hero.png.mask.png"):
        (share_planner.share.root / "selected" / name).unlink()
    second = share_planner.plan(share_planner.work("hero.jpg", "hero.jpg.mask.png", job="job2"), unchanged=True)
    assert (first.stem, second.stem) == ("hero", "hero_jpg")
    share_planner.share.put("selected/hero.png", b"again")
    third = share_planner.plan(share_planner.work("hero.png", "hero.png.mask.png", job="job3"), unchanged=True)
    assert third.stem == "hero_v002"


def test_two_plans_of_one_batch_never_share_an_archive_path(share_planner: PlannerOnShare) -> None:
    """The second file gets a number."""
    first = share_planner.plan(share_planner.work("hero.png", "hero.toml"), (".png", b"new"))
    second = share_planner.plan(share_planner.work("hero.png", "hero.toml", job="job2"), (".png", b"new"))
    assert input_destinations(first)["selected/hero.png"] == f"archive/{DAY}/selected/hero.png"
    assert input_destinations(second)["selected/hero.png"] == f"archive/{DAY}/selected/hero~2.png"


def test_a_renamed_plan_has_a_manifest_with_the_new_names(share_planner: PlannerOnShare) -> None:
    """The plan has the hash of the new manifest. The first manifest stays, since the plan may be undone."""
    plan = share_planner.plan(share_planner.work("hero.png", "hero.toml", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg"))
    renamed = share_planner.planner.rename_plan(plan, "hero_v007")
    assert output_paths(renamed) == ["delivered/hero_v007_web.jpg", "delivered/hero_v007.manifest.json"]
    data = Path(renamed.publishes[-1].source).read_bytes()
    assert renamed.publishes[-1].sha256 == hashlib.sha256(data).hexdigest()
    manifest = json.loads(data)
    assert [each["file"] for each in manifest["deliverables"]] == ["hero_v007_web.jpg"]
    assert manifest["stages"][-1]["results"] == ["delivered/hero_v007_web.jpg"]
    assert hashlib.sha256(Path(plan.publishes[-1].source).read_bytes()).hexdigest() == plan.publishes[-1].sha256


def test_the_longest_stem_leaves_room_for_tails(share_planner: PlannerOnShare) -> None:
    """The version, the export name and the suffix still fit into 255 bytes."""
    stem = "x" * 250
    plan = share_planner.plan(share_planner.work(f"{stem}.png", f"{stem}.toml", folder="graded", brief=EXPORT), ("_web.jpg", b"jpeg"))
    assert plan.stem.startswith("x" * 200)
    assert all(len(os.path.basename(path)) <= 255 for path in [*output_paths(plan), *input_destinations(plan).values()])


def test_the_record_has_everything_that_a_replay_needs(share_planner: PlannerOnShare) -> None:
    """The record has the job's fields, the inputs with role and hash (those of the worker first), and the outputs with tail and hash."""
    work = share_planner.work(*NAMES)
    record = share_planner.plan(work, (".png", b"new")).history_row.record
    assert {name: record[name] for name in RECORDED_JOB_FIELDS} == {name: getattr(work.job, name) for name in RECORDED_JOB_FIELDS}
    inputs = [(each["role"], each["name"], each["path"], each["sha256"]) for each in record["inputs"]]  # type: ignore[union-attr, index, call-overload]
    assert inputs == [
        ("picture", "", "selected/hero.png", sha256(b"hero.png")),
        ("mask", "mask", "selected/hero.mask.png", sha256(b"hero.mask.png")),
        ("brief", "", "selected/hero.toml", sha256(SHARPEN.encode())),
    ]
    assert record["outputs"] == [{"role": "picture", "tail": ".png", "sha256": sha256(b"new")}]


def test_an_unchanged_picture_is_its_own_output(share_planner: PlannerOnShare) -> None:
    """The output has the picture's own hash and suffix."""
    record = share_planner.plan(share_planner.work("hero.png", "hero.toml"), unchanged=True).history_row.record
    assert record["outputs"] == [{"role": "picture", "tail": ".png", "sha256": sha256(b"hero.png")}]


@pytest.mark.parametrize("unchanged", [False, True])
def test_the_manifest_has_the_archive_path_of_every_input(share_planner: PlannerOnShare, unchanged: bool) -> None:
    """This includes the last stage, whose inputs move after the manifest is written, and the copy of a picture delivered unchanged."""
    outputs = () if unchanged else ((".png", b"new"),)
    plan = share_planner.plan(share_planner.work(*NAMES, brief=EXPORT, folder="graded"), *outputs, unchanged=unchanged, original=unchanged)
    manifest = json.loads(Path(plan.publishes[-1].source).read_bytes())
    assert manifest["stages"][-1]["archived"] == {f"graded/{name}": f"archive/{DAY}/graded/{name}" for name in NAMES}
