"""Tone and colour of display-encoded pixels: ASC CDL, looks, and balance by shadows, midtones and highlights.

Each change works on single pixels, so ``slab_processing.map_slabs`` can run it over slabs of rows, whatever the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.look_files import Cdl, CubeLut, LutTable, RgbTriple
from goldsmith.picture.colour import REC709_WEIGHTS, luma
from goldsmith.picture.picture import Mask, Pixels, channel_maximum, channel_minimum
from goldsmith.picture.slab_processing import PixelChange
from goldsmith.picture.soft_limits import roll_off
from goldsmith.picture.tonal_ranges import smoothstep, zone_weights

# Share that full temperature or tint adds to one channel and takes from the opposite one.
_MAX_CHANNEL_GAIN = 0.35


@dataclass(frozen=True, slots=True)
class ZoneBalance:
    """Balance of one zone, -1..1 each: temperature (amber +, blue -), tint (magenta +, green -), saturation (-1 none, +1 twice)."""

    temperature: float = 0.0
    tint: float = 0.0
    saturation: float = 0.0


def cdl_change(cdl: Cdl) -> PixelChange:
    """Return the ASC CDL (v1.2, clamping) as a change. One power for all channels is run by OpenCV, which is several times as fast as
    OpenColorIO; powers that differ are run by OpenColorIO.
    """
    power = cdl.power[0]
    if cdl.power != (power,) * 3:
        return _ocio_transform([_ocio_cdl(cdl)])
    slope, offset = np.asarray(cdl.slope, np.float32), np.asarray(cdl.offset, np.float32)
    is_scaled = cdl.slope != (1.0,) * 3 or cdl.offset != (0.0,) * 3
    saturation = None if cdl.saturation == 1.0 else _saturation_matrix(cdl.saturation)

    def change(pixels: Pixels) -> Pixels:
        import cv2

        if is_scaled:
            rows = pixels.reshape(len(pixels), -1)  # numpy is several times as fast with long rows as with three channels
            rows *= np.tile(slope, pixels.shape[1])
            rows += np.tile(offset, pixels.shape[1])
            np.clip(pixels, 0.0, 1.0, out=pixels)
        if power != 1.0:
            values = pixels.reshape(-1)
            cv2.pow(values, power, values)
        if saturation is not None:
            pixels = cv2.transform(pixels, saturation)
            np.clip(pixels, 0.0, 1.0, out=pixels)
        return pixels

    return change


def _saturation_matrix(saturation: float) -> NDArray[np.float32]:
    """Return the matrix (3, 3) that scales the distance from Rec.709 luma (ASC CDL v1.2)."""
    return np.asarray(saturation * np.eye(3) + (1.0 - saturation) * np.tile(REC709_WEIGHTS, (3, 1)), np.float32)


def look_change(look: CubeLut | Cdl, strength: float) -> PixelChange:
    """Return the look as a change, run by OpenColorIO with tetrahedral interpolation and mixed with the picture by ``strength`` 0..1."""
    transforms = [_ocio_cdl(look)] if isinstance(look, Cdl) else [transform for table in look.tables for transform in _ocio_lut(table)]
    full_change = _ocio_transform(transforms)
    if strength >= 1.0:
        return full_change

    def mixed(pixels: Pixels) -> Pixels:
        changed = full_change(pixels.copy())
        changed -= pixels
        changed *= np.float32(strength)
        changed += pixels
        return changed

    return mixed


def zone_balance_change(shadows: ZoneBalance, midtones: ZoneBalance, highlights: ZoneBalance, *, gamut: float = 0.0) -> PixelChange:
    """Return the change of temperature, tint and saturation by zone. Every pixel keeps its luma, and saturation keeps its hue.

    Black stays black and white stays white: temperature and tint fade out towards white.
    A colour that would leave 0..1 moves towards its own grey; no single channel is clipped. ``gamut`` as in ``limit_chroma``.
    """

    def change(pixels: Pixels) -> Pixels:
        grey = luma(pixels)
        dark, _, light = zone_weights(grey)

        def by_zone(low: float, mid: float, high: float) -> Mask:
            weighted: Mask = dark * np.float32(low - mid) + light * np.float32(high - mid) + np.float32(mid)
            return weighted

        gain = np.float32(_MAX_CHANNEL_GAIN) * (1.0 - np.clip(grey, 0.0, 1.0) ** 4)  # fades out towards white, so that no band shows there
        temperature = gain * by_zone(*(zone.temperature for zone in (shadows, midtones, highlights)))
        tint = gain * by_zone(*(zone.tint for zone in (shadows, midtones, highlights)))
        tinted: Pixels = pixels * np.stack([1.0 + temperature + 0.5 * tint, 1.0 - tint, 1.0 - temperature + 0.5 * tint], axis=2)
        tinted *= (grey / np.maximum(luma(tinted), np.float32(1e-6)))[:, :, None]
        chroma: Pixels = tinted - grey[:, :, None]
        chroma *= by_zone(*(1.0 + zone.saturation for zone in (shadows, midtones, highlights)))[:, :, None]
        return limit_chroma(grey, chroma, chroma_share(grey, pixels - grey[:, :, None]), gamut)

    return change


def split_tone_change(shadows: RgbTriple | None, highlights: RgbTriple | None, tone_balance: float, amount: float) -> PixelChange:
    """Return the change of dark parts towards the hue of one colour and of bright parts towards another.

    Every pixel keeps its luma; black and white stay. Colours are display-encoded, 0..1; only their difference from their own grey counts.
    ``tone_balance``: -1..1, above 0 the highlights' colour reaches further down. ``amount``: 0..1 of the colours' own saturation.
    """
    tints = [np.zeros(3) if tint is None else np.array(tint) - np.dot(tint, REC709_WEIGHTS) for tint in (shadows, highlights)]
    dark, light = (np.float32(amount) * tint.astype(np.float32) for tint in tints)
    bend = np.float32(2.0**-tone_balance)

    def change(pixels: Pixels) -> Pixels:
        grey = luma(pixels)
        share = smoothstep(np.clip(grey, 0.0, 1.0) ** bend)[:, :, None]
        room = np.minimum(np.float32(1.0), 6.0 * grey * (1.0 - grey))[:, :, None]
        chroma: Pixels = pixels - grey[:, :, None] + room * (dark * (1.0 - share) + light * share)
        return limit_chroma(grey, chroma)

    return change


def chroma_share(grey: Mask, chroma: Pixels) -> Mask:
    """Return how much of the room between its grey and the edge of 0..1 each chroma (h, w, 3) takes: (h, w), above 1 outside."""
    tiny = np.float32(1e-6)
    above, below = channel_maximum(chroma) / np.maximum(np.float32(1) - grey, tiny), -channel_minimum(chroma) / np.maximum(grey, tiny)
    return np.asarray(np.maximum(above, below), np.float32)


def limit_chroma(grey: Mask, chroma: Pixels, share_before: Mask | None = None, gamut: float = 0.0) -> Pixels:
    """Return grey + chroma (h, w, 3), 0..1, display-encoded, with the chroma reduced where it would leave 0..1; the hue stays.

    ``gamut``: 0..1 of the room of each grey, at its edge, into which growing colours are compressed, so that they keep their differences;
    0 stops them at the edge. ``share_before`` (h, w): the share of the room that the colours took before; colours that did not grow stay.
    """
    share = chroma_share(grey, chroma)
    before = np.float32(1.0) if share_before is None else np.maximum(share_before, np.float32(1e-6))
    limited = roll_off(share, 1.0 - gamut, share / before)
    result: Pixels = np.asarray(chroma * (limited / np.maximum(share, np.float32(1e-6)))[:, :, None], np.float32)
    result += grey[:, :, None]
    np.clip(result, 0.0, 1.0, out=result)
    return result


def _ocio_transform(transforms: list[Any]) -> PixelChange:
    """Return OpenColorIO's transforms as one change that clips to 0..1."""
    import PyOpenColorIO

    depth = PyOpenColorIO.BIT_DEPTH_F32
    group = PyOpenColorIO.GroupTransform(transforms)
    cpu = PyOpenColorIO.Config.CreateRaw().getProcessor(group).getOptimizedCPUProcessor(depth, depth, PyOpenColorIO.OPTIMIZATION_LOSSLESS)

    def change(pixels: Pixels) -> Pixels:
        import cv2

        rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        cpu.applyRGBA(rgba)  # the same values as applyRGB, which takes ten times as long
        cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, dst=pixels)
        return np.clip(pixels, 0.0, 1.0, out=pixels)

    return change


def _ocio_cdl(cdl: Cdl) -> Any:
    """Return a CDL as an OpenColorIO transform."""
    import PyOpenColorIO

    transform = PyOpenColorIO.CDLTransform(slope=list(cdl.slope), offset=list(cdl.offset), power=list(cdl.power), sat=cdl.saturation)
    transform.setStyle(PyOpenColorIO.CDL_ASC)
    return transform


def _ocio_lut(table: LutTable) -> list[Any]:
    """Return a table as OpenColorIO transforms: the scaling of its domain if it needs one, then the table."""
    import PyOpenColorIO

    low, high = np.array(table.domain_min), np.array(table.domain_max)
    transforms = []
    if low.any() or (high != 1.0).any():
        scale = 1.0 / (high - low)
        transforms.append(PyOpenColorIO.MatrixTransform(np.diag([*scale, 1.0]).ravel(), [*(-low * scale), 0.0]))
    if table.values.ndim == 2:
        curve = PyOpenColorIO.Lut1DTransform(len(table.values), False)
        curve.setInterpolation(PyOpenColorIO.INTERP_LINEAR)
        curve.setData(np.ascontiguousarray(table.values))
        return [*transforms, curve]
    cube = PyOpenColorIO.Lut3DTransform(len(table.values))
    cube.setInterpolation(PyOpenColorIO.INTERP_TETRAHEDRAL)
    cube.setData(np.ascontiguousarray(table.values.transpose(2, 1, 0, 3)))  # in OCIO blue varies fastest, in the file red does
    return [*transforms, cube]
