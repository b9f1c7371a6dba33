"""Files with layers through the folders: the brief asks for them, the stages hand them on, and the delivery has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from psd_tools import PSDImage

from doubles.commission import PIPELINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

BRIEF = """
working = "psd"
[[edit]]
op = "sharpen"
where = "mask"
amount = 300
[[grade]]
op = "grade"
saturation = 0.5
[[deliver]]
op = "export"
name = "layers"
format = "psd"
[[deliver]]
op = "export"
name = "flat"
format = "png"
"""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def names(data: bytes) -> list[str]:
    return [layer.name for layer in PSDImage.open(io.BytesIO(data)).descendants()]


def test_a_brief_takes_layers_from_the_first_stage_to_the_delivery(studio: Studio) -> None:
    """The daemon takes the files that it has written, and the manifest has every stage."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    assert names(studio.read("delivered/hero_layers.psd")) == ["Original", "edit", "Sharpen", "grade", "Grade"]
    manifest = studio.read("delivered/hero.manifest.json").decode()
    assert all(f'"{word}"' in manifest for word in ("hero_layers.psd", "edit", "grade", "deliver"))
    assert not {"selected", "masked", "graded"} & set(studio.folders())
