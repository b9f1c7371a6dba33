"""Closed-form matting of whole pictures: near to the truth, the same in tiles as in one, and nothing touched that was sure."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from doubles.mattes import scene
from goldsmith.ops.cutout.closed_form import DEFAULT_MATTING, solve_matte
from goldsmith.picture.picture import Mask

SEEN = scene(400, 520)
GUESS: Mask = np.where(SEEN.near, SEEN.coarse, np.round(SEEN.alpha))


def test_the_truth_is_found() -> None:
    """In the open band the error is less than two fifths of the coarse matte's, and what was sure is as it was."""
    found = solve_matte(SEEN.pixels, GUESS, SEEN.near)
    assert np.abs(found - SEEN.alpha)[SEEN.near].mean() < np.abs(GUESS - SEEN.alpha)[SEEN.near].mean() * 0.4
    assert np.array_equal(found[~SEEN.near], GUESS[~SEEN.near])


def test_tiles_come_to_the_whole_and_leave_no_seam() -> None:
    """In small tiles the matte is within 1/255 of that found in one, on the mean, and no steeper along their edges than elsewhere."""
    whole = solve_matte(SEEN.pixels, GUESS, SEEN.near, replace(DEFAULT_MATTING, tile=10_000))
    tiled = solve_matte(SEEN.pixels, GUESS, SEEN.near, replace(DEFAULT_MATTING, tile=96, margin=24))
    apart = np.abs(whole - tiled)
    assert 0 < apart[SEEN.near].mean() < 1 / 255
    assert np.abs(np.diff(tiled - whole, axis=1)).max() < 0.1


def test_a_painted_grey_stays_about_what_it_is_where_nothing_tells() -> None:
    """A pane's one alpha cannot be told from the picture: it strays no farther than a sixth; its rims are found where they are."""
    height, width = 120, 160
    behind = np.repeat(np.random.default_rng(5).uniform(0, 0.5, (height, 1, 3)), width, axis=1)
    alpha = np.zeros((height, width), np.float32)
    alpha[:, 60:100], alpha[:, 100:] = 0.6, 1
    pixels = (alpha[..., None] * np.float32([0.9, 0.9, 0.6]) + (1 - alpha[..., None]) * behind).astype(np.float32)
    open_ = np.zeros((height, width), np.bool_)
    open_[:, 50:110] = True
    found = solve_matte(pixels, np.where(open_, np.float32(0.6), alpha), open_)
    assert found[20:-20, 65:95].mean() == pytest.approx(0.6, abs=0.16)
    assert found[20:-20, 50:57].mean() < 0.2
    assert found[20:-20, 103:110].mean() > 0.8


def test_grey_pictures_are_matted_too() -> None:
    """One channel is enough where it tells the two apart."""
    grey = SEEN.pixels[:, :, :1]
    found = solve_matte(grey, GUESS, SEEN.near)
    assert np.abs(found - SEEN.alpha)[SEEN.near].mean() < np.abs(GUESS - SEEN.alpha)[SEEN.near].mean()


def test_nothing_open_is_the_guess_itself() -> None:
    """No work is done where there is none."""
    assert solve_matte(SEEN.pixels, GUESS, np.zeros_like(SEEN.near)) is GUESS


def test_it_can_be_called_off() -> None:
    """What the tick raises ends the work; what it hears only grows."""
    heard: list[float] = []
    solve_matte(SEEN.pixels, GUESS, SEEN.near, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1)

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        solve_matte(SEEN.pixels, GUESS, SEEN.near, on_progress=stop)


def test_the_blocks_of_a_jpeg_are_no_edges() -> None:
    """Blocks of 8 px that are each a little off bend the matte of a straight edge less, and it is nearer to the truth."""
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
