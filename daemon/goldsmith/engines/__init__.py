"""Models behind small protocols. Callers ask an engine's descriptor what it can do, never its name.

This package is the only one that imports torch, diffusers, onnxruntime or cv2.dnn, and it imports them late: reading
descriptors costs nothing, so the watcher and the command line stay small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from goldsmith.plate.plate import Mask, Pixels

EngineKind = Literal["inpaint", "upscale"]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an engine says of itself; copied into every manifest.

    name:      its name in config/models.toml.
    kind:      what it is for.
    scale:     enlargement of its output over its input (1 for inpainting).
    side:      the side in px of the square it works at (inpaint: crop scaled to fit; upscale: tile), 0 = any size.
    pad:       px of context an upscaling tile needs at each side so that no seam shows.
    multiple:  sides must be multiples of this.
    lane:      where it is best run.
    licence:   SPDX name of its weights' or code's licence.
    weights:   (file name, sha256) of each weights file in use; empty for weight-free engines.
    device:    device and precision in use, e.g. "cpu float32".
    """

    name: str
    kind: EngineKind
    licence: str
    scale: int = 1
    side: int = 0
    pad: int = 0
    multiple: int = 1
    lane: Literal["cpu", "gpu"] = "cpu"
    weights: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    revision: str = ""


class Inpainter(Protocol):
    """Fills holes."""

    @property
    def descriptor(self) -> Descriptor: ...

    def fill(self, pixels: Pixels, hole: Mask, seed: int) -> Pixels:
        """``pixels`` with every pixel where ``hole`` > 0.5 made new from its surroundings; same size.

        pixels: float32 (h, w, 3) sRGB-like display-encoded 0..1; hole: float32 (h, w). Sides are as the descriptor asks.
        What comes back outside the hole is not to be relied on: the caller composites.
        """


class Upscaler(Protocol):
    """Enlarges by a fixed whole factor."""

    @property
    def descriptor(self) -> Descriptor: ...

    def enlarge(self, tile: Pixels) -> Pixels:
        """float32 (h, w, 3) display-encoded 0..1 -> float32 (h * scale, w * scale, 3). Sides are as the descriptor asks."""
