"""Matching the frames of a series: measuring a frame and its drift from the hero, and the table that corrects it.

A frame is measured as quantile means: its pixels are sorted by lightness and cut into equal parts, and each part gives its mean colour.
Frames of one series have similar quantile means, whatever the framing; drift is the colour difference between them. The match is fitted
from the corrections that cameras and models need (light, white, contrast, saturation), and a small curve and cast for the rest: it
cannot bend one hue into another, even if that would lower the drift. It depends only on the colour, so it can be written as one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.look_files import CubeLut, sample_cube
from goldsmith.ops.grade.tone_curves import contrast_curve, monotone_cubic
from goldsmith.picture.cielab import (
    LabColours,
    ciede2000,
    lab_to_linear,
    lightness_to_luminance,
    linear_to_lab,
    luminance_to_lightness,
    pixels_to_lab,
)
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Picture, Pixels
from goldsmith.picture.slab_processing import PixelChange

Float64Array = NDArray[np.float64]

QUANTILES = 16
# px. Frames are measured at this size: smaller detail is noise and texture, not colour.
_MEASURE_SIDE = 200
# Limits for the slope of the lightness curve.
_MOST_SLOPE, _LEAST_SLOPE = 1.8, 0.55
_MAX_SATURATION, _MIN_SATURATION = 1.6, 0.6
# The fewest visible pixels that give reliable quantile means.
_MIN_PIXELS = 4 * QUANTILES
# In L. Closer quantiles are merged: a slope between them would be noise.
_MIN_LIGHTNESS_STEP = 3.0
_MOST_STOPS, _MOST_CONTRAST = 2.5, 1.0
_SAMPLES = 4000
_MAX_ITERATIONS, _OUTLIER_SCALE = 20, 3.0
# Cost, in Lab units, of one stop between two channels or of full contrast: small drifts are likelier than large ones.
_PRIOR_WEIGHT = 3.0
# The logarithm of a ratio's cube root: 0.3 would be more than a stop and a quarter between red, green and blue light.
_MOST_CAST = 0.1
# Stiffness against different casts in shadows, midtones and highlights, and the residual at which a quantile weighs half.
_ZONE_STIFFNESS, _CAST_OUTLIER_SCALE = 1.0, 0.02
_WHITE_FADE_RANGE = 10.0
# Chroma up to which a colour counts as nearly grey, with a soft limit.
_NEUTRAL_CHROMA = 8.0


@dataclass(frozen=True, eq=False, slots=True)
class FrameColours:
    """Measured colours of a frame: pixels (1, n, 3) from dark to bright, their Lab (n, 3), and the quantile means (QUANTILES, 3) in Lab."""

    pixels: Pixels
    lab: LabColours
    quantile_means: LabColours
    light: LinearLight


class ColourDrift(NamedTuple):
    """Difference between two sets of quantile means, in CIEDE2000: the mean and the 95th percentile."""

    mean: float
    p95: float


def measure_frame(picture: Picture, mask: Mask | None = None) -> FrameColours | None:
    """Return the colours of the opaque pixels, or None if fewer than 64 cells are visible.

    ``mask`` (h, w), 0..1, limits the measurement to the pixels inside it.
    """
    weight = np.ones((picture.height, picture.width), np.float32) if mask is None else mask
    if picture.alpha is not None:
        weight = weight * picture.alpha
    rows, columns = (_cell_starts(size) for size in (picture.height, picture.width))
    pixels = np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels
    cells = _cell_means(pixels * weight[:, :, None], rows, columns)
    share = _cell_means(weight[:, :, None], rows, columns)[:, :, 0]
    is_visible = share > 0.5
    if is_visible.sum() < _MIN_PIXELS:
        return None
    measured = np.ascontiguousarray(np.clip(cells[is_visible] / share[is_visible][:, None], 0.0, 1.0)[None], np.float32)
    light = LinearLight(picture.icc)
    colours = pixels_to_lab(measured, light)[0]
    order = np.argsort(colours[:, 0], kind="stable")  # a regular subset is then a fair sample
    return FrameColours(measured[:, order], colours[order], lightness_quantile_means(colours), light)


def lightness_quantile_means(colours: LabColours) -> LabColours:
    """Return the mean Lab (QUANTILES, 3) of equal parts of colours (n, 3), from dark to bright; Lab units."""
    ordered = colours[np.argsort(colours[:, 0], kind="stable")]
    edges = np.linspace(0, len(ordered), QUANTILES + 1).round().astype(int)
    return np.array([ordered[min(low, len(ordered) - 1) : max(high, low + 1)].mean(axis=0) for low, high in pairwise(edges)])


def measure_drift(first: LabColours, second: LabColours) -> ColourDrift:
    """Return the drift between two sets of quantile means (QUANTILES, 3), in CIEDE2000 units."""
    difference = ciede2000(first, second)
    return ColourDrift(float(difference.mean()), float(np.percentile(difference, 95)))


def measure_shift(frame: FrameColours, change: PixelChange) -> tuple[LabColours, float]:
    """Return the quantile means (QUANTILES, 3) after ``change`` and the shift of the colours: CIEDE2000 units, the 95th percentile."""
    after = pixels_to_lab(change(frame.pixels.copy()), frame.light)[0]
    return lightness_quantile_means(after), float(np.percentile(ciede2000(frame.lab, after), 95))


@dataclass(frozen=True, eq=False, slots=True)
class PrimaryCorrection:
    """Correction of camera and model drifts: the light of each channel times 2 ** gains, then contrast, then saturation.

    ``gains``: stops for red, green and blue (3,), which are exposure and white balance. ``contrast``: as in ``contrast_curve``, on the
    lightness of each channel's light. ``saturation``: a factor on a and b.
    """

    gains: Float64Array
    contrast: float
    saturation: float
    light: LinearLight

    def __call__(self, colours: LabColours) -> LabColours:
        """Return the corrected Lab colours (..., 3) in Lab units; a colour outside the gamut moves with the gamut's edge."""
        linear = lab_to_linear(colours, self.light) * 2.0**self.gains
        clipped = np.clip(linear, 0.0, 1.0)
        curved = lightness_to_luminance(100.0 * contrast_curve(self.contrast, 0.5)(luminance_to_lightness(clipped) / 100.0))
        corrected = linear_to_lab(curved + linear - clipped, self.light)
        corrected[..., 1:] *= self.saturation
        return corrected


@dataclass(frozen=True, eq=False, slots=True)
class ResidualCorrection:
    """Correction of the rest: a lightness curve, and a cast that may differ between shadows, midtones and highlights.

    ``input_lightness`` and ``output_lightness``: L before and after, (n,), rising. ``cast``: (3, 2), for shadows, midtones and highlights,
    the logarithms of the factors on the cube roots of X/Y and Z/Y; another white light has the same effect.
    """

    input_lightness: Float64Array
    output_lightness: Float64Array
    cast: Float64Array

    def __call__(self, colours: LabColours) -> LabColours:
        """Return the corrected Lab colours (..., 3) in Lab units; lightness depends on lightness only."""
        ratios = _cube_root_ratios(colours)[1]
        lightness = monotone_cubic(self.input_lightness, self.output_lightness, np.clip(colours[..., 0], 0.0, 100.0))
        shifted = ratios * np.exp(_zone_weights(lightness) @ self.cast) - 1.0
        root = (lightness + 16) / 116
        return np.stack([lightness, 500 * root * shifted[..., 0], -200 * root * shifted[..., 1]], axis=-1)


def _cube_root_ratios(colours: LabColours) -> tuple[Float64Array, Float64Array]:
    """Return the cube root of Y (...) and those of X/Y and Z/Y (..., 2), relative to white; 1 is grey."""
    root = (colours[..., 0] + 16) / 116
    return root, np.stack([1 + colours[..., 1] / (500 * root), 1 - colours[..., 2] / (200 * root)], axis=-1)


def _zone_weights(lightness: Float64Array) -> Float64Array:
    """Return how much each L belongs to shadows, midtones and highlights: (..., 3), 0..1, with the sum 1."""
    low, high = (np.clip(lightness / 50 - shift, 0, 1) for shift in (0.0, 1.0))
    low, high = low * low * (3 - 2 * low), high * high * (3 - 2 * high)
    return np.stack([1 - low, low - high, high], axis=-1)


@dataclass(frozen=True, eq=False, slots=True)
class SeriesMatch:
    """The corrections that take a frame to its hero, in order, with their strength and the protection of nearly grey colours, 0..1."""

    corrections: tuple[PrimaryCorrection | ResidualCorrection, ...]
    strength: float = 1.0
    protect_neutrals: float = 0.0

    def __call__(self, colours: LabColours) -> LabColours:
        """Return the matched Lab colours (..., 3) in Lab units."""
        matched, brightest = colours, np.zeros(colours.shape[:-1])
        for correction in self.corrections:
            matched = correction(matched)
            brightest = np.maximum(brightest, matched[..., 0])
        kept = np.maximum(_fade_at_white(brightest), _loss_of_chroma(colours, matched))
        matched[..., 1:] = colours[..., 1:] + kept[..., None] * (matched[..., 1:] - colours[..., 1:])
        share = np.full(colours.shape, self.strength)
        chroma = np.hypot(colours[..., 1], colours[..., 2])
        share[..., 1:] *= 1.0 - self.protect_neutrals * np.exp(-2.0 * (chroma / _NEUTRAL_CHROMA) ** 2)[..., None]
        return np.asarray(colours + share * (matched - colours))


def _fade_at_white(lightness: Float64Array) -> Float64Array:
    """Return 1, fading to 0 at white: white has no tint, and a tint that stopped abruptly there would show as a ring round highlights."""
    fraction = np.clip((100.0 - lightness) / _WHITE_FADE_RANGE, 0.0, 1.0)
    return np.asarray(fraction * fraction * (3.0 - 2.0 * fraction))


def _loss_of_chroma(before: LabColours, after: LabColours) -> Float64Array:
    """Return how far, 0..1, each Lab colour (..., 3) comes nearer to grey: a cast that is removed may be removed up to white."""
    chroma_before, chroma_after = (np.hypot(colours[..., 1], colours[..., 2]) for colours in (before, after))
    return np.asarray(np.clip(1.0 - chroma_after / np.maximum(chroma_before, 1e-6), 0.0, 1.0))


def match_frame(frame: FrameColours, hero: FrameColours, strength: float = 1.0, protect_neutrals: float = 0.0) -> SeriesMatch:
    """Return the match of a frame to its hero; ``strength`` and ``protect_neutrals`` are 0..1."""
    primary = _fit_primary_correction(frame, hero)
    residual = _fit_residual_correction(primary(frame.lab), hero)
    return SeriesMatch((primary, residual), strength, protect_neutrals)


def _fit_primary_correction(frame: FrameColours, hero: FrameColours) -> PrimaryCorrection:
    """Fit the quantile means, and the spread of chroma round them, by robust least squares."""
    colours = frame.lab[:: max(1, len(frame.lab) // _SAMPLES)]
    target = np.append(hero.quantile_means.ravel(), _chroma_spread(hero.lab))

    def correction(values: Float64Array) -> PrimaryCorrection:
        return PrimaryCorrection(values[:3], float(values[3]), float(values[4]), frame.light)

    def residuals(values: Float64Array) -> Float64Array:
        corrected = correction(values)(colours)
        prior = _PRIOR_WEIGHT * np.append(values[:3] - values[:3].mean(), (values[3], values[4] - 1.0))
        return np.append(np.append(lightness_quantile_means(corrected).ravel(), _chroma_spread(corrected)) - target, prior)

    bounds = np.array([_MOST_STOPS] * 3 + [_MOST_CONTRAST])
    start = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    low, high = np.append(-bounds, _MIN_SATURATION), np.append(bounds, _MAX_SATURATION)
    return correction(_fit_least_squares(residuals, start, low, high))


def _fit_least_squares(
    residuals: Callable[[Float64Array], Float64Array], start: Float64Array, low: Float64Array, high: Float64Array
) -> Float64Array:
    """Return the parameters with the smallest residuals within bounds (Levenberg-Marquardt); residuals above _OUTLIER_SCALE weigh less."""
    parameters, damping = start, 1e-2
    current = residuals(parameters)
    for _ in range(_MAX_ITERATIONS):
        weight = 1.0 / np.sqrt(1.0 + (current / _OUTLIER_SCALE) ** 2)
        cost = float((np.sqrt(1.0 + (current / _OUTLIER_SCALE) ** 2) - 1.0).sum())
        jacobian = np.stack([(residuals(parameters + step) - current) / 1e-3 for step in np.eye(len(parameters)) * 1e-3], axis=1)
        normal = jacobian.T @ (weight[:, None] * jacobian)
        for _ in range(6):
            trial = np.clip(
                parameters - np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), jacobian.T @ (weight * current)), low, high
            )
            trial_residuals = residuals(trial)
            improvement = cost - float((np.sqrt(1.0 + (trial_residuals / _OUTLIER_SCALE) ** 2) - 1.0).sum())
            damping = damping / 5 if improvement > 0 else damping * 5
            if improvement > 0:
                break
        if improvement <= 0:
            return parameters
        parameters, current = trial, trial_residuals
        if improvement < 1e-5 * cost:
            break
    return parameters


def _fit_residual_correction(colours: LabColours, hero: FrameColours) -> ResidualCorrection:
    """Fit the lightness curve to the quantile means, then the cast to the corrected ones."""
    means = lightness_quantile_means(colours)
    inputs, outputs = _merge_close_quantiles(means[:, 0], hero.quantile_means[:, 0])
    outputs = _limit_slopes(inputs, outputs)
    low, high = _black_point(inputs[0], outputs[0]), 100.0 - _black_point(100.0 - inputs[-1], 100.0 - outputs[-1])
    is_inner = (inputs > 0.5) & (inputs < 99.5)
    inputs, outputs = np.concatenate([[0.0], inputs[is_inner], [100.0]]), np.concatenate([[low], outputs[is_inner], [high]])
    without_cast = ResidualCorrection(inputs, outputs, np.zeros((3, 2)))
    return replace(without_cast, cast=_fit_cast(lightness_quantile_means(without_cast(colours)), hero.quantile_means))


def _fit_cast(frame: LabColours, hero: LabColours) -> Float64Array:
    """Fit the cast (3, 2) that takes the frame's quantile means to the hero's, robustly, and alike in all zones as far as they agree."""
    root, ratios = _cube_root_ratios(frame)
    target = np.log(np.maximum(_cube_root_ratios(hero)[1], 0.05) / np.maximum(ratios, 0.05))
    zones = _zone_weights(frame[:, 0])
    differences = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    cast = np.zeros((3, 2))
    weights = np.repeat(root[:, None], 2, axis=1)
    for _ in range(8):
        for ratio in (0, 1):
            weight = weights[:, ratio]
            normal = zones.T @ (weight[:, None] * zones) + weight.sum() * (_ZONE_STIFFNESS * differences.T @ differences + 1e-6 * np.eye(3))
            cast[:, ratio] = np.linalg.solve(normal, zones.T @ (weight * target[:, ratio]))
        weights = root[:, None] / (1.0 + np.abs(target - zones @ cast) / _CAST_OUTLIER_SCALE)
    return np.clip(cast, -_MOST_CAST, _MOST_CAST)


def _chroma_spread(colours: LabColours) -> float:
    """Return the standard deviation of a and b round the quantile means: how colourful a frame is within one lightness."""
    ordered = colours[np.argsort(colours[:, 0], kind="stable")]
    index = np.minimum(np.arange(len(ordered)) * QUANTILES // len(ordered), QUANTILES - 1)
    return float(np.sqrt(((ordered[:, 1:] - lightness_quantile_means(colours)[index, 1:]) ** 2).sum(axis=1).mean()))


def _merge_close_quantiles(frame: Float64Array, hero: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the lightness of both frames with close quantiles merged: a slope between them would be noise."""
    groups: list[list[int]] = []
    for index, lightness in enumerate(frame):
        if groups and lightness - frame[groups[-1][0]] < _MIN_LIGHTNESS_STEP:
            groups[-1].append(index)
        else:
            groups.append([index])
    frame_means, hero_means = (np.array([lightnesses[group].mean() for group in groups]) for lightnesses in (frame, hero))
    return frame_means, hero_means


def _limit_slopes(input_lightness: Float64Array, output_lightness: Float64Array) -> Float64Array:
    """Return the output lightness with every slope limited, keeping the mean."""
    if len(input_lightness) < 2:
        return output_lightness
    steps = np.diff(input_lightness)
    rises = np.clip(np.diff(output_lightness), _LEAST_SLOPE * steps, _MOST_SLOPE * steps)
    limited = np.concatenate([[0.0], np.cumsum(rises)])
    limited += (output_lightness - limited).mean()
    return np.asarray(np.clip(limited, 0.0, 100.0))


def _black_point(input_lightness: float, output_lightness: float) -> float:
    """Return the lightness that black gets if the darkest quantile goes from input to output: 0, or as near as the slopes allow."""
    return float(
        np.clip(
            0.0, max(0.0, output_lightness - _MOST_SLOPE * input_lightness), max(0.0, output_lightness - _LEAST_SLOPE * input_lightness)
        )
    )


def to_cube(match: SeriesMatch, light: LinearLight) -> CubeLut:
    """Return the match as a table with look_files.CUBE_SIZE steps a side, from and to display values, 0..1, of the profile: (n, n, n, 3).

    A colour outside the profile's gamut keeps its lightness and hue and loses chroma until it fits.
    """

    def change(nodes: Pixels) -> Pixels:
        matched = match(pixels_to_lab(nodes, light))
        matched[..., 0] = np.clip(matched[..., 0], 0.0, 100.0)
        return light.from_linear(_compress_to_gamut(matched, light).astype(np.float32))

    return sample_cube(change)


def _compress_to_gamut(lab: LabColours, light: LinearLight) -> LabColours:
    """Return linear light of Lab colours; those outside the gamut move towards their own grey just far enough."""
    low, high = np.zeros(lab.shape[:-1]), np.ones(lab.shape[:-1])

    def fits(share: Float64Array) -> NDArray[np.bool_]:
        linear = lab_to_linear(np.concatenate([lab[..., :1], lab[..., 1:] * share[..., None]], axis=-1), light)
        return np.asarray((linear.min(axis=-1) >= -1e-5) & (linear.max(axis=-1) <= 1 + 1e-5))

    fits_fully = fits(high)
    for _ in range(12):
        middle = (low + high) / 2
        is_inside = fits(middle)
        low, high = np.where(is_inside, middle, low), np.where(is_inside, high, middle)
    share = np.where(fits_fully, 1.0, low)
    return lab_to_linear(np.concatenate([lab[..., :1], lab[..., 1:] * share[..., None]], axis=-1), light)


def _cell_starts(size: int) -> NDArray[np.intp]:
    """Return the start of each cell of a side: single pixels up to _MEASURE_SIDE, else _MEASURE_SIDE cells."""
    return np.unique(np.linspace(0, size, min(size, _MEASURE_SIDE) + 1).astype(np.intp)[:-1])


def _cell_means(pixels: Pixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
    """Return the means over cells, (len(rows), len(columns), c)."""
    height, width = pixels.shape[:2]
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    return np.asarray(sums / counts[:, :, None].astype(np.float32))
