"""The worker proves that a step that enlarges a picture keeps the original bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doubles import tiny
from doubles.faulty import Double
from doubles.jobs import FAULTY, Share, left_half, picture, png
from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome, OutputFile
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import EncodingOptions, decode, decode_mask, encode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

DOUBLES = EngineProvider(FAULTY, WorkerSpec(queue="cpu"))
PAGE = resource_path("config", "pipeline.toml").parents[1] / "docs" / "operations" / "outpaint.md"


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def _run(share: Share, provider: EngineProvider, op: str, settings: dict[str, object], **fields: object) -> Outcome:
    return run_job(share.job((op, settings), **fields), provider, lambda progress: None, lambda: False)


def _output(outcome: Outcome, role: str) -> OutputFile:
    (output,) = [output for output in outcome.outputs if output.role == role]
    return output


def test_the_record_has_the_count_of_original_pixels(share: Share) -> None:
    """All pixels are counted, and no pixel has changed."""
    outcome = _run(share, DOUBLES, "frame", {"px": 3})
    assert outcome.fault is None
    findings = outcome.steps[0].findings
    assert (findings["old_pixels"], findings["old_changed"]) == (8 * 12, 0)


def test_a_result_that_changes_the_original_is_discarded(share: Share) -> None:
    """One pixel is enough, and the sentence gives the number."""
    outcome = _run(share, DOUBLES, "frame", {"spill": 4})
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert outcome.fault.sentence.startswith("edit.1 (frame): It changed 4 pixels of hero.png itself, so its result is discarded")
    assert outcome.outputs == ()


def test_a_result_of_another_size_is_discarded_unless_declared(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation must set ``changes_geometry``, since a change of size would evade the proof outside the mask."""
    monkeypatch.setattr(Double, "changes_geometry", False)
    outcome = _run(share, DOUBLES, "double", {})
    assert outcome.fault is not None
    assert outcome.fault.sentence.startswith("edit.1 (double): It changed the size of hero.png from 12 x 8 px to 24 x 16 px")
    assert outcome.outputs == ()


def test_a_step_that_adds_no_pixels_needs_no_proof(share: Share) -> None:
    """The file itself moves on."""
    outcome = _run(share, DOUBLES, "frame", {"px": 0})
    assert outcome.is_unchanged
    assert "old_pixels" not in outcome.steps[0].findings


def _provider(folder: Path) -> EngineProvider:
    """Return a provider whose models need no weights."""
    models = folder / "models.toml"
    models.write_text('[defaults]\ninpaint_beyond = ["p"]\n[models.p]\nkind = "inpaint"\ndriver = "patchmatch"\nlicence = "MIT"\n')
    return EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(folder)), WorkerSpec(queue="cpu"))


@pytest.mark.parametrize("depth", [8, 16])
def test_outpaint_as_in_the_manual_keeps_the_original_at_its_depth(share: Share, tmp_path: Path, depth: int) -> None:
    """In both examples of the manual, every original code keeps its place, and the mask moves with the picture."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
    before = picture(40, 48, depth)
    for block in PAGE.read_text().split("```toml\n")[1:]:
        (step,) = read_brief(block.split("```")[0].encode(), "brief.toml", pipeline).steps_by_stage["edit"]
        share.put("inbox/hero.png", png(before, depth))
        share.put("inbox/hero.mask.png", png(left_half(40, 48)))
        inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.png", "mask", "mask")]
        outcome = _run(share, _provider(tmp_path), step.op, dict(step.settings), inputs=inputs)
        assert outcome.fault is None
        findings = outcome.steps[0].findings
        assert (findings["old_pixels"], findings["old_changed"], findings["generated"]) == (40 * 48, 0, False)
        assert outcome.steps[0].engine is not None
        assert outcome.steps[0].engine["name"] == "p"
        left, top, width, height = findings["placed"]  # type: ignore[misc, union-attr]
        after = decode(Path(_output(outcome, "picture").path).read_bytes(), "out.png", 100_000)
        assert after.depth == depth
        original = np.s_[top : top + height, left : left + width]
        assert np.array_equal(after.to_codes()[original], decode(png(before, depth), "in.png", 100_000).to_codes())
        mask = decode_mask(Path(_output(outcome, "mask").path).read_bytes(), "out.mask.png", 100_000)
        assert np.array_equal(mask[original], left_half(40, 48))
        assert mask.sum() == left_half(40, 48).sum()


@pytest.mark.parametrize("prompt", ["a quiet lake", ""])
def test_a_generating_model_is_used_if_present(share: Share, tmp_path: Path, prompt: str) -> None:
    """The model works window by window at its native size, with or without a prompt, and the original is unchanged."""
    models = tmp_path / "models.toml"
    models.write_text(tiny.models_toml({"fill": "sdxl-inpaint"}))
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(tmp_path)), WorkerSpec(queue="cpu"))
    before = picture(80, 72, 16)
    share.put("inbox/hero.png", png(before, 16))
    outcome = _run(share, provider, "outpaint", {"aspect": "16:9", **({"prompt": prompt} if prompt else {})})
    assert outcome.fault is None
    findings, engine = outcome.steps[0].findings, outcome.steps[0].engine
    assert (findings["old_pixels"], findings["old_changed"], findings["generated"]) == (80 * 72, 0, True)
    assert "note" not in findings
    assert engine is not None
    assert engine["name"] == "fill"
    windows = findings["windows"]
    assert isinstance(windows, list)
    assert len(windows) > 2
    after = decode(Path(_output(outcome, "picture").path).read_bytes(), "out.png", 100_000)
    assert (after.width, after.height) == (142, 80)
    assert np.array_equal(after.to_codes()[:, 35 : 35 + 72], decode(png(before, 16), "in.png", 100_000).to_codes())
    assert after.pixels[:, :30].std() > 0.01


def test_a_model_of_a_fixed_size_works_window_by_window_on_16_bits_and_alpha(share: Share) -> None:
    """With MI-GAN the original codes and their alpha are kept, and the added part has more than 8 bits."""
    weights = WeightsRegistry(read_models(resource_path("config", "models.toml")), default_models_folder())
    if not weights.is_available("migan"):
        pytest.skip("the weights of migan are not here; run: goldsmith models fetch migan")
    provider = EngineProvider(
        WorkerConfig(models_file=str(resource_path("config", "models.toml")), weights_folder=str(weights.folder)), WorkerSpec(queue="cpu")
    )
    levels = np.linspace(0.2, 0.7, 60, dtype=np.float32)[None, :, None] + np.linspace(0, 0.2, 50, dtype=np.float32)[:, None, None]
    alpha = np.ones((50, 60), np.float32)
    alpha[:20, 50:] = 0.5
    before = Picture(freeze(np.repeat(levels, 3, 2)), alpha=freeze(alpha), depth=16)
    share.put("inbox/hero.png", encode(before, EncodingOptions()))
    outcome = _run(share, provider, "outpaint", {"right": "30%", "model": "migan"})
    assert outcome.fault is None
    assert (outcome.steps[0].findings["old_pixels"], outcome.steps[0].findings["old_changed"]) == (50 * 60, 0)
    after = decode(Path(_output(outcome, "picture").path).read_bytes(), "out.png", 100_000)
    assert after.alpha is not None
    assert np.array_equal(after.to_codes()[:, :60], before.to_codes())
    assert after.alpha[:20, 50:].min() == after.alpha[:20, 50:].max() == pytest.approx(0.5, abs=1e-4)
    assert (after.alpha[20:] == 1).all()
    assert np.unique(after.to_codes()[:, 60:] % 257).size > 100
