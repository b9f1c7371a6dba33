"""A step whose model is missing is refused when its brief is read, and continues by itself once the weights arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import PIPELINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

MODELS = """
[names]
premium = "mine"
[defaults]
inpaint = ["patchmatch"]
inpaint_words = ["drawer"]
[models.patchmatch]
kind = "inpaint"
driver = "patchmatch"
licence = "MIT"
[models.mine]
kind = "generate"
driver = "null"
licence = "MIT"
folder = "{folder}"
[models.mine.diffusion]
family = "null"
can = ["inpaint"]
pixels = 65536
multiple = 8
steps = 1
guidance = 0
memory_mb = 1
picture_mb = 1
[models.drawer]
kind = "generate"
driver = "diffusers"
licence = "MIT"
folder = "{folder}"
[models.drawer.diffusion]
family = "sdxl"
can = ["inpaint"]
pixels = 65536
multiple = 8
steps = 1
guidance = 0
memory_mb = 1
picture_mb = 1
[models.null-x2]
kind = "upscale"
driver = "null"
scale = 2
licence = "MIT"
[[models.null-x2.files]]
name = "two.bin"
sha256 = "{sha256}"
bytes = 3
"""
BRIEF_WITH_MODEL = '[[edit]]\nop = "inpaint"\nmodel = "premium"\n'
BRIEF_WITH_PROMPT = '[[edit]]\nop = "inpaint"\nprompt = "a relaxed left hand"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path, models_dir=str(tmp_path / "models")) as new_studio:
        new_studio.write_pipeline(PIPELINE)
        text = MODELS.format(folder=tmp_path / "mine", sha256=hashlib.sha256(b"two").hexdigest())
        (new_studio.root / "config" / "models.toml").write_text(text)
        yield new_studio


def install_weights(folder: Path) -> None:
    """Install the weights of a model as a fetch does: complete, by one rename."""
    incoming = folder.with_name("incoming")
    (incoming / "unet").mkdir(parents=True)
    (incoming / "unet/model.safetensors").write_bytes(b"weights")
    (incoming / "model_index.json").write_text('{"unet": ["diffusers", "UNet"]}')
    incoming.rename(folder)


def drop(studio: Studio, brief: str) -> None:
    studio.put("selected/hero.mask.png", mask())
    studio.put("selected/hero.toml", brief)
    studio.put("selected/hero.png", png())


def test_a_missing_model_is_reported_and_its_arrival_starts_the_job(studio: Studio, tmp_path: Path) -> None:
    """Check that no worker starts before the weights arrive, and that the job then starts although the picture is untouched."""
    drop(studio, BRIEF_WITH_MODEL)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    sentence = "edit.1.model cannot be done here: The weights of the model 'premium' (mine) are not there: "
    assert sentence in studio.note("selected/hero.png")
    assert "It continues by itself once that is there." in studio.note("selected/hero.png")
    assert not studio.events_of("started")
    install_weights(tmp_path / "mine")
    studio.until(lambda: studio.folder("masked"), "the picture goes on")
    assert not studio.note("selected/hero.png")


def test_a_prompt_is_reported_if_no_model_with_weights_takes_prompts(studio: Studio, tmp_path: Path) -> None:
    """Check that the region is not filled from its surroundings; the job starts when a model that takes a prompt arrives."""
    drop(studio, BRIEF_WITH_PROMPT)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    sentence = "edit.1 has a prompt, and no model that takes a prompt has its weights on this machine. Run: goldsmith models fetch drawer"
    assert sentence in studio.note("selected/hero.png")
    assert not studio.events_of("started")
    install_weights(tmp_path / "mine")
    studio.until_event("started")


def test_inpainting_without_a_prompt_needs_no_weights(studio: Studio) -> None:
    """Inpaint while all weights are missing: the engine that ships with the program fills the mask."""
    drop(studio, '[[edit]]\nop = "inpaint"\n')
    studio.until(lambda: studio.folder("masked"), "inpainted")


def test_a_prompt_for_a_model_that_takes_none_is_a_problem_of_the_brief(studio: Studio) -> None:
    """Check that the note asks for a correction of the brief."""
    drop(studio, '[[edit]]\nop = "inpaint"\nmodel = "patchmatch"\nprompt = "a hand"\n')
    studio.until(lambda: "The model 'patchmatch' takes no prompt." in studio.note("selected/hero.png"), "the note")
    assert "Correct it and save it" in studio.note("selected/hero.png")


def test_a_missing_model_of_a_later_stage_is_reported_in_the_first(studio: Studio, tmp_path: Path) -> None:
    """Hold a brief for two stages in the first folder until the file of the second stage's model arrives."""
    studio.put("selected/hero.toml", '[[edit]]\nop = "sharpen"\n[[deliver]]\nop = "upscale"\nfactor = 2\nmodel = "null-x2"\n')
    studio.put("selected/hero.png", png())
    studio.until(lambda: "deliver.1.model cannot be done here" in studio.note("selected/hero.png"), "the note")
    assert "Run: goldsmith models fetch null-x2" in studio.note("selected/hero.png")
    (tmp_path / "models").mkdir(exist_ok=True)
    (tmp_path / "models" / ".coming").write_bytes(b"two")
    (tmp_path / "models" / ".coming").rename(tmp_path / "models" / "two.bin")
    studio.until(lambda: not studio.note("selected/hero.png"), "it goes on")


def test_corrupt_pins_hold_the_picture_that_needs_them(studio: Studio, tmp_path: Path) -> None:
    """Damage the pins while the daemon runs: the note names the file, and the picture moves on when the file is corrected."""
    install_weights(tmp_path / "mine")
    studio.start()
    (studio.root / "config" / "models.pins.toml").write_text("[mine\n")
    drop(studio, BRIEF_WITH_MODEL)
    studio.until(lambda: "models.pins.toml: this is not TOML" in studio.note("selected/hero.png"), "the note")
    (studio.root / "config" / "models.pins.toml").write_text("")
    studio.until(lambda: studio.folder("masked"), "the picture goes on")
