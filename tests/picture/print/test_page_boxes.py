"""Sheets: millimetres and pixels agree, no picture is enlarged, and the bleed has the requested content."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print.page_boxes import MM_PER_INCH, BleedSource, PrintSheet, place_on_sheet, plan_resize
from goldsmith.picture.subject_crop import CropFocus

A4 = PrintSheet((210, 297), 3)


def _ramp(height: int = 300, width: int = 400) -> Picture:
    """Return a picture in which red rises to the right and green downwards."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack([across / width, down / height, np.full_like(down, 0.5)], axis=2)
    return Picture(freeze(pixels), alpha=freeze(pixels[..., 0]))


def test_a_sheet_knows_its_size_in_pixels() -> None:
    """A4 with 3 mm on every side is 216 x 303 mm; the size at 300 ppi is the one that printers ask for."""
    assert A4.size_with_bleed == (216, 303)
    assert A4.pixel_size(300) == (2551, 3579)


@pytest.mark.parametrize(("source", "size"), [("picture", (2551, 3579)), ("mirror", (2480, 3508)), ("edge", (2480, 3508))])
def test_a_large_picture_is_reduced_to_the_requested_resolution(source: BleedSource, size: tuple[int, int]) -> None:
    """Pixels cover trim and bleed, or the trim alone if the bleed is synthetic."""
    part, pixel_size, ppi = plan_resize((8000, 6000), A4, 300, source)
    assert pixel_size == size
    assert ppi == 300
    assert part[1] == 6000
    assert part[0] < 8000


def test_a_small_picture_is_not_enlarged() -> None:
    """Pixels are kept, and the resolution follows from them."""
    part, pixel_size, ppi = plan_resize((1000, 1000), A4, 300, "picture")
    assert part == pixel_size == (713, 1000)
    assert ppi == pytest.approx(713 / 216 * MM_PER_INCH)
    assert plan_resize((1000, 1000), A4, None, "picture") == (part, pixel_size, ppi)


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    trim_width=st.floats(5, 900),
    trim_height=st.floats(5, 900),
    bleed=st.floats(0, 2.5),
    ppi=st.none() | st.floats(1, 400),
)
def test_no_picture_is_enlarged_or_too_small(
    width: int, height: int, trim_width: float, trim_height: float, bleed: float, ppi: float | None
) -> None:
    """Parts are inside the picture and not smaller than the result; their resolution is at most the requested one."""
    part, size, resolution = plan_resize((width, height), PrintSheet((trim_width, trim_height), bleed), ppi, "picture")
    assert 1 <= part[0] <= width
    assert 1 <= part[1] <= height
    assert size[0] <= part[0]
    assert size[1] <= part[1]
    assert ppi is None or resolution <= ppi * 1.5 or min(size) <= 2


def test_bleed_from_the_picture_is_its_own_margin() -> None:
    """The trim window has the size of the trim; the bleed is the picture around it."""
    picture = _ramp()
    placed = place_on_sheet(picture, PrintSheet((100, 70), 5), None, "picture", CropFocus("center"))
    assert (placed.picture.width, placed.picture.height) == (400, 291)
    assert placed.bleed_px == round(5 / 110 * 400)
    assert np.array_equal(placed.picture.pixels, picture.pixels[4:295])
    assert placed.picture.alpha is not None
    assert placed.picture.alpha.shape == (291, 400)
    rows, columns = placed.trim_window
    assert placed.picture.pixels[rows, columns].shape[:2] == (291 - 36, 400 - 36)
    assert placed.picture.ppi == pytest.approx((400 / 110 * MM_PER_INCH, 291 / 80 * MM_PER_INCH))


@pytest.mark.parametrize("source", ["mirror", "edge"])
def test_synthetic_bleed_keeps_the_whole_picture(source: BleedSource) -> None:
    """Trim and picture coincide; the bleed is the mirrored picture or its last pixel."""
    picture = _ramp()
    placed = place_on_sheet(picture, PrintSheet((80, 60), 4), None, source, CropFocus("center"))
    rows, columns = placed.trim_window
    assert placed.bleed_px == 20
    assert np.array_equal(placed.picture.pixels[rows, columns], picture.pixels)
    bleed = placed.picture.pixels[150, :20]
    expected = picture.pixels[130, :20][::-1] if source == "mirror" else np.repeat(picture.pixels[130, :1], 20, axis=0)
    assert np.array_equal(bleed, expected)
    assert placed.picture.alpha is not None
    assert placed.picture.alpha.shape == (340, 440)


def test_the_anchor_selects_the_part_that_stays() -> None:
    """Squares of a wide picture are its left, middle or right part."""
    picture, square = _ramp(), PrintSheet((50, 50))
    left, middle, right = (
        place_on_sheet(picture, square, None, "picture", CropFocus(anchor)).picture.pixels for anchor in ("left", "center", "right")
    )
    assert np.array_equal(left, picture.pixels[:, :300])
    assert np.array_equal(middle, picture.pixels[:, 50:350])
    assert np.array_equal(right, picture.pixels[:, 100:])


def test_a_picture_of_one_pixel_fits_on_a_sheet() -> None:
    """Sides are never zero."""
    placed = place_on_sheet(_ramp(1, 1), A4, 300, "picture", CropFocus("center"))
    assert placed.picture.pixels.shape == (1, 1, 3)
    assert placed.picture.pixels[placed.trim_window].shape == (1, 1, 3)
