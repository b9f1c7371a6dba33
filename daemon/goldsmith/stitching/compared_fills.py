"""Fill holes by the best of several fills for an operation: what is recorded, kept aside and refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goldsmith.engines.protocols import Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, StepContext
from goldsmith.picture.crop_and_stitch import StitchOptions
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.stitching.best_fill import FillRules, HoleFill, stitch_best
from goldsmith.stitching.donors import FindObjects
from goldsmith.stitching.fill_sheet import encode_sheet

# Sheets of the compared fills are kept for this many holes, the largest first.
MAX_SHEETS = 8
# What is not copied into a hole beside it, by the words of a region.
NEVER_COPIED = ("subject", "face")


def objects_never_copied(context: StepContext) -> FindObjects:
    """Return the function that finds people and other subjects in a part of a picture, as far as this machine has models for it."""

    def find_objects(part: Picture) -> list[Mask]:
        return [matte for word in NEVER_COPIED if (matte := context.detect.find(word, part)) is not None]

    return find_objects


def fill_and_compare(
    picture: Picture,
    mask: Mask,
    engine: Inpainter,
    options: StitchOptions,
    context: StepContext,
    bounds: CropBox,
    rules: FillRules,
    remedy: str,
    hidden: Mask | None = None,
) -> Picture:
    """Return the picture with the best of several fills in each hole; put the choice on record and the other fills aside.

    mask, hidden: (h, w), 0..1. Raises InputError with that remedy if the best fill of a hole shows what its surroundings do not have. If
    ``rules`` ask for another fill than the best, a person wants to see it, and it is only remarked on.
    """
    result, holes = stitch_best(picture, mask, engine.fill, options, context.progress.report, bounds, hidden, rules)
    context.results.record(**result.findings())
    context.results.record(fills=[hole.findings() for hole in holes])
    if rules.choice == 1:
        _refuse_unfit(holes, picture, context, remedy)
    doubts = describe_doubts(holes)
    if doubts:
        context.results.record(remark=doubts)
    compared = sorted((hole for hole in holes if len(hole.fills) > 1), key=lambda hole: -hole.box[2] * hole.box[3])
    for number, hole in enumerate(compared[:MAX_SHEETS], 1):
        data = encode_sheet(hole.draw_sheet(picture))
        context.results.archive(Deliverable(f"_fills{number:02d}", ".jpg", data, {"what": "compared fills", "box": list(hole.box)}))
    return result.picture


def _refuse_unfit(holes: Sequence[HoleFill], picture: Picture, context: StepContext, remedy: str) -> None:
    """Raise InputError, with the fills beside the note, if the best fill of a hole shows what its surroundings do not have."""
    unfit = [hole for hole in holes if hole.is_unfit]
    if not unfit:
        return
    if unfit[0].fills:
        context.results.show_problem(Picture(freeze(unfit[0].draw_sheet(picture).astype(np.float32) / np.float32(255))))
    raise InputError(f"No fill is good enough to go on. {describe_doubts(unfit)}", remedy)


def describe_doubts(holes: Sequence[HoleFill]) -> str:
    """Return a sentence for each doubtful fill: where it is and what was measured; "" if there is none."""
    sentences = []
    for hole in holes:
        doubts = hole.doubts()
        if doubts:
            left, top, width, height = hole.box
            sentences.append(f"The fill of {width} x {height} px at ({left}, {top}) is doubtful: {'; '.join(doubts)}.")
    return " ".join(sentences)
