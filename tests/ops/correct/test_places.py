"""The place of each fault: a fault in one part of a picture is found and repaired there, and the rest is unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, cloned, coded, fringed, hair, overlap, photograph, sharpened, sky
from goldsmith.ops.correct import (
    banding,
    chromatic_aberration,
    copy_move,
    fringes,
    halos,
    noise,
    seams,
)
from goldsmith.ops.correct.defect import Defect, make_window
from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur


def _repair_all(picture: Pixels, faults: list[Defect]) -> Pixels:
    repaired = picture.copy()
    for fault in faults:
        assert fault.repair is not None
        assert fault.repair[0] == fault.window
        repaired[fault.repair[0]] = fault.repair[1]
    return repaired


def _cards(left: float, right: float) -> Pixels:
    """Return soft grey cards on grey; the left and the right 300 px are sharpened by these amounts."""
    cards = np.full((400, 600, 3), 0.4, np.float32)
    for top in range(40, 340, 80):
        for start in range(40, 560, 80):
            cards[top : top + 40, start : start + 40] = 0.65
    cards = gaussian_blur(cards, 0.8)
    halves = [sharpened(cards, amount) if amount else coded(cards) for amount in (left, right)]
    return np.concatenate([halves[0][:, :300], halves[1][:, 300:]], axis=1)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (96, 40), (160, 200)])
def test_a_banded_patch_is_found_at_its_place(top: int, left: int) -> None:
    """At the border and in the middle of a photograph, nothing outside the patch changes."""
    picture = photograph("coffee").copy()
    picture[top : top + 200, left : left + 320] = coded(sky(200, 320))
    faults = banding.find(picture)
    (largest, *_) = faults
    assert overlap(largest.window, make_window(top, left, 200, 320)) > 0.75
    outside = np.ones(picture.shape[:2], bool)
    outside[top : top + 200, left : left + 320] = False
    assert not changed(picture, _repair_all(picture, faults))[outside].any()


@pytest.mark.parametrize("place", [(100, 100), (60, 260), (180, 300)])
def test_a_rim_is_found_at_its_place(place: tuple[int, int]) -> None:
    """The box holds the highlight with its rim and only a few px more; above and below it nothing changes."""
    picture = fringed(photograph("coffee"), make_window(*place, 50, 80))
    faults = fringes.find(picture)
    assert len(faults) == 1
    assert overlap(faults[0].window, make_window(place[0] - 4, place[1] - 4, 58, 88)) > 0.6
    difference = changed(picture, _repair_all(picture, faults))
    assert not difference[faults[0].window[0].stop :].any()
    assert not difference[: faults[0].window[0].start].any()


@pytest.mark.parametrize(("across", "level"), [(True, 192), (True, 256), (False, 160), (False, 256)])
def test_a_seam_is_found_at_its_place(across: bool, level: int) -> None:
    """The box goes from side to side, down or across, and the seam lies well inside it."""
    picture = photograph("rocket").copy()
    part = np.s_[level:] if across else np.s_[:, level:]
    picture[part] = np.clip(picture[part] + np.float32(6 / 255), 0, 1)
    (fault,) = seams.find(coded(picture))
    span, whole = fault.window if across else fault.window[::-1]
    assert span.start + 60 < level < span.stop - 60
    assert whole == slice(0, picture.shape[1 if across else 0])


def test_halos_are_repaired_at_edges_alone() -> None:
    """Each sharpened card loses its rim, and its middle stays bit for bit."""
    cards = _cards(3, 3)
    faults = halos.find(cards)
    repaired = _repair_all(cards, faults)
    difference = changed(cards, repaired)
    assert difference[40:80, 36:44].any()
    assert not difference[56:64, 56:64].any()
    assert all(fault.after < 0.5 * fault.before for fault in faults)


def test_cards_without_sharpening_have_no_halos() -> None:
    """The cards are those of the test above, before sharpening."""
    assert halos.find(_cards(0, 0)) == []


@pytest.mark.parametrize("amount", [2, 3])
def test_halos_of_hair_on_a_soft_background_are_repaired(amount: float) -> None:
    """Hair has no flat side of its own. The rims on the background are found, and three fifths of the error are removed."""
    clean = hair()
    damaged = sharpened(clean, amount)
    faults = halos.find(damaged)
    assert faults
    assert all(fault.after < 0.3 * fault.before for fault in faults)
    assert np.abs(_repair_all(damaged, faults) - clean).mean() < 0.4 * np.abs(damaged - clean).mean()


def test_hair_without_sharpening_has_no_halos() -> None:
    """Light lines on a darker ground are not rims."""
    assert halos.find(hair()) == []


@pytest.mark.parametrize("place", [(300, 20), (380, 200), (250, 400)])
def test_a_clone_is_found_with_both_places(place: tuple[int, int]) -> None:
    """Each found window is the source or the copy, whichever of the two is called the copy."""
    source = (40, 180)
    picture = cloned(photograph("astronaut"), source, place, 80)
    (duplicate,) = copy_move.find(picture)
    expected = [make_window(*source, 80, 80), make_window(*place, 80, 80)]
    for window in (duplicate.window, duplicate.source):
        assert max(overlap(window, expected_window) for expected_window in expected) > 0.25
    assert overlap(duplicate.window, duplicate.source) == 0


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_box_of_noise_is_the_whole_picture(name: str) -> None:
    """Noise is everywhere, and it does not count as misaligned colours."""
    clean = photograph(name)
    noisy = coded(clean + 0.06 * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32))
    for fault in (*noise.find(noisy), *noise.find_colour_noise(noisy)):
        assert fault.window == make_window(0, 0, *clean.shape[:2])
    assert noise.find(noisy)
    assert noise.find_colour_noise(noisy)
    assert chromatic_aberration.find(noisy) == []


@pytest.mark.parametrize("kind", ["brick", "grass", "gravel", "coins", "moon"])
def test_textures_have_no_seams_bands_or_rims(kind: str) -> None:
    """Mortar, blades and craters are straight, even and bright in places by nature."""
    grey = np.asarray(getattr(data, kind)()[:, :, None] / np.float32(255), np.float32)
    rgb = np.repeat(grey, 3, axis=2)
    for find in (seams.find, banding.find, halos.find, fringes.find, chromatic_aberration.find):
        assert find(rgb) == []
