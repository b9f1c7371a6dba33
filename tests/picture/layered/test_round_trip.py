"""What our writers of layers write is what our readers read, for every mode, group, mask, eye and clipping that a record can have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from goldsmith.picture.blend_modes import BlendMode, blend_function
from goldsmith.picture.codec import decode_layers
from goldsmith.picture.layered import ora_read, ora_write, psd_read, psd_write
from goldsmith.picture.layered.composing import Blending, ComposedPicture, GroupJoin, LayerSource, compose
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.picture import PixelCodes

WIDTH, HEIGHT = 40, 30
LIMIT, MEMORY = 10**6, 1 << 28
MODES: tuple[BlendMode, ...] = get_args(BlendMode)
WRITERS = {"psd": psd_write.write_layers, "ora": ora_write.write_layers}
READERS = {"psd": psd_read.open_document, "ora": ora_read.open_document}
SEEDS = range(30)


def test_every_mode_has_a_word_in_every_format_and_is_read_from_it() -> None:
    """A layer and a group keep their mode; a layer that is clipped stays so."""
    for kind, write in WRITERS.items():
        for mode in MODES:
            group = LayerGroup("group", blend_mode=mode)
            base = _layer(np.random.default_rng(1), "base", 8)
            layers = (base, replace(base, name="top", blend_mode=mode, groups=(group,)))
            read = _read(kind, write(_file(layers, 8)))
            assert [layer.blend_mode for layer in read.layers] == ["normal", mode]
            assert read.layers[1].groups[0].blend_mode == mode
            clipped = replace(base, name="clipped", is_clipped=True, blend_mode=mode if kind == "psd" else "normal")
            read = _read(kind, write(_file((base, clipped), 8)))
            assert [(layer.name, layer.is_clipped, layer.blend_mode) for layer in read.layers] == [
                ("base", False, "normal"),
                ("clipped", True, clipped.blend_mode),
            ]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_psd_gives_back_the_record_of_every_layer(seed: int, depth: int) -> None:
    """Opacities are steps of 1/255, as Photoshop keeps them."""
    layers = tuple(_random_layers(np.random.default_rng(seed), depth))
    read = _read("psd", psd_write.write_layers(_file(layers, depth)))
    for before, after in zip(layers, read.layers, strict=True):
        assert _record(after) == _record(before)
        assert np.array_equal(after.pixels, before.pixels)
        assert np.array_equal(_full(after), _full(before))
        assert [_group_record(group) for group in after.groups] == [_group_record(group) for group in before.groups]
    shared = [[left is right for left in read.layers[0].groups for right in layer.groups] for layer in read.layers]
    assert shared == [[left is right for left in layers[0].groups for right in layer.groups] for layer in layers]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_layers_of_a_written_file_give_the_picture_of_the_layers_that_were_given(kind: str, seed: int) -> None:
    """With masks and clipping in the alpha of OpenRaster's layers, and at 8 bits within one code."""
    layers = tuple(_random_layers(np.random.default_rng(seed), 8, fades_passing_groups=kind == "psd"))
    expected = compose(list(_sources(layers)), WIDTH, HEIGHT, 3, None)
    data = WRITERS[kind](_file(layers, 8))
    document = READERS[kind](data, "hero", LIMIT)
    _assert_alike(compose(document.layers, WIDTH, HEIGHT, 3, None), expected)
    again = WRITERS[kind](_file(_read(kind, data).layers, 8))
    _assert_alike(compose(READERS[kind](again, "hero", LIMIT).layers, WIDTH, HEIGHT, 3, None), expected)


def test_a_clipped_layer_of_an_openraster_file_is_written_in_the_same_group_again() -> None:
    """Otherwise each writing would lay one more group around it."""
    base = _layer(np.random.default_rng(3), "base", 8)
    data = ora_write.write_layers(_file((base, replace(base, name="clipped", is_clipped=True)), 8))
    read = _read("ora", data)
    assert [layer.group_path for layer in read.layers] == [("base",), ("base",)]
    assert [layer.group_path for layer in _read("ora", ora_write.write_layers(replace(read, merge=_flat(8)))).layers] == [
        ("base",),
        ("base",),
    ]


def _assert_alike(result: ComposedPicture, expected: ComposedPicture) -> None:
    """Assert that two pictures are the same within the rounding of what both of them show: masks and opacities become codes."""
    assert np.abs(result.alpha - expected.alpha).max() <= 2.01 / 255
    is_visible = expected.alpha > 0.1
    difference = (np.abs(result.pixels - expected.pixels) * expected.alpha[:, :, None])[is_visible]
    # A mode such as soft light or luminosity makes more of half a code of its layer's alpha.
    assert difference.max(initial=0) <= 3.01 / 255


def _random_layers(source: np.random.Generator, depth: int, *, fades_passing_groups: bool = True) -> Iterator[FileLayer]:
    """Yield six to ten layers in groups inside each other, the lowest first."""
    stack: list[LayerGroup] = []
    for number in range(source.integers(6, 11)):
        action = source.integers(4)
        if action == 0 and len(stack) < 3:
            stack.append(_random_group(source, f"group {number}", depth, fades_passing_groups=fades_passing_groups))
        elif action == 1 and stack:
            stack.pop()
        layer = _layer(source, f"Größe {number} 한 🙂", depth)
        yield replace(
            layer,
            opacity=float(source.integers(40, 256) / 255),
            blend_mode=str(source.choice(MODES)),  # type: ignore[arg-type]
            is_visible=bool(source.random() < 0.85),
            groups=tuple(stack),
            mask=_mask(source, layer.box, depth) if source.random() < 0.4 else None,
            is_clipped=bool(source.random() < 0.3),
        )


def _random_group(source: np.random.Generator, name: str, depth: int, *, fades_passing_groups: bool) -> LayerGroup:
    mode = None if source.random() < 0.4 else str(source.choice(MODES))
    opacity = 1.0 if mode is None and not fades_passing_groups else float(source.integers(40, 256) / 255)
    # OpenRaster's layers take the mask of a group into their alpha, which is the same for a single layer only.
    mask = _mask(source, LayerBox(2, 3, 30, 25), depth) if fades_passing_groups and source.random() < 0.3 else None
    return LayerGroup(name, opacity, mode, bool(source.random() < 0.9), mask)  # type: ignore[arg-type]


def _layer(source: np.random.Generator, name: str, depth: int) -> FileLayer:
    """Return a layer that may reach over the canvas. Its alpha is all or nothing, so that clipping to it is exact in every mode."""
    left, top = (int(value) for value in source.integers(-8, 12, 2))
    width, height = (int(value) for value in source.integers(12, 36, 2))
    dtype = np.uint8 if depth == 8 else np.uint16
    pixels = source.integers(0, 2**depth, (height, width, 3)).astype(dtype)
    alpha = (source.integers(0, 2, (height, width)) * (2**depth - 1)).astype(dtype)
    return FileLayer(name, LayerBox(left, top, left + width, top + height), pixels, alpha)


def _mask(source: np.random.Generator, box: LayerBox, depth: int) -> LayerMask:
    box = LayerBox(box.left + 2, box.top - 1, box.right - 1, box.bottom + 2)
    codes = (source.integers(0, 2, (box.height, box.width)) * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    outside = int(source.integers(0, 2)) * (2**depth - 1)
    return LayerMask(box, codes, outside, bool(source.random() < 0.8))


def _flat(depth: int) -> PixelCodes:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8 if depth == 8 else np.uint16)


def _file(layers: Sequence[FileLayer], depth: int) -> LayeredFile:
    return LayeredFile(WIDTH, HEIGHT, depth, 3, tuple(layers), _flat(depth))


def _read(kind: str, data: bytes) -> LayeredFile:
    return decode_layers(data, f"hero.{kind}", LIMIT, MEMORY)


def _full(layer: FileLayer) -> PixelCodes:
    return np.full(layer.pixels.shape[:2], np.iinfo(layer.pixels.dtype).max) if layer.alpha is None else layer.alpha


def _record(layer: FileLayer) -> tuple[object, ...]:
    values = layer.name, layer.box, layer.opacity, layer.blend_mode, layer.is_visible, layer.is_clipped
    return (*values, _mask_record(layer.mask), layer.group_path)


def _group_record(group: LayerGroup) -> tuple[object, ...]:
    return group.name, group.opacity, group.blend_mode, group.is_visible, _mask_record(group.mask)


def _mask_record(mask: LayerMask | None) -> tuple[object, ...] | None:
    return None if mask is None else (mask.box, mask.outside_code, mask.is_enabled, mask.codes.tobytes())


def _sources(layers: Sequence[FileLayer]) -> Iterator[LayerSource]:
    """Yield layers as they are composed, without a file."""
    for layer in layers:
        yield LayerSource(
            name=layer.name,
            box=layer.box,
            load=lambda layer=layer: layer,  # type: ignore[misc]
            is_visible=layer.is_visible,
            groups=layer.groups,
            is_clipped=layer.is_clipped,
            blending=Blending(blend_function(layer.blend_mode)),
            group_joins=tuple(_join(group) for group in layer.groups),
        )


def _join(group: LayerGroup) -> GroupJoin:
    blending = None if group.blend_mode is None else Blending(blend_function(group.blend_mode))
    return GroupJoin(blending, None if group.mask is None else lambda: group.mask)
