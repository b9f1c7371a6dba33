"""Upright squares of a picture, and invalid networks in .task files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from goldsmith.engines.drivers._tflite import RotatedSquare, TfliteNet, sigmoid
from goldsmith.errors import InputError


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi / 2, -2.0])
@pytest.mark.parametrize("side", [60.0, 150.0, 900.0])
def test_a_point_of_the_crop_maps_back_to_the_picture(angle: float, side: float) -> None:
    """Check a dot painted into the picture."""
    pixels = np.zeros((700, 900, 3), np.float32)
    square = RotatedSquare(430, 320, side, angle)
    [centre] = square.to_picture(np.array([[60, 30]], np.float32), 100)
    down, across = np.mgrid[0:700, 0:900] + 0.5
    spread = max(2.0, side / 40)
    pixels[:] = np.exp(-((across - centre[0]) ** 2 + (down - centre[1]) ** 2) / (2 * spread**2))[..., None]
    crop = square.crop(pixels, 100)
    assert crop.shape == (100, 100, 3)
    weight = crop[:, :, 0] ** 2
    rows, columns = np.mgrid[0:100, 0:100] + 0.5
    assert ((columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()) == pytest.approx((60, 30), abs=0.6)


def test_a_crop_outside_the_picture_is_black() -> None:
    """Check a square that crosses the edge."""
    crop = RotatedSquare(0, 50, 100, 0).crop(np.ones((100, 100, 3), np.float32), 50)
    assert crop[:, :24].max() == 0
    assert crop[:, 26:].min() == 1


def test_a_large_square_is_reduced_without_aliasing() -> None:
    """Check that a fine chequerboard becomes grey and not stripes."""
    chequer = (np.indices((800, 800)).sum(axis=0) % 2).astype(np.float32)[..., None].repeat(3, axis=2)
    crop = RotatedSquare(400, 400, 800, 0).crop(chequer, 64)
    assert crop[2:-2, 2:-2].std() < 0.02
    assert crop[2:-2, 2:-2].mean() == pytest.approx(0.5, abs=0.02)


def test_a_logit_becomes_a_probability() -> None:
    """Check 0 and very large values."""
    assert sigmoid(np.array([0, 1000, -1000], np.float32)) == pytest.approx([0.5, 1, 0])


def test_a_file_that_is_no_task_is_refused(tmp_path: Path) -> None:
    """Check text, an archive without the network, and an archive with an invalid one."""
    text, empty, broken = (tmp_path / name for name in ("text.task", "empty.task", "broken.task"))
    text.write_text("no archive")
    with zipfile.ZipFile(empty, "w"):
        pass
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("net.tflite", b"no net")
    for task in (text, empty, broken):
        with pytest.raises(InputError, match="cannot open net"):
            TfliteNet(task, "net.tflite")
