"""GIMP documents: versions, ways of packing, precisions, modes, masks and groups. ``tests/clients`` checks them against GIMP itself."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from doubles.layered_files import Codes, Layer, gradient, make_xcf, mask_codes, plain
from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.codec import decode, decode_layers, decode_with_info, open_parts

MAX_PIXELS, MAX_BYTES = 100_000, 1 << 24
BASE, TOP = Layer("base", gradient()), Layer("top", gradient(10, 8, 4)[::-1], 5, 3, 0.6)
WIDE = Layer("base", gradient(150, 70))


def codes_of(layers: list[Layer], size: tuple[int, int] = (24, 16), **options: Any) -> Codes:
    return decode(make_xcf(layers, size, **options), "hero.xcf", MAX_PIXELS).to_codes()


def item_path(*numbers: int) -> bytes:
    """Return the property with a layer's place in its groups."""
    return struct.pack(f">2I{len(numbers)}I", 30, 4 * len(numbers), *numbers)


@pytest.mark.parametrize("compression", [0, 1, 2], ids=["raw", "runs", "zlib"])
@pytest.mark.parametrize("version", [0, 3, 10, 11, 12, 14])
def test_every_version_and_packing_is_read(version: int, compression: int) -> None:
    """Several tiles, of which those at the edges are smaller; pointers have 4 bytes before version 11, and 8 from then on."""
    assert np.array_equal(codes_of([WIDE], (150, 70), version=version, compression=compression), WIDE.codes)


def test_runs_of_every_length_are_unpacked() -> None:
    """Short and long repeats and copies in one plane."""
    codes = np.zeros((64, 64, 3), np.uint8)
    codes.reshape(-1)[:6000] = np.random.default_rng(4).integers(0, 256, 6000)
    codes[40:, :, 1] = 7
    assert np.array_equal(codes_of([Layer("base", codes)], (64, 64)), codes)


@pytest.mark.parametrize(
    ("precision", "dtype", "scale"),
    [(250, np.uint16, 65535), (350, np.uint32, 2**32 - 1), (550, np.float16, 1), (650, np.float32, 1), (750, np.float64, 1)],
    ids=["u16", "u32", "half", "float", "double"],
)
def test_every_gamma_precision_becomes_the_same_picture(precision: int, dtype: Any, scale: float) -> None:
    """Within the precision of half floats; more than 16 bits are told."""
    values = (np.linspace(0, 1, 24)[None, :, None] * np.ones((16, 1, 3)) * scale).astype(dtype)
    picture, info = decode_with_info(make_xcf([Layer("base", values)], precision=precision), "hero.xcf", MAX_PIXELS)
    assert info.depth == 16
    assert np.abs(picture.pixels - np.linspace(0, 1, 24)[None, :, None]).max() < 3e-4
    assert any("more than 16 bits" in note for note in info.notes) == (precision != 250)


def test_linear_light_without_a_profile_is_encoded() -> None:
    """With a profile the values are in the profile, and stay as they are."""
    values = np.full((16, 24, 3), 0.25, np.float32)
    encoded = float(colour.from_linear(values[:1, :1], None)[0, 0, 0])
    assert decode(make_xcf([Layer("base", values)], precision=600), "hero.xcf", MAX_PIXELS).pixels[0, 0, 0] == pytest.approx(
        encoded, abs=1e-4
    )
    icc = profiles.builtin_profile("adobe-rgb")
    tagged = decode(make_xcf([Layer("base", values)], precision=600, parasites={"icc-profile": icc}), "hero.xcf", MAX_PIXELS)
    assert tagged.icc == icc
    assert tagged.pixels[0, 0, 0] == pytest.approx(0.25, abs=1e-4)


def test_values_beyond_white_and_values_that_are_no_numbers_are_clipped() -> None:
    """No such value gets into a picture."""
    values = np.zeros((16, 24, 3), np.float32)
    values[0, :4] = [[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [7.5] * 3]
    picture = decode(make_xcf([Layer("base", values)], precision=650), "hero.xcf", MAX_PIXELS)
    assert picture.pixels[0, :4, 0].tolist() == [0, 1, 0, 1]


def test_grey_and_palettes_are_read() -> None:
    """Grey stays grey; a palette becomes RGB."""
    grey = gradient(channels=1)
    assert np.array_equal(codes_of([Layer("base", grey)]), grey)
    palette = np.random.default_rng(1).integers(0, 256, (9, 3), np.uint8)
    numbers = np.random.default_rng(2).integers(0, 9, (16, 24, 1)).astype(np.uint8)
    assert np.array_equal(codes_of([Layer("base", numbers)], palette=palette), palette[numbers[:, :, 0]])


def test_a_layer_is_blended_in_the_space_of_its_mode() -> None:
    """Normal of GIMP before 2.10 mixes codes; normal of today mixes light, unless the file says otherwise."""
    white = Layer("top", np.dstack([plain(255), plain(128, channels=1)]))
    black = Layer("base", plain(0))
    mixed_codes = codes_of([black, white], modes={"top": 0})[0, 0, 0]
    mixed_light = codes_of([black, white], modes={"top": 28})[0, 0, 0]
    as_codes = struct.pack(">2Ii", 36, 4, 2)
    assert (mixed_codes, mixed_light) == (128, 188)
    assert codes_of([black, white], modes={"top": 28}, properties={"top": as_codes})[0, 0, 0] == 128
    automatic = struct.pack(">2Ii", 36, 4, -1)
    assert codes_of([black, white], modes={"top": 28}, properties={"top": automatic})[0, 0, 0] == 188


def test_a_mode_that_is_not_composed_is_named() -> None:
    """The document is held: there is no merged picture to fall back on."""
    with pytest.raises(InputError, match="the mode “dissolve” of the layer “top”") as held:
        codes_of([BASE, TOP], modes={"top": 1})
    assert "save it as PNG or TIFF" in held.value.remedy


def test_a_mask_hides_unless_it_is_switched_off() -> None:
    """It lies where its layer does."""
    layer, mask = Layer("top", plain(200, 10, 8), 5, 3), np.zeros((8, 10), np.uint8)
    mask[:, :5] = 255
    expected = BASE.codes.copy()
    expected[3:11, 5:10] = 200
    assert np.array_equal(codes_of([BASE, layer], masks={"top": mask}), expected)
    expected[3:11, 5:15] = 200
    off = struct.pack(">3I", 11, 4, 0)
    assert np.array_equal(codes_of([BASE, layer], masks={"top": mask}, properties={"top": off}), expected)


def test_a_group_fades_and_hides_its_layers_as_one() -> None:
    """Two overlapping white layers in a group of half opacity give one half."""
    lower, upper = Layer("lower", plain(255, 10, 8), 2, 2), Layer("upper", plain(255, 10, 8), 6, 4)
    group = Layer("Edits", np.zeros((1, 1, 4), np.uint8), opacity=0.5)
    layers = [Layer("base", plain(0)), lower, upper, group]
    paths = {"lower": item_path(0, 1), "upper": item_path(0, 0)}
    result = codes_of(layers, groups={"Edits": ()}, properties=paths)
    assert sorted(set(result.ravel().tolist())) == [0, 128]
    file = decode_layers(make_xcf(layers, groups={"Edits": ()}, properties=paths), "hero.xcf", MAX_PIXELS, MAX_BYTES)
    assert [layer.group_path for layer in file.layers] == [(), ("Edits",), ("Edits",)]
    assert file.layers[1].groups[0] is file.layers[2].groups[0]
    hidden = [*layers[:3], Layer("Edits", group.codes, is_visible=False)]
    assert not codes_of(hidden, groups={"Edits": ()}, properties=paths).any()


def test_a_saved_channel_called_mask_is_the_mask() -> None:
    """Other channels are none."""
    data = make_xcf([BASE], channels={"mask": mask_codes()[:, :, 0], "Selection": gradient(channels=1)[:, :, 0]})
    (part,) = open_parts(data, "hero.xcf", MAX_PIXELS)
    assert (part.label, part.title) == ("mask", "the saved channel “mask” of hero.xcf")
    assert np.array_equal(part.decode().to_codes()[:, :, 0], mask_codes()[:, :, 0])


METADATA = b"""<?xml version='1.0' encoding='UTF-8'?><metadata>
<tag name="Exif.Image.Orientation">6</tag><tag name="Exif.Photo.ExposureTime">1/60</tag>
<tag name="Xmp.dc.creator">A. Gold</tag><tag name="Xmp.dc.creator">B</tag><tag name="Xmp.dc.title">Spring</tag>
<tag name="Xmp.xmpMM.DocumentID">xmp.did:12345678-1234-1234-1234-123456789abc</tag>
<tag name="Xmp.xmpMM.DerivedFrom/stRef:documentID">xmp.did:parent</tag>
</metadata>\0"""


def test_xmp_is_put_together_from_gimp_s_list_and_the_rest_is_told() -> None:
    """The id by which a picture is known again is in it. GIMP has turned the picture, so its orientation is none."""
    from goldsmith.picture.metadata.credits import read_credits
    from goldsmith.picture.metadata.identity import read_identity

    picture, info = decode_with_info(make_xcf([BASE], parasites={"gimp-image-metadata": METADATA}), "hero.xcf", MAX_PIXELS)
    assert read_identity(picture.metadata).ids == ("12345678-1234-1234-1234-123456789abc",)
    assert read_credits(picture.metadata).title == "Spring"
    assert b"A. Gold" in (picture.metadata.xmp or b"")
    assert (picture.width, picture.height) == (24, 16)
    assert info.notes == ("one value of its Exif, IPTC and XMP are kept by GIMP in a form that is not read, and were left out",)


def test_metadata_that_are_damaged_are_left_out_with_a_remark() -> None:
    """The picture is whole without them."""
    bad = {"gimp-image-metadata": b"<metadata><tag>"}
    _, info = decode_with_info(make_xcf([BASE], parasites=bad), "hero.xcf", MAX_PIXELS)
    assert info.notes == ("its metadata are damaged and were left out",)
