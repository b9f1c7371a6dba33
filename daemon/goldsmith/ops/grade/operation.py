"""The ``grade`` operation: light, tone, balance, a look, and the effects of lens and film."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

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
from goldsmith.ops.grade import grade_settings, light_match, series_match
from goldsmith.ops.grade.film_effects import (
    PiecePosition,
    PositionedChange,
    grain_change,
    halation_change,
    halation_margin,
    vignette_change,
)
from goldsmith.ops.grade.grading_changes import ZoneBalance, cdl_change, look_change, split_tone_change, zone_balance_change
from goldsmith.ops.grade.look_files import Cdl, CubeLut, format_cube, read_look, sample_cube
from goldsmith.ops.grade.selective_changes import hue_change, vibrance_change, zone_lightness_change
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
# CIEDE2000. A smaller drift is invisible: the frame is left unchanged.
_INVISIBLE_DRIFT = 0.5
# CIEDE2000. Of 25 reframed photographs and 25 of which the hero shows the other half, those with less drift left by the match of all
# colours came nearer to their true colours by it, those with more by the match of the light.
_SURE_DRIFT = 2.0
# About one 16-bit code. A smaller change of light is below the precision of the profiles' own numbers.
_IDENTITY_TOLERANCE = 1.5e-5
_ONES, _ZEROS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


class Grade(PictureOperation):
    """Grade the colour: match a hero frame, light, tone, CDL, zones, a look, halation, vignette, grain.

    The order is that of a camera and a print: light first, in linear light; then tone and colour on display values; then the effects that
    act on the picture as a whole. All work in the picture's own profile, which is kept.
    """

    credential_action: ClassVar[str] = "c2pa.color_adjustments"
    also_called: ClassVar[str] = (
        "color colour color-grade colour-grade color-grading colour-grading color-correction colour-correction grading lut look "
        "tone saturation brightness contrast exposure temperature white-balance vignette grain curves black-and-white "
        "vibrance hsl dodge burn"
    )
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "look": "lut",
            "white_balance": "temperature tint",
            "saturation": "colour color",
            "hues": "hsl hue colours colors",
            "shoulder": "soft-clip rolloff roll-off highlight-recovery",
            "exposure": "brightness",
            "look_strength": "intensity strength",
        }
    )

    look_from: str = Field(default="", max_length=200)
    """The hero frame that this picture is matched to, by its name in library/heroes/; the match comes first."""
    match: grade_settings.MatchSettings = grade_settings.MatchSettings()
    """How the picture is matched to the hero, and when it is held."""
    exposure: float = Field(default=0.0, ge=-8, le=8)
    """Stops of light (-8 to 8)."""
    shoulder: grade_settings.Percent = 40
    """The upper part of the display range, in %, into which light above white is compressed if exposure brightens (0 clips it)."""
    gamut: grade_settings.Percent = 20
    """The outer part of the gamut, in %, into which colours that would leave it are compressed (0 stops them at its edge)."""
    white_balance: grade_settings.WhiteBalanceSettings = grade_settings.WhiteBalanceSettings()
    """White balance by temperature and tint, or by a colour or a part of the picture that should be neutral."""
    contrast: grade_settings.ContrastSettings = grade_settings.ContrastSettings()
    """A smooth S-curve that keeps black, white and its pivot."""
    curves: grade_settings.CurveSettings = grade_settings.CurveSettings()
    """Curves by points, for all channels and for each channel."""
    lift: grade_settings.Lift = _ZEROS
    """Moves black and keeps white, one number or [red, green, blue] (-1 to 1, neutral 0)."""
    gamma: grade_settings.Gamma = _ONES
    """Moves the midtones (above 1 brightens), one number or [red, green, blue] (0.1 to 10, neutral 1)."""
    gain: grade_settings.Gain = _ONES
    """Moves white and keeps black, one number or [red, green, blue] (0 to 4, neutral 1)."""
    slope: grade_settings.Slope = _ONES
    """ASC CDL slope (gain), one number or [red, green, blue] (0 to 16, neutral 1)."""
    offset: grade_settings.Offset = _ZEROS
    """ASC CDL offset (added to all values), one number or [red, green, blue] (-4 to 4, neutral 0)."""
    power: grade_settings.Power = _ONES
    """ASC CDL power (gamma; above 1 darkens), one number or [red, green, blue] (0.05 to 16, neutral 1)."""
    saturation: float = Field(default=1.0, ge=0, le=4)
    """ASC CDL saturation (0 = grey, 1 = neutral, at most 4)."""
    vibrance: grade_settings.SignedPercent = 0
    """Saturation that acts most on dull colours and least on skin (-100 to 100)."""
    hues: grade_settings.HuesSettings = grade_settings.HuesSettings()
    """Saturation and lightness of eight hues, each -100 to 100."""
    shadows: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Lightness, temperature, tint and saturation of the dark parts, each -100 to 100."""
    midtones: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Lightness, temperature, tint and saturation of the midtones, each -100 to 100."""
    highlights: grade_settings.ZoneSettings = grade_settings.ZoneSettings()
    """Lightness, temperature, tint and saturation of the bright parts, each -100 to 100."""
    split_tone: grade_settings.SplitToneSettings = grade_settings.SplitToneSettings()
    """One colour for the dark parts and one for the bright parts."""
    look: str = Field(default="", max_length=200)
    """A look by name: library/looks/NAME.cube, .cdl or .cc, or the picture's own sidecar."""
    look_strength: float = Field(default=1.0, ge=0, le=1)
    """How strongly the look is applied (0 to 1)."""
    halation: grade_settings.HalationSettings = grade_settings.HalationSettings()
    """A glow round the brightest parts, as on film."""
    vignette: grade_settings.VignetteSettings = grade_settings.VignetteSettings()
    """Light that falls off towards the corners."""
    grain: grade_settings.GrainSettings = grade_settings.GrainSettings()
    """Film grain, applied last."""
    cube: bool = False
    """Whether to write the grade as a .cube file beside the result: everything but halation, vignette, grain and the region."""
    where: RegionExpression = ""
    """The region to grade: a mask's name or an expression such as "mask & left"; empty means the whole picture."""

    @field_validator("look", "look_from")
    @classmethod
    def _check_library_name(cls, value: str) -> str:
        return check_bare_name(value, "give its name in the library, without the folder")

    @model_validator(mode="after")
    def _check_one_cube(self) -> Self:
        if self.cube and self.match.cube:
            raise ValueError("cube contains the match too: delete match.cube")
        return self

    def needs(self) -> StepNeeds:
        """Return the mask of ``where``, and the hero and the look of the library."""
        looks = (("looks", self.look, _LOOK_SUFFIXES),) if self._has_look else ()
        heroes = (("heroes", self.look_from, LAYER_SUFFIXES),) if self._has_hero else ()
        return replace(region_needs(self.where), library_files=(*heroes, *looks))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the graded picture, or the picture itself if all settings are neutral."""
        rgb = self._to_three_channels(picture)
        is_colour = picture.channels > 1 or self._treats_channels_differently
        light = LinearLight(rgb.icc)
        changes = [*self._light_changes(rgb, light), *self._tone_changes(is_colour), *self._look_changes(context)]
        spatial = self._spatial_changes(light, is_colour, context.seed)
        if not changes and not spatial and not self._has_hero:
            return picture
        mask = context.detect.region(self.where, picture) if self.where else None
        if self._has_hero:
            changes = [*self._match_to_hero(rgb, mask, context), *changes]
        if not changes and not spatial:
            return picture
        if self.cube and changes:
            context.results.add_beside(Deliverable("", ".cube", format_cube(sample_cube(_chain(changes)), f"{context.stem} graded"), {}))

        if changes and not spatial and mask is None and rgb.channels == picture.channels:
            return rgb.with_change(_chain(changes))

        def graded(pixels: Pixels, window: Window) -> Pixels:
            position = PiecePosition.from_window(window, rgb.pixels)
            parts = len(spatial) + bool(changes)
            if changes:
                pixels = map_slabs(pixels, _chain(changes), _partial_progress(context, 0, parts))
            for index, change in enumerate(spatial, parts - len(spatial)):
                target = pixels if changes or index else None  # no other code holds the result of an earlier change
                pixels = change(pixels, position, _partial_progress(context, index, parts), into=target)
            return pixels

        graded_pixels = apply_through_mask_with_window(rgb.pixels, mask, graded, self._halo_margin(picture))
        if graded_pixels is None:
            return picture
        return rgb.with_pixels(
            graded_pixels if rgb.channels == picture.channels or self._treats_channels_differently else graded_pixels[:, :, :1]
        )

    @property
    def _has_look(self) -> bool:
        return bool(self.look) and self.look_strength > 0

    @property
    def _has_hero(self) -> bool:
        return bool(self.look_from) and self.match.strength > 0

    def _match_to_hero(self, picture: Picture, mask: Mask | None, context: StepContext) -> list[PixelChange]:
        """Return the change that matches the picture to its hero; no change if the picture already matches or shows too little.

        Raises InputError if the hero shows too little, or if the match exceeds one of its limits.
        """
        frame, hero = series_match.measure_frame(picture, mask), series_match.measure_frame(context.library.hero(self.look_from))
        if hero is None:
            raise InputError(f"The hero {self.look_from} has too few visible pixels to measure its colours.", "Choose another hero.")
        if frame is None:
            context.results.record(hero=self.look_from, not_measured="fewer than 64 visible pixels: left unchanged")
            return []
        before = series_match.measure_drift(frame.quantile_means, hero.quantile_means)
        if before.mean < _INVISIBLE_DRIFT:
            context.results.record(hero=self.look_from, drift_before=_drift_record(before), drift_after=_drift_record(before), shift=0.0)
            return []
        attempts = self._match_attempts(frame, hero)
        attempt = self._choose_attempt(attempts)
        context.results.record(
            hero=self.look_from,
            matched_by=attempt.basis,
            drift_before=_drift_record(attempt.before),
            drift_after=_drift_record(attempt.after),
            shift=round(attempt.shift, 2),
        )
        self._check_drift(attempt, [other.basis for other in attempts])
        self._save_match_cube(attempt.cube, context)
        return [look_change(attempt.cube, 1.0)]

    def _match_attempts(self, frame: series_match.FrameColours, hero: series_match.FrameColours) -> list[light_match.MatchAttempt]:
        """Return the matches that ``match.by`` allows, the preferred one first.

        Raises InputError if only the light may be matched, and the frame or the hero has no greys.
        """
        strength, protection = self.match.strength / 100, self.match.protect_neutrals / 100
        attempts = []
        if self.match.by != "light":
            attempts.append(light_match.attempt_colours(frame, hero, strength, protection))
        if self.match.by != "colours":
            attempt = light_match.attempt_light(frame, hero, strength, protection)
            attempts += [] if attempt is None else [attempt]
        if not attempts:
            raise InputError(
                f"The picture, or the hero {self.look_from}, has no greys that show its light.",
                'Grade the picture by hand without look_from, choose another hero, or set by = "colours" in match.',
            )
        return attempts

    def _choose_attempt(self, attempts: list[light_match.MatchAttempt]) -> light_match.MatchAttempt:
        """Return the match by colours if hardly any drift is left, else that by the light, as far as they are within the limits."""
        within = [attempt for attempt in attempts if self._is_within_limits(attempt)]
        weakness = 1 - self.match.strength / 100
        sure = [each for each in within if each.basis == "light" or each.after.mean <= _SURE_DRIFT + weakness * each.before.mean]
        return (sure or within or attempts)[0]

    def _is_within_limits(self, attempt: light_match.MatchAttempt) -> bool:
        """Return whether the drift after the match and the shift of the colours are within their limits."""
        return attempt.after.mean <= self.match.max_drift and attempt.shift <= self.match.max_shift

    def _check_drift(self, attempt: light_match.MatchAttempt, tried: list[str]) -> None:
        """Raise InputError if the drift after the match, or the shift of colours, exceeds its limit."""
        before, after, shift = attempt.before.mean, attempt.after.mean, attempt.shift
        problem = f"The picture does not match the hero {self.look_from}: its drift is {before:.1f}, after the match {after:.1f}"
        remedy = "Check the picture: grade it by hand without look_from, choose another hero, or raise the limit in match."
        if tried == ["colours", "light"]:
            remedy = f"Its light does not match either. {remedy}"
        if after > self.match.max_drift:
            raise InputError(f"{problem}, more than max_drift = {self.match.max_drift:g} (CIEDE2000).", remedy)
        if shift > self.match.max_shift:
            raise InputError(
                f"{problem}, but its colours would shift by {shift:.1f}, more than max_shift = {self.match.max_shift:g} (CIEDE2000).",
                remedy,
            )

    def _save_match_cube(self, cube: CubeLut, context: StepContext) -> None:
        """Save the match as a .cube file: always in the archive, and beside the result if ``match.cube`` is set."""
        data = format_cube(cube, f"{context.stem} to {self.look_from}")
        context.results.archive(Deliverable("_match", ".cube", data, {"hero": self.look_from}))
        if self.match.cube:
            context.results.add_beside(Deliverable("", ".cube", data, {"hero": self.look_from}))

    @property
    def _treats_channels_differently(self) -> bool:
        """Whether the settings treat the channels differently; if so, a grey picture becomes RGB."""
        tinted = any(zone.temperature or zone.tint for zone in (self.shadows, self.midtones, self.highlights))
        balanced = self.white_balance != grade_settings.WhiteBalanceSettings() or self.split_tone.is_active
        curved = self.curves.has_channel_curves
        triples = (self.lift, self.gamma, self.gain, self.slope, self.offset, self.power)
        return self._has_hero or self._has_look or tinted or balanced or curved or any(len(set(triple)) > 1 for triple in triples)

    def _light_changes(self, picture: Picture, light: LinearLight) -> list[PixelChange]:
        """Return exposure and white balance as one change in linear light; none if both are neutral."""
        balance = self._white_balance_matrix(picture, light)
        if not self.exposure and balance is None:
            return []
        return [exposure_change(light, self.exposure, balance, self.shoulder / 100, self.gamut / 100)]

    def _white_balance_matrix(self, picture: Picture, light: LinearLight) -> Float64Array | None:
        """Return the matrix (3, 3) for linear light, or None if it is neutral.

        Raises InputError if the reference is too dark or too saturated to be made neutral.
        """
        settings = self.white_balance
        if settings == grade_settings.WhiteBalanceSettings():
            return None
        if not settings.white and settings.grey is None:
            return white_balance_from_temperature(light, settings.temperature / 100, settings.tint / 100)
        if settings.white:
            reference, subject = light.linearise_colour(grade_settings.parse_hex_colour(settings.white)), f"{settings.white} is"
        else:
            reference, subject = _mean_light(picture, light, settings.grey or (0, 0, 1, 1)), "The grey box of the white balance is"
        matrix = white_balance_from_neutral(light, reference)
        if matrix is None:
            raise InputError(f"{subject} too dark or too saturated to be made neutral.", "Choose a box or a colour that should be grey.")
        return None if np.abs(matrix - np.eye(3)).max() < _IDENTITY_TOLERANCE else matrix

    def _tone_changes(self, in_colour: bool) -> list[PixelChange]:
        """Return the changes of tone and colour in order, without neutral ones, and without saturation for a grey picture."""
        changes: list[PixelChange] = []
        channels = [self._channel_tones(channel) for channel in range(3)]
        if any(channels):
            changes.append(tone_curve_change(channels))
        cdl = Cdl(self.slope, self.offset, self.power, self.saturation if in_colour else 1.0)
        if cdl != Cdl():
            changes.append(cdl_change(cdl))
        changes += self._selective_changes(in_colour)
        split = self.split_tone
        if split.is_active:
            tints = [grade_settings.parse_hex_colour(text) if text else None for text in (split.shadows, split.highlights)]
            changes.append(split_tone_change(tints[0], tints[1], split.balance / 100, split.amount / 100))
        return changes

    def _selective_changes(self, in_colour: bool) -> list[PixelChange]:
        """Return vibrance, hues, then lightness and balance of the zones, without neutral ones; a grey picture has only the lightness."""
        changes: list[PixelChange] = []
        gamut = self.gamut / 100
        if self.vibrance and in_colour:
            changes.append(vibrance_change(self.vibrance / 100, gamut))
        hues = self.hues.to_adjustments() if in_colour else {}
        if hues:
            changes.append(hue_change(hues, gamut))
        zones = (self.shadows, self.midtones, self.highlights)
        if any(zone.lightness for zone in zones):
            changes.append(zone_lightness_change(*(zone.lightness / 100 for zone in zones), gamut=gamut))
        balances = [zone.to_balance() for zone in zones] if in_colour else []
        if any(balance != ZoneBalance() for balance in balances):
            changes.append(zone_balance_change(*balances, gamut=gamut))
        return changes

    def _channel_tones(self, channel: int) -> list[ToneCurve]:
        """Return the curves of one channel: contrast, points, then lift, gamma and gain."""
        tones: list[ToneCurve] = []
        if self.contrast.amount:
            tones.append(contrast_curve(self.contrast.amount / 100, self.contrast.pivot / 100))
        tones += self.curves.channel_tones(channel)
        values = self.lift[channel], self.gamma[channel], self.gain[channel]
        if values != (0.0, 1.0, 1.0):
            tones.append(lift_gamma_gain_curve(*values))
        return tones

    def _look_changes(self, context: StepContext) -> list[PixelChange]:
        """Return the look as a change; none if no look is set."""
        if not self._has_look:
            return []
        return [look_change(read_look(context.library.file("looks", self.look, _LOOK_SUFFIXES)), self.look_strength)]

    def _spatial_changes(self, light: LinearLight, in_colour: bool, seed: int) -> list[PositionedChange]:
        """Return the changes that act on the picture as a whole: halation, then the vignette over it, then grain over both."""
        changes: list[PositionedChange] = []
        halation, vignette, grain = self.halation, self.vignette, self.grain
        if halation.amount:
            tint = grade_settings.parse_hex_colour(halation.colour) if in_colour else _ONES
            changes.append(halation_change(light, halation.amount / 100, halation.threshold / 100, halation.radius / 1000, tint))
        if vignette.amount:
            changes.append(
                vignette_change(light, vignette.amount / 100, vignette.radius / 100, vignette.softness / 100, vignette.roundness / 100)
            )
        if grain.amount:
            changes.append(grain_change(grain.amount / 1000, grain.size / 1000, grain.colour / 100 if in_colour else 0.0, seed))
        return changes

    def _halo_margin(self, picture: Picture) -> int:
        """Return how many px of context halation needs; 0 without halation."""
        return halation_margin(self.halation.radius / 1000, max(picture.height, picture.width)) if self.halation.amount else 0

    def _to_three_channels(self, picture: Picture) -> Picture:
        """Return the picture with three channels. A grey picture that gets colour is converted to sRGB, because its profile has no colour.

        Raises InputError if only a region of a picture with a grey profile is to be graded in colour.
        """
        if picture.channels == 3:
            return picture
        if picture.icc is None or not self._treats_channels_differently:
            return replace(picture, pixels=freeze(np.repeat(picture.pixels, 3, axis=2)))
        if self.where:
            raise InputError(
                "The picture is grey and has a grey profile: colour cannot be applied to a part of it.",
                "Leave out `where` in the grade step, or convert the picture to RGB first.",
            )
        grey = colour.from_linear(colour.to_linear(picture.pixels, picture.icc), None)
        return replace(picture, pixels=freeze(np.repeat(grey, 3, axis=2)), icc=None)


def _mean_light(picture: Picture, light: LinearLight, box: tuple[float, float, float, float]) -> Float64Array:
    """Return the mean linear light (3,), 0..1, of a box given in fractions; at least of the one pixel at its corner."""
    x, y, width, height = box
    top, left = min(int(y * picture.height), picture.height - 1), min(int(x * picture.width), picture.width - 1)
    bottom, right = max(top + 1, round((y + height) * picture.height)), max(left + 1, round((x + width) * picture.width))
    box_light = light.to_linear(np.ascontiguousarray(picture.pixels[top:bottom, left:right]))
    return np.asarray(box_light.mean(axis=(0, 1), dtype=np.float64))


def _drift_record(drift: series_match.ColourDrift) -> dict[str, RecordValue]:
    """Return a drift for the record, in CIEDE2000."""
    return {"mean": round(drift.mean, 2), "p95": round(drift.p95, 2)}


def _partial_progress(context: StepContext, index: int, parts: int) -> OnProgress:
    """Return a callback that reports the progress of one part of several."""
    return lambda share: context.progress.report((index + share) / parts)


def _chain(changes: list[PixelChange]) -> Callable[[Pixels], Pixels]:
    """Return one change that applies all changes in order."""

    def change(pixels: Pixels) -> Pixels:
        for single in changes:
            pixels = single(pixels)
        return pixels

    return change
