"""Turn HDR values (ITU-R BT.2100: PQ and HLG) into display-encoded values for an ordinary screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour_codes import HdrTransfer
from goldsmith.picture.curves import SRGB_TRC
from goldsmith.picture.picture import Pixels
from goldsmith.picture.slab_processing import map_slabs

Float64Array = NDArray[np.float64]

# BT.2100-2, table 4: the constants of PQ, and its largest light in cd/m2.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK = 10_000.0
# BT.2100-2, table 5: the constants of HLG; its system gamma for a screen of 1000 cd/m2, and the weights of luminance of BT.2020.
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 1 - 4 * 0.17883277, 0.5 - 0.17883277 * np.log(4 * 0.17883277)
_HLG_GAMMA, _HLG_PEAK = 1.2, 1000.0
_BT2020_WEIGHTS = np.array([0.2627, 0.6780, 0.0593])
# BT.2408-7, 2.1: the light of HDR reference white, cd/m2. It is the brightest light of the result.
REFERENCE_WHITE = 203.0
# Of the values in order: the few brightest pixels, which may be noise, do not decide how dark the rest becomes.
_PEAK_QUANTILE = 0.9999
# Pixels from which the peak is measured, about.
_PEAK_SAMPLES = 1 << 21


def tone_map(pixels: Pixels, transfer: HdrTransfer) -> Pixels:
    """Return HDR values (h, w, 1 or 3), 0..1, as display-encoded values, 0..1, with the same primaries and the curve of sRGB.

    The light is compressed by the EETF of ITU-R BT.2390-11, 5.4.1, from the peak of this picture to reference white (203 cd/m2), which
    becomes 1.0. All channels of a pixel get the factor of its largest, so that hues stay.
    """
    stride = max(1, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / _PEAK_SAMPLES)))
    sample = pixels[::stride, ::stride].astype(np.float64)
    peak = float(np.quantile(hdr_to_light(sample, transfer).max(axis=2), _PEAK_QUANTILE))

    def change(slab: Pixels) -> Pixels:
        light = hdr_to_light(slab.astype(np.float64), transfer)
        brightest = light.max(axis=2, keepdims=True)
        mapped = light * (compress_light(brightest, peak) / np.maximum(brightest, 1e-6)) / REFERENCE_WHITE
        return np.clip(SRGB_TRC.from_linear(np.clip(mapped, 0.0, 1.0).astype(np.float32)), 0.0, 1.0)

    return map_slabs(pixels, change)


def hdr_to_light(values: Float64Array, transfer: HdrTransfer) -> Float64Array:
    """Return the light in cd/m2 of HDR values (h, w, 1 or 3), 0..1, on a screen: of 1000 cd/m2 for HLG."""
    if transfer == "PQ":
        return _pq_to_light(values)
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    luminance = scene if scene.shape[2] == 1 else (scene @ _BT2020_WEIGHTS)[:, :, None]
    return np.asarray(_HLG_PEAK * np.maximum(luminance, 0) ** (_HLG_GAMMA - 1) * scene)


def compress_light(light: Float64Array, peak: float) -> Float64Array:
    """Return light in cd/m2, of any shape (n, ...), compressed from 0..``peak`` to 0..203: the EETF of BT.2390-11, 5.4.1, without a black
    lift. Light up to 203 cd/m2 stays if nothing is brighter.
    """
    source_peak, white = _light_to_pq(np.array([peak, REFERENCE_WHITE])).tolist()
    target = white / max(source_peak, 1e-6)
    if target >= 1:
        return np.minimum(light, REFERENCE_WHITE)
    e1 = np.clip(_light_to_pq(light) / source_peak, 0, 1)
    knee = 1.5 * target - 0.5
    t = (e1 - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * target
    return _pq_to_light(np.where(e1 < knee, e1, spline) * source_peak)


def _pq_to_light(values: Float64Array) -> Float64Array:
    power = np.maximum(values, 0) ** (1 / _M2)
    return np.asarray(_PQ_PEAK * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _light_to_pq(light: Float64Array) -> Float64Array:
    power = (np.maximum(light, 0) / _PQ_PEAK) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)
