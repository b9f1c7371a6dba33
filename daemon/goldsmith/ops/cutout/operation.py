"""The subject cut out of what lies behind it, with the hairs at its edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from goldsmith.engines import EngineNeed
from goldsmith.errors import Problem
from goldsmith.operation import (
    Bench,
    Needs,
    PlateOperation,
    Where,
    bare_name,
    region_needs,
)
from goldsmith.ops.cutout.closed_form import closed
from goldsmith.ops.cutout.foreground import foreground
from goldsmith.ops.cutout.glass import Glass, glazed
from goldsmith.ops.cutout.matte_quality import Verdict, doubted, judged
from goldsmith.ops.cutout.overlay import overlay
from goldsmith.ops.cutout.tidy import tidied
from goldsmith.ops.cutout.trimap import Trimap, of_mask, of_matte
from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen
from goldsmith.picture.placing import Placement, placed

_COLOUR = "#"
_FIRM = 0.02
"""A matte nearer to 0 or 1 than this becomes just that: what is solid stays bit for bit, and nothing is left of what is not there."""
_WHOLE = 1 - 0.5 / 255
"""What a file says is 1 has the very colours of the picture."""
_Limit = Annotated[float, Field(ge=0, le=1)]


class Cutout(PlateOperation):
    """Cut the subject out, with the hairs at its edge: on transparency, on a colour, or on a plate of the library."""

    changes_geometry: ClassVar[bool] = True
    cuts: ClassVar[bool] = True

    where: Where = ""
    """What stays: a mask (white stays, black goes, grey is to be found out) or a region; "" = the subject, found by the model."""
    glass: Where = ""
    """What of it is see-through: a mask, painted as solid as the glass is to be (dark grey is clear); reflections in it are found."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Which model finds the subject, by its name in config/models.toml; left out, one for people or one for things, as faces tell."""
    edge: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How wide the band round the outline is, in px to each side, in which every hair is looked for (0 to 1000); left out, as it needs."""
    refine: Literal["closed-form", "none"] = "closed-form"
    """closed-form: every pixel of the band is found out from the picture. none: the mask or the model's matte as it is."""
    decontaminate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How far the old background's colour is taken out of the edge (0 to 1)."""
    onto: Annotated[str, Field(max_length=200)] = ""
    """What it is put on: the name of a plate in library/plates/, or a colour "#rrggbb"; "" = transparency."""
    trim: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Cut the frame down to the subject and so many px round it (0 to 10000); left out, the frame stays."""
    max_unsure: _Limit = 0.17
    """How much of the subject may be neither in nor out before it is held for a person to see (0 to 1)."""
    max_uneven: _Limit = 0.05
    """How uneven what lies behind the glass may be (0 to 1): what strays from its mean stays to be seen in the glass."""
    max_holes: _Limit = 0.1
    """How much of the subject its holes may come to (0 to 1)."""
    max_cut: _Limit = 0.6
    """How much of the picture's border the subject may run out of (0 to 1)."""

    @field_validator("onto")
    @classmethod
    def _named(cls, value: str) -> str:
        if value.startswith(_COLOUR):
            if len(value) != 7 or any(digit not in "0123456789abcdefABCDEF" for digit in value[1:]):
                raise ValueError(f'"{value[:40]}" is no colour: write it as "#rrggbb"')
            return value
        return bare_name(value, "a plate is named as it is called in library/plates/")

    @model_validator(mode="after")
    def _possible(self) -> Cutout:
        if self.onto and self.trim is not None:
            raise ValueError("trim is for a subject on transparency: what it is put on fills the frame")
        if self.where and self.model is not None:
            raise ValueError("where and model both say what the subject is: keep one of them")
        return self

    def weighs(self) -> int:
        """Beside the plate its matte at several sizes, the trimap with its distances, and the colours of the subject and of its ground."""
        return 120

    def needs(self) -> Needs:
        asked = region_needs(self.where) if self.where else Needs(engines=(EngineNeed("matte", self.model),))
        on_plate = self.onto and not self.onto.startswith(_COLOUR)
        panes = region_needs(self.glass)
        engines = tuple(dict.fromkeys((*asked.engines, *panes.engines)))
        return replace(asked, engines=engines, masks=asked.masks | panes.masks, layers=frozenset({self.onto} if on_plate else ()))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with the subject alone. Raises Problem, and shows why, where the matte is past a limit."""
        trimap = self._trimap(plate, bench)
        matte = trimap.guess
        if self.refine == "closed-form":
            coloured = plate.pixels if plate.channels in (1, 3) else plate.pixels[:, :, :3]
            matte = closed(coloured, matte, trimap.open_, tick=lambda done: bench.progress(0.1 + 0.6 * done, "finding the edge"))
        matte = np.clip((matte - _FIRM) / (1 - 2 * _FIRM), 0.0, 1.0)
        matte[matte > _WHOLE] = 1
        matte = frozen(tidied(matte) if self._by_model else matte)
        glass = self._glass(plate, matte, bench)
        self._weigh(plate, matte, trimap, glass, bench)
        pixels = self._cleaned(plate, matte, bench)
        if glass is not None:
            matte, pixels = frozen(glass.alpha), np.where(glass.at[:, :, None], glass.pixels, pixels)
        if self.onto:
            return self._laid(plate, pixels, matte, bench)
        alpha = matte if plate.alpha is None else frozen(matte * plate.alpha)
        made = replace(plate, pixels=frozen(pixels), alpha=alpha)
        return made if self.trim is None else _trimmed(made, self.trim)

    def _trimap(self, plate: Plate, bench: Bench) -> Trimap:
        bench.progress(0.0, "looking for the subject" if not self.where else "")
        if not self.where:
            return of_matte(bench.matte(self.model, plate), self.edge)
        given = bench.region(self.where, plate)
        return (of_matte if self._by_model else of_mask)(given, self.edge)

    @property
    def _by_model(self) -> bool:
        """Whether a model says what the subject is, and not somebody who painted it."""
        return not self.where or bool(region_needs(self.where).engines)

    def _glass(self, plate: Plate, matte: Mask, bench: Bench) -> Glass | None:
        if not self.glass:
            return None
        made = glazed(plate.pixels, matte, bench.region(self.glass, plate))
        bench.record(glass=round(float(made.at.mean()), 5), uneven=None if made.uneven is None else round(made.uneven, 5))
        return made

    def _weigh(self, plate: Plate, matte: Mask, trimap: Trimap, glass: Glass | None, bench: Bench) -> None:
        """Put on record how sure the matte is; raise Problem where it is past a limit, with a picture that shows it."""
        doubt = doubted(trimap.guess, trimap.edge) if self._by_model else None
        if glass is not None:  # somebody said how solid that is, so it is neither unsure nor a hole
            matte, doubt = np.where(glass.at, np.float32(1), matte), None if doubt is None else doubt & ~glass.at
        verdict = judged(matte, trimap.edge, doubt)
        bench.record(
            subject=round(verdict.subject, 5),
            unsure=round(verdict.unsure, 5),
            holes=verdict.holes,
            hole_share=round(verdict.hole_share, 5),
            pieces=verdict.pieces,
            loose=round(verdict.loose, 5),
            cut=round(verdict.cut, 5),
            cut_at=list(verdict.sides),
            edge=trimap.edge,
            looked_into=round(float(trimap.open_.mean()), 5),
            refined=self.refine,
        )
        wrong = self._wrong(verdict, glass)
        if wrong:
            shown = Plate(frozen(overlay(plate.pixels, matte, verdict)))
            bench.show(shown)
            raise Problem(
                f"The cut-out is not sure enough to go on: {'; '.join(wrong)}.",
                "The picture beside this note shows it: magenta is unsure, blue a hole, yellow where the frame cuts the subject. "
                'Paint a mask (white stays, black goes, grey is to be found out) and say where = "mask", or allow more in the brief.',
            )

    def _wrong(self, verdict: Verdict, glass: Glass | None) -> list[str]:
        if not verdict.subject:
            return ["nothing of the picture is left"]
        if glass is not None and glass.at.any() and glass.uneven is None and self.max_uneven < 1:
            return ["nothing of what lies behind the glass is seen beside it, so its colours cannot be told (max_uneven = 1 allows it)"]
        uneven = 0.0 if glass is None or glass.uneven is None else glass.uneven
        measured = (
            (uneven, self.max_uneven, "what lies behind the glass is uneven by {} (max_uneven is {}) and would stay to be seen in it"),
            (verdict.unsure, self.max_unsure, "{} of the subject is neither in nor out (max_unsure is {})"),
            (verdict.hole_share, self.max_holes, "its holes come to {} of it (max_holes is {})"),
            (verdict.cut, self.max_cut, "it runs out of {} of the picture's border (max_cut is {})"),
        )
        return [said.format(f"{value:.0%}", f"{limit:.0%}") for value, limit, said in measured if value > limit]

    def _cleaned(self, plate: Plate, matte: Mask, bench: Bench) -> Pixels:
        """The pixels without the old background's colour; what is wholly inside stays as it is."""
        if self.decontaminate == 0:
            return plate.pixels
        edge = _near(matte)
        own = foreground(plate.pixels, matte, edge, lambda done: bench.progress(0.7 + 0.25 * done, "cleaning the edge"))
        share = np.float32(self.decontaminate)
        own = np.where(edge[:, :, None], plate.pixels + share * (own - plate.pixels), plate.pixels)
        if not self.onto:
            own[(matte == 0) & ~edge] = 0
        return own

    def _laid(self, plate: Plate, pixels: Pixels, matte: Mask, bench: Bench) -> Plate:
        """The subject on its new ground, on display-encoded values in the picture's own profile."""
        ground, cover = self._ground(plate, bench)
        if plate.alpha is not None:
            matte = matte * plate.alpha
        over = matte[:, :, None]
        whole = matte + cover * (1 - matte)
        made = over * pixels + (1 - over) * cover[:, :, None] * ground
        made = np.where(over == 1, pixels, made / np.maximum(whole, np.float32(1e-6))[:, :, None])
        opaque = bool((cover == 1).all())
        return replace(plate, pixels=frozen(np.clip(made, 0.0, 1.0)), alpha=None if opaque else frozen(whole))

    def _ground(self, plate: Plate, bench: Bench) -> tuple[Pixels, Mask]:
        """What it is put on, (h, w, c), and how much that covers, (h, w)."""
        on = (plate.width, plate.height)
        if self.onto.startswith(_COLOUR):
            values = np.array([[[int(self.onto[at : at + 2], 16) / 255 for at in (1, 3, 5)]]], np.float32)
            layer = colour.converted(Plate(frozen(np.broadcast_to(values, (*on[::-1], 3)))), plate.icc or "srgb")
        else:
            layer = colour.converted(bench.layer(self.onto), plate.icc or "srgb")
        found = placed(layer, on, Placement(on, "cover"))
        if found is None or found.cover.shape != (plate.height, plate.width):
            raise Problem(f"The plate {self.onto} does not cover the picture.", "Use a larger one.")
        return found.pixels, found.cover


def _near(matte: Mask) -> np.ndarray:
    """Where the matte is between 0 and 1, and what of the outside lies within a few px of that, for whoever resizes it."""
    import cv2

    soft = ((matte > 0) & (matte < 1)).astype(np.uint8)
    ring = cv2.dilate((matte > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return np.asarray((soft > 0) | (ring & (matte == 0)))


def _trimmed(plate: Plate, margin: int) -> Plate:
    """The plate's frame cut down to what is seen of it and ``margin`` px round that."""
    alpha = plate.alpha
    assert alpha is not None  # noqa: S101 - made by the caller
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return plate
    high = slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin)
    wide = slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin)
    return plate.reshaped(plate.pixels[high, wide], lambda mask: mask[high, wide])
