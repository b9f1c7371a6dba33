"""The tables of settings that ``grade`` knows, each neutral by default."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.ops.grade.grading_changes import ZoneBalance
from goldsmith.ops.grade.look_files import RgbTriple
from goldsmith.ops.grade.tone_curves import ToneCurve, point_curve

SignedPercent = Annotated[float, Field(ge=-100, le=100)]
Percent = Annotated[float, Field(ge=0, le=100)]
HexColour = Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$")]


def _repeat_for_channels(value: object) -> object:
    """One number stands for all three channels."""
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
    """A colour as it is written, "#ff8800", as 0..1."""
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


class _SettingsTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class MatchSettings(_SettingsTable):
    """How a frame is brought to its hero, and when it is held."""

    strength: Percent = 100
    """How much of the way, in % (0 to 100)."""
    protect_neutrals: Percent = 0
    """How far what is grey already keeps its tint, in % (0 to 100)."""
    max_drift: Annotated[float, Field(gt=0, le=100)] = 5
    """Held where the drift after the match is larger (CIEDE2000 between the two ladders, the mean)."""
    max_shift: Annotated[float, Field(gt=0, le=100)] = 25
    """Held where the match would move colours further (CIEDE2000, the 95th percentile of the picture)."""
    cube: bool = False
    """True: the match is put beside the result, too, as a .cube of its name."""


class WhiteBalanceSettings(_SettingsTable):
    """What is to be neutral: by temperature and tint, by a colour that should be white, or by a place that should be grey."""

    temperature: SignedPercent = 0
    """-100 (blue) to 100 (amber), evenly in mired."""
    tint: SignedPercent = 0
    """-100 (green) to 100 (magenta)."""
    white: HexColour = ""
    """The colour that should be neutral, "#f2e8d8", in the picture's own values."""
    grey: tuple[_UnitFloat, _UnitFloat, _UnitFloat, _UnitFloat] | None = None
    """The place that should be neutral: [x, y, width, height] in fractions of the picture."""

    @model_validator(mode="after")
    def _check_one_method(self) -> Self:
        ways = [bool(self.temperature or self.tint), bool(self.white), self.grey is not None]
        if sum(ways) > 1:
            raise ValueError("says it in several ways: keep temperature and tint, or white, or grey")
        if self.grey is not None and (min(self.grey[2:]) <= 0 or self.grey[0] + self.grey[2] > 1 or self.grey[1] + self.grey[3] > 1):
            raise ValueError("grey is [x, y, width, height] in fractions, and must lie inside the picture")
        return self


class ContrastSettings(_SettingsTable):
    """A smooth S round a pivot."""

    amount: SignedPercent = 0
    """-100 (soft) to 100 (hard)."""
    pivot: Annotated[float, Field(ge=5, le=95)] = 50
    """The brightness that stays, in % (5 to 95)."""


class CurveSettings(_SettingsTable):
    """Curves by their points [in, out], 0 to 1, from dark to bright."""

    master: _CurvePoints = ()
    """For all channels, before their own."""
    red: _CurvePoints = ()
    """For red."""
    green: _CurvePoints = ()
    """For green."""
    blue: _CurvePoints = ()
    """For blue."""

    @model_validator(mode="after")
    def _check_rising(self) -> Self:
        for name in ("master", "red", "green", "blue"):
            places = [point[0] for point in getattr(self, name)]
            if len(places) == 1 or any(after - before < 1e-3 for before, after in pairwise(places)):
                raise ValueError(f"{name} needs two points or more, each further right than the one before")
        return self

    @property
    def has_channel_curves(self) -> bool:
        """True where a channel has a curve of its own that bends."""
        return any(at != to for points in (self.red, self.green, self.blue) for at, to in points)

    def channel_tones(self, channel: int) -> list[ToneCurve]:
        """What one channel goes through; a curve that is straight is left out."""
        own = (self.red, self.green, self.blue)[channel]
        return [point_curve(points) for points in (self.master, own) if any(at != to for at, to in points)]


class SplitToneSettings(_SettingsTable):
    """A colour for the dark parts and one for the bright ones."""

    shadows: HexColour = ""
    """The colour of the dark parts, "#1f3a5f"."""
    highlights: HexColour = ""
    """The colour of the bright parts."""
    balance: SignedPercent = 0
    """-100 (the shadows' colour reaches up) to 100 (the highlights' reaches down)."""
    amount: Percent = 30
    """How much of the colours, in % (0 to 100)."""

    @property
    def is_active(self) -> bool:
        return bool((self.shadows or self.highlights) and self.amount)


class HalationSettings(_SettingsTable):
    """A glow round the brightest parts, as film has it."""

    amount: Percent = 0
    """How strong, in % (0 to 100)."""
    threshold: Annotated[float, Field(ge=0, le=99)] = 80
    """What is brighter glows, in % of full scale (0 to 99)."""
    radius: Annotated[float, Field(ge=0.5, le=50)] = 6
    """How far the glow reaches, in thousandths of the picture's long side (0.5 to 50)."""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#ff5a26"
    """Its colour."""


class VignetteSettings(_SettingsTable):
    """Light that falls off towards the corners."""

    amount: SignedPercent = 0
    """% of the light that the corners lose, at most 100; below 0 they gain."""
    radius: Annotated[float, Field(ge=5, le=100)] = 75
    """Where it lies, in % of the way from the middle to the corner (5 to 100)."""
    softness: Percent = 80
    """How gradual it is (0 a hard edge, 100 from the middle to the corner)."""
    roundness: Percent = 0
    """0 follows the picture's shape, 100 is a circle."""


class GrainSettings(_SettingsTable):
    """Film grain."""

    amount: Percent = 0
    """How strong: 100 is a standard deviation of a tenth of full scale in mid-grey."""
    size: Annotated[float, Field(ge=0.05, le=3)] = 0.6
    """How wide a grain is, in thousandths of the picture's long side (0.05 to 3)."""
    colour: Percent = 0
    """0 is grey, 100 gives each channel its own."""


class ZoneSettings(_SettingsTable):
    """What is done to one range of brightness."""

    temperature: SignedPercent = 0
    """-100 (blue) to 100 (amber)."""
    tint: SignedPercent = 0
    """-100 (green) to 100 (magenta)."""
    saturation: SignedPercent = 0
    """-100 (grey) to 100 (twice as colourful)."""

    def to_balance(self) -> ZoneBalance:
        return ZoneBalance(self.temperature / 100, self.tint / 100, self.saturation / 100)
