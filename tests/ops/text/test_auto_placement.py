"""Text with ``anchor = "auto"`` lies beside the subject, off faces, on ground where it is legible, and inside the safe area."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doubles.fonts import FontContext
from doubles.step_context import DetectDouble
from goldsmith.engines.kinds import FACE_DETECTOR, MATTE_ESTIMATOR
from goldsmith.engines.vision import Face
from goldsmith.errors import InputError
from goldsmith.ops.text.operation import Text
from goldsmith.picture.picture import Mask, Picture, freeze

HEIGHT, WIDTH = 300, 500


def ground(grey: float = 0.2) -> Picture:
    return Picture(freeze(np.full((HEIGHT, WIDTH, 3), grey, np.float32)))


def box_mask(left: int, top: int, width: int, height: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[top : top + height, left : left + width] = 1
    return freeze(mask)


def face(left: float, top: float, width: float, height: float) -> Face:
    return Face((left, top, width, height), np.zeros((5, 2), np.float32), 0.9)


def place(picture: Picture, subject: Mask | None = None, faces: tuple[Face, ...] = (), **settings: Any) -> tuple[Picture, dict[str, Any]]:
    context = FontContext()
    context.detect = DetectDouble({} if subject is None else {"subject": subject}, dict.fromkeys(faces))
    result = Text(**{"string": "GOLD", "anchor": "auto", "size": 40, **settings}).apply(picture, context)
    return result, dict(context.results.findings)


def overlap(mask: Mask, ink_box: list[float]) -> float:
    """Return the share of the ink box on the mask, 0..1."""
    left, top, width, height = ink_box
    return float(mask[int(top) : int(top + height) + 1, int(left) : int(left + width) + 1].mean())


@pytest.mark.parametrize("box", [(0, 0, 300, 300), (200, 0, 300, 300), (0, 0, 500, 200), (0, 100, 500, 200), (130, 40, 240, 260)])
def test_text_lies_beside_the_subject_in_the_safe_area(box: tuple[int, int, int, int]) -> None:
    """Wherever the subject is, no ink is on it."""
    subject = box_mask(*box)
    record = place(ground(), subject, size=24, safe=6)[1]
    left, top, width, height = record["ink_box"]
    assert overlap(subject, record["ink_box"]) == 0
    assert left >= 30 and left + width <= 470 and top >= 18 and top + height <= 282  # noqa: PT018
    assert record["placed"] == {"subject_covered": 0, "faces_avoided": 0}


def test_a_long_text_is_wrapped_into_the_column_beside_the_subject() -> None:
    """On one line it would cover the subject."""
    subject = box_mask(0, 0, 330, 300)
    record = place(ground(), subject, string="Made by hand in small numbers", size=24)[1]
    assert len(record["lines"]) > 1
    assert overlap(subject, record["ink_box"]) == 0


def test_a_face_is_never_covered() -> None:
    """Text moves onto the subject rather than onto a face, and is held if there is no other place."""
    everywhere = box_mask(0, 0, WIDTH, HEIGHT)
    record = place(ground(), everywhere, (face(200, 60, 100, 130),))[1]
    assert overlap(box_mask(175, 30, 150, 190), record["ink_box"]) == 0
    with pytest.raises(InputError, match="finds no place in its box without covering a face") as caught:
        place(ground(), everywhere, (face(20, 20, 460, 260),))
    assert "smaller size" in caught.value.remedy


def test_without_a_subject_the_text_stays_where_its_alignment_puts_it() -> None:
    """Of equal places the one of ``align`` and ``valign`` wins, to a step of the grid."""
    settings: dict[str, Any] = {"align": "right", "valign": "bottom"}
    auto = place(ground(), **settings)[1]["ink_box"]
    fixed = place(ground(), anchor="box", **settings)[1]["ink_box"]
    assert auto == pytest.approx(fixed, abs=10)


def test_text_prefers_ground_where_it_is_legible() -> None:
    """White goes onto the dark half and black onto the light half."""
    pixels = np.full((HEIGHT, WIDTH, 3), 0.05, np.float32)
    pixels[:, 250:] = 0.95
    halves = Picture(freeze(pixels))
    white, black = (place(halves, colour=colour)[1]["ink_box"] for colour in ("white", "black"))
    assert white[0] + white[2] < 250 < black[0]


def test_text_prefers_calm_ground() -> None:
    """It lies on the flat half of a picture whose other half is a dark pattern."""
    pixels = np.full((HEIGHT, WIDTH, 3), 0.1, np.float32)
    pixels[:, :250] = np.kron(np.indices((75, 63)).sum(axis=0)[:, :63] % 2 * 0.3, np.ones((4, 4)))[:, :250, None]
    assert place(Picture(freeze(pixels)))[1]["ink_box"][0] > 250


def test_fit_takes_the_largest_size_beside_the_subject() -> None:
    """In a free third of the width the text is about as wide as the third, and covers nothing of the subject."""
    subject = box_mask(0, 0, 330, 300)
    record = place(ground(), subject, fit=True, size=None, safe=0)[1]
    assert overlap(subject, record["ink_box"]) == 0
    assert 110 <= record["ink_box"][2] <= 170


def test_fit_with_a_size_shrinks_a_text_that_finds_no_room() -> None:
    """At 120 px there is room only on the subject."""
    subject = box_mask(0, 0, 330, 300)
    record = place(ground(), subject, fit=True, size=120, safe=0)[1]
    assert record["size_px"] < 120
    assert overlap(subject, record["ink_box"]) == 0


def test_a_text_that_is_too_large_for_its_box_is_refused() -> None:
    """As without ``anchor``, with the size that fits."""
    with pytest.raises(InputError, match="does not fit into its box"):
        place(ground(), size=290)


def test_only_auto_needs_engines() -> None:
    """The step waits for the engines that find subjects and faces only if it uses them."""
    assert Text(string="GOLD").needs().engines == ()
    assert {need.kind for need in Text(string="GOLD", anchor="auto").needs().engines} == {MATTE_ESTIMATOR, FACE_DETECTOR}


def test_on_a_subject_that_fills_the_picture_text_goes_to_its_rim_and_is_told() -> None:
    """The middle of the subject, where its eyes may be, stays free."""
    record = place(ground(), box_mask(0, 0, WIDTH, HEIGHT))[1]
    assert overlap(box_mask(120, 75, 260, 150), record["ink_box"]) == 0
    assert "no room beside the subject: 100% of the text lies on it" in record["remark"]
    assert "remark" not in place(ground(), box_mask(0, 0, 200, HEIGHT), size=24)[1]
