"""A face from the library to the file: found, swapped and measured by the real nets, with its consent on record; refused without one."""

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
from doubles.nets import drawing, knowing
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
HOUSE = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
CONSENT = 'person = "Anna Example"\nconsented_by = "Anna Example"\ndate = 2026-01-02\nscope = "tests"\n'


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def _weights() -> None:
    weights = WeightsRegistry(read_models(MODELS), default_models_folder())
    for name in ("yunet", "face-mesh", "sface"):
        if not weights.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")


@cache
def _photograph() -> Pixels:
    return data.astronaut().astype(np.float32) / np.float32(255)


@cache
def _portrait() -> Pixels:
    """The same astronaut as a library might have her: larger, tilted, darker and warmer."""
    turn = cv2.getRotationMatrix2D((224, 110), 10, 2.0)
    turn[:, 2] += (250 - 224, 260 - 110)
    turned = cv2.warpAffine(_photograph(), turn, (500, 540), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned**1.3 * np.float32((1, 0.9, 0.75)), np.float32)


@cache
def _broken() -> Pixels:
    """Her picture with a face that nobody would know: smeared over."""
    soft = cv2.GaussianBlur(_photograph(), (0, 0), 4)
    face = np.zeros((512, 512, 1), np.float32)
    cv2.ellipse(face, (224, 118), (36, 50), 0, 0, 360, 1, -1)
    return np.asarray(_photograph() + cv2.GaussianBlur(face, (0, 0), 5)[:, :, None] * (soft - _photograph()), np.float32)


def _run(
    share: Share, picture: Pixels, *, depth: int = 8, consent: str | None = CONSENT, shop: EngineProvider = HOUSE, **settings: Any
) -> Outcome:
    share.put("inbox/hero.png", png(picture, depth))
    share.put("library/faces/anna.png", png(_portrait()))
    if consent is not None:
        share.put("library/faces/anna.toml", consent.encode())
    job = share.job(("face_swap", {"face": "anna", **settings}), limits=GENEROUS)
    return run_job(job, shop, lambda progress: None, lambda: False)


def _plate(outcome: Outcome) -> Picture:
    assert outcome.fault is None, outcome.fault
    [output] = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "hero.png", 10_000_000)


def _step(outcome: Outcome) -> StepResult:
    assert outcome.fault is None, outcome.fault
    [step] = outcome.steps
    return step


@pytest.mark.parametrize("depth", [8, 16])
def test_a_face_that_was_lost_is_hers_again(share: Share, depth: int) -> None:
    """Likeness rises, and all of it goes on record: the measure, the consent with its digest, both files' hashes, three nets by hash."""
    _weights()
    outcome = _run(share, _broken(), depth=depth)
    step, plate = _step(outcome), _plate(outcome)
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
    also = step.engine["also"]
    assert isinstance(also, list)
    assert {step.engine["name"], *(one["name"] for one in also if isinstance(one, dict))} == {"yunet", "face-mesh", "sface"}
    assert plate.depth == depth
    eyes = (slice(95, 125), slice(195, 255))
    before = np.abs(_broken()[eyes] - _photograph()[eyes]).mean()
    assert np.abs(plate.pixels[eyes] - _photograph()[eyes]).mean() < 0.75 * before


def test_outside_the_region_not_a_code_changes_in_the_file(share: Share) -> None:
    """The lane counts as well, and says so on record."""
    _weights()
    outcome = _run(share, _broken(), where="box(0.3, 0.1, 0.3, 0.22)")
    plate, step = _plate(outcome), _step(outcome)
    outside = np.ones((512, 512), bool)
    outside[51:164, 154:307] = False
    before = decode(png(_broken()), "hero.png", 10_000_000)
    assert np.array_equal(plate.to_codes()[outside], before.to_codes()[outside])
    assert step.findings["outside_changed"] == 0
    assert step.findings["outside_pixels"] >= outside.sum() * 0.99  # type: ignore[operator]


def test_the_same_job_gives_the_same_file(share: Share) -> None:
    """Byte for byte, so that a replay can tell."""
    _weights()
    files = [Path(_run(share, _broken()).outputs[0].path).read_bytes() for _ in range(2)]
    assert files[0] == files[1]


ENTRY = """
[models.ours]
kind = "swap"
driver = "swapper"
licence = "LicenseRef-ours"
[models.ours.swap]
identity = "who.onnx"
"""


def _house(folder: Path) -> EngineProvider:
    """The shipped house with a net of the user's own beside its weights."""
    for path in default_models_folder().iterdir():
        (folder / path.name).symlink_to(path)
    entry = ENTRY
    for path in (drawing(folder / "draw.onnx", 64), knowing(folder / "who.onnx")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        entry += f'[[models.ours.files]]\nname = "{path.name}"\nsha256 = "{sha256}"\nbytes = {path.stat().st_size}\n'
    (folder / "models.toml").write_text(MODELS.read_text() + entry)
    return EngineProvider(WorkerConfig(models_file=str(folder / "models.toml"), weights_folder=str(folder)), WorkerSpec(queue="cpu"))


def test_a_net_of_the_user_s_own_draws_and_is_held_to_the_same_rules(share: Share, tmp_path: Path) -> None:
    """This one draws half of the old face and a tint: measured, it is less like her than is asked, so it is held; else it is on record."""
    _weights()
    (tmp_path / "weights").mkdir()
    house = _house(tmp_path / "weights")
    held = _run(share, _broken(), shop=house, model="ours", min_likeness=0.95)
    assert held.fault is not None
    assert "The new face is not similar enough to anna" in held.fault.sentence
    assert held.fault.preview_path
    outcome = _run(share, _broken(), shop=house, model="ours", min_likeness=0)
    step = _step(outcome)
    assert step.engine is not None
    assert (step.engine["name"], step.engine["kind"], step.engine["side"]) == ("ours", "swap", 64)
    assert step.findings["outside_changed"] == 0
    assert isinstance(step.findings["consent"], dict)
    before = decode(png(_broken()), "hero.png", 10_000_000)
    changed = (_plate(outcome).to_codes() != before.to_codes()).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert 60 < rows.min() < rows.max() < 180
    assert 175 < columns.min() < columns.max() < 275


def test_a_picture_without_a_face_is_held(share: Share) -> None:
    """A cup of coffee is nobody."""
    _weights()
    outcome = _run(share, data.coffee().astype(np.float32) / np.float32(255))
    assert outcome.fault is not None
    assert outcome.fault.sentence == "edit.1 (face_swap): There is no face in the picture."


@pytest.mark.parametrize(
    ("consent", "said"),
    [
        (None, "library/faces/anna.toml is missing: no consent to use this face is on file."),
        ('person = "Anna"\n', "library/faces/anna.toml has 3 problems"),
        (CONSENT + "expires = 2026-01-03\n", "library/faces/anna.toml: expires is 2026-01-03, so the consent to use this face has ended."),
    ],
)
def test_the_lane_asks_for_the_consent_itself(share: Share, consent: str | None, said: str) -> None:
    """Whatever was said when the brief was read: no net is opened, no picture looked at, and the job's fault says why."""
    outcome = _run(share, _broken(), consent=consent, shop=EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert said in outcome.fault.sentence
    assert outcome.outputs == ()


def test_a_face_that_is_no_picture_is_said(share: Share) -> None:
    """With its file's name."""
    share.put("library/faces/ben.png", b"no picture")
    share.put("library/faces/ben.toml", CONSENT.encode())
    share.put("inbox/hero.png", png(_broken()))
    job = share.job(("face_swap", {"face": "ben"}))
    outcome = run_job(job, EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")), lambda progress: None, lambda: False)
    assert outcome.fault is not None
    assert "ben.png" in outcome.fault.sentence
