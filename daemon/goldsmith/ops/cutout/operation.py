"""The ``cutout`` operation: cut out the subject with the hairs at its edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from goldsmith.engines.kinds import MATTE_ESTIMATOR
from goldsmith.engines.protocols import EngineNeed
from goldsmith.errors import InputError
from goldsmith.operation import (
    PictureOperation,
    RegionExpression,
    StepContext,
    StepNeeds,
    check_bare_name,
    region_needs,
)
from goldsmith.ops.cutout.closed_form import solve_matte
from goldsmith.ops.cutout.foreground import estimate_foreground
from goldsmith.ops.cutout.glass import Glass, extract_glass
from goldsmith.ops.cutout.left_out import find_left_out
from goldsmith.ops.cutout.matte_cleanup import clean_matte
from goldsmith.ops.cutout.matte_quality import MatteVerdict, assess_matte, find_doubtful
from goldsmith.ops.cutout.overlay import render_overlay
from goldsmith.ops.cutout.trimap import Trimap, trimap_from_mask, trimap_from_matte
from goldsmith.picture import colour
from goldsmith.picture.layer_placement import Placement, place_layer
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.row_slabs import for_each_slab

_COLOUR_PREFIX = "#"
# A matte nearer to 0 or 1 than this becomes 0 or 1: opaque pixels stay bit for bit, and nothing remains of the background.
_SNAP_TOLERANCE = 0.02
# Pixels that a file stores as fully opaque keep the exact colours of the picture.
_OPAQUE = 1 - 0.5 / 255
# Below this agreement of a second model about people, a part of them is often missing.
_LEAST_AGREEMENT = 0.8
_Limit = Annotated[float, Field(ge=0, le=1)]


class Cutout(PictureOperation):
    """Cut out the subject with the hairs at its edge: on transparency, on a colour, or on a picture from the library."""

    also_called: ClassVar[str] = (
        "cut-out remove-background background-removal removebg rembg isolate knockout matting matte mask-out clip transparent"
    )
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "onto": "background",
            "max_unsure": "threshold",
            "where": "subject",
        }
    )

    changes_geometry: ClassVar[bool] = True
    keeps_region_only: ClassVar[bool] = True

    where: RegionExpression = ""
    """The part to keep: a mask (white = keep, black = remove, grey = to be found) or a region; default: the subject, found by the model."""
    glass: RegionExpression = ""
    """The transparent part: a mask, painted as opaque as the glass is to be (dark grey = clear); reflections in it are found."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The model that finds the subject, a name in config/models.toml; default: one for people or one for things, depending on the faces
    found.
    """
    edge: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Width of the band around the outline, in px on each side, in which hairs are resolved (0 to 1000); default: as wide as the edge
    needs.
    """
    refine: Literal["closed-form", "none"] = "closed-form"
    """closed-form: solve every pixel of the band from the picture. none: use the mask or the model's matte unchanged."""
    decontaminate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How much of the old background's colour is removed from the edge (0 to 1)."""
    onto: Annotated[str, Field(max_length=200)] = ""
    """The new background: the name of a picture in library/plates/, or a colour "#rrggbb"; default: transparency."""
    trim: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Crop the frame to the subject plus this many px (0 to 10000); default: the frame stays."""
    max_unsure: _Limit = 0.17
    """Maximum share of the subject that may be uncertain; above it, the picture is held for a person to look at (0 to 1)."""
    max_left_out: _Limit = 0.04
    """Maximum area beside the outline that continues the colours of a subject that a model found, as a share of both (0 to 1)."""
    max_uneven: _Limit = 0.05
    """Maximum unevenness of the background behind glass (0 to 1): deviations from its mean stay visible in the glass."""
    max_holes: _Limit = 0.1
    """Maximum share of the subject that its holes may have (0 to 1)."""
    max_cut: _Limit = 0.6
    """Maximum share of the picture's border that may cut the subject (0 to 1)."""

    @field_validator("onto")
    @classmethod
    def _check_onto(cls, value: str) -> str:
        if value.startswith(_COLOUR_PREFIX):
            if len(value) != 7 or any(digit not in "0123456789abcdefABCDEF" for digit in value[1:]):
                raise ValueError(f'"{value[:40]}" is not a colour: write it as "#rrggbb"')
            return value
        return check_bare_name(value, "give the name of a file in library/plates/")

    @model_validator(mode="after")
    def _check_combination(self) -> Cutout:
        if self.onto and self.trim is not None:
            raise ValueError("trim needs a subject on transparency: a background fills the frame")
        if self.where and self.model is not None:
            raise ValueError("where and model both define the subject: keep one of them")
        return self

    def bytes_per_pixel(self) -> int:
        """Return the memory for the picture, its matte at several sizes, the trimap with its distances, and the colours of the subject."""
        return 72

    def needs(self) -> StepNeeds:
        needs = region_needs(self.where) if self.where else StepNeeds(engines=(EngineNeed(MATTE_ESTIMATOR, self.model),))
        has_layer = self.onto and not self.onto.startswith(_COLOUR_PREFIX)
        glass_needs = region_needs(self.glass)
        engines = tuple(dict.fromkeys((*needs.engines, *glass_needs.engines)))
        return replace(needs, engines=engines, masks=needs.masks | glass_needs.masks, layers=frozenset({self.onto} if has_layer else ()))

    def found_region(self) -> str:
        """Return the words of the region, or of the subject that a model finds."""
        if self.where:
            return super().found_region()
        return "subject" if self.model is None else f"subject, found by {self.model}"

    def settings_with_mask(self, settings: Mapping[str, object], name: str) -> Mapping[str, object]:
        """Return the settings with that mask and without the model, which finds nothing more."""
        return {key: value for key, value in super().settings_with_mask(settings, name).items() if key != "model"}

    def find_region(self, picture: Picture, context: StepContext) -> Mask:
        """Return the region, or the coarse matte of the subject, (h, w), 0..1."""
        return super().find_region(picture, context) if self.where else context.detect.matte(self.model, picture)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with the subject alone. Raises InputError, with a picture that shows why, if the matte exceeds a limit."""
        trimap = self._make_trimap(picture, context)
        matte = trimap.guess
        if self.refine == "closed-form":
            coloured = picture.pixels if picture.channels in (1, 3) else picture.pixels[:, :, :3]
            matte = solve_matte(
                coloured, matte, trimap.unknown, on_progress=lambda done: context.progress.report(0.1 + 0.6 * done, "finding the edge")
            )
        matte = np.clip((matte - _SNAP_TOLERANCE) / (1 - 2 * _SNAP_TOLERANCE), 0.0, 1.0)
        matte[matte > _OPAQUE] = 1
        matte = freeze(clean_matte(matte) if self._is_subject_detected else matte)
        glass = self._find_glass(picture, matte, context)
        self._check_matte(picture, matte, trimap, glass, context)
        self._ask_second_model(picture, context)
        pixels = self._remove_spill(picture, matte, context)
        if glass is not None:
            matte = freeze(glass.alpha)
            pixels = pixels.copy() if pixels is picture.pixels else pixels
            glass.put_colours(picture.pixels, pixels)
        if self.onto:
            return self._composite_onto_background(picture, pixels, matte, context)
        alpha = matte if picture.alpha is None else freeze(matte * picture.alpha)
        result = replace(picture, pixels=freeze(pixels), alpha=alpha)
        return result if self.trim is None else _trim_to_subject(result, self.trim)

    def _make_trimap(self, picture: Picture, context: StepContext) -> Trimap:
        context.progress.report(0.0, "finding the subject" if not self.where else "")
        if not self.where:
            return trimap_from_matte(context.detect.matte(self.model, picture), self.edge)
        region = context.detect.region(self.where, picture)
        return (trimap_from_matte if self._is_subject_detected else trimap_from_mask)(region, self.edge)

    @property
    def _is_subject_detected(self) -> bool:
        """Whether a model, and not a painted mask, defines the subject."""
        return not self.where or bool(region_needs(self.where).engines)

    def _find_glass(self, picture: Picture, matte: Mask, context: StepContext) -> Glass | None:
        if not self.glass:
            return None
        glass = extract_glass(picture.pixels, matte, context.detect.region(self.glass, picture))
        context.results.record(
            glass=round(float(glass.mask.mean()), 5), uneven=None if glass.unevenness is None else round(glass.unevenness, 5)
        )
        return glass

    def _check_matte(self, picture: Picture, matte: Mask, trimap: Trimap, glass: Glass | None, context: StepContext) -> None:
        """Record the quality of the matte. Raises InputError, with a picture that shows why, if it exceeds a limit."""
        doubt = find_doubtful(trimap.guess, trimap.band_width) if self._is_subject_detected else None
        if glass is not None:  # its opacity was painted, so it is neither uncertain nor a hole
            matte, doubt = np.where(glass.mask, np.float32(1), matte), None if doubt is None else doubt & ~glass.mask
        verdict = assess_matte(matte, trimap.band_width, doubt)
        left_out_share = 0.0
        if self._is_subject_detected and verdict.subject_share:
            left_out, left_out_share = find_left_out(picture.pixels, matte)
            verdict = replace(verdict, unsure_mask=verdict.unsure_mask | left_out)
        context.results.record(
            subject=round(verdict.subject_share, 5),
            unsure=round(verdict.unsure_share, 5),
            left_out=round(left_out_share, 5),
            holes=verdict.hole_count,
            hole_share=round(verdict.hole_share, 5),
            pieces=verdict.piece_count,
            loose=round(verdict.detached_share, 5),
            cut=round(verdict.cut_share, 5),
            cut_at=list(verdict.cut_sides),
            edge=trimap.band_width,
            looked_into=round(float(trimap.unknown.mean()), 5),
            refined=self.refine,
        )
        broken_limits = self._broken_limits(verdict, left_out_share, glass)
        if broken_limits:
            overlay = Picture(freeze(render_overlay(picture.pixels, matte, verdict)))
            context.results.show_problem(overlay)
            raise InputError(
                f"The cut-out is too uncertain: {'; '.join(broken_limits)}.",
                "The picture beside this note shows it: magenta is uncertain, blue is a hole, yellow is where the frame cuts the subject. "
                'Paint a mask (white = keep, black = remove, grey = to be found) and set where = "mask", or raise the limit in the brief.',
            )

    def _ask_second_model(self, picture: Picture, context: StepContext) -> None:
        """Remark a subject that a second model sees otherwise."""
        agreement = None if self.where or self.model is not None else context.detect.subject_agreement(picture)
        if agreement is None:
            return
        context.results.record(agreement=round(agreement, 3))
        if agreement < _LEAST_AGREEMENT:
            context.results.record(
                remark=f"a second model agrees on only {agreement:.0%} of the people: a part of them may be missing, or something else in, "
                "so look at the outline"
            )

    def _broken_limits(self, verdict: MatteVerdict, left_out_share: float, glass: Glass | None) -> list[str]:
        if not verdict.subject_share:
            return ["nothing of the picture remains"]
        if glass is not None and glass.mask.any() and glass.unevenness is None and self.max_uneven < 1:
            return ["no background is visible beside the glass, so its colours are unknown (max_uneven = 1 allows it)"]
        uneven = 0.0 if glass is None or glass.unevenness is None else glass.unevenness
        measured = (
            (uneven, self.max_uneven, "the background of the glass is uneven by {} (max_uneven is {}) and would stay visible in it"),
            (verdict.unsure_share, self.max_unsure, "{} of the subject is uncertain (max_unsure is {})"),
            (
                left_out_share,
                self.max_left_out,
                "its colours go on beside its outline, so {} of it may be missing (max_left_out is {})",
            ),
            (verdict.hole_share, self.max_holes, "its holes are {} of the subject (max_holes is {})"),
            (verdict.cut_share, self.max_cut, "{} of the picture's border cuts the subject (max_cut is {})"),
        )
        return [message.format(f"{value:.0%}", f"{limit:.0%}") for value, limit, message in measured if value > limit]

    def _remove_spill(self, picture: Picture, matte: Mask, context: StepContext) -> Pixels:
        """Return the pixels without the old background's colour; pixels completely inside stay unchanged."""
        if self.decontaminate == 0:
            return picture.pixels
        edge = _edge_mask(matte)
        foreground = estimate_foreground(
            picture.pixels, matte, edge, lambda done: context.progress.report(0.7 + 0.25 * done, "cleaning the edge")
        )
        share = np.float32(self.decontaminate)

        def mix(rows: slice) -> None:
            part, pixels = foreground[rows], picture.pixels[rows]
            np.copyto(part, pixels + share * (part - pixels), where=edge[rows][:, :, None])
            if not self.onto:
                part[(matte[rows] == 0) & ~edge[rows]] = 0

        for_each_slab(matte.shape, mix)
        return foreground

    def _composite_onto_background(self, picture: Picture, pixels: Pixels, matte: Mask, context: StepContext) -> Picture:
        """Return the subject on its new background, composited in display-encoded values of the picture's own profile."""
        background, coverage = self._load_background(picture, context)
        if picture.alpha is not None:
            matte = matte * picture.alpha
        alpha = matte + coverage * (1 - matte)
        composite = np.empty(np.broadcast_shapes(pixels.shape, background.shape), np.float32)

        def mix(rows: slice) -> None:
            share, own = matte[rows][:, :, None], pixels[rows]
            mixed = share * own + (1 - share) * coverage[rows][:, :, None] * background[rows]
            mixed = np.where(share == 1, own, mixed / np.maximum(alpha[rows], np.float32(1e-6))[:, :, None])
            np.clip(mixed, 0.0, 1.0, out=composite[rows])

        for_each_slab(matte.shape, mix)
        is_opaque = bool((coverage == 1).all())
        return replace(picture, pixels=freeze(composite), alpha=None if is_opaque else freeze(alpha))

    def _load_background(self, picture: Picture, context: StepContext) -> tuple[Pixels, Mask]:
        """Return the new background (h, w, c) and its coverage (h, w)."""
        size = (picture.width, picture.height)
        if self.onto.startswith(_COLOUR_PREFIX):
            values = np.array([[[int(self.onto[at : at + 2], 16) / 255 for at in (1, 3, 5)]]], np.float32)
            layer = colour.convert_profile(Picture(freeze(np.broadcast_to(values, (*size[::-1], 3)))), picture.icc or "srgb")
        else:
            layer = colour.convert_profile(context.library.layer(self.onto), picture.icc or "srgb")
        placed = place_layer(layer, size, Placement(size, "cover"))
        if placed is None or placed.coverage.shape != (picture.height, picture.width):
            raise InputError(f"library/plates/{self.onto} does not cover the picture.", "Use a larger one.")
        return placed.pixels, placed.coverage


def _edge_mask(matte: Mask) -> np.ndarray:
    """Return where the matte is between 0 and 1, plus a few px outside, for a later resize."""
    import cv2

    soft = ((matte > 0) & (matte < 1)).astype(np.uint8)
    ring = cv2.dilate((matte > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return np.asarray((soft > 0) | (ring & (matte == 0)))


def _trim_to_subject(picture: Picture, margin: int) -> Picture:
    """Return the picture cropped to its visible part plus ``margin`` px."""
    alpha = picture.alpha
    assert alpha is not None  # noqa: S101 - the caller adds an alpha
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return picture
    high = slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin)
    wide = slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin)
    return picture.with_geometry(picture.pixels[high, wide], lambda mask: mask[high, wide])
