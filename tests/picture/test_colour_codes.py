"""Colour codes become matrix-and-curve profiles; HDR is refused, or tone-mapped as ITU-R BT.2390 has it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles, tone_mapping
from goldsmith.picture.codec import ReadingOptions, decode, decode_with_info, verify
from goldsmith.picture.colour_codes import colour_from_codes
from goldsmith.picture.picture import Picture, freeze

LIMIT = 10**7
Float64Array = NDArray[np.float64]
RAMP = np.linspace(0, 1, 101)


def bt709(values: Float64Array) -> Float64Array:
    """Return the light of BT.709 values: L = ((V + 0.099) / 1.099) ** (1 / 0.45), below 0.081 V / 4.5 (ITU-R BT.709-6, 1.2)."""
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def srgb(values: Float64Array) -> Float64Array:
    """Return the light of sRGB values (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def xyz_matrix(red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float], white: tuple[float, float]) -> Float64Array:
    """Return the matrix from linear RGB to XYZ of the white itself (SMPTE RP 177)."""
    corners = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    target = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
    return corners * np.linalg.solve(corners, target)


D65 = (0.3127, 0.3290)
BT2020 = xyz_matrix((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)
P3 = xyz_matrix((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
SRGB = xyz_matrix((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)


def with_cicp(plain: bytes, *codes: int) -> bytes:
    """Return the PNG with a cICP chunk behind its header."""
    body = b"cICP" + bytes(codes)
    return plain[:33] + struct.pack(">I", len(codes)) + body + struct.pack(">I", zlib.crc32(body)) + plain[33:]


@pytest.mark.parametrize(
    ("codes", "curve", "matrix"),
    [
        ((9, 14), bt709, BT2020),
        ((9, 15), bt709, BT2020),
        ((9, 1), bt709, BT2020),
        ((9, 13), srgb, BT2020),
        ((9, 8), lambda values: values, BT2020),
        ((1, 8), lambda values: values, SRGB),
        ((12, 8), lambda values: values, P3),
        ((12, 1), bt709, P3),
        ((12, 13), srgb, P3),
        ((12, 4), lambda values: values**2.2, P3),
        ((1, 4), lambda values: values**2.2, SRGB),
        ((1, 5), lambda values: values**2.8, SRGB),
        ((2, 2), srgb, SRGB),
        ((1, 13), srgb, SRGB),
        ((1, 1), srgb, SRGB),
    ],
)
def test_codes_are_read_by_their_formulas(
    codes: tuple[int, int], curve: Callable[[Float64Array], Float64Array], matrix: Float64Array, saved: Any
) -> None:
    """Colours in sRGB equal curve and matrix of the standards; all of these have the white of sRGB, so nothing is adapted."""
    pixels = (np.random.default_rng(1).uniform(0.42, 0.52, (8, 9, 3)) * 255).astype(np.uint8)
    picture = decode(with_cicp(saved(pixels, "PNG"), *codes, 0, 1), "a.png", LIMIT)
    light = curve(pixels / 255) @ (np.linalg.solve(SRGB, matrix)).T
    assert 0 < light.min() < light.max() < 1
    result = colour.to_linear(colour.convert_profile(picture, "srgb").pixels, None)
    assert np.abs(result - light).max() < 5e-4


def test_lcms_reads_the_profiles_of_codes_as_goldsmith_does(saved: Any) -> None:
    """The embedded profile of a deliverable gives the same colours elsewhere."""
    pixels = (np.random.default_rng(2).uniform(0.42, 0.52, (8, 9, 3)) * 255).astype(np.uint8)
    for codes in ((9, 14), (9, 8), (5, 6), (6, 6), (11, 4), (4, 7), (22, 13), (8, 12)):
        coded = colour_from_codes(*codes, is_grey=False)
        assert coded is not None
        assert coded.icc is not None
        ours = colour.convert_profile(Picture(freeze((pixels / 255).astype(np.float32)), icc=coded.icc), "srgb").pixels * 255
        transform = ImageCms.buildTransform(io.BytesIO(coded.icc), ImageCms.createProfile("sRGB"), "RGB", "RGB", 1, flags=0x2100)
        theirs = ImageCms.applyTransform(Image.fromarray(pixels), transform)
        assert theirs is not None
        assert np.abs(ours - np.asarray(theirs).astype(int)).max() < 1.01


def test_grey_has_the_curve_of_its_codes(photo: NDArray[np.uint8], saved: Any) -> None:
    """Linear grey stays grey; sRGB grey needs no profile."""
    grey = saved(photo[:, :, 0], "PNG")
    picture = decode(with_cicp(grey, 9, 8, 0, 1), "a.png", LIMIT)
    assert picture.channels == 1
    expected = colour.from_linear((photo[:, :, :1] / 255).astype(np.float32), None)
    assert np.abs(colour.convert_profile(picture, "srgb").pixels - expected).max() < 1e-4
    assert decode(with_cicp(grey, 12, 13, 0, 1), "a.png", LIMIT).icc is None


def test_codes_without_a_meaning_hold_the_picture_in_every_format(photo: NDArray[np.uint8], saved: Any) -> None:
    """Logarithmic curves and reserved numbers are not read as sRGB."""
    for codes in ((1, 9), (1, 10), (10, 13), (30, 1)):
        with pytest.raises(InputError, match=rf"\(primaries {codes[0]}, transfer function {codes[1]}\), so its true colours are unknown"):
            verify(with_cicp(saved(photo, "PNG"), *codes, 0, 1), "a.png", LIMIT)
    data = bytes(imagecodecs.avif_encode(photo, primaries=1, transfer=9, matrix=6, speed=10))
    with pytest.raises(InputError, match="transfer function 9"):
        verify(data, "a.avif", LIMIT)


def test_codes_for_yuv_in_a_png_are_ignored_with_a_remark(photo: NDArray[np.uint8], saved: Any) -> None:
    """PNG holds RGB only; the profile beside them counts."""
    data = with_cicp(saved(photo, "PNG", icc_profile=profiles.builtin_profile("prophoto")), 9, 16, 9, 1)
    picture, facts = decode_with_info(data, "a.png", LIMIT)
    assert picture.icc == profiles.builtin_profile("prophoto")
    assert facts.notes == ("its colour codes (cICP) are not those of RGB pixels and were ignored",)


# ---------------------------------------------------------------------- HDR

TONEMAP = ReadingOptions(hdr="tonemap")


def pq(light: Float64Array) -> Float64Array:
    """Return the PQ value of light in cd/m2 (SMPTE ST 2084, equation 5.2)."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def pq_light(values: Float64Array) -> Float64Array:
    """Return the light in cd/m2 of PQ values (SMPTE ST 2084, equation 4.1)."""
    power = values ** (1 / 78.84375)
    return 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


def eetf(light: Float64Array, peak: float, target: float) -> Float64Array:
    """Return light in cd/m2 after the EETF of ITU-R BT.2390-11, 5.4.1, steps 1 to 4, with both blacks at 0."""
    e1 = pq(light) / pq(np.array(peak))
    max_lum = pq(np.array(target)) / pq(np.array(peak))
    ks = 1.5 * max_lum - 0.5
    t = (e1 - ks) / (1 - ks)
    p = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * max_lum
    return pq_light(np.where(e1 < ks, e1, p) * pq(np.array(peak)))


def deep_png(values: Float64Array, *codes: int) -> bytes:
    """Return display values (h, w, 3) as a PNG of 16 bits with colour codes."""
    return with_cicp(bytes(imagecodecs.png_encode(np.rint(values * 65535).astype(np.uint16))), *codes)


@pytest.mark.parametrize(("transfer", "word"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_with_the_way_out(transfer: int, word: str, photo: NDArray[np.uint8], saved: Any) -> None:
    """Verification and decoding say the same; with the word in the brief the picture is read."""
    data = with_cicp(saved(photo, "PNG"), 9, transfer, 0, 1)
    for read in (verify, decode):
        with pytest.raises(InputError) as caught:
            read(data, "hero.png", LIMIT)
        assert caught.value.sentence.startswith(f"hero.png is an HDR picture ({word}): ")
        assert caught.value.remedy == 'Save it as SDR, or write hdr = "tonemap" at the top of its brief.'
    verify(data, "hero.png", LIMIT, TONEMAP)
    picture, facts = decode_with_info(data, "hero.png", LIMIT, reading=TONEMAP)
    assert facts.notes == (f"its HDR values ({word}) were tone-mapped",)
    assert picture.depth == 16


def test_pq_is_mapped_by_bt2390() -> None:
    """The light of a grey ramp up to 1000 cd/m2 equals the formula; reference white stays below white, darkness stays."""
    light = np.linspace(0, 1000, 200)
    values = np.repeat(pq(light)[None, :, None], 3, axis=2)
    picture = decode(deep_png(values, 9, 16, 0, 1), "a.png", LIMIT, reading=TONEMAP)
    assert profiles.profile_name(picture.icc) == "BT.2020, sRGB curve"
    result = srgb(picture.pixels[0, :, 1].astype(np.float64)) * 203
    assert np.abs(result - eetf(light, 1000, 203)).max() < 0.5
    assert result[-1] == pytest.approx(203, abs=0.5)
    dark = light < 20
    assert np.abs(result - light)[dark].max() < 0.1
    assert (np.diff(result) >= 0).all()


def test_pq_up_to_reference_white_is_not_compressed() -> None:
    """A picture without highlights keeps its light: 203 cd/m2 is white."""
    light = np.linspace(0, 200, 60)
    values = np.repeat(pq(light)[None, :, None], 3, axis=2)
    picture = decode(deep_png(values, 12, 16, 0, 1), "a.png", LIMIT, reading=TONEMAP)
    assert picture.icc == profiles.builtin_profile("display-p3")
    assert np.abs(srgb(picture.pixels[0, :, 0].astype(np.float64)) * 203 - light).max() < 0.1


def test_hues_stay_when_highlights_are_compressed() -> None:
    """The three channels of a colour get one factor."""
    light = np.array([[[900.0, 300.0, 100.0], [1000.0, 1000.0, 1000.0]]])
    picture = decode(deep_png(pq(light), 9, 16, 0, 1), "a.png", LIMIT, reading=TONEMAP)
    result = srgb(picture.pixels[0, 0].astype(np.float64))
    assert np.allclose(result / result[0], [1, 1 / 3, 1 / 9], atol=2e-3)


def test_hlg_is_shown_on_a_screen_of_1000() -> None:
    """Scene light by the inverse OETF, screen light by the OOTF of gamma 1.2 (ITU-R BT.2100-2, table 5)."""
    values = np.repeat(RAMP[None, :, None], 3, axis=2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(RAMP <= 0.5, RAMP**2 / 3, (np.exp((RAMP - c) / a) + b) / 12)
    screen = tone_mapping.hdr_to_light(values, "HLG")[0]
    assert np.allclose(screen[:, 1], 1000 * scene**1.2, rtol=1e-5, atol=1e-6)
    assert screen[75, 1] == pytest.approx(203, abs=1)  # BT.2408-7, table 1: reference white is 75 % of HLG
    picture = decode(deep_png(values, 9, 18, 0, 1), "a.png", LIMIT, reading=TONEMAP)
    result = srgb(picture.pixels[0, :, 1].astype(np.float64)) * 203
    assert np.abs(result - eetf(1000 * scene**1.2, 1000, 203)).max() < 0.5


def test_hdr_of_an_avif_and_of_grey_is_mapped(photo: NDArray[np.uint8], saved: Any) -> None:
    """The codes of a box count like those of a chunk."""
    deep = np.rint(np.repeat(pq(np.linspace(0, 1000, 64))[None, :, None], 3, axis=2).repeat(16, axis=0) * 1023).astype(np.uint16)
    data = bytes(imagecodecs.avif_encode(deep, level=100, bitspersample=10, primaries=9, transfer=16, matrix=9, speed=10))
    picture = decode(data, "a.avif", LIMIT, reading=TONEMAP)
    assert picture.depth == 16
    assert np.abs(srgb(picture.pixels[8, :, 1].astype(np.float64)) * 203 - eetf(np.linspace(0, 1000, 64), 1000, 203)).max() < 6
    grey = decode(with_cicp(saved(photo[:, :, 0], "PNG"), 9, 16, 0, 1), "a.png", LIMIT, reading=TONEMAP)
    assert (grey.channels, grey.icc) == (1, None)
