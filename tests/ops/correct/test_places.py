"""Each finding with its place: what is built into one part of a picture is told and mended there, and the rest is not touched."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, cloned, coded, fringed, overlap, photograph, sharpened, sky
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


def _laid(given: Pixels, faults: list[Defect]) -> Pixels:
    made = given.copy()
    for fault in faults:
        assert fault.repair is not None
        assert fault.repair[0] == fault.window
        made[fault.repair[0]] = fault.repair[1]
    return made


def _cards(left: float, right: float) -> Pixels:
    """Grey cards on grey, softly drawn, in two halves of 300 px; each half sharpened as far as asked."""
    made = np.full((400, 600, 3), 0.4, np.float32)
    for top in range(40, 340, 80):
        for at in range(40, 560, 80):
            made[top : top + 40, at : at + 40] = 0.65
    made = gaussian_blur(made, 0.8)
    halves = [sharpened(made, amount) if amount else coded(made) for amount in (left, right)]
    return np.concatenate([halves[0][:, :300], halves[1][:, 300:]], axis=1)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (96, 40), (160, 200)])
def test_a_banded_patch_is_told_where_it_lies(top: int, left: int) -> None:
    """At the border and in the middle of a photograph; beyond a few px of the patch nothing moves."""
    given = photograph("coffee").copy()
    given[top : top + 200, left : left + 320] = coded(sky(200, 320))
    faults = banding.find(given)
    (largest, *_) = faults
    assert overlap(largest.window, make_window(top, left, 200, 320)) > 0.75
    outside = np.ones(given.shape[:2], bool)
    outside[top : top + 200, left : left + 320] = False
    assert not changed(given, _laid(given, faults))[outside].any()


@pytest.mark.parametrize("place", [(100, 100), (60, 260), (180, 300)])
def test_a_rim_is_told_where_it_lies(place: tuple[int, int]) -> None:
    """Its box holds the window's, with the rim, and is no larger than that by more than a few px."""
    given = fringed(photograph("coffee"), make_window(*place, 50, 80))
    faults = fringes.find(given)
    assert len(faults) == 1
    assert overlap(faults[0].window, make_window(place[0] - 4, place[1] - 4, 58, 88)) > 0.6
    moved = changed(given, _laid(given, faults))
    assert not moved[faults[0].window[0].stop :].any()
    assert not moved[: faults[0].window[0].start].any()


@pytest.mark.parametrize(("across", "level"), [(True, 192), (True, 256), (False, 160), (False, 256)])
def test_a_seam_is_told_where_it_lies(across: bool, level: int) -> None:
    """Down or across, from side to side, with the line well inside its box."""
    given = photograph("rocket").copy()
    part = np.s_[level:] if across else np.s_[:, level:]
    given[part] = np.clip(given[part] + np.float32(6 / 255), 0, 1)
    (fault,) = seams.find(coded(given))
    span, whole = fault.window if across else fault.window[::-1]
    assert span.start + 60 < level < span.stop - 60
    assert whole == slice(0, given.shape[1 if across else 0])


def test_halos_are_mended_about_edges_alone() -> None:
    """All cards are sharpened: each has its rim taken away, and their middles stay to the bit."""
    given = _cards(3, 3)
    faults = halos.find(given)
    made = _laid(given, faults)
    moved = changed(given, made)
    assert moved[40:80, 36:44].any()
    assert not moved[56:64, 56:64].any()
    assert all(fault.after < 0.5 * fault.before for fault in faults)


def test_where_nothing_is_sharpened_nothing_is_mended() -> None:
    """The same cards as they were drawn."""
    assert halos.find(_cards(0, 0)) == []


@pytest.mark.parametrize("place", [(300, 20), (380, 200), (250, 400)])
def test_a_stamp_is_told_with_both_places(place: tuple[int, int]) -> None:
    """Whichever of the two is called the copy: together they are where it was taken from and where it was put."""
    source = (40, 180)
    given = cloned(photograph("astronaut"), source, place, 80)
    (found,) = copy_move.find(given)
    wanted = [make_window(*source, 80, 80), make_window(*place, 80, 80)]
    for one in (found.window, found.source):
        assert max(overlap(one, other) for other in wanted) > 0.25
    assert overlap(found.window, found.source) == 0


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_whole_pictures_are_told_as_whole_pictures(name: str) -> None:
    """Noise and colours that part are everywhere: the box is the picture's."""
    clean = photograph(name)
    noisy = coded(clean + 0.06 * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32))
    for fault in (*noise.find(noisy), *noise.find_colour_noise(noisy)):
        assert fault.window == make_window(0, 0, *clean.shape[:2])
    assert noise.find(noisy)
    assert noise.find_colour_noise(noisy)
    assert chromatic_aberration.find(noisy) == []


@pytest.mark.parametrize("kind", ["brick", "grass", "gravel", "coins", "moon"])
def test_textures_have_no_seams_bands_or_rims(kind: str) -> None:
    """Mortar, blades and craters are straight, even and bright in places, and meant to be."""
    grey = np.asarray(getattr(data, kind)()[:, :, None] / np.float32(255), np.float32)
    given = np.repeat(grey, 3, axis=2)
    for find in (seams.find, banding.find, halos.find, fringes.find, chromatic_aberration.find):
        assert find(given) == []
