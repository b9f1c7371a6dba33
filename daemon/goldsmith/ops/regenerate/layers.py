"""Split a picture into layers with a generating model: each layer becomes a file beside the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goldsmith.operation import Deliverable
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import Picture, Pixels, freeze, quantise
from goldsmith.picture.resample import resize

# A layer's share below this counts as nothing where its colour is restored.
_MIN_ALPHA = 1 / 1024


def layer_name(number: int) -> str:
    """Return the name of a layer, from 1 for the bottom one: its file is ``hero.layer.part1.png``."""
    return f"part{number}"


def enlarge_layer(layer: Pixels, height: int, width: int) -> Pixels:
    """Return a layer, (h, w, 4), 0..1, sRGB with straight alpha, at that size in px. Colours of clear pixels do not bleed into others."""
    shares = layer[:, :, 3:]
    resized = np.clip(resize(freeze(np.concatenate([layer[:, :, :3] * shares, shares], axis=2)), height, width, "lanczos"), 0, 1)
    new_shares = resized[:, :, 3:]
    colours = np.where(new_shares > _MIN_ALPHA, resized[:, :, :3] / np.maximum(new_shares, _MIN_ALPHA), 0)
    return np.asarray(np.concatenate([np.clip(colours, 0, 1), new_shares], axis=2), np.float32)


def lay_over(pixels: Pixels, layers: Sequence[Pixels]) -> Pixels:
    """Return the layers, (h, w, 4), 0..1, laid over pixels of their size, (h, w, 3), 0..1, the first one lowest."""
    for layer in layers:
        shares = layer[:, :, 3:]
        pixels = np.asarray(pixels * (1 - shares) + layer[:, :, :3] * shares, np.float32)
    return pixels


def layer_file(number: int, layer: Pixels) -> Deliverable:
    """Return the file of a layer, (h, w, 4), 0..1: an 8-bit sRGB PNG with alpha."""
    codes = quantise(layer, 8).astype(np.float32) / np.float32(255)
    picture = Picture(freeze(np.ascontiguousarray(codes[:, :, :3])), alpha=freeze(np.ascontiguousarray(codes[:, :, 3])))
    data = encode(picture, EncodingOptions())
    return Deliverable(f".layer.{layer_name(number)}", ".png", data, {"what": "layer", "width": picture.width, "height": picture.height})
