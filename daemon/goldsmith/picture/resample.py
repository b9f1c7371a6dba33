"""Other sizes: antialiased resizing of float pixels and masks in both directions, without dark edges where alpha ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels, Plate

Filter = Literal["lanczos", "cubic", "linear", "area"]
"""lanczos: a = 3, sharpest; cubic: a = -0.5; linear: a triangle, never overshoots; area: the mean of what a pixel covers."""

_BAND = 1 << 20
LEAST_ALPHA = np.float32(1 / 65535 / 2)
"""What is covered less than this has no colour of its own."""


def resized(array: NDArray[np.float32], height: int, width: int, how: Filter = "linear") -> NDArray[np.float32]:
    """``array`` (h, w) or (h, w, c) at another size; when shrinking, the filter is widened so that nothing aliases.

    Values are taken as they are: for light to add up rightly they have to be linear. ``lanczos`` and ``cubic`` overshoot: clip.
    """
    if array.shape[:2] == (height, width):
        return array
    if array.ndim == 2:
        return _plane(array, height, width, how)
    with ThreadPoolExecutor(2) as pool:
        planes = pool.map(lambda channel: _plane(array[:, :, channel], height, width, how), range(array.shape[2]))
        return np.stack(list(planes), axis=2)


def resized_plate(plate: Plate, height: int, width: int, how: Filter = "lanczos", *, linear: bool = True) -> Plate:
    """The plate at another size, with alpha and masks; itself where it has that size already.

    linear: resize linear light (by the plate's profile) rather than display-encoded values. Colours are weighted with alpha, so that
    what lies under transparent pixels never shows.
    """
    if (plate.height, plate.width) == (height, width):
        return plate
    pixels = colour.to_linear(plate.pixels, plate.icc) if linear else plate.pixels
    if plate.alpha is None:
        made = resized(pixels, height, width, how)
    else:
        cover = resized(plate.alpha, height, width, how)[..., None]
        weighted = resized(pixels * plate.alpha[..., None], height, width, how)
        made = np.where(cover > LEAST_ALPHA, weighted / np.maximum(cover, LEAST_ALPHA), resized(pixels, height, width, "linear"))
    made = np.clip(made, 0.0, 1.0)
    if linear:
        made = np.clip(colour.from_linear(made, plate.icc), 0.0, 1.0)

    def carried(mask: Mask) -> Mask:
        return np.clip(resized(mask, height, width, how if mask is plate.alpha else "linear"), 0.0, 1.0)

    return plate.reshaped(made, carried)


def _plane(plane: Pixels, height: int, width: int, how: Filter) -> NDArray[np.float32]:
    from PIL import Image

    filters = {
        "lanczos": Image.Resampling.LANCZOS,
        "cubic": Image.Resampling.BICUBIC,
        "linear": Image.Resampling.BILINEAR,
        "area": Image.Resampling.BOX,
    }
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), filters[how])
    made = np.empty((height, width), np.float32)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):  # Pillow hands pixels over by way of a copy
        bottom = min(top + rows, height)
        made[top:bottom] = np.asarray(image.crop((0, top, width, bottom)), np.float32)
    return made
