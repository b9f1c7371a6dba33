"""The pages about adding a stage and adding a model are true: the tests follow their steps to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from doubles import ncnn
from doubles.commandline import Goldsmith

DOCS = Path(__file__).parents[2] / "docs"


def _section(page: str, heading: str) -> str:
    """Return the text of a page between a heading and the next one."""
    return (DOCS / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _first_block(section: str) -> str:
    block = re.search(r"^```toml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


def _run(root: Path) -> None:
    """Run the daemon on the root until it has nothing left to do."""
    env = {**os.environ, "GOLDSMITH_QUIET": "0.1", "GOLDSMITH_BREATH": "0.05", "GOLDSMITH_GATHER": "0", "GOLDSMITH_CPU_WORKERS": "1"}
    command = [sys.executable, "-m", "goldsmith", "run", "--root", str(root), "--until-idle"]
    process = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900, check=False)
    assert process.returncode == 0, process.stderr


def _put_picture(path: Path) -> None:
    Image.effect_noise((48, 32), 40).convert("RGB").save(path)


def test_the_steps_of_adding_a_stage_add_it(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """The page's pipeline is valid, its new folder is created, and a picture that passes through it is enlarged."""
    (root / "config" / "models.toml").write_text(ncnn.plain_enlargement(tmp_path / "models"))
    (root / "config" / "pipeline.toml").write_text(_first_block(_section("recipes.md", "Adding a stage")))
    result = goldsmith("check", root / "config" / "pipeline.toml")
    assert result.code == 0, result.err
    before = {path for path in root.rglob("*") if "upscaled" not in path.parts}
    assert not (root / "upscaled").exists()
    assert goldsmith("init", root).code == 0
    assert (root / "upscaled").is_dir()
    assert {path for path in root.rglob("*") if "upscaled" not in path.parts} == before
    _put_picture(root / "inbox" / "hero.png")
    (root / "inbox" / "hero.toml").write_text('[[generate]]\nop = "select"\n[[deliver]]\nop = "export"\nformat = "png"\n')
    _put_picture(root / "masked" / "old.png")
    _run(root)
    (delivered,) = [path for path in (root / "delivered").iterdir() if path.suffix == ".png"]
    assert Image.open(delivered).size == (96, 64)
    assert (root / "masked" / "old.png").exists()


def _own_x4(section: str, folder: Path) -> str:
    """Put a network of the entry's names into the models folder; return the page's entry with its hashes and sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = re.sub(r"^sources = .*$", "sources = []", _first_block(section), flags=re.MULTILINE)
    for path in ncnn.compact(scale=4, empty=True).save(folder):
        path = path.rename(folder / f"own-x4{path.suffix}")
        facts = f'name = "{path.name}"\nsha256 = "{sha256(path.read_bytes()).hexdigest()}"\nbytes = {path.stat().st_size}\n'
        entry, replaced = re.subn(rf'name = "{path.name}"\nsha256 = .*\nbytes = .*\n', facts, entry)
        assert replaced == 1
    return entry


@pytest.mark.parametrize("model", ['model = "own-x4"', ""], ids=["by its name", "as the default"])
def test_the_steps_of_adding_a_model_add_it(goldsmith: Goldsmith, root: Path, tmp_path: Path, model: str) -> None:
    """The page's entry is valid, its weights are recognised, and a brief uses it, by its name or as the default."""
    section = _section("models.md", "Adding a model")
    models = root / "config" / "models.toml"
    with models.open("a") as file:
        file.write(_first_block(section))
    result = goldsmith("check", models)
    assert result.code == 2
    assert "models.own-x4.files.1.sha256" in result.out + result.err
    entry = _own_x4(section, tmp_path / "models")
    # Both lists: of photographs and of drawings.
    text, replaced = re.subn(r"^x4 = \[", 'x4 = ["own-x4", ', models.read_text().removesuffix(_first_block(section)), flags=re.MULTILINE)
    assert replaced == 2
    models.write_text(text + entry)
    assert goldsmith("check", models).code == 0
    assert "own-x4: complete and correct." in goldsmith("models", "fetch", "own-x4", "-r", root).out
    _put_picture(root / "graded" / "hero.png")
    (root / "graded" / "hero.toml").write_text(
        f'[[deliver]]\nop = "upscale"\nfactor = 4\n{model}\n[[deliver]]\nop = "export"\nformat = "png"\n'
    )
    _run(root)
    (delivered,) = [path for path in (root / "delivered").iterdir() if path.suffix == ".png"]
    assert Image.open(delivered).size == (192, 128)
    assert "own-x4" in goldsmith("history", "-r", root, "--json").out
