"""A brief that names a face: missing consent and missing weights are reported early, and the picture moves on once they exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from doubles.jobs import png
from doubles.studio import Studio, studio_at
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.files import resource_path

BRIEF = '[[edit]]\nop = "face_swap"\nface = "anna"\n'
CONSENT = 'person = "Anna"\nconsented_by = "Anna"\ndate = 2026-01-02\nscope = "tests"\n'
PHOTOGRAPH = data.astronaut()[:260, 90:360].astype(np.float32) / np.float32(255)


@pytest.fixture
def studio_without_weights(tmp_path: Path) -> Iterator[Studio]:
    """Yield a studio without any weights."""
    with studio_at(tmp_path, models_dir=str(tmp_path / "models")) as studio:
        yield studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Yield a studio with the weights of this machine."""
    weights = WeightsRegistry(read_models(resource_path("config", "models.toml")), default_models_folder())
    for name in ("yunet", "face-mesh", "sface"):
        if not weights.is_available(name):
            pytest.skip(f"the weights of {name} are missing; run: {fetch_command(name)}")
    with studio_at(tmp_path, models_dir=str(default_models_folder())) as studio:
        yield studio


def _drop(studio: Studio, brief: str = BRIEF, folder: str = "selected") -> None:
    studio.put(f"{folder}/hero.toml", brief)
    studio.put(f"{folder}/hero.png", png(PHOTOGRAPH))


def test_a_face_without_consent_is_reported_at_once_and_moves_on_when_the_consent_arrives(studio: Studio) -> None:
    """No worker starts the job, and nobody touches the picture again."""
    studio.put("library/faces/anna.png", png(PHOTOGRAPH))
    _drop(studio)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    note = studio.note("selected/hero.png")
    assert 'edit.1.face is "anna": library/faces/anna.toml is missing: no consent to use this face is on file.' in note
    assert not studio.events_of("started")
    studio.put("library/faces/anna.toml", CONSENT)
    studio.until(lambda: studio.folder("masked"), "the picture goes on")
    assert not studio.note("selected/hero.png")


def test_an_expired_consent_is_reported_before_its_stage(studio: Studio) -> None:
    """The note appears in inbox/, two stages earlier."""
    studio.put("library/faces/anna.png", png(PHOTOGRAPH))
    studio.put("library/faces/anna.toml", CONSENT + "expires = 2026-02-01\n")
    _drop(studio, '[[generate]]\nop = "denoise"\n' + BRIEF, "inbox")
    studio.until(lambda: "expires is 2026-02-01, so the consent to use this face has ended." in studio.note("inbox/hero.png"), "the note")
    assert not studio.events_of("started")


def test_each_missing_model_is_reported_in_one_sentence_before_any_work(studio_without_weights: Studio) -> None:
    """The sentence gives the task of the model and the command that fetches it."""
    studio_without_weights.put("library/faces/anna.png", png(PHOTOGRAPH))
    studio_without_weights.put("library/faces/anna.toml", CONSENT)
    _drop(studio_without_weights)
    studio_without_weights.until(lambda: studio_without_weights.note("selected/hero.png"), "the note")
    note = studio_without_weights.note("selected/hero.png")
    for task, name in (("finding faces", "yunet"), ("meshing faces", "face-mesh"), ("telling faces apart", "sface")):
        assert f"No model for {task} has its weights on this machine. Run: goldsmith models fetch {name}" in note
    assert not studio_without_weights.events_of("started")


def test_a_model_of_the_wrong_kind_is_reported(studio_without_weights: Studio) -> None:
    """sface identifies faces and cannot draw them."""
    studio_without_weights.put("library/faces/anna.png", png(PHOTOGRAPH))
    studio_without_weights.put("library/faces/anna.toml", CONSENT)
    _drop(studio_without_weights, BRIEF + 'model = "sface"\n')
    studio_without_weights.until(lambda: studio_without_weights.note("selected/hero.png"), "the note")
    assert "The model 'sface' is for identity, not for swap." in studio_without_weights.note("selected/hero.png")


@pytest.mark.parametrize("face", ["../anna", "/etc/passwd", "a/b", ".hidden"])
def test_a_face_is_a_name_and_never_a_path(studio_without_weights: Studio, face: str) -> None:
    """A brief may come from anyone with write access to the share, so paths are refused."""
    _drop(studio_without_weights, f'[[edit]]\nop = "face_swap"\nface = "{face}"\n')
    studio_without_weights.until(lambda: studio_without_weights.note("selected/hero.png"), "the note")
    assert "edit.1.face" in studio_without_weights.note("selected/hero.png")
    assert not studio_without_weights.events_of("started")
