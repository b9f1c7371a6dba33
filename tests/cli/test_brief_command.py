"""goldsmith brief: the brief that makes a picture of another program again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from doubles.commandline import Goldsmith
from doubles.gated_generator import null_models
from doubles.studio import studio_at
from goldsmith.brief.brief import read_brief
from goldsmith.service.setup import load_setup

TEXT = """a "red" chair, <lora:film:0.5>, <lora:missing:1>
Negative prompt: blurry
Steps: 12, Sampler: Euler a, CFG scale: 6.5, Seed: 42, Size: 64x96, Model: {model}, Version: v1.10.1"""


def picture(path: Path, text: str, keyword: str = "parameters") -> Path:
    """Write a PNG with a text, as other programs do."""
    info = PngInfo()
    info.add_text(keyword, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((96, 64, 3), np.uint8)).save(path, pnginfo=info)
    return path


@pytest.fixture
def root(tmp_path: Path, goldsmith: Goldsmith) -> Path:
    """Return a root with two models and one LoRA."""
    assert goldsmith("init", tmp_path / "hot").code == 0
    (tmp_path / "hot/config/models.toml").write_text(null_models("sd-xl-base", "two"))
    (tmp_path / "hot/library/loras/film.safetensors").write_bytes(b"x")
    return tmp_path / "hot"


def test_the_brief_is_valid_and_says_what_it_cannot_repeat(root: Path, goldsmith: Goldsmith) -> None:
    """The model is known by its name in models.toml, the LoRA in the library is named, and the other is in a comment."""
    file = picture(root / "inbox/hero.png", TEXT.format(model="SD_XL_Base.safetensors"))
    result = goldsmith("brief", file, "--root", root)
    assert result.code == 0
    brief = read_brief(result.out.encode(), "hero.toml", load_setup(root, None).pipeline)
    assert brief.prompt == 'a "red" chair'
    (step,) = brief.steps_by_stage["generate"]
    assert dict(step.settings) == {
        "model": "sd-xl-base",
        "negative": "blurry",
        "steps": 12,
        "guidance": 6.5,
        "seeds": [42],
        "size": [64, 96],
        "loras": [{"name": "film", "weight": 0.5}],
    }
    comments = [line for line in result.out.splitlines() if line.startswith("#")]
    assert comments[0] == "# How A1111 made hero.png."
    assert any("“missing”" in line for line in comments)
    assert any("“Euler a”" in line for line in comments)


def test_an_unknown_model_is_in_a_comment(root: Path, goldsmith: Goldsmith) -> None:
    """The step then takes the default."""
    file = picture(root / "inbox/hero.png", TEXT.format(model="dreams\\x v8"))
    result = goldsmith("brief", file, "--root", root)
    assert "model =" not in result.out
    assert "# Its model is “dreams\\x v8”; config/models.toml has no such model, so the step takes the default." in result.out


def test_the_brief_is_laid_beside_the_picture_under_another_name(tmp_path: Path, goldsmith: Goldsmith) -> None:
    """Without a root near. An existing file is not overwritten, and a brief of the picture's own name would start from the picture."""
    file = picture(tmp_path / "hero.png", TEXT.format(model="x"))
    assert goldsmith("brief", file, "--write").code == 0
    assert "seeds = [" in (tmp_path / "hero_again.toml").read_text()
    again = goldsmith("brief", file, "--write")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_a_picture_that_says_nothing_is_refused(tmp_path: Path, goldsmith: Goldsmith) -> None:
    """So is a file that is no picture."""
    result = goldsmith("brief", picture(tmp_path / "hero.png", "a nice chair", "Description"))
    assert (result.code, "does not say how it was made" in result.err) == (3, True)
    (tmp_path / "text.png").write_text("x")
    assert goldsmith("brief", tmp_path / "text.png").code == 3
    assert goldsmith("brief", tmp_path / "nothing.png").code == 2


def test_the_brief_makes_a_picture_and_the_record_says_how_the_first_was_made(tmp_path: Path, goldsmith: Goldsmith) -> None:
    """A picture on its way in is read into the record; its brief, alone in the inbox, makes one of the same size from the same seed."""
    with studio_at(tmp_path / "studio") as studio:
        studio.put("config/models.toml", null_models("one"))
        file = picture(tmp_path / "hero.png", TEXT.format(model="one").replace("<lora:film:0.5>, ", ""))
        studio.put("inbox/first.png", file.read_bytes())
        studio.put("inbox/first.toml", '[[generate]]\nop = "select"\n')
        result = goldsmith("brief", file, "--root", studio.root)
        studio.put("inbox/again.toml", result.out)
        studio.until_idle()
        rows = {row.path: json.loads(json.dumps(row.record)) for row in studio.history()}
        generation = rows["inbox/first.png"]["facts"]["generation"]
        assert (generation["tool"], generation["seed"], generation["prompt"]) == ("A1111", 42, 'a "red" chair')
        step = rows["inbox/again.toml"]["steps"][0]
        assert (step["engine"]["name"], step["findings"]["candidates"]) == ("one", [{"number": 1, "seed": 42}])
        with Image.open(studio.at("selected/again.png")) as picture_again:
            assert picture_again.size == (64, 96)
