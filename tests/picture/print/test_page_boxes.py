"""The sheet: millimetres and pixels agree, nothing is enlarged, and the bleed is where it was asked from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.picture import Plate, frozen
from goldsmith.picture.print.page_boxes import INCH, BleedFrom, Sheet, laid, sized

A4 = Sheet((210, 297), 3)


def _ramp(height: int = 300, width: int = 400) -> Plate:
    """Red rises to the right, green downwards."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack([across / width, down / height, np.full_like(down, 0.5)], axis=2)
    return Plate(frozen(pixels), alpha=frozen(pixels[..., 0]))


def test_a_sheet_knows_its_size_in_pixels() -> None:
    """A4 with 3 mm on every side is 216 x 303 mm, and at 300 ppi what printers write on their forms."""
    assert A4.whole == (216, 303)
    assert A4.pixels(300) == (2551, 3579)


@pytest.mark.parametrize(("source", "size"), [("picture", (2551, 3579)), ("mirror", (2480, 3508)), ("edge", (2480, 3508))])
def test_a_large_picture_is_brought_to_the_resolution_that_was_asked(source: BleedFrom, size: tuple[int, int]) -> None:
    """It covers trim and bleed, or the trim alone where the bleed is made."""
    part, brought, ppi = sized((8000, 6000), A4, 300, source)
    assert brought == size
    assert ppi == 300
    assert part[1] == 6000
    assert part[0] < 8000


def test_a_small_picture_is_not_enlarged() -> None:
    """It keeps its pixels, and the resolution is what they come to."""
    part, brought, ppi = sized((1000, 1000), A4, 300, "picture")
    assert part == brought == (713, 1000)
    assert ppi == pytest.approx(713 / 216 * INCH)
    assert sized((1000, 1000), A4, None, "picture") == (part, brought, ppi)


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(1, 3000), height=st.integers(1, 3000), wide=st.floats(5, 900), high=st.floats(5, 900), bleed=st.floats(0, 2.5),
    ppi=st.none() | st.floats(1, 400),
)  # fmt: skip
def test_no_picture_is_ever_enlarged_or_left_short(
    width: int, height: int, wide: float, high: float, bleed: float, ppi: float | None
) -> None:
    """The part lies in the picture, is not smaller than what it is brought to, and its resolution is at most the one asked for."""
    part, brought, found = sized((width, height), Sheet((wide, high), bleed), ppi, "picture")
    assert 1 <= part[0] <= width
    assert 1 <= part[1] <= height
    assert brought[0] <= part[0]
    assert brought[1] <= part[1]
    assert ppi is None or found <= ppi * 1.5 or min(brought) <= 2


def test_bleed_from_the_picture_is_its_own_margin() -> None:
    """What lies beyond the trim is what lies there in the picture; the cut leaves the trim's size."""
    plate = _ramp()
    placed = laid(plate, Sheet((100, 70), 5), None, "picture", "center")
    assert (placed.plate.width, placed.plate.height) == (400, 291)
    assert placed.edge == round(5 / 110 * 400)
    assert np.array_equal(placed.plate.pixels, plate.pixels[4:295])
    assert placed.plate.alpha is not None
    assert placed.plate.alpha.shape == (291, 400)
    rows, columns = placed.trimmed
    assert placed.plate.pixels[rows, columns].shape[:2] == (291 - 36, 400 - 36)
    assert placed.plate.ppi == pytest.approx((400 / 110 * INCH, 291 / 80 * INCH))


@pytest.mark.parametrize("source", ["mirror", "edge"])
def test_bleed_that_is_made_leaves_the_picture_whole(source: BleedFrom) -> None:
    """The trim is the picture to its last pixel; beyond it stands the picture mirrored, or its last pixel."""
    plate = _ramp()
    placed = laid(plate, Sheet((80, 60), 4), None, source, "center")
    rows, columns = placed.trimmed
    assert placed.edge == 20
    assert np.array_equal(placed.plate.pixels[rows, columns], plate.pixels)
    beyond = placed.plate.pixels[150, :20]
    wanted = plate.pixels[130, :20][::-1] if source == "mirror" else np.repeat(plate.pixels[130, :1], 20, axis=0)
    assert np.array_equal(beyond, wanted)
    assert placed.plate.alpha is not None
    assert placed.plate.alpha.shape == (340, 440)


def test_the_anchor_says_what_stays() -> None:
    """A square of a wide picture: its left, its middle or its right."""
    plate, square = _ramp(), Sheet((50, 50))
    left, middle, right = (laid(plate, square, None, "picture", anchor).plate.pixels for anchor in ("left", "center", "right"))
    assert np.array_equal(left, plate.pixels[:, :300])
    assert np.array_equal(middle, plate.pixels[:, 50:350])
    assert np.array_equal(right, plate.pixels[:, 100:])


def test_a_picture_of_one_pixel_has_a_sheet_too() -> None:
    """No side is ever nothing."""
    placed = laid(_ramp(1, 1), A4, 300, "picture", "center")
    assert placed.plate.pixels.shape == (1, 1, 3)
    assert placed.plate.pixels[placed.trimmed].shape == (1, 1, 3)
