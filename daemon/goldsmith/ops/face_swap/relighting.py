"""The light of the face that was there, on the face that comes: broad tones are the target's, what is finer is the source's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.cielab import lab_to_linear, pixels_to_lab
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# How broad tones are that count as light, as a part of the face's size (the sigma of a Gaussian).
BROAD_TONE_SIGMA = 0.12
# How far the contrast of what is finer may be brought down or up.
MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN = 0.7, 1.4
# Per cent of the features that are called their darkest; and L* by which skin itself varies, which is no feature.
_DARKEST_PERCENT, _SKIN_TEXTURE = 1.0, 6.0
# a* and b* together: a skin that has less colour than this has none to speak of.
_MIN_SKIN_CHROMA = 4.0
# px of the face's size at which broad tones are worked out: there is nothing finer in them.
_WORKING_SIZE = 96

# Above this per cent of lightness an eye is white; so many px of it must be seen; so coloured, in a* and b*, a light may be.
_EYE_WHITE_PERCENTILE, _MIN_EYE_WHITE_PIXELS, _MAX_COLOUR_CAST = 60.0, 12, 25.0

# (h, w) each: where the eyes are open, in the face that comes and in the one that is there.
EyeMasks = tuple[Mask, Mask]

# (h, w, 3), or (h, w, 1) of a grey picture: L 0..100, a, b.
Lab = NDArray[np.float32]


def relight(
    source: Pixels, target: Pixels, skin: Mask, features: Mask, light: LinearLight, size: float, amount: float, eyes: EyeMasks | None = None
) -> Pixels:
    """``made`` (h, w, c, display-encoded) in the light of ``ground``: its broad tones brought to the ground's by ``amount`` (0..1).

    skin: (h, w), where both show bare skin; elsewhere broad tones are carried on from round about. features: (h, w), eyes, brows and
    lips: how far they are darker than the skin is brought to the ground's as well, for haze and hard light. size: of the face, px.
    eyes: of either face; by their whites the colour of the light is told for what has no colour of its own.
    All in CIE Lab of the profile; a grey picture in lightness alone.
    """
    if amount == 0 or skin.max() <= 0:
        return source
    ours, theirs = to_lab(source, light), to_lab(target, light)
    shrink = min(1.0, _WORKING_SIZE / size)
    height, width = skin.shape
    high, wide = max(1, round(height * shrink)), max(1, round(width * shrink))
    weight, sigma = resize_values(skin, high, wide), max(BROAD_TONE_SIGMA * size * shrink, 0.3)
    mine, wanted = (_BroadTones(resize_values(each * skin[:, :, None], high, wide), weight, sigma) for each in (ours, theirs))
    gain = np.float32(np.clip(np.sqrt((wanted.contrast + 1e-3) / (mine.contrast + 1e-3)), MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN))
    low = resize_values(mine.tones, height, width)
    move = resize_values(wanted.tones - mine.tones, height, width)
    share = _skin_share(ours, low)
    moves = share * move
    if eyes is not None and ours.shape[2] == 3:
        moves[:, :, 1:] += (share[:, :, :1] - share[:, :, 1:]) * _colour_cast(ours, theirs, eyes)
    moves[:, :, :1] += (gain - 1) * (ours - low)[:, :, :1]
    there = resize_values(wanted.tones, height, width)[:, :, :1]
    moves[:, :, :1] += _match_feature_darkness((ours + moves)[:, :, :1] - there, theirs[:, :, :1] - there, features)
    moved = ours + np.float32(amount) * moves
    return from_lab(np.asarray(moved, np.float32), light)


def _match_feature_darkness(source: Lab, target: Lab, features: Mask) -> Lab:
    """What is to be added to features that are much darker than the skin, so that the darkest are as dark beside it as the ground's."""
    where = features > 0.5
    if not where.any():
        return np.zeros_like(source)
    deepest, wanted = (max(float(-np.percentile(each[:, :, 0][where], _DARKEST_PERCENT)), _SKIN_TEXTURE) for each in (source, target))
    ratio = float(np.clip(wanted / deepest, MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN))
    dark = np.maximum(-source - np.float32(_SKIN_TEXTURE), 0) * features[:, :, None]
    return np.asarray((1 - ratio) * dark, np.float32)


def _colour_cast(source: Lab, target: Lab, eyes: EyeMasks) -> NDArray[np.float32]:
    """(2,): by how much a* and b* of the whites of the eyes differ, which is the light's doing; 0 where they are not to be seen."""
    found = []
    for lab, eye in zip((source, target), eyes, strict=True):
        seen = lab[eye > 0.5]
        if len(seen) < _MIN_EYE_WHITE_PIXELS:
            return np.zeros(2, np.float32)
        found.append(np.median(seen[seen[:, 0] >= np.percentile(seen[:, 0], _EYE_WHITE_PERCENTILE)][:, 1:], axis=0))
    cast = found[1] - found[0]
    return np.asarray(cast * min(1.0, _MAX_COLOUR_CAST / max(float(np.linalg.norm(cast)), 1e-6)), np.float32)


class _BroadTones:
    """The broad tones of bare skin, carried on over what is none, and how much contrast the skin has beside them."""

    def __init__(self, weighted: Lab, weight: Mask, sigma: float) -> None:
        seen = np.maximum(gaussian_blur(weight, sigma), np.float32(1e-4))[:, :, None]
        self.tones: Lab = np.asarray(gaussian_blur(weighted, sigma) / seen, np.float32)
        own = weighted[:, :, 0] / np.maximum(weight, np.float32(1e-4)) - self.tones[:, :, 0]
        self.contrast = float((weight * np.square(own)).sum() / max(float(weight.sum()), 1e-6))


def _skin_share(lab: Lab, skin: Lab) -> Lab:
    """How much of the skin's way each pixel goes: what is darker than the skin less, as light would have it; and what is coloured
    less, or otherwise, takes less of its colour, so that the whites of eyes and teeth stay white and make-up what it is."""
    made = np.repeat(np.clip(lab[:, :, :1] / np.maximum(skin[:, :, :1], 1), 0, 1), lab.shape[2], axis=2)
    if lab.shape[2] == 3:
        along = (lab[:, :, 1:] * skin[:, :, 1:]).sum(axis=2)
        coloured = along / np.maximum(np.square(skin[:, :, 1:]).sum(axis=2), _MIN_SKIN_CHROMA**2)
        made[:, :, 1:] *= np.clip(coloured, 0, 1)[:, :, None]
    return np.asarray(made, np.float32)


def to_lab(pixels: Pixels, light: LinearLight) -> Lab:
    """Display-encoded (h, w, c) as Lab; of grey pixels L alone."""
    coloured = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    made = pixels_to_lab(coloured, light).astype(np.float32)
    return np.ascontiguousarray(made[:, :, :1]) if pixels.shape[2] == 1 else made


def from_lab(lab: Lab, light: LinearLight) -> Pixels:
    """The inverse of ``to_lab``, 0..1."""
    if lab.shape[2] == 3:
        return light.from_linear(lab_to_linear(lab.astype(np.float64), light).astype(np.float32))
    whole = np.concatenate([lab, np.zeros((*lab.shape[:2], 2), np.float32)], axis=2)
    return light.from_linear(lab_to_linear(whole.astype(np.float64), light).astype(np.float32))[:, :, :1]
