"""Resize float pixels and masks with antialiasing in both directions, without dark edges where alpha ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels

# lanczos: a = 3, sharpest; cubic: a = -0.5; linear: a triangle, never overshoots; area: the mean over a pixel's area.
ResampleFilter = Literal["lanczos", "cubic", "linear", "area"]

_BAND_PIXELS = 1 << 20
# A pixel with less coverage has no colour of its own.
MIN_ALPHA = np.float32(1 / 65535 / 2)


def resize(array: NDArray[np.float32], height: int, width: int, resample_filter: ResampleFilter = "linear") -> NDArray[np.float32]:
    """Return ``array``, (h, w) or (h, w, c), 0..1, at another size in px; for a reduction, the filter is widened so that nothing aliases.

    Values are used as they are: to add light correctly they must be linear. ``lanczos`` and ``cubic`` overshoot: clip the result.
    """
    if array.shape[:2] == (height, width):
        return array
    if array.ndim == 2:
        return _resize_plane(array, height, width, resample_filter)
    with ThreadPoolExecutor(2) as pool:
        planes = pool.map(lambda channel: _resize_plane(array[:, :, channel], height, width, resample_filter), range(array.shape[2]))
        return np.stack(list(planes), axis=2)


def resize_picture(
    picture: Picture, height: int, width: int, resample_filter: ResampleFilter = "lanczos", *, in_linear_light: bool = True
) -> Picture:
    """Return the picture at another size, with alpha and masks; the same picture if it has that size.

    in_linear_light: resize linear light (by the picture's profile) instead of display-encoded values. Colours are weighted with alpha, so
    that the colours of transparent pixels never show.
    """
    if (picture.height, picture.width) == (height, width):
        return picture
    pixels = colour.to_linear(picture.pixels, picture.icc) if in_linear_light else picture.pixels
    if picture.alpha is None:
        result = resize(pixels, height, width, resample_filter)
    else:
        coverage = resize(picture.alpha, height, width, resample_filter)[..., None]
        weighted = resize(pixels * picture.alpha[..., None], height, width, resample_filter)
        result = np.where(coverage > MIN_ALPHA, weighted / np.maximum(coverage, MIN_ALPHA), resize(pixels, height, width, "linear"))
    result = np.clip(result, 0.0, 1.0)
    if in_linear_light:
        result = np.clip(colour.from_linear(result, picture.icc), 0.0, 1.0)

    def resize_mask(mask: Mask) -> Mask:
        return np.clip(resize(mask, height, width, resample_filter if mask is picture.alpha else "linear"), 0.0, 1.0)

    return picture.with_geometry(result, resize_mask)


def _resize_plane(plane: Pixels, height: int, width: int, resample_filter: ResampleFilter) -> NDArray[np.float32]:
    from PIL import Image

    filters = {
        "lanczos": Image.Resampling.LANCZOS,
        "cubic": Image.Resampling.BICUBIC,
        "linear": Image.Resampling.BILINEAR,
        "area": Image.Resampling.BOX,
    }
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), filters[resample_filter])
    result = np.empty((height, width), np.float32)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):  # Pillow copies the pixels it receives
        bottom = min(top + rows, height)
        result[top:bottom] = np.asarray(image.crop((0, top, width, bottom)), np.float32)
    return result
