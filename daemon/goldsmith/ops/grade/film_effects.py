"""Effects of lens and film on a picture as a whole: halation, vignette, grain. Each takes the position of its piece in the picture.

A part of a picture, or a picture cut into slabs, therefore gets the same pixels as the whole picture. All lengths are shares of the
picture, so the look does not depend on its size.
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
from goldsmith.picture.row_slabs import for_each_slab
from goldsmith.picture.slab_processing import OnProgress, map_slabs_with_row

# The faint outer part of a halo: its width relative to the inner part, and its share of the light.
_SKIRT_WIDTH, _SKIRT_SHARE = 2.5, 0.35
# px. A wider blur is computed on a smaller plane, where it has this width.
_MAX_BLUR_PX = 4.0
# Rows of noise that share one seed.
_BAND = 64


@dataclass(frozen=True, slots=True)
class PiecePosition:
    """Position of a piece: its first row and column, and the size of the whole picture, in px."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def from_window(cls, window: Window, pixels: Pixels) -> PiecePosition:
        """Return the position of a window in pixels (h, w, c), 0..1."""
        rows, columns = window
        return cls(rows.start, columns.start, pixels.shape[0], pixels.shape[1])

    @property
    def long_side(self) -> int:
        """Long side of the whole picture, in px."""
        return max(self.height, self.width)


class PositionedChange(Protocol):
    """A change to the pixels (h, w, c), 0..1, of a piece that depends on its position; ``tick`` is called with the progress.

    ``into`` is the array that takes the result; it may be ``pixels`` itself if no other code holds it. Without ``into``, the result is a
    new array.
    """

    def __call__(self, pixels: Pixels, position: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels: ...


def vignette_change(light: LinearLight, amount: float, radius: float, softness: float, roundness: float) -> PositionedChange:
    """Return the change that reduces light towards the corners to 1 - ``amount``, in linear light; a negative amount brightens them.

    ``radius`` is the position of the fall-off and ``softness`` its width, as shares (0..1) of the way from the centre to the corner.
    ``roundness``: 0 follows the picture's shape, 1 is a circle.
    """
    inner, outer = radius * (1.0 - softness), radius + max(softness, 0.01) * (1.0 - radius) + 1e-6

    def change(pixels: Pixels, position: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        across, down = _ellipse_half_axes(position, roundness)
        columns = ((np.arange(pixels.shape[1], dtype=np.float32) + position.left + 0.5 - position.width / 2) / across) ** 2

        def slab(piece: Pixels, top: int) -> Pixels:
            rows = ((np.arange(len(piece), dtype=np.float32) + position.top + top + 0.5 - position.height / 2) / down) ** 2
            fraction = (np.sqrt(rows[:, None] + columns[None, :]) - np.float32(inner)) / np.float32(outer - inner)
            np.clip(fraction, 0.0, 1.0, out=fraction)
            gain = 1.0 - np.float32(amount) * fraction * fraction * (3.0 - 2.0 * fraction)
            return light.from_linear(light.to_linear(piece) * gain[:, :, None].astype(np.float32))

        return map_slabs_with_row(pixels, slab, tick, out=into)

    return change


def _ellipse_half_axes(position: PiecePosition, roundness: float) -> tuple[float, float]:
    """Return the half-axes in px of the ellipse, circle or intermediate shape that passes through the corners."""
    half = np.array([position.width / 2, position.height / 2])
    axes = (1.0 - roundness) * half * np.sqrt(2.0) + roundness * np.hypot(*half)
    axes *= np.hypot(*(half / axes))
    return float(axes[0]), float(axes[1])


def halation_margin(radius: float, long_side: int) -> int:
    """Return how far light spreads, in px: the context that a piece needs."""
    return int(np.ceil(3.0 * _SKIRT_WIDTH * radius * long_side)) + 2 * _downscale_factor(radius * long_side)


def _downscale_factor(sigma: float) -> int:
    """Return the factor by which a plane is reduced before a blur of ``sigma`` px."""
    return max(1, int(sigma / _MAX_BLUR_PX))


def halation_change(light: LinearLight, amount: float, threshold: float, radius: float, tint: RgbTriple) -> PositionedChange:
    """Return the change by which light above ``threshold`` (display value 0..1) spreads, in the colour ``tint`` (display-encoded).

    In linear light, and limited by the light already there: out = in + glow * (1 - in). ``radius`` is a share of the long side.
    """
    floor = float(light.linearise_colour((threshold,) * 3).mean())
    colour = (light.linearise_colour(tint) * amount).astype(np.float32)

    def change(pixels: Pixels, position: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        glow = _blurred_highlights(light, pixels, position, floor, radius * position.long_side)

        def slab(piece: Pixels, top: int) -> Pixels:
            linear = light.to_linear(piece)
            returned = glow[top : top + len(piece), :, None] * colour[: linear.shape[2]]
            np.minimum(returned, np.float32(1.0), out=returned)
            return light.from_linear(linear + returned * (1.0 - linear))

        return map_slabs_with_row(pixels, slab, tick, out=into)

    return change


def _blurred_highlights(light: LinearLight, pixels: Pixels, position: PiecePosition, threshold: float, sigma: float) -> Mask:
    """Return the spread light (h, w), 0..1, above ``threshold``, blurred on a smaller plane whose cells are those of the whole picture."""
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
    """Return the light above ``threshold``, one value 0..1 for each cell of ``factor`` px of the whole picture that the piece touches."""
    import cv2

    height, width = pixels.shape[:2]
    top, left = position.top % factor, position.left % factor
    small = np.empty((-(-(top + height) // factor), -(-(left + width) // factor)), np.float32)
    side_padding = (left, small.shape[1] * factor - left - width)

    def run(cells: slice) -> None:
        first, last = cells.start * factor - top, cells.stop * factor - top
        rows = slice(max(0, first), min(height, last))
        brightness = luma(light.to_linear(pixels[rows]))
        plane = np.asarray(brightness * np.clip((brightness - np.float32(threshold)) / np.float32(max(1.0 - threshold, 1e-3)), 0.0, 1.0))
        padded = np.pad(plane, ((rows.start - first, last - rows.stop), side_padding), mode="edge") if factor > 1 else plane
        size = (small.shape[1], cells.stop - cells.start)
        small[cells] = cv2.resize(padded, size, interpolation=cv2.INTER_AREA) if factor > 1 else padded

    for_each_slab((small.shape[0], width * factor), run)
    return small


def _gaussian_blur(plane: Mask, sigma: float) -> Mask:
    """Return the plane (h, w) after a Gaussian blur of ``sigma`` px, with its border repeated."""
    import cv2

    side = 2 * int(np.ceil(3.0 * sigma)) + 1
    return np.asarray(cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def grain_change(amount: float, size: float, colour_share: float, seed: int) -> PositionedChange:
    """Return the change that adds film grain with a standard deviation of ``amount`` of full scale in mid-grey.

    A grain is ``size`` of the long side wide. Strength depends on luminance as silver grains cover the paper: their share y has the
    variance y (1 - y) (Boolean model; Newson, Delon and Galerne, "A Stochastic Film Grain Model", 2017), so black and white stay clean.
    Each pixel averages the grain that is finer than itself, as in a scan. ``colour_share``: 0 is grey, 1 gives each channel its own grain.
    """

    def change(pixels: Pixels, position: PiecePosition, tick: OnProgress, *, into: Pixels | None = None) -> Pixels:
        sigma = size * position.long_side / 2.355
        layers = 4 if colour_share and pixels.shape[2] == 3 else 1
        strength = np.float32(2.0 * amount)
        result = np.empty_like(pixels) if into is None else into

        def run(rows: slice) -> None:
            slab_position = replace(position, top=position.top + rows.start)
            shape = (rows.stop - rows.start, pixels.shape[1])
            noise, *channel_noise = (grain_field(shape, slab_position, sigma, (seed, layer))[:, :, None] for layer in range(layers))
            if channel_noise:
                noise = np.float32(np.sqrt(1.0 - colour_share)) * noise + np.float32(np.sqrt(colour_share)) * np.concatenate(
                    channel_noise, axis=2
                )
            piece = pixels[rows]
            grey = np.clip(luma(piece), 0.0, 1.0)[:, :, None]
            result[rows] = np.clip(piece + strength * np.sqrt(grey * (1.0 - grey)) * noise, 0.0, 1.0)

        for_each_slab(pixels.shape[:2], run, tick, min_rows=2 * _BAND + 8 * int(np.ceil(_equivalent_blur_sigma(sigma))))
        return result

    return change


def grain_field(shape: tuple[int, ...], position: PiecePosition, sigma: float, seed: tuple[int, int]) -> Mask:
    """Return noise (h, w) of one piece of the picture, of grains ``sigma`` px wide; unbounded, deviation 1 for grains wider than a pixel.

    A pixel averages finer grain, so that a large picture scaled down has the grain of the small one. Noise is drawn for the whole width
    in bands of rows, each with its own seed, so that a piece has the same noise as the whole picture.
    """
    blur_sigma = _equivalent_blur_sigma(sigma)
    margin = int(np.ceil(3.0 * blur_sigma))
    first, last = (position.top - margin) // _BAND, (position.top + shape[0] + margin - 1) // _BAND
    noise = np.empty(((last - first + 1) * _BAND, position.width + 2 * margin), np.float32)
    for band in range(first, last + 1):
        random = np.random.Generator(np.random.SFC64([*seed, band + (1 << 20)]))
        random.standard_normal(out=noise[(band - first) * _BAND : (band - first + 1) * _BAND], dtype=np.float32)
    top = position.top - margin - first * _BAND
    cropped = noise[top : top + shape[0] + 2 * margin, position.left : position.left + shape[1] + 2 * margin]
    blurred = _gaussian_blur(np.ascontiguousarray(cropped), blur_sigma)
    blurred = blurred[margin : margin + shape[0], margin : margin + shape[1]]
    return np.ascontiguousarray(blurred * np.float32(2.0 * sqrt(pi) * sigma))


def _equivalent_blur_sigma(sigma: float) -> float:
    """Return the sigma at which blurred white noise has the variance of finer grain averaged over square pixels.

    Along one side, for grain exp(-x**2 / 2 sigma**2), that variance is the mean of its autocorrelation over a triangle two pixels wide.
    """
    spread = 2.0 * sigma
    target = erf(1.0 / spread) - spread / sqrt(pi) * (1.0 - exp(-1.0 / spread**2))
    low, high = 0.05, sigma + 1.0
    for _ in range(40):
        middle = (low + high) / 2
        kernel = np.exp(-(np.arange(-int(np.ceil(3.0 * middle)), int(np.ceil(3.0 * middle)) + 1) ** 2) / (2 * middle**2))
        low, high = (middle, high) if ((kernel / kernel.sum()) ** 2).sum() > target else (low, middle)
    return high
