"""Relight a face: broad tones come from the target, finer detail from the source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.cielab import lab_to_linear, pixels_to_lab
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# Broad tones that count as light: the sigma of a Gaussian, as a share of the face's size.
BROAD_TONE_SIGMA = 0.12
# Limits of the gain for the contrast of finer detail.
MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN = 0.7, 1.4
# The percentile of the features that counts as their darkest; and the variation of skin itself in L*, which is not a feature.
_DARKEST_PERCENT, _SKIN_TEXTURE = 1.0, 6.0
# a* and b* together. A skin with less chroma has no usable colour.
_MIN_SKIN_CHROMA = 4.0
# Size of the face in px at which broad tones are computed; they have no finer detail.
_WORKING_SIZE = 96

# Above this percentile of lightness an eye is white; at least so many px of it must be visible; a light may have at most this a* and b*.
_EYE_WHITE_PERCENTILE, _MIN_EYE_WHITE_PIXELS, _MAX_COLOUR_CAST = 60.0, 12, 25.0

# (h, w) each: where the eyes are open, in the new face and in the old one.
EyeMasks = tuple[Mask, Mask]

# (h, w, 3), or (h, w, 1) for a grey picture: L 0..100, a, b.
Lab = NDArray[np.float32]


def relight(
    source: Pixels, target: Pixels, skin: Mask, features: Mask, light: LinearLight, size: float, amount: float, eyes: EyeMasks | None = None
) -> Pixels:
    """Return ``source`` (h, w, c), 0..1, display-encoded, in the light of ``target``: its broad tones are brought to the target's by
    ``amount`` (0..1).

    skin: (h, w), 0..1, where both faces show bare skin; elsewhere broad tones are extended from the surroundings. features: (h, w), 0..1,
    eyes, brows and lips: their darkness relative to the skin is brought to the target's too, for haze and hard light. size: of the face in
    px. eyes: of both faces; the whites of the eyes give the colour of the light for parts without a colour of their own. All in CIE Lab of
    the profile; for a grey picture in lightness alone.
    """
    if amount == 0 or skin.max() <= 0:
        return source
    source_lab, target_lab = to_lab(source, light), to_lab(target, light)
    shrink = min(1.0, _WORKING_SIZE / size)
    height, width = skin.shape
    high, wide = max(1, round(height * shrink)), max(1, round(width * shrink))
    weight, sigma = resize_values(skin, high, wide), max(BROAD_TONE_SIGMA * size * shrink, 0.3)
    source_tones, target_tones = (
        _BroadTones(resize_values(each * skin[:, :, None], high, wide), weight, sigma) for each in (source_lab, target_lab)
    )
    gain = np.float32(
        np.clip(np.sqrt((target_tones.contrast + 1e-3) / (source_tones.contrast + 1e-3)), MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN)
    )
    source_low = resize_values(source_tones.tones, height, width)
    tone_change = resize_values(target_tones.tones - source_tones.tones, height, width)
    share = _skin_share(source_lab, source_low)
    changes = share * tone_change
    if eyes is not None and source_lab.shape[2] == 3:
        changes[:, :, 1:] += (share[:, :, :1] - share[:, :, 1:]) * _colour_cast(source_lab, target_lab, eyes)
    changes[:, :, :1] += (gain - 1) * (source_lab - source_low)[:, :, :1]
    target_lightness = resize_values(target_tones.tones, height, width)[:, :, :1]
    changes[:, :, :1] += _match_feature_darkness(
        (source_lab + changes)[:, :, :1] - target_lightness, target_lab[:, :, :1] - target_lightness, features
    )
    result = source_lab + np.float32(amount) * changes
    return from_lab(np.asarray(result, np.float32), light)


def _match_feature_darkness(source: Lab, target: Lab, features: Mask) -> Lab:
    """Return the addition for features much darker than the skin, so that the darkest are as dark relative to it as the target's."""
    where = features > 0.5
    if not where.any():
        return np.zeros_like(source)
    source_darkest, target_darkest = (
        max(float(-np.percentile(each[:, :, 0][where], _DARKEST_PERCENT)), _SKIN_TEXTURE) for each in (source, target)
    )
    ratio = float(np.clip(target_darkest / source_darkest, MIN_CONTRAST_GAIN, MAX_CONTRAST_GAIN))
    dark = np.maximum(-source - np.float32(_SKIN_TEXTURE), 0) * features[:, :, None]
    return np.asarray((1 - ratio) * dark, np.float32)


def _colour_cast(source: Lab, target: Lab, eyes: EyeMasks) -> NDArray[np.float32]:
    """Return (2,): the difference of the whites of the eyes in a* and b*, which is caused by the light; 0 if they are not visible."""
    whites = []
    for lab, eye in zip((source, target), eyes, strict=True):
        eye_colours = lab[eye > 0.5]
        if len(eye_colours) < _MIN_EYE_WHITE_PIXELS:
            return np.zeros(2, np.float32)
        whites.append(np.median(eye_colours[eye_colours[:, 0] >= np.percentile(eye_colours[:, 0], _EYE_WHITE_PERCENTILE)][:, 1:], axis=0))
    cast = whites[1] - whites[0]
    return np.asarray(cast * min(1.0, _MAX_COLOUR_CAST / max(float(np.linalg.norm(cast)), 1e-6)), np.float32)


class _BroadTones:
    """The broad tones of bare skin, extended over other parts, and the contrast of the skin's finer detail."""

    def __init__(self, weighted: Lab, weight: Mask, sigma: float) -> None:
        blurred_weight = np.maximum(gaussian_blur(weight, sigma), np.float32(1e-4))[:, :, None]
        self.tones: Lab = np.asarray(gaussian_blur(weighted, sigma) / blurred_weight, np.float32)
        detail = weighted[:, :, 0] / np.maximum(weight, np.float32(1e-4)) - self.tones[:, :, 0]
        self.contrast = float((weight * np.square(detail)).sum() / max(float(weight.sum()), 1e-6))


def _skin_share(lab: Lab, skin: Lab) -> Lab:
    """Return how far each pixel follows the skin: less if it is darker than the skin, as light would have it; and a pixel with less or
    other colour takes less of the skin's colour, so that the whites of eyes and teeth stay white and make-up keeps its colour.
    """
    share = np.repeat(np.clip(lab[:, :, :1] / np.maximum(skin[:, :, :1], 1), 0, 1), lab.shape[2], axis=2)
    if lab.shape[2] == 3:
        product = (lab[:, :, 1:] * skin[:, :, 1:]).sum(axis=2)
        coloured = product / np.maximum(np.square(skin[:, :, 1:]).sum(axis=2), _MIN_SKIN_CHROMA**2)
        share[:, :, 1:] *= np.clip(coloured, 0, 1)[:, :, None]
    return np.asarray(share, np.float32)


def to_lab(pixels: Pixels, light: LinearLight) -> Lab:
    """Return display-encoded pixels (h, w, c), 0..1, as Lab, L 0..100; L alone for grey pixels."""
    coloured = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    lab = pixels_to_lab(coloured, light).astype(np.float32)
    return np.ascontiguousarray(lab[:, :, :1]) if pixels.shape[2] == 1 else lab


def from_lab(lab: Lab, light: LinearLight) -> Pixels:
    """Return the inverse of ``to_lab``: (h, w, c), 0..1, display-encoded."""
    if lab.shape[2] == 3:
        return light.from_linear(lab_to_linear(lab.astype(np.float64), light).astype(np.float32))
    padded_lab = np.concatenate([lab, np.zeros((*lab.shape[:2], 2), np.float32)], axis=2)
    return light.from_linear(lab_to_linear(padded_lab.astype(np.float64), light).astype(np.float32))[:, :, :1]
