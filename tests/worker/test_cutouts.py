"""A subject is cut out file in, file out: with a painted mask everywhere, with a model where its weights are; a hold leaves its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import Share, png
from doubles.mattes import pane, scene
from doubles.studio import Studio
from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.files import resource_path
from goldsmith.jobs.job import Job, Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

LINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
MODELS = resource_path("config", "models.toml")
PAGE = MODELS.parents[1] / "docs" / "operations" / "cutout.md"
WEIGHTS = WeightsRegistry(read_models(MODELS), default_models_folder())
HOUSE = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
SEEN = scene(240, 320)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    made = Share(tmp_path)
    made.put("inbox/hero.png", png(SEEN.pixels, 16))
    return made


def job(share: Share, number: int, **more: object) -> Job:
    """A job of the manual's example of that number, with a mask beside the picture where it asks for one."""
    [steps] = read_brief(PAGE.read_text().split("```toml\n")[number].split("```")[0].encode(), "brief.toml", LINE).steps_by_stage.values()
    [step] = steps
    inputs = [share.given("inbox/hero.png")]
    if step.operation.needs().masks:
        share.put("inbox/hero.mask.png", png(np.where(SEEN.near, np.float32(0.5), np.round(SEEN.alpha))))
        inputs.append(share.given("inbox/hero.mask.png", "mask", "mask"))
    return share.job((step.op, {**step.settings, **more}), inputs=inputs)


def run(work: Job) -> Outcome:
    return run_job(work, HOUSE, lambda progress: None, lambda: False)


def result(outcome: Outcome) -> Picture:
    [output] = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "out.png", 10_000_000)


def test_with_a_painted_mask_it_needs_no_weights(share: Share) -> None:
    """The manual's example: onto a colour, 16 bits stay, and the record says how sure it was."""
    outcome = run(job(share, 2, max_unsure=0.7))  # a head that is mostly hair
    assert outcome.fault is None
    made = result(outcome)
    assert (made.depth, made.alpha) == (16, None)
    assert made.pixels[3, 3] == pytest.approx([0xF4 / 255, 0xF1 / 255, 0xEA / 255], abs=1e-4)
    assert outcome.consumed_masks == ("mask",)
    findings = outcome.steps[0].findings
    assert {"unsure", "holes", "pieces", "cut", "edge"} <= set(findings)
    assert "outside_changed" not in findings


def test_on_transparency(share: Share) -> None:
    """The file has alpha, and where it is full the very codes of the picture."""
    made = result(run(job(share, 2, onto="", max_unsure=0.7)))
    assert made.alpha is not None
    before = decode((share.root / "inbox/hero.png").read_bytes(), "hero.png", 10_000_000)
    solid = made.alpha == 1
    assert solid.mean() > 0.1
    assert np.array_equal(made.to_codes()[solid], before.to_codes()[solid])


def test_glass_is_painted_in_a_mask_of_its_own(share: Share) -> None:
    """As the manual says it: two masks beside the picture, both used up, and the file is as clear there as it was painted."""
    seen = pane()
    share.put("inbox/hero.png", png(seen.pixels))
    share.put("inbox/hero.mask.png", png(seen.foot))
    share.put("inbox/hero.mask.pane.png", png(seen.painted))
    given = [share.given("inbox/hero.png")]
    given += [share.given("inbox/hero.mask.png", "mask", "mask"), share.given("inbox/hero.mask.pane.png", "mask", "pane")]
    settings: dict[str, object] = {"where": "mask", "glass": "pane", "edge": 2}
    said = "    " + "\n    ".join(f'{name} = "{value}"' for name, value in settings.items() if name != "edge")
    assert said in PAGE.read_text()
    outcome = run(share.job(("cutout", settings), inputs=given))
    assert outcome.fault is None
    assert outcome.consumed_masks == ("mask", "pane")
    alpha = result(outcome).alpha
    assert alpha is not None
    assert alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert alpha[182, 125] == 1
    assert alpha[20, 20] == 0


def test_a_hold_leaves_a_picture_that_shows_why(share: Share) -> None:
    """The fault names a JPEG in scratch, whole and of the picture's shape; without a fault there is none."""
    outcome = run(job(share, 2, max_unsure=0.0))
    assert outcome.fault is not None
    assert "the subject is uncertain" in outcome.fault.sentence
    shown = decode(Path(outcome.fault.preview_path).read_bytes(), "shown.jpg", 10_000_000)
    assert (shown.height, shown.width) == (240, 320)


def test_a_hold_lies_beside_the_picture_until_it_is_mended(tmp_path: Path) -> None:
    """Through the folders: the note and what shows it lie there, nothing takes that for a picture, and both go when it goes on."""
    brief = '[[edit]]\nop = "cutout"\nwhere = "mask"\nmax_holes = 1\nmax_unsure = {}\n'
    studio = Studio(tmp_path)
    studio.put("selected/hero.png", png(SEEN.pixels))
    studio.put("selected/hero.mask.png", png(np.where(SEEN.near, np.float32(0.5), np.round(SEEN.alpha))))
    studio.put("selected/hero.toml", brief.format(0))
    try:
        studio.start()
        studio.until(lambda: studio.at("selected/hero.png.problem.txt").exists(), "the note")
        studio.until_idle()
        shown = decode(studio.read("selected/hero.png.problem.jpg"), "shown.jpg", 10_000_000)
        assert (shown.height, shown.width) == (240, 320)
        assert "magenta is uncertain" in studio.note("selected/hero.png")
        assert not list(studio.at("selected").glob("*problem.jpg.problem*"))
        studio.put("selected/hero.toml", brief.format(0.9))
        studio.until(lambda: studio.at("masked/hero.png").exists(), "the result")
        studio.until_idle()
        assert not list(studio.at("selected").glob("*.problem.*"))
        assert decode(studio.read("masked/hero.png"), "hero.png", 10_000_000).alpha is not None
    finally:
        studio.stop()


@pytest.mark.parametrize("model", ["modnet", "u2net"])
def test_with_a_model(share: Share, model: str) -> None:
    """A portrait comes off its background by either of the house's models, named or found by its faces."""
    from skimage import data

    for name in (model, "yunet"):
        if not WEIGHTS.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")
    share.put("inbox/hero.png", png(data.astronaut().astype(np.float32) / np.float32(255)))
    outcome = run(job(share, 1, **({"model": model} if model == "u2net" else {})))
    assert outcome.fault is None
    made = result(outcome)
    assert made.alpha is not None
    assert made.alpha[80:130, 200:260].min() == 1
    assert made.alpha[20:100, 20:100].max() == 0
    engine = outcome.steps[0].engine
    assert engine is not None
    assert engine["name"] == model
