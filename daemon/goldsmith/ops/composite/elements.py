"""Elements drawn from a seed: dust, rain, snow, embers and haze, at any size the same picture.

All that is placed or measured is a share of the picture: lengths in parts of u, the root of its area. What is thinner than a px is
drawn a px wide and as much fainter, so that a small picture looks like the large one scaled down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.composite.stamps import Canvas, Stroke
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.resample import resized

Kind = Literal["dust", "rain", "snow", "embers", "haze"]
Colour = tuple[float, float, float]

_COARSE = 384
"""Longest side, in px, at which smooth fields are worked out; they are enlarged from there."""
_LATTICE = 64
_SLAB_PIXELS = 1 << 15
_GLOWING = 1000
"""Longest side, in px, at which soft glows are drawn."""


@dataclass(frozen=True, slots=True)
class Manner:
    """density: how much of it (1 = as seen on a usual day); scale: of its parts; angle: in degrees, how far the fall leans to the
    right (embers: the rise); colour: display-encoded, of the plate's profile."""

    seed: int
    density: float
    scale: float
    angle: float
    colour: Colour


class Drawn(NamedTuple):
    """An element to be laid: colours (h, w, 3), or (1, 1, 3) for one, and how much it covers (h, w)."""

    pixels: Pixels
    cover: Mask


def drawn(kind: Literal["dust", "rain", "snow", "embers"], height: int, width: int, how: Manner) -> Drawn:
    """The element over a whole picture of that size."""
    return _DRAWN[kind](_Frame(height, width), how)


def haze(depth: Mask, how: Manner) -> Drawn:
    """Air that takes the place of what lies behind it: cover = 1 - exp(-density x depth), Koschmieder's law, in drifts.

    depth: (h, w), 0 = near and clear, 1 = far; where it is 0 nothing is laid. ``scale`` is the size of the drifts.
    """
    frame = _Frame(*depth.shape)
    drifts = np.float32(0.55) + np.float32(0.9) * _full(_clouds(frame, np.random.default_rng(how.seed), 1.6 / how.scale, 5), frame)
    cover = -np.expm1(np.float32(-how.density) * depth * drifts)
    return Drawn(_flat(how.colour), np.asarray(cover, np.float32))


def gradient(height: int, width: int, angle: float) -> Mask:
    """A depth (h, w) that rises from 0 to 1 towards ``angle`` (degrees clockwise, 0 = up), eased at both ends."""
    x, y = np.sin(np.radians(angle)), -np.cos(np.radians(angle))
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    reach = (abs(x) + abs(y)) / 2
    rise = (across[None, :] * np.float32(x) + down[:, None] * np.float32(y)) / np.float32(2 * reach) + np.float32(0.5)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def air_light(pixels: Pixels) -> Colour:
    """The light that haze has in a picture: the mean of its brightest twentieth, blurred, drawn halfway to grey; (h, w, c)."""
    small = resized(pixels, min(64, pixels.shape[0]), min(64, pixels.shape[1]), "area")
    shade = small.mean(axis=2)
    bright = small[shade >= np.quantile(shade, 0.95)].mean(axis=0)
    lit = (bright + bright.mean()) / 2
    lit = np.broadcast_to(lit, (3,))
    return float(lit[0]), float(lit[1]), float(lit[2])


class _Frame(NamedTuple):
    height: int
    width: int

    @property
    def unit(self) -> float:
        return float(np.sqrt(self.height * self.width))


def _flat(colour: Colour) -> Pixels:
    return np.array([[colour]], np.float32)


def _count(random: np.random.Generator, mean: float) -> int:
    return int(random.poisson(mean))


def _rain(frame: _Frame, how: Manner) -> Drawn:
    """Streaks from far, fine and many to near, long and out of focus; in gusts, with a little of the veil that rain is far off."""
    random, canvas, u = np.random.default_rng(how.seed), Canvas(frame.height, frame.width), frame.unit
    gusts = _clouds(frame, random, 2.0, 3)
    for _ in range(_count(random, 2600 * how.density)):
        x, y = random.random(2) * 1.2 - 0.1
        near = random.random() ** 3.0
        lean, light, long = random.normal(0, 1.1), random.beta(1.6, 3.2), random.lognormal(0, 0.25)
        out_of_focus = max(0.0, near - 0.35) ** 1.5
        canvas.stroke(
            Stroke(
                x=x * frame.width,
                y=y * frame.height,
                length=u * how.scale * (0.013 + 0.145 * near) * long,
                degrees=how.angle + lean,
                sigma=u * how.scale * (0.00026 + 0.0005 * near + 0.0016 * out_of_focus),
                value=light * (0.85 - 0.45 * near) * (0.35 + 1.3 * _at(gusts, x, y)),
                tail=0.9,
            )
        )
    veil = np.float32(0.035 * min(how.density, 2.0)) * _full(gusts, frame)
    return Drawn(_flat(how.colour), canvas.over(veil))


def _snow(frame: _Frame, how: Manner) -> Drawn:
    """Flakes: far ones small and sharp, a few near ones large and soft, each drawn out along its own way down."""
    random, canvas, u = np.random.default_rng(how.seed), Canvas(frame.height, frame.width), frame.unit
    for _ in range(_count(random, 2300 * how.density)):
        x, y = random.random(2) * 1.1 - 0.05
        near = random.random() ** 4.2
        sway, light, large = random.normal(0, 16), random.beta(2.2, 1.6), random.lognormal(0, 0.35)
        radius = u * how.scale * large * (0.0008 + 0.0075 * near)
        canvas.stroke(
            Stroke(
                x=x * frame.width,
                y=y * frame.height,
                length=radius * (0.35 + 0.55 * random.random()),
                degrees=how.angle + sway,
                sigma=radius * 0.7,
                value=light * (0.95 - 0.68 * min(1.0, near * 1.6)),
                flat=0.45 if near > 0.3 else 0.2,
            )
        )
    return Drawn(_flat(how.colour), canvas.cover())


def _dust(frame: _Frame, how: Manner) -> Drawn:
    """Motes in the light: specks in focus and discs that are not, denser where the air carries them."""
    random, canvas, u = np.random.default_rng(how.seed), Canvas(frame.height, frame.width), frame.unit
    air = _clouds(frame, random, 2.4, 3)
    for _ in range(_count(random, 1300 * how.density)):
        x, y = random.random(2) * 1.06 - 0.03
        blur = random.random() ** 2.6
        drift, light, large = random.uniform(0, 180), random.beta(1.3, 3.0), random.lognormal(0, 0.4)
        radius = u * how.scale * large * (0.0005 + 0.0095 * blur)
        shown = _at(air, x, y) ** 1.5
        canvas.stroke(
            Stroke(
                x=x * frame.width,
                y=y * frame.height,
                length=radius * random.uniform(0.1, 0.9),
                degrees=drift,
                sigma=radius * 0.62,
                value=light * shown * 3.1 * (0.95 if blur < 0.06 else 0.18 + 0.3 * (1 - blur) ** 3),
                flat=0.95 if blur > 0.2 else 0.3,
            )
        )
    return Drawn(_flat(how.colour), canvas.cover())


def _embers(frame: _Frame, how: Manner) -> Drawn:
    """Sparks that rise: a white-hot thread, its glow and a wide halo; many and bright below, few and small above."""
    random, u = np.random.default_rng(how.seed), frame.unit
    shrink = min(1.0, _GLOWING / max(frame))
    small = _Frame(max(1, round(frame.height * shrink)), max(1, round(frame.width * shrink)))
    threads, glow = Canvas(frame.height, frame.width), Canvas(small.height, small.width)
    for _ in range(_count(random, 420 * how.density)):
        x, rise = random.random() * 1.06 - 0.03, random.random() ** 1.7
        near = random.random() ** 4.0
        turn, light, long = random.normal(0, 26), random.beta(2.0, 1.6), random.lognormal(0, 0.6)
        out_of_focus = max(0.0, near - 0.45)
        size = u * how.scale * (0.0006 + 0.0019 * near + 0.006 * out_of_focus) * (1 - 0.45 * rise)
        spark = Stroke(
            x=x * frame.width,
            y=(1.02 - rise * 1.05) * frame.height,
            length=size * (2.5 + 5 * long) * (1.0 if out_of_focus == 0 else 0.25),
            degrees=how.angle + turn,
            sigma=size,
            value=1.5 * light * (1 - 0.45 * rise) * (1.0 if out_of_focus == 0 else 0.4),
            flat=0.0 if out_of_focus == 0 else 0.8,
            bend=random.normal(0, 0.13),
        )
        coarse = spark.at(small.width / frame.width, small.height / frame.height)
        if out_of_focus:
            glow.stroke(coarse)
            continue
        threads.stroke(spark)
        glow.stroke(coarse.wider(3.2, 0.75))
        glow.stroke(coarse.wider(12.0, 0.17))
    return _burning(threads.cover(), _full(glow.cover(), frame), np.array(how.colour, np.float32))


def _burning(threads: Mask, glow: Mask, colour: NDArray[np.float32]) -> Drawn:
    """Light as colour and cover: white-hot where threads are, the colour in the glow, deeper where it fades."""
    hot, deep = colour + (1 - colour) * np.float32(0.5), colour * np.array([1.0, 0.62, 0.45], np.float32)
    pixels, cover = np.empty((*threads.shape, 3), np.float32), np.empty_like(threads)
    rows = max(1, _SLAB_PIXELS // threads.shape[1])
    for top in range(0, len(threads), rows):
        part = slice(top, top + rows)
        fade = glow[part, :, None]
        light = threads[part, :, None] * hot + fade * (deep + fade * (colour - deep))
        strongest = np.maximum(np.maximum(light[:, :, 0], light[:, :, 1]), light[:, :, 2])
        cover[part] = np.minimum(strongest, 1)
        pixels[part] = np.minimum(light / np.maximum(strongest, np.float32(1e-6))[:, :, None], 1)
    return Drawn(pixels, cover)


def _clouds(frame: _Frame, random: np.random.Generator, waves: float, octaves: int) -> Mask:
    """A smooth field 0..1 about 0.5, coarse: ``waves`` to u in its largest octave, each next one half as large and half as strong."""
    shrink = min(1.0, _COARSE / max(frame))
    size = max(1, round(frame.height * shrink)), max(1, round(frame.width * shrink))
    made, weight = np.zeros(size, np.float32), 0.0
    for octave in range(octaves):
        lattice = random.random((_LATTICE, _LATTICE), dtype=np.float32)
        share = 0.55**octave
        made += np.float32(share) * _lattice_at(lattice, frame, size, waves * 2**octave)
        weight += share
    spread = (made / np.float32(weight) - 0.5) * np.float32(1.7) + np.float32(0.5)
    return np.asarray(np.clip(spread, 0.0, 1.0), np.float32)


def _lattice_at(lattice: NDArray[np.float32], frame: _Frame, size: tuple[int, int], waves: float) -> NDArray[np.float32]:
    """The lattice read ``waves`` to u, eased between its points and repeated beyond its end."""

    def place(count: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        at = (np.arange(count) + 0.5) / count * length / frame.unit * waves
        low = np.floor(at).astype(np.intp)
        part = (at - low).astype(np.float32)
        return low, part * part * (3 - 2 * part)

    (rows, down), (columns, across) = place(size[0], frame.height), place(size[1], frame.width)

    def line(step: int) -> NDArray[np.float32]:
        row = lattice[(rows + step) % _LATTICE]
        left, right = row[:, columns % _LATTICE], row[:, (columns + 1) % _LATTICE]
        return left + (right - left) * across

    upper, lower = line(0), line(1)
    return np.asarray(upper + (lower - upper) * down[:, None], np.float32)


def _at(field: Mask, x: float, y: float) -> float:
    """The value of a coarse field at a place given in parts of the picture, by its nearest point."""
    row = min(field.shape[0] - 1, max(0, int(y * field.shape[0])))
    column = min(field.shape[1] - 1, max(0, int(x * field.shape[1])))
    return float(field[row, column])


def _full(field: Mask, frame: _Frame) -> Mask:
    import cv2

    return np.asarray(cv2.resize(field, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR), np.float32)


_DRAWN: dict[str, Callable[[_Frame, Manner], Drawn]] = {"dust": _dust, "rain": _rain, "snow": _snow, "embers": _embers}
