"""Photoshop files that Goldsmith writes, as psd-tools reads them: layers, masks, groups, names, the flat picture, and kept files."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from psd_tools import PSDImage
from psd_tools.constants import Compression, Resource, Tag
from psd_tools.psd.document import PSD
from psd_tools.psd.image_resources import ImageResource

from doubles.layered_samples import NAMES, layered_sample
from goldsmith.picture import profiles
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask, PixelCodes
from goldsmith.picture.layered.named_layers import NamedRole
from goldsmith.picture.layered.picture_layers import KeptFile
from goldsmith.picture.layered.psd_write import can_keep, needs_big_file, write_layers

DEPTHS = (8, 16)


def read(data: bytes) -> PSDImage:
    return PSDImage.open(io.BytesIO(data))


def codes_of(values: Any, depth: int) -> np.ndarray:
    return np.round(np.asarray(values) * (2**depth - 1)).astype(int)


def kept(data: bytes, **options: Any) -> KeptFile:
    return KeptFile(data, "hero.psd", "psd", 10**6, 10**9, **options)


def names_of(data: bytes) -> list[str]:
    return [layer.name for layer in read(data).descendants()]


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_layer_comes_back_with_its_place_pixels_and_mask(depth: int) -> None:
    """Opacity and eye too, and a layer across the edge of the canvas."""
    file = layered_sample(depth)
    document = read(write_layers(file))
    by_name = {layer.name: layer for layer in document.descendants()}
    assert document.depth == depth
    for layer in file.layers:
        written = by_name[layer.name]
        assert written.bbox == tuple(layer.box)
        assert (written.opacity, written.visible) == (round(layer.opacity * 255), layer.is_visible)
        values = codes_of(written.numpy(), depth)
        assert np.array_equal(values[:, :, :3], layer.pixels)
        assert np.array_equal(values[:, :, 3], np.full(values.shape[:2], file.max_code) if layer.alpha is None else layer.alpha)
        assert written.has_mask() == (layer.mask is not None)
        if layer.mask is not None:
            assert written.mask.bbox == tuple(layer.mask.box)
            assert np.array_equal(codes_of(written.numpy("mask"), depth)[:, :, 0], layer.mask.codes)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_flat_picture_is_the_one_that_was_given(depth: int) -> None:
    """Also if the layers give another one: nothing composites them."""
    sample = layered_sample(depth)
    merge = sample.merge if sample.merge is not None else np.zeros(0)
    document = read(write_layers(replace(sample, merge=merge[::-1])))
    assert np.array_equal(codes_of(document.numpy(), depth), merge[::-1])


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_layers_over_each_other_give_the_flat_picture(depth: int) -> None:
    """psd-tools composes them as Photoshop does."""
    document = read(write_layers(layered_sample(depth)))
    composed = np.asarray(document.composite(ignore_preview=True, apply_icc=False).convert("RGB")).astype(int)
    assert np.abs(composed - np.round(np.asarray(document.numpy()) * 255)).max() <= 1


def test_names_in_any_script_come_back_and_old_programs_get_a_name_too() -> None:
    """The old name has question marks for letters that Mac OS Roman lacks."""
    document = read(write_layers(layered_sample(8)))
    assert set(NAMES) <= {layer.name for layer in document.descendants()}
    records = [record.name for record, _ in document._record._iter_layers()]
    assert "Inpaint Größe ?? ?" in records


def test_groups_are_nested_and_keep_their_opacity_and_blend_mode() -> None:
    """A hidden group stays hidden."""
    inner = LayerGroup("inner", opacity=0.6, blend_mode="multiply", is_visible=False)
    sample = layered_sample(8)
    layer = replace(sample.layers[0], groups=(LayerGroup("outer"), inner))
    outer = next(iter(read(write_layers(replace(sample, layers=(layer,))))))
    assert isinstance(outer, type(outer))
    assert outer.name == "outer"
    (group,) = list(outer)  # type: ignore[call-overload]
    assert (group.name, group.opacity, group.visible, group.blend_mode.value) == ("inner", 153, False, b"mul ")
    assert [each.name for each in group] == [layer.name]


def test_two_groups_of_one_name_stay_two() -> None:
    """A group is known by its record, not by its name."""
    sample = layered_sample(8)
    layers = tuple(replace(sample.layers[0], groups=(LayerGroup("edit"),)) for _ in range(2))
    assert [each.name for each in read(write_layers(replace(sample, layers=layers)))] == ["edit", "edit"]


def test_a_group_has_its_mask_and_a_switched_off_mask_stays_off() -> None:
    """The box of the mask and what lies outside it come back."""
    sample = layered_sample(8)
    mask = LayerMask(LayerBox(3, 4, 7, 9), np.full((5, 4), 200, np.uint8), outside_code=255, is_enabled=False)
    group = LayerGroup("masked", mask=mask)
    group_layer = next(iter(read(write_layers(replace(sample, layers=(replace(sample.layers[0], groups=(group,)),))))))
    assert (group_layer.mask.bbox, group_layer.mask.background_color, group_layer.mask.disabled) == ((3, 4, 7, 9), 255, True)


def test_profile_resolution_and_xmp_are_those_of_the_picture() -> None:
    """The file says that its flat picture is there."""
    resources = read(write_layers(layered_sample(16))).image_resources
    assert resources.get_data(Resource.ICC_PROFILE) == profiles.builtin_profile("adobe-rgb")
    assert resources.get_data(Resource.RESOLUTION_INFO).horizontal == 300 * 65536
    assert b"gold:12345" in resources.get_data(Resource.XMP_METADATA)
    assert resources.get_data(Resource.VERSION_INFO).has_composite


def test_layers_of_16_bits_are_deflated_without_differences() -> None:
    """Krita 5.1 reads deflated differences of 16 bits as noise."""
    document = PSD.read(io.BytesIO(write_layers(layered_sample(16))))
    assert Tag.LAYER_16 in document.layer_and_mask_information.tagged_blocks
    assert {channel.compression for _, channels in document._iter_layers() for channel in channels if channel.data} == {Compression.ZIP}


def test_a_transparent_picture_says_that_its_merge_is_transparent() -> None:
    """By a negative number of layers."""
    sample = layered_sample(8)
    assert sample.merge is not None
    alpha = np.linspace(0, 255, sample.width, dtype=np.uint8)[None, :, None].repeat(sample.height, 0)
    document = PSD.read(io.BytesIO(write_layers(replace(sample, merge=np.concatenate([sample.merge, alpha], axis=2)))))
    assert (document.header.channels, document._get_layer_info().layer_count < 0) == (4, True)


def test_the_same_file_gives_the_same_bytes() -> None:
    """A replay can compare files."""
    assert write_layers(layered_sample(16)) == write_layers(layered_sample(16))


def test_a_picture_of_more_than_30000_px_becomes_a_psb() -> None:
    """PSD has no room for it."""
    strip: PixelCodes = np.arange(30_001, dtype=np.uint16)[None, :, None].repeat(3, 2).astype(np.uint8)
    file = LayeredFile(30_001, 1, 8, 3, (FileLayer("Original", LayerBox(0, 0, 30_001, 1), strip),), strip)
    document = PSD.read(io.BytesIO(write_layers(file)))
    assert (document.header.version, needs_big_file(file), needs_big_file(layered_sample(8))) == (2, True, False)
    red = strip[:, :, 0].tobytes()
    ((_, channels),) = document._iter_layers()
    assert document.image_data.get_data(document.header) == [red, red, red]
    assert [channel.get_data(30_001, 1, 8, 2) for channel in channels] == [b"\xff" * 30_001, red, red, red]


# What is kept of a file


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_layers_of_a_kept_file_stay_byte_for_byte(depth: int) -> None:
    """New layers lie over them, in a group of their own."""
    sample = layered_sample(depth)
    before = write_layers(sample)
    more = replace(sample, layers=(replace(sample.layers[1], name="Erase", groups=(LayerGroup("grade"),)),))
    after = write_layers(more, kept(before))
    old, new = (list(PSD.read(io.BytesIO(data))._iter_layers()) for data in (before, after))
    assert names_of(after) == [*names_of(before), "grade", "Erase"]
    for (old_record, old_channels), (new_record, new_channels) in zip(old, new, strict=False):
        assert old_record.tobytes() == new_record.tobytes()
        assert [channel.data for channel in old_channels] == [channel.data for channel in new_channels]


def test_a_layer_that_is_no_picture_stays_in_a_kept_file() -> None:
    """An adjustment layer of Photoshop, which has no pixels."""
    from psd_tools.psd.layer_and_mask import ChannelDataList, LayerRecord
    from psd_tools.psd.tagged_blocks import TaggedBlock

    document = PSD.read(io.BytesIO(write_layers(layered_sample(8))))
    record = LayerRecord(name="Invert")
    record.tagged_blocks[Tag.INVERT] = TaggedBlock(key=Tag.INVERT, data=b"")
    info = document._get_layer_info()
    info.layer_records.append(record)
    info.channel_image_data.append(ChannelDataList())
    info.layer_count += 1
    out = io.BytesIO()
    document.write(out)
    after = read(write_layers(replace(layered_sample(8), layers=()), kept(out.getvalue())))
    assert [layer.kind for layer in after.descendants()][-1] == "invert"


def test_masks_that_steps_have_used_do_not_go_on() -> None:
    """A mask that stays is hidden, and a layer for composite goes on as a file."""
    sample = layered_sample(8)
    names = ("mask", "Mask Sky", "hero.mask.hand", "layer logo", "Original")
    before = write_layers(replace(sample, layers=tuple(replace(sample.layers[0], name=name) for name in names)))
    used = frozenset({NamedRole("mask", "mask"), NamedRole("mask", "sky"), NamedRole("layer", "logo")})
    after = read(write_layers(replace(sample, layers=()), kept(before, left_out=used)))
    assert [(layer.name, layer.visible) for layer in after] == [("hero.mask.hand", False), ("Original", True)]


def test_saved_selections_stay_behind_the_new_flat_picture() -> None:
    """They are further planes of it."""
    sample = layered_sample(8)
    document = PSD.read(io.BytesIO(write_layers(sample)))
    planes = document.image_data.get_data(document.header)
    document.header.channels = 4
    document.image_data.set_data([*planes, bytes(range(200)) * (sample.width * sample.height // 200)], document.header)
    out = io.BytesIO()
    document.write(out)
    after = PSD.read(io.BytesIO(write_layers(replace(sample, layers=()), kept(out.getvalue()))))
    assert after.header.channels == 4
    assert after.image_data.get_data(after.header)[3][:200] == bytes(range(200))


def test_a_saved_selection_that_a_step_has_used_does_not_go_on_and_the_others_keep_their_names() -> None:
    """Else the next stage would use it again."""
    from goldsmith.picture.codec import decode_layers

    sample = layered_sample(8)
    document = PSD.read(io.BytesIO(write_layers(sample)))
    planes = list(document.image_data.get_data(document.header))
    document.header.channels = 6
    pixels = sample.width * sample.height
    document.image_data.set_data([*planes, b"\x01" * pixels, b"\x02" * pixels, b"\x03" * pixels], document.header)
    names = ("Größe", "mask", "mask sky")
    document.image_resources[Resource.ALPHA_NAMES_UNICODE] = ImageResource(
        key=1045, data=b"".join(struct.pack(">I", len(name)) + name.encode("utf-16-be") for name in names)
    )
    out = io.BytesIO()
    document.write(out)
    used = frozenset({NamedRole("mask", "mask")})
    after = write_layers(replace(sample, layers=()), kept(out.getvalue(), left_out=used))
    channels = decode_layers(after, "hero.psd", 10**6, 10**9).saved_channels
    assert [(channel.name, int(channel.codes[0, 0])) for channel in channels] == [("Größe", 1), ("mask sky", 3)]


def _with_remarks(data: bytes) -> bytes:
    """Return a file with a thumbnail, a guide, and metadata of a layer."""
    from psd_tools.psd.tagged_blocks import TaggedBlock

    document = PSD.read(io.BytesIO(data))
    thumbnail = b"thumbnail of what was erased"
    header = struct.pack(">6I2H", 1, 1, 1, 3, 3, len(thumbnail), 24, 1)
    document.image_resources[Resource.THUMBNAIL_RESOURCE] = ImageResource(key=1036, data=header + thumbnail)
    document.image_resources[Resource.COPYRIGHT_FLAG] = ImageResource(key=1034, data=b"\1")
    record = document._get_layer_info().layer_records[0]
    record.tagged_blocks[Tag.METADATA_SETTING] = TaggedBlock(key=Tag.METADATA_SETTING, data=b"\0\0\0\0a serial number ")
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def test_what_a_kept_file_says_of_its_layers_before_does_not_go_on_and_the_rest_does() -> None:
    """A thumbnail shows what was erased since."""
    before = _with_remarks(write_layers(layered_sample(8)))
    after = write_layers(layered_sample(8), kept(before))
    assert b"thumbnail of what was erased" in before
    assert b"thumbnail of what was erased" not in after
    assert Resource.COPYRIGHT_FLAG in read(after).image_resources
    assert b"a serial number" in after


def test_a_deliverable_takes_only_the_layers_of_a_kept_file() -> None:
    """Metadata of single layers and other blocks are left out."""
    before = _with_remarks(write_layers(layered_sample(8)))
    after = write_layers(layered_sample(8), kept(before, keeps_remarks=False))
    assert Resource.COPYRIGHT_FLAG not in read(after).image_resources
    assert b"a serial number" not in after


def test_a_file_of_another_size_depth_or_colour_model_cannot_be_kept() -> None:
    """Its packed planes would mean something else."""
    sample = layered_sample(8)
    base = kept(write_layers(sample))
    assert sample.merge is not None
    grey = replace(sample, channels=1, merge=sample.merge[:, :, :1])
    assert can_keep(base, sample)
    assert not any(can_keep(base, other) for other in (replace(sample, width=sample.width + 1), layered_sample(16), grey))
    with pytest.raises(ValueError, match="size, depth"):
        write_layers(layered_sample(16), base)
