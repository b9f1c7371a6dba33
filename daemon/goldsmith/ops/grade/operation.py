"""Colour, from the camera to the print: light, tone, balance, a look, and what lens and film do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydantic import Field, field_validator

from goldsmith.errors import InputError
from goldsmith.operation import (
    LAYER_SUFFIXES,
    Deliverable,
    PictureOperation,
    RecordValue,
    RegionExpression,
    StepContext,
    StepNeeds,
    check_bare_name,
    region_needs,
)
from goldsmith.ops.grade import grade_settings, series_match
from goldsmith.ops.grade.film_effects import (
    PiecePosition,
    PositionedChange,
    grain_change,
    halation_change,
    halation_margin,
    vignette_change,
)
from goldsmith.ops.grade.grading_changes import ZoneBalance, cdl_change, look_change, split_tone_change, zone_balance_change
from goldsmith.ops.grade.look_files import Cdl, CubeLut, format_cube, read_look
from goldsmith.ops.grade.tone_curves import ToneCurve, contrast_curve, lift_gamma_gain_curve, tone_curve_change
from goldsmith.picture import colour
from goldsmith.picture.linear_light import (
    Float64Array,
    LinearLight,
    exposure_change,
    white_balance_from_neutral,
    white_balance_from_temperature,
)
from goldsmith.picture.picture import Mask, Picture, Pixels, Window, freeze
from goldsmith.picture.slab_processing import OnProgress, PixelChange, apply_through_mask_with_window, map_slabs

_LOOK_SUFFIXES = (".cube", ".cdl", ".cc")
# A drift that nobody sees: such a frame is the hero, or as good as it, and is left alone.
_INVISIBLE_DRIFT = 0.5
# What changes light by less than that, a code of 16 bits, is nothing: the profiles' own numbers are no finer.
_IDENTITY_TOLERANCE = 1.5e-5
_ONES, _ZEROS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


class Grade(PictureOperation):
    """Grade the colour: match a hero frame, light, tone, CDL, zones, a look, halation, vignette, grain.

    In the order of a camera and a print: light first, in linear light; then tone and colour on the display values; then what acts on the
    picture as a whole. All in the picture's own profile, which is kept.
    """

    look_from: str = Field(default="", max_length=200)
    """The hero frame that this picture is to match, by its name in library/heroes/; it comes before everything else."""
    match: grade_settings.MatchSettings = grade_settings.MatchSettings()
    """How it is matched to the hero, and when it is held."""
    exposure: float = Field(default=0.0, ge=-8, le=8)
    """Stops of light (-8 to 8)."""
    white_balance: grade_settings.WhiteBalanceSettings = grade_settings.WhiteBalanceSettings()
    """What is to be neutral: temperature and tint, or a colour, or a place in the picture."""
    contrast: grade_settings.ContrastSettings = grade_settings.ContrastSettings()
    """A smooth S that leaves black, white and its pivot where they are."""
    curves: grade_settings.CurveSettings = grade_settings.CurveSettings()
    """Curves by points, for all channels and for each."""
    lift: grade_settings.Lift = _ZEROS
    """Moves black and leaves white, one number or [red, green, blue] (-1 to 1, neutral 0)."""
    gamma: grade_settings.Gamma = _ONES
    """Moves the middle (above 1 brightens), one number or [red, green, blue] (0.1 to 10, neutral 1)."""
    gain: grade_settings.Gain = _ONES
    """Moves white and leaves black, one number or [red, green, blue] (0 to 4, neutral 1)."""
    slope: grade_settings.Slope = _ONES
    """ASC CDL slope (gain), one number or [red, green, blue] (0 to 16, neutral 1)."""
    offset: grade_settings.Offset = _ZEROS
    """ASC CDL offset (lift of everything), one number or [red, green, blue] (-4 to 4, neutral 0)."""
    power: grade_settings.Power = _ONES
    """ASC CDL power (gamma; above 1 darkens), one number or [red, green, blue] (0.05 to 16, neutral 1)."""
    saturation: float = Field(default=1.0, ge=0, le=4)
    """ASC CDL saturation (0 = grey, 1 = neutral, at most 4)."""
    shadows: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Temperature, tint and saturation of the dark parts, each -100 to 100."""
    midtones: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Temperature, tint and saturation of the middle, each -100 to 100."""
    highlights: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Temperature, tint and saturation of the bright parts, each -100 to 100."""
    split_tone: grade_settings.SplitToneSettings = grade_settings.SplitToneSettings()
    """A colour for the dark parts and one for the bright ones."""
    look: str = Field(default="", max_length=200)
    """A look by name: library/looks/NAME.cube, .cdl or .cc, or the picture's own sidecar."""
    look_strength: float = Field(default=1.0, ge=0, le=1)
    """How much of the look is laid on (0 to 1)."""
    halation: grade_settings.HalationSettings = grade_settings.HalationSettings()
    """A glow round the brightest parts, as film has it."""
    vignette: grade_settings.VignetteSettings = grade_settings.VignetteSettings()
    """Light that falls off towards the corners."""
    grain: grade_settings.GrainSettings = grade_settings.GrainSettings()
    """Film grain, the last of all."""
    where: RegionExpression = ""
    """The region to grade: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    @field_validator("look", "look_from")
    @classmethod
    def _check_library_name(cls, value: str) -> str:
        return check_bare_name(value, "name it as it is called in the library, without its folder")

    def needs(self) -> StepNeeds:
        looks = (("looks", self.look, _LOOK_SUFFIXES),) if self._has_look else ()
        heroes = (("heroes", self.look_from, LAYER_SUFFIXES),) if self._has_hero else ()
        return replace(region_needs(self.where), library_files=(*heroes, *looks))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The picture with the grade laid on; the picture itself where nothing is asked of it."""
        opened = self._to_three_channels(picture)
        coloured = picture.channels > 1 or self._treats_channels_differently
        light = LinearLight(opened.icc)
        changes = [*self._light_changes(opened, light), *self._tone_changes(coloured), *self._look_changes(context)]
        placed = self._spatial_changes(light, coloured, context.seed)
        if not changes and not placed and not self._has_hero:
            return picture
        mask = context.detect.region(self.where, picture) if self.where else None
        if self._has_hero:
            changes = [*self._match_to_hero(opened, mask, light, context), *changes]
        if not changes and not placed:
            return picture

        def graded(pixels: Pixels, window: Window) -> Pixels:
            place = PiecePosition.from_window(window, opened.pixels)
            parts = len(placed) + bool(changes)
            if changes:
                pixels = map_slabs(pixels, _chain(changes), _partial_progress(context, 0, parts))
            for number, change in enumerate(placed, parts - len(placed)):
                own = pixels if changes or number else None  # what an earlier change made is nobody else's
                pixels = change(pixels, place, _partial_progress(context, number, parts), into=own)
            return pixels

        made = apply_through_mask_with_window(opened.pixels, mask, graded, self._halo_margin(picture))
        if made is None:
            return picture
        return opened.with_pixels(made if opened.channels == picture.channels or self._treats_channels_differently else made[:, :, :1])

    @property
    def _has_look(self) -> bool:
        return bool(self.look) and self.look_strength > 0

    @property
    def _has_hero(self) -> bool:
        return bool(self.look_from) and self.match.strength > 0

    def _match_to_hero(self, picture: Picture, mask: Mask | None, light: LinearLight, context: StepContext) -> list[PixelChange]:
        """What brings the picture to its hero; nothing where it is there already. Held where it cannot be, or only by force."""
        frame, hero = series_match.measure_frame(picture, mask), series_match.measure_frame(context.library.hero(self.look_from))
        if hero is None:
            raise InputError(f"There is too little to see of the hero {self.look_from} to measure its colours.", "Choose another hero.")
        if frame is None:
            context.results.record(hero=self.look_from, unmeasured="fewer than 64 visible pixels: left as it is")
            return []
        before = series_match.measure_drift(frame.quantile_means, hero.quantile_means)
        if before.mean < _INVISIBLE_DRIFT:
            context.results.record(hero=self.look_from, drift_before=_drift_record(before), drift_after=_drift_record(before), shift=0.0)
            return []
        found = series_match.match_frame(frame, hero, self.match.strength / 100, self.match.protect_neutrals / 100)
        cube = series_match.to_cube(found, light)
        change = look_change(cube, 1.0)
        ladder, shift = series_match.measure_shift(frame, change)
        after = series_match.measure_drift(ladder, hero.quantile_means)
        context.results.record(
            hero=self.look_from, drift_before=_drift_record(before), drift_after=_drift_record(after), shift=round(shift, 2)
        )
        self._check_drift(before.mean, after.mean, shift)
        self._save_match_cube(cube, context)
        return [change]

    def _check_drift(self, before: float, after: float, shift: float) -> None:
        told = f"It does not fit the hero {self.look_from}: its drift is {before:.1f} and after the match {after:.1f}"
        remedy = "Look at the picture: grade it by hand without look_from, choose another hero, or raise the limit in match."
        if after > self.match.max_drift:
            raise InputError(f"{told}, more than max_drift = {self.match.max_drift:g} (CIEDE2000).", remedy)
        if shift > self.match.max_shift:
            raise InputError(
                f"{told}, but for that its colours would move by {shift:.1f}, more than max_shift = {self.match.max_shift:g} (CIEDE2000).",
                remedy,
            )

    def _save_match_cube(self, cube: CubeLut, context: StepContext) -> None:
        """The match as a .cube: always into the archive, and beside the result where that was asked for."""
        data = format_cube(cube, f"{context.stem} to {self.look_from}")
        context.results.archive(Deliverable("_match", ".cube", data, {"hero": self.look_from}))
        if self.match.cube:
            context.results.add_beside(Deliverable("", ".cube", data, {"hero": self.look_from}))

    @property
    def _treats_channels_differently(self) -> bool:
        """True where the settings treat the channels differently: then a grey picture becomes a coloured one."""
        tinted = any(zone.temperature or zone.tint for zone in (self.shadows, self.midtones, self.highlights))
        balanced = self.white_balance != grade_settings.WhiteBalanceSettings() or self.split_tone.is_active
        curved = self.curves.has_channel_curves
        triples = (self.lift, self.gamma, self.gain, self.slope, self.offset, self.power)
        return self._has_hero or self._has_look or tinted or balanced or curved or any(len(set(triple)) > 1 for triple in triples)

    def _light_changes(self, picture: Picture, light: LinearLight) -> list[PixelChange]:
        """Exposure and white balance, which the camera would have done: first, and in linear light."""
        balance = self._white_balance_matrix(picture, light)
        return [exposure_change(light, self.exposure, balance)] if self.exposure or balance is not None else []

    def _white_balance_matrix(self, picture: Picture, light: LinearLight) -> Float64Array | None:
        asked = self.white_balance
        if asked == grade_settings.WhiteBalanceSettings():
            return None
        if not asked.white and asked.grey is None:
            return white_balance_from_temperature(light, asked.temperature / 100, asked.tint / 100)
        if asked.white:
            seen, what = light.linearise_colour(grade_settings.parse_hex_colour(asked.white)), f"{asked.white} is"
        else:
            seen, what = _mean_light(picture, light, asked.grey or (0, 0, 1, 1)), "What lies in the white balance's grey box is"
        found = white_balance_from_neutral(light, seen)
        if found is None:
            raise InputError(
                f"{what} too dark or too strong a colour to be made neutral.", "Name a place or a colour that ought to be grey."
            )
        return None if np.abs(found - np.eye(3)).max() < _IDENTITY_TOLERANCE else found

    def _tone_changes(self, in_colour: bool) -> list[PixelChange]:
        """Tone and colour of each pixel by itself, in order; neutral parts are left out, and so is the saturation of a grey picture."""
        changes: list[PixelChange] = []
        channels = [self._channel_tones(channel) for channel in range(3)]
        if any(channels):
            changes.append(tone_curve_change(channels))
        cdl = Cdl(self.slope, self.offset, self.power, self.saturation if in_colour else 1.0)
        if cdl != Cdl():
            changes.append(cdl_change(cdl))
        zones = [zone.to_balance() for zone in (self.shadows, self.midtones, self.highlights)] if in_colour else []
        if any(zone != ZoneBalance() for zone in zones):
            changes.append(zone_balance_change(*zones))
        split = self.split_tone
        if split.is_active:
            tints = [grade_settings.parse_hex_colour(one) if one else None for one in (split.shadows, split.highlights)]
            changes.append(split_tone_change(tints[0], tints[1], split.balance / 100, split.amount / 100))
        return changes

    def _channel_tones(self, channel: int) -> list[ToneCurve]:
        """What one channel goes through: contrast, curves, then lift, gamma and gain."""
        tones: list[ToneCurve] = []
        if self.contrast.amount:
            tones.append(contrast_curve(self.contrast.amount / 100, self.contrast.pivot / 100))
        tones += self.curves.channel_tones(channel)
        three = self.lift[channel], self.gamma[channel], self.gain[channel]
        if three != (0.0, 1.0, 1.0):
            tones.append(lift_gamma_gain_curve(*three))
        return tones

    def _look_changes(self, context: StepContext) -> list[PixelChange]:
        if not self._has_look:
            return []
        return [look_change(read_look(context.library.file("looks", self.look, _LOOK_SUFFIXES)), self.look_strength)]

    def _spatial_changes(self, light: LinearLight, in_colour: bool, seed: int) -> list[PositionedChange]:
        """What acts on the picture as a whole: the glow of what the grade made bright, then the vignette over both, then grain over all."""
        made: list[PositionedChange] = []
        halo, fall, grain = self.halation, self.vignette, self.grain
        if halo.amount:
            tint = grade_settings.parse_hex_colour(halo.colour) if in_colour else _ONES
            made.append(halation_change(light, halo.amount / 100, halo.threshold / 100, halo.radius / 1000, tint))
        if fall.amount:
            made.append(vignette_change(light, fall.amount / 100, fall.radius / 100, fall.softness / 100, fall.roundness / 100))
        if grain.amount:
            made.append(grain_change(grain.amount / 1000, grain.size / 1000, grain.colour / 100 if in_colour else 0.0, seed))
        return made

    def _halo_margin(self, picture: Picture) -> int:
        return halation_margin(self.halation.radius / 1000, max(picture.height, picture.width)) if self.halation.amount else 0

    def _to_three_channels(self, picture: Picture) -> Picture:
        """The picture with three channels. A grey one that is to be coloured comes to sRGB, for its profile knows no colour."""
        if picture.channels == 3:
            return picture
        if picture.icc is None or not self._treats_channels_differently:
            return replace(picture, pixels=freeze(np.repeat(picture.pixels, 3, axis=2)))
        if self.where:
            raise InputError(
                "The picture is grey and has a grey profile: colour cannot be laid on a part of it only.",
                "Leave out `where` in the grade step, or convert the picture to RGB first.",
            )
        grey = colour.from_linear(colour.to_linear(picture.pixels, picture.icc), None)
        return replace(picture, pixels=freeze(np.repeat(grey, 3, axis=2)), icc=None)


def _mean_light(picture: Picture, light: LinearLight, box: tuple[float, float, float, float]) -> Float64Array:
    """Mean linear light of a box given in fractions, (3,); at least the one pixel that it lies on."""
    x, y, width, height = box
    top, left = min(int(y * picture.height), picture.height - 1), min(int(x * picture.width), picture.width - 1)
    bottom, right = max(top + 1, round((y + height) * picture.height)), max(left + 1, round((x + width) * picture.width))
    seen = light.to_linear(np.ascontiguousarray(picture.pixels[top:bottom, left:right]))
    return np.asarray(seen.mean(axis=(0, 1), dtype=np.float64))


def _drift_record(drift: series_match.ColourDrift) -> dict[str, RecordValue]:
    return {"mean": round(drift.mean, 2), "p95": round(drift.p95, 2)}


def _partial_progress(context: StepContext, number: int, parts: int) -> OnProgress:
    return lambda done: context.progress.report((number + done) / parts)


def _chain(changes: list[PixelChange]) -> Callable[[Pixels], Pixels]:
    def change(pixels: Pixels) -> Pixels:
        for step in changes:
            pixels = step(pixels)
        return pixels

    return change
