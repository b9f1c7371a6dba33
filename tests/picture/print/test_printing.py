"""Files for print: other programs read the separated inks, and the written file is within the coverage limit."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
import tifffile
from PIL import Image
from skimage import data

from doubles.press import TITLE, press_profile
from goldsmith.picture import codec, profiles
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.picture import Metadata, Picture, freeze
from goldsmith.picture.print import printing
from goldsmith.picture.print.page_boxes import PrintSheet

MAGICK = shutil.which("convert-im6.q16") or shutil.which("magick")
PAGE = printing.PdfPageOptions(PrintSheet((60, 40)), "hero")


def _photograph(name: str = "coffee") -> Picture:
    return Picture(freeze(getattr(data, name)()[:200, :300].astype(np.float32) / np.float32(255)), ppi=(254, 127))


def _separate(depth: int = 8, coverage: float | None = None, *, black_point: bool = True) -> printing.InkSeparation:
    press = printing.PressSettings(press_profile(), black_point_compensation=black_point, coverage_limit_percent=coverage)
    return printing.separate_inks(_photograph(), press, 16 if depth == 16 else 8, 7, lambda _: None)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_of_inks_reads_back_code_for_code(depth: int) -> None:
    """tifffile finds CMYK of that depth, the press profile and the resolution; Goldsmith's reader shows the picture."""
    picture, result = _photograph(), _separate(depth)
    file = printing.encode_inks(result.codes, picture, press_profile(), "tiff", None, None)
    with tifffile.TiffFile(BytesIO(file)) as opened:
        page = opened.pages[0]
        assert page.photometric.name == "SEPARATED"  # type: ignore[union-attr]
        assert page.tags["InkSet"].value == 1  # type: ignore[union-attr]
        assert page.tags["InterColorProfile"].value == press_profile()  # type: ignore[union-attr]
        assert np.array_equal(opened.asarray(), result.codes)
    back, facts = codec.decode_with_info(file, "hero.tif", 10**7)
    assert (facts.channels, facts.depth, facts.icc) == (4, depth, TITLE)
    assert back.ppi == pytest.approx((254, 127))
    assert np.abs(back.pixels - picture.pixels).mean() < 0.03


def test_pillow_reads_a_jpeg_of_inks() -> None:
    """Pillow handles Adobe's inversion and finds profile and resolution, as does Goldsmith's reader."""
    picture, result = _photograph(), _separate()
    file = printing.encode_inks(result.codes, picture, press_profile(), "jpeg", 95, None)
    with Image.open(BytesIO(file)) as opened:
        assert opened.mode == "CMYK"
        assert opened.info["adobe_transform"] == 0
        assert {(across, down) for _, across, down, _ in opened.layer} == {(1, 1)}  # type: ignore[attr-defined]
        assert opened.info["icc_profile"] == press_profile()
        assert opened.info["dpi"] == (254, 127)
        assert opened.getexif()[0x011A] == 254
        codes = np.asarray(opened).astype(int)
    assert np.abs(codes - result.codes).mean() < 2
    assert np.abs(codec.decode(file, "hero.jpg", 10**7).pixels - picture.pixels).mean() < 0.03


def test_every_ink_of_a_jpeg_has_full_resolution() -> None:
    """Stripes of one pixel in a single ink come back as stripes, and the other inks stay empty."""
    codes = np.zeros((64, 64, 4), np.uint8)
    codes[:, ::2, 0] = 255
    read = printing.round_trip_codes(codes, "jpeg", 95).astype(int)
    assert np.abs(read - codes).max() < 20
    assert read[:, :, 1:].max() == 0


@pytest.mark.skipif(MAGICK is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("word", ["tiff", "jpeg"])
def test_imagemagick_sees_the_same_print(word: printing.PrintFormat, tmp_path: Path) -> None:
    """ImageMagick converts the file to sRGB by its profile; the result equals the soft proof."""
    result, srgb, file, converted = _separate(), tmp_path / "srgb.icc", tmp_path / "ink", tmp_path / "converted.png"
    srgb.write_bytes(profiles.builtin_profile("srgb"))
    file.write_bytes(printing.encode_inks(result.codes, _photograph(), press_profile(), word, 97, None))
    command = [str(MAGICK), f"{word}:{file}", "-intent", "relative", "-black-point-compensation", "-profile", str(srgb), "-depth", "8"]
    subprocess.run([*command, "-strip", str(converted)], check=True)
    proof = codec.decode(printing.encode_proof(result.codes, press_profile(), False, None), "proof.jpg", 10**7)
    with Image.open(converted) as opened:
        pixels = np.asarray(opened.convert("RGB")) / 255
    assert np.abs(pixels - proof.pixels).mean() < 0.015


def test_the_written_codes_are_within_the_limit() -> None:
    """The limit holds after dither and rounding, at both depths; without a limit the inks are those of the profile."""
    unlimited = _separate(black_point=False)
    assert unlimited.max_coverage_before > 340
    assert unlimited.over_limit_share == 0
    assert printing.max_coverage(unlimited.codes) > 340
    for depth in (8, 16):
        limited = _separate(depth, 280, black_point=False)
        assert limited.max_coverage_before == pytest.approx(unlimited.max_coverage_before)
        assert 0.05 < limited.over_limit_share < 0.9
        assert 275 < printing.max_coverage(limited.codes) <= 280


@pytest.mark.parametrize("word", ["jpeg", "pdf"])
@pytest.mark.parametrize("quality", [5, 60, 90])
def test_the_decoded_jpeg_is_within_the_limit(word: printing.PrintFormat, quality: int) -> None:
    """Pillow decodes no pixel above the limit at any quality, but would without the correction; most pixels are unchanged."""
    limit, codes = 280.0, _separate(8, 280, black_point=False).codes
    limited = printing.limit_coverage_after_encoding(codes, word, quality, limit)
    decoded, decoded_unlimited = (_decode_with_pillow(result, word, quality) for result in (limited, codes))
    assert decoded_unlimited.sum(axis=2).max() / 255 * 100 > limit
    assert decoded.sum(axis=2).max() / 255 * 100 <= limit
    assert (limited != codes).any(axis=2).mean() < (0.5 if quality < 10 else 0.25)
    assert (limited[:, :, 3] == codes[:, :, 3]).all()


def test_greys_in_black_alone_follow_black_point_and_intent() -> None:
    """Without compensation dark greys become solid black; with it, and with intents that compress, only black does."""
    ramp = Picture(freeze(np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], (4, 256, 3))))

    def solid(**press: Any) -> int:
        result = printing.separate_inks(
            ramp, printing.PressSettings(press_profile(), prints_grey_in_black=True, **press), 16, 7, lambda _: None
        )
        assert result.black_only_share == 1
        return int((result.codes[0, :, 3] == 65535).sum())

    assert solid(black_point_compensation=True) == 1
    assert solid(black_point_compensation=False) > 10
    assert solid(intent="perceptual", black_point_compensation=False) == 1


def test_only_lossy_files_are_corrected() -> None:
    """TIFF, lossless pages and files without a limit keep the same codes."""
    codes = _separate().codes
    assert printing.limit_coverage_after_encoding(codes, "tiff", 90, 200) is codes
    assert printing.limit_coverage_after_encoding(codes, "pdf", None, 200) is codes
    assert printing.limit_coverage_after_encoding(codes, "jpeg", 90, None) is codes


def _decode_with_pillow(codes: Samples, word: printing.PrintFormat, quality: int) -> np.ndarray:
    file = printing.encode_inks(codes, _photograph(), press_profile(), word, quality, PAGE)
    if word == "pdf":
        with pikepdf.open(BytesIO(file)) as pdf:
            file = pdf.pages[0].Resources.XObject.Picture.read_raw_bytes()
    with Image.open(BytesIO(file)) as opened:
        return np.asarray(opened).astype(int)


def test_round_trip_codes_equal_those_of_a_decoder() -> None:
    """TIFF and lossless pages return the codes themselves; JPEG returns those that Pillow reads from the file."""
    codes = _separate().codes
    assert printing.round_trip_codes(codes, "tiff", 90) is codes
    assert printing.round_trip_codes(codes, "pdf", None) is codes
    with Image.open(BytesIO(printing.encode_inks(codes, _photograph(), press_profile(), "jpeg", 70, None))) as opened:
        assert np.abs(np.asarray(opened).astype(int) - printing.round_trip_codes(codes, "jpeg", 70)).max() <= 1


@pytest.mark.parametrize("quality", [None, 90])
def test_a_page_of_inks_holds_the_inks(quality: int | None) -> None:
    """Without a quality the stream contains the codes; with a quality it is a JPEG of them."""
    result = _separate()
    with pikepdf.open(BytesIO(printing.encode_inks(result.codes, _photograph(), press_profile(), "pdf", quality, PAGE))) as pdf:
        image = pdf.pages[0].Resources.XObject.Picture
        assert (int(image.Width), int(image.Height)) == (300, 200)
        if quality is None:
            assert image.read_bytes() == result.codes.tobytes()
        else:
            with Image.open(BytesIO(image.read_raw_bytes())) as opened:
                assert np.abs(np.asarray(opened).astype(int) - result.codes).mean() < 4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [None, 90])
def test_a_page_of_colours_holds_the_picture(channels: int, quality: int | None) -> None:
    """Pictures keep their own profile; grey without a profile is written as sRGB."""
    picture = _photograph()
    picture = Picture(picture.pixels[..., :channels], ppi=picture.ppi, metadata=Metadata(xmp=b"<x/>"))
    with pikepdf.open(BytesIO(printing.encode_page(picture, 8, quality, PAGE))) as pdf:
        image = pdf.pages[0].Resources.XObject.Picture
        assert image.ColorSpace[1].read_bytes() == profiles.builtin_profile("srgb")
        if quality is None:
            codes = np.frombuffer(image.read_bytes(), np.uint8).reshape(200, 300, 3)
        else:
            raw = image.read_raw_bytes()
            assert b"<x/>" not in raw
            with Image.open(BytesIO(raw)) as opened:
                codes = np.asarray(opened)
    assert np.abs(codes / 255 - picture.pixels).mean() < (0.03 if quality else 1e-6)


def test_a_pdf_without_a_page_raises_value_error() -> None:
    """A call without a page is a programming error."""
    with pytest.raises(ValueError, match="needs a page"):
        printing.encode_inks(_separate().codes, _photograph(), press_profile(), "pdf", None, None)


def test_the_same_seed_gives_the_same_inks() -> None:
    """Another seed gives another dither."""
    press = printing.PressSettings(press_profile())
    first, second, other = (printing.separate_inks(_photograph(), press, 8, seed, lambda _: None).codes for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
