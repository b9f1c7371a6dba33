"""What holds for every format with layers: the picture, its masks, its layers for ``composite``, and the remarks."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.layered_files import LAYERED_FORMATS, SUFFIXES, Codes, Layer, LayeredFormat, gradient, make_file, mask_codes, plain
from goldsmith.errors import InputError
from goldsmith.picture.codec import decode, decode_layers, decode_with_info, mask_from_picture, open_parts
from goldsmith.picture.layered.layered_file import LayerBox
from goldsmith.picture.picture import Picture

MAX_PIXELS, MAX_BYTES = 100_000, 1 << 24
BASE, TOP = Layer("base", gradient()), Layer("top", gradient(10, 8, 4)[::-1], 5, 3, 0.6)
ALL = pytest.mark.parametrize("kind", LAYERED_FORMATS)
# XCF stores no merged picture.
WITH_MERGE = pytest.mark.parametrize("kind", [kind for kind in LAYERED_FORMATS if kind != "xcf"])


def read(kind: LayeredFormat, data: bytes) -> tuple[Picture, tuple[str, ...]]:
    """Return the picture and the remarks."""
    picture, info = decode_with_info(data, f"hero{SUFFIXES[kind]}", MAX_PIXELS)
    return picture, info.notes


def remarks(kind: LayeredFormat, data: bytes) -> str:
    """Return the remarks as one text, without the one about an OpenRaster file without a profile."""
    return "; ".join(note for note in read(kind, data)[1] if "what its colours are" not in note)


def codes_of(picture: Picture) -> Codes:
    return picture.to_codes()


def over(base: Codes, layer: Layer) -> Codes:
    """Return a layer with alpha over an opaque base by the plain formula."""
    result = base.astype(np.float64) / 255
    height, width, _ = layer.codes.shape
    window = np.s_[layer.top : layer.top + height, layer.left : layer.left + width]
    alpha = layer.codes[:, :, 3:] / 255 * layer.opacity
    result[window] = result[window] * (1 - alpha) + layer.codes[:, :, :3] / 255 * alpha
    return np.floor(result * 255 + 0.5).astype(np.uint8)


@WITH_MERGE
def test_the_picture_is_the_merged_one_that_the_file_stores(kind: LayeredFormat) -> None:
    """Not one code is composed anew."""
    merge = plain(77)
    picture, _ = read(kind, make_file(kind, [BASE, TOP], merge))
    assert np.array_equal(codes_of(picture), merge)
    assert picture.alpha is None


@ALL
def test_every_layer_comes_with_its_own_codes(kind: LayeredFormat) -> None:
    """Name, place, opacity and eye too; Krita's layers are as large as the canvas."""
    layers = [BASE, Layer("Größe 한 🙂", gradient(10, 8, 4), -4, 12, 0.6), Layer("hidden", plain(9, 2, 2), 1, 1, is_visible=False)]
    file = decode_layers(make_file(kind, layers), "hero", MAX_PIXELS, MAX_BYTES)
    assert [layer.name for layer in file.layers] == ["base", "Größe 한 🙂", "hidden"]
    assert [layer.is_visible for layer in file.layers] == [True, True, False]
    assert file.layers[1].opacity == pytest.approx(0.6)
    assert np.array_equal(file.layers[0].pixels, BASE.codes)
    second = file.layers[1]
    inside = np.s_[0:4, 4:10]
    window = LayerBox(0, 12, 6, 16).window_in(second.box)
    assert np.array_equal(second.pixels[window], layers[1].codes[inside][:, :, :3])
    assert second.alpha is not None
    assert np.array_equal(second.alpha[window], layers[1].codes[inside][:, :, 3])
    if kind != "kra":
        assert second.box == LayerBox(-4, 12, 6, 20)


@ALL
def test_a_visible_mask_layer_is_a_mask_and_not_in_the_picture(kind: LayeredFormat) -> None:
    """The picture is composed from the other layers, and a remark says so."""
    data = make_file(kind, [BASE, TOP, Layer("mask", mask_codes())], plain(1))
    picture, notes = read(kind, data)
    assert np.array_equal(codes_of(picture), over(BASE.codes, TOP))
    assert any("its layer “mask” is beside the picture and not in it" in note for note in notes)
    (part,) = open_parts(data, "hero", MAX_PIXELS)
    assert (part.kind, part.label) == ("mask", "mask")
    assert np.array_equal(mask_from_picture(part.decode()), mask_codes()[:, :, 0] / np.float32(255))


@WITH_MERGE
def test_a_hidden_mask_layer_leaves_the_merged_picture_as_it_is(kind: LayeredFormat) -> None:
    """It is a mask all the same."""
    data = make_file(kind, [BASE, Layer("mask sky", mask_codes(), is_visible=False)], plain(50))
    assert np.array_equal(codes_of(read(kind, data)[0]), plain(50))
    assert [(part.kind, part.label) for part in open_parts(data, "hero", MAX_PIXELS)] == [("mask", "sky")]
    assert remarks(kind, data) == ""


@ALL
def test_a_visible_layer_with_a_name_is_one_for_composite(kind: LayeredFormat) -> None:
    """It keeps its place on the canvas; a hidden one is none."""
    logo = Layer("layer logo", gradient(6, 5, 4), 3, 2)
    data = make_file(kind, [BASE, logo, Layer("layer old", plain(3), is_visible=False)])
    picture, _ = read(kind, data)
    assert np.array_equal(codes_of(picture), BASE.codes)
    (part,) = open_parts(data, "hero", MAX_PIXELS)
    assert (part.kind, part.label, part.title) == ("layer", "logo", "the layer “layer logo” of hero")
    layer = part.decode()
    assert layer.alpha is not None
    assert np.array_equal(np.round(layer.alpha * 255)[2:7, 3:9], logo.codes[:, :, 3])
    assert layer.alpha.sum() == pytest.approx(logo.codes[:, :, 3].sum() / 255)


@WITH_MERGE
def test_a_hidden_layer_is_told(kind: LayeredFormat) -> None:
    """The merged picture is without it."""
    data = make_file(kind, [BASE, Layer("retouch", plain(3), is_visible=False)])
    assert remarks(kind, data) == "it has a hidden layer (“retouch”), which the picture is without"


@ALL
def test_a_file_with_nothing_but_masks_is_refused(kind: LayeredFormat) -> None:
    """No picture would be left."""
    with pytest.raises(InputError, match="has no visible layer that is a part of the picture"):
        read(kind, make_file(kind, [Layer("mask", mask_codes())]))


@ALL
def test_sixteen_bits_are_kept(kind: LayeredFormat) -> None:
    """Code for code, in the picture and in the layers."""
    deep = Layer("base", gradient(depth=16))
    picture, info = decode_with_info(make_file(kind, [deep]), "hero", MAX_PIXELS)
    assert info.depth == picture.depth == 16
    assert np.array_equal(picture.to_codes(), deep.codes)
    file = decode_layers(make_file(kind, [deep]), "hero", MAX_PIXELS, MAX_BYTES)
    assert np.array_equal(file.layers[0].pixels, deep.codes)


@ALL
def test_transparent_parts_stay_transparent(kind: LayeredFormat) -> None:
    """A picture without an opaque ground has alpha; an opaque one has none."""
    soft = gradient(channels=4)
    options = {"has_transparency": True} if kind == "psd" else {}
    picture = decode(make_file(kind, [Layer("base", soft)], _on_white(soft) if kind == "psd" else soft, **options), "hero", MAX_PIXELS)
    assert picture.alpha is not None
    assert np.array_equal(np.round(picture.alpha * 255), soft[:, :, 3])
    strong = soft[:, :, 3] > 40
    assert np.abs(picture.to_codes()[strong].astype(int) - soft[strong][:, :3]).max() <= (4 if kind == "psd" else 1)


def _on_white(codes: Codes) -> Codes:
    """Return the codes as Photoshop stores a merged picture with transparency: the colours are mixed with white."""
    alpha = codes[:, :, 3:] / 255
    colours = np.round(codes[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.dstack([colours, codes[:, :, 3]])


@ALL
def test_layers_that_take_too_much_memory_are_refused(kind: LayeredFormat) -> None:
    """The sentence names the limit."""
    with pytest.raises(InputError, match=r"The layers of hero take more than 0 MiB of memory"):
        decode_layers(make_file(kind, [BASE, TOP]), "hero", MAX_PIXELS, 100)


@ALL
def test_a_file_that_is_still_arriving_is_incomplete_at_every_length(kind: LayeredFormat) -> None:
    """No beginning of a file passes for a picture."""
    data = make_file(kind, [BASE, TOP])
    for length in range(60, len(data) - 1, 97):
        with pytest.raises(InputError, match=r"ends too soon|contains only zeros"):
            read(kind, data[:length])
