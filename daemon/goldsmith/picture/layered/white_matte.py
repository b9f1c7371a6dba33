"""The flat picture of a transparent Photoshop document: its colours are stored mixed with white, and a layer may have them as they were.

Where little of a colour is left in white, rounding has destroyed it. If a layer gives exactly the stored code, the code is its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from goldsmith.picture.layered.composing import NORMAL, LayerSource
from goldsmith.picture.layered.layered_file import LayerBox
from goldsmith.picture.picture import PixelCodes

# Layers that are decoded at most to look for the colours.
_MAX_LAYERS = 4
# Rows that are mixed at once, so that the values between codes take little memory.
_BAND_ROWS = 64


def mix_with_white(codes: PixelCodes) -> PixelCodes:
    """Return colours and alpha, (h, w, n), with the colours of partly transparent pixels over white, rounded half up."""
    max_code = np.iinfo(codes.dtype).max
    alpha = codes[:, :, -1]
    if not ((alpha > 0) & (alpha < max_code)).any():
        return codes
    result = codes.copy()
    for top in range(0, len(codes), _BAND_ROWS):
        band = result[top : top + _BAND_ROWS]
        is_partial = (band[:, :, -1] > 0) & (band[:, :, -1] < max_code)
        share = (band[is_partial, -1].astype(np.float64) / max_code)[:, None]
        band[is_partial, :-1] = np.floor(band[is_partial, :-1] * share + max_code * (1 - share) + 0.5)
    return result


def restore_colours(unmixed: PixelCodes, stored: PixelCodes, layers: Iterable[LayerSource]) -> PixelCodes:
    """Return ``unmixed`` with the colours of the layers that give the stored codes over white; all are (h, w, n), alpha last.

    ``layers``: those of the document, the highest first; only layers that cover all partly transparent pixels are looked at.
    """
    alpha, max_code = stored[:, :, -1], np.iinfo(stored.dtype).max
    is_partial = (alpha > 0) & (alpha < max_code)
    if not is_partial.any():
        return unmixed
    rows, columns = np.flatnonzero(is_partial.any(axis=1)), np.flatnonzero(is_partial.any(axis=0))
    needed = LayerBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    result = unmixed.copy()
    # A layer far larger than the canvas takes more memory than it is worth.
    max_area = 4 * stored.shape[0] * stored.shape[1]
    covering = [source for source in layers if source.box.area <= max_area and _may_give_colours(source, needed)]
    for source in covering[:_MAX_LAYERS]:
        layer = source.load()
        if layer.alpha is None or layer.opacity < 1 or (layer.mask is not None and layer.mask.is_enabled):
            continue
        window, inside = needed.window_in(LayerBox(0, 0, stored.shape[1], stored.shape[0])), needed.window_in(layer.box)
        own = np.concatenate([layer.pixels[inside], layer.alpha[inside][:, :, None]], axis=2)
        gives = (mix_with_white(own) == stored[window]).all(axis=2) & is_partial[window]
        result[window][gives] = own[gives]
        is_partial[window] &= ~gives
        if not is_partial.any():
            break
    return result


def _may_give_colours(source: LayerSource, needed: LayerBox) -> bool:
    covers = source.box.left <= needed.left and source.box.top <= needed.top
    covers = covers and source.box.right >= needed.right and source.box.bottom >= needed.bottom
    return covers and source.is_shown and not source.is_clipped and not source.fault and source.blending == NORMAL
