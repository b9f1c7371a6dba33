"""Colour: ASC CDL, then shadows, midtones and highlights, then a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from goldsmith.errors import Problem
from goldsmith.operation import Bench, Needs, PlateOperation, Where, region_needs
from goldsmith.plate import colour
from goldsmith.plate.craft.cube import Cdl, read_look
from goldsmith.plate.craft.strips import Change, in_slabs, through_mask
from goldsmith.plate.craft.tone import Balance, balance_change, cdl_change, look_change
from goldsmith.plate.plate import Pixels, Plate, frozen

_SUFFIXES = (".cube", ".cdl", ".cc")


def _spread(value: object) -> object:
    """One number stands for all three channels."""
    return (value,) * 3 if isinstance(value, int | float) else value


_Slope = Annotated[float, Field(ge=0, le=16)]
_Offset = Annotated[float, Field(ge=-4, le=4)]
_Power = Annotated[float, Field(ge=0.05, le=16)]
_Share = Annotated[float, Field(ge=-100, le=100)]


class Zone(BaseModel):
    """What is done to one range of brightness."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    temperature: _Share = 0
    """-100 (blue) to 100 (amber)."""
    tint: _Share = 0
    """-100 (green) to 100 (magenta)."""
    saturation: _Share = 0
    """-100 (grey) to 100 (twice as colourful)."""

    def balance(self) -> Balance:
        return Balance(self.temperature / 100, self.tint / 100, self.saturation / 100)


class Grade(PlateOperation):
    """Grade the colour: ASC CDL, shadows, midtones and highlights, and a look from the library.

    In this order, on the display values in the picture's own profile, which is kept.
    """

    slope: Annotated[tuple[_Slope, _Slope, _Slope], BeforeValidator(_spread)] = (1.0, 1.0, 1.0)
    """ASC CDL slope (gain), one number or [red, green, blue] (0 to 16, neutral 1)."""
    offset: Annotated[tuple[_Offset, _Offset, _Offset], BeforeValidator(_spread)] = (0.0, 0.0, 0.0)
    """ASC CDL offset (lift of everything), one number or [red, green, blue] (-4 to 4, neutral 0)."""
    power: Annotated[tuple[_Power, _Power, _Power], BeforeValidator(_spread)] = (1.0, 1.0, 1.0)
    """ASC CDL power (gamma; above 1 darkens), one number or [red, green, blue] (0.05 to 16, neutral 1)."""
    saturation: float = Field(default=1.0, ge=0, le=4)
    """ASC CDL saturation (0 = grey, 1 = neutral, at most 4)."""
    shadows: Zone = Zone()
    """Temperature, tint and saturation of the dark parts, each -100 to 100."""
    midtones: Zone = Zone()
    """Temperature, tint and saturation of the middle, each -100 to 100."""
    highlights: Zone = Zone()
    """Temperature, tint and saturation of the bright parts, each -100 to 100."""
    look: str = Field(default="", max_length=200)
    """A look by name: library/looks/NAME.cube, .cdl or .cc, or the picture's own sidecar."""
    look_strength: float = Field(default=1.0, ge=0, le=1)
    """How much of the look is laid on (0 to 1)."""
    where: Where = ""
    """The region to grade: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    @field_validator("look")
    @classmethod
    def _name(cls, value: str) -> str:
        if any(character in value for character in "/\\:") or value.startswith(".") or not value.isprintable():
            raise ValueError(f"“{value[:40]}” is a path; a look is named as it is called in library/looks, without its folder")
        return value

    def needs(self) -> Needs:
        looks = (("looks", self.look, _SUFFIXES),) if self._has_look else ()
        return replace(region_needs(self.where), references=looks)

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with the grade laid on; the plate itself where nothing is asked of it."""
        changes = self._changes(plate.channels, bench)
        if not changes:
            return plate
        mask = bench.region(self.where, plate) if self.where else None
        opened = self._opened(plate)

        def graded(pixels: Pixels) -> Pixels:
            return in_slabs(pixels, _one_after_another(changes), bench.progress)

        made = through_mask(opened.pixels, mask, graded)
        if made is None:
            return plate
        return opened.with_pixels(made if opened.channels == plate.channels or self._colours else made[:, :, :1])

    @property
    def _has_look(self) -> bool:
        return bool(self.look) and self.look_strength > 0

    @property
    def _colours(self) -> bool:
        """True where the settings treat the channels differently: then a grey picture becomes a coloured one."""
        tinted = any(zone.temperature or zone.tint for zone in (self.shadows, self.midtones, self.highlights))
        return self._has_look or tinted or any(len(set(triple)) > 1 for triple in (self.slope, self.offset, self.power))

    def _changes(self, channels: int, bench: Bench) -> list[Change]:
        """What is to be done to every pixel, in order; neutral parts are left out, and so is the saturation of a grey picture."""
        coloured = channels > 1 or self._colours
        cdl = Cdl(self.slope, self.offset, self.power, self.saturation if coloured else 1.0)
        zones = [zone.balance() for zone in (self.shadows, self.midtones, self.highlights)] if coloured else []
        changes = []
        if cdl != Cdl():
            changes.append(cdl_change(cdl))
        if any(zone != Balance() for zone in zones):
            changes.append(balance_change(*zones))
        if self._has_look:
            look = read_look(bench.reference("looks", self.look, _SUFFIXES))
            changes.append(look_change(look, self.look_strength))
        return changes

    def _opened(self, plate: Plate) -> Plate:
        """The plate with three channels. A grey one that is to be coloured comes to sRGB, for its profile knows no colour."""
        if plate.channels == 3:
            return plate
        if plate.icc is None or not self._colours:
            return replace(plate, pixels=frozen(np.repeat(plate.pixels, 3, axis=2)))
        if self.where:
            raise Problem(
                "The picture is grey and has a grey profile: colour cannot be laid on a part of it only.",
                "Leave out `where` in the grade step, or convert the picture to RGB first.",
            )
        grey = colour.from_linear(colour.to_linear(plate.pixels, plate.icc), None)
        return replace(plate, pixels=frozen(np.repeat(grey, 3, axis=2)), icc=None)


def _one_after_another(changes: list[Change]) -> Callable[[Pixels], Pixels]:
    def change(pixels: Pixels) -> Pixels:
        for step in changes:
            pixels = step(pixels)
        return pixels

    return change
