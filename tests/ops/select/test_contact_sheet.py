"""Contact sheets: every picture is on it, those that were chosen are framed, and nothing runs over."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.ground import plate
from goldsmith.ops.select.contact_sheet import (
    CHOSEN,
    Cell,
    columns,
    sheet,
    thumb_side,
    thumbnail,
)
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Pixels, Plate, frozen
from goldsmith.picture.profiles import named

TONES = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)


def shown(cells: list[Cell], title: str = "hero") -> Pixels:
    return decode(sheet(cells, title), "sheet.jpg", 100_000_000).pixels * 255


def flat(tone: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(tone, (height, width, 3)).astype(np.uint8)


def near(pixels: Pixels, tone: tuple[int, ...]) -> int:
    """How many pixels of the sheet have about that tone."""
    return int((np.abs(pixels - np.array(tone)).max(axis=2) < 12).sum())


@pytest.mark.parametrize("count", [1, 2, 7, 30, 100])
def test_every_picture_is_there_at_its_size(count: int) -> None:
    """However many there are, the sheet stays about 2,000 px wide."""
    side = thumb_side(count)
    pixels = shown([Cell(flat(TONES[number % 3], side // 2, side), (f"{number}", "seed 1")) for number in range(count)])
    assert pixels.shape[1] <= 2100
    for kind in range(3):
        expected = len(range(kind, count, 3)) * side * (side // 2)
        assert near(pixels, tuple(TONES[kind])) == pytest.approx(expected, rel=0.05)


def test_only_what_was_chosen_is_framed() -> None:
    """In a colour that nothing else has."""
    cells = [Cell(flat(TONES[2], 100, 150), ("1",)), Cell(flat(TONES[2], 100, 150), ("2",), chosen=True)]
    framed, plain = shown(cells), shown([cells[0], cells[0]])
    assert near(framed, CHOSEN) > 1500
    assert near(plain, CHOSEN) == 0


def test_long_lines_are_wrapped_or_cut_and_never_reach_the_neighbour() -> None:
    """Between the columns nothing is written."""
    side = thumb_side(4)
    pixels = shown([Cell(flat(TONES[0], 50, 50), ("w" * 300, "some words " * 30)) for _ in range(4)], "t" * 500)
    assert columns(4) == 3
    gap = pixels[:, 16 + side + 2 : 16 + side + 14]
    below_title = gap[100:]
    assert np.abs(below_title - 38).max() < 12


def test_a_thumbnail_is_the_picture_as_it_is_seen() -> None:
    """Shrunk, in sRGB, on white where it is transparent; grey ones have three channels; small ones are not enlarged."""
    clear = plate(400, 800, 1, 16, alpha=True)
    clear = Plate(clear.pixels, alpha=frozen(np.zeros((400, 800), np.float32)))
    assert thumbnail(clear, 100).shape == (50, 100, 3)
    assert thumbnail(clear, 100).min() > 250
    assert thumbnail(plate(10, 20), 100).shape == (10, 20, 3)
    vivid = Plate(frozen(np.full((8, 8, 3), (0.2, 0.8, 0.2), np.float32)), icc=named("prophoto"))
    assert thumbnail(vivid, 8)[0, 0, 0] < 10
