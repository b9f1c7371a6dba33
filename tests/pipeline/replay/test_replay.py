"""Deliveries done again through real lanes: the same, or how far off, from where on and why; and what becomes of missing originals."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, LINE, NULLS, SELECT
from doubles.deliveries import CAMPAIGN, COLD, PRINT, WARM, WEB, Delivery, delivered, hero
from doubles.pictures import mask, png
from goldsmith.errors import InputError, UsageError
from goldsmith.jobs.job import Job
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.pipeline.commit.manifest import RECORDED_JOB_FIELDS
from goldsmith.pipeline.replay.manifest_reader import StageRecord
from goldsmith.pipeline.replay.report import ReplayReport
from goldsmith.pipeline.replay.sources import MissingSource
from goldsmith.worker.job_runner import step_seed


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return hero(tmp_path_factory.mktemp("hero"))


@pytest.fixture
def done(once: Delivery, tmp_path: Path) -> Delivery:
    return once.copied(tmp_path)


def verdicts(report: ReplayReport) -> dict[str, str]:
    return {deliverable.file: deliverable.verdict for deliverable in report.deliverables}


def swap(delivery: Delivery, path: str, data: bytes) -> None:
    """Let the record say that this was delivered."""
    name, digest = path.rpartition("/")[2], hashlib.sha256(data).hexdigest()
    delivery.at(path).write_bytes(data)

    def change(content: dict[str, Any]) -> None:
        (row,) = [row for row in content["deliverables"] if row["file"] == name]
        for output in content["stages"][-1]["outputs"]:
            if output["sha256"] == row["sha256"]:
                output["sha256"] = digest
        row.update(sha256=digest, bytes=len(data))

    delivery.edit(change)


SAME = {"hero_web.jpg": "identical", "hero_print.png": "identical"}


# ---------------------------------------------------------------------- the same


def test_a_delivery_done_again_is_the_same_and_touches_nothing(done: Delivery) -> None:
    """Byte for byte, and not a file of the root is another one, or an older one, than before."""
    before = done.lies()
    report = done.again()
    assert verdicts(report) == SAME
    assert (report.is_same, report.first_difference, report.causes, report.other_changes) == (True, None, (), ())
    assert done.lies() == before


def test_the_seeds_on_record_are_those_of_the_steps(done: Delivery) -> None:
    """A step's seed comes of the job's and its number; nothing else would give the same picture again."""
    for stage in done.content["stages"]:
        assert [step["seed"] for step in stage["steps"]] == [step_seed(7, number) for number in range(1, len(stage["steps"]) + 1)]


def test_another_seed_on_record_is_another_picture(done: Delivery) -> None:
    """The seed of the record is the one that is used: the fill differs from the step that used it on."""
    done.edit(lambda content: content["stages"][1].update(seed=8))
    report = done.again()
    assert report.first_difference is not None
    assert report.first_difference.label == "edit.1 (inpaint)"
    assert any("the seed was" in reason for reason in report.causes)


def test_what_a_stage_made_for_the_next_is_not_needed(done: Delivery) -> None:
    """Only what people put in: the pictures in between are made again."""
    for stage in ("selected", "masked", "graded"):
        done.archived(f"{stage}/{CAMPAIGN}/hero.png").unlink()
    assert verdicts(done.again()) == SAME


def test_what_was_made_can_be_kept(done: Delivery, tmp_path: Path) -> None:
    """In a new folder outside the root, under the names of the deliverables."""
    done.again(tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["hero_print.png", "hero_web.jpg"]
    assert (tmp_path / "kept/hero_web.jpg").read_bytes() == done.at(WEB).read_bytes()


@pytest.mark.parametrize("place", ["root/inbox/kept", "full"])
def test_a_place_that_is_none_for_what_is_kept_is_refused_before_anything_runs(done: Delivery, tmp_path: Path, place: str) -> None:
    """In the root it would be taken for work; a folder with something in it might lose that."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/hero_web.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"lies in|is not empty"):
        done.again(tmp_path / place)
    assert (tmp_path / "full/hero_web.jpg").read_bytes() == b"mine"


# ---------------------------------------------------------------------- every kind of asset


def test_a_picture_that_is_passed_on_untouched_is_the_same(tmp_path: Path) -> None:
    """Its copy in the archive is enough, although the picture itself went all the way."""
    delivery = delivered(tmp_path, {"inbox/hero.toml": NULLS, "inbox/hero.png": png()}, "delivered/hero.manifest.json")
    assert verdicts(delivery.again()) == {"hero.png": "identical"}


def test_masks_that_travel_keeps_looks_and_layers_are_all_found_again(tmp_path: Path) -> None:
    """A mask mapped to a new size by one stage and used by the next; a keep; the picture's own look; a layer nobody asked for."""
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
    assert verdicts(report) == SAME
    roles = {given["role"] for stage in delivery.content["stages"] for given in stage["inputs"]}
    assert {"picture", "mask", "look", "layer", "brief"} <= roles


def test_a_picture_that_somebody_worked_on_in_between_begins_there(tmp_path: Path) -> None:
    """The record begins with what a person put down last, and that is in the archive."""
    delivery = delivered(tmp_path, {"masked/hero.toml": GRADE + EXPORT, "masked/hero.png": png(9)}, "delivered/hero.manifest.json")
    assert [stage["stage"] for stage in delivery.content["stages"]] == ["grade", "deliver"]
    assert verdicts(delivery.again()) == SAME


def test_names_that_are_no_text_are_done_again_as_well(tmp_path: Path) -> None:
    """Undecodable bytes and line breaks in a name."""
    name = os.fsdecode(b"h\xff\nro")
    files: dict[str, bytes | str] = {f"inbox/{name}.toml": SELECT + GRADE + EXPORT, f"inbox/{name}.png": png(2)}
    delivery = delivered(tmp_path, files, f"delivered/{name}.manifest.json")
    assert set(verdicts(delivery.again()).values()) == {"identical"}


# ---------------------------------------------------------------------- other now than then


def test_a_look_that_was_changed_is_named_with_both_hashes(done: Delivery) -> None:
    """From the step that used it on; how far off, in codes of the deliverable."""
    done.at("library/looks/warm.cube").write_text(COLD)
    report = done.again()
    assert verdicts(report) == {"hero_web.jpg": "differs", "hero_print.png": "differs"}
    assert report.first_difference is not None
    assert report.first_difference.label == "grade.1 (grade)"
    then, now = (hashlib.sha256(look.encode()).hexdigest()[:12] for look in (WARM, COLD))
    assert report.causes == (f"grade.1 (grade): library/looks/warm.cube was changed (sha256 recorded {then}…, now {now}…)",)
    apart = report.deliverables[1].difference
    assert apart["depth"] == 8
    assert 100 < float(str(apart["max"])) <= 255
    assert 0.9 < float(str(apart["changed_share"])) <= 1


def test_versions_processor_and_threads_that_were_other_are_named(done: Delivery) -> None:
    """Also where they made no difference."""

    def change(content: dict[str, Any]) -> None:
        content["stages"][2]["environment"].update(numpy="1.0", threads=64, processor="An Abacus", torch="0.1")
        content["stages"][2]["environment"].pop("Pillow")

    done.edit(change)
    report = done.again()
    assert verdicts(report) == SAME
    told = "\n".join(report.other_changes)
    for words in (
        "numpy was 1.0, here it is ",
        "the number of threads was 64, here it is 1",
        "the processor was An Abacus",
        "Pillow was none",
    ):
        assert words in told


def test_another_version_is_the_reason_where_the_ways_part_in_its_stage(done: Delivery) -> None:
    """It stands under why, and what was other elsewhere stands apart from it."""

    def change(content: dict[str, Any]) -> None:
        content["stages"][2]["steps"][0]["picture_hash"] = "0" * 16
        content["stages"][2]["environment"]["numpy"] = "1.0"
        content["stages"][3]["environment"]["tifffile"] = "1.0"

    done.edit(change)
    report = done.again()
    assert [reason.partition(" ")[0] for reason in report.causes] == ["numpy"]
    assert [reason.partition(" ")[0] for reason in report.other_changes] == ["tifffile"]


def test_weights_with_another_hash_and_another_revision_are_named(done: Delivery) -> None:
    """The engine on record and the engine here, part by part."""

    def change(content: dict[str, Any]) -> None:
        step = content["stages"][1]["steps"][0]
        step["picture_hash"] = "0" * 16
        step["engine"].update(weights=[["fill.onnx", "ab" * 32]], revision="abc", device="cuda:0 bfloat16")

    done.edit(change)
    told = "\n".join(done.again().causes)
    assert "edit.1 (inpaint): the weights fill.onnx was ababababab" in told
    assert "edit.1 (inpaint): the model's revision was abc, here it is PyPatchMatch" in told
    assert "edit.1 (inpaint): the model's device and precision was cuda:0 bfloat16, here it is cpu" in told


def test_the_model_that_did_the_work_is_asked_for_by_its_name(tmp_path: Path) -> None:
    """A default may be another one today: the record's settings name none, and its engine is taken all the same."""
    line = LINE.replace('model = "null-inpaint"', 'model = "patchmatch"')
    files: dict[str, bytes | str] = {"inbox/hero.mask.png": mask(48, 32), "inbox/hero.png": png(1, 48, 32)}
    files["inbox/hero.toml"] = SELECT + INPAINT.replace("null-inpaint", "patchmatch") + EXPORT
    delivery = delivered(tmp_path, files, "delivered/hero.manifest.json", line)
    delivery.edit(lambda content: content["stages"][1]["steps"][0]["settings"].update(model=None))
    models = delivery.root / "config/models.toml"
    models.write_text(models.read_text().replace('inpaint = ["migan", "patchmatch"]', 'inpaint = ["migan"]'))
    assert verdicts(delivery.again()) == SAME


def test_another_wrapping_of_the_same_picture_is_no_other_picture(done: Delivery) -> None:
    """The same pixels in a file with another text chunk."""
    data = done.at(PRINT).read_bytes()
    picture = decode(data, "hero_print.png", 10_000)
    wrapped = encode(picture, EncodingOptions(format="png", depth=8)) + b""
    with_text = wrapped[:33] + _chunk(b"tEXt", b"Comment\0another day") + wrapped[33:]
    swap(done, PRINT, with_text)
    report = done.again()
    assert verdicts(report) == {"hero_web.jpg": "identical", "hero_print.png": "same pixels"}
    assert report.is_same
    assert report.first_difference is not None
    assert report.first_difference.label == "what deliver wrote"


def test_a_difference_that_nothing_explains_is_said_as_such(done: Delivery) -> None:
    """All that is on record agrees, and the pixels do not."""
    swap(done, PRINT, png(8, 48, 32))
    report = done.again()
    assert verdicts(report) == {"hero_web.jpg": "identical", "hero_print.png": "differs"}
    assert (report.causes, report.other_changes) == ((), ())


def test_a_deliverable_of_another_size_is_said_to_be_one(done: Delivery) -> None:
    """Sizes are told instead of differences."""
    swap(done, PRINT, png(8, 24, 16))
    assert done.again().deliverables[1].difference == {"incomparable": "it was 24 x 16 px and is 48 x 32 px now"}


# ---------------------------------------------------------------------- what lies beside the manifest


def test_a_renamed_deliverable_is_still_the_one_that_is_compared(done: Delivery) -> None:
    """Found by its hash, and said."""
    done.at(PRINT).rename(done.at(PRINT).with_name("final.png"))
    done.at("library/looks/warm.cube").write_text(COLD)
    found = done.again().deliverables[1]
    assert found.location_note == "hero_print.png is called final.png now."
    assert "max" in found.difference


def test_a_deliverable_that_somebody_edited_is_judged_by_the_record(done: Delivery) -> None:
    """What lies there is not what was delivered; what was delivered comes out again."""
    done.at(PRINT).write_bytes(png(8, 48, 32))
    done.at(WEB).unlink()
    web, print_ = done.again().deliverables
    assert (web.verdict, print_.verdict) == ("identical", "identical")
    assert "somebody changed it since" in print_.location_note
    assert web.location_note == "hero_web.jpg no longer lies beside its manifest."


def test_without_what_was_delivered_it_is_only_said_that_it_differs(done: Delivery) -> None:
    """How far off cannot be told any more."""
    done.at(PRINT).unlink()
    done.at("library/looks/warm.cube").write_text(COLD)
    assert done.again().deliverables[1].difference == {"incomparable": "what was delivered is no longer there to be compared with"}


def test_a_delivered_file_that_is_no_picture_is_a_sentence(done: Delivery) -> None:
    """It is decoded in a lane, and what the lane says of it is told."""
    swap(done, PRINT, b"\x89PNG\r\n\x1a\n and nothing more")
    apart = done.again().deliverables[1].difference
    assert str(apart["incomparable"]).startswith("the two cannot be laid side by side: ")


# ---------------------------------------------------------------------- what is missing


def test_an_original_that_was_tampered_with_is_a_sentence_with_the_place(done: Delivery) -> None:
    """Nothing runs on it."""
    path = done.archived(f"inbox/{CAMPAIGN}/hero.png")
    for folder in ("inbox", "selected"):  # the first stage changed no byte of it
        done.archived(f"{folder}/{CAMPAIGN}/hero.png").write_bytes(png(8, 48, 32))
    with pytest.raises(MissingSource) as fault:
        done.again()
    assert f"inbox/{CAMPAIGN}/hero.png (sha256 " in fault.value.sentence
    assert f"{path.relative_to(done.root)} is another file now" in fault.value.sentence


def test_everything_that_is_missing_is_said_at_once(done: Delivery) -> None:
    """A line each."""
    for name in ("inbox/{}/hero.png", "selected/{}/hero.png", "selected/{}/hero.mask.png"):
        done.archived(name.format(CAMPAIGN)).unlink()
    done.at("library/looks/warm.cube").unlink()
    with pytest.raises(MissingSource) as fault:
        done.again()
    told = fault.value.sentence.splitlines()
    assert len(told) == 3
    assert all(words in "\n".join(told) for words in ("hero.png (sha256", "hero.mask.png (sha256", "library/looks/warm.cube is no longer"))


def test_an_original_under_another_day_and_number_is_found_by_its_hash(done: Delivery) -> None:
    """Whoever tidies the archive up does not lose it."""
    path = done.archived(f"inbox/{CAMPAIGN}/hero.png")
    done.archived(f"selected/{CAMPAIGN}/hero.png").unlink()
    other = done.at(f"archive/2001-02-03/inbox/{CAMPAIGN}/hero~7.png")
    other.parent.mkdir(parents=True)
    shutil.move(path, other)
    path.write_bytes(b"somebody else's")
    assert verdicts(done.again()) == SAME


def test_a_model_that_is_no_longer_in_the_house_is_a_sentence(done: Delivery) -> None:
    """With the step that needs it."""
    models = done.root / "config/models.toml"
    text = models.read_text().replace("[models.patchmatch]", "[models.mosaic]").replace('"patchmatch"', '"mosaic"')
    models.write_text(text.replace('driver = "mosaic"', 'driver = "patchmatch"'))
    with pytest.raises(InputError, match=r"edit.1 \(inpaint\): There is no model called 'patchmatch'"):
        done.again()


# ---------------------------------------------------------------------- complete by construction


def test_every_field_of_a_job_is_on_record_or_told_elsewhere() -> None:
    """Whoever adds a setting to a job must put it on record, and let a replay set it."""
    of_the_house = {"id", "root", "scratch", "limits", "models", "batch_key", "weights_mb", "pictures_mb"}
    told_by_name = {"stage", "queue", "inputs", "steps"}
    assert set(Job.model_fields) - of_the_house == set(RECORDED_JOB_FIELDS) | told_by_name
    assert set(RECORDED_JOB_FIELDS) | told_by_name <= set(StageRecord.model_fields)


def _chunk(kind: bytes, data: bytes) -> bytes:
    import struct
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
