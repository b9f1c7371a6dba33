"""A written page is read back: its boxes in mm, and its picture code for code."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import pikepdf
import pytest

from doubles.press import press_profile
from goldsmith.errors import InputError
from goldsmith.ops.check import pdf_read
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print import pdf_write, printing
from goldsmith.picture.print.page_boxes import PrintSheet
from goldsmith.picture.profiles import builtin_profile

PAGE = printing.PdfPageOptions(PrintSheet((20.0, 10.0), 2.0), "hero", True)


def noise(height: int, width: int, channels: int, depth: Literal[8, 16]) -> np.ndarray:
    """Return random codes (h, w, channels), uint8 or uint16."""
    kind = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (height, width, channels), kind)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_read_back_code_for_code(depth: Literal[8, 16], channels: int) -> None:
    """Works for grey and RGB at both depths; grey without a profile is written as sRGB."""
    codes = noise(30, 50, channels, depth)
    levels = np.float32(np.iinfo(codes.dtype).max)
    data = printing.encode_page(Picture(freeze(codes.astype(np.float32) / levels), depth=depth), depth, None, PAGE)
    page = pdf_read.read_pdf(data, "hero.pdf", 10**6)
    assert np.array_equal(page.samples, np.repeat(codes, 3 // channels, axis=2))
    assert (page.depth, page.icc) == (depth, builtin_profile("srgb"))


@pytest.mark.parametrize("depth", [8, 16])
def test_inks_are_read_back_code_for_code(depth: Literal[8, 16]) -> None:
    """Codes equal those written, and the profile comes from the page's output intent."""
    codes = noise(30, 50, 4, depth)
    picture = pdf_write.deflate_image(codes, press_profile())
    page = pdf_read.read_pdf(pdf_write.write(picture, PAGE.sheet, "hero", False), "hero.pdf", 10**6)
    assert np.array_equal(page.samples, codes)
    assert page.icc == press_profile()


def test_a_jpeg_in_the_page_is_decoded() -> None:
    """Decoded pixels are close to the original."""
    smooth = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (48, 1, 3))
    page = pdf_read.read_pdf(printing.encode_page(Picture(freeze(smooth)), 8, 95, PAGE), "hero.pdf", 10**6)
    assert np.abs(page.samples / 255 - smooth).max() < 0.03


def test_the_boxes_are_returned_in_mm() -> None:
    """Returns the trim, the size of the picture, and the smallest bleed of the four sides."""
    data = printing.encode_page(Picture(freeze(np.zeros((30, 50, 3), np.float32))), 8, None, PAGE)
    page = pdf_read.read_pdf(data, "hero.pdf", 10**6)
    assert page.trim_mm == pytest.approx((20, 10), abs=0.01)
    assert page.sheet_mm == pytest.approx((24, 14), abs=0.01)
    assert page.bleed_mm == pytest.approx(2, abs=0.01)
    for side in range(4):
        with pikepdf.open(BytesIO(data)) as pdf:
            box = [float(value) for value in pdf.pages[0].BleedBox]  # type: ignore[attr-defined]
            box[side] += (72 / 25.4) * (1 if side < 2 else -1)
            pdf.pages[0].BleedBox = pikepdf.Array(box)
            changed = BytesIO()
            pdf.save(changed)
        assert pdf_read.read_pdf(changed.getvalue(), "hero.pdf", 10**6).bleed_mm == pytest.approx(1, abs=0.01)


def test_other_pdf_files_are_refused() -> None:
    """Damaged files, pages without a picture and pictures over the limit give a message with the file's name."""
    data = printing.encode_page(Picture(freeze(np.zeros((30, 50, 3), np.float32))), 8, None, PAGE)
    empty, blank = BytesIO(), pikepdf.new()
    blank.add_blank_page()
    blank.save(empty)
    for wrong in (b"%PDF-1.6", data[:400], empty.getvalue()):
        with pytest.raises(InputError, match=r"hero\.pdf is damaged"):
            pdf_read.read_pdf(wrong, "hero.pdf", 10**6)
    with pytest.raises(InputError, match="50 x 30 pixels"):
        pdf_read.read_pdf(data, "hero.pdf", 100)
