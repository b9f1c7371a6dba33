"""Take noise out and leave edges and texture in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from goldsmith.operation import Bench, Needs, PlateOperation, Where, region_needs
from goldsmith.plate.colour import REC709, luma
from goldsmith.plate.craft.assess import noise
from goldsmith.plate.craft.strips import in_strips, through_mask
from goldsmith.plate.plate import Mask, Pixels, Plate

_TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16
_SCALE_NOISE = (0.8891, 0.2001, 0.0855, 0.0412)
"""Standard deviation that noise of 1 leaves in each scale of the B3 transform (Starck and Murtagh 1998)."""
_WINDOW = 7
_MARGIN = 2 * sum(2**scale for scale in range(len(_SCALE_NOISE))) + _WINDOW
_KR, _KG, _KB = REC709


class Denoise(PlateOperation):
    """Remove noise from brightness and colour separately, as much as was measured to be there.

    A picture in which no noise is measured stays as it is.
    """

    luma: float = Field(default=40, ge=0, le=100)
    """Strength on brightness (0 to 100; 50 takes out just what was measured, 0 none)."""
    colour: float = Field(default=60, ge=0, le=100)
    """Strength on colour (0 to 100; 50 takes out just what was measured, 0 none)."""
    where: Where = ""
    """The region to clean: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    def needs(self) -> Needs:
        return region_needs(self.where)

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate without its noise; the plate itself where both strengths are 0 or no noise is measured."""
        if self.luma == 0 and (self.colour == 0 or plate.channels == 1):
            return plate
        grey, *colours = _planes(plate.pixels)
        sigmas = [noise(grey), *(noise(plane + 0.5) for plane in colours)]
        bench.record(noise_luma=round(100 * sigmas[0], 3), noise_colour=round(100 * max(sigmas[1:], default=0.0), 3))
        strengths = (self.luma, self.colour, self.colour)[: plate.channels]
        aims = [sigma * strength / 50 for sigma, strength in zip(sigmas, strengths, strict=True)]
        if max(aims) < 0.02 / 255:
            return plate
        mask = bench.region(self.where, plate) if self.where else None

        def cleaned(pixels: Pixels) -> Pixels:
            return in_strips(pixels, lambda strip: _cleaned(strip, aims), _MARGIN, bench.progress)

        made = through_mask(plate.pixels, mask, cleaned, _MARGIN)
        return plate if made is None else plate.with_pixels(made)


def _cleaned(pixels: Pixels, sigmas: list[float]) -> Pixels:
    planes = [shrunk(plane, sigma) if sigma else plane for plane, sigma in zip(_planes(pixels), sigmas, strict=True)]
    if len(planes) == 1:
        made = planes[0][:, :, None]
        return np.clip(made, 0.0, 1.0, out=made)
    grey, blue, red = planes
    red *= np.float32(2 * (1 - _KR))
    blue *= np.float32(2 * (1 - _KB))
    green = (grey - np.float32(_KR) * (grey + red) - np.float32(_KB) * (grey + blue)) / np.float32(_KG)
    made = np.stack([grey + red, green, grey + blue], axis=2)
    return np.clip(made, 0.0, 1.0, out=made)


def _planes(pixels: Pixels) -> list[NDArray[np.float32]]:
    """Y', Cb, Cr (Rec.709) of RGB, each its own (h, w) array; a grey picture's only plane."""
    if pixels.shape[2] == 1:
        return [np.ascontiguousarray(pixels[:, :, 0])]
    grey = luma(pixels)
    blue = (pixels[:, :, 2] - grey) * np.float32(0.5 / (1 - _KB))
    red = (pixels[:, :, 0] - grey) * np.float32(0.5 / (1 - _KR))
    return [grey, blue, red]


def shrunk(plane: Mask, sigma: float) -> Mask:
    """A plane (h, w) with noise of standard deviation ``sigma`` taken out.

    The undecimated B3 wavelet transform ("à trous"), each coefficient weighed by the local Wiener rule of Mıhçak et al., "Low-
    Complexity Image Denoising Based on Statistical Modeling of Wavelet Coefficients" (IEEE SPL 1999): all float, no blocks.
    """
    import cv2

    made, rest = np.zeros_like(plane), plane
    for scale, share in enumerate(_SCALE_NOISE):
        taps = np.zeros(4 * 2**scale + 1, np.float32)
        taps[:: 2**scale] = _TAPS
        smoother = cv2.sepFilter2D(rest, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)
        detail = rest - smoother
        power = cv2.blur(detail * detail, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
        made += detail * (np.maximum(power - np.float32((sigma * share) ** 2), 0.0) / (power + np.float32(1e-12)))
        rest = smoother
    made += rest
    return made
