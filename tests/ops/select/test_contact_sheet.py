"""Contact sheets show every picture, frame the selected ones, and keep text inside its column."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.operation_samples import picture
from goldsmith.ops.select.contact_sheet import (
    SELECTED_COLOUR,
    ContactSheetCell,
    column_count,
    make_thumbnail,
    render_contact_sheet,
    thumbnail_side,
)
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, Pixels, freeze
from goldsmith.picture.profiles import builtin_profile

TONES = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)


def sheet_pixels(cells: list[ContactSheetCell], title: str = "hero") -> Pixels:
    """Return the rendered sheet (h, w, 3), 0..255."""
    return decode(render_contact_sheet(cells, title), "sheet.jpg", 100_000_000).pixels * 255


def flat(tone: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a thumbnail (h, w, 3), 0..255, of one tone."""
    return np.broadcast_to(tone, (height, width, 3)).astype(np.uint8)


def count_near(pixels: Pixels, tone: tuple[int, ...]) -> int:
    """Return how many pixels of (h, w, 3), 0..255, have about that tone."""
    return int((np.abs(pixels - np.array(tone)).max(axis=2) < 12).sum())


@pytest.mark.parametrize("count", [1, 2, 7, 30, 100])
def test_every_picture_is_shown_at_its_size(count: int) -> None:
    """Sheets stay about 2,000 px wide for any number of pictures."""
    side = thumbnail_side(count)
    pixels = sheet_pixels([ContactSheetCell(flat(TONES[number % 3], side // 2, side), (f"{number}", "seed 1")) for number in range(count)])
    assert pixels.shape[1] <= 2100
    for kind in range(3):
        expected = len(range(kind, count, 3)) * side * (side // 2)
        assert count_near(pixels, tuple(TONES[kind])) == pytest.approx(expected, rel=0.05)


def test_only_selected_pictures_are_framed() -> None:
    """Frames have a colour that nothing else has."""
    cells = [ContactSheetCell(flat(TONES[2], 100, 150), ("1",)), ContactSheetCell(flat(TONES[2], 100, 150), ("2",), is_selected=True)]
    framed, plain = sheet_pixels(cells), sheet_pixels([cells[0], cells[0]])
    assert count_near(framed, SELECTED_COLOUR) > 1500
    assert count_near(plain, SELECTED_COLOUR) == 0


def test_long_lines_stay_in_their_column() -> None:
    """Gaps between the columns stay empty."""
    side = thumbnail_side(4)
    pixels = sheet_pixels([ContactSheetCell(flat(TONES[0], 50, 50), ("w" * 300, "some words " * 30)) for _ in range(4)], "t" * 500)
    assert column_count(4) == 3
    gap = pixels[:, 16 + side + 2 : 16 + side + 14]
    below_title = gap[100:]
    assert np.abs(below_title - 38).max() < 12


def test_a_thumbnail_is_in_srgb_on_white() -> None:
    """Thumbnails are in sRGB on white with three channels, and small pictures are not enlarged."""
    transparent = picture(400, 800, 1, 16, alpha=True)
    transparent = Picture(transparent.pixels, alpha=freeze(np.zeros((400, 800), np.float32)))
    assert make_thumbnail(transparent, 100).shape == (50, 100, 3)
    assert make_thumbnail(transparent, 100).min() > 250
    assert make_thumbnail(picture(10, 20), 100).shape == (10, 20, 3)
    vivid = Picture(freeze(np.full((8, 8, 3), (0.2, 0.8, 0.2), np.float32)), icc=builtin_profile("prophoto"))
    assert make_thumbnail(vivid, 8)[0, 0, 0] < 10
