"""Control pictures: every family that has a control model follows one, with tiny random weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny_control
from doubles.tiny_engines import HEIGHT, WIDTH, WISH, engine, opened, picture, request
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import Ability, ControlGuide, GenerationRequest, ModelFiles
from goldsmith.engines.registry.family_additions import CONTROLLED
from goldsmith.errors import InputError

# Each control model with each way in which its family follows one.
WAYS: list[tuple[str, Ability]] = [
    *((name, ability) for name in ("sdxl-depth", "sdxl-union", "flux-depth", "flux-union") for ability in ("text", "image", "inpaint")),
    ("sd3-depth", "text"),
    ("qwen-image-depth", "text"),
    ("z-image-depth", "text"),
    ("z-image-holes", "text"),
    ("z-image-holes", "inpaint"),
]  # type: ignore[assignment]


def guided(name: str, ability: Ability, seeds: tuple[int, ...] = (1,), **settings: Any) -> GenerationRequest:
    """Return a request that follows the control picture of that seed."""
    source = settings.pop("source", 7)
    return replace(request(ability, seeds), guide=tiny_control.guide(name, picture(source, 40, 60), **settings))


def draw(name: str, ability: Ability, **settings: Any) -> bytes:
    return engine(tiny_control.NETS[name][0]).generate(guided(name, ability, **settings)).pictures[0].tobytes()


@pytest.mark.parametrize(("name", "ability"), WAYS)
def test_a_model_follows_the_control_picture(name: str, ability: Ability) -> None:
    """Check that the picture differs with another control picture and without one, that it depends on its seed, and the record."""
    family = tiny_control.NETS[name][0]
    result = engine(family).generate(guided(name, ability, (1, 2)))
    assert result.pictures[0].shape == (HEIGHT, WIDTH, 3)
    plain = engine(family).generate(request(ability, (1,))).pictures[0].tobytes()
    pictures = {plain, result.pictures[0].tobytes(), draw(name, ability, source=9)}
    assert len(pictures) == 3
    assert result.pictures[1].tobytes() == engine(family).generate(guided(name, ability, (2,))).pictures[0].tobytes()
    facts = result.facts["control"]
    assert isinstance(facts, dict)
    assert (facts["model"], facts["control"], facts["strength"], facts["start"], facts["end"]) == (name, "depth", 1.0, 0.0, 1.0)


def test_zimage_has_no_strength_while_it_follows_a_control_picture_in_a_hole() -> None:
    """Check that a strength is refused and not dropped."""
    wish = replace(WISH, strength=0.5)
    with pytest.raises(InputError, match="fills a hole from noise where it follows a control picture here and has no strength"):
        engine("z-image").generate(replace(guided("z-image-holes", "inpaint"), options=wish))


def test_the_table_of_additions_has_every_way_of_the_pipelines() -> None:
    """Check the table that is read before anything is loaded against the pipelines that draw."""
    drawn_ways: dict[str, set[str]] = {}
    for name, ability in WAYS:
        drawn_ways.setdefault(tiny_control.NETS[name][0], set()).add(ability)
    assert {family: set(abilities) for family, abilities in CONTROLLED.items()} == drawn_ways


@pytest.mark.parametrize("name", list(tiny_control.NETS))
def test_without_strength_nothing_is_followed(name: str) -> None:
    """Check that with a strength of 0 any control picture gives the same, and that half of it gives another picture than all of it."""
    first, second = (np.frombuffer(draw(name, "text", strength=0.0, source=source), np.float32) for source in (7, 9))
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert draw(name, "text", strength=0.5) != draw(name, "text", strength=1.0)


def test_a_control_picture_acts_only_from_its_start_to_its_end() -> None:
    """Check two steps of which it guides the first, the second, both."""
    assert len({draw("sdxl-depth", "text", start=start, end=end) for start, end in ((0.0, 0.5), (0.5, 1.0), (0.0, 1.0))}) == 3


def test_a_union_tells_its_controls_apart() -> None:
    """Check the same picture as depth and as edges, by the numbers of the entry."""
    for name in ("sdxl-union", "flux-union"):
        assert draw(name, "text", control="depth") != draw(name, "text", control="edges")


def test_a_control_model_leaves_nothing_behind() -> None:
    """Check that a request without one is the same before and after, and that another control model replaces the first."""
    own = opened("sdxl")
    plain = own.generate(request("text")).pictures[0].tobytes()
    first = own.generate(guided("sdxl-depth", "text")).pictures[0].tobytes()
    union = own.generate(guided("sdxl-union", "text")).pictures[0].tobytes()
    assert len({plain, first, union}) == 3
    assert own.generate(request("text")).pictures[0].tobytes() == plain
    assert own.generate(guided("sdxl-depth", "text")).pictures[0].tobytes() == first


def test_several_pictures_of_one_call_follow_the_same_control_picture() -> None:
    """Check against single pictures, up to rounding."""
    together = opened("sdxl", MemoryLayout("float32", "none", 2)).generate(guided("sdxl-depth", "text", (1, 2)))
    assert together.facts["batch"] == 2
    for seed, pixels in zip((1, 2), together.pictures, strict=True):
        alone = engine("sdxl").generate(guided("sdxl-depth", "text", (seed,))).pictures[0]
        np.testing.assert_allclose(pixels, alone, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "name", "ability", "control", "sentence"),
    [
        ("flux2-klein", "flux-depth", "text", "depth", "follows no control pictures; the families that do are: sdxl, sd3"),
        ("flux", "sdxl-depth", "text", "depth", "is for models of the family sdxl, and 'flux' is of the family flux"),
        ("sdxl", "sdxl-union", "text", "tile", "reads pose, depth, edges, not tile"),
        ("sd3", "sd3-depth", "image", "depth", "cannot follow a control picture to start from a picture; with one, it can make"),
        ("sd3", "sd3-depth", "inpaint", "depth", "cannot follow a control picture to fill a hole; with one, it can make"),
        ("qwen-image", "qwen-image-depth", "inpaint", "depth", "cannot follow a control picture to fill a hole; with one, it can make"),
        ("z-image", "z-image-depth", "inpaint", "depth", r"'z-image-depth' does not read holes \(it has 4 channels, and 9 are needed"),
    ],
)
def test_what_cannot_be_followed_is_refused(family: str, name: str, ability: Ability, control: Any, sentence: str) -> None:
    """Check a family without control models, one of another family, a control that it does not read, and a way that it lacks."""
    guide = tiny_control.guide(name, picture(7), control)
    with pytest.raises(InputError, match=sentence):
        engine(family).generate(replace(request(ability), guide=guide))


def test_damaged_weights_are_refused_in_words(tmp_path: Path) -> None:
    """Check a file that ends too early."""
    shutil.copytree(tiny_control.folder("sdxl-depth"), tmp_path / "net")
    weights = tmp_path / "net" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    good = tiny_control.net("sdxl-depth")
    bad = type(good)(good.descriptor, ModelFiles({}, tmp_path / "net"), {})  # type: ignore[call-arg]
    with pytest.raises(InputError, match="diffusers cannot open this as a control model for the family 'sdxl'"):
        engine("sdxl").generate(replace(request("text"), guide=ControlGuide(bad, "depth", picture(7))))
