"""OpenRaster files that Goldsmith writes: the archive, the list of the layers, and the pixels."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest

from doubles.layered_samples import NAMES, layered_sample
from goldsmith.picture import profiles
from goldsmith.picture.layered.layered_file import LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.layered.ora_write import write_layers
from goldsmith.picture.layered.picture_layers import KeptFile

DEPTHS = (8, 16)


def archive(file: LayeredFile) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(write_layers(file)))


def stack_of(file: LayeredFile) -> ElementTree.Element:
    return ElementTree.fromstring(archive(file).read("stack.xml"))  # noqa: S314 - our own


def test_the_archive_begins_with_its_media_type_uncompressed() -> None:
    """So the first bytes of the file say what it is."""
    first = archive(layered_sample(8)).infolist()[0]
    assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
    assert write_layers(layered_sample(8))[30:54] == b"mimetypeimage/openraster"


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_layer_is_a_png_at_its_place_with_its_mask_in_its_alpha(depth: int) -> None:
    """At both depths: place, opacity, eye, colours and alpha."""
    file = layered_sample(depth)
    root, files = stack_of(file), archive(file)
    elements = {element.get("name"): element for element in root.iter("layer")}
    for layer in file.layers:
        element = elements[layer.name]
        samples = np.asarray(imagecodecs.png_decode(files.read(element.get("src", ""))))
        assert (element.get("x"), element.get("y")) == (str(layer.box.left), str(layer.box.top))
        assert float(element.get("opacity", "")) == pytest.approx(layer.opacity, abs=1e-5)
        assert element.get("visibility") == ("visible" if layer.is_visible else "hidden")
        assert np.array_equal(samples[:, :, :3], layer.pixels)
        cover = layer.mask.codes if layer.mask is not None else layer.alpha
        assert np.array_equal(samples[:, :, 3], np.full(samples.shape[:2], file.max_code) if cover is None else cover)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_merge_and_a_thumbnail_are_there_with_profile_and_xmp(depth: int) -> None:
    """What the file says of itself is in the merge; the thumbnail is a small copy of it."""
    file = layered_sample(depth)
    files = archive(file)
    merged = files.read("mergedimage.png")
    assert np.array_equal(np.asarray(imagecodecs.png_decode(merged)), file.merge)
    assert b"gold:12345" in merged
    thumbnail = np.asarray(imagecodecs.png_decode(files.read("Thumbnails/thumbnail.png")))
    assert (thumbnail.shape, thumbnail.dtype) == ((171, 256, 3), np.uint8)
    from PIL import Image

    with Image.open(io.BytesIO(merged)) as image:
        assert image.info["icc_profile"] == profiles.builtin_profile("adobe-rgb")
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_the_list_has_the_highest_layer_first_and_each_group_once() -> None:
    """A group within a group is nested in the list."""
    (stack,) = stack_of(layered_sample(8))
    assert [(element.tag, element.get("name")) for element in stack] == [
        ("layer", "Hidden"),
        ("stack", "edit Größe 한글 🙂"),
        ("layer", "Original"),
    ]
    assert [(element.tag, element.get("name")) for element in stack[1]] == [("stack", "inner"), ("layer", "Inpaint Größe 한글 🙂")]
    assert set(NAMES) <= {element.get("name") for element in stack.iter()}


def test_layers_between_those_of_a_group_are_outside_it() -> None:
    """Two groups of one name, one above the other, stay two."""
    sample = layered_sample(8)
    first, second = LayerGroup("edit"), LayerGroup("edit")
    layers = tuple(
        replace(sample.layers[0], name=name, groups=groups) for name, groups in zip("abc", ((first,), (), (second,)), strict=True)
    )
    (stack,) = stack_of(replace(sample, layers=layers))
    assert [[element.get("name"), *[child.get("name") for child in element]] for element in stack] == [["edit", "c"], ["b"], ["edit", "a"]]


def test_blend_modes_clipping_and_isolation_have_their_words() -> None:
    """A group that passes through is not isolated."""
    sample = layered_sample(8)
    bottom = replace(sample.layers[0], groups=(LayerGroup("alone", blend_mode="normal"),), blend_mode="colour")
    base = replace(sample.layers[0], opacity=0.5, blend_mode="multiply", is_visible=False)
    clipped = replace(sample.layers[0], is_clipped=True)
    (stack,) = stack_of(replace(sample, layers=(bottom, base, clipped)))
    assert [element.get("composite-op") for element in stack.iter("layer")] == ["svg:src-atop", "svg:src-over", "svg:color"]
    assert [element.get("isolation") for element in stack] == ["isolate", "isolate"]
    assert [stack[0].get(key) for key in ("name", "opacity", "composite-op", "visibility")] == ["Original", "0.5", "svg:multiply", "hidden"]
    assert [each.get("isolation") for each in stack_of(sample)[0].iter("stack") if each.get("name")] == ["auto", "auto"]


def test_a_mask_hides_what_lies_outside_its_box_unless_it_is_switched_off() -> None:
    """A mask may be smaller than its layer and reach over the canvas."""
    sample = layered_sample(8)
    mask = LayerMask(LayerBox(-5, 10, 5, 12), np.full((2, 10), 100, np.uint8))
    layers = (replace(sample.layers[0], mask=mask), replace(sample.layers[0], mask=replace(mask, is_enabled=False)))
    files = archive(replace(sample, layers=layers))
    masked, whole = (np.asarray(imagecodecs.png_decode(files.read(f"data/layer000{number}.png")))[:, :, 3] for number in (0, 1))
    assert (masked[10:12, :5] == 100).all()
    assert masked.sum() == 100 * 10
    assert (whole == 255).all()


def test_a_name_without_a_place_in_xml_is_written_without_its_control_characters() -> None:
    """Signs that XML has a use for are escaped."""
    sample = layered_sample(8)
    (stack,) = stack_of(replace(sample, layers=(replace(sample.layers[0], name='a\0b\x1b <&"> c'),)))
    assert stack[0].get("name") == 'ab <&"> c'


def test_the_same_file_gives_the_same_bytes() -> None:
    """No time of writing is in the archive."""
    assert write_layers(layered_sample(16)) == write_layers(layered_sample(16))


def test_an_archive_is_written_anew() -> None:
    """No part of an older archive is taken over."""
    with pytest.raises(ValueError, match="anew"):
        write_layers(layered_sample(8), KeptFile(b"", "hero.ora", "ora", 10**6, 10**9))
