"""Every fault at several strengths on pictures by which no threshold was set: each is found, and each repair reduces the error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import cloned, coded, overlap, parted, sharpened, speckled, tiled, under_sky
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

_CLEAN = ("motorcycle", "retina", "hubble_deep_field", "camera", "moon", "coins", "brick", "gravel", "immunohistochemistry")
_FINDERS: dict[str, Callable[[Pixels], list[Defect]]] = {
    "banding": banding.find,
    "seams": seams.find,
    "lateral": chromatic_aberration.find,
    "noise": noise.find,
    "colour noise": noise.find_colour_noise,
    "fringes": fringes.find,
    "halos": halos.find,
}


@cache
def _picture(name: str) -> Pixels:
    codes = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    rgb = codes if codes.ndim == 3 else np.repeat(codes[:, :, None], 3, axis=2)
    pixels = np.asarray(rgb[:640, :, :3] / np.float32(255), np.float32)
    pixels.flags.writeable = False
    return pixels


def _repair_all(picture: Pixels, find: Callable[[Pixels], list[Defect]]) -> Pixels:
    repaired = picture.copy()
    for fault in find(picture):
        assert fault.repair is not None
        assert fault.after < fault.before
        repaired[fault.repair[0]] = fault.repair[1]
    return repaired


def _mean_error(pixels: Pixels, clean: Pixels) -> float:
    return float(np.abs(pixels - clean).mean())


@pytest.mark.parametrize("name", _CLEAN)
@pytest.mark.parametrize("kind", _FINDERS)
def test_clean_pictures_have_no_faults(kind: str, name: str) -> None:
    """Pictures from cameras, a telescope and a microscope, of coins and of walls are left alone."""
    assert _FINDERS[kind](_picture(name)) == []


@pytest.mark.parametrize(
    ("name", "corner"),
    [("motorcycle", 1.5), ("motorcycle", 3.0), ("immunohistochemistry", 1.5), ("immunohistochemistry", 3.0), ("retina", 3.0)],
)
def test_misaligned_colours_are_realigned(name: str, corner: float) -> None:
    """Colours are misaligned by 1.5 or 3 px in the corner; in the soft retina a misalignment below 3 px is invisible."""
    clean = _picture(name)
    scale = 2 * corner / float(np.hypot(*clean.shape[:2]))
    misaligned = parted(clean, scale, -scale)
    assert _mean_error(_repair_all(misaligned, chromatic_aberration.find), clean) < 0.6 * _mean_error(misaligned, clean)


@pytest.mark.parametrize("name", ["motorcycle", "camera", "coins"])
@pytest.mark.parametrize(("amount", "sigma"), [(2.0, 1.6), (3.0, 1.0), (2.0, 2.6)])
def test_halo_repair_reduces_the_error_of_oversharpening(name: str, amount: float, sigma: float) -> None:
    """For narrow and wide halos, at least two fifths of the error are removed."""
    clean = _picture(name)
    oversharpened = sharpened(clean, amount, sigma)
    assert halos.find(oversharpened)
    assert _mean_error(_repair_all(oversharpened, halos.find), clean) < 0.6 * _mean_error(oversharpened, clean)


@pytest.mark.parametrize("sigma", [0.03, 0.08])
def test_colour_noise_is_reduced_in_a_detailed_picture(sigma: float) -> None:
    """The picture shows a workshop full of small objects."""
    clean = _picture("motorcycle")
    noisy = speckled(clean, sigma)
    assert _mean_error(_repair_all(noisy, noise.find_colour_noise), clean) < 0.6 * _mean_error(noisy, clean)


@pytest.mark.parametrize("name", ["rocket", "coffee"])
@pytest.mark.parametrize("codes", [12, 48])
def test_banding_repair_reduces_the_error_of_rounding(name: str, codes: float) -> None:
    """Values are not rounded after the repair, as in a 16-bit picture; nothing but the sky changes."""
    rows = 160
    smooth, banded = under_sky(name, rows, codes)
    repaired = _repair_all(banded, banding.find)
    assert _mean_error(repaired[:rows], smooth[:rows]) < 0.9 * _mean_error(banded[:rows], smooth[:rows])
    assert np.array_equal(repaired[rows:], banded[rows:])


@pytest.mark.parametrize("codes", [4, 8])
def test_seam_repair_reduces_the_error_of_tiles(codes: float) -> None:
    """Steps are spread until they are invisible, which removes a fifth of the error or more; every seam lies at the edge of a tile."""
    clean = coded(under_sky("rocket", 200)[0])
    with_seams = tiled(clean, 128, codes)
    assert _mean_error(_repair_all(with_seams, seams.find), clean) < 0.8 * _mean_error(with_seams, clean)
    for fault in seams.find(with_seams):
        rows, columns = fault.window
        span = columns if rows == slice(0, with_seams.shape[0]) else rows
        assert any(span.start < edge < span.stop for edge in range(128, 640, 128))


@pytest.mark.parametrize("side", [80, 128])
def test_a_clone_is_found_at_its_place(side: int) -> None:
    """One of the two places overlaps the copy by a third or more, and both are as similar as only copies are."""
    clean = _picture("motorcycle")
    picture = cloned(clean, (100, 148), (330, 500), side)
    (duplicate,) = copy_move.find(picture)
    assert max(overlap(place, make_window(330, 500, side, side)) for place in (duplicate.window, duplicate.source)) > 0.33
    assert duplicate.correlation > 0.98
    assert not duplicate.is_pattern
