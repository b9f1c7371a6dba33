"""The colours of a file: profiles that can be used, that must be converted, and that hold the picture; floating-point ranges; inks."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from doubles.icc_profiles import (
    gamma_tag,
    grey_lab_profile,
    grey_table_profile,
    profile,
    rgb_table_profile,
    with_class,
)
from doubles.press import press_profile
from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.codec import EncodingOptions, ReadingOptions, decode, decode_mask, decode_with_info, encode, verify
from goldsmith.picture.icc_transforms import transform_codes
from goldsmith.picture.print.cmyk import validate_cmyk_profile

LIMIT = 10**7
SRGB, ADOBE_RGB = profiles.builtin_profile("srgb"), profiles.builtin_profile("adobe-rgb")
REMEDY = "Assign the right profile in a picture program and save it again, or save it without a profile: then it is read as sRGB."


def flat_matrix() -> bytes:
    """Return an RGB profile whose colorants are all zero."""
    nothing = b"XYZ \0\0\0\0" + bytes(12)
    tags = {letter + kind: nothing if kind == b"XYZ" else gamma_tag(2.2) for letter in (b"r", b"g", b"b") for kind in (b"XYZ", b"TRC")}
    return profile(b"RGB ", b"XYZ ", tags)


UNUSABLE = {
    "cut off in its tags": (ADOBE_RGB[:300], r"a colour profile that is cut off: 300 of \d+ bytes are there"),
    "cut off in the list of its tags": (SRGB[:200], r"a colour profile that is cut off: 200 of \d+ bytes are there"),
    "a table that is cut off": (rgb_table_profile()[:-5000], "cut off"),
    "only its first bytes": (SRGB[:100], "a colour profile that is damaged"),
    "rubbish": (b"rubbish" * 100, "a colour profile that is damaged"),
    "all zeros": (bytes(600), "a colour profile that is damaged"),
    "without colours": (profile(b"RGB ", b"XYZ ", {}), "a colour profile (“test profile”) that is damaged"),
    "black for every colour": (flat_matrix(), "that is damaged"),
    "a link": (with_class(SRGB, b"link"), "of a kind that does not describe the colours of a picture"),
    "an effect": (with_class(SRGB, b"abst"), "of a kind that does not describe"),
    "named colours": (with_class(SRGB, b"nmcl"), "of a kind that does not describe"),
    "for grey": (grey_lab_profile(), "RGB pixels and a colour profile for grey pixels (“grey lightness”)"),
    "for inks": (press_profile(), "RGB pixels and a colour profile for CMYK pixels"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_profile_that_cannot_be_used_holds_the_picture(kind: str, photo: NDArray[np.uint8], saved: Any) -> None:
    """The sentence names the file, the fault and the remedy; it comes from the first reading, of every format, without a step."""
    icc, fault = UNUSABLE[kind]
    is_pattern = "\\d" in fault
    for name, data in {
        "hero.png": saved(photo, "PNG", icc_profile=icc),
        "hero.jpg": saved(photo, "JPEG", icc_profile=icc),
        "hero.tif": saved(photo, "TIFF", icc_profile=icc),
        "hero.webp": saved(photo, "WEBP", icc_profile=icc),
    }.items():
        for read in (verify, decode):
            with pytest.raises(InputError) as caught:
                read(data, name, LIMIT)
            assert caught.value.sentence.startswith(f"{name} has ")
            assert caught.value.sentence.endswith(", so its true colours are unknown.")
            assert caught.value.remedy == REMEDY
            if not is_pattern:
                assert fault in caught.value.sentence
        mask = decode_mask(data, name, LIMIT)
        assert mask.shape == (48, 64)


def test_a_mask_is_read_whatever_its_profile(photo: NDArray[np.uint8], saved: Any) -> None:
    """The values of a mask are not colours: grey with a profile of any kind keeps its codes."""
    data = saved(photo[:, :, 0], "PNG", icc_profile=grey_lab_profile())
    assert np.array_equal(np.round(decode_mask(data, "a.png", LIMIT) * 255), photo[:, :, 0])


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 40])
def test_bytes_behind_a_profile_do_no_harm(extra: bytes, photo: NDArray[np.uint8], saved: Any) -> None:
    """Some programs fill the space of a profile up."""
    assert decode(saved(photo, "PNG", icc_profile=ADOBE_RGB + extra), "a.png", LIMIT).icc == ADOBE_RGB + extra


def test_grey_with_an_rgb_profile_has_its_curve(photo: NDArray[np.uint8], saved: Any) -> None:
    """Equal red, green and blue are neutral in an RGB profile: its curve alone counts, and the picture stays grey."""
    grey = photo[:, :, 0]
    picture, facts = decode_with_info(saved(grey, "PNG", icc_profile=ADOBE_RGB), "a.png", LIMIT)
    assert picture.channels == 1
    assert facts.notes == ("its grey has the RGB profile “Adobe RGB (1998) compatible” and is read by it",)
    expected = transform_codes(np.repeat(grey[:, :, None], 3, axis=2), ADOBE_RGB, SRGB)
    assert np.abs(colour.convert_profile(picture, "srgb").pixels - expected).max() < 1e-3


def test_grey_with_an_rgb_profile_of_tables_becomes_rgb(photo: NDArray[np.uint8], saved: Any) -> None:
    """A table has no curve of its own, so the three channels stay."""
    icc = rgb_table_profile()
    picture = decode(saved(photo[:, :, 0], "JPEG", icc_profile=icc, quality=100), "a.jpg", LIMIT)
    assert picture.channels == 3
    assert picture.icc == icc


def test_a_palette_of_greys_keeps_its_rgb_profile(photo: NDArray[np.uint8]) -> None:
    """The colours of a palette are RGB, whatever they look like (PNG 3rd edition, 4.5)."""
    out = io.BytesIO()
    image = Image.fromarray(photo[:, :, 0]).convert("P")
    image.putpalette([code for level in range(256) for code in (level, level, level)])
    image.save(out, "PNG", icc_profile=ADOBE_RGB)
    picture, facts = decode_with_info(out.getvalue(), "a.png", LIMIT)
    assert (picture.channels, picture.icc, facts.notes) == (3, ADOBE_RGB, ())
    assert np.array_equal(picture.to_codes()[:, :, 1], photo[:, :, 0])
    plain = io.BytesIO()
    image.save(plain, "PNG")
    assert decode(plain.getvalue(), "a.png", LIMIT).channels == 1


@pytest.mark.parametrize(("space", "target"), [("adobe-rgb", "adobe-rgb"), ("prophoto", "prophoto")])
def test_a_scanners_profile_is_converted_when_it_is_read(space: str, target: str, photo: NDArray[np.uint8], saved: Any) -> None:
    """A table for reading only has no way back. Its colours become Adobe RGB, or ProPhoto RGB of 16 bits where that is too narrow.

    lcms makes the same colours of it.
    """
    icc = rgb_table_profile(space, has_inverse=False, device_class=b"scnr", name="scanner")
    wide = photo.copy()
    wide[:8, :, :] = (5, 250, 5)
    picture, facts = decode_with_info(saved(wide, "PNG", icc_profile=icc), "a.png", LIMIT)
    assert picture.icc == profiles.builtin_profile(target)
    assert picture.depth == (8 if target == "adobe-rgb" else 16)
    assert "were converted from the profile “scanner”, which is one for reading only, to " in facts.notes[0]
    flags = 0x2100  # black point compensation, and no coarse table in place of the profiles
    transform = ImageCms.buildTransform(io.BytesIO(icc), io.BytesIO(picture.icc), "RGB", "RGB", 1, flags)
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(wide), transform)).astype(int)
    assert np.abs(picture.pixels * 255 - expected).max() < 1.5


def test_every_profile_of_a_scanner_or_camera_is_converted(photo: NDArray[np.uint8], saved: Any) -> None:
    """Also one of a matrix, and one of grey; a table of a screen without a way back, too."""
    for icc in (with_class(ADOBE_RGB, b"scnr"), rgb_table_profile(has_inverse=False)):
        assert decode(saved(photo, "PNG", icc_profile=icc), "a.png", LIMIT).icc == ADOBE_RGB
    icc = grey_table_profile(device_class=b"scnr")
    picture = decode(saved(photo[:, :, 0], "PNG", icc_profile=icc), "a.png", LIMIT)
    assert (picture.icc, picture.channels) == (None, 1)
    assert np.abs(picture.pixels - transform_codes(photo[:, :, :1], icc, SRGB)[:, :, :1]).max() < 2e-3


def test_grey_tables_can_be_written_in_every_format(photo: NDArray[np.uint8], make_picture: Any) -> None:
    """A format without grey gets sRGB with its profile."""
    for icc in (grey_table_profile(), grey_lab_profile()):
        picture = make_picture(photo[:, :, :1], icc=icc)
        for kind in ("png", "jpeg", "tiff", "avif"):
            assert decode(encode(picture, EncodingOptions(kind)), "a." + kind, LIMIT).icc == icc
        back = decode(encode(picture, EncodingOptions("webp", lossless=True)), "a.webp", LIMIT)
        assert back.icc == SRGB
        assert np.abs(back.pixels[:, :, :1] - colour.convert_profile(picture, "srgb").pixels).max() < 0.003


# ---------------------------------------------------------------------- inks


def cmyk_tiff(codes: NDArray[Any], extra: str | None = None, icc: bytes | None = None) -> bytes:
    out = io.BytesIO()
    tags = [(34675, 7, len(icc), icc, True)] if icc else []
    tifffile.imwrite(out, codes, photometric="separated", planarconfig="contig", extrasamples=[extra] if extra else None, extratags=tags)
    return out.getvalue()


def test_inks_without_a_profile_are_read_by_the_plain_formula_and_remarked() -> None:
    """R = (1 - C)(1 - K); the remark says that the colours are approximate."""
    picture, facts = decode_with_info(cmyk_tiff(np.full((4, 5, 4), (51, 102, 0, 51), np.uint8)), "a.tif", LIMIT)
    assert np.allclose(picture.pixels[0, 0], [0.8 * 0.8, 0.6 * 0.8, 0.8])
    assert facts.notes == ("its inks have no profile: they are read by a plain formula, so its colours are approximate",)


def test_inks_with_an_rgb_profile_hold_the_picture() -> None:
    """Nobody knows which press the inks are for."""
    with pytest.raises(InputError, match="CMYK pixels and a colour profile for RGB pixels") as caught:
        verify(cmyk_tiff(np.zeros((4, 5, 4), np.uint8), icc=SRGB), "a.tif", LIMIT)
    assert caught.value.remedy.endswith("then its inks are read by a plain formula.")


@pytest.mark.parametrize("has_profile", [False, True])
def test_inks_are_divided_by_alpha_before_they_become_colours(has_profile: bool) -> None:
    """Premultiplied inks of a half transparent area have the colour of the whole inks."""
    icc = validate_cmyk_profile(press_profile(), "press.icc") if has_profile else None
    inks = np.array([200, 100, 60, 40], np.float64)
    alpha = np.array([255, 128, 51])
    premultiplied = np.concatenate([np.rint(inks * alpha[:, None] / 255), alpha[:, None]], axis=1).astype(np.uint8)[None]
    straight = np.concatenate([np.tile(inks, (3, 1)), alpha[:, None]], axis=1).astype(np.uint8)[None]
    picture = decode(cmyk_tiff(premultiplied, "assocalpha", icc), "a.tif", LIMIT)
    expected = decode(cmyk_tiff(straight, "unassalpha", icc), "a.tif", LIMIT)
    assert picture.alpha is not None
    assert np.allclose(picture.alpha[0] * 255, alpha)
    assert np.abs(picture.pixels - expected.pixels).max() < 0.02
    assert np.abs(expected.pixels - expected.pixels[:, :1]).max() == 0


# ---------------------------------------------------------------------- floating point


def float_tiff(values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric="rgb" if values.ndim == 3 else "minisblack")
    return out.getvalue()


@pytest.mark.parametrize(("top", "suggestion"), [(255, 255), (206, 255), (65535, 65535), (4000, 4095), (12.5, 12.5), (1.3, 1.3)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_beyond_one_hold_the_picture(top: float, suggestion: float, kind: type, photo: NDArray[np.uint8]) -> None:
    """The sentence says the range; with the white value of the brief the picture is the one that was meant."""
    values = (photo / photo.max() * top).astype(kind)
    data = float_tiff(values)
    for read in (verify, decode):
        with pytest.raises(InputError) as caught:
            read(data, "hero.tif", LIMIT)
        assert caught.value.sentence.startswith("hero.tif holds floating-point values from ")
        assert caught.value.sentence.endswith(f" to {top:g}; Goldsmith reads 0 to 1.")
        assert caught.value.remedy.endswith(f"as in float_range = {suggestion:g}.")
    picture = decode(data, "hero.tif", LIMIT, reading=ReadingOptions(float_range=suggestion))
    assert np.abs(picture.pixels - values / suggestion).max() < 1e-5
    assert verify(data, "hero.tif", LIMIT, ReadingOptions(float_range=suggestion)).depth == values.itemsize * 8


def test_the_range_of_the_brief_is_checked_too(photo: NDArray[np.uint8]) -> None:
    """A white value that is too small would clip."""
    with pytest.raises(InputError, match=r"values from 0 to 65535; Goldsmith reads 0 to 255"):
        decode(float_tiff((photo / photo.max() * 65535).astype(np.float32)), "a.tif", LIMIT, reading=ReadingOptions(float_range=255))


def test_floats_below_zero_hold_the_picture(photo: NDArray[np.uint8]) -> None:
    """Values round zero are another kind of picture."""
    with pytest.raises(InputError, match=r"values from -0\.5 to 0\.5"):
        decode(float_tiff((photo / photo.max() - 0.5).astype(np.float32)), "a.tif", LIMIT)


def test_an_overshoot_and_values_that_are_no_numbers_are_remarked(photo: NDArray[np.uint8]) -> None:
    """A filter's overshoot is clipped; a NaN is black, and infinity white."""
    values = (photo / 255).astype(np.float32)
    values[0, 0], values[0, 1], values[0, 2], values[1] = np.nan, np.inf, -0.02, 1.06
    picture, facts = decode_with_info(float_tiff(values), "a.tif", LIMIT)
    assert (picture.pixels[0, 0].max(), picture.pixels[0, 1].min(), picture.pixels[0, 2].max(), picture.pixels[1].max()) == (0, 1, 0, 1)
    assert "its values from -0.02 to 1.06 were clipped to 0 to 1" in facts.notes
    assert "6 of its values are no numbers: they are read as black, or white if infinite" in facts.notes


def test_alpha_from_0_to_1_stays_when_colours_are_scaled() -> None:
    """Some programs scale only the colours."""
    for whole in (1.0, 255.0):
        values = np.zeros((4, 5, 4), np.float32)
        values[..., :3], values[..., 3] = 255, 0.5 * whole
        values[0, :, 3] = whole
        out = io.BytesIO()
        tifffile.imwrite(out, values, photometric="rgb", extrasamples=["unassalpha"])
        picture = decode(out.getvalue(), "a.tif", LIMIT, reading=ReadingOptions(float_range=255))
        assert picture.alpha is not None
        assert (float(picture.alpha[1, 0]), float(picture.pixels.min())) == (0.5, 1.0)


def test_floats_from_0_to_1_are_as_before(photo: NDArray[np.uint8]) -> None:
    """Half, single and double precision are taken as they are."""
    for kind in (np.float16, np.float32, np.float64):
        values = (photo / 255).astype(kind)
        assert np.array_equal(decode(float_tiff(values), "a.tif", LIMIT).pixels, values.astype(np.float32))


def test_opencv_and_goldsmith_agree_on_a_float_tiff(photo: NDArray[np.uint8], tmp_path: Any) -> None:
    """The scaled values are those that another reader finds in the file."""
    path = tmp_path / "a.tif"
    path.write_bytes(float_tiff(photo.astype(np.float32)))
    other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert other is not None
    picture = decode(path.read_bytes(), "a.tif", LIMIT, reading=ReadingOptions(float_range=255))
    assert np.abs(picture.pixels - other[:, :, ::-1] / 255).max() < 1e-6


def test_a_profile_that_says_pq_is_hdr(photo: NDArray[np.uint8], saved: Any) -> None:
    """A cicp tag in a profile counts as colour codes do (ICC.1:2022, 9.2.17)."""
    tags = {b"cicp": b"cicp\0\0\0\0" + bytes((9, 16, 0, 1))}
    for letter, corner in zip((b"r", b"g", b"b"), profiles.builtin_colorants("prophoto").T, strict=True):
        tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in corner))
        tags[letter + b"TRC"] = gamma_tag(2.2)
    data = saved(photo, "PNG", icc_profile=profile(b"RGB ", b"XYZ ", tags))
    with pytest.raises(InputError, match=r"a\.png is an HDR picture \(PQ\)"):
        verify(data, "a.png", LIMIT)
    assert profiles.profile_name(decode(data, "a.png", LIMIT, reading=ReadingOptions(hdr="tonemap")).icc) == "BT.2020, sRGB curve"
