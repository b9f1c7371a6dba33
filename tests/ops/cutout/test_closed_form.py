"""Closed-form matting of whole pictures: close to the true alpha, equal in tiles and at once, and certain pixels unchanged."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from doubles.mattes import scene
from goldsmith.ops.cutout.closed_form import DEFAULT_MATTING, solve_matte
from goldsmith.picture.picture import Mask

SCENE = scene(400, 520)
GUESS: Mask = np.where(SCENE.near, SCENE.coarse, np.round(SCENE.alpha))


def test_the_matte_comes_close_to_the_true_alpha() -> None:
    """Among the unknown pixels the error is less than two fifths of the coarse matte's; certain pixels are unchanged."""
    matte = solve_matte(SCENE.pixels, GUESS, SCENE.near)
    assert np.abs(matte - SCENE.alpha)[SCENE.near].mean() < np.abs(GUESS - SCENE.alpha)[SCENE.near].mean() * 0.4
    assert np.array_equal(matte[~SCENE.near], GUESS[~SCENE.near])


def test_small_tiles_equal_one_tile_and_leave_no_seam() -> None:
    """On average both mattes differ by less than 1/255, and the difference has no steps at the edges of tiles."""
    whole = solve_matte(SCENE.pixels, GUESS, SCENE.near, replace(DEFAULT_MATTING, tile=10_000))
    tiled = solve_matte(SCENE.pixels, GUESS, SCENE.near, replace(DEFAULT_MATTING, tile=96, margin=24))
    difference = np.abs(whole - tiled)
    assert 0 < difference[SCENE.near].mean() < 1 / 255
    assert np.abs(np.diff(tiled - whole, axis=1)).max() < 0.1


def test_painted_grey_stays_if_the_picture_does_not_determine_alpha() -> None:
    """The picture does not determine the alpha of an even pane, which strays by a sixth at most; its rims are found at their place."""
    height, width = 120, 160
    behind = np.repeat(np.random.default_rng(5).uniform(0, 0.5, (height, 1, 3)), width, axis=1)
    alpha = np.zeros((height, width), np.float32)
    alpha[:, 60:100], alpha[:, 100:] = 0.6, 1
    pixels = (alpha[..., None] * np.float32([0.9, 0.9, 0.6]) + (1 - alpha[..., None]) * behind).astype(np.float32)
    unknown = np.zeros((height, width), np.bool_)
    unknown[:, 50:110] = True
    matte = solve_matte(pixels, np.where(unknown, np.float32(0.6), alpha), unknown)
    assert matte[20:-20, 65:95].mean() == pytest.approx(0.6, abs=0.16)
    assert matte[20:-20, 50:57].mean() < 0.2
    assert matte[20:-20, 103:110].mean() > 0.8


def test_a_grey_picture_is_matted() -> None:
    """One channel is enough if it distinguishes the subject from the background."""
    grey = SCENE.pixels[:, :, :1]
    matte = solve_matte(grey, GUESS, SCENE.near)
    assert np.abs(matte - SCENE.alpha)[SCENE.near].mean() < np.abs(GUESS - SCENE.alpha)[SCENE.near].mean()


def test_without_unknown_pixels_the_guess_itself_is_returned() -> None:
    """Nothing is left to solve."""
    assert solve_matte(SCENE.pixels, GUESS, np.zeros_like(SCENE.near)) is GUESS


def test_matting_reports_its_progress_and_can_be_cancelled() -> None:
    """The reported shares only grow, and an exception from the callback ends the work."""
    shares: list[float] = []
    solve_matte(SCENE.pixels, GUESS, SCENE.near, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        solve_matte(SCENE.pixels, GUESS, SCENE.near, on_progress=stop)


def test_the_blocks_of_a_jpeg_do_not_bend_the_matte() -> None:
    """With the default noise variance, blocks of 8 px with slightly wrong colours bend the matte of a straight edge less."""
    across = np.clip((np.arange(512, dtype=np.float32) - 250) / 8 + 0.5, 0, 1)
    alpha = np.repeat(across[None, :], 384, axis=0)
    blocks = np.kron(np.random.default_rng(2).normal(0, 0.01, (48, 64, 3)), np.ones((8, 8, 1)))
    mixed = 0.5 + alpha[:, :, None] * np.float32([0.4, 0, -0.4]) + blocks
    pixels = (np.round(np.clip(mixed, 0, 1) * 255) / 255).astype(np.float32)
    band = np.abs(np.arange(512) - 250) < 14
    guess = np.where(band, np.asarray(cv2.GaussianBlur(alpha, (0, 0), 6), np.float32), np.round(alpha))
    straight, bent = (
        solve_matte(pixels, guess, np.repeat(band[None, :], 384, axis=0), replace(DEFAULT_MATTING, noise_variance=noise))
        for noise in (3e-5, 1e-6)
    )
    assert DEFAULT_MATTING.noise_variance == 3e-5
    assert straight[:, band].std(axis=0).mean() < 0.85 * bent[:, band].std(axis=0).mean()
    assert np.abs(straight - alpha)[:, band].mean() < 0.9 * np.abs(bent - alpha)[:, band].mean()
