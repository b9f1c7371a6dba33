"""Compositing layer by layer: the settings of a layer, and the picture while layers are added."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from goldsmith.operation import RecordValue, RegionExpression, StepContext, check_bare_name
from goldsmith.ops.composite import layer_shadow, light_direction, procedural_elements, tone_match
from goldsmith.picture import blend_modes, colour, harmonisation, layer_placement
from goldsmith.picture.dither import dither
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Picture, Pixels, Window, freeze
from goldsmith.picture.size_fitting import Anchor, Size

_PERCENT = re.compile(r"-?\d{1,4}(\.\d{1,4})?%")
_SWATCH = re.compile(r"#[0-9a-fA-F]{6}")


def _check_percentage(value: str) -> str:
    """Return the value unchanged. Raises ValueError if it is not a percentage."""
    if not _PERCENT.fullmatch(value):
        raise ValueError('write px as a number, such as 12, or a share of the picture as text, such as "5%"')
    return value


def _check_hex_colour(value: str) -> str:
    """Return the colour unchanged. Raises ValueError if it is neither "" nor "#rrggbb"."""
    if value and not _SWATCH.fullmatch(value):
        raise ValueError('a colour is written as "#rrggbb", such as "#ff8800"')
    return value


def _check_side(value: str) -> str:
    """Return the side unchanged. Raises ValueError if it is not a percentage above 0."""
    if float(_check_percentage(value)[:-1]) <= 0:
        raise ValueError("a side must be more than 0")
    return value


_OffsetValue = (
    Annotated[float, Field(strict=True, ge=-30000, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_check_percentage)]
)
_SideValue = Annotated[int, Field(strict=True, ge=1, le=30000)] | Annotated[str, Field(max_length=12), AfterValidator(_check_side)]
# A layer that is enlarged more than so many times looks soft beside the picture.
_MOST_ENLARGEMENT = 1.5
_DEFAULT_ANGLES = {"rain": 8.0, "snow": 5.0, "embers": 6.0}
_DEFAULT_MODES: dict[str, blend_modes.BlendMode] = {"dust": "screen", "rain": "screen", "embers": "add"}
_DEFAULT_COLOURS = {"dust": "#fff1d6", "rain": "#dfe8f0", "snow": "#ffffff", "embers": "#ff7a1f"}
_GRADIENT_ANGLES = {"top": 0.0, "right": 90.0, "bottom": 180.0, "left": 270.0}


class LayerSettings(BaseModel):
    """One layer: a picture by its name, or a drawn element."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True, serialize_by_alias=True
    )

    source: str = Field(default="", alias="from", max_length=200)
    """A picture by its name: hero.layer.NAME.png beside the picture, or NAME in library/plates/ or library/logos/."""
    element: procedural_elements.ElementKind | None = None
    """A drawn element instead of a picture: dust, rain, snow, embers or haze."""
    mode: blend_modes.BlendMode | None = None
    """How the layer blends with the layers below; default: normal for pictures, a suitable mode for each element."""
    opacity: float = Field(default=1.0, ge=0, le=1)
    """Opacity of the layer (0 to 1)."""
    mask: RegionExpression = ""
    """The region of the picture in which the layer is visible: a mask's name or an expression; empty means everywhere."""
    clip: bool = False
    """Whether to show the layer only inside the layer below, as a clipping mask does."""
    anchor: Anchor = "center"
    """The point of the layer, out of nine, that lies on the same point of the picture."""
    offset: tuple[_OffsetValue, _OffsetValue] = (0.0, 0.0)
    """Offset from the anchor, right and down, in px or as "5%" of the picture's width and height."""
    fit: layer_placement.FitMode = "none"
    """none: the layer's own size; contain: as large as fits into the picture (or `size`); cover: large enough to fill it."""
    size: tuple[_SideValue, _SideValue] | None = None
    """The box that the layer is fitted into, in px or as "30%" of the picture's width and height."""
    scale: float = Field(default=1.0, ge=0.001, le=100)
    """Additional factor for the layer's size; for an element, the size of its parts (0.001 to 100; elements 0.1 to 10)."""
    rotation: float = Field(default=0.0, ge=-360, le=360)
    """Rotation about the layer's centre, in degrees clockwise (-360 to 360)."""
    wrap: float = Field(default=0.0, ge=0, le=1)
    """Light wrap: how strongly the picture's light spills over the layer's edge (0 to 1)."""
    wrap_radius: float = Field(default=1.5, gt=0, le=20)
    """How far the light wrap reaches into the layer, in per cent of the picture's shorter side (up to 20)."""
    tone: float = Field(default=0.0, ge=0, le=1)
    """How far the layer's black, white and cast move towards the picture's; skin is guarded (0 to 1)."""
    shadow: layer_shadow.ShadowSettings | None = None
    """The shadow that the layer throws on the picture below it; default none."""
    grain: bool = False
    """Whether to add the grain that the picture has and the layer lacks."""
    density: float = Field(default=1.0, ge=0, le=4)
    """Elements: density (0 to 4)."""
    angle: float | None = Field(default=None, ge=-85, le=85)
    """Rain, snow and embers: lean of their path to the right, in degrees (-85 to 85)."""
    gradient: Literal["top", "right", "bottom", "left"] | Annotated[float, Field(ge=-360, le=360)] | None = None
    """Haze: where it is thickest, as a side or in degrees clockwise from the top; default "top"."""
    depth: RegionExpression = ""
    """Haze: a region used as the distance instead of a gradient, such as "background"."""
    colour: Annotated[str, AfterValidator(_check_hex_colour)] = Field(default="", max_length=7)
    """Elements: "#rrggbb"; by default haze takes the light of the picture's brightest parts."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Elements: a fixed seed gives the same drops in every picture; by default each picture has its own."""

    @field_validator("source")
    @classmethod
    def _name(cls, value: str) -> str:
        return check_bare_name(value, "give the layer's name beside the picture or in the library, without a folder")

    @model_validator(mode="after")
    def _check_kind(self) -> LayerSettings:
        if self.clip and self.shadow is not None:
            raise ValueError("a clipped layer throws no shadow: delete shadow")
        if bool(self.source) == (self.element is not None):
            raise ValueError("a layer has either from = a picture's name, or element = the kind to draw")
        foreign_fields = _ELEMENT_ONLY_FIELDS if self.element is None else _PICTURE_ONLY_FIELDS
        unused = [name for name in foreign_fields if getattr(self, name) != type(self).model_fields[name].default]
        if self.element is not None and not 0.1 <= self.scale <= 10:
            raise ValueError("an element's scale is 0.1 to 10")
        if self.element != "haze":
            unused += [name for name in ("gradient", "depth") if getattr(self, name) not in (None, "") and name not in unused]
        if self.element is not None and self.element not in _DEFAULT_ANGLES and self.angle is not None:
            unused.append("angle")
        if self.depth and self.gradient is not None:
            raise ValueError("gradient and depth both set the distance: keep one of them")
        if unused:
            raise ValueError(f"{unused[0]} does nothing for {self.element or 'a picture'}: delete it")
        return self

    @property
    def change_region(self) -> str:
        """The region outside which the layer changes nothing; "" means everywhere."""
        return " & ".join(f"({where})" for where in (self.mask, self.depth) if where)


_PICTURE_ONLY_FIELDS = ("anchor", "offset", "fit", "size", "rotation", "wrap", "wrap_radius", "tone", "shadow", "grain")
_ELEMENT_ONLY_FIELDS = ("density", "angle", "gradient", "depth", "colour", "seed")


class _PreparedLayer(NamedTuple):
    """A layer ready to be blended: its window, its colours, and its coverage there."""

    window: Window
    pixels: Pixels
    coverage: Mask


class Compositor:
    """The picture while layers are added to it."""

    def __init__(self, picture: Picture, context: StepContext, layer_count: int) -> None:
        self.picture = picture
        self.findings: list[RecordValue] = []
        # What a person should look at.
        self.remarks: list[RecordValue] = []
        self._original = picture
        self._context = context
        self._count = layer_count
        self._sources: dict[str, Picture] = {}

    def add_layers(self, layers: Sequence[LayerSettings]) -> None:
        """Add the layers in order, the lowest first; a clipped layer is drawn into the layer below it."""
        number = 0
        while number < len(layers):
            above = number + 1
            while above < len(layers) and layers[above].clip:
                above += 1
            self.add_group(number, layers[number:above])
            number = above

    def add_group(self, number: int, group: Sequence[LayerSettings]) -> None:
        """Add a layer with the layers that are clipped to it."""
        ready = self._prepare(number, group[0])
        for index, layer in enumerate(group[1:], number + 1):
            clipped = self._prepare(index, layer)
            ready = None if ready is None else _composite_clipped(ready, clipped, _blend_mode(layer))
        if ready is None or not ready.coverage.any():
            return
        mode, layer = _blend_mode(group[0]), group[0]
        if self.picture.channels < ready.pixels.shape[2]:
            self.picture = replace(self.picture, pixels=freeze(np.repeat(self.picture.pixels, 3, axis=2)))
        if layer.shadow is not None:
            self._add_shadow(layer, layer.shadow, ready)
        below = self.picture.pixels_in(ready.window)
        alpha = None if self.picture.alpha is None else self.picture.alpha[ready.window]
        blended = blend_modes.blend_layer(mode, below, alpha, ready.pixels, ready.coverage)
        pixels = blended.pixels
        if layer.wrap:
            radius = layer.wrap_radius / 100 * min(self.picture.height, self.picture.width)
            pixels = harmonisation.wrap_light(pixels, below, ready.coverage, layer.wrap, radius)
        if layer.element == "haze" and self.picture.depth == 8:  # such a gentle slope would show bands in a clean sky
            grain = dither(pixels, 8, _layer_seed(self._context.seed, number))
            pixels = np.where(ready.coverage[:, :, None] > 0, grain, pixels)
        self._write_window(ready.window, pixels, blended.alpha)

    def _write_window(self, window: Window, pixels: Pixels, alpha: Mask | None) -> None:
        """Replace pixels and alpha in the window; a small window becomes a patch."""
        if 4 * pixels.shape[0] * pixels.shape[1] < self.picture.height * self.picture.width:
            self.picture = self.picture.with_patches([(window, pixels)])
        elif pixels.shape == self.picture.pixels.shape:
            self.picture = self.picture.with_pixels(pixels)
        else:
            full = self.picture.pixels.copy()
            full[window] = pixels
            self.picture = self.picture.with_pixels(full)
        if alpha is not None and self.picture.alpha is not None:
            full_alpha = self.picture.alpha.copy()
            full_alpha[window] = alpha
            self.picture = replace(self.picture, alpha=freeze(full_alpha))

    def _prepare(self, number: int, layer: LayerSettings) -> _PreparedLayer | None:
        """Return the layer ready to be blended, or None if none of it is visible, and record it."""
        self._context.progress.report(number / self._count, f"layer {number + 1} of {self._count}")
        record: dict[str, RecordValue] = {"layer": number + 1, "source": layer.source or layer.element or "", "mode": _blend_mode(layer)}
        ready = None if layer.opacity == 0 else self._prepare_visible(number, layer, record)
        if ready is None or not ready.coverage.any():
            self.findings.append({**record, "coverage": 0.0})
            return None
        (rows, columns), share = ready.window, float(ready.coverage.sum(dtype=np.float64)) / (self.picture.height * self.picture.width)
        box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
        self.findings.append({**record, "box": box, "coverage": round(share, 6)})
        return ready

    def _prepare_visible(self, number: int, layer: LayerSettings, record: dict[str, RecordValue]) -> _PreparedLayer | None:
        """Return the layer placed or drawn, with its mask, opacity, tone and grain; None if it lies outside the picture."""
        ready = self._draw_element(number, layer) if layer.element else self._place_picture(layer)
        if ready is None:
            return None
        coverage = ready.coverage * np.float32(layer.opacity)
        if layer.mask:
            coverage *= self._context.detect.region(layer.mask, self._original)[ready.window]
        pixels = ready.pixels
        if layer.tone:
            pixels = tone_match.match_tone(pixels, ready.coverage, self.picture.pixels, layer.tone)
        if layer.grain:
            pixels, record["grain"] = harmonisation.match_grain(
                pixels, coverage, self.picture.pixels, _layer_seed(self._context.seed, number)
            )
        return _PreparedLayer(ready.window, pixels, coverage)

    def _add_shadow(self, layer: LayerSettings, settings: layer_shadow.ShadowSettings, ready: _PreparedLayer) -> None:
        """Darken the picture by the shadow of a layer, inside the layer's mask, and record where it falls and why."""
        record: dict[str, RecordValue] = {"shadow_of": layer.source, "kind": settings.kind}
        self.findings.append(record)
        (rows, columns), size = ready.window, (self.picture.height, self.picture.width)
        if not layer_shadow.stands_on_ground(ready.coverage, ready.window, self.picture.height):
            record["not_drawn"] = reason = "the layer has no foot in the picture: it ends at the bottom edge, or it is nearly transparent"
            self.remarks.append(f"{layer.source} throws no shadow: {reason}")
            return
        light = self._light_direction(settings, ((columns.start + columns.stop) / 2 / size[1], rows.stop / size[0]))
        shadow = layer_shadow.draw_shadow(ready.coverage, ready.window, size, settings, light.shadow_angle)
        if shadow is None:
            return
        if settings.kind == "cast":
            record.update(angle=light.shadow_angle, light=light.reason)
            if settings.angle is None:
                self.remarks.append(
                    f"where the shadow of {layer.source} falls is a guess (light: {light.reason}), so look at it, or set its angle"
                )
        darkness = shadow.darkness * np.float32(layer.opacity)
        if layer.mask:
            darkness *= self._context.detect.region(layer.mask, self._original)[shadow.window]
        behind = self.picture.pixels_in(shadow.window)
        self._write_window(shadow.window, layer_shadow.apply_shadow(behind, darkness, LinearLight(self.picture.icc)), None)

    def _light_direction(self, settings: layer_shadow.ShadowSettings, foot: tuple[float, float]) -> light_direction.LightDirection:
        """Return the direction that the settings give, or the one that the picture shows."""
        if settings.kind == "cast" and settings.angle is None:
            return light_direction.guess_light(self._original.pixels, foot)
        return light_direction.LightDirection(settings.angle or 0.0, "as set")

    def _place_picture(self, layer: LayerSettings) -> _PreparedLayer | None:
        """Return a picture layer at its place, or None if it lies outside the picture."""
        canvas_size = (self.picture.width, self.picture.height)
        if layer.source not in self._sources:
            self._sources[layer.source] = self._to_picture_profile(self._context.library.layer(layer.source))
        source, placement = self._sources[layer.source], _placement(layer, canvas_size)
        factor = layer_placement.enlargement(source, placement)
        if factor > _MOST_ENLARGEMENT:
            self.remarks.append(f"{layer.source} is enlarged {factor:.1f} times, so it looks soft beside the picture")
        return _to_prepared(layer_placement.place_layer(source, canvas_size, placement), self.picture.channels)

    def _to_picture_profile(self, layer: Picture) -> Picture:
        """Return the layer in the picture's profile. In a picture with a grey profile, layers become grey."""
        return colour.convert_profile(layer, self.picture.icc or "srgb")

    def _draw_element(self, number: int, layer: LayerSettings) -> _PreparedLayer:
        """Return the drawn element over the whole picture."""
        height, width = self.picture.height, self.picture.width
        kind = layer.element
        seed = _layer_seed(self._context.seed, number) if layer.seed is None else layer.seed
        lean = layer.angle if layer.angle is not None else _DEFAULT_ANGLES.get(kind or "", 0.0)
        options = procedural_elements.ParticleOptions(seed, layer.density, layer.scale, lean, self._element_colour(layer))
        if kind == "haze" or kind is None:
            depth = self._context.detect.region(layer.depth, self._original) if layer.depth else None
            direction = _GRADIENT_ANGLES[layer.gradient] if isinstance(layer.gradient, str) else layer.gradient or 0.0
            element = procedural_elements.draw_haze(
                procedural_elements.depth_gradient(height, width, direction) if depth is None else depth, options
            )
        else:
            element = procedural_elements.draw_element(kind, height, width, options)
        pixels = element.pixels
        if self.picture.channels == 1 and (self.picture.icc is not None or np.ptp(pixels, axis=2).max() == 0):
            pixels = colour.luma(pixels)[:, :, None]
        return _PreparedLayer(np.s_[0:height, 0:width], pixels, element.coverage)

    def _element_colour(self, layer: LayerSettings) -> procedural_elements.RgbColour:
        """Return the element's colour in the picture's profile; for haze without a colour, the light of the picture's brightest parts."""
        text = layer.colour or _DEFAULT_COLOURS.get(layer.element or "", "")
        if not text:
            return procedural_elements.estimate_airlight(self.picture.pixels)
        values = np.array([[[int(text[index : index + 2], 16) / 255 for index in (1, 3, 5)]]], np.float32)
        if self.picture.icc is not None and self.picture.channels == 3:
            values = colour.convert_profile(Picture(freeze(values)), self.picture.icc).pixels
        red, green, blue = (float(value) for value in values[0, 0])
        return red, green, blue


def _blend_mode(layer: LayerSettings) -> blend_modes.BlendMode:
    """Return the layer's blend mode, or the default of its kind."""
    return layer.mode or _DEFAULT_MODES.get(layer.element or "", "normal")


def _layer_seed(seed: int, number: int) -> int:
    """Return a seed for each layer: two layers of rain in one composite differ."""
    return int.from_bytes(hashlib.sha256(f"{seed}/layer {number}".encode()).digest()[:4], "big")


def _placement(layer: LayerSettings, canvas_size: Size) -> layer_placement.Placement:
    """Return the placement of a picture layer, in px of the canvas."""
    box = (
        canvas_size
        if layer.size is None
        else (max(1, round(_to_px(layer.size[0], canvas_size[0]))), max(1, round(_to_px(layer.size[1], canvas_size[1]))))
    )
    fit: layer_placement.FitMode = "contain" if layer.size is not None and layer.fit == "none" else layer.fit
    offset = (_to_px(layer.offset[0], canvas_size[0]), _to_px(layer.offset[1], canvas_size[1]))
    if any(isinstance(value, str) for value in layer.offset):
        offset = (round(offset[0]), round(offset[1]))
    return layer_placement.Placement(box, fit, layer.scale, layer.rotation, layer.anchor, offset)


def _to_px(value: float | str, side: int) -> float:
    """Return a length in px, from px or a percentage of the side."""
    return float(value[:-1]) / 100 * side if isinstance(value, str) else float(value)


def _to_prepared(placed: layer_placement.PlacedLayer | None, channels: int) -> _PreparedLayer | None:
    """Return a placed layer with at least as many channels as the picture; None stays None."""
    if placed is None:
        return None
    pixels = placed.pixels
    if pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    return _PreparedLayer(placed.window, pixels, placed.coverage)


def _composite_clipped(base: _PreparedLayer, clipped: _PreparedLayer | None, mode: blend_modes.BlendMode) -> _PreparedLayer:
    """Return the base with a clipped layer blended into its colours; the base's coverage is unchanged."""
    overlap = None if clipped is None else _intersection(base.window, clipped.window)
    if clipped is None or overlap is None:
        return base
    in_base, in_clipped = overlap
    channels = max(base.pixels.shape[2], clipped.pixels.shape[2])
    pixels = np.broadcast_to(base.pixels, (*base.coverage.shape, channels)).copy()
    above = clipped.pixels if clipped.pixels.shape[:2] == (1, 1) else clipped.pixels[in_clipped]
    above = np.broadcast_to(above, (*pixels[in_base].shape[:2], channels))
    pixels[in_base] = blend_modes.blend_layer(mode, pixels[in_base], None, above, clipped.coverage[in_clipped]).pixels
    return _PreparedLayer(base.window, pixels, base.coverage)


def _intersection(first: Window, second: Window) -> tuple[Window, Window] | None:
    """Return the intersection of two windows relative to each of them, or None if they do not overlap."""
    spans = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    if any(span.start >= span.stop for span in spans):
        return None

    def relative(window: Window) -> Window:
        rows, columns = (slice(span.start - outer.start, span.stop - outer.start) for span, outer in zip(spans, window, strict=True))
        return rows, columns

    return relative(first), relative(second)
