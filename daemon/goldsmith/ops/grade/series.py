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

from goldsmith.ops.grade.cube import Cube, Table
from goldsmith.ops.grade.tone_curves import contrast_tone, monotone
from goldsmith.picture.lab import (
    Colours,
    apart,
    l_of_y,
    lab_of,
    lab_of_linear,
    linear_of,
    y_of_l,
)
from goldsmith.picture.light import Light
from goldsmith.picture.picture import Mask, Pixels, Plate
from goldsmith.picture.strips import Change

Values = NDArray[np.float64]

RUNGS = 16
GRID = 33
_SIDE = 200
"""Frames are measured at this size: what is smaller is noise and texture, not colour."""
_MOST_SLOPE, _LEAST_SLOPE = 1.8, 0.55
"""How much the match may stretch or press lightness anywhere."""
_MOST_CHROMA, _LEAST_CHROMA = 1.6, 0.6
_FEWEST = 4 * RUNGS
"""Of fewer visible pixels there is no ladder worth its name."""
_NEAR = 3.0
"""Rungs nearer to each other than that in L are one: a slope between them would be chance."""
_MOST_STOPS, _MOST_CONTRAST = 2.5, 1.0
_SAMPLES = 4000
_STEPS, _FAR = 20, 3.0
_PRIOR = 3.0
"""What a stop between two channels, or all of the contrast, costs in the measure of Lab: little drifts are likelier than large ones."""
_MOST_CAST = 0.1
"""The logarithm of a ratio's cube root: 0.3 is more than a stop and a quarter between red, green and blue light."""
_STIFF, _ODD = 1.0, 0.02
"""How hard it is for shadows, midtones and highlights to differ in cast, and how far off a rung may lie before it counts for less."""
_WHITE_END = 10.0
_GREY = 8.0
"""Chroma below which a colour counts as grey, fading out to there."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """What is known of a frame: the pixels it was measured by (1, n, 3) from dark to bright, their Lab (n, 3), its ladder (RUNGS, 3)."""

    pixels: Pixels
    colours: Colours
    ladder: Colours
    light: Light


class Drift(NamedTuple):
    """How far two ladders lie apart: CIEDE2000 between rungs, the mean and the 95th percentile."""

    mean: float
    p95: float


def frame_of(plate: Plate, mask: Mask | None = None) -> Frame | None:
    """Measured where the plate is opaque and, with a ``mask``, where that is; None where too little is left to measure."""
    weight = np.ones((plate.height, plate.width), np.float32) if mask is None else mask
    if plate.alpha is not None:
        weight = weight * plate.alpha
    rows, columns = (_cells(size) for size in (plate.height, plate.width))
    pixels = np.repeat(plate.pixels, 3, axis=2) if plate.channels == 1 else plate.pixels
    cells = _averaged(pixels * weight[:, :, None], rows, columns)
    share = _averaged(weight[:, :, None], rows, columns)[:, :, 0]
    seen = share > 0.5
    if seen.sum() < _FEWEST:
        return None
    given = np.ascontiguousarray(np.clip(cells[seen] / share[seen][:, None], 0.0, 1.0)[None], np.float32)
    light = Light(plate.icc)
    colours = lab_of(given, light)[0]
    order = np.argsort(colours[:, 0], kind="stable")  # so that every so manieth of them is a fair sample
    return Frame(given[:, order], colours[order], ladder(colours), light)


def ladder(colours: Colours) -> Colours:
    """Mean Lab of RUNGS equal parts of (n, 3) colours, from dark to bright."""
    order = colours[np.argsort(colours[:, 0], kind="stable")]
    edges = np.linspace(0, len(order), RUNGS + 1).round().astype(int)
    return np.array([order[min(low, len(order) - 1) : max(high, low + 1)].mean(axis=0) for low, high in pairwise(edges)])


def drift(one: Colours, other: Colours) -> Drift:
    """Between two ladders."""
    far = apart(one, other)
    return Drift(float(far.mean()), float(np.percentile(far, 95)))


def shift(frame: Frame, change: Change) -> tuple[Colours, float]:
    """The ladder of the frame after ``change``, and how far that moved its colours: CIEDE2000, the 95th percentile."""
    after = lab_of(change(frame.pixels.copy()), frame.light)[0]
    return ladder(after), float(np.percentile(apart(frame.colours, after), 95))


@dataclass(frozen=True, eq=False, slots=True)
class Exposed:
    """The drifts that cameras and models have, undone: light of each channel times 2 ** gains, contrast, then saturation.

    gains: stops for red, green and blue (3,), which are exposure and white balance; contrast: as ``toning.contrast_tone`` on the
    lightness of each channel's light; saturation: a factor on a and b.
    """

    gains: Values
    contrast: float
    saturation: float
    light: Light

    def __call__(self, colours: Colours) -> Colours:
        """Lab (..., 3) -> (..., 3); what lies outside the gamut moves along with its edge."""
        linear = linear_of(colours, self.light) * 2.0**self.gains
        held = np.clip(linear, 0.0, 1.0)
        curved = y_of_l(100.0 * contrast_tone(self.contrast, 0.5)(l_of_y(held) / 100.0))
        made = lab_of_linear(curved + linear - held, self.light)
        made[..., 1:] *= self.saturation
        return made


@dataclass(frozen=True, eq=False, slots=True)
class Trimmed:
    """What then is left: lightness by a curve, and a cast that may differ between shadows, midtones and highlights.

    at, to: L and the L it goes to (n,), rising. cast: (3, 2), for shadows, midtones and highlights the logarithms by which the cube
    roots of X/Y and Z/Y are multiplied, which is what another white light does to them.
    """

    at: Values
    to: Values
    cast: Values

    def __call__(self, colours: Colours) -> Colours:
        """Lab (..., 3) -> (..., 3); lightness by lightness alone."""
        ratios = _ratios(colours)[1]
        lightness = monotone(self.at, self.to, np.clip(colours[..., 0], 0.0, 100.0))
        moved = ratios * np.exp(_zones(lightness) @ self.cast) - 1.0
        root = (lightness + 16) / 116
        return np.stack([lightness, 500 * root * moved[..., 0], -200 * root * moved[..., 1]], axis=-1)


def _ratios(colours: Colours) -> tuple[Values, Values]:
    """The cube root of Y (...) and those of X/Y and Z/Y (..., 2), both relative to white: what Lab is made of. 1 is grey."""
    root = (colours[..., 0] + 16) / 116
    return root, np.stack([1 + colours[..., 1] / (500 * root), 1 - colours[..., 2] / (200 * root)], axis=-1)


def _zones(lightness: Values) -> Values:
    """How much each L belongs to shadows, midtones and highlights (..., 3); the sum is 1."""
    low, high = (np.clip(lightness / 50 - shift, 0, 1) for shift in (0.0, 1.0))
    low, high = low * low * (3 - 2 * low), high * high * (3 - 2 * high)
    return np.stack([1 - low, low - high, high], axis=-1)


@dataclass(frozen=True, eq=False, slots=True)
class Match:
    """What takes a frame to its hero, one move after the other; how much of it, and how far the tint of greys is spared."""

    moves: tuple[Exposed | Trimmed, ...]
    strength: float = 1.0
    greys: float = 0.0

    def __call__(self, colours: Colours) -> Colours:
        """Lab (..., 3) -> (..., 3)."""
        made, brightest = colours, np.zeros(colours.shape[:-1])
        for move in self.moves:
            made = move(made)
            brightest = np.maximum(brightest, made[..., 0])
        made[..., 1:] = colours[..., 1:] + _below_white(brightest)[..., None] * (made[..., 1:] - colours[..., 1:])
        share = np.full(colours.shape, self.strength)
        chroma = np.hypot(colours[..., 1], colours[..., 2])
        share[..., 1:] *= 1.0 - self.greys * np.exp(-2.0 * (chroma / _GREY) ** 2)[..., None]
        return np.asarray(colours + share * (made - colours))


def _below_white(lightness: Values) -> Values:
    """1, running out to 0 at white: white can have no tint, and a change of tint that ended there at once would ring every highlight."""
    way = np.clip((100.0 - lightness) / _WHITE_END, 0.0, 1.0)
    return np.asarray(way * way * (3.0 - 2.0 * way))


def match(frame: Frame, hero: Frame, strength: float = 1.0, greys: float = 0.0) -> Match:
    """The match of a frame to its hero. strength: 0..1 of the way; greys: 0..1, how far what is grey keeps its tint."""
    exposed = _exposed(frame, hero)
    trimmed = _trimmed(exposed(frame.colours), hero)
    return Match((exposed, trimmed), strength, greys)


def _exposed(frame: Frame, hero: Frame) -> Exposed:
    """By least squares between the rungs and between how colourful the two are round them; rungs that are far off count for less."""
    colours = frame.colours[:: max(1, len(frame.colours) // _SAMPLES)]
    aim = np.append(hero.ladder.ravel(), _off(hero.colours))

    def made(values: Values) -> Exposed:
        return Exposed(values[:3], float(values[3]), float(values[4]), frame.light)

    def rest(values: Values) -> Values:
        moved = made(values)(colours)
        unlikely = _PRIOR * np.append(values[:3] - values[:3].mean(), (values[3], values[4] - 1.0))
        return np.append(np.append(ladder(moved).ravel(), _off(moved)) - aim, unlikely)

    far = np.array([_MOST_STOPS] * 3 + [_MOST_CONTRAST])
    start = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    low, high = np.append(-far, _LEAST_CHROMA), np.append(far, _MOST_CHROMA)
    return made(_least(rest, start, low, high))


def _least(rest: Callable[[Values], Values], start: Values, low: Values, high: Values) -> Values:
    """Levenberg and Marquardt's way to the least rest within bounds; what is left over by more than _FAR counts by its size alone."""
    at, damping = start, 1e-2
    left = rest(at)
    for _ in range(_STEPS):
        weight = 1.0 / np.sqrt(1.0 + (left / _FAR) ** 2)
        cost = float((np.sqrt(1.0 + (left / _FAR) ** 2) - 1.0).sum())
        slopes = np.stack([(rest(at + step) - left) / 1e-3 for step in np.eye(len(at)) * 1e-3], axis=1)
        normal = slopes.T @ (weight[:, None] * slopes)
        for _ in range(6):
            to = np.clip(at - np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), slopes.T @ (weight * left)), low, high)
            tried = rest(to)
            gained = cost - float((np.sqrt(1.0 + (tried / _FAR) ** 2) - 1.0).sum())
            damping = damping / 5 if gained > 0 else damping * 5
            if gained > 0:
                break
        if gained <= 0:
            return at
        at, left = to, tried
        if gained < 1e-5 * cost:
            break
    return at


def _trimmed(colours: Colours, hero: Frame) -> Trimmed:
    rungs = ladder(colours)
    at, to = _joined(rungs[:, 0], hero.ladder[:, 0])
    to = _gentle(at, to)
    low, high = _end(at[0], to[0]), 100.0 - _end(100.0 - at[-1], 100.0 - to[-1])
    inner = (at > 0.5) & (at < 99.5)
    at, to = np.concatenate([[0.0], at[inner], [100.0]]), np.concatenate([[low], to[inner], [high]])
    flat = Trimmed(at, to, np.zeros((3, 2)))
    return replace(flat, cast=_cast(ladder(flat(colours)), hero.ladder))


def _cast(frame: Colours, hero: Colours) -> Values:
    """The cast that takes the frame's rungs to the hero's, (3, 2): one for all brightnesses as far as the rungs agree, and robust."""
    root, ratios = _ratios(frame)
    wanted = np.log(np.maximum(_ratios(hero)[1], 0.05) / np.maximum(ratios, 0.05))
    zones = _zones(frame[:, 0])
    apart_ = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    found = np.zeros((3, 2))
    weights = np.repeat(root[:, None], 2, axis=1)
    for _ in range(8):
        for ratio in (0, 1):
            weight = weights[:, ratio]
            normal = zones.T @ (weight[:, None] * zones) + weight.sum() * (_STIFF * apart_.T @ apart_ + 1e-6 * np.eye(3))
            found[:, ratio] = np.linalg.solve(normal, zones.T @ (weight * wanted[:, ratio]))
        weights = root[:, None] / (1.0 + np.abs(wanted - zones @ found) / _ODD)
    return np.clip(found, -_MOST_CAST, _MOST_CAST)


def _off(colours: Colours) -> float:
    """The deviation of a and b round the rungs: how colourful a frame is within one lightness."""
    order = colours[np.argsort(colours[:, 0], kind="stable")]
    index = np.minimum(np.arange(len(order)) * RUNGS // len(order), RUNGS - 1)
    return float(np.sqrt(((order[:, 1:] - ladder(colours)[index, 1:]) ** 2).sum(axis=1).mean()))


def _joined(frame: Values, hero: Values) -> tuple[Values, Values]:
    """Rungs that lie near each other made one, so that every step between two of them means something."""
    groups: list[list[int]] = []
    for index, rung in enumerate(frame):
        if groups and rung - frame[groups[-1][0]] < _NEAR:
            groups[-1].append(index)
        else:
            groups.append([index])
    one, other = (np.array([rungs[group].mean() for group in groups]) for rungs in (frame, hero))
    return one, other


def _gentle(at: Values, to: Values) -> Values:
    """The same with every slope held between the least and the most, round the middle rung."""
    if len(at) < 2:
        return to
    steps = np.diff(at)
    rises = np.clip(np.diff(to), _LEAST_SLOPE * steps, _MOST_SLOPE * steps)
    made = np.concatenate([[0.0], np.cumsum(rises)])
    made += (to - made).mean()
    return np.asarray(np.clip(made, 0.0, 100.0))


def _end(at: float, to: float) -> float:
    """Where black goes when the darkest rung goes from ``at`` to ``to``: to black, or as near as slopes allow."""
    return float(np.clip(0.0, max(0.0, to - _MOST_SLOPE * at), max(0.0, to - _LEAST_SLOPE * at)))


def table_of(found: Match, light: Light) -> Cube:
    """The match as a table of GRID steps a side from display values to display values of the profile.

    What would leave the profile's gamut keeps its lightness and hue and loses chroma until it fits.
    """
    steps = np.linspace(0.0, 1.0, GRID, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    nodes = np.stack([red, green, blue], axis=-1).reshape(GRID, GRID * GRID, 3)
    wanted = found(lab_of(nodes, light))
    wanted[..., 0] = np.clip(wanted[..., 0], 0.0, 100.0)
    inside = _within(wanted, light)
    made = light.encoded(inside.astype(np.float32))
    return Cube((Table(np.ascontiguousarray(made.reshape(GRID, GRID, GRID, 3))),))


def _within(wanted: Colours, light: Light) -> Colours:
    """Linear light of Lab colours, drawn towards their own grey just as far as they must be."""
    low, high = np.zeros(wanted.shape[:-1]), np.ones(wanted.shape[:-1])

    def fits(share: Values) -> NDArray[np.bool_]:
        made = linear_of(np.concatenate([wanted[..., :1], wanted[..., 1:] * share[..., None]], axis=-1), light)
        return np.asarray((made.min(axis=-1) >= -1e-5) & (made.max(axis=-1) <= 1 + 1e-5))

    whole = fits(high)
    for _ in range(12):
        middle = (low + high) / 2
        good = fits(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    share = np.where(whole, 1.0, low)
    return linear_of(np.concatenate([wanted[..., :1], wanted[..., 1:] * share[..., None]], axis=-1), light)


def _cells(size: int) -> NDArray[np.intp]:
    """Where each cell of a side begins: single pixels up to _SIDE, else _SIDE cells."""
    return np.unique(np.linspace(0, size, min(size, _SIDE) + 1).astype(np.intp)[:-1])


def _averaged(pixels: Pixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
    """Means over cells, (len(rows), len(columns), c)."""
    height, width = pixels.shape[:2]
    across = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    return np.asarray(across / counts[:, :, None].astype(np.float32))
