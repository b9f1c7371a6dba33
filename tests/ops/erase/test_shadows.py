"""Shadows and reflections: they are found beside the object, and nothing else is taken for one."""

from __future__ import annotations

import io
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from doubles.step_context import NullInpainter, StepContextDouble
from goldsmith.ops.erase.cast_shadow import FoundShadow, find_cast_shadow
from goldsmith.ops.erase.operation import Erase
from goldsmith.ops.erase.reflection import find_reflection
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Picture, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.worker.mask_proof import count_outside_changes, editable_region

HEIGHT, WIDTH = 240, 320


def _ellipse(down: float, across: float, high: float, wide: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(((rows - down) / high) ** 2 + ((columns - across) / wide) ** 2 < 1)


BALL = _ellipse(100, 130, 30, 30)
SHADOW = _ellipse(118, 170, 16, 40) & ~BALL


def _ground(texture: float) -> Pixels:
    noise = gaussian_blur(np.random.default_rng(2).normal(0, 1, (HEIGHT, WIDTH, 1)).astype(np.float32), 0.8)
    slope = np.linspace(0.5, 0.7, WIDTH, dtype=np.float32)[None, :, None] * np.float32([1, 0.95, 0.85])
    return np.asarray(slope * (1 + texture * noise / noise.std()), dtype=np.float32)


def _picture(darkening: float, texture: float = 0.05, colour: tuple[float, float, float] = (1, 1, 1)) -> Picture:
    """Return a red ball on a textured slope, with a shadow that takes away that share of the value, tinted by ``colour``."""
    shadow = gaussian_blur(SHADOW.astype(np.float32), 3.0)[..., None]
    pixels = _ground(texture) * (1 - darkening * shadow * np.float32(colour))
    pixels[BALL] = (0.8, 0.15, 0.1)
    codes = np.round(np.clip(pixels, 0, 1) * 255) / np.float32(255)
    return Picture(freeze(codes.astype(np.float32)), masks=MappingProxyType({"mask": freeze(BALL.astype(np.float32))}))


def _find(picture: Picture) -> FoundShadow | None:
    bounds = find_mask_bounds(picture.masks["mask"])
    assert bounds is not None
    return find_cast_shadow(picture, picture.masks["mask"], bounds)


@pytest.mark.parametrize("texture", [0.0, 0.05, 0.15])
def test_a_cast_shadow_is_found(texture: float) -> None:
    """It covers the shadow and little else, and points to the lower right; the mask itself is not part of it."""
    shadow = _find(_picture(0.5, texture))
    assert shadow is not None
    covered = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    covered[shadow.box.window] = shadow.mask
    assert (covered & SHADOW).sum() > 0.95 * SHADOW.sum()
    assert covered.sum() < 2 * SHADOW.sum()
    assert not (covered & BALL).any()
    assert 0 < shadow.direction < 60
    assert shadow.strength == pytest.approx(0.75, abs=0.15)


def test_a_ball_without_a_shadow_has_none() -> None:
    """The texture and the slope of the ground are no shadow."""
    assert _find(_picture(0.0, 0.15)) is None


def test_a_dark_thing_of_another_colour_is_no_shadow() -> None:
    """It takes away red alone, so it is an object."""
    assert _find(_picture(0.6, colour=(1, 0.05, 0.05))) is None


def test_what_runs_out_of_the_ground_is_no_shadow() -> None:
    """A dark band across the picture does not end."""
    picture = _picture(0.0)
    pixels = picture.pixels.copy()
    pixels[128:170] *= 0.5
    assert _find(Picture(freeze(pixels), masks=picture.masks)) is None


def _mirror(strength: float) -> Picture:
    """Return a patterned box on a plain floor, with its reflection, which fades downwards."""
    pixels = np.full((HEIGHT, WIDTH, 3), 0.5, dtype=np.float32)
    pattern = np.random.default_rng(3).uniform(0.1, 0.9, (8, 6, 3)).astype(np.float32)
    box = np.kron(pattern, np.ones((10, 10, 1), dtype=np.float32))
    pixels[30:110, 100:160] = box
    share = np.linspace(strength, 0.3 * strength, 80, dtype=np.float32)[:, None, None]
    pixels[110:190, 100:160] = 0.5 * (1 - share) + box[::-1] * share
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    mask[30:110, 100:160] = 1
    return Picture(freeze(pixels), masks=MappingProxyType({"mask": freeze(mask)}))


def test_a_reflection_is_found_below_the_object() -> None:
    """It is the object upside down; on a dull floor there is none."""
    for strength, is_found in ((0.4, True), (0.0, False)):
        picture = _mirror(strength)
        bounds = find_mask_bounds(picture.masks["mask"])
        assert bounds is not None
        reflection = find_reflection(picture, picture.masks["mask"], bounds)
        assert (reflection is not None) == is_found
        if reflection is not None:
            covered = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
            covered[reflection.box.window] = reflection.mask
            assert covered[112:180, 102:158].mean() > 0.95
            assert not covered[:110].any()


def test_erase_removes_the_shadow_only_if_asked() -> None:
    """The record tells it, the archive has a drawing, and the worker's proof allows the shadow and nothing more."""
    picture = _picture(0.5)
    kept = Erase().apply(picture, StepContextDouble(inpainter=NullInpainter(side=320)))
    assert np.array_equal(kept.pixels[~BALL], picture.pixels[~BALL])
    context = StepContextDouble(inpainter=NullInpainter(side=320))
    operation = Erase(shadow="auto")
    removed = operation.apply(picture, context)
    region = editable_region(operation, picture, context)
    assert region is not None
    assert count_outside_changes(picture, removed, region).changed == 0
    assert (region > 0)[SHADOW].mean() > 0.95
    inner = gaussian_blur(SHADOW.astype(np.float32), 3.0) > 0.9
    assert removed.pixels[inner].mean() > picture.pixels[inner].mean() + 0.15
    assert [shadow["kind"] for shadow in context.results.findings["shadows"]] == ["cast"]  # type: ignore[union-attr, index, call-overload]
    sheet = next(file for file in context.results.archived if file.tail == "_shadows")
    assert Image.open(io.BytesIO(sheet.data)).size == (WIDTH, HEIGHT)


def test_a_picture_without_shadows_says_so() -> None:
    """The record has an empty list, and the archive no drawing."""
    context = StepContextDouble(inpainter=NullInpainter(side=320))
    Erase(shadow="auto").apply(_picture(0.0), context)
    assert context.results.findings["shadows"] == []
    assert not any(file.tail == "_shadows" for file in context.results.archived)
