"""One face laid over another: warped or drawn, lit as the one that was there, faded in from its outline; nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldsmith.ops.face_swap.occlusion import bare
from goldsmith.ops.face_swap.parts import Parts, box_of
from goldsmith.ops.face_swap.points import FACE, Points
from goldsmith.ops.face_swap.tone import relit
from goldsmith.ops.face_swap.warp import Way, affine, drawn, shaped, way
from goldsmith.picture import colour
from goldsmith.picture.light import Light
from goldsmith.picture.matching import grained
from goldsmith.picture.picture import Laid, Mask, Pixels, Plate, quantised

_SAFE = 0.01
"""So far inside the outline nothing is taken yet, as a part of the face's size: there the mesh may lie beside the face."""
_RIM = 0.06
"""So wide is a face's rim, as a part of its size."""


@dataclass(frozen=True, eq=False, slots=True)
class Sitter:
    """A person whose face is wanted: the picture's part that shows it, display-encoded in the target's profile, and its parts there."""

    pixels: Pixels
    parts: Parts
    bare: Mask

    @property
    def hidden(self) -> float:
        """How much of the face something lies before, 0..1."""
        return hidden(self.bare, self.parts)


@dataclass(frozen=True, eq=False, slots=True)
class Offered:
    """A face ready to be laid in: its pixels in the target's box, how far they may be used, where its points lie in the picture, and how
    many px of the source there were for one px."""

    pixels: Pixels
    cover: Mask
    points: Points
    scale: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How to lay in. ``strength`` and ``match`` 0..1; ``feather`` as a part of the face's size."""

    strength: float
    match: float
    feather: float
    seed: int


@dataclass(frozen=True, eq=False, slots=True)
class Swapped:
    """The new pixels of the box, and what was found: how much grain was added, and how many px changed outside the reach (always 0)."""

    laid: Laid
    grain: float
    written: int
    outside: int
    changed: int


def seated(plate: Plate, mesh: Points, target: Plate) -> Sitter:
    """The person in ``plate`` with that mesh, in the profile and channels of ``target``. Cost follows the face, not the picture."""
    box = box_of(mesh, plate.height, plate.width)
    own = mesh - np.array([box.left, box.top], np.float32)
    pixels = as_of(plate.reshaped(plate.window(box.window), lambda mask: mask[box.window]), target)
    height, width = pixels.shape[:2]
    parts = Parts(own, type(box)(0, 0, height, width))
    return Sitter(pixels, parts, bare(pixels, parts, Light(target.icc)))


def as_of(plate: Plate, target: Plate) -> Pixels:
    """The plate's pixels in the profile of ``target``, grey or coloured as that is."""
    made = colour.converted(plate, target.icc or "srgb").pixels
    if target.channels == made.shape[2]:
        return made
    if target.channels == 3:
        return np.repeat(made, 3, axis=2)
    light = colour.luminance(colour.to_linear(made, None))[:, :, None]
    return np.clip(colour.from_linear(np.ascontiguousarray(light), target.icc), 0.0, 1.0)


def warped(sitter: Sitter, target: Parts, own: float, icc: bytes | None) -> Offered:
    """The sitter's face on the target's mesh; ``own`` (0..1): how far its features keep their own shape. In linear light."""
    light = Light(icc)
    onto = shaped(sitter.parts.mesh, target.mesh, own)
    along = way(sitter.parts.mesh, onto, target.box)
    made = drawn(np.concatenate([light.linear(sitter.pixels), sitter.bare[:, :, None]], axis=2), along)
    cover = np.where(along.x > -1, made[:, :, -1], 0).astype(np.float32)
    whole = np.vstack([onto, target.mesh[FACE:]]).astype(np.float32)
    return Offered(light.encoded(np.ascontiguousarray(made[:, :, :-1])), cover, whole, along.scale)


def placed(face: Pixels, corners: Points, target: Parts, channels: int) -> Offered:
    """A face as a net drew it in its square (side, side, 3), whose corners (3, 2) lie so in the picture, brought to the target's box."""
    side = face.shape[0]
    known = np.array([(0, 0), (side, 0), (0, side)], np.float64)
    back = affine(corners.astype(np.float64), known)
    box = target.box
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right] + 0.5
    x, y = (columns * back[0, axis] + rows * back[1, axis] + back[2, axis] - 0.5 for axis in (0, 1))
    scale = float(side / max(np.linalg.norm(corners[1] - corners[0]), 1e-6))
    made = drawn(face, Way(x.astype(np.float32), y.astype(np.float32), scale))
    rim = np.minimum(np.minimum(x, y), side - 1 - np.maximum(x, y)) / max(0.03 * side, 1.0)
    pixels = made if channels == 3 else colour.luma(made)[:, :, None]
    return Offered(pixels, np.clip(rim, 0, 1).astype(np.float32), target.mesh, scale)


def seen(plate: Plate, parts: Parts) -> Mask:
    """How far each pixel of the target's face lies open, (h, w) of its box."""
    return bare(plate.window(parts.box.window), parts, Light(plate.icc))


def hidden(open_: Mask, parts: Parts) -> float:
    """How much of a face something lies before, 0..1, by what lies open of it; its rim, where there is always hair, does not count."""
    well = parts.depth > _RIM * parts.size
    return 0.0 if not well.any() else 1 - float(open_[well].mean())


def laid(plate: Plate, target: Parts, open_: Mask, offered: Offered, manner: Manner, reach: Mask | None) -> Swapped:
    """The face laid into the plate, where both faces lie open; ``reach`` (h, w of the plate) bounds it, and outside not a code changes."""
    ground, light = plate.window(target.box.window), Light(plate.icc)
    offered_parts = Parts(offered.points, target.box)
    both = open_ * offered.cover
    features = np.maximum(target.features, offered_parts.features)
    seen = target.inside * both
    eyes = offered_parts.eyes * seen, target.eyes * seen
    made = relit(offered.pixels, ground, seen * (1 - features), seen * features, light, target.size, manner.match, eyes)
    cover = _faded(target, manner.feather) * both * np.float32(manner.strength)
    cover = cover if reach is None else cover * reach[target.box.window]
    made, grain = grained(made, cover, ground, manner.seed)
    share = cover[:, :, None]
    patch = np.where(share > 0, ground + share * (made - ground), ground).astype(np.float32)
    outside = cover <= 0
    differs = (quantised(patch, plate.depth) != quantised(ground, plate.depth)).any(axis=2)
    total = plate.height * plate.width
    written = int(np.count_nonzero(~outside))
    return Swapped((target.box.window, patch), grain, written, total - written, int(np.count_nonzero(differs & outside)))


def _faded(parts: Parts, feather: float) -> Mask:
    """0 at the outline, 1 so far inside it."""
    rise = np.clip((parts.depth - _SAFE * parts.size) / max(feather * parts.size, 0.5), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)
