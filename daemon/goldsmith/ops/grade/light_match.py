"""Matching frames of different subjects under one light: by their greys, their skin and their brightest parts, not by all colours.

Two subjects have different colours, so their quantile means differ in any light. What the light does to both is alike: it tints greys and
skin, and sets the brightest parts. The match changes exposure and white balance only, and no more than one light drifts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.grading_changes import look_change
from goldsmith.ops.grade.look_files import CubeLut
from goldsmith.ops.grade.series_match import (
    ColourDrift,
    FrameColours,
    PrimaryCorrection,
    SeriesMatch,
    match_frame,
    measure_drift,
    measure_shift,
    to_cube,
)
from goldsmith.picture.cielab import LabColours, ciede2000, lab_to_linear, pixels_to_lab
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.scene_light import mean_grey, skin_likeness

Float64Array = NDArray[np.float64]

# Chroma. Greys further from neutral are coloured surfaces, which say nothing about the light.
_MOST_CAST = 20.0
# Share of the pixels that must be skin, and the skin likeness from which a pixel counts.
_LEAST_SKIN, _IS_SKIN = 0.015, 0.5
# Percentiles of L* of the brightest and darkest parts.
_WHITE_PERCENTILE, _BLACK_PERCENTILE = 98.0, 2.0
# L* at which a cast is turned into light.
_GREY_LIGHTNESS = 60.0
# Stops of exposure, and of one channel, that the match corrects at most.
_MOST_STOPS, _MOST_CHANNEL_STOPS = 1.5, 0.8
# Weights of skin and of the brightest parts for the exposure.
_SKIN_WEIGHT, _WHITE_WEIGHT = 0.7, 1.0
# Stops by which frames of one light differ because of their subjects: a smaller difference is no sign of another light.
_SUBJECT_STOPS, _SUBJECT_CHANNEL_STOPS = 0.3, 0.2
# L* to which the brightest parts may rise, even if the hero's are darker: more would clip.
_BRIGHTEST_WHITE = 95.0
# Weights of greys and of skin for the colour of the light.
_GREY_CAST_WEIGHT, _SKIN_CAST_WEIGHT = 1.0, 0.4


class FrameLight(NamedTuple):
    """The light of a frame: a*, b* of its greys, the mean Lab of its skin, each None if it has none, and L* of white and black point."""

    greys: tuple[float, float] | None
    skin: tuple[float, float, float] | None
    white: float
    black: float


class MatchAttempt(NamedTuple):
    """A match by ``basis``, as a table, with the drift before and after it, and the shift of the colours (CIEDE2000, 95th percentile)."""

    basis: Literal["colours", "light"]
    cube: CubeLut
    before: ColourDrift
    after: ColourDrift
    shift: float


def attempt_colours(frame: FrameColours, hero: FrameColours, strength: float, protect_neutrals: float) -> MatchAttempt:
    """Return the match by all colours; ``strength`` and ``protect_neutrals`` 0..1."""
    cube = to_cube(match_frame(frame, hero, strength, protect_neutrals), frame.light)
    quantile_means, shift = measure_shift(frame, look_change(cube, 1.0))
    before, after = (measure_drift(means, hero.quantile_means) for means in (frame.quantile_means, quantile_means))
    return MatchAttempt("colours", cube, before, after, shift)


def attempt_light(frame: FrameColours, hero: FrameColours, strength: float, protect_neutrals: float) -> MatchAttempt | None:
    """Return the match by the light, ``strength`` and ``protect_neutrals`` 0..1; None if the frame or the hero has no greys."""
    match = match_light(frame, hero, strength, protect_neutrals)
    if match is None:
        return None
    cube = to_cube(match, frame.light)
    changed = look_change(cube, 1.0)
    matched = pixels_to_lab(changed(frame.pixels.copy()), frame.light)[0]
    _, shift = measure_shift(frame, changed)
    return MatchAttempt("light", cube, light_drift(frame.lab, hero.lab), light_drift(matched, hero.lab), shift)


def measure_light(colours: LabColours) -> FrameLight:
    """Return the light of a frame's colours (n, 3), Lab units."""
    greys = mean_grey(colours)
    if greys is not None and np.hypot(*greys) > _MOST_CAST:
        greys = None
    skin_pixels = colours[skin_likeness(colours) > _IS_SKIN]
    mean_skin = skin_pixels.mean(axis=0).tolist() if len(skin_pixels) >= _LEAST_SKIN * len(colours) else None
    black, white = np.percentile(colours[:, 0], (_BLACK_PERCENTILE, _WHITE_PERCENTILE))
    return FrameLight(greys, None if mean_skin is None else (mean_skin[0], mean_skin[1], mean_skin[2]), float(white), float(black))


def match_light(frame: FrameColours, hero: FrameColours, strength: float = 1.0, protect_neutrals: float = 0.0) -> SeriesMatch | None:
    """Return the match of a frame's light to its hero's, ``strength`` and ``protect_neutrals`` 0..1; None if one of them has no greys.

    Skin refines what the greys and the brightest parts say: wood and fur have its colour too.
    """
    before, target = measure_light(frame.lab), measure_light(hero.lab)
    if before.greys is None or target.greys is None:
        return None
    greys = [(_GREY_LIGHTNESS, *cast) for cast in (before.greys, target.greys)]
    casts = [(_GREY_CAST_WEIGHT, _channel_stops(frame.light, greys[0], greys[1]))]
    exposures = [(_WHITE_WEIGHT, _stops(frame.light, before.white, target.white))]
    if before.skin is not None and target.skin is not None:
        casts.append((_SKIN_CAST_WEIGHT, _channel_stops(frame.light, before.skin, target.skin)))
        exposures.append((_SKIN_WEIGHT, _stops(frame.light, before.skin[0], target.skin[0])))
    channel_stops = np.sum([weight * stops for weight, stops in casts], axis=0) / sum(weight for weight, _ in casts)
    exposure = sum(weight * stops for weight, stops in exposures) / sum(weight for weight, _ in exposures)
    channel_stops *= _likely_share(float(np.ptp(channel_stops)), _SUBJECT_CHANNEL_STOPS)
    exposure *= _likely_share(exposure, _SUBJECT_STOPS)
    exposure = min(exposure, _stops(frame.light, before.white, max(before.white, target.white, _BRIGHTEST_WHITE)))
    gains = np.clip(channel_stops, -_MOST_CHANNEL_STOPS, _MOST_CHANNEL_STOPS) + np.clip(exposure, -_MOST_STOPS, _MOST_STOPS)
    return SeriesMatch((PrimaryCorrection(gains, 0.0, 1.0, frame.light),), strength, protect_neutrals)


def _likely_share(difference: float, subject_difference: float) -> float:
    """Return the share, 0..1, of a difference that is likely the light's, if subjects alone differ by ``subject_difference`` (Wiener)."""
    return difference**2 / (difference**2 + subject_difference**2)


def light_drift(first: LabColours, second: LabColours) -> ColourDrift:
    """Return the drift between the lights of two frames' colours (n, 3): the mean and the largest CIEDE2000 of what both have."""
    before, target = measure_light(first), measure_light(second)
    pairs = [((before.white, 0.0, 0.0), (target.white, 0.0, 0.0))]
    if before.greys is not None and target.greys is not None:
        pairs.append(((_GREY_LIGHTNESS, *before.greys), (_GREY_LIGHTNESS, *target.greys)))
    if before.skin is not None and target.skin is not None:
        pairs.append((before.skin, target.skin))
    difference = ciede2000(np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs]))
    return ColourDrift(float(difference.mean()), float(difference.max()))


def _channel_stops(light: LinearLight, before: tuple[float, float, float], target: tuple[float, float, float]) -> Float64Array:
    """Return the stops (3,) of red, green and blue that turn the colour of one Lab into that of the other, at the same brightness."""
    ratio = np.log2(np.maximum(lab_to_linear(np.array(target), light), 1e-3) / np.maximum(lab_to_linear(np.array(before), light), 1e-3))
    return np.asarray(ratio - _stops(light, before[0], target[0]))


def _stops(light: LinearLight, before: float, target: float) -> float:
    """Return the stops between two lightnesses of grey, 0..100."""
    linear = lab_to_linear(np.array([[before, 0.0, 0.0], [target, 0.0, 0.0]]), light)[:, 1]
    return float(np.log2(max(linear[1], 1e-4) / max(linear[0], 1e-4)))
