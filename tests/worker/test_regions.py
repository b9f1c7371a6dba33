"""A brief names an object in the picture, and the step works only there, from file to file, without a painted mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from doubles.jobs import Share, left_half, png
from goldsmith.brief.brief import read_brief
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.steps import Step
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.availability import build_availability
from goldsmith.library.library import Library
from goldsmith.picture.codec import decode
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

PIPELINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
MODELS = resource_path("config", "models.toml")
PAGE = MODELS.parents[1] / "docs" / "regions.md"
WEIGHTS = WeightsRegistry(read_models(MODELS), default_models_folder())
PROVIDER = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def require_weights(*names: str) -> None:
    """Skip the test if the weights of the model are not on this machine."""
    for name in names:
        if not WEIGHTS.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")


def photograph(name: str) -> NDArray[np.float32]:
    """Return one of scikit-image's pictures, (h, w, 3), display-encoded 0..1."""
    return getattr(data, name)()[:, :, :3].astype(np.float32) / np.float32(255)  # type: ignore[no-any-return]


def run_step(share: Share, name: str, op: str, settings: dict[str, Any]) -> Outcome:
    share.put("inbox/hero.png", png(photograph(name)))
    return run_job(share.job((op, settings)), PROVIDER, lambda progress: None, lambda: False)


def result(outcome: Outcome) -> NDArray[np.float32]:
    """Return the pixels of the result, (h, w, 3), display-encoded 0..1."""
    (output,) = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "out.png", 10_000_000).pixels


def example(number: int) -> Step:
    """Return the only step of an example of the manual's page on regions."""
    block = PAGE.read_text().split("```toml\n")[number].split("```")[0]
    [steps] = read_brief(block.encode(), "brief.toml", PIPELINE).steps_by_stage.values()
    [step] = steps
    return step


def test_an_object_in_the_background_is_erased_without_a_mask(share: Share) -> None:
    """In the manual's example the model beside the astronaut is erased. She is unchanged, and the record names the engines."""
    require_weights("migan", "modnet", "yunet")
    step = example(1)
    assert step.op == "erase"
    outcome = run_step(share, "astronaut", step.op, dict(step.settings))
    assert outcome.fault is None
    before, after = photograph("astronaut"), result(outcome)
    assert np.array_equal(after[:, :300], before[:, :300])
    assert np.array_equal(after[330:, 300:480], before[330:, 300:480])  # her helmet reaches into the box
    assert np.abs(after - before)[60:200, 380:420].mean() > 0.1
    result_step = outcome.steps[0]
    assert (result_step.findings["outside_changed"], result_step.findings["regions"]) == (0, 1)
    assert result_step.engine is not None
    assert result_step.engine["name"] == "migan"
    assert [engine["name"] for engine in result_step.engine["other_engines"]] == ["modnet", "yunet"]  # type: ignore[union-attr, index, call-overload]
    assert "taken for people" in str(result_step.findings["found"])


def test_the_background_loses_its_colour_and_the_subject_keeps_it(share: Share) -> None:
    """In the manual's second example the astronaut is unchanged."""
    require_weights("modnet", "yunet")
    step = example(2)
    outcome = run_step(share, "astronaut", step.op, dict(step.settings))
    assert outcome.fault is None
    before, after = photograph("astronaut"), result(outcome)
    assert np.array_equal(after[200:400, 120:250], before[200:400, 120:250])
    assert np.ptp(after[0:150, 0:30], axis=2).max() < 0.02
    assert np.ptp(before[0:150, 0:30], axis=2).max() > 0.3


def test_the_same_pixels_are_searched_once(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """One search serves the step, the proof and the next step on the same picture."""
    require_weights("yunet")
    kinds: list[str] = []
    get = EngineProvider.get

    def record_kind(provider: EngineProvider, need: Any, on_note: Any) -> Any:
        kinds.append(need.kind.name)
        return get(provider, need, on_note)

    monkeypatch.setattr(EngineProvider, "get", record_kind)
    share.put("inbox/hero.png", png(photograph("astronaut")))
    job = share.job(("sharpen", {"where": "face", "amount": 0}), ("sharpen", {"where": "face | left & face"}))
    outcome = run_job(job, PROVIDER, lambda progress: None, lambda: False)
    assert outcome.fault is None
    assert kinds == ["faces", "mesh"]
    first, second = outcome.steps
    assert (first.engine, first.findings) == (None, {})  # amount = 0 changes nothing, so no engine searches
    assert second.findings["outside_changed"] == 0
    assert second.engine is not None
    assert second.engine["name"] == "yunet"
    assert 0 < second.findings["found"]["face"]["share"] < 0.1  # type: ignore[index, call-overload, operator]


def test_a_missing_object_is_refused_in_one_sentence(share: Share) -> None:
    """The fault names the step, the object, the engine and the remedy, and there is no result."""
    require_weights("yunet")
    outcome = run_step(share, "coffee", "erase", {"where": "face & left"})
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert outcome.fault.sentence == (
        'edit.1 (erase): There is no face to be found in hero.png (looked for by yunet), so where = "face & left" is nowhere in it.'
    )
    assert 'where = "face | mask"' in outcome.fault.remedy
    assert outcome.outputs == ()


def test_a_painted_mask_replaces_a_missing_object(share: Share) -> None:
    """The remedy of the fault works, because the union still has the mask."""
    require_weights("yunet")
    share.put("inbox/hero.png", png(photograph("coffee")))
    share.put("inbox/hero.mask.png", png(left_half(400, 600)))
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.png", "mask", "mask")]
    outcome = run_job(share.job(("sharpen", {"where": "face | mask"}), inputs=inputs), PROVIDER, lambda progress: None, lambda: False)
    assert outcome.fault is None
    assert outcome.consumed_masks == ("mask",)
    assert np.array_equal(result(outcome)[:, 301:], photograph("coffee")[:, 301:])
    assert not np.array_equal(result(outcome)[:, :299], photograph("coffee")[:, :299])


@pytest.mark.parametrize(
    ("where", "sentence", "fetch"),
    [
        ("face", "No model for finding faces has its weights on this machine.", "yunet"),
        ("background & left", "No model for finding the subject has its weights on this machine.", "u2net"),
        ("!hands", "No model for finding hands has its weights on this machine.", "hand-landmarks"),
        ("text | mask", "No model for reading text has its weights on this machine.", "pp-ocr"),
    ],
)
def test_missing_weights_are_reported_when_the_brief_is_read(tmp_path: Path, where: str, sentence: str, fetch: str) -> None:
    """The problem is transient and has the place and the command that fetches the weights."""
    availability = build_availability(WeightsRegistry(read_models(MODELS), tmp_path), Library(tmp_path))
    brief = f'[[grade]]\nop = "grade"\nsaturation = 0\nwhere = "{where}"\n'
    with pytest.raises(BriefError) as fault:
        read_brief(brief.encode(), "hero.toml", PIPELINE, availability)
    [problem] = fault.value.problems
    assert (problem.location, problem.is_transient) == ("grade.1", True)
    assert sentence in problem.sentence
    assert f"goldsmith models fetch {fetch}" in problem.sentence


def test_every_missing_engine_of_a_step_is_reported(tmp_path: Path) -> None:
    """Erasing faces needs a face detector and an inpainter."""
    availability = build_availability(WeightsRegistry(read_models(MODELS), tmp_path), Library(tmp_path))
    with pytest.raises(BriefError) as fault:
        read_brief(b'[[edit]]\nop = "erase"\nwhere = "face & background"\nmodel = "migan"\n', "hero.toml", PIPELINE, availability)
    sentences = " ".join(each.sentence for each in fault.value.problems)
    assert all(f"goldsmith models fetch {name}" in sentences for name in ("migan", "u2net", "yunet"))


# Crossed arms: cut out of the official portrait of 2012 by Pete Souza, a work of the United States government in the public domain.
CROSSED = Path(__file__).parents[1] / "doubles" / "hands.jpg"


def test_a_hand_is_found_in_a_photograph(share: Share) -> None:
    """The hand is found with all its fingers. Sleeve, jacket and tie stay bit for bit unchanged."""
    require_weights("hand-landmarks")
    picture = decode(CROSSED.read_bytes(), "hands.jpg", 10_000_000)
    share.put("inbox/hero.png", png(picture.pixels))
    outcome = run_job(share.job(("grade", {"where": "hands", "saturation": 0})), PROVIDER, lambda progress: None, lambda: False)
    assert outcome.fault is None
    before, after = picture.pixels, result(outcome)
    skin = (before[:, :, 0] - before[:, :, 2] > 0.2) & (np.mgrid[:379, :360][1] < 245)
    assert skin.sum() > 4000
    assert (np.ptp(after, axis=2)[skin] < 0.02).mean() > 0.95
    assert np.array_equal(after[:100], before[:100])
    assert np.array_equal(after[270:], before[270:])
    assert np.array_equal(after[:, :90], before[:, :90])
    step = outcome.steps[0]
    assert step.findings["outside_changed"] == 0
    region = step.findings["found"]["hands"]  # type: ignore[index, call-overload]
    assert region["count"] == 1  # type: ignore[index, call-overload]
    assert 0.05 < region["share"] < 0.12  # type: ignore[index, call-overload, operator]
