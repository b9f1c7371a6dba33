"""Files for print: what other programs read of them is what was separated, and the limit of coverage holds in what is written."""

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
from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.picture import Metadata, Plate, frozen
from goldsmith.picture.print import printing
from goldsmith.picture.print.page_boxes import Sheet

MAGICK = shutil.which("convert-im6.q16") or shutil.which("magick")
PAGE = printing.Page(Sheet((60, 40)), "hero")


def _photograph(name: str = "coffee") -> Plate:
    return Plate(frozen(getattr(data, name)()[:200, :300].astype(np.float32) / np.float32(255)), ppi=(254, 127))


def _separated(depth: int = 8, coverage: float | None = None, *, black_point: bool = True) -> printing.Separated:
    how = printing.Press(press_profile(), black_point=black_point, coverage=coverage)
    return printing.separate(_photograph(), how, 16 if depth == 16 else 8, 7, lambda _: None)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_of_inks_reads_back_code_for_code(depth: int) -> None:
    """tifffile finds CMYK of that depth, the press's profile and the resolution; our own reader shows the picture again."""
    plate, made = _photograph(), _separated(depth)
    file = printing.ink_file(made.codes, plate, press_profile(), "tiff", None, None)
    with tifffile.TiffFile(BytesIO(file)) as opened:
        page = opened.pages[0]
        assert page.photometric.name == "SEPARATED"  # type: ignore[union-attr]
        assert page.tags["InkSet"].value == 1  # type: ignore[union-attr]
        assert page.tags["InterColorProfile"].value == press_profile()  # type: ignore[union-attr]
        assert np.array_equal(opened.asarray(), made.codes)
    back, facts = codec.decoded(file, "hero.tif", 10**7)
    assert (facts.channels, facts.depth, facts.icc) == (4, depth, TITLE)
    assert back.ppi == pytest.approx((254, 127))
    assert np.abs(back.pixels - plate.pixels).mean() < 0.03


def test_a_jpeg_of_inks_is_read_by_others() -> None:
    """Pillow, which knows Adobe's inversion, reads the inks the right way round, with profile and resolution; ours does too."""
    plate, made = _photograph(), _separated()
    file = printing.ink_file(made.codes, plate, press_profile(), "jpeg", 95, None)
    with Image.open(BytesIO(file)) as opened:
        assert opened.mode == "CMYK"
        assert opened.info["adobe_transform"] == 0
        assert {(across, down) for _, across, down, _ in opened.layer} == {(1, 1)}  # type: ignore[attr-defined]
        assert opened.info["icc_profile"] == press_profile()
        assert opened.info["dpi"] == (254, 127)
        assert opened.getexif()[0x011A] == 254
        seen = np.asarray(opened).astype(int)
    assert np.abs(seen - made.codes).mean() < 2
    assert np.abs(codec.decode(file, "hero.jpg", 10**7).pixels - plate.pixels).mean() < 0.03


def test_every_ink_of_a_jpeg_has_the_whole_resolution() -> None:
    """Stripes of one pixel in a single ink come back as stripes, and no other ink has a trace of them."""
    codes = np.zeros((64, 64, 4), np.uint8)
    codes[:, ::2, 0] = 255
    read = printing.as_read(codes, "jpeg", 95).astype(int)
    assert np.abs(read - codes).max() < 20
    assert read[:, :, 1:].max() == 0


@pytest.mark.skipif(MAGICK is None, reason="ImageMagick is not here")
@pytest.mark.parametrize("word", ["tiff", "jpeg"])
def test_imagemagick_sees_the_same_print(word: printing.PrintFormat, tmp_path: Path) -> None:
    """Turned back into sRGB by another program, by the profile in the file, it is our own proof."""
    made, srgb, file, seen = _separated(), tmp_path / "srgb.icc", tmp_path / "ink", tmp_path / "seen.png"
    srgb.write_bytes(profiles.named("srgb"))
    file.write_bytes(printing.ink_file(made.codes, _photograph(), press_profile(), word, 97, None))
    there = [str(MAGICK), f"{word}:{file}", "-intent", "relative", "-black-point-compensation", "-profile", str(srgb), "-depth", "8"]
    subprocess.run([*there, "-strip", str(seen)], check=True)
    proof = codec.decode(printing.proof_file(printing.inks_of(made.codes), press_profile(), False, None), "proof.jpg", 10**7)
    with Image.open(seen) as opened:
        theirs = np.asarray(opened.convert("RGB")) / 255
    assert np.abs(theirs - proof.pixels).mean() < 0.015


def test_the_limit_holds_in_the_codes_that_are_written() -> None:
    """Dither and rounding included, at both depths; without a limit the inks are as the profile makes them."""
    free = _separated(black_point=False)
    assert free.coverage_before > 340
    assert free.over == 0
    assert printing.highest_coverage(free.codes) > 340
    for depth in (8, 16):
        held = _separated(depth, 280, black_point=False)
        assert held.coverage_before == pytest.approx(free.coverage_before)
        assert 0.05 < held.over < 0.9
        assert 275 < printing.highest_coverage(held.codes) <= 280


@pytest.mark.parametrize("word", ["jpeg", "pdf"])
@pytest.mark.parametrize("quality", [5, 60, 90])
def test_the_limit_holds_in_the_jpeg_as_another_program_reads_it(word: printing.PrintFormat, quality: int) -> None:
    """Pillow finds no pixel above it at any quality; without room left for the JPEG it would; and nearly all codes are as they were."""
    limit, codes = 280.0, _separated(8, 280, black_point=False).codes
    held = printing.held(codes, word, quality, limit)
    seen, bare = (_as_pillow_reads(made, word, quality) for made in (held, codes))
    assert bare.sum(axis=2).max() / 255 * 100 > limit
    assert seen.sum(axis=2).max() / 255 * 100 <= limit
    assert (held != codes).any(axis=2).mean() < (0.5 if quality < 10 else 0.25)
    assert (held[:, :, 3] == codes[:, :, 3]).all()


def test_greys_in_black_alone_follow_black_point_and_intent() -> None:
    """Without compensation dark greys run into solid black; with it, and with the intents that squeeze, none does but black."""
    ramp = Plate(frozen(np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], (4, 256, 3))))

    def solid(**how: Any) -> int:
        made = printing.separate(ramp, printing.Press(press_profile(), grey_in_black=True, **how), 16, 7, lambda _: None)
        assert made.grey == 1
        return int((made.codes[0, :, 3] == 65535).sum())

    assert solid(black_point=True) == 1
    assert solid(black_point=False) > 10
    assert solid(intent="perceptual", black_point=False) == 1


def test_only_what_loses_codes_is_given_room() -> None:
    """A TIFF, a page without loss and a file without a limit keep the very codes."""
    codes = _separated().codes
    assert printing.held(codes, "tiff", 90, 200) is codes
    assert printing.held(codes, "pdf", None, 200) is codes
    assert printing.held(codes, "jpeg", 90, None) is codes


def _as_pillow_reads(codes: Samples, word: printing.PrintFormat, quality: int) -> np.ndarray:
    file = printing.ink_file(codes, _photograph(), press_profile(), word, quality, PAGE)
    if word == "pdf":
        with pikepdf.open(BytesIO(file)) as pdf:
            file = pdf.pages[0].Resources.XObject.Picture.read_raw_bytes()
    with Image.open(BytesIO(file)) as opened:
        return np.asarray(opened).astype(int)


def test_what_a_reader_of_a_jpeg_gets_is_measured() -> None:
    """TIFF and a lossless page give the codes themselves, JPEG its own: those that Pillow reads of the file."""
    codes = _separated().codes
    assert printing.as_read(codes, "tiff", 90) is codes
    assert printing.as_read(codes, "pdf", None) is codes
    with Image.open(BytesIO(printing.ink_file(codes, _photograph(), press_profile(), "jpeg", 70, None))) as opened:
        assert np.abs(np.asarray(opened).astype(int) - printing.as_read(codes, "jpeg", 70)).max() <= 1


@pytest.mark.parametrize("quality", [None, 90])
def test_a_page_of_inks_holds_the_inks(quality: int | None) -> None:
    """Without a quality the stream unpacks to the codes; with one it is a JPEG of them."""
    made = _separated()
    with pikepdf.open(BytesIO(printing.ink_file(made.codes, _photograph(), press_profile(), "pdf", quality, PAGE))) as pdf:
        image = pdf.pages[0].Resources.XObject.Picture
        assert (int(image.Width), int(image.Height)) == (300, 200)
        if quality is None:
            assert image.read_bytes() == made.codes.tobytes()
        else:
            with Image.open(BytesIO(image.read_raw_bytes())) as opened:
                assert np.abs(np.asarray(opened).astype(int) - made.codes).mean() < 4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [None, 90])
def test_a_page_of_colours_holds_the_picture(channels: int, quality: int | None) -> None:
    """In its own profile; grey without a profile is written as sRGB."""
    plate = _photograph()
    plate = Plate(plate.pixels[..., :channels], ppi=plate.ppi, metadata=Metadata(xmp=b"<x/>"))
    with pikepdf.open(BytesIO(printing.page_file(plate, 8, quality, PAGE))) as pdf:
        image = pdf.pages[0].Resources.XObject.Picture
        assert image.ColorSpace[1].read_bytes() == profiles.named("srgb")
        if quality is None:
            seen = np.frombuffer(image.read_bytes(), np.uint8).reshape(200, 300, 3)
        else:
            raw = image.read_raw_bytes()
            assert b"<x/>" not in raw
            with Image.open(BytesIO(raw)) as opened:
                seen = np.asarray(opened)
    assert np.abs(seen / 255 - plate.pixels).mean() < (0.03 if quality else 1e-6)


def test_a_page_without_a_sheet_is_a_fault_of_the_caller() -> None:
    """No page is invented."""
    with pytest.raises(ValueError, match="needs a page"):
        printing.ink_file(_separated().codes, _photograph(), press_profile(), "pdf", None, None)


def test_the_same_seed_gives_the_same_inks() -> None:
    """And another seed another dither, at 8 bits only."""
    how = printing.Press(press_profile())
    first, again, other = (printing.separate(_photograph(), how, 8, seed, lambda _: None).codes for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
