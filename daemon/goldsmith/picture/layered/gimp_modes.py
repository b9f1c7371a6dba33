"""GIMP's layer modes by their numbers in XCF files: their functions, and whether they work in linear light.

The functions are those of GIMP 2.10, which differ from the published ones for soft light. A file may name the space for each layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from goldsmith.picture.blend_modes import BlendFunction, BlendMode, blend_function
from goldsmith.picture.layered.composing import Blending
from goldsmith.picture.picture import Pixels

PASS_THROUGH = 61
_NORMAL_MODES, _FIRST_NEW_MODE = (0, 28), 23
# Values of the properties for the spaces in which a layer is blended and composited, and for what its alpha does; 0 = the mode's own.
_LINEAR, _PERCEPTUAL = 1, 2
_UNION, _CLIP_TO_BACKDROP = 1, 2


def _soft_light(backdrop: Pixels, layer: Pixels) -> Pixels:
    product = backdrop * layer
    return (1 - backdrop) * product + backdrop * (backdrop + layer - product)


def _add_unbounded(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop + layer


def _subtract_unbounded(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop - layer


def _subtract(backdrop: Pixels, layer: Pixels) -> Pixels:
    return np.asarray(np.maximum(backdrop - layer, np.float32(0)), np.float32)


def _grain_extract(backdrop: Pixels, layer: Pixels) -> Pixels:
    return np.asarray(np.clip(backdrop - layer + np.float32(0.5), 0, 1), np.float32)


def _grain_merge(backdrop: Pixels, layer: Pixels) -> Pixels:
    return np.asarray(np.clip(backdrop + layer - np.float32(0.5), 0, 1), np.float32)


def _grain_extract_unbounded(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop - layer + np.float32(0.5)


def _grain_merge_unbounded(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop + layer - np.float32(0.5)


def _perceptual(function: BlendFunction) -> Blending:
    return Blending(function)


def _linear(function: BlendFunction) -> Blending:
    return Blending(function, is_linear_blend=True, is_linear_composite=True)


def _mixed(function: BlendFunction) -> Blending:
    """Return a mode that is blended in display-encoded values and composited in linear light."""
    return Blending(function, is_linear_composite=True)


_BLENDINGS = {
    0: _perceptual(blend_function("normal")),
    3: _perceptual(np.multiply),
    4: _perceptual(blend_function("screen")),
    5: _perceptual(_soft_light),
    6: _perceptual(blend_function("difference")),
    7: _perceptual(blend_function("add")),
    8: _perceptual(_subtract),
    9: _perceptual(np.minimum),
    10: _perceptual(np.maximum),
    18: _perceptual(blend_function("hard-light")),
    19: _perceptual(_soft_light),
    20: _perceptual(_grain_extract),
    21: _perceptual(_grain_merge),
    23: _mixed(blend_function("overlay")),
    28: _linear(blend_function("normal")),
    30: _linear(np.multiply),
    31: _linear(blend_function("screen")),
    32: _mixed(blend_function("difference")),
    33: _linear(_add_unbounded),
    34: _linear(_subtract_unbounded),
    35: _mixed(np.minimum),
    36: _mixed(np.maximum),
    44: _mixed(blend_function("hard-light")),
    45: _mixed(_soft_light),
    46: _mixed(_grain_extract_unbounded),
    47: _mixed(_grain_merge_unbounded),
}
_BLEND_MODES: dict[int, BlendMode] = {
    0: "normal",
    3: "multiply",
    4: "screen",
    5: "soft-light",
    6: "difference",
    7: "add",
    9: "darken",
    10: "lighten",
    18: "hard-light",
    19: "soft-light",
    23: "overlay",
    28: "normal",
    30: "multiply",
    31: "screen",
    32: "difference",
    33: "add",
    35: "darken",
    36: "lighten",
    44: "hard-light",
    45: "soft-light",
    PASS_THROUGH: "normal",
}
_NAMES = {
    1: "dissolve",
    2: "behind",
    11: "hue (HSV, legacy)",
    12: "saturation (HSV, legacy)",
    13: "colour (HSL, legacy)",
    14: "value (HSV, legacy)",
    15: "divide (legacy)",
    16: "dodge (legacy)",
    17: "burn (legacy)",
    22: "colour erase (legacy)",
    24: "hue (LCh)",
    25: "chroma (LCh)",
    26: "colour (LCh)",
    27: "lightness (LCh)",
    29: "behind",
    37: "hue (HSV)",
    38: "saturation (HSV)",
    39: "colour (HSL)",
    40: "value (HSV)",
    41: "divide",
    42: "dodge",
    43: "burn",
    48: "vivid light",
    49: "pin light",
    50: "linear light",
    51: "hard mix",
    52: "exclusion",
    53: "linear burn",
    54: "luma darken only",
    55: "luma lighten only",
    56: "luminance",
    57: "colour erase",
    58: "erase",
    59: "merge",
    60: "split",
}


def find_blending(mode: int, blend_space: int = 0, composite_space: int = 0, composite_mode: int = 0) -> Blending | None:
    """Return how a layer of this mode is blended, in the spaces that the file names; None if Goldsmith cannot."""
    blending = _BLENDINGS.get(mode)
    if blending is None or max(blend_space, composite_space) > _PERCEPTUAL or composite_mode > _CLIP_TO_BACKDROP:
        return None
    if blend_space:
        blending = replace(blending, is_linear_blend=blend_space == _LINEAR)
    if composite_space:
        blending = replace(blending, is_linear_composite=composite_space == _LINEAR)
    is_union = composite_mode == _UNION if composite_mode else mode in _NORMAL_MODES
    return replace(blending, clips_to_backdrop=not is_union, is_legacy=0 < mode < _FIRST_NEW_MODE)


def nearest_mode(mode: int) -> BlendMode:
    """Return the published mode of the same name; normal if there is none."""
    return _BLEND_MODES.get(mode, "normal")


def mode_name(mode: int) -> str:
    """Return the mode's name for people."""
    return _NAMES.get(mode, f"number {mode}")
