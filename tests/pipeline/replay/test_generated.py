"""Generated pictures are replayed from their record, with all candidates and reference pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles import tiny
from doubles.commission import EXPORT, PIPELINE, SELECT
from doubles.deliveries import delivered
from doubles.forked_workers import fork_diffusion_worker
from doubles.pictures import png
from goldsmith.pipeline.replay.sources import MissingSource

_GENERATING = PIPELINE.replace('default = [{ op = "select" }]', "")


def test_a_picture_generated_without_an_input_picture_is_replayed(tmp_path: Path) -> None:
    """A replay from the archived brief selects the same candidate."""
    brief = f"""prompt = "a gold ring"
seed = 5
[[generate]]
op = "regenerate"
model = "null-generate"
candidates = 3
{SELECT}{EXPORT}"""
    delivery = delivered(tmp_path, {"inbox/ring.toml": brief}, "delivered/ring.manifest.json", _GENERATING)
    report = delivery.again()
    assert [deliverable.verdict for deliverable in report.deliverables] == ["identical", "identical"]
    archived = [output for output in delivery.content["stages"][0]["outputs"] if output["role"] == "archive_only"]
    assert archived, "the rejected candidates are recorded"
    assert report.other_changes == ()


def test_reference_pictures_are_found_in_the_archive(tmp_path: Path) -> None:
    """The replay uses the reference picture. If it is missing from the archive, the error names it."""
    brief = f"""prompt = "a gold ring"
[[generate]]
op = "regenerate"
model = "null-generate"
references = true
{EXPORT}"""
    files: dict[str, bytes | str] = {"inbox/ring.ref.png": png(7), "inbox/ring.toml": brief}
    delivery = delivered(tmp_path, files, "delivered/ring.manifest.json", _GENERATING)
    assert {entry["role"] for entry in delivery.content["stages"][0]["inputs"]} == {"brief", "ref"}
    assert delivery.again().is_same
    delivery.archived("inbox/ring.ref.png").unlink()
    with pytest.raises(MissingSource, match=r"inbox/ring\.ref\.png"):
        delivery.again()


def test_a_diffusion_model_makes_the_same_picture_again(tmp_path: Path) -> None:
    """Image-to-image and inpainting are replayed with tiny weights. With another seed in the record, the picture differs."""
    brief = f"""prompt = "a gold ring"
seed = 5
[[generate]]
op = "regenerate"
model = "premium"
candidates = 2
strength = 0.6
{SELECT}
[[edit]]
op = "inpaint"
where = "box(0.2, 0.2, 0.4, 0.4)"
prompt = "a hand"
model = "fill"
{EXPORT}"""
    files: dict[str, bytes | str] = {
        "config/models.toml": tiny.models_toml({"premium": "sdxl", "fill": "sdxl-inpaint"}),
        "inbox/ring.png": png(7, 64, 64),
        "inbox/ring.toml": brief,
    }
    delivery = delivered(tmp_path, files, "delivered/ring.manifest.json", _GENERATING, fork_diffusion_worker)
    steps = [step for stage in delivery.content["stages"] for step in stage["steps"] if step["engine"]]
    assert [step["engine"]["name"] for step in steps] == ["premium", "fill"]
    assert [deliverable.verdict for deliverable in delivery.again().deliverables] == ["identical", "identical"]
    delivery.edit(lambda content: content["stages"][1].update(seed=6))
    assert not delivery.again().is_same
