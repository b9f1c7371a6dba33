"""Reference pictures with a strength: every family that has an adapter follows them, with tiny random weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny_adapters, tiny_control
from doubles.tiny_engines import HEIGHT, WIDTH, engine, opened, picture, request
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import Ability, GenerationRequest, ModelFiles, ReferenceAdapter, ReferenceGuide
from goldsmith.engines.registry.family_additions import REFERENCED, additions_family
from goldsmith.errors import InputError

WAYS: list[tuple[str, Ability]] = [(family, ability) for family, abilities in REFERENCED.items() for ability in sorted(abilities)]


def colour(red: float, green: float, blue: float, height: int = 40, width: int = 60) -> Any:
    """Return one colour with a lighter half, so that it has a shape."""
    pixels = np.full((height, width, 3), (red, green, blue), np.float32)
    pixels[: height // 2] *= 0.5
    return pixels


RED, BLUE = colour(0.9, 0.1, 0.1), colour(0.1, 0.1, 0.9)


def like(family: str, ability: Ability, *pictures: Any, strength: float = 1.0, seeds: tuple[int, ...] = (1,)) -> GenerationRequest:
    """Return a request that follows these reference pictures."""
    guide = tiny_adapters.likeness(additions_family(family), *pictures, strength=strength)
    return replace(request(ability, seeds), likeness=guide)


def moved(adapter: ReferenceAdapter, folder: Path) -> ReferenceAdapter:
    """Return the same adapter from another folder."""
    kind: Any = type(adapter)
    copied_adapter: ReferenceAdapter = kind(
        adapter.descriptor, ModelFiles({}, folder), folder / tiny_adapters.WEIGHTS, folder / tiny_adapters.ENCODER
    )
    return copied_adapter


def draw(family: str, ability: Ability, *pictures: Any, strength: float = 1.0) -> bytes:
    return engine(family).generate(like(family, ability, *pictures, strength=strength)).pictures[0].tobytes()


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_a_model_follows_the_reference_picture_as_strongly_as_asked(family: str, ability: Ability) -> None:
    """Check another picture, half of the strength, and none: all differ; the model is afterwards as it was; the record."""
    plain = engine(family).generate(request(ability)).pictures[0].tobytes()
    result = engine(family).generate(like(family, ability, RED))
    assert result.pictures[0].shape == (HEIGHT, WIDTH, 3)
    pictures = {plain, result.pictures[0].tobytes(), draw(family, ability, BLUE), draw(family, ability, RED, strength=0.4)}
    assert len(pictures) == 4
    assert engine(family).generate(request(ability)).pictures[0].tobytes() == plain
    facts = result.facts["likeness"]
    assert isinstance(facts, dict)
    assert (facts["model"], facts["strength"], facts["pictures"]) == (f"{additions_family(family)}-likeness", 1.0, 1)


@pytest.mark.parametrize("family", ["sdxl", "flux", "sd3"])
def test_without_strength_the_reference_picture_makes_no_difference(family: str) -> None:
    """Check that any picture gives the same at a strength of 0, and that this is the picture without one."""
    first, second = (np.frombuffer(draw(family, "text", source, strength=0.0), np.float32) for source in (RED, BLUE))
    plain = engine(family).generate(request("text")).pictures[0]
    np.testing.assert_allclose(first, second, atol=1e-6)
    np.testing.assert_allclose(first, plain.ravel(), atol=1e-5)


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_several_reference_pictures_are_all_followed(family: str) -> None:
    """Check two of them against each alone."""
    assert len({draw(family, "text", RED), draw(family, "text", BLUE), draw(family, "text", RED, BLUE)}) == 3


def test_several_pictures_of_one_call_follow_the_same_reference_picture() -> None:
    """Check against single pictures, up to rounding."""
    together = opened("sdxl", MemoryLayout("float32", "none", 2)).generate(like("sdxl", "text", RED, seeds=(1, 2)))
    assert together.facts["batch"] == 2
    for seed, pixels in zip((1, 2), together.pictures, strict=True):
        alone = engine("sdxl").generate(like("sdxl", "text", RED, seeds=(seed,))).pictures[0]
        np.testing.assert_allclose(pixels, alone, atol=1e-4)


def test_a_model_whose_blocks_are_moved_one_by_one_follows_it_too() -> None:
    """Check the slow layout against the fast one."""
    slow = opened("sdxl", MemoryLayout("float32", "group", 1)).generate(like("sdxl", "text", RED)).pictures[0]
    np.testing.assert_allclose(slow, engine("sdxl").generate(like("sdxl", "text", RED)).pictures[0], atol=1e-5)


@pytest.mark.parametrize(("family", "net"), [("sdxl", "sdxl-depth"), ("sd3", "sd3-depth"), ("flux", "flux-depth")])
def test_a_control_picture_and_a_reference_picture_are_followed_together(family: str, net: str) -> None:
    """Check that each of them makes a difference beside the other."""
    guides = [tiny_control.guide(net, picture(source, 40, 60)) for source in (7, 9)]
    both, other_control = (
        engine(family).generate(replace(like(family, "text", RED), guide=guide)).pictures[0].tobytes() for guide in guides
    )
    other_reference = engine(family).generate(replace(like(family, "text", BLUE), guide=guides[0])).pictures[0].tobytes()
    assert len({both, other_control, other_reference, draw(family, "text", RED)}) == 4


@pytest.mark.parametrize(
    ("family", "adapter", "ability", "count", "sentence"),
    [
        ("z-image", "sdxl", "text", 1, "has no way to follow reference pictures with a strength; the families that have: sdxl"),
        ("flux", "sdxl", "text", 1, "'sdxl-likeness' is for models of the family sdxl, and 'flux' is of the family flux"),
        ("sd3", "sd3", "text", 2, "follows one reference picture with a strength, but there are 2"),
    ],
)
def test_what_cannot_be_followed_is_refused(family: str, adapter: str, ability: Ability, count: int, sentence: str) -> None:
    """Check a family without adapters, an adapter for another family, and more pictures than the pipeline reads."""
    guide = tiny_adapters.likeness(adapter, *(RED, BLUE)[:count])
    with pytest.raises(InputError, match=sentence):
        engine(family).generate(replace(request(ability), likeness=guide))


def test_control_and_reference_together_are_refused_where_no_pipeline_does_both() -> None:
    """Check FLUX from a picture."""
    guide = tiny_control.guide("flux-depth", picture(7, 40, 60))
    with pytest.raises(InputError, match=r"'flux' cannot follow reference pictures and a control picture to start from a picture; with"):
        engine("flux").generate(replace(like("flux", "image", RED), guide=guide))


def test_an_adapter_that_lacks_a_tensor_is_refused_in_words(tmp_path: Path) -> None:
    """Check a file of SD3 without one layer, which diffusers itself accepts."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "adapter"
    shutil.copytree(tiny_adapters.folder("sd3"), folder)
    tensors = load_file(folder / tiny_adapters.WEIGHTS)
    save_file({name: each for name, each in tensors.items() if "layers.3" not in name}, folder / tiny_adapters.WEIGHTS)
    with pytest.raises(InputError, match=r"reference adapter for the family 'sd3': the file lacks the tensor layers\.3"):
        engine("sd3").generate(replace(request("text"), likeness=ReferenceGuide(moved(tiny_adapters.adapter("sd3"), folder), (RED,), 1.0)))


@pytest.mark.parametrize("broken", [tiny_adapters.WEIGHTS, f"{tiny_adapters.ENCODER}/model.safetensors"])
def test_damaged_weights_are_refused_in_words_and_leave_the_model_as_it_was(tmp_path: Path, broken: str) -> None:
    """Check the adapter and its encoder, each with a file that ends too early."""
    plain = engine("sdxl").generate(request("text")).pictures[0].tobytes()
    shutil.copytree(tiny_adapters.folder("sdxl"), tmp_path / "adapter")
    weights = tmp_path / "adapter" / broken
    weights.write_bytes(weights.read_bytes()[:-100])
    bad = moved(tiny_adapters.adapter("sdxl"), tmp_path / "adapter")
    with pytest.raises(InputError, match="diffusers cannot open this as a reference adapter for the family 'sdxl'"):
        engine("sdxl").generate(replace(request("text"), likeness=ReferenceGuide(bad, (RED,), 1.0)))
    assert engine("sdxl").generate(request("text")).pictures[0].tobytes() == plain
