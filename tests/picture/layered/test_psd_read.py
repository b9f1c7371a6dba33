"""Photoshop documents: every way in which pixels are packed, and what a document has besides plain layers."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from doubles.layered_files import Codes, Layer, gradient, make_psd, mask_codes, plain
from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import decode, decode_ink_codes, decode_layers, decode_with_info, open_parts

MAX_PIXELS, MAX_BYTES = 100_000, 1 << 24
BASE, TOP = Layer("base", gradient()), Layer("top", gradient(10, 8, 4)[::-1], 5, 3, 0.6)
DEEP = [Layer("base", gradient(depth=16)), Layer("top", gradient(10, 8, 4, 16), 5, 3, 0.6)]
# A version that says that the merged picture is only a placeholder: then the layers are composed.
NO_MERGE: dict[str, Any] = {"has_merge": False}


def composed(layers: list[Layer], **options: Any) -> Codes:
    """Return the codes that the document's layers give without its merged picture."""
    return decode(make_psd(layers, **NO_MERGE, **options), "hero.psd", MAX_PIXELS).to_codes()


def theirs(layers: list[Layer], **options: Any) -> Codes:
    """Return what psd-tools composes of the same layers, as float (h, w, 3)."""
    from psd_tools import PSDImage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PSDImage.open(io.BytesIO(make_psd(layers, **options))).composite(force=True)


@pytest.mark.parametrize("is_big", [False, True], ids=["PSD", "PSB"])
@pytest.mark.parametrize("compression", [0, 1, 2, 3], ids=["raw", "runs", "zip", "zip with prediction"])
@pytest.mark.parametrize("layers", [[BASE, TOP], DEEP], ids=["8 bits", "16 bits"])
def test_layers_are_unpacked_exactly(layers: list[Layer], compression: int, is_big: bool) -> None:
    """All codes of all planes."""
    data = make_psd(layers, compression=compression, is_big=is_big)
    file = decode_layers(data, "hero.psd", MAX_PIXELS, MAX_BYTES)
    for layer, original in zip(file.layers, layers, strict=True):
        stored = layer.pixels if layer.alpha is None else np.dstack([layer.pixels, layer.alpha])
        assert np.array_equal(stored, original.codes)


def test_a_group_a_mask_and_opacity_come_out_as_in_another_program() -> None:
    """Within half a code of what psd-tools composes."""
    options = {"groups": {"top": "Edits"}, "masks": {"top": ((7, 2), gradient(6, 5, 1)[:, :, 0])}, "modes": {"top": b"mul "}}
    reference = np.asarray(theirs([BASE, TOP], **options)).astype(int)[:, :, :3]
    assert np.abs(composed([BASE, TOP], **options).astype(int) - reference).max() <= 1
    file = decode_layers(make_psd([BASE, TOP], **options), "hero.psd", MAX_PIXELS, MAX_BYTES)
    top = file.layers[1]
    assert (top.group_path, top.blend_mode, top.groups[0].blend_mode) == (("Edits",), "multiply", None)
    assert top.mask is not None
    assert np.array_equal(top.mask.codes, gradient(6, 5, 1)[:, :, 0])


def test_a_clipped_layer_shows_only_inside_the_layer_below_it() -> None:
    """The base's alpha limits it."""
    spot = Layer("spot", np.dstack([plain(200, 8, 8), plain(255, 8, 8, 1)]), 4, 4)
    paint = Layer("paint", plain(10))
    result = composed([BASE, spot, paint], clipped=["paint"])
    expected = BASE.codes.copy()
    expected[4:12, 4:12] = 10
    assert np.array_equal(result, expected)
    file = decode_layers(make_psd([BASE, spot, paint], clipped=["paint"]), "hero.psd", MAX_PIXELS, MAX_BYTES)
    assert [layer.is_clipped for layer in file.layers] == [False, False, True]


def test_a_hidden_group_hides_its_layers() -> None:
    """A layer is shown only if all groups around it are."""
    data = bytearray(make_psd([BASE, TOP], groups={"top": "Edits"}, **NO_MERGE))
    # The flags of the group's record, the last one with the mode "pass".
    place = data.rindex(b"8BIMpass", 0, data.rindex(b"E\0d\0i\0t\0s"))
    data[place + 10] |= 2
    picture, info = decode_with_info(bytes(data), "hero.psd", MAX_PIXELS)
    assert np.array_equal(picture.to_codes(), BASE.codes)
    assert "it has a hidden layer (“top”), which the picture is without" in info.notes


def test_a_saved_channel_called_mask_is_the_mask() -> None:
    """Other saved channels are no masks, and the merged picture has neither."""
    saved = {"Alpha 1": gradient(channels=1)[:, :, 0], "mask sky": mask_codes()[:, :, 0]}
    data = make_psd([BASE], channels=saved)
    (part,) = open_parts(data, "hero.psd", MAX_PIXELS)
    assert (part.kind, part.label, part.title) == ("mask", "sky", "the saved channel “mask sky” of hero.psd")
    assert np.array_equal(part.decode().to_codes()[:, :, 0], saved["mask sky"])
    assert np.array_equal(decode(data, "hero.psd", MAX_PIXELS).to_codes(), BASE.codes)
    assert [channel.name for channel in decode_layers(data, "hero.psd", MAX_PIXELS, MAX_BYTES).saved_channels] == list(saved)


def test_only_a_negative_count_of_layers_makes_the_fourth_channel_transparency() -> None:
    """Else it is a saved channel, and the picture is opaque."""
    four = gradient(channels=4)
    assert decode(make_psd([BASE], four), "hero.psd", MAX_PIXELS).alpha is None
    assert decode(make_psd([BASE], four, has_transparency=True), "hero.psd", MAX_PIXELS).alpha is not None


def test_profile_resolution_and_metadata_are_read() -> None:
    """From the image resources, byte for byte."""
    icc, xmp = profiles.builtin_profile("adobe-rgb"), b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    resolution = struct.pack(">IHHIHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
    data = make_psd([BASE], resources={1039: icc, 1060: xmp, 1005: resolution, 1028: b"\x1c\x02\x6e\0\4Gold"})
    picture = decode(data, "hero.psd", MAX_PIXELS)
    assert (picture.icc, picture.metadata.xmp, picture.ppi) == (icc, xmp, (300.0, 300.0))
    assert picture.metadata.iptc == b"\x1c\x02\x6e\0\4Gold"


def test_inks_are_read_as_ink_and_not_as_light() -> None:
    """Photoshop stores 255 for no ink."""
    codes = gradient(channels=4)
    inks = decode_ink_codes(make_psd([], codes, mode=4), "hero.psd", MAX_PIXELS)
    assert np.array_equal(inks, 255 - codes)


def block(key: bytes, data: bytes = b"\0\0\0\0") -> bytes:
    return b"8BIM" + key + struct.pack(">I", len(data)) + data


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"curv", "the adjustment layer “top”"),
        (b"lfx2", "the effects of the layer “top”"),
        (b"vmsk", "the vector mask of the layer “top”"),
    ],
)
def test_what_only_photoshop_can_draw_is_told(key: bytes, words: str) -> None:
    """With the merged picture it is a remark; without, the document is held, because its picture would be another one."""
    options = {"blocks": {"top": block(key)}}
    _, info = decode_with_info(make_psd([BASE, TOP], **options), "hero.psd", MAX_PIXELS)
    assert info.notes == (f"its merged picture is taken with everything that shows in it ({words})",)
    with pytest.raises(InputError, match=f"it was saved without its merged picture: {words}") as held:
        composed([BASE, TOP], **options)
    assert "Maximize Compatibility" in held.value.remedy
    with pytest.raises(InputError, match=f"shows “mask”, and without that .*{words}") as held:
        decode(make_psd([BASE, TOP, Layer("mask", mask_codes())], **options), "hero.psd", MAX_PIXELS)
    assert held.value.remedy.startswith("Hide the layers that are masks")


def test_a_mode_that_is_not_composed_is_named() -> None:
    """In Photoshop's words."""
    with pytest.raises(InputError, match="the blend mode “linear burn” of the layer “top”"):
        composed([BASE, TOP], modes={"top": b"lbrn"})


def test_a_fill_opacity_counts_like_opacity() -> None:
    """Without effects they are the same."""
    half = {"blocks": {"top": block(b"iOpa", b"\x80\0\0\0")}}
    assert np.array_equal(composed([BASE, replace(TOP, opacity=1)], **half), composed([BASE, replace(TOP, opacity=128 / 255)]))


@pytest.mark.parametrize(("mode", "words"), [(9, "in Lab colours"), (7, "in multichannel mode"), (0, "in bitmap mode")])
def test_colours_that_are_not_read_are_named(mode: int, words: str) -> None:
    """The remedy says what to convert the document to."""
    with pytest.raises(InputError, match=words) as refused:
        decode(make_psd([], gradient(), mode=mode), "hero.psd", MAX_PIXELS)
    assert "RGB or grey" in refused.value.remedy


def test_layers_of_a_file_with_sixteen_bits_may_lie_behind_the_list() -> None:
    """Photoshop leaves the list empty then, and writes the block Lr16."""
    data = make_psd(DEEP, **NO_MERGE)
    (resources,) = struct.unpack_from(">I", data, 30)
    start = 34 + resources
    (section, length) = struct.unpack_from(">II", data, start)
    info = data[start + 8 : start + 8 + length]
    moved = struct.pack(">I", 0) + struct.pack(">I", 0) + b"8BIMLr16" + struct.pack(">I", length) + info + b"\0" * (-length % 4)
    other = data[:start] + struct.pack(">I", len(moved)) + moved + data[start + 4 + section :]
    assert np.array_equal(decode(other, "hero.psd", MAX_PIXELS).to_codes(), decode(data, "hero.psd", MAX_PIXELS).to_codes())
    assert len(decode_layers(other, "hero.psd", MAX_PIXELS, MAX_BYTES).layers) == 2
