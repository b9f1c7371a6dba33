"""Check the pictures that a pipeline returns, and bring them to the requested size."""

from __future__ import annotations

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels

_BLACK_LIMIT = 1 / 255
# Standard deviation of half an 8-bit code; every real picture varies more.
_FLAT_LIMIT = 0.002


def check_picture(name: str, picture: Pixels, seed: int, precision: str, input_picture: Pixels | None) -> Pixels:
    """Return the picture, (h, w, 3), clipped to 0..1, sRGB. Raises InputError for a NaN, black or flat picture: the attempt failed.

    input_picture: the picture that the model started from; if it is flat, the result may be flat too.
    """
    remedy = "Try another seed" + ("." if precision == "float32" else f", or a precision other than {precision} in models.toml.")
    if not np.isfinite(picture).all():
        raise InputError(f"The model {name!r} generated a picture with values that are not numbers (NaN) with seed {seed}.", remedy)
    if not is_flat(input_picture):
        if picture.max() < _BLACK_LIMIT:
            raise InputError(f"The model {name!r} generated a black picture with seed {seed}.", remedy)
        if is_flat(picture):
            raise InputError(f"The model {name!r} generated a picture of one flat colour with seed {seed}.", remedy)
    return np.clip(picture, 0, 1)


def is_flat(picture: Pixels | None) -> bool:
    """Return whether the picture, (h, w, c), 0..1, varies by less than half an 8-bit code in every channel."""
    return picture is not None and float(picture.reshape(-1, picture.shape[-1]).std(axis=0, dtype=np.float64).max()) < _FLAT_LIMIT


def resize(picture: Pixels, width: int, height: int) -> Pixels:
    """Return the picture, (h, w, 3), 0..1, sRGB, at that size in px; the same array if it has that size."""
    if picture.shape[:2] == (height, width):
        return picture
    import cv2

    smaller = width * height < picture.shape[0] * picture.shape[1]
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.clip(np.ascontiguousarray(resized, dtype=np.float32), 0, 1)
