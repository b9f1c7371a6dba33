"""What lens and film do to a picture as a whole: halation, vignette, grain. Each knows where its piece lies in the picture.

So a part of a picture, or a picture cut into slabs, gets the very same as the whole. All lengths are shares of the picture, so the look
does not hang on its size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erf, exp, pi, sqrt
from typing import Protocol

import numpy as np

from goldsmith.ops.grade.look_files import RgbTriple
from goldsmith.picture.colour import luma
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.slab_processing import OnProgress, for_each_slab, map_slabs_with_row

# The faint skirt of a halo: so many times as wide as its body, and so much of the light.
_SKIRT_WIDTH, _SKIRT_SHARE = 2.5, 0.35
# A blur wider than that is done on a smaller plane, where it has this width.
_MAX_BLUR_PX = 4.0
# Rows of noise that are drawn from one seed.
_BAND = 64


@dataclass(frozen=True, slots=True)
class PiecePosition:
    """Where a piece lies: its first row and column, and the size of the whole picture, in px."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def from_window(cls, window: Window, pixels: Pixels) -> PiecePosition:
        rows, columns = window
        return cls(rows.start, columns.start, pixels.shape[0], pixels.shape[1])

    @property
    def long_side(self) -> int:
        return max(self.height, self.width)


class PositionedChange(Protocol):
    """A change to the pixels of a piece that hangs on where it lies; ``tick`` hears how far it is.

    into: the array that takes the result, ``pixels`` itself where nobody else has it; a new one where none is given.
    """

    def __call__(self, pixels: Pixels, place: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels: ...


def vignette_change(light: LinearLight, amount: float, radius: float, softness: float, roundness: float) -> PositionedChange:
    """Light falls off towards the corners to 1 - ``amount`` of it there (below 0: it rises), in linear light.

    radius: where the fall lies, softness: how broad it is, as shares (0..1) of the way from the middle to the corner.
    roundness: 0 follows the picture's shape, 1 is a circle.
    """
    inner, outer = radius * (1.0 - softness), radius + max(softness, 0.01) * (1.0 - radius) + 1e-6

    def change(pixels: Pixels, place: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        across, down = _ellipse_half_axes(place, roundness)
        columns = ((np.arange(pixels.shape[1], dtype=np.float32) + place.left + 0.5 - place.width / 2) / across) ** 2

        def slab(piece: Pixels, top: int) -> Pixels:
            rows = ((np.arange(len(piece), dtype=np.float32) + place.top + top + 0.5 - place.height / 2) / down) ** 2
            way = (np.sqrt(rows[:, None] + columns[None, :]) - np.float32(inner)) / np.float32(outer - inner)
            np.clip(way, 0.0, 1.0, out=way)
            gain = 1.0 - np.float32(amount) * way * way * (3.0 - 2.0 * way)
            return light.from_linear(light.to_linear(piece) * gain[:, :, None].astype(np.float32))

        return map_slabs_with_row(pixels, slab, tick, out=into)

    return change


def _ellipse_half_axes(position: PiecePosition, roundness: float) -> tuple[float, float]:
    """Half-axes of the ellipse (or circle, or between) that goes through the corners."""
    half = np.array([position.width / 2, position.height / 2])
    axes = (1.0 - roundness) * half * np.sqrt(2.0) + roundness * np.hypot(*half)
    axes *= np.hypot(*(half / axes))
    return float(axes[0]), float(axes[1])


def halation_margin(radius: float, long_side: int) -> int:
    """How far light spreads, in px: as much context must a piece have."""
    return int(np.ceil(3.0 * _SKIRT_WIDTH * radius * long_side)) + 2 * _downscale_factor(radius * long_side)


def _downscale_factor(sigma: float) -> int:
    return max(1, int(sigma / _MAX_BLUR_PX))


def halation_change(light: LinearLight, amount: float, threshold: float, radius: float, tint: RgbTriple) -> PositionedChange:
    """Light of what is brighter than ``threshold`` (display value 0..1) spreads and comes back in the colour ``tint`` (display-encoded).

    In linear light; what comes back only fills what is not yet full: out = in + glow * (1 - in). radius: a share of the long side.
    """
    floor = float(light.linearise_colour((threshold,) * 3).mean())
    colour = (light.linearise_colour(tint) * amount).astype(np.float32)

    def change(pixels: Pixels, place: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        glow = _blurred_highlights(light, pixels, place, floor, radius * place.long_side)

        def slab(piece: Pixels, top: int) -> Pixels:
            linear = light.to_linear(piece)
            back = glow[top : top + len(piece), :, None] * colour[: linear.shape[2]]
            np.minimum(back, np.float32(1.0), out=back)
            return light.from_linear(linear + back * (1.0 - linear))

        return map_slabs_with_row(pixels, slab, tick, out=into)

    return change


def _blurred_highlights(light: LinearLight, pixels: Pixels, position: PiecePosition, threshold: float, sigma: float) -> Mask:
    """The spread light (h, w) of what lies above ``floor``; blurred on a smaller plane whose cells are those of the whole picture."""
    import cv2

    factor = _downscale_factor(sigma)
    small = _highlights(light, pixels, position, threshold, factor)
    narrow = _gaussian_blur(small, sigma / factor)
    wide = _gaussian_blur(small, _SKIRT_WIDTH * sigma / factor)
    spread = (1.0 - _SKIRT_SHARE) * narrow + _SKIRT_SHARE * wide
    if factor == 1:
        return np.asarray(spread, np.float32)
    full = np.asarray(cv2.resize(spread, (small.shape[1] * factor, small.shape[0] * factor), interpolation=cv2.INTER_LINEAR), np.float32)
    top, left = position.top % factor, position.left % factor
    return full[top : top + pixels.shape[0], left : left + pixels.shape[1]]


def _highlights(light: LinearLight, pixels: Pixels, position: PiecePosition, threshold: float, factor: int) -> Mask:
    """The light above ``floor``, one value for each cell of ``factor`` px of the whole picture that the piece reaches into."""
    import cv2

    height, width = pixels.shape[:2]
    top, left = position.top % factor, position.left % factor
    small = np.empty((-(-(top + height) // factor), -(-(left + width) // factor)), np.float32)
    beside = (left, small.shape[1] * factor - left - width)

    def run(cells: slice) -> None:
        first, last = cells.start * factor - top, cells.stop * factor - top
        rows = slice(max(0, first), min(height, last))
        seen = luma(light.to_linear(pixels[rows]))
        plane = np.asarray(seen * np.clip((seen - np.float32(threshold)) / np.float32(max(1.0 - threshold, 1e-3)), 0.0, 1.0))
        padded = np.pad(plane, ((rows.start - first, last - rows.stop), beside), mode="edge") if factor > 1 else plane
        size = (small.shape[1], cells.stop - cells.start)
        small[cells] = cv2.resize(padded, size, interpolation=cv2.INTER_AREA) if factor > 1 else padded

    for_each_slab((small.shape[0], width * factor), run)
    return small


def _gaussian_blur(plane: Mask, sigma: float) -> Mask:
    import cv2

    side = 2 * int(np.ceil(3.0 * sigma)) + 1
    return np.asarray(cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def grain_change(amount: float, size: float, colour_share: float, seed: int) -> PositionedChange:
    """Film grain: noise with a standard deviation of ``amount`` of full scale in mid-grey, ``size`` of the long side wide.

    By luminance as silver grains cover the paper: their share y has the variance y (1 - y) (Boolean model; Newson, Delon and Galerne,
    "A Stochastic Film Grain Model", 2017), so black and white stay clean. Grain finer than a pixel is averaged by it, as a scan
    would. colour: 0 grey, 1 each channel its own.
    """

    def change(pixels: Pixels, place: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        sigma = size * place.long_side / 2.355
        layers = 4 if colour_share and pixels.shape[2] == 3 else 1
        strength = np.float32(2.0 * amount)
        made = np.empty_like(pixels) if into is None else into

        def run(rows: slice) -> None:
            here = replace(place, top=place.top + rows.start)
            shape = (rows.stop - rows.start, pixels.shape[1])
            noise, *own = (grain_field(shape, here, sigma, (seed, layer))[:, :, None] for layer in range(layers))
            if own:
                noise = np.float32(np.sqrt(1.0 - colour_share)) * noise + np.float32(np.sqrt(colour_share)) * np.concatenate(own, axis=2)
            piece = pixels[rows]
            grey = np.clip(luma(piece), 0.0, 1.0)[:, :, None]
            made[rows] = np.clip(piece + strength * np.sqrt(grey * (1.0 - grey)) * noise, 0.0, 1.0)

        for_each_slab(pixels.shape[:2], run, tick, min_rows=2 * _BAND + 8 * int(np.ceil(_equivalent_blur_sigma(sigma))))
        return made

    return change


def grain_field(shape: tuple[int, ...], position: PiecePosition, sigma: float, seed: tuple[int, int]) -> Mask:
    """Noise (h, w) of one piece of the picture, of grains ``sigma`` px wide; its deviation is 1 where a grain is wider than a pixel.

    A pixel averages what is finer, so that grain on a large picture that is scaled down is the grain of the small one. Drawn for the
    whole width in bands of rows, each from its own seed, so that any piece gets what the whole would have there.
    """
    wide = _equivalent_blur_sigma(sigma)
    margin = int(np.ceil(3.0 * wide))
    first, last = (position.top - margin) // _BAND, (position.top + shape[0] + margin - 1) // _BAND
    drawn = np.empty(((last - first + 1) * _BAND, position.width + 2 * margin), np.float32)
    for number in range(first, last + 1):
        random = np.random.Generator(np.random.SFC64([*seed, number + (1 << 20)]))
        random.standard_normal(out=drawn[(number - first) * _BAND : (number - first + 1) * _BAND], dtype=np.float32)
    top = position.top - margin - first * _BAND
    seen = drawn[top : top + shape[0] + 2 * margin, position.left : position.left + shape[1] + 2 * margin]
    made = _gaussian_blur(np.ascontiguousarray(seen), wide)
    made = made[margin : margin + shape[0], margin : margin + shape[1]]
    return np.ascontiguousarray(made * np.float32(2.0 * sqrt(pi) * sigma))


def _equivalent_blur_sigma(sigma: float) -> float:
    """The width of the blur of white noise from pixel to pixel that has the variance of a finer grain averaged over square pixels.

    Along one side, of grain exp(-x**2 / 2 sigma**2) that is the mean of its autocorrelation over a triangle two pixels wide.
    """
    spread = 2.0 * sigma
    wanted = erf(1.0 / spread) - spread / sqrt(pi) * (1.0 - exp(-1.0 / spread**2))
    low, high = 0.05, sigma + 1.0
    for _ in range(40):
        wide = (low + high) / 2
        kernel = np.exp(-(np.arange(-int(np.ceil(3.0 * wide)), int(np.ceil(3.0 * wide)) + 1) ** 2) / (2 * wide**2))
        low, high = (wide, high) if ((kernel / kernel.sum()) ** 2).sum() > wanted else (low, wide)
    return high
