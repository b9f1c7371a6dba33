"""Scores of a fill: the truth scores well, and each fault is seen by the measure that is made for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.fill_scores import FillComparison, usual_foreign

SIDE = 200


def _hole() -> NDArray[np.bool_]:
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[60:140, 60:140] = True
    return hole


def _cloth() -> Pixels:
    """Return a grey-green texture with soft grain."""
    noise = gaussian_blur(np.random.default_rng(3).normal(0, 0.12, (SIDE, SIDE, 1)).astype(np.float32), 0.8)
    return np.asarray(np.clip(np.float32([0.4, 0.5, 0.4]) + noise, 0, 1), dtype=np.float32)


def _planks() -> Pixels:
    """Return dark lines across a light board."""
    rows = (np.arange(SIDE)[:, None, None] + 7) % 20 < 4
    return np.broadcast_to(np.where(rows, np.float32(0.3), np.float32(0.7)), (SIDE, SIDE, 3)).astype(np.float32)


def _with(pixels: Pixels, inside: Pixels) -> Pixels:
    return np.where(_hole()[..., None], inside, pixels).astype(np.float32)


def _scores(pixels: Pixels):  # type: ignore[no-untyped-def]
    return FillComparison(pixels, _hole(), np.zeros((SIDE, SIDE), dtype=np.bool_)).score(pixels)


@pytest.mark.parametrize("truth", [_cloth(), _planks()], ids=["cloth", "planks"])
def test_the_truth_scores_well(truth: Pixels) -> None:
    """Detail is equal, nothing is new, no line breaks, and the border does not show."""
    scores = _scores(truth)
    assert scores.detail_ratio == pytest.approx(1, abs=0.1)
    assert scores.novelty < 0.002
    assert scores.seam < 0.1
    assert scores.lines < 0.4
    assert scores.cost < 0.6


def test_a_soft_fill_lacks_detail_and_noise_has_too_much() -> None:
    """The ratio says which, and both cost more than the truth."""
    cloth = _cloth()
    soft = _with(cloth, gaussian_blur(cloth, 3))
    noise = np.random.default_rng(1).normal(0.45, 0.2, (SIDE, SIDE, 1)).astype(np.float32) + np.zeros((1, 1, 3), np.float32)
    noisy = _with(cloth, np.clip(noise, 0, 1))
    assert _scores(soft).detail_ratio < 0.5
    assert _scores(noisy).detail_ratio > 1.5
    assert _scores(cloth).cost < min(_scores(soft).cost, _scores(noisy).cost)


def test_an_invented_object_is_new() -> None:
    """A golden crown on a blue wall has colours that the wall does not have, and so do small specks."""
    wall = np.full((SIDE, SIDE, 3), np.float32([0.2, 0.3, 0.6]), dtype=np.float32)
    crown, specks = wall.copy(), wall.copy()
    crown[85:115, 80:120] = (0.9, 0.7, 0.1)
    specks[70:130:12, 70:130:12] = specks[71:131:12, 70:130:12] = specks[70:130:12, 71:131:12] = (0.9, 0.7, 0.1)
    assert _scores(crown).novelty > 0.15
    assert _scores(specks).novelty > 0.02
    assert _scores(wall).novelty == 0


def test_an_object_from_elsewhere_in_the_picture_is_foreign() -> None:
    """A red ball lies far from the hole, so its colour is not new to the picture, but nothing beside the hole looks like it."""
    pixels = _cloth()
    pixels[5:35, 5:35] = (0.8, 0.1, 0.1)
    copied = pixels.copy()
    copied[85:115, 85:115] = (0.8, 0.1, 0.1)
    assert _scores(copied).foreign > 0.1
    assert _scores(copied).novelty < 0.02
    assert _scores(pixels).foreign < 0.01


def test_blobs_are_told_from_shards_of_equal_strength() -> None:
    """Bright specks on dark ground and dark specks on bright ground have the same detail; their distribution is turned round."""
    specks = gaussian_blur((np.random.default_rng(9).random((SIDE, SIDE, 1)) > 0.97).astype(np.float32), 1.2) + np.zeros(3, np.float32)
    shards = np.clip(0.5 + specks, 0, 1).astype(np.float32)
    turned = np.clip(0.5 + 2 * specks.mean() - specks, 0, 1).astype(np.float32)
    assert _scores(shards).texture < 0.05
    assert _scores(_with(shards, turned)).texture > 0.15
    assert _scores(_with(shards, turned)).detail_ratio == pytest.approx(1, abs=0.15)


def test_lines_that_end_at_the_hole_are_broken() -> None:
    """Planks that go on cost nothing; plain wood in their place breaks nearly all of their lines."""
    planks = _planks()
    assert _scores(_with(planks, np.full_like(planks, 0.62))).lines > 0.8
    assert _scores(planks).lines < 0.3


def test_a_step_in_tone_at_the_border_is_a_seam() -> None:
    """A fill that is ten codes too light shows its border."""
    cloth = gaussian_blur(_cloth(), 2)
    assert _scores(_with(cloth, cloth + np.float32(10 / 255))).seam > 0.5
    assert _scores(cloth).seam < 0.2


def test_what_is_hidden_is_no_surrounding() -> None:
    """A red subject beside the hole does not make red a colour of the surroundings."""
    wall = np.full((SIDE, SIDE, 3), 0.5, dtype=np.float32)
    wall[60:140, 145:190] = (0.9, 0.1, 0.1)
    filled = wall.copy()
    filled[90:110, 90:110] = (0.9, 0.1, 0.1)
    hidden = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hidden[60:140, 145:190] = True
    assert FillComparison(filled, _hole(), hidden).score(filled).novelty > 0.04
    assert _scores(filled).novelty < 0.02


def _with_hole(pixels: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    hole = np.zeros(pixels.shape[:2], dtype=np.bool_)
    hole[130:190, 130:190] = True
    return pixels, hole


def test_a_patchwork_is_foreign_to_itself_and_a_wall_is_not() -> None:
    """A fill is compared with holes of the same shape elsewhere in the picture."""
    random = np.random.default_rng(8)
    wall = np.full((320, 320, 3), 0.6, dtype=np.float32) + random.normal(0, 0.01, (320, 320, 3)).astype(np.float32)
    patchwork = np.kron(random.uniform(0.1, 0.9, (8, 8, 3)), np.ones((40, 40, 1))).astype(np.float32)
    plain, motley = (usual_foreign(*_with_hole(pixels), np.zeros((320, 320), np.bool_)) for pixels in (wall, patchwork))
    assert plain is not None
    assert motley is not None
    assert plain < 0.02
    assert motley > plain + 0.15


def test_surroundings_that_are_too_small_are_not_measured() -> None:
    """No hole of the same shape has room beside this one."""
    pixels, hole = _with_hole(np.full((320, 320, 3), 0.6, dtype=np.float32))
    view = np.s_[110:210, 110:210]
    assert usual_foreign(pixels[view], hole[view], np.zeros((100, 100), np.bool_)) is None
    assert usual_foreign(pixels, hole, ~hole) is None
