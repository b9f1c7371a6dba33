"""regenerate's second pass: a model with tiny weights draws, a network enlarges, and the model draws again tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles import ncnn, tiny
from doubles.commission import PIPELINE
from doubles.forked_workers import fork_diffusion_worker
from doubles.jobs import png
from doubles.studio import Studio, studio_at
from doubles.tiny_engines import picture
from goldsmith.ops.regenerate.sizing import candidate_seed
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture
from goldsmith.picture.resample import resize
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.worker.job_runner import step_seed

BRIEF = 'prompt = "a red chair"\nseed = 7\n[[generate]]\nop = "regenerate"\nsteps = 3\n'
REFINED = BRIEF + "refine = 2\nrefine_strength = {strength}\n"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since importing the libraries takes most of the time."""
    folder = tmp_path_factory.mktemp("studio")
    with studio_at(folder, models_dir=str(folder / "models")) as studio:
        studio.spawn = fork_diffusion_worker
        studio.write_pipeline(PIPELINE)
        studio.put("config/models.toml", tiny.models_toml({"sdxl": "sdxl"}) + ncnn.plain_enlargement(folder / "models"))
        yield studio


def read_picture(studio: Studio, path: str) -> Picture:
    return decode(studio.read(path), path, 10**6)


def test_a_prompt_becomes_a_picture_of_twice_the_size(studio: Studio) -> None:
    """The record names both engines, a second run gives the same bytes, and more strength changes more."""
    studio.put("inbox/plain.toml", BRIEF)
    for stem, strength in (("one", 0.4), ("two", 0.4), ("more", 0.9)):
        studio.put(f"inbox/{stem}.toml", REFINED.format(strength=strength))
    studio.until_idle()
    plain, weak, strong = (read_picture(studio, f"selected/{stem}.png").pixels for stem in ("plain", "one", "more"))
    assert (plain.shape, weak.shape, strong.shape) == ((64, 64, 3), (128, 128, 3), (128, 128, 3))
    assert studio.read("selected/one.png") == studio.read("selected/two.png")
    step = studio.first_step("inbox/one.toml")
    assert (step["engine"]["name"], [other["name"] for other in step["engine"]["other_engines"]]) == ("sdxl", ["plain-x2"])
    refined = step["findings"]["refined"]
    assert (refined["upscaler"], refined["scale"], refined["size"], refined["tiles"]) == ("plain-x2", 2, [128, 128], 9)
    assert step["findings"]["candidates"] == [{"number": 1, "seed": candidate_seed(step_seed(7, 1), 1)}]
    enlarged = np.clip(resize(plain, 128, 128, "linear"), 0, 1)
    weak_change, strong_change = (float(np.abs(pixels - enlarged).mean()) for pixels in (weak, strong))
    assert 0.002 < weak_change < strong_change
    assert np.abs(gaussian_blur(weak, 12) - gaussian_blur(enlarged, 12)).mean() < 0.01


def test_a_picture_of_sixteen_bits_keeps_its_depth(studio: Studio) -> None:
    """The brief gives a strength, a second pass and a size."""
    original = picture(3, 96, 96)
    studio.put("inbox/hero.png", png(original, 16))
    studio.put("inbox/hero.toml", REFINED.format(strength=0.3) + "strength = 0.05\nsize = [150, 150]\n")
    studio.until_idle()
    result = read_picture(studio, "selected/hero.png")
    assert (result.width, result.height, result.depth) == (150, 150, 16)
    assert len(np.unique(result.to_codes())) > 256
    assert studio.first_step("inbox/hero.png")["findings"]["refined"]["tiles"] == 9


def test_the_second_pass_reports_progress_per_tile_and_can_be_cancelled(studio: Studio) -> None:
    """The progress never falls. A brief that is deleted during the second pass makes no picture."""
    studio.put("inbox/whole.toml", REFINED.format(strength=0.5))
    studio.until_idle()
    fractions = [each["fraction"] for each in studio.events_of("progress", picture="inbox/whole.toml") if each["op"] == "regenerate"]
    assert fractions == sorted(fractions)
    studio.put("inbox/gone.toml", REFINED.format(strength=0.5).replace("steps = 3", "steps = 200"))
    studio.until(
        lambda: [each for each in studio.events_of("progress", picture="inbox/gone.toml") if each["fraction"] > 0.5], "the second pass"
    )
    studio.at("inbox/gone.toml").unlink()
    studio.until_idle()
    assert not [name for name in studio.folder("selected") if name.startswith("gone")]


def test_a_missing_upscaler_is_reported_before_any_work(tmp_path: Path) -> None:
    """The note gives the command that fetches the upscaler, before a model has drawn for minutes."""
    with studio_at(tmp_path, models_dir=str(tmp_path / "models")) as studio:
        studio.write_pipeline(PIPELINE)
        text = tiny.models_toml({"sdxl": "sdxl"}) + ncnn.plain_enlargement(tmp_path / "models")
        studio.put("config/models.toml", text)
        for path in (tmp_path / "models").iterdir():
            path.unlink()
        studio.put("inbox/hero.toml", REFINED.format(strength=0.5))
        studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
        assert "goldsmith models fetch plain-x2" in studio.note("inbox/hero.toml")
        assert not studio.events_of("started")
