"""The layers that the steps of a stage leave: the box that a step has changed, its mask, and what a step of another shape does to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from goldsmith.picture import profiles
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup
from goldsmith.picture.layered.named_layers import NamedRole
from goldsmith.picture.layered.picture_layers import KeptFile, PictureLayers
from goldsmith.picture.picture import Picture, freeze, quantise
from goldsmith.worker.stage_layers import StageLayers, layer_name, unblend

WIDTH, HEIGHT = 40, 30
HOLE = (slice(10, 20), slice(5, 25))


def picture(depth: int = 8, *, alpha: Any = None, channels: int = 3, **rest: Any) -> Picture:
    codes = np.random.default_rng(1).integers(0, 2**depth, (HEIGHT, WIDTH, channels))
    values = codes.astype(np.float32) / np.float32(2**depth - 1)
    return Picture(freeze(values), None if alpha is None else freeze(np.asarray(alpha, np.float32)), depth, **rest)  # type: ignore[arg-type]


def paint_over(before: Picture, mask: np.ndarray, value: float = 0.75) -> Picture:
    share = mask[:, :, None]
    return before.with_pixels(before.pixels * (1 - share) + np.float32(value) * share)


def hard_mask() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[HOLE] = 1
    return mask


def soft_mask() -> np.ndarray:
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray(np.clip(1.4 - np.hypot(down - 14, across - 15) / 9, 0, 1), np.float32)


def composed(layers: PictureLayers | None, shape: tuple[int, int, int] = (HEIGHT, WIDTH, 3)) -> np.ndarray:
    """Return the colours of the visible layers over each other, 0..1."""
    assert layers is not None
    result = np.zeros(shape)
    for layer in layers.layers:
        if not layer.is_visible:
            continue
        full = np.iinfo(layer.pixels.dtype).max
        cover = np.ones(layer.pixels.shape[:2]) if layer.alpha is None else layer.alpha / full
        cover = cover * (1 if layer.mask is None else layer.mask.codes / full)
        box = layer.box
        part = result[box.top : box.bottom, box.left : box.right]
        part += (layer.pixels / full - part) * cover[:, :, None]
    return result


def layers_after(*steps: tuple[Picture, Picture, np.ndarray | None]) -> tuple[FileLayer, ...]:
    stage = StageLayers("edit", steps[0][0])
    for before, after, mask in steps:
        stage.add_step("Inpaint", before, after, mask)
    collected = stage.layers_of(steps[-1][1])
    assert collected is not None
    return collected.layers


def test_a_step_is_a_layer_of_the_box_that_it_has_changed_in_the_group_of_its_stage() -> None:
    """The original lies below, outside the group."""
    before = picture()
    original, layer = layers_after((before, paint_over(before, hard_mask()), hard_mask()))
    assert (original.name, original.box, original.group_path) == ("Original", LayerBox(0, 0, WIDTH, HEIGHT), ())
    assert np.array_equal(original.pixels, before.to_codes())
    assert (layer.name, layer.box, layer.group_path) == ("Inpaint", LayerBox(5, 10, 25, 20), ("edit",))
    assert layer.mask is not None
    assert (layer.mask.codes == 255).all()
    assert (layer.pixels == quantise(np.float32([0.75]), 8)).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_a_layer_has_the_steps_own_soft_mask_and_gives_the_picture_through_it(depth: int) -> None:
    """The colours are those before they were mixed through the mask."""
    before, mask = picture(depth), soft_mask()
    after = paint_over(before, mask)
    _, layer = layers_after((before, after, mask))
    assert layer.mask is not None
    inside = mask[layer.box.top : layer.box.bottom, layer.box.left : layer.box.right]
    difference = layer.mask.codes.astype(int) - quantise(inside, depth)
    assert (difference >= 0).all()
    assert np.mean(difference > 0) < 0.2
    stage = StageLayers("edit", before)
    stage.add_step("Inpaint", before, after, mask)
    assert np.abs(composed(stage.layers_of(after)) - after.pixels).max() * 255 <= 1


def test_colours_that_a_mask_would_have_to_exaggerate_get_a_stronger_mask() -> None:
    """Black that became white through a mask of one half: no colour does that, so the mask is white."""
    colours, mask = unblend(np.array([[0, 0, 0]], np.uint8), np.array([[255, 255, 255]], np.uint8), np.array([128], np.uint8))
    assert (colours.tolist(), mask.tolist()) == ([[255, 255, 255]], [255])


@pytest.mark.parametrize("depth", [8, 16])
def test_unblended_colours_give_the_picture_within_one_code(depth: int) -> None:
    """For any two colours and any mask."""
    random, full = np.random.default_rng(3), 2**depth - 1
    dtype = np.uint8 if depth == 8 else np.uint16
    below, blended = (random.integers(0, full + 1, (4000, 3)).astype(dtype) for _ in range(2))
    mask = random.integers(1, full, 4000).astype(dtype)
    colours, codes = unblend(below, blended, mask)
    again = below + (colours.astype(float) - below) * (codes[:, None] / full)
    assert (codes >= mask).all()
    assert np.abs(again - blended).max() <= 1


def test_a_step_without_a_region_has_a_mask_only_if_it_changes_little_of_its_box() -> None:
    """Two specks far apart get one; a grade of the whole picture gets none."""
    before = picture()
    specks = np.zeros((HEIGHT, WIDTH), np.float32)
    specks[2, 3] = specks[20, 30] = 1
    _, sparse = layers_after((before, paint_over(before, specks), None))
    assert sparse.box == LayerBox(3, 2, 31, 21)
    assert sparse.mask is not None
    assert np.count_nonzero(sparse.mask.codes) == 2
    _, whole = layers_after((before, before.with_pixels(np.clip(before.pixels * 0.5 + 0.3, 0, 1)), None))
    assert (whole.box, whole.mask) == (LayerBox(0, 0, WIDTH, HEIGHT), None)


@pytest.mark.parametrize("depth", [8, 16])
def test_type_is_a_layer_that_is_transparent_beside_the_letters(depth: int) -> None:
    """Its colour is that of the letters, and their soft edges are in its alpha."""
    before, cover = picture(depth), soft_mask()
    gold = np.array([0.9, 0.7, 0.2], np.float32)
    share = cover[:, :, None]
    after = before.with_pixels(before.pixels * (1 - share) + gold * share)
    stage = StageLayers("deliver", before)
    stage.add_step("Text", before, after, is_ink=True)
    collected = stage.layers_of(after)
    assert collected is not None
    layer = collected.layers[1]
    assert layer.alpha is not None
    assert layer.mask is None
    window = slice(layer.box.top, layer.box.bottom), slice(layer.box.left, layer.box.right)
    assert np.abs(layer.alpha / (2**depth - 1) - cover[window]).mean() < 0.02
    assert (layer.pixels[cover[window] == 0] == quantise(gold, depth)).all()
    assert np.abs(composed(collected) - after.pixels).max() * 255 <= 1


def test_a_shadow_and_an_outline_of_type_are_in_its_layer_too() -> None:
    """Colours other than that of the letters, opaque and not."""
    before = picture()
    pixels = before.pixels.copy()
    pixels[5:25, 5:35] *= np.float32(0.4)
    pixels[8:20, 8:30] = (0.1, 0.1, 0.9)
    pixels[10:18, 10:28] = (0.9, 0.7, 0.2)
    after = before.with_pixels(pixels)
    stage = StageLayers("deliver", before)
    stage.add_step("Text", before, after, is_ink=True)
    collected = stage.layers_of(after)
    assert np.abs(composed(collected) - after.pixels).max() * 255 <= 1


def test_a_step_that_changes_no_code_leaves_no_layer() -> None:
    """Smaller differences are in no file."""
    before = picture()
    assert len(layers_after((before, before.with_pixels(before.pixels + np.float32(1e-5)), hard_mask()))) == 1


def test_patches_are_compared_only_where_they_are() -> None:
    """The rest of the picture shares memory."""
    before = picture()
    after = before.with_patches([(HOLE, np.full((10, 20, 3), 0.5, np.float32))])
    _, layer = layers_after((before, after, hard_mask()))
    assert layer.box == LayerBox(5, 10, 25, 20)


def test_a_change_of_transparent_parts_covers_the_layers_below_and_hides_them() -> None:
    """Through a transparent part a layer below would show."""
    alpha = np.ones((HEIGHT, WIDTH))
    alpha[:5] = 0.5
    before = picture(alpha=alpha)
    after = before.with_pixels(before.pixels, freeze(np.asarray(alpha * 0.5, np.float32)))
    original, layer = layers_after((before, after, None))
    assert (original.is_visible, layer.is_visible, layer.mask) == (False, True, None)
    assert after.alpha is not None
    assert layer.alpha is not None
    assert np.array_equal(layer.alpha, quantise(after.alpha, 8))


def test_a_change_of_opaque_parts_of_a_transparent_picture_is_a_layer_like_others() -> None:
    """Nothing below shows through there."""
    alpha = np.ones((HEIGHT, WIDTH))
    alpha[:5] = 0.5
    before = picture(alpha=alpha)
    original, layer = layers_after((before, paint_over(before, hard_mask()), hard_mask()))
    assert original.is_visible
    assert (layer.alpha, layer.box) == (None, LayerBox(5, 10, 25, 20))


def test_a_larger_canvas_moves_the_layers_and_adds_what_is_new_around_them() -> None:
    """The new layer is masked where the old picture is."""
    before, mask = picture(), hard_mask()
    middle = paint_over(before, mask)
    grown = np.full((HEIGHT + 10, WIDTH + 20, 3), 0.25, np.float32)
    grown[4 : 4 + HEIGHT, 7 : 7 + WIDTH] = middle.pixels
    after = middle.with_geometry(grown, lambda plane: plane)
    stage = StageLayers("edit", before)
    stage.add_step("Inpaint", before, middle, mask)
    stage.add_extension("Outpaint", middle, after, (7, 4))
    collected = stage.layers_of(after)
    assert collected is not None
    assert [layer.box[:2] for layer in collected.layers] == [(7, 4), (12, 14), (0, 0)]
    assert np.abs(composed(collected, after.pixels.shape) - after.pixels).max() * 255 <= 0.51
    assert collected.layers[2].mask is not None
    assert (collected.layers[2].mask.codes[4 : 4 + HEIGHT, 7 : 7 + WIDTH] == 0).all()


def test_an_enlargement_scales_the_layers_and_lies_over_them() -> None:
    """Their masks and boxes too."""
    before, mask = picture(), hard_mask()
    middle = paint_over(before, mask)
    after = middle.with_geometry(np.repeat(np.repeat(middle.pixels, 2, 0), 2, 1), lambda plane: plane)
    stage = StageLayers("edit", before)
    stage.add_step("Inpaint", before, middle, mask)
    stage.add_scaling("Upscale", middle, after)
    collected = stage.layers_of(after)
    assert collected is not None
    assert [(layer.name, layer.box) for layer in collected.layers] == [
        ("Original", LayerBox(0, 0, 80, 60)),
        ("Inpaint", LayerBox(10, 20, 50, 40)),
        ("Upscale", LayerBox(0, 0, 80, 60)),
    ]
    assert collected.layers[1].pixels.shape == (20, 40, 3)
    assert collected.layers[1].mask is not None
    assert collected.layers[1].mask.codes.shape == (20, 40)
    assert np.allclose(composed(collected, after.pixels.shape), after.to_codes() / 255)  # type: ignore[arg-type]
    assert {layer.groups[0] for layer in collected.layers[1:]} == {collected.layers[1].groups[0]}


@pytest.mark.parametrize("change", ["icc", "depth"])
def test_another_profile_or_depth_merges_the_layers_and_says_so(change: str) -> None:
    """Their codes would mean other colours."""
    before = picture()
    middle = paint_over(before, hard_mask())
    after = replace(middle, icc=profiles.builtin_profile("adobe-rgb")) if change == "icc" else replace(middle, depth=16)
    stage = StageLayers("edit", before)
    stage.add_step("Inpaint", before, middle, hard_mask())
    stage.add_step("Grade", middle, after)
    collected = stage.layers_of(after)
    assert collected is not None
    assert ([layer.name for layer in collected.layers], stage.merged_by) == (["Grade"], "Grade")


def test_an_original_alone_that_no_longer_fits_is_replaced_without_a_word() -> None:
    """There was nothing to merge: it lies in the archive."""
    before = picture()
    after = before.with_geometry(before.pixels[:10], lambda plane: plane)
    stage = StageLayers("edit", before)
    stage.begin_anew("Geometry", after)
    assert stage.merged_by == ""


def test_the_picture_that_is_picked_of_a_set_is_one_layer_with_the_name_of_the_step_that_made_the_set() -> None:
    """While the set is open, no layers belong to one picture."""
    before = picture()
    candidates = [paint_over(before, np.ones((HEIGHT, WIDTH), np.float32), value) for value in (0.2, 0.4)]
    stage = StageLayers("generate", before)
    stage.add_set("Regenerate", [before], candidates)
    assert stage.is_in_set
    assert stage.layers_of(candidates[0]) is None
    stage.add_set("Select", candidates, candidates[1:])
    collected = stage.layers_of(candidates[1])
    assert collected is not None
    assert [layer.name for layer in collected.layers] == ["Original", "Regenerate"]


def test_a_select_step_that_keeps_the_only_picture_leaves_no_layer() -> None:
    """It is the same picture."""
    before = picture()
    stage = StageLayers("generate", before)
    stage.add_set("Select", [before], [before])
    collected = stage.layers_of(before)
    assert collected is not None
    assert [layer.name for layer in collected.layers] == ["Original"]


def test_a_picture_from_words_is_the_lowest_layer() -> None:
    """There is no original below it."""
    drawing = picture()
    stage = StageLayers("generate", None)
    stage.add_set("Regenerate", [], [drawing])
    collected = stage.layers_of(drawing)
    assert collected is not None
    assert ([layer.name for layer in collected.layers], stage.merged_by) == (["Regenerate"], "")


def kept_stage(before: Picture) -> StageLayers:
    group = LayerGroup("edit")
    codes = before.to_codes()
    layers = tuple(
        FileLayer(name, LayerBox(0, 0, WIDTH, HEIGHT), codes, groups=groups) for name, groups in (("Hers", ()), ("Ours", (group,)))
    )
    file = LayeredFile(WIDTH, HEIGHT, 8, 3, layers, codes)
    return StageLayers("grade", before, KeptFile(b"8BPS", "hero.psd", "psd", 10**6, 10**9), lambda _: file)


def test_a_file_with_layers_stays_as_it_is_below_those_of_the_steps() -> None:
    """It is not decoded; masks that steps have used are named."""
    before = picture()
    after = paint_over(before, hard_mask())
    stage = kept_stage(before)
    stage.add_step("Grade", before, after, hard_mask())
    stage.leave_out(["sky"], ["logo"])
    collected = stage.layers_of(after)
    assert collected is not None
    assert collected.kept is not None
    assert ([layer.name for layer in collected.layers], collected.kept.left_out) == (
        ["Grade"],
        frozenset({NamedRole("mask", "sky"), NamedRole("layer", "logo")}),
    )


def test_a_step_of_another_shape_changes_the_layers_of_the_file_too() -> None:
    """They are decoded for it, and keep their groups."""
    before = picture()
    after = before.with_geometry(np.repeat(np.repeat(before.pixels, 2, 0), 2, 1), lambda plane: plane)
    stage = kept_stage(before)
    stage.add_scaling("Upscale", before, after)
    collected = stage.layers_of(after)
    assert collected is not None
    assert [(layer.name, layer.group_path, layer.box.width) for layer in collected.layers] == [
        ("Hers", (), 80),
        ("Ours", ("edit",), 80),
        ("Upscale", ("grade",), 80),
    ]
    assert collected.kept is None


def test_layers_are_those_of_one_picture_only() -> None:
    """A picture of another size has none."""
    before = picture()
    other = before.with_geometry(before.pixels[:10], lambda plane: plane)
    assert StageLayers("edit", before).layers_of(other) is None


def test_the_name_of_a_layer_says_the_step_and_the_file_of_its_look() -> None:
    """Or its region, or its words, shortened."""
    assert layer_name("face_swap") == "Face swap"
    assert layer_name("grade", "", ("looks/warm-amber.cube", "heroes/a.png")) == "Grade: warm-amber.cube"
    assert layer_name("erase", "background & left") == "Erase: background & left"
    assert layer_name("text", "x" * 100) == f"Text: {'x' * 60}"


def test_no_detail_makes_a_layer_a_mask() -> None:
    """The next stage would take it out of the picture."""
    assert layer_name("grade", "", ("looks/sky.mask.cube",)) == "Grade"
