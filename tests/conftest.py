"""Fixtures for pictures, and the profiles of property tests.

Property tests draw the same examples in every run, so that a commit that passed keeps passing. Another profile draws more:
``HYPOTHESIS_PROFILE=explore make tests``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from goldsmith.picture.picture import BitDepth, Metadata, Picture, freeze

# A busy machine draws slowly, which is no fault of the test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _PATIENT, derandomize=True)
settings.register_profile("explore", _PATIENT, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

PictureMaker = Callable[..., Picture]
Saver = Callable[..., bytes]


@pytest.fixture
def saved() -> Saver:
    """Return a function that encodes codes, (height, width) or (height, width, channels), with Pillow: format, then its options."""
    from PIL import Image

    def save(picture: NDArray[Any], kind: str, **options: Any) -> bytes:
        out = io.BytesIO()
        Image.fromarray(picture).save(out, kind, **options)
        return out.getvalue()

    return save


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """Return a smooth picture with a little noise, (48, 64, 3), codes 0..255."""
    down, across = np.mgrid[0:48, 0:64]
    noise = np.random.default_rng(3).integers(0, 9, (48, 64, 3))
    return (np.stack([across * 3, down * 4, across + down], axis=2) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def make_picture() -> PictureMaker:
    """Return a function that makes a picture from codes, (height, width, channels), and optional alpha codes, (height, width)."""

    def make(
        codes: NDArray[np.uint8] | NDArray[np.uint16],
        alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None,
        icc: bytes | None = None,
        ppi: tuple[float, float] | None = None,
        metadata: Metadata | None = None,
    ) -> Picture:
        depth: BitDepth = 8 if codes.dtype == np.uint8 else 16
        levels = np.float32(2**depth - 1)
        pixels = codes.reshape(*codes.shape[:2], -1).astype(np.float32) / levels
        cover = None if alpha is None else freeze(alpha.astype(np.float32) / levels)
        return Picture(freeze(pixels), cover, depth, icc, ppi, metadata or Metadata())

    return make
