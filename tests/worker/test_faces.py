"""A face swap from the library to the file with real models: with its consent on record, and refused without consent."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from doubles.jobs import GENEROUS, Share, png
from doubles.nets import embedding_net, swap_net
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome, StepResult
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, Pixels
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

MODELS = resource_path("config", "models.toml")
PROVIDER = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
CONSENT = 'person = "Anna Example"\nconsented_by = "Anna Example"\ndate = 2026-01-02\nscope = "tests"\n'


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def _require_weights() -> None:
    """Skip the test if the weights are missing."""
    weights = WeightsRegistry(read_models(MODELS), default_models_folder())
    for name in ("yunet", "face-mesh", "sface"):
        if not weights.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")


@cache
def _photograph() -> Pixels:
    return data.astronaut().astype(np.float32) / np.float32(255)


@cache
def _portrait() -> Pixels:
    """Return the library's picture of the same astronaut: larger, tilted, darker and warmer."""
    turn = cv2.getRotationMatrix2D((224, 110), 10, 2.0)
    turn[:, 2] += (250 - 224, 260 - 110)
    turned = cv2.warpAffine(_photograph(), turn, (500, 540), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned**1.3 * np.float32((1, 0.9, 0.75)), np.float32)


@cache
def _with_blurred_face() -> Pixels:
    """Return the photograph with the face blurred beyond recognition."""
    soft = cv2.GaussianBlur(_photograph(), (0, 0), 4)
    face = np.zeros((512, 512, 1), np.float32)
    cv2.ellipse(face, (224, 118), (36, 50), 0, 0, 360, 1, -1)
    return np.asarray(_photograph() + cv2.GaussianBlur(face, (0, 0), 5)[:, :, None] * (soft - _photograph()), np.float32)


def _run(
    share: Share, picture: Pixels, *, depth: int = 8, consent: str | None = CONSENT, provider: EngineProvider = PROVIDER, **settings: Any
) -> Outcome:
    share.put("inbox/hero.png", png(picture, depth))
    share.put("library/faces/anna.png", png(_portrait()))
    if consent is not None:
        share.put("library/faces/anna.toml", consent.encode())
    job = share.job(("face_swap", {"face": "anna", **settings}), limits=GENEROUS)
    return run_job(job, provider, lambda progress: None, lambda: False)


def _decode_picture(outcome: Outcome) -> Picture:
    assert outcome.fault is None, outcome.fault
    [output] = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "hero.png", 10_000_000)


def _step(outcome: Outcome) -> StepResult:
    assert outcome.fault is None, outcome.fault
    [step] = outcome.steps
    return step


@pytest.mark.parametrize("depth", [8, 16])
def test_a_blurred_face_is_restored(share: Share, depth: int) -> None:
    """Likeness rises. The record has the likeness, the consent with its digest, the hashes of both files, and three models."""
    _require_weights()
    outcome = _run(share, _with_blurred_face(), depth=depth)
    step, decoded = _step(outcome), _decode_picture(outcome)
    likeness = step.findings["likeness"]
    assert isinstance(likeness, dict)
    assert likeness["after"] > 0.85  # type: ignore[operator]
    assert likeness["after"] > likeness["before"] + 0.1  # type: ignore[operator]
    consent = step.findings["consent"]
    assert isinstance(consent, dict)
    assert (consent["person"], consent["scope"], consent["date"]) == ("Anna Example", "tests", "2026-01-02")
    assert consent["sha256"] == hashlib.sha256(CONSENT.encode()).hexdigest()
    references = step.findings["references"]
    assert isinstance(references, dict)
    assert references == {"faces/anna.toml": consent["sha256"], "faces/anna.png": hashlib.sha256(png(_portrait())).hexdigest()}
    assert step.engine is not None
    other_engines = step.engine["other_engines"]
    assert isinstance(other_engines, list)
    names = {step.engine["name"], *(engine["name"] for engine in other_engines if isinstance(engine, dict))}
    assert names == {"yunet", "face-mesh", "sface"}
    assert decoded.depth == depth
    eyes = (slice(95, 125), slice(195, 255))
    before = np.abs(_with_blurred_face()[eyes] - _photograph()[eyes]).mean()
    assert np.abs(decoded.pixels[eyes] - _photograph()[eyes]).mean() < 0.75 * before


def test_outside_the_region_no_code_of_the_file_changes(share: Share) -> None:
    """The worker counts the changes too, and the record has its count."""
    _require_weights()
    outcome = _run(share, _with_blurred_face(), where="box(0.3, 0.1, 0.3, 0.22)")
    decoded, step = _decode_picture(outcome), _step(outcome)
    outside = np.ones((512, 512), bool)
    outside[51:164, 154:307] = False
    before = decode(png(_with_blurred_face()), "hero.png", 10_000_000)
    assert np.array_equal(decoded.to_codes()[outside], before.to_codes()[outside])
    assert step.findings["outside_changed"] == 0
    assert step.findings["outside_pixels"] >= outside.sum() * 0.99  # type: ignore[operator]


def test_the_same_job_gives_the_same_file(share: Share) -> None:
    """The files are equal byte for byte, so that a replay can compare them."""
    _require_weights()
    files = [Path(_run(share, _with_blurred_face()).outputs[0].path).read_bytes() for _ in range(2)]
    assert files[0] == files[1]


ENTRY = """
[models.ours]
kind = "swap"
driver = "swapper"
licence = "LicenseRef-ours"
[models.ours.swap]
identity = "who.onnx"
"""


def _provider_with_own_model(folder: Path) -> EngineProvider:
    """Return a provider with the shipped models and a model of the user's own."""
    for path in default_models_folder().iterdir():
        (folder / path.name).symlink_to(path)
    entry = ENTRY
    for path in (swap_net(folder / "draw.onnx", 64), embedding_net(folder / "who.onnx")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        entry += f'[[models.ours.files]]\nname = "{path.name}"\nsha256 = "{sha256}"\nbytes = {path.stat().st_size}\n'
    (folder / "models.toml").write_text(MODELS.read_text() + entry)
    return EngineProvider(WorkerConfig(models_file=str(folder / "models.toml"), weights_folder=str(folder)), WorkerSpec(queue="cpu"))


def test_a_model_of_the_user_is_measured_by_the_same_rules(share: Share, tmp_path: Path) -> None:
    """The model draws half of the old face and a tint. Its picture is held for too little likeness; with a lower limit it passes."""
    _require_weights()
    (tmp_path / "weights").mkdir()
    own_provider = _provider_with_own_model(tmp_path / "weights")
    held = _run(share, _with_blurred_face(), provider=own_provider, model="ours", min_likeness=0.95)
    assert held.fault is not None
    assert "The new face is not similar enough to anna" in held.fault.sentence
    assert held.fault.preview_path
    outcome = _run(share, _with_blurred_face(), provider=own_provider, model="ours", min_likeness=0)
    step = _step(outcome)
    assert step.engine is not None
    assert (step.engine["name"], step.engine["kind"], step.engine["side"]) == ("ours", "swap", 64)
    assert step.findings["outside_changed"] == 0
    assert isinstance(step.findings["consent"], dict)
    before = decode(png(_with_blurred_face()), "hero.png", 10_000_000)
    changed = (_decode_picture(outcome).to_codes() != before.to_codes()).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert 60 < rows.min() < rows.max() < 180
    assert 175 < columns.min() < columns.max() < 275


def test_a_picture_without_a_face_is_held(share: Share) -> None:
    """The picture shows a cup of coffee."""
    _require_weights()
    outcome = _run(share, data.coffee().astype(np.float32) / np.float32(255))
    assert outcome.fault is not None
    assert outcome.fault.sentence == "edit.1 (face_swap): There is no face in the picture."


@pytest.mark.parametrize(
    ("consent", "message"),
    [
        (None, "library/faces/anna.toml is missing: no consent to use this face is on file."),
        ('person = "Anna"\n', "library/faces/anna.toml has 3 problems"),
        (CONSENT + "expires = 2026-01-03\n", "library/faces/anna.toml: expires is 2026-01-03, so the consent to use this face has ended."),
    ],
)
def test_the_worker_checks_the_consent_itself(share: Share, consent: str | None, message: str) -> None:
    """The worker does not trust the check of the brief. No model is opened, and the job's fault gives the reason."""
    outcome = _run(share, _with_blurred_face(), consent=consent, provider=EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert message in outcome.fault.sentence
    assert outcome.outputs == ()


def test_a_face_file_that_is_no_picture_is_refused(share: Share) -> None:
    """The sentence has the file's name."""
    share.put("library/faces/ben.png", b"no picture")
    share.put("library/faces/ben.toml", CONSENT.encode())
    share.put("inbox/hero.png", png(_with_blurred_face()))
    job = share.job(("face_swap", {"face": "ben"}))
    outcome = run_job(job, EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")), lambda progress: None, lambda: False)
    assert outcome.fault is not None
    assert "ben.png" in outcome.fault.sentence
