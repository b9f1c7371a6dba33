"""What is not continued: a sure subject with its soft rim, and only the sure part of an uncertain one."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.subjects import cut_edges, find_hidden
from goldsmith.picture.picture import Mask, Picture, freeze

PICTURE = Picture(freeze(np.full((100, 160, 3), 0.5, np.float32)))


def matte(core: float, rim: float) -> Mask:
    """Return a matte (h, w), 0..1, of something at the bottom edge, and of as much again above it."""
    mask = np.zeros((100, 160), np.float32)
    mask[70:, 40:120], mask[40:70, 40:120] = core, rim
    return freeze(mask)


def hidden_by(subject: Mask) -> Mask | None:
    return find_hidden(PICTURE, lambda word, _: subject if word == "subject" else None)[1]


def test_a_sure_subject_is_hidden_with_its_soft_parts_and_is_cut_by_the_edge() -> None:
    """Its soft rim would be continued as hair without a head."""
    subject = matte(1.0, 0.0).copy()
    subject[66:70, 40:120] = 0.4
    hidden = hidden_by(freeze(subject))
    assert hidden is not None
    assert hidden[68, 80] == 1
    assert cut_edges(freeze(subject), ("bottom",)) == ("bottom",)


@pytest.mark.parametrize(("core", "expected"), [(1.0, 1.0), (0.6, None)])
def test_of_an_uncertain_subject_only_the_sure_part_is_hidden(core: float, expected: float | None) -> None:
    """A part of a landscape, which two looks see differently, may be continued."""
    subject = matte(core, 0.5)
    hidden = hidden_by(subject)
    assert (None if hidden is None or not hidden.any() else hidden[85, 80]) == expected
    assert hidden is None or not hidden[55, 80]
    assert cut_edges(subject, ("bottom",)) == ()
