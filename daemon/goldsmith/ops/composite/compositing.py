"""A comp under work: what a layer may say of itself, and the plate while one layer after the other is laid over it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from goldsmith.operation import Bench, Finding, Where, bare_name
from goldsmith.ops.composite import blend, elements
from goldsmith.picture import colour, matching, placing
from goldsmith.picture.dither import dithered
from goldsmith.picture.fitting import Anchor, Size
from goldsmith.picture.picture import Mask, Pixels, Plate, Window, frozen

_PERCENT = re.compile(r"-?\d{1,4}(\.\d{1,4})?%")
_SWATCH = re.compile(r"#[0-9a-fA-F]{6}")


def _share(value: str) -> str:
    if not _PERCENT.fullmatch(value):
        raise ValueError('write px as a number, 12, or a share of the picture as a text, "5%"')
    return value


def _swatch(value: str) -> str:
    if value and not _SWATCH.fullmatch(value):
        raise ValueError('a colour is written as "#rrggbb", such as "#ff8800"')
    return value


def _side(value: str) -> str:
    if float(_share(value)[:-1]) <= 0:
        raise ValueError("a side must be more than 0")
    return value


_Way = Annotated[float, Field(strict=True, ge=-30000, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_share)]
_Side = Annotated[int, Field(strict=True, ge=1, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_side)]
_FALLS = {"rain": 8.0, "snow": 5.0, "embers": 6.0}
_MODES: dict[str, blend.Mode] = {"dust": "screen", "rain": "screen", "embers": "add"}
_COLOURS = {"dust": "#fff1d6", "rain": "#dfe8f0", "snow": "#ffffff", "embers": "#ff7a1f"}
_TOWARDS = {"top": 0.0, "right": 90.0, "bottom": 180.0, "left": 270.0}


class Layer(BaseModel):
    """One layer of a comp: a picture by its name, or an element that is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, serialize_by_alias=True)

    source: str = Field(default="", alias="from", max_length=200)
    """A picture by its name: hero.layer.NAME.png beside the picture, or NAME in library/plates/ or library/logos/."""
    element: elements.Kind | None = None
    """In place of a picture an element that is drawn: dust, rain, snow, embers or haze."""
    mode: blend.Mode | None = None
    """How it blends with what lies below; an element's own way where it is left out, normal for pictures."""
    opacity: float = Field(default=1.0, ge=0, le=1)
    """How much of it is laid (0 to 1)."""
    mask: Where = ""
    """The region of the plate in which it shows: a mask's name or an expression; everywhere where it is empty."""
    clip: bool = False
    """Show it only inside the layer below it, as a clipping mask does."""
    anchor: Anchor = "center"
    """Which of nine points of the layer lies on the same point of the plate."""
    offset: tuple[_Way, _Way] = (0.0, 0.0)
    """How far from there, right and down, in px or as "5%" of the plate's width and height."""
    fit: placing.Fit = "none"
    """none: its own size; contain: as large as fits into the plate (or `size`); cover: so large that it fills it."""
    size: tuple[_Side, _Side] | None = None
    """The box it is fitted into, in px or as "30%" of the plate's width and height."""
    scale: float = Field(default=1.0, ge=0.001, le=100)
    """Factor for its size on top of that; for an element, of its parts (0.001 to 100; elements 0.1 to 10)."""
    rotation: float = Field(default=0.0, ge=-360, le=360)
    """Degrees clockwise about its middle (-360 to 360)."""
    wrap: float = Field(default=0.0, ge=0, le=1)
    """Light wrap: how strongly the plate's light runs over the layer's edge (0 to 1)."""
    wrap_radius: float = Field(default=1.5, gt=0, le=20)
    """How far in it runs, in per cent of the plate's shorter side (up to 20)."""
    tone: float = Field(default=0.0, ge=0, le=1)
    """How far the layer's tone and colour are brought to those of the plate behind it (0 to 1)."""
    grain: bool = False
    """Add as much grain to the layer as the plate has and it lacks."""
    density: float = Field(default=1.0, ge=0, le=4)
    """Elements: how much of it (0 to 4)."""
    angle: float | None = Field(default=None, ge=-85, le=85)
    """Rain, snow and embers: degrees by which fall or rise lean to the right (-85 to 85)."""
    gradient: Literal["top", "right", "bottom", "left"] | Annotated[float, Field(ge=-360, le=360)] | None = None
    """Haze: where it is thickest, as a side or in degrees clockwise from the top; "top" where nothing is said."""
    depth: Where = ""
    """Haze: a region that stands for the distance in place of a gradient, such as "background"."""
    colour: Annotated[str, AfterValidator(_swatch)] = Field(default="", max_length=7)
    """Elements: "#rrggbb"; haze takes the light of the plate's own brightest parts where it is left out."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Elements: the same number, the same drops, in every picture; left out, each picture has its own."""

    @field_validator("source")
    @classmethod
    def _name(cls, value: str) -> str:
        return bare_name(value, "a layer is named as it is called beside the picture or in the library")

    @model_validator(mode="after")
    def _one_kind(self) -> Layer:
        if bool(self.source) == (self.element is not None):
            raise ValueError("a layer has either from = a picture's name, or element = what is to be drawn")
        useless = _OF_ELEMENTS if self.element is None else _OF_PICTURES
        wrong = [name for name in useless if getattr(self, name) != type(self).model_fields[name].default]
        if self.element is not None and not 0.1 <= self.scale <= 10:
            raise ValueError("an element's scale is 0.1 to 10")
        if self.element != "haze":
            wrong += [name for name in ("gradient", "depth") if getattr(self, name) not in (None, "") and name not in wrong]
        if self.element is not None and self.element not in _FALLS and self.angle is not None:
            wrong.append("angle")
        if self.depth and self.gradient is not None:
            raise ValueError("gradient and depth say the same thing in two ways: keep one of them")
        if wrong:
            raise ValueError(f"{wrong[0]} does nothing for {self.element or 'a picture'}: delete it")
        return self

    @property
    def reach(self) -> str:
        """The region outside which it changes nothing; "" = everywhere."""
        return " & ".join(f"({where})" for where in (self.mask, self.depth) if where)


_OF_PICTURES = ("anchor", "offset", "fit", "size", "rotation", "wrap", "wrap_radius", "tone", "grain")
_OF_ELEMENTS = ("density", "angle", "gradient", "depth", "colour", "seed")


class _Ready(NamedTuple):
    """A layer as it is to be laid: where, its colours, how much it covers there."""

    window: Window
    pixels: Pixels
    cover: Mask


class Comp:
    """The plate while layers are laid over it."""

    def __init__(self, plate: Plate, bench: Bench, count: int) -> None:
        self.plate = plate
        self.findings: list[Finding] = []
        self._given = plate
        self._bench = bench
        self._count = count
        self._sources: dict[str, Plate] = {}

    def lay_all(self, layers: Sequence[Layer]) -> None:
        """Lay them in order, the lowest first; those that are clipped go into the one below."""
        number = 0
        while number < len(layers):
            above = number + 1
            while above < len(layers) and layers[above].clip:
                above += 1
            self.lay(number, layers[number:above])
            number = above

    def lay(self, number: int, group: Sequence[Layer]) -> None:
        """Lay a layer, with those clipped to it laid into it first."""
        ready = self._ready(number, group[0])
        for above, layer in enumerate(group[1:], number + 1):
            clipped = self._ready(above, layer)
            ready = None if ready is None else _into(ready, clipped, _mode(layer))
        if ready is None or not ready.cover.any():
            return
        mode, layer = _mode(group[0]), group[0]
        if self.plate.channels < ready.pixels.shape[2]:
            self.plate = replace(self.plate, pixels=frozen(np.repeat(self.plate.pixels, 3, axis=2)))
        below = self.plate.window(ready.window)
        alpha = None if self.plate.alpha is None else self.plate.alpha[ready.window]
        made = blend.laid(mode, below, alpha, ready.pixels, ready.cover)
        pixels = made.pixels
        if layer.wrap:
            radius = layer.wrap_radius / 100 * min(self.plate.height, self.plate.width)
            pixels = matching.wrapped(pixels, below, ready.cover, layer.wrap, radius)
        if layer.element == "haze" and self.plate.depth == 8:  # so slow a slope would show bands in a clean sky
            grain = dithered(pixels, 8, _seed(self._bench.seed, number))
            pixels = np.where(ready.cover[:, :, None] > 0, grain, pixels)
        self._put(ready.window, pixels, made.alpha)

    def _put(self, window: Window, pixels: Pixels, alpha: Mask | None) -> None:
        if 4 * pixels.shape[0] * pixels.shape[1] < self.plate.height * self.plate.width:
            self.plate = self.plate.patched([(window, pixels)])
        elif pixels.shape == self.plate.pixels.shape:
            self.plate = self.plate.with_pixels(pixels)
        else:
            whole = self.plate.pixels.copy()
            whole[window] = pixels
            self.plate = self.plate.with_pixels(whole)
        if alpha is not None and self.plate.alpha is not None:
            united = self.plate.alpha.copy()
            united[window] = alpha
            self.plate = replace(self.plate, alpha=frozen(united))

    def _ready(self, number: int, layer: Layer) -> _Ready | None:
        """The layer drawn or placed, masked and matched; None where nothing of it is to be seen. It goes on record."""
        self._bench.progress(number / self._count, f"layer {number + 1} of {self._count}")
        told: dict[str, Finding] = {"layer": number + 1, "of": layer.source or layer.element or "", "mode": _mode(layer)}
        ready = None if layer.opacity == 0 else self._seen(number, layer, told)
        if ready is None or not ready.cover.any():
            self.findings.append({**told, "coverage": 0.0})
            return None
        (rows, columns), share = ready.window, float(ready.cover.sum(dtype=np.float64)) / (self.plate.height * self.plate.width)
        box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
        self.findings.append({**told, "box": box, "coverage": round(share, 6)})
        return ready

    def _seen(self, number: int, layer: Layer, told: dict[str, Finding]) -> _Ready | None:
        ready = self._drawn(number, layer) if layer.element else self._placed(layer)
        if ready is None:
            return None
        cover = ready.cover * np.float32(layer.opacity)
        if layer.mask:
            cover *= self._bench.region(layer.mask, self._given)[ready.window]
        pixels, ground = ready.pixels, self._behind(ready.window)
        if layer.tone:
            pixels = matching.toned(pixels, cover, ground, layer.tone)
        if layer.grain:
            pixels, told["grain"] = matching.grained(pixels, cover, self.plate.pixels, _seed(self._bench.seed, number))
        return _Ready(ready.window, pixels, cover)

    def _behind(self, window: Window) -> Pixels:
        """The plate behind a layer and half as far again round it."""
        (rows, columns), grown = window, []
        for span, length in ((rows, self.plate.height), (columns, self.plate.width)):
            more = (span.stop - span.start) // 4
            grown.append(slice(max(0, span.start - more), min(length, span.stop + more)))
        return self.plate.window((grown[0], grown[1]))

    def _placed(self, layer: Layer) -> _Ready | None:
        on = (self.plate.width, self.plate.height)
        if layer.source not in self._sources:
            self._sources[layer.source] = self._converted(self._bench.layer(layer.source))
        return _as_ready(placing.placed(self._sources[layer.source], on, _placement(layer, on)), self.plate.channels)

    def _converted(self, layer: Plate) -> Plate:
        """The layer in the plate's profile. A grey plate whose profile knows no colour has its layers grey."""
        return colour.converted(layer, self.plate.icc or "srgb")

    def _drawn(self, number: int, layer: Layer) -> _Ready:
        height, width = self.plate.height, self.plate.width
        kind = layer.element
        seed = _seed(self._bench.seed, number) if layer.seed is None else layer.seed
        lean = layer.angle if layer.angle is not None else _FALLS.get(kind or "", 0.0)
        manner = elements.Manner(seed, layer.density, layer.scale, lean, self._colour(layer))
        if kind == "haze" or kind is None:
            depth = self._bench.region(layer.depth, self._given) if layer.depth else None
            towards = _TOWARDS[layer.gradient] if isinstance(layer.gradient, str) else layer.gradient or 0.0
            made = elements.haze(elements.gradient(height, width, towards) if depth is None else depth, manner)
        else:
            made = elements.drawn(kind, height, width, manner)
        pixels = made.pixels
        if self.plate.channels == 1 and (self.plate.icc is not None or np.ptp(pixels, axis=2).max() == 0):
            pixels = colour.luma(pixels)[:, :, None]
        return _Ready(np.s_[0:height, 0:width], pixels, made.cover)

    def _colour(self, layer: Layer) -> elements.Colour:
        """The element's colour in the plate's profile; of a haze that was given none, the light in the plate itself."""
        written = layer.colour or _COLOURS.get(layer.element or "", "")
        if not written:
            return elements.air_light(self.plate.pixels)
        values = np.array([[[int(written[at : at + 2], 16) / 255 for at in (1, 3, 5)]]], np.float32)
        if self.plate.icc is not None and self.plate.channels == 3:
            values = colour.converted(Plate(frozen(values)), self.plate.icc).pixels
        red, green, blue = (float(value) for value in values[0, 0])
        return red, green, blue


def _mode(layer: Layer) -> blend.Mode:
    return layer.mode or _MODES.get(layer.element or "", "normal")


def _seed(seed: int, number: int) -> int:
    """A layer's own seed: two rains in a comp are not the same rain."""
    return int.from_bytes(hashlib.sha256(f"{seed}/layer {number}".encode()).digest()[:4], "big")


def _placement(layer: Layer, on: Size) -> placing.Placement:
    box = on if layer.size is None else (max(1, round(_px(layer.size[0], on[0]))), max(1, round(_px(layer.size[1], on[1]))))
    fit: placing.Fit = "contain" if layer.size is not None and layer.fit == "none" else layer.fit
    offset = (_px(layer.offset[0], on[0]), _px(layer.offset[1], on[1]))
    if any(isinstance(way, str) for way in layer.offset):
        offset = (round(offset[0]), round(offset[1]))
    return placing.Placement(box, fit, layer.scale, layer.rotation, layer.anchor, offset)


def _px(value: float | str, side: int) -> float:
    return float(value[:-1]) / 100 * side if isinstance(value, str) else float(value)


def _as_ready(placed: placing.Placed | None, channels: int) -> _Ready | None:
    if placed is None:
        return None
    pixels = placed.pixels
    if pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    return _Ready(placed.window, pixels, placed.cover)


def _into(base: _Ready, clipped: _Ready | None, mode: blend.Mode) -> _Ready:
    """The base with a clipped layer laid into its colours; how much the base covers stays as it is."""
    meet = None if clipped is None else _meeting(base.window, clipped.window)
    if clipped is None or meet is None:
        return base
    within, over = meet
    channels = max(base.pixels.shape[2], clipped.pixels.shape[2])
    pixels = np.broadcast_to(base.pixels, (*base.cover.shape, channels)).copy()
    above = clipped.pixels if clipped.pixels.shape[:2] == (1, 1) else clipped.pixels[over]
    above = np.broadcast_to(above, (*pixels[within].shape[:2], channels))
    pixels[within] = blend.laid(mode, pixels[within], None, above, clipped.cover[over]).pixels
    return _Ready(base.window, pixels, base.cover)


def _meeting(one: Window, other: Window) -> tuple[Window, Window] | None:
    """What two windows share, as seen in each of them; None where that is nothing."""
    spans = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    if any(span.start >= span.stop for span in spans):
        return None

    def seen(window: Window) -> Window:
        rows, columns = (slice(span.start - whole.start, span.stop - whole.start) for span, whole in zip(spans, window, strict=True))
        return rows, columns

    return seen(one), seen(other)
