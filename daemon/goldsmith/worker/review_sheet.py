"""The sheet that shows a result to the person who decides about it: before, after, mask, what was done, and places at 100 %."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from goldsmith.jobs.job import StepResult, StepSpec
from goldsmith.ops.select.contact_sheet import (
    BACKGROUND_COLOUR,
    MUTED_COLOUR,
    SELECTED_COLOUR,
    TEXT_COLOUR,
    Thumbnail,
    make_thumbnail,
)
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import Mask, Picture, Window, freeze
from goldsmith.picture.resample import resize, resize_picture
from goldsmith.worker.found_masks import FoundMask

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

# In px. Four crops, or two large pictures, and the gaps between them are as wide as the sheet.
_CROP_SIDE, _GAP = 480, 16
_WIDTH = 4 * _CROP_SIDE + 5 * _GAP
_THUMBNAIL_SIDE = 100
# Of the picture and its mask on a sheet of masks: three side by side.
_MASK_SIDE = (_WIDTH - _GAP) // 3 - _GAP
_TITLE_SIZE, _TITLE_HEIGHT, _TEXT_SIZE, _LINE_HEIGHT = 26, 64, 17, 24
_TEXT_CHARS = 150
_MAX_LINES = 24
# Places on one sheet: those that have changed most, and those of findings.
_MAX_CHANGED, _MAX_FOUND = 6, 6
# A pixel counts as changed from this difference of a channel on, 0..1: less is not visible.
_MIN_DIFFERENCE = 2.5 / 255
# The changed pixels are gathered in blocks of this side, in px.
_BLOCK = 16
# If more than this share of the blocks has changed, the whole picture has: then places of much detail are shown.
_WHOLE_PICTURE_SHARE = 0.6
_OVERLAY_COLOUR = (0.94, 0.2, 0.3)
_QUALITY = 90
_MAX_VALUE_CHARS = 160


@dataclass(frozen=True, slots=True)
class ReviewedResult:
    """One result with what a person needs to decide about it."""

    stem: str
    stage: str
    # The picture before the stage; None if the stage made it from words.
    before: Picture | None
    after: Picture
    # The masks that the steps used, by name, in the geometry of ``before``.
    masks: Mapping[str, Mask]
    specs: Sequence[StepSpec]
    steps: Sequence[StepResult]
    remarks: Sequence[str]


class Place(NamedTuple):
    """A place that is shown at 100 %, by its centre in px of the result, and why."""

    x: int
    y: int
    caption: str


def render_review_sheet(result: ReviewedResult) -> bytes:
    """Return the sheet as a JPEG in sRGB."""
    page = _draw_sheet(result)
    pixels = np.asarray(page, dtype=np.float32) / np.float32(255)
    return encode(Picture(freeze(pixels)), EncodingOptions(format="jpeg", quality=_QUALITY))


def _draw_sheet(result: ReviewedResult) -> Image:
    from PIL import Image as PillowImage
    from PIL import ImageDraw as PillowDraw

    pictures = _pictures(result)
    crops = _crops(result)
    lines = _lines_of_words(result)
    per_row = 2 if result.before is not None else 4
    crop_rows = [crops[first : first + per_row] for first in range(0, len(crops), per_row)]
    words_height = max(len(lines) * _LINE_HEIGHT, _THUMBNAIL_SIDE) + 2 * _GAP
    height = _TITLE_HEIGHT + words_height + _row_height(pictures) + sum(map(_row_height, crop_rows))
    page = PillowImage.new("RGB", (_WIDTH, height + _GAP), BACKGROUND_COLOUR)
    draw = PillowDraw.Draw(page)
    _write(draw, (_GAP, _GAP), f"{result.stem}: the result of {result.stage}", _TITLE_SIZE, TEXT_COLOUR)
    top = _paste_row(page, draw, pictures, _TITLE_HEIGHT)
    for number, line in enumerate(lines):
        _write(draw, (_GAP, top + _GAP + number * _LINE_HEIGHT), line.text, _TEXT_SIZE, line.colour)
    _paste_thumbnails(page, result, top + _GAP)
    top += words_height
    for row in crop_rows:
        top = _paste_row(page, draw, row, top)
    return page


class _Cell(NamedTuple):
    """One picture of the sheet with its caption."""

    pixels: Thumbnail
    caption: str


class _Line(NamedTuple):
    text: str
    colour: tuple[int, int, int]


def _row_height(row: Sequence[_Cell]) -> int:
    return max(int(cell.pixels.shape[0]) for cell in row) + _LINE_HEIGHT + _GAP


def _paste_row(page: Image, draw: ImageDraw, row: Sequence[_Cell], top: int) -> int:
    """Paste the cells of a row with their captions below, and return where the next row begins."""
    from PIL import Image as PillowImage

    left = _GAP
    for cell in row:
        page.paste(PillowImage.fromarray(cell.pixels), (left, top))
        _write(draw, (left, top + cell.pixels.shape[0] + 4), cell.caption, _TEXT_SIZE, MUTED_COLOUR)
        left += cell.pixels.shape[1] + _GAP
    return top + _row_height(row)


def _paste_thumbnails(page: Image, result: ReviewedResult, top: int) -> None:
    """Paste the result, and the picture before, as small as in a list of files."""
    from PIL import Image as PillowImage

    pictures = [picture for picture in (result.before, result.after) if picture is not None]
    left = _WIDTH - len(pictures) * (_THUMBNAIL_SIDE + _GAP)
    for picture in pictures:
        page.paste(PillowImage.fromarray(make_thumbnail(picture, _THUMBNAIL_SIDE)), (left, top))
        left += _THUMBNAIL_SIDE + _GAP


def _write(draw: ImageDraw, position: tuple[int, int], text: str, size: int, colour: tuple[int, int, int]) -> None:
    from PIL import ImageFont

    draw.text(position, text, fill=colour, font=ImageFont.load_default(size))


# ---------------------------------------------------------------------- masks


def render_mask_sheet(stem: str, stage: str, picture: Picture, masks: Sequence[FoundMask]) -> bytes:
    """Return the sheet, a JPEG in sRGB, that shows the masks which the steps of a stage have found before they run."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw as PillowDraw

    rows: list[list[_Cell]] = []
    for each in masks:
        rows += [_mask_row(stem, picture, each), *([crop] for crop in _edge_crops(picture, each.mask))]
    height = _TITLE_HEIGHT + _LINE_HEIGHT + 2 * _GAP + sum(map(_row_height, rows))
    page = PillowImage.new("RGB", (_WIDTH, height), BACKGROUND_COLOUR)
    draw = PillowDraw.Draw(page)
    noun = "mask" if len(masks) == 1 else "masks"
    _write(draw, (_GAP, _GAP), f"{stem}: the {noun} for {stage}, before its steps run", _TITLE_SIZE, TEXT_COLOUR)
    hint = "What may change is red here, and white in the mask. Paint over a mask that is wrong."
    _write(draw, (_GAP, _TITLE_HEIGHT), hint, _TEXT_SIZE, TEXT_COLOUR)
    top = _TITLE_HEIGHT + _LINE_HEIGHT + _GAP
    for row in rows:
        top = _paste_row(page, draw, row, top)
    pixels = np.asarray(page, dtype=np.float32) / np.float32(255)
    return encode(Picture(freeze(pixels)), EncodingOptions(format="jpeg", quality=_QUALITY))


def _mask_row(stem: str, picture: Picture, found_mask: FoundMask) -> list[_Cell]:
    """Return the picture, the picture with its mask in red, and the mask."""
    grey = Picture(freeze(found_mask.mask[:, :, None]))
    share = float(found_mask.mask.mean(dtype=np.float64))
    return [
        _Cell(make_thumbnail(picture, _MASK_SIDE), f"the picture, {picture.width} x {picture.height} px"),
        _Cell(mask_overlay(picture, found_mask.mask, _MASK_SIDE), f"{found_mask.region}: {share:.1%} of the picture"),
        _Cell(make_thumbnail(grey, _MASK_SIDE), f"{stem}{found_mask.tail}"),
    ]


def _edge_crops(picture: Picture, mask: Mask) -> list[_Cell]:
    """Return the places with the longest edge of the mask at 100 %, without and with the mask, two in one cell."""
    if max(picture.height, picture.width) <= _MASK_SIDE:
        return []  # it is shown at 100 % above
    sides = [np.abs(np.diff(mask, axis=axis, append=mask.take([-1], axis=axis))) for axis in (0, 1)]
    edges = np.maximum(*sides)
    side = _CROP_SIDE
    places = []
    for top in range(0, picture.height, side):
        for left in range(0, picture.width, side):
            part = edges[top : top + side, left : left + side]
            rows, columns = _crop_window(picture, Place(left + part.shape[1] // 2, top + part.shape[0] // 2, ""))
            centre = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
            places.append((float(part.sum(dtype=np.float64)), *centre))
    best = [Place(x, y, "the edge of the mask") for strength, y, x in sorted(places, reverse=True)[:4] if strength > 0]
    cells = [_mask_crop_cell(picture, mask, place) for place in _without_neighbours(best)]
    return [_side_by_side(cells[first : first + 2]) for first in range(0, len(cells), 2)]


def _side_by_side(cells: Sequence[_Cell]) -> _Cell:
    """Return the pictures of several cells in one, with the caption of the first."""
    height = max(cell.pixels.shape[0] for cell in cells)
    joined = np.full((height, sum(cell.pixels.shape[1] + _GAP for cell in cells) - _GAP, 3), BACKGROUND_COLOUR, np.uint8)
    left = 0
    for cell in cells:
        joined[: cell.pixels.shape[0], left : left + cell.pixels.shape[1]] = cell.pixels
        left += cell.pixels.shape[1] + _GAP
    return _Cell(joined, cells[0].caption)


def _mask_crop_cell(picture: Picture, mask: Mask, place: Place) -> _Cell:
    rows, columns = _crop_window(picture, place)
    part = Picture(freeze(picture.pixels[rows, columns]), None, picture.depth, picture.icc)
    overlay = mask_overlay(part, mask[rows, columns], _CROP_SIDE)
    return _side_by_side([_Cell(make_thumbnail(part, _CROP_SIDE), f"{place.caption} at 100 %"), _Cell(overlay, "")])


# ---------------------------------------------------------------------- the pictures


def _pictures(result: ReviewedResult) -> list[_Cell]:
    """Return the picture before, after, and with its mask, as far as there are these, side by side as wide as the sheet."""
    before, after = result.before, result.after
    count = 1 if before is None else 3 if result.masks else 2
    side = (_WIDTH - _GAP) // count - _GAP if count > 1 else _WIDTH // 2
    after_cell = _Cell(make_thumbnail(after, side), f"after, {after.width} x {after.height} px")
    if before is None:
        return [after_cell]
    cells = [_Cell(make_thumbnail(before, side), f"before, {before.width} x {before.height} px"), after_cell]
    if result.masks:
        names = ", ".join("mask" if name == "mask" else f"mask {name}" for name in result.masks)
        cells.append(_Cell(mask_overlay(before, _united(list(result.masks.values())), side), f"{names}: what may change is red"))
    return cells


def mask_overlay(picture: Picture, mask: Mask, side: int) -> Thumbnail:
    """Return the picture, reduced to fit into a square, with its mask (h, w), 0..1, in red over it: uint8 (h, w, 3), sRGB."""
    small = make_thumbnail(picture, side)
    height, width = small.shape[:2]
    weight = np.clip(resize(np.ascontiguousarray(mask), height, width), 0, 1)[:, :, None]
    colour = np.asarray(_OVERLAY_COLOUR, np.float32) * 255
    grey = small.mean(axis=2, keepdims=True, dtype=np.float32)
    covered = 0.45 * grey + 0.55 * colour
    return np.asarray(np.round(small * (1 - weight) + covered * weight), dtype=np.uint8)


def _united(masks: Sequence[Mask]) -> Mask:
    united = masks[0]
    for mask in masks[1:]:
        united = np.maximum(united, mask)
    return united


# ---------------------------------------------------------------------- the places at 100 %


def _crops(result: ReviewedResult) -> list[_Cell]:
    """Return the places at 100 %, before and after side by side in one cell each."""
    before = _before_at_size_of_result(result)
    places = [*_found_places(result), *_changed_places(before, result.after)]
    return [_crop_cell(before, result.after, place) for place in _without_neighbours(places)]


def _before_at_size_of_result(result: ReviewedResult) -> Picture | None:
    """Return the picture before, enlarged or reduced to the size of the result, so that places can be compared."""
    if result.before is None:
        return None
    height, width = result.after.height, result.after.width
    return resize_picture(result.before, height, width)


def _crop_cell(before: Picture | None, after: Picture, place: Place) -> _Cell:
    crops = [_crop(picture, place) for picture in (before, after) if picture is not None]
    height = max(crop.shape[0] for crop in crops)
    joined = np.full((height, len(crops) * (_CROP_SIDE + _GAP) - _GAP, 3), BACKGROUND_COLOUR, np.uint8)
    for number, crop in enumerate(crops):
        left = number * (_CROP_SIDE + _GAP)
        joined[: crop.shape[0], left : left + crop.shape[1]] = crop
    sides = "before and after" if len(crops) > 1 else "the result"
    return _Cell(joined, f"{place.caption}, {sides} at 100 %")


def _crop(picture: Picture, place: Place) -> Thumbnail:
    """Return the part of the picture around a place, uint8 (h, w, 3), sRGB."""
    rows, columns = _crop_window(picture, place)
    alpha = None if picture.alpha is None else freeze(picture.alpha[rows, columns])
    return make_thumbnail(Picture(freeze(picture.pixels[rows, columns]), alpha, picture.depth, picture.icc), _CROP_SIDE)


def _crop_window(picture: Picture, place: Place) -> Window:
    """Return the rows and columns of the part of the picture around a place."""
    top = min(max(0, place.y - _CROP_SIDE // 2), max(0, picture.height - _CROP_SIDE))
    left = min(max(0, place.x - _CROP_SIDE // 2), max(0, picture.width - _CROP_SIDE))
    return slice(top, top + _CROP_SIDE), slice(left, left + _CROP_SIDE)


def _changed_places(before: Picture | None, after: Picture) -> list[Place]:
    """Return the places that have changed most; those of most detail if there is nothing before or everything has changed."""
    if before is None:
        return _detailed_places(after, "a place with much detail")
    difference = np.abs(_grey_blocks(before, after))
    changed = difference > _MIN_DIFFERENCE
    if not changed.any():
        return []
    if changed.mean() > _WHOLE_PICTURE_SHARE:
        return _detailed_places(after, "the whole picture has changed")
    return _strongest_components(difference, changed)


def _grey_blocks(before: Picture, after: Picture) -> NDArray[np.float32]:
    """Return the greatest difference of a channel in each block, (h / 16, w / 16), 0..1."""
    channels = min(before.channels, after.channels)
    difference = np.abs(before.pixels[:, :, :channels] - after.pixels[:, :, :channels]).max(axis=2)
    if before.alpha is not None or after.alpha is not None:
        opaque = np.ones(difference.shape, np.float32)
        alphas = [opaque if picture.alpha is None else picture.alpha for picture in (before, after)]
        difference = np.maximum(difference, np.abs(alphas[0] - alphas[1]))
    return _block_maxima(difference)


def _block_maxima(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = -(-values.shape[0] // _BLOCK), -(-values.shape[1] // _BLOCK)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    maxima: NDArray[np.float32] = padded.reshape(rows, _BLOCK, columns, _BLOCK).max(axis=(1, 3))
    return maxima


def _strongest_components(difference: NDArray[np.float32], changed: NDArray[np.bool_]) -> list[Place]:
    """Return the centres of the areas that have changed most, by the sum of their differences."""
    import cv2

    # Joins what lies closer together than half a crop.
    reach = _CROP_SIDE // _BLOCK // 2
    joined = cv2.dilate(changed.astype(np.uint8), np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    strengths = [(float(difference[(labels == number) & changed].sum()), number) for number in range(1, min(count, 200))]
    places = []
    for _, number in sorted(strengths, reverse=True)[:_MAX_CHANGED]:
        weights = np.where((labels == number) & changed, difference, 0)
        rows, columns = np.nonzero(weights)
        y = int(np.average(rows, weights=weights[rows, columns]) * _BLOCK + _BLOCK / 2)
        x = int(np.average(columns, weights=weights[rows, columns]) * _BLOCK + _BLOCK / 2)
        places.append(Place(x, y, "changed"))
    return places


def _detailed_places(picture: Picture, caption: str) -> list[Place]:
    """Return the places with the most detail, at most four."""
    grey = picture.pixels.mean(axis=2, dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=0, prepend=grey[:1])) + np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    side = _CROP_SIDE
    rows, columns = max(1, grey.shape[0] // side), max(1, grey.shape[1] // side)
    cells = []
    for row in range(rows):
        for column in range(columns):
            part = steps[row * side : (row + 1) * side, column * side : (column + 1) * side]
            cells.append((float(part.mean()), row * side + part.shape[0] // 2, column * side + part.shape[1] // 2))
    return [Place(x, y, caption) for _, y, x in sorted(cells, reverse=True)[:4]]


def _found_places(result: ReviewedResult) -> list[Place]:
    """Return the places that the steps have found, from the boxes in their findings."""
    places = []
    for step in result.steps:
        for name, box in _boxes(step.findings):
            left, top, width, height = box
            x, y = int(left + width / 2), int(top + height / 2)
            if 0 <= x < result.after.width and 0 <= y < result.after.height:
                places.append(Place(x, y, f"{step.op}: {name}"))
    return places[:_MAX_FOUND]


def _boxes(value: JsonValue, name: str = "") -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Yield each box (left, top, width, height, in px) in the findings of a step, with the name of the finding."""
    if isinstance(value, list):
        for entry in value:
            yield from _boxes(entry, name)
    elif isinstance(value, dict):
        box = value.get("box")
        if isinstance(box, list) and len(box) == 4 and all(isinstance(number, int | float) for number in box):
            left, top, width, height = (float(number) for number in box if isinstance(number, int | float))
            yield name or "found", (left, top, width, height)
        for key, entry in value.items():
            yield from _boxes(entry, key.replace("_", " ")) if key != "box" else ()


def _without_neighbours(places: Sequence[Place]) -> list[Place]:
    """Return the places without those that an earlier one shows already."""
    kept: list[Place] = []
    for place in places:
        if all(max(abs(place.x - other.x), abs(place.y - other.y)) > _CROP_SIDE // 3 for other in kept):
            kept.append(place)
    return kept


# ---------------------------------------------------------------------- the words


def _lines_of_words(result: ReviewedResult) -> list[_Line]:
    """Return what was done and found, in lines that fit beside the small pictures."""
    lines: list[_Line] = []
    for number, (spec, step) in enumerate(zip(result.specs, result.steps, strict=True), 1):
        lines += _wrapped(f"{number}. {_step_words(spec, step)}", TEXT_COLOUR)
        outside, changed = step.findings.get("outside_pixels"), step.findings.get("outside_changed")
        if isinstance(outside, int) and isinstance(changed, int):
            lines += _wrapped(f"    Outside the mask {changed:,} of {outside:,} pixels changed.", MUTED_COLOUR)
    for remark in result.remarks:
        lines += _wrapped(remark, SELECTED_COLOUR)
    if len(lines) > _MAX_LINES:
        return [*lines[: _MAX_LINES - 1], _Line(f"and {len(lines) - _MAX_LINES + 1} more lines", MUTED_COLOUR)]
    return lines


def _step_words(spec: StepSpec, step: StepResult) -> str:
    settings = ", ".join(f"{name.replace('_', ' ')} {_value_words(value)}" for name, value in spec.settings.items())
    engine = (step.engine or {}).get("name")
    made_with = f"; made with {engine}, seed {step.seed}" if isinstance(engine, str) else ""
    return f"{spec.op}{f': {settings}' if settings else ''}{made_with}"


def _value_words(value: JsonValue) -> str:
    if isinstance(value, str):
        return f"“{value}”" if len(value) <= _MAX_VALUE_CHARS else f"“{value[:_MAX_VALUE_CHARS]}…”"
    if isinstance(value, list):
        return " ".join(map(_value_words, value[:8]))
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_value_words(entry)}" for name, entry in list(value.items())[:8]) + ")"
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _wrapped(text: str, colour: tuple[int, int, int]) -> list[_Line]:
    clean = " ".join(text.split("\n"))
    return [_Line(line, colour) for line in textwrap.wrap(clean, _TEXT_CHARS, subsequent_indent="    ")]
