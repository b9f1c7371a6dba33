"""Cut-outs from file to file: with a painted mask, with a model whose weights are present, and with a hold that leaves a preview."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from doubles import nets
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

PIPELINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
MODELS = resource_path("config", "models.toml")
PAGE = MODELS.parents[1] / "docs" / "operations" / "cutout.md"
WEIGHTS = WeightsRegistry(read_models(MODELS), default_models_folder())
PROVIDER = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
SCENE = scene(240, 320)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    new_share = Share(tmp_path)
    new_share.put("inbox/hero.png", png(SCENE.pixels, 16))
    return new_share


def job(share: Share, number: int, **settings: object) -> Job:
    """Return a job with this example of the manual, and a mask beside the picture if the example needs a mask."""
    [steps] = read_brief(
        PAGE.read_text().split("```toml\n")[number].split("```")[0].encode(), "brief.toml", PIPELINE
    ).steps_by_stage.values()
    [step] = steps
    inputs = [share.job_input("inbox/hero.png")]
    if step.operation.needs().masks:
        share.put("inbox/hero.mask.png", png(np.where(SCENE.near, np.float32(0.5), np.round(SCENE.alpha))))
        inputs.append(share.job_input("inbox/hero.mask.png", "mask", "mask"))
    return share.job((step.op, {**step.settings, **settings}), inputs=inputs)


def run(job: Job) -> Outcome:
    return run_job(job, PROVIDER, lambda progress: None, lambda: False)


def result(outcome: Outcome) -> Picture:
    [output] = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "out.png", 10_000_000)


def test_a_painted_mask_needs_no_weights(share: Share) -> None:
    """The manual's example with a colour behind the subject keeps 16 bits and records the uncertainty."""
    outcome = run(job(share, 2, max_unsure=0.7))  # a head that is mostly hair
    assert outcome.fault is None
    cut = result(outcome)
    assert (cut.depth, cut.alpha) == (16, None)
    assert cut.pixels[3, 3] == pytest.approx([0xF4 / 255, 0xF1 / 255, 0xEA / 255], abs=1e-4)
    assert outcome.consumed_masks == ("mask",)
    findings = outcome.steps[0].findings
    assert {"unsure", "holes", "pieces", "cut", "edge"} <= set(findings)
    assert "outside_changed" not in findings


def test_a_cut_out_on_transparency_keeps_the_codes_of_the_picture(share: Share) -> None:
    """The file has alpha. Where alpha is full, the file has exactly the codes of the picture."""
    cut = result(run(job(share, 2, onto="", max_unsure=0.7)))
    assert cut.alpha is not None
    before = decode((share.root / "inbox/hero.png").read_bytes(), "hero.png", 10_000_000)
    opaque = cut.alpha == 1
    assert opaque.mean() > 0.1
    assert np.array_equal(cut.to_codes()[opaque], before.to_codes()[opaque])


def test_glass_has_a_mask_of_its_own(share: Share) -> None:
    """With the settings of the manual, both masks are consumed, and the file is as transparent as the painted mask."""
    glass = pane()
    share.put("inbox/hero.png", png(glass.pixels))
    share.put("inbox/hero.mask.png", png(glass.foot))
    share.put("inbox/hero.mask.pane.png", png(glass.brush_matte))
    inputs = [share.job_input("inbox/hero.png")]
    inputs += [share.job_input("inbox/hero.mask.png", "mask", "mask"), share.job_input("inbox/hero.mask.pane.png", "mask", "pane")]
    settings: dict[str, object] = {"where": "mask", "glass": "pane", "edge": 2}
    manual_lines = "    " + "\n    ".join(f'{name} = "{value}"' for name, value in settings.items() if name != "edge")
    assert manual_lines in PAGE.read_text()
    outcome = run(share.job(("cutout", settings), inputs=inputs))
    assert outcome.fault is None
    assert outcome.consumed_masks == ("mask", "pane")
    alpha = result(outcome).alpha
    assert alpha is not None
    assert alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert alpha[182, 125] == 1
    assert alpha[20, 20] == 0


def test_a_model_in_a_file_with_its_hash_is_used_by_name(share: Share, tmp_path: Path) -> None:
    """Check BiRefNet's driver with a small network that doubles what it sees: bright pixels stay, dark ones go."""
    folder, side = tmp_path / "weights", (1, 3, 64, 64)
    folder.mkdir()
    net = nets.write_net(folder / "birefnet.onnx", [("Mul", ["image", "two"], "matte")], {"image": side}, ("matte", side), {"two": 2.0})
    models = tmp_path / "models.toml"
    models.write_text(
        '[models.birefnet]\nkind = "matte"\ndriver = "birefnet"\nlicence = "MIT"\n[[models.birefnet.files]]\nname = "birefnet.onnx"\n'
        f'sha256 = "{hashlib.sha256(net.read_bytes()).hexdigest()}"\nbytes = {net.stat().st_size}\n'
        'sources = [{ url = "https://models.invalid/birefnet.onnx" }]\n'
    )
    halves = np.zeros((120, 160, 3), np.float32)
    halves[:, :80] = 1
    share.put("inbox/hero.png", png(halves))
    settings = {"model": "birefnet", "refine": "none", "max_unsure": 1.0, "max_holes": 1.0}
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(folder)), WorkerSpec(queue="cpu"))
    work = share.job(("cutout", settings), inputs=[share.job_input("inbox/hero.png")])
    outcome = run_job(work, provider, lambda progress: None, lambda: False)
    assert outcome.fault is None
    engine = outcome.steps[0].engine
    assert engine is not None
    assert engine["name"] == "birefnet"
    alpha = result(outcome).alpha
    assert alpha is not None
    assert alpha[:, :76].min() > 0.95
    assert alpha[:, 84:].max() < 0.05


def test_a_hold_leaves_a_preview_of_its_reason(share: Share) -> None:
    """The fault names a JPEG in the scratch folder with the picture's size."""
    outcome = run(job(share, 2, max_unsure=0.0))
    assert outcome.fault is not None
    assert "the subject is uncertain" in outcome.fault.sentence
    preview = decode(Path(outcome.fault.preview_path).read_bytes(), "preview.jpg", 10_000_000)
    assert (preview.height, preview.width) == (240, 320)


def test_the_preview_of_a_hold_stays_until_the_hold_is_resolved(tmp_path: Path) -> None:
    """The note and its JPEG lie beside the picture. The JPEG is not an asset, and both are deleted when the picture moves on."""
    brief = '[[edit]]\nop = "cutout"\nwhere = "mask"\nmax_holes = 1\nmax_unsure = {}\n'
    studio = Studio(tmp_path)
    studio.put("selected/hero.png", png(SCENE.pixels))
    studio.put("selected/hero.mask.png", png(np.where(SCENE.near, np.float32(0.5), np.round(SCENE.alpha))))
    studio.put("selected/hero.toml", brief.format(0))
    try:
        studio.start()
        studio.until(lambda: studio.at("selected/hero.png.problem.txt").exists(), "the note")
        studio.until_idle()
        preview = decode(studio.read("selected/hero.png.problem.jpg"), "preview.jpg", 10_000_000)
        assert (preview.height, preview.width) == (240, 320)
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
def test_a_model_cuts_a_portrait_from_its_background(share: Share, model: str) -> None:
    """Each shipped model does so. One is named, and the other is chosen because of the face."""
    from skimage import data

    for name in (model, "yunet"):
        if not WEIGHTS.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")
    share.put("inbox/hero.png", png(data.astronaut().astype(np.float32) / np.float32(255)))
    outcome = run(job(share, 1, **({"model": model} if model == "u2net" else {})))
    assert outcome.fault is None
    cut = result(outcome)
    assert cut.alpha is not None
    assert cut.alpha[80:130, 200:260].min() == 1
    assert cut.alpha[20:100, 20:100].max() == 0
    engine = outcome.steps[0].engine
    assert engine is not None
    assert engine["name"] == model
