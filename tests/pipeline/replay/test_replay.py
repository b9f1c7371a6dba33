"""Replays with real workers: identical deliveries, differences with their place and causes, and missing originals."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, NULLS, PIPELINE, SELECT
from doubles.deliveries import CAMPAIGN, COLD, PRINT, WARM, WEB, Delivery, delivered, hero
from doubles.pictures import mask, png
from goldsmith.brief.cluster_settings import ClusterSettings, QueueSettings
from goldsmith.errors import InputError, UsageError
from goldsmith.jobs.job import Job
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.pipeline.commit.manifest import RECORDED_JOB_FIELDS
from goldsmith.pipeline.replay.manifest_reader import StageRecord
from goldsmith.pipeline.replay.report import ReplayReport
from goldsmith.pipeline.replay.sources import MissingSource
from goldsmith.worker.job_runner import step_seed


@pytest.fixture(scope="module")
def module_delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return hero(tmp_path_factory.mktemp("hero"))


@pytest.fixture
def delivery(module_delivery: Delivery, tmp_path: Path) -> Delivery:
    return module_delivery.copied(tmp_path)


def verdicts(report: ReplayReport) -> dict[str, str]:
    return {deliverable.file: deliverable.verdict for deliverable in report.deliverables}


def swap(delivery: Delivery, path: str, data: bytes) -> None:
    """Replace a deliverable and its hash in the record."""
    name, digest = path.rpartition("/")[2], hashlib.sha256(data).hexdigest()
    delivery.at(path).write_bytes(data)

    def change(content: dict[str, Any]) -> None:
        (row,) = [row for row in content["deliverables"] if row["file"] == name]
        for output in content["stages"][-1]["outputs"]:
            if output["sha256"] == row["sha256"]:
                output["sha256"] = digest
        row.update(sha256=digest, bytes=len(data))

    delivery.edit(change)


ALL_IDENTICAL = {"hero_web.jpg": "identical", "hero_print.png": "identical"}


# ---------------------------------------------------------------------- identical


def test_a_replay_is_identical_and_changes_no_file(delivery: Delivery) -> None:
    """The bytes of the deliverables are the same, and so is every file of the root before and after."""
    before = delivery.file_states()
    report = delivery.again()
    assert verdicts(report) == ALL_IDENTICAL
    assert (report.is_same, report.first_difference, report.causes, report.other_changes) == (True, None, (), ())
    assert delivery.file_states() == before


def test_a_replay_runs_on_this_computer_whatever_queue_works_on_a_cluster(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is not asked, so that it need not be there."""
    setup = delivery.setup
    queues = {"cpu": QueueSettings(runner="ray", workers=2)}
    settings = setup.settings.model_copy(update={"cluster": ClusterSettings(address="127.0.0.1:1"), "queues": queues})
    monkeypatch.setattr(Delivery, "setup", property(lambda _: replace(setup, settings=settings)))
    assert verdicts(delivery.again()) == ALL_IDENTICAL


def test_the_recorded_seeds_are_those_of_the_steps(delivery: Delivery) -> None:
    """Each step's seed follows from the job's seed and the step's number."""
    for stage in delivery.content["stages"]:
        assert [step["seed"] for step in stage["steps"]] == [step_seed(7, number) for number in range(1, len(stage["steps"]) + 1)]


def test_another_recorded_seed_makes_another_picture(delivery: Delivery) -> None:
    """With another recorded seed, the picture differs from the inpaint step on."""
    delivery.edit(lambda content: content["stages"][1].update(seed=8))
    report = delivery.again()
    assert report.first_difference is not None
    assert report.first_difference.label == "edit.1 (inpaint)"
    assert any("the seed was" in reason for reason in report.causes)


def test_intermediate_pictures_are_not_needed(delivery: Delivery) -> None:
    """All archived pictures except the original are missing."""
    for stage in ("selected", "masked", "graded"):
        delivery.archived(f"{stage}/{CAMPAIGN}/hero.png").unlink()
    assert verdicts(delivery.again()) == ALL_IDENTICAL


def test_the_remade_deliverables_can_be_saved(delivery: Delivery, tmp_path: Path) -> None:
    """They are saved in a new folder outside the root."""
    delivery.again(tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["hero_print.png", "hero_web.jpg"]
    assert (tmp_path / "kept/hero_web.jpg").read_bytes() == delivery.at(WEB).read_bytes()


@pytest.mark.parametrize("place", ["root/inbox/kept", "full"])
def test_an_unsuitable_output_folder_is_refused(delivery: Delivery, tmp_path: Path, place: str) -> None:
    """A folder in the root, where files become jobs, and a folder that is not empty are refused."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/hero_web.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"is inside|is not empty"):
        delivery.again(tmp_path / place)
    assert (tmp_path / "full/hero_web.jpg").read_bytes() == b"mine"


# ---------------------------------------------------------------------- every kind of asset


def test_a_picture_that_no_step_changed_is_identical(tmp_path: Path) -> None:
    """The replay uses its copy in the archive."""
    delivery = delivered(tmp_path, {"inbox/hero.toml": NULLS, "inbox/hero.png": png()}, "delivered/hero.manifest.json")
    assert verdicts(delivery.again()) == {"hero.png": "identical"}


def test_a_picture_with_a_wrong_suffix_is_identical(tmp_path: Path) -> None:
    """It is called ``hero.jpg`` in the archive, and ``hero.png`` from the second stage on."""
    delivery = delivered(tmp_path, {"inbox/hero.toml": NULLS, "inbox/hero.jpg": png()}, "delivered/hero.manifest.json")
    report = delivery.again()
    assert verdicts(report) == {"hero.png": "identical"}
    assert report.first_difference is None


def test_a_report_with_remarks_of_earlier_stages_is_identical(tmp_path: Path) -> None:
    """The remarks are on record, so that the replay of the last stage has them too."""
    brief = "generate = []\nedit = []\ngrade = []\n" + EXPORT + '[[deliver]]\nop = "check"\n'
    delivery = delivered(tmp_path, {"inbox/hero.toml": brief, "inbox/hero.jpg": png()}, "delivered/hero.manifest.json")
    assert "although its name ends in .jpg" in delivery.at("delivered/hero.report.html").read_text()
    assert verdicts(delivery.again()) == {**ALL_IDENTICAL, "hero.report.html": "identical"}


def test_masks_looks_and_layers_are_found_in_the_archive(tmp_path: Path) -> None:
    """One stage resizes a mask and the next uses it. There are also a second mask, a look and an unused layer."""
    brief = f"""{SELECT}
[[generate]]
op = "resize"
size = [36, 24]
{INPAINT}
[[grade]]
op = "grade"
look = "hero"
{EXPORT}"""
    files: dict[str, bytes | str] = {
        "inbox/hero.cube": WARM,
        "inbox/hero.mask.png": mask(),
        "inbox/hero.layer.sky.png": png(5),
        "inbox/hero.mask.sky.png": mask(),
        "inbox/hero.png": png(4),
        "inbox/hero.toml": brief,
    }
    delivery = delivered(tmp_path, files, "delivered/hero.manifest.json")
    report = delivery.again()
    assert verdicts(report) == ALL_IDENTICAL
    roles = {entry["role"] for stage in delivery.content["stages"] for entry in stage["inputs"]}
    assert {"picture", "mask", "look", "layer", "brief"} <= roles


def test_a_replay_begins_with_the_last_file_from_a_person(tmp_path: Path) -> None:
    """A person put the picture into masked/."""
    delivery = delivered(tmp_path, {"masked/hero.toml": GRADE + EXPORT, "masked/hero.png": png(9)}, "delivered/hero.manifest.json")
    assert [stage["stage"] for stage in delivery.content["stages"]] == ["grade", "deliver"]
    assert verdicts(delivery.again()) == ALL_IDENTICAL


def test_undecodable_names_are_replayed(tmp_path: Path) -> None:
    """The name has undecodable bytes and a line break."""
    name = os.fsdecode(b"h\xff\nro")
    files: dict[str, bytes | str] = {f"inbox/{name}.toml": SELECT + GRADE + EXPORT, f"inbox/{name}.png": png(2)}
    delivery = delivered(tmp_path, files, f"delivered/{name}.manifest.json")
    assert set(verdicts(delivery.again()).values()) == {"identical"}


# ---------------------------------------------------------------------- different


def test_a_changed_look_is_named_with_both_hashes(delivery: Delivery) -> None:
    """The report has the first difference, its cause and the difference in codes."""
    delivery.at("library/looks/warm.cube").write_text(COLD)
    report = delivery.again()
    assert verdicts(report) == {"hero_web.jpg": "differs", "hero_print.png": "differs"}
    assert report.first_difference is not None
    assert report.first_difference.label == "grade.1 (grade)"
    before, after = (hashlib.sha256(look.encode()).hexdigest()[:12] for look in (WARM, COLD))
    assert report.causes == (f"grade.1 (grade): library/looks/warm.cube was changed (sha256 recorded {before}…, now {after}…)",)
    difference = report.deliverables[1].difference
    assert difference["depth"] == 8
    assert 100 < float(str(difference["max"])) <= 255
    assert 0.9 < float(str(difference["changed_share"])) <= 1


def test_other_versions_processors_and_threads_are_named(delivery: Delivery) -> None:
    """They are named although the pictures are identical."""

    def change(content: dict[str, Any]) -> None:
        content["stages"][2]["environment"].update(numpy="1.0", threads=64, processor="An Abacus", torch="0.1")
        content["stages"][2]["environment"].pop("Pillow")

    delivery.edit(change)
    report = delivery.again()
    assert verdicts(report) == ALL_IDENTICAL
    changes = "\n".join(report.other_changes)
    for change_text in (
        "numpy was 1.0, here it is ",
        "the number of threads was 64, here it is 1",
        "the processor was An Abacus",
        "Pillow was none",
    ):
        assert change_text in changes


def test_another_version_is_a_cause_only_in_the_stage_that_differs(delivery: Delivery) -> None:
    """Versions differ in two stages, and the picture in one of them."""

    def change(content: dict[str, Any]) -> None:
        content["stages"][2]["steps"][0]["picture_hash"] = "0" * 16
        content["stages"][2]["environment"]["numpy"] = "1.0"
        content["stages"][3]["environment"]["tifffile"] = "1.0"

    delivery.edit(change)
    report = delivery.again()
    assert [reason.partition(" ")[0] for reason in report.causes] == ["numpy"]
    assert [reason.partition(" ")[0] for reason in report.other_changes] == ["tifffile"]


def test_other_weights_and_revisions_are_named(delivery: Delivery) -> None:
    """The recorded engine differs in three fields."""

    def change(content: dict[str, Any]) -> None:
        step = content["stages"][1]["steps"][0]
        step["picture_hash"] = "0" * 16
        step["engine"].update(weights=[["fill.onnx", "ab" * 32]], revision="abc", device="cuda:0 bfloat16")

    delivery.edit(change)
    causes = "\n".join(delivery.again().causes)
    assert "edit.1 (inpaint): the weights fill.onnx was ababababab" in causes
    assert "edit.1 (inpaint): the model's revision was abc, here it is PyPatchMatch" in causes
    assert "edit.1 (inpaint): the model's device and precision was cuda:0 bfloat16, here it is cpu" in causes


def test_the_recorded_model_is_used_by_its_name(tmp_path: Path) -> None:
    """After a change of the default model, a step without a model in its settings uses the recorded engine."""
    pipeline = PIPELINE.replace('model = "null-inpaint"', 'model = "patchmatch"')
    files: dict[str, bytes | str] = {"inbox/hero.mask.png": mask(48, 32), "inbox/hero.png": png(1, 48, 32)}
    files["inbox/hero.toml"] = SELECT + INPAINT.replace('model = "null-inpaint"\n', "") + EXPORT
    delivery = delivered(tmp_path, files, "delivered/hero.manifest.json", pipeline)
    models = delivery.root / "config/models.toml"
    models.write_text(models.read_text().replace('inpaint = ["migan", "patchmatch"]', 'inpaint = ["migan"]'))
    assert verdicts(delivery.again()) == ALL_IDENTICAL


def test_another_encoding_of_the_same_picture_is_not_a_difference(delivery: Delivery) -> None:
    """The delivered file has the same pixels and another text chunk."""
    data = delivery.at(PRINT).read_bytes()
    picture = decode(data, "hero_print.png", 10_000)
    wrapped = encode(picture, EncodingOptions(format="png", depth=8))
    with_text = wrapped[:33] + _chunk(b"tEXt", b"Comment\0another day") + wrapped[33:]
    swap(delivery, PRINT, with_text)
    report = delivery.again()
    assert verdicts(report) == {"hero_web.jpg": "identical", "hero_print.png": "same pixels"}
    assert report.is_same
    assert report.first_difference is not None
    assert report.first_difference.label == "the files of deliver"


def test_a_difference_may_have_no_recorded_cause(delivery: Delivery) -> None:
    """The pixels of a deliverable differ, and the rest of the record does not."""
    swap(delivery, PRINT, png(8, 48, 32))
    report = delivery.again()
    assert verdicts(report) == {"hero_web.jpg": "identical", "hero_print.png": "differs"}
    assert (report.causes, report.other_changes) == ((), ())


def test_a_deliverable_of_another_size_is_incomparable(delivery: Delivery) -> None:
    """The report gives both sizes."""
    swap(delivery, PRINT, png(8, 24, 16))
    assert delivery.again().deliverables[1].difference == {"incomparable": "it was 24 x 16 px and is 48 x 32 px now"}


# ---------------------------------------------------------------------- the delivered files


def test_a_renamed_deliverable_is_found_by_its_hash(delivery: Delivery) -> None:
    """The deliverable is compared, and its new name is reported."""
    delivery.at(PRINT).rename(delivery.at(PRINT).with_name("final.png"))
    delivery.at("library/looks/warm.cube").write_text(COLD)
    deliverable = delivery.again().deliverables[1]
    assert deliverable.location_note == "hero_print.png is now called final.png."
    assert "max" in deliverable.difference


def test_an_edited_deliverable_is_compared_with_the_record(delivery: Delivery) -> None:
    """One deliverable is edited and another removed: both are remade identically."""
    delivery.at(PRINT).write_bytes(png(8, 48, 32))
    delivery.at(WEB).unlink()
    web, print_ = delivery.again().deliverables
    assert (web.verdict, print_.verdict) == ("identical", "identical")
    assert print_.location_note == "hero_print.png has been changed since it was delivered."
    assert web.location_note == "hero_web.jpg is no longer beside its manifest."


def test_a_missing_deliverable_is_incomparable(delivery: Delivery) -> None:
    """The look differs too, so the bytes cannot be identical."""
    delivery.at(PRINT).unlink()
    delivery.at("library/looks/warm.cube").write_text(COLD)
    assert delivery.again().deliverables[1].difference == {"incomparable": "the delivered file is no longer there to compare with"}


def test_a_delivered_file_that_is_not_a_picture_is_incomparable(delivery: Delivery) -> None:
    """The delivered PNG is broken: the worker that decodes it gives the reason."""
    swap(delivery, PRINT, b"\x89PNG\r\n\x1a\n and nothing more")
    difference = delivery.again().deliverables[1].difference
    assert str(difference["incomparable"]).startswith("the two files cannot be compared: ")


# ---------------------------------------------------------------------- missing sources


def test_a_changed_original_is_refused_with_its_place(delivery: Delivery) -> None:
    """The error gives the place and the recorded hash."""
    path = delivery.archived(f"inbox/{CAMPAIGN}/hero.png")
    for folder in ("inbox", "selected"):  # the first stage changed no byte of it
        delivery.archived(f"{folder}/{CAMPAIGN}/hero.png").write_bytes(png(8, 48, 32))
    with pytest.raises(MissingSource) as fault:
        delivery.again()
    assert f"inbox/{CAMPAIGN}/hero.png (sha256 " in fault.value.sentence
    assert f"{path.relative_to(delivery.root)} is now another file" in fault.value.sentence


def test_every_missing_source_is_reported_at_once(delivery: Delivery) -> None:
    """Three sources are missing, and each has its own line."""
    for name in ("inbox/{}/hero.png", "selected/{}/hero.png", "selected/{}/hero.mask.png"):
        delivery.archived(name.format(CAMPAIGN)).unlink()
    delivery.at("library/looks/warm.cube").unlink()
    with pytest.raises(MissingSource) as fault:
        delivery.again()
    lines = fault.value.sentence.splitlines()
    assert len(lines) == 3
    assert all(words in "\n".join(lines) for words in ("hero.png (sha256", "hero.mask.png (sha256", "library/looks/warm.cube is no longer"))


def test_an_original_under_another_day_is_found_by_its_hash(delivery: Delivery) -> None:
    """The original is under another day of the archive, and another file is in its place."""
    path = delivery.archived(f"inbox/{CAMPAIGN}/hero.png")
    delivery.archived(f"selected/{CAMPAIGN}/hero.png").unlink()
    other = delivery.at(f"archive/2001-02-03/inbox/{CAMPAIGN}/hero~7.png")
    other.parent.mkdir(parents=True)
    shutil.move(path, other)
    path.write_bytes(b"somebody else's")
    assert verdicts(delivery.again()) == ALL_IDENTICAL


def test_a_model_that_models_toml_no_longer_has_is_an_error(delivery: Delivery) -> None:
    """The error names the step."""
    models = delivery.root / "config/models.toml"
    text = models.read_text().replace("[models.patchmatch]", "[models.mosaic]").replace('"patchmatch"', '"mosaic"')
    models.write_text(text.replace('driver = "mosaic"', 'driver = "patchmatch"'))
    with pytest.raises(InputError, match=r"edit.1 \(inpaint\): There is no model called 'patchmatch'"):
        delivery.again()


# ---------------------------------------------------------------------- completeness


def test_every_field_of_a_job_is_recorded_or_belongs_to_the_machine() -> None:
    """Each new field of a job must be recorded, so that a replay can set it."""
    machine_fields = {"id", "root", "scratch", "limits", "models", "batch_key", "weights_mb", "pictures_mb", "keeps_parts", "kept"}
    recorded_by_name = {"stage", "queue", "inputs", "steps", "remarks", "approved_masks"}
    derived_from_earlier_steps = {"removals"}
    # They decide about the record alone: of which version the picture is a copy, and which masks a person is to see.
    about_the_record = {"known_looks", "finds_masks"}
    # What is laid beside the result, or kept of it, and a job that makes none; the result is the same.
    beside_the_result = {"review", "keeps_result", "compares_versions", "signing", "inspects"}
    assert (
        set(Job.model_fields) - machine_fields - derived_from_earlier_steps - beside_the_result - about_the_record
        == set(RECORDED_JOB_FIELDS) | recorded_by_name
    )
    assert set(RECORDED_JOB_FIELDS) | recorded_by_name <= set(StageRecord.model_fields)


def _chunk(kind: bytes, data: bytes) -> bytes:
    import struct
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
