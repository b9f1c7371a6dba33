"""The settings tables of ``grade``, each neutral by default."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.ops.grade.grading_changes import ZoneBalance
from goldsmith.ops.grade.look_files import RgbTriple
from goldsmith.ops.grade.selective_changes import HUE_NAMES, HueAdjustment, HueName
from goldsmith.ops.grade.tone_curves import ToneCurve, point_curve

SignedPercent = Annotated[float, Field(ge=-100, le=100)]
Percent = Annotated[float, Field(ge=0, le=100)]
HexColour = Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$")]


def _repeat_for_channels(value: object) -> object:
    """Return one number as three equal ones, and any other value unchanged."""
    return (value,) * 3 if isinstance(value, int | float) else value


_OneForAllChannels = BeforeValidator(_repeat_for_channels)
_Lift = Annotated[float, Field(ge=-1, le=1)]
_Gamma = Annotated[float, Field(ge=0.1, le=10)]
_Gain = Annotated[float, Field(ge=0, le=4)]
_Slope = Annotated[float, Field(ge=0, le=16)]
_Offset = Annotated[float, Field(ge=-4, le=4)]
_Power = Annotated[float, Field(ge=0.05, le=16)]
Lift = Annotated[tuple[_Lift, _Lift, _Lift], _OneForAllChannels]
Gamma = Annotated[tuple[_Gamma, _Gamma, _Gamma], _OneForAllChannels]
Gain = Annotated[tuple[_Gain, _Gain, _Gain], _OneForAllChannels]
Slope = Annotated[tuple[_Slope, _Slope, _Slope], _OneForAllChannels]
Offset = Annotated[tuple[_Offset, _Offset, _Offset], _OneForAllChannels]
Power = Annotated[tuple[_Power, _Power, _Power], _OneForAllChannels]
_UnitFloat = Annotated[float, Field(ge=0, le=1)]
_CurvePoints = Annotated[tuple[tuple[_UnitFloat, _UnitFloat], ...], Field(max_length=64)]


def parse_hex_colour(text: str) -> RgbTriple:
    """Return a colour such as "#ff8800" as three values 0..1."""
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


class _SettingsTable(BaseModel):
    """A table of settings that refuses unknown keys and infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True)


MatchBasis = Literal["auto", "colours", "light"]


class MatchSettings(_SettingsTable):
    """How a frame is matched to its hero, and when it is held."""

    by: MatchBasis = "auto"
    """colours: all colours, for frames of one subject; light: greys, skin and the brightest parts, for other subjects under one light;
    auto: colours, and light where the colours cannot be matched."""
    strength: Percent = 100
    """How far the match goes, in % (0 to 100)."""
    protect_neutrals: Percent = 0
    """How far colours that are nearly grey keep their tint, in % (0 to 100)."""
    max_drift: Annotated[float, Field(gt=0, le=100)] = 5
    """The picture is held if its drift after the match is larger (mean CIEDE2000 between the colours of equal lightness quantiles)."""
    max_shift: Annotated[float, Field(gt=0, le=100)] = 25
    """The picture is held if the match would shift its colours further (CIEDE2000, 95th percentile)."""
    cube: bool = False
    """Whether to write the match as a .cube file beside the result."""


class WhiteBalanceSettings(_SettingsTable):
    """White balance: temperature and tint, or a colour that should be white, or a part of the picture that should be grey."""

    temperature: SignedPercent = 0
    """-100 (blue) to 100 (amber), linear in mired."""
    tint: SignedPercent = 0
    """-100 (green) to 100 (magenta)."""
    white: HexColour = ""
    """The colour that should be neutral, such as "#f2e8d8", in the picture's own profile."""
    grey: tuple[_UnitFloat, _UnitFloat, _UnitFloat, _UnitFloat] | None = None
    """The part that should be neutral: [x, y, width, height] in fractions of the picture."""

    @model_validator(mode="after")
    def _check_one_method(self) -> Self:
        methods = [bool(self.temperature or self.tint), bool(self.white), self.grey is not None]
        if sum(methods) > 1:
            raise ValueError("sets several methods: keep temperature and tint, or white, or grey")
        if self.grey is not None and (min(self.grey[2:]) <= 0 or self.grey[0] + self.grey[2] > 1 or self.grey[1] + self.grey[3] > 1):
            raise ValueError("grey is [x, y, width, height] in fractions, and must lie inside the picture")
        return self


class ContrastSettings(_SettingsTable):
    """A smooth S-curve round a pivot."""

    amount: SignedPercent = 0
    """-100 (soft) to 100 (hard)."""
    pivot: Annotated[float, Field(ge=5, le=95)] = 50
    """The brightness that does not change, in % (5 to 95)."""


class CurveSettings(_SettingsTable):
    """Curves by their points [in, out], 0 to 1, from dark to bright."""

    master: _CurvePoints = ()
    """For all channels, before their own curves."""
    red: _CurvePoints = ()
    """For red."""
    green: _CurvePoints = ()
    """For green."""
    blue: _CurvePoints = ()
    """For blue."""

    @model_validator(mode="after")
    def _check_rising(self) -> Self:
        for name in ("master", "red", "green", "blue"):
            inputs = [point[0] for point in getattr(self, name)]
            if len(inputs) == 1 or any(after - before < 1e-3 for before, after in pairwise(inputs)):
                raise ValueError(f"{name} needs two points or more, each further right than the one before")
        return self

    @property
    def has_channel_curves(self) -> bool:
        """Whether a channel has a curve of its own that is not straight."""
        return any(before != after for points in (self.red, self.green, self.blue) for before, after in points)

    def channel_tones(self, channel: int) -> list[ToneCurve]:
        """Return the curves of one channel: master, then its own; straight curves are left out."""
        own = (self.red, self.green, self.blue)[channel]
        return [point_curve(points) for points in (self.master, own) if any(before != after for before, after in points)]


class SplitToneSettings(_SettingsTable):
    """One colour for the dark parts and one for the bright parts."""

    shadows: HexColour = ""
    """The colour of the dark parts, such as "#1f3a5f"."""
    highlights: HexColour = ""
    """The colour of the bright parts."""
    balance: SignedPercent = 0
    """-100 (the shadows' colour reaches up) to 100 (the highlights' reaches down)."""
    amount: Percent = 30
    """Strength of the colours, in % (0 to 100)."""

    @property
    def is_active(self) -> bool:
        """Whether the settings change the picture."""
        return bool((self.shadows or self.highlights) and self.amount)


class HalationSettings(_SettingsTable):
    """A glow round the brightest parts, as on film."""

    amount: Percent = 0
    """Strength, in % (0 to 100)."""
    threshold: Annotated[float, Field(ge=0, le=99)] = 80
    """Parts brighter than this glow, in % of full scale (0 to 99)."""
    radius: Annotated[float, Field(ge=0.5, le=50)] = 6
    """How far the glow reaches, in thousandths of the picture's long side (0.5 to 50)."""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#ff5a26"
    """The colour of the glow."""


class VignetteSettings(_SettingsTable):
    """Light that falls off towards the corners."""

    amount: SignedPercent = 0
    """Light that the corners lose, in % (at most 100); negative values brighten them."""
    radius: Annotated[float, Field(ge=5, le=100)] = 75
    """Where the fall-off lies, in % of the way from the centre to the corner (5 to 100)."""
    softness: Percent = 80
    """Softness of the fall-off (0 is a hard edge, 100 reaches from the centre to the corner)."""
    roundness: Percent = 0
    """0 follows the picture's shape, 100 is a circle."""


class GrainSettings(_SettingsTable):
    """Film grain."""

    amount: Percent = 0
    """Strength: 100 is a standard deviation of a tenth of full scale in mid-grey."""
    size: Annotated[float, Field(ge=0.05, le=3)] = 0.6
    """Width of a grain, in thousandths of the picture's long side (0.05 to 3)."""
    colour: Percent = 0
    """0 is grey; 100 gives each channel its own grain."""


class ZoneSettings(_SettingsTable):
    """Changes to one range of brightness."""

    lightness: SignedPercent = 0
    """-100 (darker) to 100 (lighter); black and white stay."""
    temperature: SignedPercent = 0
    """-100 (blue) to 100 (amber)."""
    tint: SignedPercent = 0
    """-100 (green) to 100 (magenta)."""
    saturation: SignedPercent = 0
    """-100 (grey) to 100 (twice as colourful)."""

    def to_balance(self) -> ZoneBalance:
        """Return the settings as factors -1..1."""
        return ZoneBalance(self.temperature / 100, self.tint / 100, self.saturation / 100)


class HueSettings(_SettingsTable):
    """Changes to the colours of one hue."""

    saturation: SignedPercent = 0
    """-100 (grey) to 100 (twice as colourful)."""
    lightness: SignedPercent = 0
    """-100 (darker) to 100 (lighter)."""


class HuesSettings(_SettingsTable):
    """Changes to the colours of eight hues, each fading into its neighbours."""

    red: HueSettings = HueSettings()
    """Reds."""
    orange: HueSettings = HueSettings()
    """Oranges, and most skin."""
    yellow: HueSettings = HueSettings()
    """Yellows."""
    green: HueSettings = HueSettings()
    """Greens."""
    aqua: HueSettings = HueSettings()
    """Aquas, between green and blue."""
    blue: HueSettings = HueSettings()
    """Blues, and most skies."""
    purple: HueSettings = HueSettings()
    """Purples."""
    magenta: HueSettings = HueSettings()
    """Magentas, between purple and red."""

    def to_adjustments(self) -> dict[HueName, HueAdjustment]:
        """Return the hues that change, as factors -1..1."""
        hues = {name: getattr(self, name) for name in HUE_NAMES}
        return {name: HueAdjustment(hue.saturation / 100, hue.lightness / 100) for name, hue in hues.items() if hue != HueSettings()}
