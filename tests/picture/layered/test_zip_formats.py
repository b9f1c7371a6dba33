"""OpenRaster and Krita documents: the archive, the list of layers, and what each of the two has for itself."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.layered_files import Layer, gradient, make_kra, make_ora, plain
from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import decode, decode_layers, decode_with_info

MAX_PIXELS, MAX_BYTES = 100_000, 1 << 24
BASE, TOP = Layer("base", gradient()), Layer("top", gradient(10, 8, 4), 5, 3, 0.6)
DEEP = Layer("base", gradient(depth=16))
ADOBE = profiles.builtin_profile("adobe-rgb")


def test_the_profile_of_the_merged_picture_is_the_document_s() -> None:
    """Without one, the colours are taken for sRGB, and a remark says so."""
    picture, info = decode_with_info(make_ora([BASE], gradient(), png_options={"icc_profile": ADOBE}), "hero.ora", MAX_PIXELS)
    assert (picture.icc, info.notes) == (ADOBE, ())
    _, info = decode_with_info(make_ora([BASE], gradient()), "hero.ora", MAX_PIXELS)
    assert info.notes == ("it does not say what its colours are: they are taken for sRGB",)


def test_an_openraster_file_without_its_merged_picture_is_composed() -> None:
    """A remark says so."""
    picture, info = decode_with_info(make_ora([BASE], None), "hero.ora", MAX_PIXELS)
    assert np.array_equal(picture.to_codes(), BASE.codes)
    assert "it has no merged picture (mergedimage.png): the picture was composed from its layers" in info.notes


def test_groups_of_an_openraster_file_shift_and_fade_their_layers() -> None:
    """The place of a stack counts for what is in it."""
    stack = (
        '<image w="24" h="16"><stack><stack name="Edits" x="3" y="2" opacity="0.5">'
        '<layer name="spot" src="data/1.png" x="1" y="1"/></stack>'
        '<layer name="base" src="data/0.png"/></stack></image>'
    )
    layers = [Layer("base", plain(0)), Layer("spot", plain(255, 5, 4))]
    data = make_ora(layers, None, changes={"stack.xml": stack.encode()})
    picture = decode(data, "hero.ora", MAX_PIXELS)
    assert picture.to_codes()[3:7, 4:9].min() == picture.to_codes().max() == 128
    assert decode_layers(data, "hero.ora", MAX_PIXELS, MAX_BYTES).layers[1].group_path == ("Edits",)


def test_a_mode_that_is_not_composed_is_named() -> None:
    """Only if the picture must be composed."""
    operators = {"top": "svg:color-burn"}
    _, info = decode_with_info(make_ora([BASE, TOP], gradient(), operators=operators), "hero.ora", MAX_PIXELS)
    assert "the blend mode “svg:color-burn” of the layer “top”" in info.notes[-1]
    with pytest.raises(InputError, match=r"has no merged picture .*the blend mode “svg:color-burn” of the layer “top”"):
        decode(make_ora([BASE, TOP], None, operators=operators), "hero.ora", MAX_PIXELS)


def test_a_krita_file_with_sixteen_bits_is_composed_with_its_own_profile() -> None:
    """Its merged picture has 8 bits and no profile."""
    picture, info = decode_with_info(make_kra([DEEP], DEEP.codes, icc=ADOBE), "hero.kra", MAX_PIXELS)
    assert np.array_equal(picture.to_codes(), DEEP.codes)
    assert (picture.icc, picture.depth) == (ADOBE, 16)
    assert info.notes == ("its merged picture has only 8 bits: the picture was composed from its layers",)


@pytest.mark.parametrize(
    ("attributes", "space"),
    [({"base": 'compositeop="burn"'}, ""), ({}, "RGBAF32")],
    ids=["a mode of Krita's own", "floating point"],
)
def test_a_krita_file_that_only_krita_can_draw_gives_its_eight_bits_with_a_remark(attributes: dict[str, str], space: str) -> None:
    """It is better than no picture, and the person knows."""
    data = make_kra([DEEP], DEEP.codes, attributes=attributes, space=space)
    picture, info = decode_with_info(data, "hero.kra", MAX_PIXELS)
    assert np.array_equal(picture.to_codes(), (DEEP.codes >> 8).astype(np.uint8))
    assert "its merged picture has 8 bits a channel and no profile, and the document has more: it is taken for sRGB" in info.notes


def test_a_krita_layer_of_several_tiles_is_read_at_its_place() -> None:
    """Tiles are packed by LZF or not at all, and may lie outside the canvas."""
    large = Layer("base", gradient(150, 70, 4), -20, -3)
    file = decode_layers(make_kra([large], plain(0, 100, 60), (100, 60)), "hero.kra", MAX_PIXELS, MAX_BYTES)
    assert np.array_equal(file.layers[0].pixels, large.codes[3:63, 20:120, :3])


def test_a_krita_layer_fills_what_has_no_tile_with_its_default_pixel() -> None:
    """Krita stores no tiles for a plain background."""
    empty = b"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 4\nDATA 0\n"
    changes = {"Unnamed/layers/layer0": empty, "Unnamed/layers/layer0.defaultpixel": bytes([10, 20, 30, 255])}
    file = decode_layers(make_kra([BASE], gradient(), changes=changes), "hero.kra", MAX_PIXELS, MAX_BYTES)
    assert file.layers[0].pixels[0, 0].tolist() == [30, 20, 10]
