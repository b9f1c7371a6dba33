"""The ``geometry`` operation: straighten, correct the perspective, and undo the distortion of a lens, all in one resampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from goldsmith.errors import InputError
from goldsmith.operation import PictureOperation, RecordValue, StepContext
from goldsmith.ops.geometry.camera_model import CameraModel, Lens
from goldsmith.ops.geometry.line_finding import Attitude, find_attitude
from goldsmith.ops.geometry.warping import warp_picture
from goldsmith.picture.picture import Picture

# Degrees. A smaller turn or tilt that was found is not worth a resampling.
_MIN_FOUND = 0.1
_Fraction = Annotated[float, Field(ge=-0.5, le=1.5)]
_Corner = tuple[_Fraction, _Fraction]
_Coefficient = Annotated[float, Field(ge=-0.5, le=0.5)]


class LensDistortion(BaseModel):
    """Radial distortion of a lens: a point at the radius r, in half diagonals, is brought back from r (1 + k1 r² + k2 r⁴ + k3 r⁶)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    k1: _Coefficient = 0.0
    """Below 0 for a barrel, above 0 for a cushion (-0.5 to 0.5)."""
    k2: _Coefficient = 0.0
    """The coefficient of r⁴ (-0.5 to 0.5)."""
    k3: _Coefficient = 0.0
    """The coefficient of r⁶ (-0.5 to 0.5)."""


class Geometry(PictureOperation):
    """Straighten the picture, correct its perspective, and undo the distortion of a lens, in one resampling.

    Alpha and masks go with it. The result is the largest part of the picture's shape without empty corners.
    """

    credential_action: ClassVar[str] = "c2pa.orientation"
    also_called: ClassVar[str] = "straighten rotate perspective keystone level horizon lens distortion deskew transform skew"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "turn": "angle rotate rotation roll straighten horizon",
            "tilt": "keystone vertical verticals pitch",
            "pan": "horizontal yaw",
            "focal": "focal-length",
            "lens": "distortion barrel",
            "corners": "quad rectangle perspective",
        }
    )

    changes_geometry: ClassVar[bool] = True

    turn: Annotated[float, Field(ge=-45, le=45)] | Literal["auto"] = 0.0
    """Degrees clockwise that the picture is turned (-45 to 45). auto: as the verticals in it say, or else the horizon."""
    tilt: Annotated[float, Field(ge=-45, le=45)] | Literal["auto"] = 0.0
    """Degrees that the camera looked up (below 0: down) and that are undone (-45 to 45). auto: as converging verticals say."""
    pan: float = Field(default=0.0, ge=-45, le=45)
    """Degrees that the camera looked to the right of the subject's front (below 0: to the left) and that are undone (-45 to 45)."""
    focal: float = Field(default=28.0, ge=8, le=1000)
    """Focal length in mm as for 35 mm film (8 to 1000): how strongly ``tilt`` and ``pan`` act."""
    corners: tuple[_Corner, _Corner, _Corner, _Corner] | None = None
    """Four points [x, y] in fractions of the picture that become an upright rectangle: upper left, upper right, lower right, lower left."""
    lens: LensDistortion = LensDistortion()
    """The distortion of the lens, which is undone first."""

    @field_validator("corners")
    @classmethod
    def _check_corners(cls, value: tuple[_Corner, ...] | None) -> tuple[_Corner, ...] | None:
        if value is not None:
            points = np.array(value)
            edges = np.roll(points, -1, axis=0) - points
            following = np.roll(edges, -1, axis=0)
            if (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]).min() < 1e-4:
                raise ValueError("the points must go clockwise round a convex shape: upper left, upper right, lower right, lower left")
        return value

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the corrected picture; the same picture if nothing is to be corrected, or nothing is found that says how.

        Raises InputError if hardly anything of the picture would be left.
        """
        attitude = find_attitude(picture, self.focal) if "auto" in (self.turn, self.tilt) else None
        model = self._make_model(picture, attitude)
        if "auto" in (self.turn, self.tilt):
            self._record_attitude(attitude, model, context)
        if model.is_identity:
            return picture
        rectangle = model.inner_rectangle()
        if rectangle is None:
            raise InputError(
                "Corrected so far, less than a tenth of the picture's width would be left without empty corners.",
                "Make the angles, the lens's coefficients or the shift of the corners in the geometry step smaller.",
            )
        left, top, scale = rectangle
        width, height = max(1, math.floor(picture.width * scale + 1e-6)), max(1, math.floor(picture.height * scale + 1e-6))
        context.results.check_memory(width, height)
        context.results.record(size_before=[picture.width, picture.height], size_after=[width, height])
        return warp_picture(picture, model, (left, top), (width, height), context.progress.report)

    def _make_model(self, picture: Picture, attitude: Attitude | None) -> CameraModel:
        """Return the correction with the angles that are set, or that were found."""
        turn = self.turn if self.turn != "auto" else 0.0 if attitude is None else _worthwhile(attitude.turn)
        tilt = self.tilt if self.tilt != "auto" else 0.0 if attitude is None else _worthwhile(attitude.tilt or 0.0)
        corners = None
        if self.corners is not None:
            corners = np.array(self.corners) * [picture.width, picture.height] - 0.5
        lens = Lens(self.lens.k1, self.lens.k2, self.lens.k3)
        return CameraModel(picture.width, picture.height, turn, tilt, self.pan, self.focal, lens, corners)

    def _record_attitude(self, attitude: Attitude | None, model: CameraModel, context: StepContext) -> None:
        """Record what was found and what is done about it, with a remark if nothing was found."""
        record: dict[str, RecordValue] = {"turn": round(model.turn, 3), "tilt": round(model.tilt, 3)}
        if attitude is None:
            record["remark"] = "neither verticals nor a horizon are clear enough in it, so nothing was straightened"
        else:
            record["found_by"] = attitude.source
            if self.tilt == "auto" and attitude.tilt is None:
                record["remark"] = "the edges in it do not tell how far the camera was tilted, so only the turn was corrected"
        context.results.record(**record)


def _worthwhile(angle: float) -> float:
    """Return the angle in degrees, or 0 if it is too small to be worth a resampling."""
    return angle if abs(angle) >= _MIN_FOUND else 0.0
