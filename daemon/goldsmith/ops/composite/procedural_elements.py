"""Procedural elements: dust, rain, snow, embers and haze, drawn from a seed, equal at any size of the picture.

Positions and lengths are shares of the picture; the unit of length, u, is the root of its area. A stroke thinner than a pixel is drawn
one pixel wide and correspondingly fainter, so that a small picture looks like the large one scaled down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.composite.brush_strokes import BrushStroke, StrokeCanvas
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.resample import resize

ElementKind = Literal["dust", "rain", "snow", "embers", "haze"]
RgbColour = tuple[float, float, float]

# px. Smooth fields are computed at most this large and then enlarged.
_FIELD_SIDE = 384
_LATTICE = 64
_SLAB_PIXELS = 1 << 15
# px. Soft glows are drawn at most this large.
_GLOW_SIDE = 1000


@dataclass(frozen=True, slots=True)
class ParticleOptions:
    """How an element is drawn: the seed, its density (1 is normal), the scale of its parts, and its lean to the right in degrees.

    For embers the lean is that of the rise. The colour is display-encoded in the picture's profile.
    """

    seed: int
    density: float
    scale: float
    lean_degrees: float
    colour: RgbColour


class DrawnElement(NamedTuple):
    """A drawn element: colours (h, w, 3), or (1, 1, 3) for one colour, and coverage (h, w); all 0..1."""

    pixels: Pixels
    coverage: Mask


def draw_element(kind: Literal["dust", "rain", "snow", "embers"], height: int, width: int, options: ParticleOptions) -> DrawnElement:
    """Return the element over a whole picture of ``height`` x ``width`` px."""
    return _DRAW_FUNCTIONS[kind](_FrameSize(height, width), options)


def draw_haze(depth: Mask, options: ParticleOptions) -> DrawnElement:
    """Return haze with the coverage 1 - exp(-density x depth), Koschmieder's law, in drifts.

    ``depth``: (h, w), 0..1, 0 is near and stays clear, 1 is far. ``options.scale`` is the size of the drifts.
    """
    frame = _FrameSize(*depth.shape)
    drifts = np.float32(0.55) + np.float32(0.9) * _upscale_to_frame(
        _fractal_noise(frame, np.random.default_rng(options.seed), 1.6 / options.scale, 5), frame
    )
    coverage = -np.expm1(np.float32(-options.density) * depth * drifts)
    return DrawnElement(_single_pixel(options.colour), np.asarray(coverage, np.float32))


def depth_gradient(height: int, width: int, direction_degrees: float) -> Mask:
    """Return a depth (h, w) that rises from 0 to 1 in a direction (degrees clockwise, 0 is up), eased at both ends."""
    x, y = np.sin(np.radians(direction_degrees)), -np.cos(np.radians(direction_degrees))
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    reach = (abs(x) + abs(y)) / 2
    rise = (across[None, :] * np.float32(x) + down[:, None] * np.float32(y)) / np.float32(2 * reach) + np.float32(0.5)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def estimate_airlight(pixels: Pixels) -> RgbColour:
    """Return the colour of haze for pixels (h, w, c), 0..1: the mean of the brightest twentieth, blurred, halfway to grey."""
    small = resize(pixels, min(64, pixels.shape[0]), min(64, pixels.shape[1]), "area")
    shade = small.mean(axis=2)
    bright = small[shade >= np.quantile(shade, 0.95)].mean(axis=0)
    light = (bright + bright.mean()) / 2
    light = np.broadcast_to(light, (3,))
    return float(light[0]), float(light[1]), float(light[2])


class _FrameSize(NamedTuple):
    """Size of the picture, in px."""

    height: int
    width: int

    @property
    def unit(self) -> float:
        """The root of the area, in px."""
        return float(np.sqrt(self.height * self.width))


def _single_pixel(colour: RgbColour) -> Pixels:
    """Return one colour as pixels (1, 1, 3)."""
    return np.array([[colour]], np.float32)


def _poisson_count(random: np.random.Generator, mean: float) -> int:
    """Return a random number of particles with that mean."""
    return int(random.poisson(mean))


def _draw_rain(size: _FrameSize, options: ParticleOptions) -> DrawnElement:
    """Return streaks of rain, from far, fine and many to near, long and out of focus; in gusts, and with the faint veil of distant rain."""
    random, canvas, u = np.random.default_rng(options.seed), StrokeCanvas(size.height, size.width), size.unit
    gusts = _fractal_noise(size, random, 2.0, 3)
    for _ in range(_poisson_count(random, 2600 * options.density)):
        x, y = random.random(2) * 1.2 - 0.1
        near = random.random() ** 3.0
        lean, light, long = random.normal(0, 1.1), random.beta(1.6, 3.2), random.lognormal(0, 0.25)
        out_of_focus = max(0.0, near - 0.35) ** 1.5
        canvas.draw_stroke(
            BrushStroke(
                x=x * size.width,
                y=y * size.height,
                length=u * options.scale * (0.013 + 0.145 * near) * long,
                lean_degrees=options.lean_degrees + lean,
                sigma=u * options.scale * (0.00026 + 0.0005 * near + 0.0016 * out_of_focus),
                opacity=light * (0.85 - 0.45 * near) * (0.35 + 1.3 * _sample_nearest(gusts, x, y)),
                tail_fade=0.9,
            )
        )
    veil = np.float32(0.035 * min(options.density, 2.0)) * _upscale_to_frame(gusts, size)
    return DrawnElement(_single_pixel(options.colour), canvas.coverage_behind_veil(veil))


def _draw_snow(size: _FrameSize, options: ParticleOptions) -> DrawnElement:
    """Return flakes: far ones small and sharp, a few near ones large and soft, each elongated along its own path."""
    random, canvas, u = np.random.default_rng(options.seed), StrokeCanvas(size.height, size.width), size.unit
    for _ in range(_poisson_count(random, 2300 * options.density)):
        x, y = random.random(2) * 1.1 - 0.05
        near = random.random() ** 4.2
        sway, light, large = random.normal(0, 16), random.beta(2.2, 1.6), random.lognormal(0, 0.35)
        radius = u * options.scale * large * (0.0008 + 0.0075 * near)
        canvas.draw_stroke(
            BrushStroke(
                x=x * size.width,
                y=y * size.height,
                length=radius * (0.35 + 0.55 * random.random()),
                lean_degrees=options.lean_degrees + sway,
                sigma=radius * 0.7,
                opacity=light * (0.95 - 0.68 * min(1.0, near * 1.6)),
                flatness=0.45 if near > 0.3 else 0.2,
            )
        )
    return DrawnElement(_single_pixel(options.colour), canvas.coverage())


def _draw_dust(size: _FrameSize, options: ParticleOptions) -> DrawnElement:
    """Return motes: specks in focus and discs out of focus, denser where the air carries them."""
    random, canvas, u = np.random.default_rng(options.seed), StrokeCanvas(size.height, size.width), size.unit
    air = _fractal_noise(size, random, 2.4, 3)
    for _ in range(_poisson_count(random, 1300 * options.density)):
        x, y = random.random(2) * 1.06 - 0.03
        blur = random.random() ** 2.6
        drift, light, large = random.uniform(0, 180), random.beta(1.3, 3.0), random.lognormal(0, 0.4)
        radius = u * options.scale * large * (0.0005 + 0.0095 * blur)
        visibility = _sample_nearest(air, x, y) ** 1.5
        canvas.draw_stroke(
            BrushStroke(
                x=x * size.width,
                y=y * size.height,
                length=radius * random.uniform(0.1, 0.9),
                lean_degrees=drift,
                sigma=radius * 0.62,
                opacity=light * visibility * 3.1 * (0.95 if blur < 0.06 else 0.18 + 0.3 * (1 - blur) ** 3),
                flatness=0.95 if blur > 0.2 else 0.3,
            )
        )
    return DrawnElement(_single_pixel(options.colour), canvas.coverage())


def _draw_embers(frame: _FrameSize, options: ParticleOptions) -> DrawnElement:
    """Return sparks that rise: a white-hot core, its glow and a wide halo; many and bright at the bottom, few and small at the top."""
    random, u = np.random.default_rng(options.seed), frame.unit
    shrink = min(1.0, _GLOW_SIDE / max(frame))
    small = _FrameSize(max(1, round(frame.height * shrink)), max(1, round(frame.width * shrink)))
    threads, glow = StrokeCanvas(frame.height, frame.width), StrokeCanvas(small.height, small.width)
    for _ in range(_poisson_count(random, 420 * options.density)):
        x, rise = random.random() * 1.06 - 0.03, random.random() ** 1.7
        near = random.random() ** 4.0
        turn, light, long = random.normal(0, 26), random.beta(2.0, 1.6), random.lognormal(0, 0.6)
        out_of_focus = max(0.0, near - 0.45)
        size = u * options.scale * (0.0006 + 0.0019 * near + 0.006 * out_of_focus) * (1 - 0.45 * rise)
        spark = BrushStroke(
            x=x * frame.width,
            y=(1.02 - rise * 1.05) * frame.height,
            length=size * (2.5 + 5 * long) * (1.0 if out_of_focus == 0 else 0.25),
            lean_degrees=options.lean_degrees + turn,
            sigma=size,
            opacity=1.5 * light * (1 - 0.45 * rise) * (1.0 if out_of_focus == 0 else 0.4),
            flatness=0.0 if out_of_focus == 0 else 0.8,
            curvature=random.normal(0, 0.13),
        )
        coarse = spark.scale(small.width / frame.width, small.height / frame.height)
        if out_of_focus:
            glow.draw_stroke(coarse)
            continue
        threads.draw_stroke(spark)
        glow.draw_stroke(coarse.widen(3.2, 0.75))
        glow.draw_stroke(coarse.widen(12.0, 0.17))
    return _composite_embers(threads.coverage(), _upscale_to_frame(glow.coverage(), frame), np.array(options.colour, np.float32))


def _composite_embers(threads: Mask, glow: Mask, colour: NDArray[np.float32]) -> DrawnElement:
    """Return light as colour and coverage: white-hot in the cores, the colour in the glow, deeper where the glow fades."""
    hot, deep = colour + (1 - colour) * np.float32(0.5), colour * np.array([1.0, 0.62, 0.45], np.float32)
    pixels, coverage = np.empty((*threads.shape, 3), np.float32), np.empty_like(threads)
    rows = max(1, _SLAB_PIXELS // threads.shape[1])
    for top in range(0, len(threads), rows):
        part = slice(top, top + rows)
        fade = glow[part, :, None]
        light = threads[part, :, None] * hot + fade * (deep + fade * (colour - deep))
        strongest = np.maximum(np.maximum(light[:, :, 0], light[:, :, 1]), light[:, :, 2])
        coverage[part] = np.minimum(strongest, 1)
        pixels[part] = np.minimum(light / np.maximum(strongest, np.float32(1e-6))[:, :, None], 1)
    return DrawnElement(pixels, coverage)


def _fractal_noise(frame: _FrameSize, random: np.random.Generator, frequency: float, octaves: int) -> Mask:
    """Return a smooth coarse field, 0..1 round 0.5: ``frequency`` waves per u in the first octave, each next one half as large."""
    shrink = min(1.0, _FIELD_SIDE / max(frame))
    size = max(1, round(frame.height * shrink)), max(1, round(frame.width * shrink))
    noise, weight = np.zeros(size, np.float32), 0.0
    for octave in range(octaves):
        lattice = random.random((_LATTICE, _LATTICE), dtype=np.float32)
        share = 0.55**octave
        noise += np.float32(share) * _sample_lattice(lattice, frame, size, frequency * 2**octave)
        weight += share
    spread = (noise / np.float32(weight) - 0.5) * np.float32(1.7) + np.float32(0.5)
    return np.asarray(np.clip(spread, 0.0, 1.0), np.float32)


def _sample_lattice(lattice: NDArray[np.float32], frame: _FrameSize, size: tuple[int, int], frequency: float) -> NDArray[np.float32]:
    """Return the lattice sampled at ``frequency`` waves per u, eased between its points and repeated beyond its end."""

    def positions(count: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        coordinates = (np.arange(count) + 0.5) / count * length / frame.unit * frequency
        low = np.floor(coordinates).astype(np.intp)
        part = (coordinates - low).astype(np.float32)
        return low, part * part * (3 - 2 * part)

    (rows, down), (columns, across) = positions(size[0], frame.height), positions(size[1], frame.width)

    def interpolate_row(step: int) -> NDArray[np.float32]:
        row = lattice[(rows + step) % _LATTICE]
        left, right = row[:, columns % _LATTICE], row[:, (columns + 1) % _LATTICE]
        return left + (right - left) * across

    upper, lower = interpolate_row(0), interpolate_row(1)
    return np.asarray(upper + (lower - upper) * down[:, None], np.float32)


def _sample_nearest(field: Mask, x: float, y: float) -> float:
    """Return the nearest value of a coarse field at a position in shares of the picture."""
    row = min(field.shape[0] - 1, max(0, int(y * field.shape[0])))
    column = min(field.shape[1] - 1, max(0, int(x * field.shape[1])))
    return float(field[row, column])


def _upscale_to_frame(field: Mask, frame: _FrameSize) -> Mask:
    """Return a coarse field (h, w), 0..1, enlarged to the picture's size."""
    import cv2

    return np.asarray(cv2.resize(field, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR), np.float32)


_DRAW_FUNCTIONS: dict[str, Callable[[_FrameSize, ParticleOptions], DrawnElement]] = {
    "dust": _draw_dust,
    "rain": _draw_rain,
    "snow": _draw_snow,
    "embers": _draw_embers,
}
