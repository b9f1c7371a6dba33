"""Files with layers through the folders: the brief asks for them, the stages hand them on, and the delivery has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from psd_tools import PSDImage

from doubles.commission import PIPELINE
from doubles.deliveries import Delivery
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


def test_a_delivery_with_layers_is_replayed_to_the_same_bytes(studio: Studio) -> None:
    """The stages hand their layers on in the replay too."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    report = Delivery(studio.root, "delivered/hero.manifest.json").again()
    assert {row.file: row.verdict for row in report.deliverables} == {"hero_layers.psd": "identical", "hero_flat.png": "identical"}


def test_a_picture_longer_than_a_psd_may_be_goes_through_the_folders_as_psb(studio: Studio) -> None:
    """Narrow, so that it is small."""
    width, height = 30_100, 6
    studio.put("selected/hero.png", png(0, width, height))
    studio.put("selected/hero.mask.png", mask(width, height))
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folder("delivered") == ["hero.manifest.json", "hero_flat.png", "hero_layers.psb"]
    data = studio.read("delivered/hero_layers.psb")
    assert names(data) == ["Original", "edit", "Sharpen", "grade", "Grade"]
    assert (PSDImage.open(io.BytesIO(data)).width, data[5]) == (width, 2)
    assert {"masked/hero.psb", "graded/hero.psb"} <= set(studio.archived())
    report = Delivery(studio.root, "delivered/hero.manifest.json").again()
    assert {row.file: row.verdict for row in report.deliverables} == {"hero_layers.psb": "identical", "hero_flat.png": "identical"}
