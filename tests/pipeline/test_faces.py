"""A brief that names a face, from its arrival on: told early what is missing, consent or weights, and free once it is there."""

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
HER = data.astronaut()[:260, 90:360].astype(np.float32) / np.float32(255)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Studio]:
    """A studio without any weights."""
    with studio_at(tmp_path, models_dir=str(tmp_path / "models")) as made:
        yield made


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio with the weights of this machine."""
    weights = WeightsRegistry(read_models(resource_path("config", "models.toml")), default_models_folder())
    for name in ("yunet", "face-mesh", "sface"):
        if not weights.is_available(name):
            pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")
    with studio_at(tmp_path, models_dir=str(default_models_folder())) as made:
        yield made


def _drop(studio: Studio, brief: str = BRIEF, place: str = "selected") -> None:
    studio.put(f"{place}/hero.toml", brief)
    studio.put(f"{place}/hero.png", png(HER))


def test_a_face_without_consent_is_told_at_once_and_goes_on_when_it_comes(studio: Studio) -> None:
    """No lane is troubled; nobody touches the picture again."""
    studio.put("library/faces/anna.png", png(HER))
    _drop(studio)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    note = studio.note("selected/hero.png")
    assert 'edit.1.face is "anna": library/faces/anna.toml is not there: nobody\'s consent to use this face is on file.' in note
    assert not studio.heard("started")
    studio.put("library/faces/anna.toml", CONSENT)
    studio.until(lambda: studio.folder("masked"), "the picture goes on")
    assert not studio.note("selected/hero.png")


def test_an_expired_consent_is_told_before_the_stage_it_is_for(studio: Studio) -> None:
    """Two stages earlier, in inbox/ already."""
    studio.put("library/faces/anna.png", png(HER))
    studio.put("library/faces/anna.toml", CONSENT + "expires = 2026-02-01\n")
    _drop(studio, '[[generate]]\nop = "denoise"\n' + BRIEF, "inbox")
    studio.until(lambda: "expires is 2026-02-01, so the consent to use this face has ended." in studio.note("inbox/hero.png"), "the note")
    assert not studio.heard("started")


def test_missing_weights_are_one_sentence_each_long_before_the_lane(bare: Studio) -> None:
    """What is missing and the command that gets it; an unknown model that should draw is told with the nearest."""
    bare.put("library/faces/anna.png", png(HER))
    bare.put("library/faces/anna.toml", CONSENT)
    _drop(bare)
    bare.until(lambda: bare.note("selected/hero.png"), "the note")
    note = bare.note("selected/hero.png")
    for task, name in (("finding faces", "yunet"), ("meshing faces", "face-mesh"), ("telling faces apart", "sface")):
        assert f"No model for {task} has its weights on this machine. Run: goldsmith models fetch {name}" in note
    assert not bare.heard("started")


def test_a_model_that_does_not_draw_faces_is_the_brief_s_fault(bare: Studio) -> None:
    """sface tells faces apart; nothing in the house draws them until somebody adds it."""
    bare.put("library/faces/anna.png", png(HER))
    bare.put("library/faces/anna.toml", CONSENT)
    _drop(bare, BRIEF + 'model = "sface"\n')
    bare.until(lambda: bare.note("selected/hero.png"), "the note")
    assert "The model 'sface' is for identity, not for swap." in bare.note("selected/hero.png")


@pytest.mark.parametrize("face", ["../anna", "/etc/passwd", "a/b", ".hidden"])
def test_a_face_is_a_name_and_never_a_path(bare: Studio, face: str) -> None:
    """A brief comes from whoever can write to the share."""
    _drop(bare, f'[[edit]]\nop = "face_swap"\nface = "{face}"\n')
    bare.until(lambda: bare.note("selected/hero.png"), "the note")
    assert "edit.1.face" in bare.note("selected/hero.png")
    assert not bare.heard("started")
