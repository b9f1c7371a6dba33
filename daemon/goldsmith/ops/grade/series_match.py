"""The frames of a series brought to one look: what is measured of a frame, how far it drifts from its hero, and one table that mends it.

A frame is read as a ladder: its pixels are sorted by lightness and cut into equal parts, and each rung is the mean colour of its part.
Two frames of one series have like ladders, whatever the framing; drift is how far the rungs lie apart. The match is looked for among the
drifts that cameras and models have (light, white, contrast, saturation), and a little curve and cast for what is left: it cannot bend one
hue into another, however much that would please the numbers. It looks at nothing but a colour, so it can be written down as one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.look_files import CubeLut, LutTable
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
CUBE_SIZE = 33
# Frames are measured at this size: what is smaller is noise and texture, not colour.
_MEASURE_SIDE = 200
# How much the match may stretch or press lightness anywhere.
_MOST_SLOPE, _LEAST_SLOPE = 1.8, 0.55
_MAX_SATURATION, _MIN_SATURATION = 1.6, 0.6
# Of fewer visible pixels there is no ladder worth its name.
_MIN_PIXELS = 4 * QUANTILES
# Rungs nearer to each other than that in L are one: a slope between them would be chance.
_MIN_LIGHTNESS_STEP = 3.0
_MOST_STOPS, _MOST_CONTRAST = 2.5, 1.0
_SAMPLES = 4000
_MAX_ITERATIONS, _OUTLIER_SCALE = 20, 3.0
# What a stop between two channels, or all of the contrast, costs in the measure of Lab: little drifts are likelier than large ones.
_PRIOR_WEIGHT = 3.0
# The logarithm of a ratio's cube root: 0.3 is more than a stop and a quarter between red, green and blue light.
_MOST_CAST = 0.1
# How hard it is for shadows, midtones and highlights to differ in cast, and how far off a rung may lie before it counts for less.
_ZONE_STIFFNESS, _CAST_OUTLIER_SCALE = 1.0, 0.02
_WHITE_FADE_RANGE = 10.0
# Chroma below which a colour counts as grey, fading out to there.
_NEUTRAL_CHROMA = 8.0


@dataclass(frozen=True, eq=False, slots=True)
class FrameColours:
    """What is known of a frame: the pixels it was measured by (1, n, 3) from dark to bright, their Lab (n, 3), its ladder (RUNGS, 3)."""

    pixels: Pixels
    lab: LabColours
    quantile_means: LabColours
    light: LinearLight


class ColourDrift(NamedTuple):
    """How far two ladders lie apart: CIEDE2000 between rungs, the mean and the 95th percentile."""

    mean: float
    p95: float


def measure_frame(picture: Picture, mask: Mask | None = None) -> FrameColours | None:
    """Measured where the picture is opaque and, with a ``mask``, where that is; None where too little is left to measure."""
    weight = np.ones((picture.height, picture.width), np.float32) if mask is None else mask
    if picture.alpha is not None:
        weight = weight * picture.alpha
    rows, columns = (_cell_starts(size) for size in (picture.height, picture.width))
    pixels = np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels
    cells = _cell_means(pixels * weight[:, :, None], rows, columns)
    share = _cell_means(weight[:, :, None], rows, columns)[:, :, 0]
    seen = share > 0.5
    if seen.sum() < _MIN_PIXELS:
        return None
    given = np.ascontiguousarray(np.clip(cells[seen] / share[seen][:, None], 0.0, 1.0)[None], np.float32)
    light = LinearLight(picture.icc)
    colours = pixels_to_lab(given, light)[0]
    order = np.argsort(colours[:, 0], kind="stable")  # so that every so manieth of them is a fair sample
    return FrameColours(given[:, order], colours[order], lightness_quantile_means(colours), light)


def lightness_quantile_means(colours: LabColours) -> LabColours:
    """Mean Lab of RUNGS equal parts of (n, 3) colours, from dark to bright."""
    order = colours[np.argsort(colours[:, 0], kind="stable")]
    edges = np.linspace(0, len(order), QUANTILES + 1).round().astype(int)
    return np.array([order[min(low, len(order) - 1) : max(high, low + 1)].mean(axis=0) for low, high in pairwise(edges)])


def measure_drift(first: LabColours, second: LabColours) -> ColourDrift:
    """Between two ladders."""
    far = ciede2000(first, second)
    return ColourDrift(float(far.mean()), float(np.percentile(far, 95)))


def measure_shift(frame: FrameColours, change: PixelChange) -> tuple[LabColours, float]:
    """The ladder of the frame after ``change``, and how far that moved its colours: CIEDE2000, the 95th percentile."""
    after = pixels_to_lab(change(frame.pixels.copy()), frame.light)[0]
    return lightness_quantile_means(after), float(np.percentile(ciede2000(frame.lab, after), 95))


@dataclass(frozen=True, eq=False, slots=True)
class PrimaryCorrection:
    """The drifts that cameras and models have, undone: light of each channel times 2 ** gains, contrast, then saturation.

    gains: stops for red, green and blue (3,), which are exposure and white balance; contrast: as ``toning.contrast_tone`` on the
    lightness of each channel's light; saturation: a factor on a and b.
    """

    gains: Float64Array
    contrast: float
    saturation: float
    light: LinearLight

    def __call__(self, colours: LabColours) -> LabColours:
        """Lab (..., 3) -> (..., 3); what lies outside the gamut moves along with its edge."""
        linear = lab_to_linear(colours, self.light) * 2.0**self.gains
        held = np.clip(linear, 0.0, 1.0)
        curved = lightness_to_luminance(100.0 * contrast_curve(self.contrast, 0.5)(luminance_to_lightness(held) / 100.0))
        made = linear_to_lab(curved + linear - held, self.light)
        made[..., 1:] *= self.saturation
        return made


@dataclass(frozen=True, eq=False, slots=True)
class ResidualCorrection:
    """What then is left: lightness by a curve, and a cast that may differ between shadows, midtones and highlights.

    at, to: L and the L it goes to (n,), rising. cast: (3, 2), for shadows, midtones and highlights the logarithms by which the cube
    roots of X/Y and Z/Y are multiplied, which is what another white light does to them.
    """

    input_lightness: Float64Array
    output_lightness: Float64Array
    cast: Float64Array

    def __call__(self, colours: LabColours) -> LabColours:
        """Lab (..., 3) -> (..., 3); lightness by lightness alone."""
        ratios = _cube_root_ratios(colours)[1]
        lightness = monotone_cubic(self.input_lightness, self.output_lightness, np.clip(colours[..., 0], 0.0, 100.0))
        moved = ratios * np.exp(_zone_weights(lightness) @ self.cast) - 1.0
        root = (lightness + 16) / 116
        return np.stack([lightness, 500 * root * moved[..., 0], -200 * root * moved[..., 1]], axis=-1)


def _cube_root_ratios(colours: LabColours) -> tuple[Float64Array, Float64Array]:
    """The cube root of Y (...) and those of X/Y and Z/Y (..., 2), both relative to white: what Lab is made of. 1 is grey."""
    root = (colours[..., 0] + 16) / 116
    return root, np.stack([1 + colours[..., 1] / (500 * root), 1 - colours[..., 2] / (200 * root)], axis=-1)


def _zone_weights(lightness: Float64Array) -> Float64Array:
    """How much each L belongs to shadows, midtones and highlights (..., 3); the sum is 1."""
    low, high = (np.clip(lightness / 50 - shift, 0, 1) for shift in (0.0, 1.0))
    low, high = low * low * (3 - 2 * low), high * high * (3 - 2 * high)
    return np.stack([1 - low, low - high, high], axis=-1)


@dataclass(frozen=True, eq=False, slots=True)
class SeriesMatch:
    """What takes a frame to its hero, one move after the other; how much of it, and how far the tint of greys is spared."""

    corrections: tuple[PrimaryCorrection | ResidualCorrection, ...]
    strength: float = 1.0
    protect_neutrals: float = 0.0

    def __call__(self, colours: LabColours) -> LabColours:
        """Lab (..., 3) -> (..., 3)."""
        made, brightest = colours, np.zeros(colours.shape[:-1])
        for move in self.corrections:
            made = move(made)
            brightest = np.maximum(brightest, made[..., 0])
        made[..., 1:] = colours[..., 1:] + _fade_at_white(brightest)[..., None] * (made[..., 1:] - colours[..., 1:])
        share = np.full(colours.shape, self.strength)
        chroma = np.hypot(colours[..., 1], colours[..., 2])
        share[..., 1:] *= 1.0 - self.protect_neutrals * np.exp(-2.0 * (chroma / _NEUTRAL_CHROMA) ** 2)[..., None]
        return np.asarray(colours + share * (made - colours))


def _fade_at_white(lightness: Float64Array) -> Float64Array:
    """1, running out to 0 at white: white can have no tint, and a change of tint that ended there at once would ring every highlight."""
    way = np.clip((100.0 - lightness) / _WHITE_FADE_RANGE, 0.0, 1.0)
    return np.asarray(way * way * (3.0 - 2.0 * way))


def match_frame(frame: FrameColours, hero: FrameColours, strength: float = 1.0, protect_neutrals: float = 0.0) -> SeriesMatch:
    """The match of a frame to its hero. strength: 0..1 of the way; greys: 0..1, how far what is grey keeps its tint."""
    exposed = _fit_primary_correction(frame, hero)
    trimmed = _fit_residual_correction(exposed(frame.lab), hero)
    return SeriesMatch((exposed, trimmed), strength, protect_neutrals)


def _fit_primary_correction(frame: FrameColours, hero: FrameColours) -> PrimaryCorrection:
    """By least squares between the rungs and between how colourful the two are round them; rungs that are far off count for less."""
    colours = frame.lab[:: max(1, len(frame.lab) // _SAMPLES)]
    aim = np.append(hero.quantile_means.ravel(), _chroma_spread(hero.lab))

    def made(values: Float64Array) -> PrimaryCorrection:
        return PrimaryCorrection(values[:3], float(values[3]), float(values[4]), frame.light)

    def rest(values: Float64Array) -> Float64Array:
        moved = made(values)(colours)
        unlikely = _PRIOR_WEIGHT * np.append(values[:3] - values[:3].mean(), (values[3], values[4] - 1.0))
        return np.append(np.append(lightness_quantile_means(moved).ravel(), _chroma_spread(moved)) - aim, unlikely)

    far = np.array([_MOST_STOPS] * 3 + [_MOST_CONTRAST])
    start = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    low, high = np.append(-far, _MIN_SATURATION), np.append(far, _MAX_SATURATION)
    return made(_fit_least_squares(rest, start, low, high))


def _fit_least_squares(
    rest: Callable[[Float64Array], Float64Array], start: Float64Array, low: Float64Array, high: Float64Array
) -> Float64Array:
    """Levenberg and Marquardt's way to the least rest within bounds; what is left over by more than _FAR counts by its size alone."""
    at, damping = start, 1e-2
    left = rest(at)
    for _ in range(_MAX_ITERATIONS):
        weight = 1.0 / np.sqrt(1.0 + (left / _OUTLIER_SCALE) ** 2)
        cost = float((np.sqrt(1.0 + (left / _OUTLIER_SCALE) ** 2) - 1.0).sum())
        slopes = np.stack([(rest(at + step) - left) / 1e-3 for step in np.eye(len(at)) * 1e-3], axis=1)
        normal = slopes.T @ (weight[:, None] * slopes)
        for _ in range(6):
            to = np.clip(at - np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), slopes.T @ (weight * left)), low, high)
            tried = rest(to)
            gained = cost - float((np.sqrt(1.0 + (tried / _OUTLIER_SCALE) ** 2) - 1.0).sum())
            damping = damping / 5 if gained > 0 else damping * 5
            if gained > 0:
                break
        if gained <= 0:
            return at
        at, left = to, tried
        if gained < 1e-5 * cost:
            break
    return at


def _fit_residual_correction(colours: LabColours, hero: FrameColours) -> ResidualCorrection:
    rungs = lightness_quantile_means(colours)
    at, to = _merge_close_quantiles(rungs[:, 0], hero.quantile_means[:, 0])
    to = _limit_slopes(at, to)
    low, high = _black_point(at[0], to[0]), 100.0 - _black_point(100.0 - at[-1], 100.0 - to[-1])
    inner = (at > 0.5) & (at < 99.5)
    at, to = np.concatenate([[0.0], at[inner], [100.0]]), np.concatenate([[low], to[inner], [high]])
    flat = ResidualCorrection(at, to, np.zeros((3, 2)))
    return replace(flat, cast=_fit_cast(lightness_quantile_means(flat(colours)), hero.quantile_means))


def _fit_cast(frame: LabColours, hero: LabColours) -> Float64Array:
    """The cast that takes the frame's rungs to the hero's, (3, 2): one for all brightnesses as far as the rungs agree, and robust."""
    root, ratios = _cube_root_ratios(frame)
    wanted = np.log(np.maximum(_cube_root_ratios(hero)[1], 0.05) / np.maximum(ratios, 0.05))
    zones = _zone_weights(frame[:, 0])
    apart_ = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    found = np.zeros((3, 2))
    weights = np.repeat(root[:, None], 2, axis=1)
    for _ in range(8):
        for ratio in (0, 1):
            weight = weights[:, ratio]
            normal = zones.T @ (weight[:, None] * zones) + weight.sum() * (_ZONE_STIFFNESS * apart_.T @ apart_ + 1e-6 * np.eye(3))
            found[:, ratio] = np.linalg.solve(normal, zones.T @ (weight * wanted[:, ratio]))
        weights = root[:, None] / (1.0 + np.abs(wanted - zones @ found) / _CAST_OUTLIER_SCALE)
    return np.clip(found, -_MOST_CAST, _MOST_CAST)


def _chroma_spread(colours: LabColours) -> float:
    """The deviation of a and b round the rungs: how colourful a frame is within one lightness."""
    order = colours[np.argsort(colours[:, 0], kind="stable")]
    index = np.minimum(np.arange(len(order)) * QUANTILES // len(order), QUANTILES - 1)
    return float(np.sqrt(((order[:, 1:] - lightness_quantile_means(colours)[index, 1:]) ** 2).sum(axis=1).mean()))


def _merge_close_quantiles(frame: Float64Array, hero: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Rungs that lie near each other made one, so that every step between two of them means something."""
    groups: list[list[int]] = []
    for index, rung in enumerate(frame):
        if groups and rung - frame[groups[-1][0]] < _MIN_LIGHTNESS_STEP:
            groups[-1].append(index)
        else:
            groups.append([index])
    one, other = (np.array([rungs[group].mean() for group in groups]) for rungs in (frame, hero))
    return one, other


def _limit_slopes(input_lightness: Float64Array, output_lightness: Float64Array) -> Float64Array:
    """The same with every slope held between the least and the most, round the middle rung."""
    if len(input_lightness) < 2:
        return output_lightness
    steps = np.diff(input_lightness)
    rises = np.clip(np.diff(output_lightness), _LEAST_SLOPE * steps, _MOST_SLOPE * steps)
    made = np.concatenate([[0.0], np.cumsum(rises)])
    made += (output_lightness - made).mean()
    return np.asarray(np.clip(made, 0.0, 100.0))


def _black_point(input_lightness: float, output_lightness: float) -> float:
    """Where black goes when the darkest rung goes from ``at`` to ``to``: to black, or as near as slopes allow."""
    return float(
        np.clip(
            0.0, max(0.0, output_lightness - _MOST_SLOPE * input_lightness), max(0.0, output_lightness - _LEAST_SLOPE * input_lightness)
        )
    )


def to_cube(match: SeriesMatch, light: LinearLight) -> CubeLut:
    """The match as a table of GRID steps a side from display values to display values of the profile.

    What would leave the profile's gamut keeps its lightness and hue and loses chroma until it fits.
    """
    steps = np.linspace(0.0, 1.0, CUBE_SIZE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    nodes = np.stack([red, green, blue], axis=-1).reshape(CUBE_SIZE, CUBE_SIZE * CUBE_SIZE, 3)
    wanted = match(pixels_to_lab(nodes, light))
    wanted[..., 0] = np.clip(wanted[..., 0], 0.0, 100.0)
    inside = _compress_to_gamut(wanted, light)
    made = light.from_linear(inside.astype(np.float32))
    return CubeLut((LutTable(np.ascontiguousarray(made.reshape(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE, 3))),))


def _compress_to_gamut(lab: LabColours, light: LinearLight) -> LabColours:
    """Linear light of Lab colours, drawn towards their own grey just as far as they must be."""
    low, high = np.zeros(lab.shape[:-1]), np.ones(lab.shape[:-1])

    def fits(share: Float64Array) -> NDArray[np.bool_]:
        made = lab_to_linear(np.concatenate([lab[..., :1], lab[..., 1:] * share[..., None]], axis=-1), light)
        return np.asarray((made.min(axis=-1) >= -1e-5) & (made.max(axis=-1) <= 1 + 1e-5))

    whole = fits(high)
    for _ in range(12):
        middle = (low + high) / 2
        good = fits(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    share = np.where(whole, 1.0, low)
    return lab_to_linear(np.concatenate([lab[..., :1], lab[..., 1:] * share[..., None]], axis=-1), light)


def _cell_starts(size: int) -> NDArray[np.intp]:
    """Where each cell of a side begins: single pixels up to _SIDE, else _SIDE cells."""
    return np.unique(np.linspace(0, size, min(size, _MEASURE_SIDE) + 1).astype(np.intp)[:-1])


def _cell_means(pixels: Pixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
    """Means over cells, (len(rows), len(columns), c)."""
    height, width = pixels.shape[:2]
    across = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    return np.asarray(across / counts[:, :, None].astype(np.float32))
