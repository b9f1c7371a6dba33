"""Colour, from the camera to the print: light, tone, balance, a look, and what lens and film do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydantic import Field, field_validator

from goldsmith.errors import Problem
from goldsmith.operation import (
    LAYER_SUFFIXES,
    Bench,
    Deliverable,
    Finding,
    Needs,
    PlateOperation,
    Where,
    bare_name,
    region_needs,
)
from goldsmith.ops.grade import series, settings
from goldsmith.ops.grade.cube import Cdl, Cube, cube_text, read_look
from goldsmith.ops.grade.optics import (
    Place,
    Placed,
    grain_change,
    halation_change,
    halation_reach,
    vignette_change,
)
from goldsmith.ops.grade.tone import Balance, balance_change, cdl_change, look_change, split_change
from goldsmith.ops.grade.tone_curves import Tone, contrast_tone, lift_gamma_gain_tone, tone_change
from goldsmith.picture import colour
from goldsmith.picture.light import Light, Vector, balance_from, balance_of, exposure_change
from goldsmith.picture.picture import Mask, Pixels, Plate, Window, frozen
from goldsmith.picture.strips import Change, Tick, in_slabs, through_mask_placed

_SUFFIXES = (".cube", ".cdl", ".cc")
_SAME = 0.5
"""A drift that nobody sees: such a frame is the hero, or as good as it, and is left alone."""
_NEUTRAL = 1.5e-5
"""What changes light by less than that, a code of 16 bits, is nothing: the profiles' own numbers are no finer."""
_ONES, _ZEROS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


class Grade(PlateOperation):
    """Grade the colour: match a hero frame, light, tone, CDL, zones, a look, halation, vignette, grain.

    In the order of a camera and a print: light first, in linear light; then tone and colour on the display values; then what acts on the
    picture as a whole. All in the picture's own profile, which is kept.
    """

    look_from: str = Field(default="", max_length=200)
    """The hero frame that this picture is to match, by its name in library/heroes/; it comes before everything else."""
    match: settings.Match = settings.Match()
    """How it is matched to the hero, and when it is held."""
    exposure: float = Field(default=0.0, ge=-8, le=8)
    """Stops of light (-8 to 8)."""
    white_balance: settings.WhiteBalance = settings.WhiteBalance()
    """What is to be neutral: temperature and tint, or a colour, or a place in the picture."""
    contrast: settings.Contrast = settings.Contrast()
    """A smooth S that leaves black, white and its pivot where they are."""
    curves: settings.Curves = settings.Curves()
    """Curves by points, for all channels and for each."""
    lift: settings.Lift = _ZEROS
    """Moves black and leaves white, one number or [red, green, blue] (-1 to 1, neutral 0)."""
    gamma: settings.Gamma = _ONES
    """Moves the middle (above 1 brightens), one number or [red, green, blue] (0.1 to 10, neutral 1)."""
    gain: settings.Gain = _ONES
    """Moves white and leaves black, one number or [red, green, blue] (0 to 4, neutral 1)."""
    slope: settings.Slope = _ONES
    """ASC CDL slope (gain), one number or [red, green, blue] (0 to 16, neutral 1)."""
    offset: settings.Offset = _ZEROS
    """ASC CDL offset (lift of everything), one number or [red, green, blue] (-4 to 4, neutral 0)."""
    power: settings.Power = _ONES
    """ASC CDL power (gamma; above 1 darkens), one number or [red, green, blue] (0.05 to 16, neutral 1)."""
    saturation: float = Field(default=1.0, ge=0, le=4)
    """ASC CDL saturation (0 = grey, 1 = neutral, at most 4)."""
    shadows: settings.Zone = settings.Zone()
    """Temperature, tint and saturation of the dark parts, each -100 to 100."""
    midtones: settings.Zone = settings.Zone()
    """Temperature, tint and saturation of the middle, each -100 to 100."""
    highlights: settings.Zone = settings.Zone()
    """Temperature, tint and saturation of the bright parts, each -100 to 100."""
    split_tone: settings.SplitTone = settings.SplitTone()
    """A colour for the dark parts and one for the bright ones."""
    look: str = Field(default="", max_length=200)
    """A look by name: library/looks/NAME.cube, .cdl or .cc, or the picture's own sidecar."""
    look_strength: float = Field(default=1.0, ge=0, le=1)
    """How much of the look is laid on (0 to 1)."""
    halation: settings.Halation = settings.Halation()
    """A glow round the brightest parts, as film has it."""
    vignette: settings.Vignette = settings.Vignette()
    """Light that falls off towards the corners."""
    grain: settings.Grain = settings.Grain()
    """Film grain, the last of all."""
    where: Where = ""
    """The region to grade: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    @field_validator("look", "look_from")
    @classmethod
    def _name(cls, value: str) -> str:
        return bare_name(value, "name it as it is called in the library, without its folder")

    def needs(self) -> Needs:
        looks = (("looks", self.look, _SUFFIXES),) if self._has_look else ()
        heroes = (("heroes", self.look_from, LAYER_SUFFIXES),) if self._has_hero else ()
        return replace(region_needs(self.where), references=(*heroes, *looks))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with the grade laid on; the plate itself where nothing is asked of it."""
        opened = self._opened(plate)
        coloured = plate.channels > 1 or self._colours
        light = Light(opened.icc)
        changes = [*self._light(opened, light), *self._tone(coloured), *self._look(bench)]
        placed = self._placed(light, coloured, bench.seed)
        if not changes and not placed and not self._has_hero:
            return plate
        mask = bench.region(self.where, plate) if self.where else None
        if self._has_hero:
            changes = [*self._matched(opened, mask, light, bench), *changes]
        if not changes and not placed:
            return plate

        def graded(pixels: Pixels, window: Window) -> Pixels:
            place = Place.of(window, opened.pixels)
            parts = len(placed) + bool(changes)
            if changes:
                pixels = in_slabs(pixels, _one_after_another(changes), _part(bench, 0, parts))
            for number, change in enumerate(placed, parts - len(placed)):
                own = pixels if changes or number else None  # what an earlier change made is nobody else's
                pixels = change(pixels, place, _part(bench, number, parts), into=own)
            return pixels

        made = through_mask_placed(opened.pixels, mask, graded, self._margin(plate))
        if made is None:
            return plate
        return opened.with_pixels(made if opened.channels == plate.channels or self._colours else made[:, :, :1])

    @property
    def _has_look(self) -> bool:
        return bool(self.look) and self.look_strength > 0

    @property
    def _has_hero(self) -> bool:
        return bool(self.look_from) and self.match.strength > 0

    def _matched(self, plate: Plate, mask: Mask | None, light: Light, bench: Bench) -> list[Change]:
        """What brings the plate to its hero; nothing where it is there already. Held where it cannot be, or only by force."""
        frame, hero = series.frame_of(plate, mask), series.frame_of(bench.hero(self.look_from))
        if hero is None:
            raise Problem(f"There is too little to see of the hero {self.look_from} to measure its colours.", "Choose another hero.")
        if frame is None:
            bench.record(hero=self.look_from, unmeasured="fewer than 64 visible pixels: left as it is")
            return []
        before = series.drift(frame.ladder, hero.ladder)
        if before.mean < _SAME:
            bench.record(hero=self.look_from, drift_before=_rounded(before), drift_after=_rounded(before), shift=0.0)
            return []
        found = series.match(frame, hero, self.match.strength / 100, self.match.protect_neutrals / 100)
        cube = series.table_of(found, light)
        change = look_change(cube, 1.0)
        ladder, shift = series.shift(frame, change)
        after = series.drift(ladder, hero.ladder)
        bench.record(hero=self.look_from, drift_before=_rounded(before), drift_after=_rounded(after), shift=round(shift, 2))
        self._hold(before.mean, after.mean, shift)
        self._export(cube, bench)
        return [change]

    def _hold(self, before: float, after: float, shift: float) -> None:
        told = f"It does not fit the hero {self.look_from}: its drift is {before:.1f} and after the match {after:.1f}"
        remedy = "Look at the picture: grade it by hand without look_from, choose another hero, or raise the limit in match."
        if after > self.match.max_drift:
            raise Problem(f"{told}, more than max_drift = {self.match.max_drift:g} (CIEDE2000).", remedy)
        if shift > self.match.max_shift:
            raise Problem(
                f"{told}, but for that its colours would move by {shift:.1f}, more than max_shift = {self.match.max_shift:g} (CIEDE2000).",
                remedy,
            )

    def _export(self, cube: Cube, bench: Bench) -> None:
        """The match as a .cube: always into the archive, and beside the result where that was asked for."""
        data = cube_text(cube, f"{bench.stem} to {self.look_from}")
        bench.aside(Deliverable("_match", ".cube", data, {"hero": self.look_from}))
        if self.match.cube:
            bench.beside(Deliverable("", ".cube", data, {"hero": self.look_from}))

    @property
    def _colours(self) -> bool:
        """True where the settings treat the channels differently: then a grey picture becomes a coloured one."""
        tinted = any(zone.temperature or zone.tint for zone in (self.shadows, self.midtones, self.highlights))
        balanced = self.white_balance != settings.WhiteBalance() or self.split_tone.asked
        curved = self.curves.coloured
        triples = (self.lift, self.gamma, self.gain, self.slope, self.offset, self.power)
        return self._has_hero or self._has_look or tinted or balanced or curved or any(len(set(triple)) > 1 for triple in triples)

    def _light(self, plate: Plate, light: Light) -> list[Change]:
        """Exposure and white balance, which the camera would have done: first, and in linear light."""
        balance = self._balance(plate, light)
        return [exposure_change(light, self.exposure, balance)] if self.exposure or balance is not None else []

    def _balance(self, plate: Plate, light: Light) -> Vector | None:
        asked = self.white_balance
        if asked == settings.WhiteBalance():
            return None
        if not asked.white and asked.grey is None:
            return balance_of(light, asked.temperature / 100, asked.tint / 100)
        if asked.white:
            seen, what = light.one(settings.colour_of(asked.white)), f"{asked.white} is"
        else:
            seen, what = _mean_light(plate, light, asked.grey or (0, 0, 1, 1)), "What lies in the white balance's grey box is"
        found = balance_from(light, seen)
        if found is None:
            raise Problem(f"{what} too dark or too strong a colour to be made neutral.", "Name a place or a colour that ought to be grey.")
        return None if np.abs(found - np.eye(3)).max() < _NEUTRAL else found

    def _tone(self, coloured: bool) -> list[Change]:
        """Tone and colour of each pixel by itself, in order; neutral parts are left out, and so is the saturation of a grey picture."""
        changes: list[Change] = []
        channels = [self._curve(channel) for channel in range(3)]
        if any(channels):
            changes.append(tone_change(channels))
        cdl = Cdl(self.slope, self.offset, self.power, self.saturation if coloured else 1.0)
        if cdl != Cdl():
            changes.append(cdl_change(cdl))
        zones = [zone.balance() for zone in (self.shadows, self.midtones, self.highlights)] if coloured else []
        if any(zone != Balance() for zone in zones):
            changes.append(balance_change(*zones))
        split = self.split_tone
        if split.asked:
            tints = [settings.colour_of(one) if one else None for one in (split.shadows, split.highlights)]
            changes.append(split_change(tints[0], tints[1], split.balance / 100, split.amount / 100))
        return changes

    def _curve(self, channel: int) -> list[Tone]:
        """What one channel goes through: contrast, curves, then lift, gamma and gain."""
        tones: list[Tone] = []
        if self.contrast.amount:
            tones.append(contrast_tone(self.contrast.amount / 100, self.contrast.pivot / 100))
        tones += self.curves.tones(channel)
        three = self.lift[channel], self.gamma[channel], self.gain[channel]
        if three != (0.0, 1.0, 1.0):
            tones.append(lift_gamma_gain_tone(*three))
        return tones

    def _look(self, bench: Bench) -> list[Change]:
        if not self._has_look:
            return []
        return [look_change(read_look(bench.reference("looks", self.look, _SUFFIXES)), self.look_strength)]

    def _placed(self, light: Light, coloured: bool, seed: int) -> list[Placed]:
        """What acts on the picture as a whole: the glow of what the grade made bright, then the vignette over both, then grain over all."""
        made: list[Placed] = []
        halo, fall, grain = self.halation, self.vignette, self.grain
        if halo.amount:
            tint = settings.colour_of(halo.colour) if coloured else _ONES
            made.append(halation_change(light, halo.amount / 100, halo.threshold / 100, halo.radius / 1000, tint))
        if fall.amount:
            made.append(vignette_change(light, fall.amount / 100, fall.radius / 100, fall.softness / 100, fall.roundness / 100))
        if grain.amount:
            made.append(grain_change(grain.amount / 1000, grain.size / 1000, grain.colour / 100 if coloured else 0.0, seed))
        return made

    def _margin(self, plate: Plate) -> int:
        return halation_reach(self.halation.radius / 1000, max(plate.height, plate.width)) if self.halation.amount else 0

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


def _mean_light(plate: Plate, light: Light, box: tuple[float, float, float, float]) -> Vector:
    """Mean linear light of a box given in fractions, (3,); at least the one pixel that it lies on."""
    x, y, width, height = box
    top, left = min(int(y * plate.height), plate.height - 1), min(int(x * plate.width), plate.width - 1)
    bottom, right = max(top + 1, round((y + height) * plate.height)), max(left + 1, round((x + width) * plate.width))
    seen = light.linear(np.ascontiguousarray(plate.pixels[top:bottom, left:right]))
    return np.asarray(seen.mean(axis=(0, 1), dtype=np.float64))


def _rounded(drift: series.Drift) -> dict[str, Finding]:
    return {"mean": round(drift.mean, 2), "p95": round(drift.p95, 2)}


def _part(bench: Bench, number: int, parts: int) -> Tick:
    return lambda done: bench.progress((number + done) / parts)


def _one_after_another(changes: list[Change]) -> Callable[[Pixels], Pixels]:
    def change(pixels: Pixels) -> Pixels:
        for step in changes:
            pixels = step(pixels)
        return pixels

    return change
