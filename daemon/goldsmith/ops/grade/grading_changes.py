"""Tone and colour of display-encoded pixels: ASC CDL, looks, and balance by shadows, midtones and highlights.

All of it is arithmetic of one pixel alone, so ``strips.in_slabs`` can run it over slabs of rows, whatever the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.look_files import Cdl, CubeLut, LutTable, RgbTriple
from goldsmith.picture.colour import REC709_WEIGHTS, luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.slab_processing import PixelChange

# What full temperature or tint adds to one channel and takes from its opposite.
_MAX_CHANNEL_GAIN = 0.35


@dataclass(frozen=True, slots=True)
class ZoneBalance:
    """-1..1 each: temperature (amber +, blue -), tint (magenta +, green -), saturation (-1 = none, +1 = twice)."""

    temperature: float = 0.0
    tint: float = 0.0
    saturation: float = 0.0


def cdl_change(cdl: Cdl) -> PixelChange:
    """The ASC CDL (v1.2, clamping) by OpenColorIO."""
    return _ocio_transform([_ocio_cdl(cdl)])


def look_change(look: CubeLut | Cdl, strength: float) -> PixelChange:
    """The look by OpenColorIO, tables read tetrahedrally, mixed with the picture by ``strength`` 0..1."""
    transforms = [_ocio_cdl(look)] if isinstance(look, Cdl) else [made for table in look.tables for made in _ocio_lut(table)]
    whole = _ocio_transform(transforms)
    if strength >= 1.0:
        return whole

    def mixed(pixels: Pixels) -> Pixels:
        made = whole(pixels.copy())
        made -= pixels
        made *= np.float32(strength)
        made += pixels
        return made

    return mixed


def zone_weights(luma_plane: Mask) -> tuple[Mask, Mask, Mask]:
    """How much each luma value belongs to shadows, midtones and highlights: 0..1 each, their sum is 1.

    Smoothsteps: shadows fall from 1 at black to 0 at half, highlights rise from 0 at half to 1 at white, midtones are the rest.
    """
    shadows = 1.0 - _smoothstep(luma_plane * 2.0)
    highlights = _smoothstep(luma_plane * 2.0 - 1.0)
    return shadows, 1.0 - shadows - highlights, highlights


def zone_balance_change(shadows: ZoneBalance, midtones: ZoneBalance, highlights: ZoneBalance) -> PixelChange:
    """Temperature, tint and saturation by zone; every pixel keeps its luma, and saturation keeps its hue.

    Black stays black and white stays white: temperature and tint run out towards white.
    Where a colour would leave 0..1 it is drawn towards its own grey just as far as it must be, never clipped in one channel.
    """

    def change(pixels: Pixels) -> Pixels:
        grey = luma(pixels)
        dark, _, light = zone_weights(grey)

        def by_zone(low: float, mid: float, high: float) -> Mask:
            made: Mask = dark * np.float32(low - mid) + light * np.float32(high - mid) + np.float32(mid)
            return made

        room = np.float32(_MAX_CHANNEL_GAIN) * (1.0 - np.clip(grey, 0.0, 1.0) ** 4)  # runs out towards white, so that no band shows there
        warm = room * by_zone(*(zone.temperature for zone in (shadows, midtones, highlights)))
        rose = room * by_zone(*(zone.tint for zone in (shadows, midtones, highlights)))
        made: Pixels = pixels * np.stack([1.0 + warm + 0.5 * rose, 1.0 - rose, 1.0 - warm + 0.5 * rose], axis=2)
        made *= (grey / np.maximum(luma(made), np.float32(1e-6)))[:, :, None]
        chroma: Pixels = made - grey[:, :, None]
        chroma *= by_zone(*(1.0 + zone.saturation for zone in (shadows, midtones, highlights)))[:, :, None]
        chroma *= _max_chroma_factor(grey, chroma)[:, :, None]
        chroma += grey[:, :, None]
        np.clip(chroma, 0.0, 1.0, out=chroma)
        return chroma

    return change


def split_tone_change(shadows: RgbTriple | None, highlights: RgbTriple | None, tone_balance: float, amount: float) -> PixelChange:
    """Dark parts towards the hue of one colour, bright parts towards another; every pixel keeps its luma, black and white stay.

    Colours are display-encoded; what counts of one is how far it lies from its own grey. balance: -1..1, above 0 the bright parts'
    colour reaches down further. amount: 0..1 of the colours' own saturation.
    """
    tints = [np.zeros(3) if one is None else np.array(one) - np.dot(one, REC709_WEIGHTS) for one in (shadows, highlights)]
    dark, light = (np.float32(amount) * tint.astype(np.float32) for tint in tints)
    bend = np.float32(2.0**-tone_balance)

    def change(pixels: Pixels) -> Pixels:
        grey = luma(pixels)
        share = _smoothstep(np.clip(grey, 0.0, 1.0) ** bend)[:, :, None]
        room = np.minimum(np.float32(1.0), 6.0 * grey * (1.0 - grey))[:, :, None]
        chroma: Pixels = pixels - grey[:, :, None] + room * (dark * (1.0 - share) + light * share)
        chroma *= _max_chroma_factor(grey, chroma)[:, :, None]
        chroma += grey[:, :, None]
        np.clip(chroma, 0.0, 1.0, out=chroma)
        return chroma

    return change


def _max_chroma_factor(grey: Mask, chroma: Pixels) -> Mask:
    """The largest factor up to 1 at which grey + factor * chroma lies in 0..1 in every channel."""
    tiny = np.float32(1e-9)
    above = (1.0 - grey) / np.maximum(chroma.max(axis=2), tiny)
    below = grey / np.maximum(-chroma.min(axis=2), tiny)
    made: Mask = np.minimum(np.minimum(above, below), np.float32(1.0))
    return made


def _smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = np.clip(values, 0.0, 1.0)
    made: NDArray[np.float32] = inside * inside * (3.0 - 2.0 * inside)
    return made


def _ocio_transform(transforms: list[Any]) -> PixelChange:
    import PyOpenColorIO

    depth = PyOpenColorIO.BIT_DEPTH_F32
    group = PyOpenColorIO.GroupTransform(transforms)
    cpu = PyOpenColorIO.Config.CreateRaw().getProcessor(group).getOptimizedCPUProcessor(depth, depth, PyOpenColorIO.OPTIMIZATION_LOSSLESS)

    def change(pixels: Pixels) -> Pixels:
        cpu.applyRGB(pixels)
        np.clip(pixels, 0.0, 1.0, out=pixels)
        return pixels

    return change


def _ocio_cdl(cdl: Cdl) -> Any:
    import PyOpenColorIO

    made = PyOpenColorIO.CDLTransform(slope=list(cdl.slope), offset=list(cdl.offset), power=list(cdl.power), sat=cdl.saturation)
    made.setStyle(PyOpenColorIO.CDL_ASC)
    return made


def _ocio_lut(table: LutTable) -> list[Any]:
    import PyOpenColorIO

    low, high = np.array(table.domain_min), np.array(table.domain_max)
    made = []
    if low.any() or (high != 1.0).any():
        scale = 1.0 / (high - low)
        made.append(PyOpenColorIO.MatrixTransform(np.diag([*scale, 1.0]).ravel(), [*(-low * scale), 0.0]))
    if table.values.ndim == 2:
        curve = PyOpenColorIO.Lut1DTransform(len(table.values), False)
        curve.setInterpolation(PyOpenColorIO.INTERP_LINEAR)
        curve.setData(np.ascontiguousarray(table.values))
        return [*made, curve]
    solid = PyOpenColorIO.Lut3DTransform(len(table.values))
    solid.setInterpolation(PyOpenColorIO.INTERP_TETRAHEDRAL)
    solid.setData(np.ascontiguousarray(table.values.transpose(2, 1, 0, 3)))  # OCIO counts blue fastest, the file red
    return [*made, solid]
