"""The setting ``control``: a picture that the result follows, and the edges of the step's own picture in its place."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.engines.protocols import ControlName
from goldsmith.picture.picture import Pixels, freeze, quantise

# The two thresholds of Canny's edges; the first control models for edges were trained with them. Source: lllyasviel/sd-controlnet-canny.
_LOW_EDGE, _HIGH_EDGE = 100, 200


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

    @model_validator(mode="after")
    def _check_range(self) -> Control:
        if self.start >= self.end:
            raise ValueError(f"start = {self.start:g} must be less than end = {self.end:g}")
        return self


def _from_word(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


# The setting as a table, or as the word of its kind alone: control = "edges".
ControlSetting = Annotated[Control | None, BeforeValidator(_from_word)]


def draw_edges(pixels: Pixels) -> Pixels:
    """Return the edges of a picture, (h, w, 3), 0..1, sRGB: white lines on black, of the same size (Canny, 1986)."""
    import cv2

    gray = cv2.cvtColor(quantise(pixels, 8), cv2.COLOR_RGB2GRAY)
    lines = cv2.Canny(gray, _LOW_EDGE, _HIGH_EDGE).astype(np.float32) / 255
    return freeze(np.repeat(lines[:, :, None], 3, axis=2))
