"""Files with layers that Goldsmith wrote go through GIMP and Krita and come back with every layer, mask, name and id."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from doubles.commission import PIPELINE
from doubles.editors import PAINTED, paint_in_gimp, paint_in_krita, save_in_krita
from doubles.layered_samples import HEIGHT, NAMES, WIDTH, layered_sample
from doubles.studio import studio_at
from goldsmith.picture.codec import decode, decode_layers
from goldsmith.picture.layered import ora_write, psd_write
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile

LIMIT = 10**6
DEPTHS = (8, 16)


def read(path: Path) -> LayeredFile:
    return decode_layers(path.read_bytes(), path.name, LIMIT, 10**9)


def by_name(file: LayeredFile) -> dict[str, FileLayer]:
    return {layer.name: layer for layer in file.layers}


def cover_of(layer: FileLayer) -> np.ndarray:
    """Return the layer's alpha and mask on the canvas, (h, w), 0..1: programs trim what is transparent."""
    full = float(np.iinfo(layer.pixels.dtype).max)
    alpha = _on_canvas(layer.box, np.full(layer.pixels.shape[:2], full) if layer.alpha is None else layer.alpha)
    if layer.mask is None:
        return alpha / full
    return alpha * _on_canvas(layer.mask.box, layer.mask.codes) / full**2


def colours_of(layer: FileLayer) -> np.ndarray:
    """Return the codes of the layer on the canvas, (h, w, 3), 0 where it is transparent."""
    return _on_canvas(layer.box, layer.pixels) * (cover_of(layer) > 0)[:, :, None]


def _on_canvas(box: LayerBox, codes: np.ndarray) -> np.ndarray:
    canvas = np.zeros((HEIGHT + 20, WIDTH + 40, *codes.shape[2:]))
    canvas[10 + box.top : 10 + box.bottom, 20 + box.left : 20 + box.right] = codes
    return canvas[10:-10, 20:-20]


def assert_the_same_besides(before: LayeredFile, after: LayeredFile, changed_layer: str = "", mask_tolerance: float = 0.0) -> None:
    assert (after.icc, after.ppi) == (before.icc, before.ppi)
    assert b"gold:12345" in (after.xmp or b"")
    assert_the_same_layers(before, after, changed_layer, mask_tolerance)


def assert_the_same_layers(before: LayeredFile, after: LayeredFile, changed_layer: str = "", mask_tolerance: float = 0.0) -> None:
    assert after.depth == before.depth
    assert set(NAMES) <= {*by_name(after), *(name for layer in after.layers for name in layer.group_path)}
    assert [layer.name for layer in after.layers] == [layer.name for layer in before.layers]
    for name, layer in by_name(before).items():
        other = by_name(after)[name]
        assert (other.group_path, other.is_visible) == (layer.group_path, layer.is_visible)
        assert other.opacity == pytest.approx(layer.opacity, abs=1e-6)
        assert np.abs(cover_of(other) - cover_of(layer)).max() <= mask_tolerance
        if name != changed_layer:
            assert np.array_equal(colours_of(other), colours_of(layer))


def test_what_gimp_paints_on_a_psd_comes_back_and_nothing_else_changes(tmp_path: Path) -> None:
    """At 8 and at 16 bits; its flat picture is ours within one code of 8 bits."""
    for depth in DEPTHS:
        (tmp_path / f"l{depth}.psd").write_bytes(psd_write.write_layers(layered_sample(depth)))
    paint_in_gimp(tmp_path, *(f"l{depth}.psd" for depth in DEPTHS))
    left, top, width, height = PAINTED
    for depth in DEPTHS:
        before, after = layered_sample(depth), read(tmp_path / f"l{depth}.psd.gimp.psd")
        assert_the_same_besides(before, after, changed_layer="Original")
        changed = (by_name(after)["Original"].pixels != before.layers[0].pixels).any(axis=2)
        assert changed[top : top + height, left : left + width].all()
        assert np.count_nonzero(changed) == width * height
        flat = np.asarray(imagecodecs.png_decode((tmp_path / f"l{depth}.psd.flat.png").read_bytes()))[:, :, :3]
        assert before.merge is not None
        assert np.abs(flat / np.iinfo(flat.dtype).max - before.merge / before.max_code).max() <= 1.001 / 255


def test_what_krita_paints_comes_back_and_nothing_else_changes(tmp_path: Path) -> None:
    """In a PSD of 8 and of 16 bits, and in OpenRaster. Krita's masks have 8 bits, and its OpenRaster has neither profile nor XMP."""
    documents = {
        "l8.psd": (layered_sample(8), psd_write.write_layers),
        "l16.psd": (layered_sample(16), psd_write.write_layers),
        "l8.ora": (layered_sample(8, profile="srgb"), ora_write.write_layers),
    }
    for name, (sample, write) in documents.items():
        (tmp_path / name).write_bytes(write(sample))
    paint_in_krita(tmp_path, *documents)
    for name, (sample, _) in documents.items():
        before, after = read(tmp_path / name), read(tmp_path / f"krita.{name}")
        if name.endswith(".psd"):
            assert_the_same_besides(before, after, changed_layer="Original", mask_tolerance=0.5 / 255 if sample.depth == 16 else 0.0)
        else:
            assert_the_same_layers(before, after, changed_layer="Original")
            assert after.ppi == before.ppi
        assert_only_the_box_is_painted(before, after)


def assert_only_the_box_is_painted(before: LayeredFile, after: LayeredFile) -> None:
    """Assert that the lowest layer and the flat picture differ in the box alone; at 16 bits, the flat picture also where a mask is soft."""
    left, top, width, height = PAINTED
    box = np.s_[top : top + height, left : left + width]
    for old, new in ((by_name(before)["Original"].pixels, by_name(after)["Original"].pixels), (before.merge, after.merge)):
        assert old is not None
        assert new is not None
        difference = np.abs(new[:, :, :3].astype(int) - old[:, :, :3]).max(axis=2)
        assert difference[box].all()
        difference[box] = 0
        if before.depth == 8 or old is not before.merge:
            assert not difference.any()
        else:
            soft = np.zeros(difference.shape, np.bool_)
            soft[90:110, 100:120] = True  # the sample's mask
            assert not difference[~soft].any()
            assert difference.max() <= 257 // 2


@pytest.mark.soak
def test_what_krita_has_painted_on_goes_on_with_its_layers(tmp_path: Path) -> None:
    """Dropped back, the file gets a group more, and what lies below stays."""
    (tmp_path / "hero.psd").write_bytes(psd_write.write_layers(layered_sample(8)))
    paint_in_krita(tmp_path, "hero.psd")
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("masked/hero.psd", (tmp_path / "krita.hero.psd").read_bytes())
        studio.put("masked/hero.toml", 'working = "psd"\n[[grade]]\nop = "grade"\nsaturation = 0.5\n')
        studio.until_idle()
        after = read(studio.at("graded/hero.psd"))
    painted_file = read(tmp_path / "krita.hero.psd")
    assert [layer.name for layer in after.layers] == [*(layer.name for layer in painted_file.layers), "Grade"]
    assert after.icc == painted_file.icc
    assert after.ppi == (300.0, 300.0)
    for old, new in zip(painted_file.layers, after.layers, strict=False):
        assert np.array_equal(new.pixels, old.pixels)
        assert np.array_equal(cover_of(new), cover_of(old))


@pytest.mark.soak
def test_an_openraster_file_comes_back_from_krita(tmp_path: Path) -> None:
    """In sRGB, which Krita takes every archive for. Masks are in the alpha of the layers."""
    source, target = tmp_path / "source.ora", tmp_path / "saved.ora"
    sample = layered_sample(8, profile="srgb")
    source.write_bytes(ora_write.write_layers(sample))
    save_in_krita(source, target)
    before, after = by_name(read(source)), by_name(read(target))
    assert list(after) == [layer.name for layer in sample.layers]
    for name, layer in before.items():
        assert np.array_equal(cover_of(after[name]), cover_of(layer))
        assert np.array_equal(colours_of(after[name]), colours_of(layer))
        assert (after[name].group_path, after[name].is_visible) == (layer.group_path, layer.is_visible)
    flat = decode(target.read_bytes(), "saved.ora", LIMIT)
    assert sample.merge is not None
    assert np.abs(flat.pixels - sample.merge / 255).max() <= 1.001 / 255
