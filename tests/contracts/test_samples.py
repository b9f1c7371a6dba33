"""The samples of the demo are complete, match each other and agree with their notes."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from goldsmith.ops import catalogue

SAMPLES = Path(__file__).parents[2] / "hotfolders" / "samples"
LOOK = SAMPLES / "library" / "looks" / "warm-amber.cube"


def test_the_mask_fits_the_picture() -> None:
    """The mask has the same size, is black at the left edge and white at the model, and covers 5 to 20 %."""
    picture, mask = Image.open(SAMPLES / "astronaut.png"), Image.open(SAMPLES / "astronaut.mask.png")
    assert picture.size == mask.size == (512, 512)
    codes = np.asarray(mask)
    assert codes.ndim == 2
    assert codes[:, :256].max() == 0
    assert codes[100, 410] == 255
    assert 0.05 < (codes > 0).mean() < 0.2


def test_the_picture_is_an_exact_copy_of_its_source() -> None:
    """It has the hash of scikit-image's astronaut.png, which SOURCES.md names."""
    sha256 = "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
    assert hashlib.sha256((SAMPLES / "astronaut.png").read_bytes()).hexdigest() == sha256


def test_the_brief_has_valid_steps_for_all_four_stages() -> None:
    """Every step is an operation with valid settings, and its look exists."""
    brief = tomllib.loads((SAMPLES / "astronaut.toml").read_text())
    assert [name for name, steps in brief.items() if isinstance(steps, list)] == ["generate", "edit", "grade", "deliver"]
    for step in (step for steps in brief.values() if isinstance(steps, list) for step in steps):
        catalogue()[step["op"]].model_validate({key: value for key, value in step.items() if key != "op"})
    assert LOOK.stem == brief["grade"][0]["look"]


def test_the_look_follows_its_formula() -> None:
    """The table equals the formula in the file's comment; black and white are unchanged."""
    text = LOOK.read_text()
    warm, cool = ([float(part) for part in triple.split(",")] for triple in re.findall(r"\(([-\d., ]{15,})\)", text)[:2])
    rows = [line.split() for line in text.splitlines() if re.match(r"[\d-]", line)]
    table = np.array(rows, dtype=float)
    steps = np.linspace(0, 1, 17)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    colour = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    luma = (colour @ [0.2126, 0.7152, 0.0722])[:, None]
    weight = 4 * luma * (1 - luma)
    curve = 0.75 * colour + 0.25 * colour**2 * (3 - 2 * colour)
    assert np.abs(table - np.clip(curve + weight * luma * warm + weight * (1 - luma) * cool, 0, 1)).max() < 1e-6
    assert table[0].tolist() == [0, 0, 0]
    assert table[-1].tolist() == [1, 1, 1]


def test_every_sample_has_a_source() -> None:
    """SOURCES.md names each file."""
    sources = (SAMPLES / "SOURCES.md").read_text()
    files = [path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*") if path.is_file() and path.name != "SOURCES.md"]
    assert [name for name in files if f"`{name}`" not in sources] == []
