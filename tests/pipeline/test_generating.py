"""regenerate in the pipeline, on real models with tiny random weights: from a prompt, from a picture, with reference pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from doubles import tiny
from doubles.commission import PIPELINE
from doubles.forked_workers import fork_diffusion_worker
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from doubles.tiny_loras import lora
from goldsmith.picture.codec import decode

BRIEF = 'prompt = "a red chair"\nseed = 7\n[[generate]]\nop = "regenerate"\n'


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since importing the libraries takes most of the time."""
    with studio_at(tmp_path_factory.mktemp("studio")) as studio:
        studio.spawn = fork_diffusion_worker
        studio.write_pipeline(PIPELINE)
        models = {"sdxl": "sdxl", "klein": "flux2-klein", "kontext": "flux-kontext"}
        studio.put("config/models.toml", tiny.models_toml(models))
        yield studio


def have_moved_on(studio: Studio, *stems: str) -> bool:
    """Return whether each of these pictures is in the next folder, with its brief and no other file."""
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".png", ".toml")]
    return [name for name in studio.folder("selected") if name.split(".")[0].split("_")[0] in stems] == sorted(names)


def wait_for_note(studio: Studio, asset: str) -> str:
    studio.until(lambda: studio.note(asset) or studio.events_of("committed", picture=asset), f"a note on {asset}")
    return studio.note(asset)


def test_equal_briefs_make_equal_pictures(studio: Studio) -> None:
    """The first suitable model makes four candidates, and one of them moves on; a second brief gives the same bytes."""
    for name in ("one", "two"):
        studio.put(f"inbox/{name}.toml", BRIEF + 'candidates = 4\nsteps = 2\naspect = "4:3"\n')
    studio.until_idle()
    assert have_moved_on(studio, "one", "two")
    assert studio.read("selected/one.png") == studio.read("selected/two.png")
    assert len([path for path in studio.archived() if "one_candidate" in path]) == 4
    step = studio.first_step("inbox/one.toml")
    assert step["engine"]["name"] == "sdxl"
    assert step["findings"]["made"]["steps"] == 2
    assert len({each["seed"] for each in step["findings"]["candidates"]}) == 4


def test_an_archived_candidate_is_made_again_by_its_seed(studio: Studio) -> None:
    """Check another brief of another name, and that the picture is the same to the last code."""
    studio.put("inbox/first.toml", BRIEF + "candidates = 3\nsteps = 2\n")
    studio.until_idle()
    archived = next(path for path in studio.archived() if "first_candidate" in path and path.endswith(".png"))
    number = int(archived.removesuffix(".png")[-3:])
    candidates = studio.first_step("inbox/first.toml")["findings"]["candidates"]
    seed = next(each["seed"] for each in candidates if each["number"] == number)
    for stem, line in (("exact", f"seeds = [{seed}]\n"), ("numbered", f"number = {number}\n")):
        studio.put(f"inbox/{stem}.toml", BRIEF + line + "steps = 2\n")
    studio.until_idle()
    folder = next(studio.at("archive").rglob(archived.rsplit("/", 1)[1])).parent
    expected = decode((folder / archived.rsplit("/", 1)[1]).read_bytes(), "one.png", 10**6).to_codes()
    for stem in ("exact", "numbered"):
        assert np.array_equal(decode(studio.read(f"selected/{stem}.png"), "two.png", 10**6).to_codes(), expected), stem


def test_a_picture_is_the_starting_point_and_the_strength_matters(studio: Studio) -> None:
    """Two strengths give two different pictures."""
    for name, strength in (("little", 0.3), ("much", 0.95)):
        studio.put(f"inbox/{name}.png", png(1, 64, 64))
        studio.put(f"inbox/{name}.toml", BRIEF + f"strength = {strength}\nsteps = 4\n")
    studio.until_idle()
    assert have_moved_on(studio, "little", "much")
    assert studio.read("selected/little.png") != studio.read("selected/much.png")
    assert studio.first_step("inbox/little.png")["settings"]["strength"] == 0.3


def test_reference_pictures_are_used_if_the_model_takes_them(studio: Studio) -> None:
    """A reference changes the result; with a model that takes none, the brief gets a note."""
    studio.put("inbox/plain.toml", BRIEF + 'model = "klein"\n')
    studio.put("inbox/shown.toml", BRIEF + 'model = "klein"\n')
    studio.put("inbox/shown.ref.png", png(3, 64, 64))
    studio.until_idle()
    assert studio.read("selected/plain.png") != studio.read("selected/shown.png")
    assert "inbox/shown.ref.png" in studio.archived()
    studio.put("inbox/blind.ref.png", png(3, 64, 64))
    studio.put("inbox/blind.toml", BRIEF + 'model = "sdxl"\n')
    assert "it cannot use" in wait_for_note(studio, "inbox/blind.toml")


def test_a_model_that_edits_by_instruction_takes_the_picture(studio: Studio) -> None:
    """Such a model takes no strength: a brief that sets one gets a note."""
    studio.put("inbox/hero.png", png(1, 64, 64))
    studio.put("inbox/hero.toml", BRIEF + 'model = "kontext"\n')
    studio.until_event("committed", picture="inbox/hero.png")
    assert studio.first_step("inbox/hero.png")["engine"]["name"] == "kontext"
    studio.put("inbox/strong.png", png(1, 64, 64))
    studio.put("inbox/strong.toml", BRIEF + 'model = "kontext"\nstrength = 0.5\n')
    assert "kontext" in wait_for_note(studio, "inbox/strong.png")


def test_a_lora_is_applied_by_its_name_in_the_library(studio: Studio) -> None:
    """The LoRA changes the picture according to its weight, the record has its hash, and later jobs without it are not affected."""
    file = lora(studio.root / "library" / "film.safetensors", "sdxl")
    studio.put("library/loras/film.safetensors", file.read_bytes())
    with_lora = BRIEF + 'model = "sdxl"\nloras = [{{ name = "film", weight = {weight} }}]\n'
    for stem, brief in (("bare", BRIEF), ("half", with_lora.format(weight=0.5)), ("full", with_lora.format(weight=1)), ("after", BRIEF)):
        studio.put(f"inbox/{stem}.toml", brief)
        studio.until_idle()
    bare, half, full, after = (studio.read(f"selected/{stem}.png") for stem in ("bare", "half", "full", "after"))
    assert len({bare, half, full}) == 3
    assert after == bare
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    findings = studio.first_step("inbox/half.toml")["findings"]
    assert findings["made"]["loras"] == [{"lora": "film", "weight": 0.5, "sha256": sha256}]
    assert findings["references"] == {"loras/film.safetensors": sha256}
    studio.put("inbox/lacking.toml", BRIEF + 'loras = [{ name = "flim" }]\n')
    assert "flim" in wait_for_note(studio, "inbox/lacking.toml")
    assert not studio.events_of("started", picture="inbox/lacking.toml")
