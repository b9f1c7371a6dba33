"""What a generating model follows besides words: the settings ``control`` and ``reference_strength``, and how they become guides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.engines.kinds import CONTROL_NET, REFERENCE_ADAPTER
from goldsmith.engines.protocols import ControlName, ControlNet, EngineNeed, ReferenceAdapter
from goldsmith.errors import InputError
from goldsmith.operation import StepContext, StepInputs
from goldsmith.picture import colour
from goldsmith.picture.picture import Picture, Pixels, freeze, quantise

# The two thresholds of Canny's edges; the first control models for edges were trained with them. Source: lllyasviel/sd-controlnet-canny.
_LOW_EDGE, _HIGH_EDGE = 100, 200
# Controls that are made from the step's own picture if there is no file.
_SELF_MADE = ("edges", "tile")
# How far the shapes of a picture and its control picture may differ, as a share of the ratio of their sides.
_MAX_SHAPE_DIFFERENCE = 0.02


class Control(BaseModel):
    """What the result follows: the picture ``hero.control.KIND.png`` beside the brief, and how strongly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: ControlName
    """What the control picture shows: depth, edges, pose or tile."""
    model: str | None = None
    """A control model in config/models.toml; default: the first one on this machine for this kind and this family of models."""
    strength: Annotated[float, Field(gt=0, le=2)] = 1.0
    """How strongly the result follows it (0 to 2)."""
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """From which part of the steps on it acts (0 to 1)."""
    end: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Up to which part of the steps it acts (0 to 1)."""
    refine: bool = False
    """Whether the second pass of regenerate follows it too."""

    @model_validator(mode="after")
    def _check_range(self) -> Control:
        if self.start >= self.end:
            raise ValueError(f"start = {self.start:g} must be less than end = {self.end:g}")
        return self

    def need(self, guided: EngineNeed[Any], family: str = "") -> EngineNeed[ControlNet]:
        """Return the need for its control model. guided: the need for the model that it guides; family: of that model, if it is known."""
        return EngineNeed(CONTROL_NET, self.model, control=self.kind, guides=guided, family=family)

    def missing_picture(self, inputs: StepInputs) -> str:
        """Return the end of a sentence that begins with "control" if its picture is not beside the brief; "" if it is, or can be made."""
        if self.kind in _SELF_MADE or inputs.controls & {self.kind, ""}:
            return ""
        return f"is {self.kind}, but there is no picture of it beside the brief, such as NAME.control.{self.kind}.png: put one there."

    def open_picture(self, context: StepContext, pictures: Sequence[Picture]) -> Picture | None:
        """Return the control picture; None if it is made from the step's own picture.

        Raises InputError if there is none and none can be made, or if it has another shape than one of the pictures.
        """
        name, control = f"{context.stem}.control.{self.kind}.png", context.library.control_picture(self.kind)
        if control is None:
            if self.kind not in _SELF_MADE or not pictures:
                because = " and no picture to make it from." if self.kind in _SELF_MADE else "."
                raise InputError(
                    f"control = {self.kind}, but there is no {name} beside the brief{because}",
                    "Put one there, or remove control from the step.",
                )
            return None
        for picture in pictures:
            if abs(control.width / control.height * picture.height / picture.width - 1) > _MAX_SHAPE_DIFFERENCE:
                raise InputError(
                    f"{name} has another shape ({control.width} x {control.height} px) than the picture "
                    f"({picture.width} x {picture.height} px).",
                    "A control picture covers the same view as the picture: crop it to the same shape.",
                )
        return control

    def make(self, pixels: Pixels) -> Pixels:
        """Return the control picture that is made from a picture, (h, w, 3), 0..1, sRGB: its edges, or itself as a tile."""
        return draw_edges(pixels) if self.kind == "edges" else pixels


def _from_word(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


# The setting as a table, or as the word of its kind alone: control = "edges".
ControlSetting = Annotated[Control | None, BeforeValidator(_from_word)]
# How strongly the result follows the reference pictures, by an adapter.
ReferenceStrength = Annotated[float, Field(gt=0, le=1)]


def adapter_need(model: str | None, guided: EngineNeed[Any], family: str = "") -> EngineNeed[ReferenceAdapter]:
    """Return the need for a reference adapter. guided: the need for the model that it guides; family: of that model, if it is known."""
    return EngineNeed(REFERENCE_ADAPTER, model, guides=guided, family=family)


def check_reference_settings(strength: float | None, model: str | None, *, uses_references: bool) -> None:
    """Raise ValueError if the settings about reference pictures contradict each other. uses_references: False if the step ignores them."""
    if strength is None and model is not None:
        raise ValueError("reference_model needs reference_strength: without it, the model looks at the reference pictures itself")
    if strength is not None and not uses_references:
        raise ValueError("give reference_strength or references = false, not both: the reference pictures would be ignored")


def missing_reference(strength: float | None, inputs: StepInputs) -> str:
    """Return the end of a sentence that begins with "reference_strength" if no reference picture is beside the brief; "" if one is."""
    if strength is None or inputs.has_references:
        return ""
    return f"is {strength:g}, but there is no reference picture beside the brief, such as NAME.ref.png: put one there."


def open_references(strength: float | None, context: StepContext) -> tuple[Pixels, ...]:
    """Return the reference pictures beside the brief, (h, w, 3), 0..1, sRGB. Raises InputError if there are none.

    strength: the setting reference_strength; None if the model looks at the pictures itself.
    """
    pictures = tuple(to_model_pixels(picture) for picture in context.library.reference_pictures())
    if not pictures:
        setting = "references = true" if strength is None else f"reference_strength = {strength:g}"
        sentence = f"{setting}, but there is no reference picture beside the brief ({context.stem}.ref.png)."
        raise InputError(sentence, f"Put one there, or remove {setting.partition(' ')[0]} from the step.")
    return pictures


def draw_edges(pixels: Pixels) -> Pixels:
    """Return the edges of a picture, (h, w, 3), 0..1, sRGB: white lines on black, of the same size (Canny, 1986)."""
    import cv2

    gray = cv2.cvtColor(quantise(pixels, 8), cv2.COLOR_RGB2GRAY)
    lines = cv2.Canny(gray, _LOW_EDGE, _HIGH_EDGE).astype(np.float32) / 255
    return freeze(np.repeat(lines[:, :, None], 3, axis=2))


def to_model_pixels(picture: Picture) -> Pixels:
    """Return the picture's colours as (h, w, 3), 0..1, sRGB, for a generating model."""
    pixels = colour.convert_profile(picture, "srgb").pixels
    return freeze(np.repeat(pixels, 3, axis=2)) if pixels.shape[2] == 1 else pixels
