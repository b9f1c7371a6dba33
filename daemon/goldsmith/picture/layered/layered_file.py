"""The records of a file with layers: what its readers return, and what its writers take.

Values are integer codes as in the file: uint8 at 8 bits, uint16 at 16 bits. They lie in the colour space of the file's profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from goldsmith.picture.blend_modes import BlendMode
from goldsmith.picture.picture import PixelCodes, Window

# Layers and groups of one file; a retoucher's file has some dozens. More are refused before they are decoded.
MAX_LAYERS = 2000
# Groups inside each other. Photoshop allows 10, GIMP and Krita have no limit.
MAX_GROUP_DEPTH = 64


class LayerBox(NamedTuple):
    """A box in px of the canvas; it may lie partly or completely outside. ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """Its pixels; 0 if it is empty or inside out."""
        return max(0, self.width) * max(0, self.height)

    def intersect(self, other: LayerBox) -> LayerBox | None:
        """Return the box that both have in common, or None."""
        box = LayerBox(max(self.left, other.left), max(self.top, other.top), min(self.right, other.right), min(self.bottom, other.bottom))
        return box if box.width > 0 and box.height > 0 else None

    def union(self, other: LayerBox) -> LayerBox:
        """Return the smallest box that holds both."""
        return LayerBox(min(self.left, other.left), min(self.top, other.top), max(self.right, other.right), max(self.bottom, other.bottom))

    def window_in(self, outer: LayerBox) -> Window:
        """Return the box as an index into an array of ``outer``, which contains it."""
        return slice(self.top - outer.top, self.bottom - outer.top), slice(self.left - outer.left, self.right - outer.left)


@dataclass(frozen=True, slots=True, eq=False)
class LayerMask:
    """The mask of a layer or of a group.

    codes:        (h, w) of ``box``; 0 = hidden.
    outside_code: the code everywhere outside the box.
    is_enabled:   False if the person has switched it off.
    """

    box: LayerBox
    codes: PixelCodes
    outside_code: int = 0
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LayerGroup:
    """A group of layers. All layers of one group share one object: two groups may have the same name.

    blend_mode: of the group as a whole; None = it passes through: its layers blend with what lies below the group.
    """

    name: str
    opacity: float = 1.0
    blend_mode: BlendMode | None = None
    is_visible: bool = True
    mask: LayerMask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileLayer:
    """One layer with pixels.

    name:       as the person reads it, without the NUL that Krita adds.
    box:        its place on the canvas.
    pixels:     colours, (h, w, 1 or 3) of ``box``, straight (not premultiplied).
    alpha:      (h, w) of ``box``; None = opaque.
    opacity:    0..1.
    is_visible: the layer's own eye; a group around it may hide it all the same (``is_shown``).
    groups:     the groups around it, the outermost first.
    mask:       a second alpha, which the person can edit by itself.
    is_clipped: it is shown only inside the layer below it.
    """

    name: str
    box: LayerBox
    pixels: PixelCodes
    alpha: PixelCodes | None = None
    opacity: float = 1.0
    blend_mode: BlendMode = "normal"
    is_visible: bool = True
    groups: tuple[LayerGroup, ...] = ()
    mask: LayerMask | None = None
    is_clipped: bool = False

    @property
    def group_path(self) -> tuple[str, ...]:
        """The names of the groups around it, the outermost first."""
        return tuple(group.name for group in self.groups)

    @property
    def is_shown(self) -> bool:
        """True if neither its own eye nor that of a group around it is closed."""
        return self.is_visible and all(group.is_visible for group in self.groups)


@dataclass(frozen=True, slots=True, eq=False)
class SavedChannel:
    """A selection that was saved with the file (an alpha channel in Photoshop's and GIMP's words): (h, w) of the canvas."""

    name: str
    codes: PixelCodes


@dataclass(frozen=True, slots=True, eq=False)
class LayeredFile:
    """A file with layers.

    width, height: of the canvas in px.
    depth:         bits per channel, 8 or 16; all codes in the file have it.
    channels:      of colour: 1 or 3.
    layers:        the lowest first.
    merge:         the flat picture as the file stores it, (h, w, channels), alpha last if there is one; None = the file has none.
    saved_channels: the saved selections.
    icc, ppi, xmp, exif, iptc: as in a picture.
    notes:         about everything that is not kept in these records, each completing "it …" or "its …".
    """

    width: int
    height: int
    depth: int
    channels: int
    layers: tuple[FileLayer, ...] = ()
    merge: PixelCodes | None = None
    saved_channels: tuple[SavedChannel, ...] = ()
    icc: bytes | None = None
    ppi: tuple[float, float] | None = None
    xmp: bytes | None = None
    exif: bytes | None = None
    iptc: bytes | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def max_code(self) -> int:
        """The code that means 1.0: 255 or 65535."""
        return int(2**self.depth - 1)
