"""A comp under work: what a layer may say of itself, and the picture while one layer after the other is laid over it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from goldsmith.operation import RecordValue, RegionExpression, StepContext, check_bare_name
from goldsmith.ops.composite import blend_modes, procedural_elements
from goldsmith.picture import colour, harmonisation, layer_placement
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Mask, Picture, Pixels, Window, freeze
from goldsmith.picture.size_fitting import Anchor, Size

_PERCENT = re.compile(r"-?\d{1,4}(\.\d{1,4})?%")
_SWATCH = re.compile(r"#[0-9a-fA-F]{6}")


def _check_percentage(value: str) -> str:
    if not _PERCENT.fullmatch(value):
        raise ValueError('write px as a number, 12, or a share of the picture as a text, "5%"')
    return value


def _check_hex_colour(value: str) -> str:
    if value and not _SWATCH.fullmatch(value):
        raise ValueError('a colour is written as "#rrggbb", such as "#ff8800"')
    return value


def _check_side(value: str) -> str:
    if float(_check_percentage(value)[:-1]) <= 0:
        raise ValueError("a side must be more than 0")
    return value


_OffsetValue = (
    Annotated[float, Field(strict=True, ge=-30000, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_check_percentage)]
)
_SideValue = Annotated[int, Field(strict=True, ge=1, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_check_side)]
_DEFAULT_ANGLES = {"rain": 8.0, "snow": 5.0, "embers": 6.0}
_DEFAULT_MODES: dict[str, blend_modes.BlendMode] = {"dust": "screen", "rain": "screen", "embers": "add"}
_DEFAULT_COLOURS = {"dust": "#fff1d6", "rain": "#dfe8f0", "snow": "#ffffff", "embers": "#ff7a1f"}
_GRADIENT_ANGLES = {"top": 0.0, "right": 90.0, "bottom": 180.0, "left": 270.0}


class LayerSettings(BaseModel):
    """One layer of a comp: a picture by its name, or an element that is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, serialize_by_alias=True)

    source: str = Field(default="", alias="from", max_length=200)
    """A picture by its name: hero.layer.NAME.png beside the picture, or NAME in library/plates/ or library/logos/."""
    element: procedural_elements.ElementKind | None = None
    """In place of a picture an element that is drawn: dust, rain, snow, embers or haze."""
    mode: blend_modes.BlendMode | None = None
    """How it blends with what lies below; an element's own way where it is left out, normal for pictures."""
    opacity: float = Field(default=1.0, ge=0, le=1)
    """How much of it is laid (0 to 1)."""
    mask: RegionExpression = ""
    """The region of the picture in which it shows: a mask's name or an expression; everywhere where it is empty."""
    clip: bool = False
    """Show it only inside the layer below it, as a clipping mask does."""
    anchor: Anchor = "center"
    """Which of nine points of the layer lies on the same point of the picture."""
    offset: tuple[_OffsetValue, _OffsetValue] = (0.0, 0.0)
    """How far from there, right and down, in px or as "5%" of the picture's width and height."""
    fit: layer_placement.FitMode = "none"
    """none: its own size; contain: as large as fits into the picture (or `size`); cover: so large that it fills it."""
    size: tuple[_SideValue, _SideValue] | None = None
    """The box it is fitted into, in px or as "30%" of the picture's width and height."""
    scale: float = Field(default=1.0, ge=0.001, le=100)
    """Factor for its size on top of that; for an element, of its parts (0.001 to 100; elements 0.1 to 10)."""
    rotation: float = Field(default=0.0, ge=-360, le=360)
    """Degrees clockwise about its middle (-360 to 360)."""
    wrap: float = Field(default=0.0, ge=0, le=1)
    """Light wrap: how strongly the picture's light runs over the layer's edge (0 to 1)."""
    wrap_radius: float = Field(default=1.5, gt=0, le=20)
    """How far in it runs, in per cent of the picture's shorter side (up to 20)."""
    tone: float = Field(default=0.0, ge=0, le=1)
    """How far the layer's tone and colour are brought to those of the picture behind it (0 to 1)."""
    grain: bool = False
    """Add as much grain to the layer as the picture has and it lacks."""
    density: float = Field(default=1.0, ge=0, le=4)
    """Elements: how much of it (0 to 4)."""
    angle: float | None = Field(default=None, ge=-85, le=85)
    """Rain, snow and embers: degrees by which fall or rise lean to the right (-85 to 85)."""
    gradient: Literal["top", "right", "bottom", "left"] | Annotated[float, Field(ge=-360, le=360)] | None = None
    """Haze: where it is thickest, as a side or in degrees clockwise from the top; "top" where nothing is said."""
    depth: RegionExpression = ""
    """Haze: a region that stands for the distance in place of a gradient, such as "background"."""
    colour: Annotated[str, AfterValidator(_check_hex_colour)] = Field(default="", max_length=7)
    """Elements: "#rrggbb"; haze takes the light of the picture's own brightest parts where it is left out."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Elements: the same number, the same drops, in every picture; left out, each picture has its own."""

    @field_validator("source")
    @classmethod
    def _name(cls, value: str) -> str:
        return check_bare_name(value, "a layer is named as it is called beside the picture or in the library")

    @model_validator(mode="after")
    def _check_kind(self) -> LayerSettings:
        if bool(self.source) == (self.element is not None):
            raise ValueError("a layer has either from = a picture's name, or element = what is to be drawn")
        useless = _ELEMENT_ONLY_FIELDS if self.element is None else _PICTURE_ONLY_FIELDS
        wrong = [name for name in useless if getattr(self, name) != type(self).model_fields[name].default]
        if self.element is not None and not 0.1 <= self.scale <= 10:
            raise ValueError("an element's scale is 0.1 to 10")
        if self.element != "haze":
            wrong += [name for name in ("gradient", "depth") if getattr(self, name) not in (None, "") and name not in wrong]
        if self.element is not None and self.element not in _DEFAULT_ANGLES and self.angle is not None:
            wrong.append("angle")
        if self.depth and self.gradient is not None:
            raise ValueError("gradient and depth say the same thing in two ways: keep one of them")
        if wrong:
            raise ValueError(f"{wrong[0]} does nothing for {self.element or 'a picture'}: delete it")
        return self

    @property
    def change_region(self) -> str:
        """The region outside which it changes nothing; "" = everywhere."""
        return " & ".join(f"({where})" for where in (self.mask, self.depth) if where)


_PICTURE_ONLY_FIELDS = ("anchor", "offset", "fit", "size", "rotation", "wrap", "wrap_radius", "tone", "grain")
_ELEMENT_ONLY_FIELDS = ("density", "angle", "gradient", "depth", "colour", "seed")


class _PreparedLayer(NamedTuple):
    """A layer as it is to be laid: where, its colours, how much it covers there."""

    window: Window
    pixels: Pixels
    coverage: Mask


class Compositor:
    """The picture while layers are laid over it."""

    def __init__(self, picture: Picture, context: StepContext, layer_count: int) -> None:
        self.picture = picture
        self.findings: list[RecordValue] = []
        self._original = picture
        self._context = context
        self._count = layer_count
        self._sources: dict[str, Picture] = {}

    def add_layers(self, layers: Sequence[LayerSettings]) -> None:
        """Lay them in order, the lowest first; those that are clipped go into the one below."""
        number = 0
        while number < len(layers):
            above = number + 1
            while above < len(layers) and layers[above].clip:
                above += 1
            self.add_group(number, layers[number:above])
            number = above

    def add_group(self, number: int, group: Sequence[LayerSettings]) -> None:
        """Lay a layer, with those clipped to it laid into it first."""
        ready = self._prepare(number, group[0])
        for above, layer in enumerate(group[1:], number + 1):
            clipped = self._prepare(above, layer)
            ready = None if ready is None else _composite_clipped(ready, clipped, _blend_mode(layer))
        if ready is None or not ready.coverage.any():
            return
        mode, layer = _blend_mode(group[0]), group[0]
        if self.picture.channels < ready.pixels.shape[2]:
            self.picture = replace(self.picture, pixels=freeze(np.repeat(self.picture.pixels, 3, axis=2)))
        below = self.picture.pixels_in(ready.window)
        alpha = None if self.picture.alpha is None else self.picture.alpha[ready.window]
        made = blend_modes.blend_layer(mode, below, alpha, ready.pixels, ready.coverage)
        pixels = made.pixels
        if layer.wrap:
            radius = layer.wrap_radius / 100 * min(self.picture.height, self.picture.width)
            pixels = harmonisation.wrap_light(pixels, below, ready.coverage, layer.wrap, radius)
        if layer.element == "haze" and self.picture.depth == 8:  # so slow a slope would show bands in a clean sky
            grain = dither(pixels, 8, _layer_seed(self._context.seed, number))
            pixels = np.where(ready.coverage[:, :, None] > 0, grain, pixels)
        self._write_window(ready.window, pixels, made.alpha)

    def _write_window(self, window: Window, pixels: Pixels, alpha: Mask | None) -> None:
        if 4 * pixels.shape[0] * pixels.shape[1] < self.picture.height * self.picture.width:
            self.picture = self.picture.with_patches([(window, pixels)])
        elif pixels.shape == self.picture.pixels.shape:
            self.picture = self.picture.with_pixels(pixels)
        else:
            whole = self.picture.pixels.copy()
            whole[window] = pixels
            self.picture = self.picture.with_pixels(whole)
        if alpha is not None and self.picture.alpha is not None:
            united = self.picture.alpha.copy()
            united[window] = alpha
            self.picture = replace(self.picture, alpha=freeze(united))

    def _prepare(self, number: int, layer: LayerSettings) -> _PreparedLayer | None:
        """The layer drawn or placed, masked and matched; None where nothing of it is to be seen. It goes on record."""
        self._context.progress.report(number / self._count, f"layer {number + 1} of {self._count}")
        told: dict[str, RecordValue] = {"layer": number + 1, "of": layer.source or layer.element or "", "mode": _blend_mode(layer)}
        ready = None if layer.opacity == 0 else self._prepare_visible(number, layer, told)
        if ready is None or not ready.coverage.any():
            self.findings.append({**told, "coverage": 0.0})
            return None
        (rows, columns), share = ready.window, float(ready.coverage.sum(dtype=np.float64)) / (self.picture.height * self.picture.width)
        box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
        self.findings.append({**told, "box": box, "coverage": round(share, 6)})
        return ready

    def _prepare_visible(self, number: int, layer: LayerSettings, record: dict[str, RecordValue]) -> _PreparedLayer | None:
        ready = self._draw_element(number, layer) if layer.element else self._place_picture(layer)
        if ready is None:
            return None
        cover = ready.coverage * np.float32(layer.opacity)
        if layer.mask:
            cover *= self._context.detect.region(layer.mask, self._original)[ready.window]
        pixels, ground = ready.pixels, self._surroundings(ready.window)
        if layer.tone:
            pixels = harmonisation.transfer_colour(pixels, cover, ground, layer.tone)
        if layer.grain:
            pixels, record["grain"] = harmonisation.match_grain(pixels, cover, self.picture.pixels, _layer_seed(self._context.seed, number))
        return _PreparedLayer(ready.window, pixels, cover)

    def _surroundings(self, window: Window) -> Pixels:
        """The picture behind a layer and half as far again round it."""
        (rows, columns), grown = window, []
        for span, length in ((rows, self.picture.height), (columns, self.picture.width)):
            more = (span.stop - span.start) // 4
            grown.append(slice(max(0, span.start - more), min(length, span.stop + more)))
        return self.picture.pixels_in((grown[0], grown[1]))

    def _place_picture(self, layer: LayerSettings) -> _PreparedLayer | None:
        on = (self.picture.width, self.picture.height)
        if layer.source not in self._sources:
            self._sources[layer.source] = self._to_picture_profile(self._context.library.layer(layer.source))
        return _to_prepared(layer_placement.place_layer(self._sources[layer.source], on, _placement(layer, on)), self.picture.channels)

    def _to_picture_profile(self, layer: Picture) -> Picture:
        """The layer in the picture's profile. A grey picture whose profile knows no colour has its layers grey."""
        return colour.convert_profile(layer, self.picture.icc or "srgb")

    def _draw_element(self, number: int, layer: LayerSettings) -> _PreparedLayer:
        height, width = self.picture.height, self.picture.width
        kind = layer.element
        seed = _layer_seed(self._context.seed, number) if layer.seed is None else layer.seed
        lean = layer.angle if layer.angle is not None else _DEFAULT_ANGLES.get(kind or "", 0.0)
        manner = procedural_elements.ParticleOptions(seed, layer.density, layer.scale, lean, self._element_colour(layer))
        if kind == "haze" or kind is None:
            depth = self._context.detect.region(layer.depth, self._original) if layer.depth else None
            towards = _GRADIENT_ANGLES[layer.gradient] if isinstance(layer.gradient, str) else layer.gradient or 0.0
            made = procedural_elements.draw_haze(
                procedural_elements.depth_gradient(height, width, towards) if depth is None else depth, manner
            )
        else:
            made = procedural_elements.draw_element(kind, height, width, manner)
        pixels = made.pixels
        if self.picture.channels == 1 and (self.picture.icc is not None or np.ptp(pixels, axis=2).max() == 0):
            pixels = colour.luma(pixels)[:, :, None]
        return _PreparedLayer(np.s_[0:height, 0:width], pixels, made.coverage)

    def _element_colour(self, layer: LayerSettings) -> procedural_elements.RgbColour:
        """The element's colour in the picture's profile; of a haze that was given none, the light in the picture itself."""
        written = layer.colour or _DEFAULT_COLOURS.get(layer.element or "", "")
        if not written:
            return procedural_elements.estimate_airlight(self.picture.pixels)
        values = np.array([[[int(written[at : at + 2], 16) / 255 for at in (1, 3, 5)]]], np.float32)
        if self.picture.icc is not None and self.picture.channels == 3:
            values = colour.convert_profile(Picture(freeze(values)), self.picture.icc).pixels
        red, green, blue = (float(value) for value in values[0, 0])
        return red, green, blue


def _blend_mode(layer: LayerSettings) -> blend_modes.BlendMode:
    return layer.mode or _DEFAULT_MODES.get(layer.element or "", "normal")


def _layer_seed(seed: int, number: int) -> int:
    """A layer's own seed: two rains in a comp are not the same rain."""
    return int.from_bytes(hashlib.sha256(f"{seed}/layer {number}".encode()).digest()[:4], "big")


def _placement(layer: LayerSettings, canvas_size: Size) -> layer_placement.Placement:
    box = (
        canvas_size
        if layer.size is None
        else (max(1, round(_to_px(layer.size[0], canvas_size[0]))), max(1, round(_to_px(layer.size[1], canvas_size[1]))))
    )
    fit: layer_placement.FitMode = "contain" if layer.size is not None and layer.fit == "none" else layer.fit
    offset = (_to_px(layer.offset[0], canvas_size[0]), _to_px(layer.offset[1], canvas_size[1]))
    if any(isinstance(way, str) for way in layer.offset):
        offset = (round(offset[0]), round(offset[1]))
    return layer_placement.Placement(box, fit, layer.scale, layer.rotation, layer.anchor, offset)


def _to_px(value: float | str, side: int) -> float:
    return float(value[:-1]) / 100 * side if isinstance(value, str) else float(value)


def _to_prepared(placed: layer_placement.PlacedLayer | None, channels: int) -> _PreparedLayer | None:
    if placed is None:
        return None
    pixels = placed.pixels
    if pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    return _PreparedLayer(placed.window, pixels, placed.coverage)


def _composite_clipped(base: _PreparedLayer, clipped: _PreparedLayer | None, mode: blend_modes.BlendMode) -> _PreparedLayer:
    """The base with a clipped layer laid into its colours; how much the base covers stays as it is."""
    meet = None if clipped is None else _intersection(base.window, clipped.window)
    if clipped is None or meet is None:
        return base
    within, over = meet
    channels = max(base.pixels.shape[2], clipped.pixels.shape[2])
    pixels = np.broadcast_to(base.pixels, (*base.coverage.shape, channels)).copy()
    above = clipped.pixels if clipped.pixels.shape[:2] == (1, 1) else clipped.pixels[over]
    above = np.broadcast_to(above, (*pixels[within].shape[:2], channels))
    pixels[within] = blend_modes.blend_layer(mode, pixels[within], None, above, clipped.coverage[over]).pixels
    return _PreparedLayer(base.window, pixels, base.coverage)


def _intersection(first: Window, second: Window) -> tuple[Window, Window] | None:
    """What two windows share, as seen in each of them; None where that is nothing."""
    spans = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    if any(span.start >= span.stop for span in spans):
        return None

    def seen(window: Window) -> Window:
        rows, columns = (slice(span.start - whole.start, span.stop - whole.start) for span, whole in zip(spans, window, strict=True))
        return rows, columns

    return seen(first), seen(second)
