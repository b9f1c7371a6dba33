"""Judge the pixels of a mask file that a person laid beside a picture: what the file means, or why it cannot mean a mask.

The thresholds were measured on 24 photographs (scikit-image's samples and this project's own, also as grey, on black and on white) and on
90 masks as people and programs make them, at 200 to 1800 px: hard and feathered brushes, airbrush, linear and radial gradients with noise
up to 8 codes, all of these as JPEG down to quality 30, mattes of hair and glass, a depth map, masks of segmenters.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.codec import mask_from_picture
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# Levels up to this are ground: black is 16 in video range (ITU-R BT.709-6, table 5), and JPEG leaves a few codes beside edges.
GROUND = 16 / 255
# Video range: black and white as 8-bit codes (ITU-R BT.709-6, table 5), each with the tolerance of JPEG.
_VIDEO_BLACK, _VIDEO_WHITE, _VIDEO_TOLERANCE = 16 / 255, 235 / 255, 3 / 255
# A mask whose brightest value is below this changes next to nothing: label maps number their classes from 1. A mask with a NAME may be the
# opacity of clear glass, 0.15 to 0.2.
_MIN_BRIGHTEST, _MIN_BRIGHTEST_NAMED = 0.25, 0.125
# Half an 8-bit code, and a few codes: what encoding and rounding may change.
_HALF_CODE, _FEW_CODES = 0.5 / 255, 3 / 255
# Levels between these are grey.
_GREY_FROM, _GREY_TO = 0.1, 0.9

# Samples along the longer side, about. They are averaged by twos if there are enough, which leaves 512 and halves the noise.
_SAMPLES, _MIN_AVERAGED_SAMPLES = 1024, 768
_CELL = 8
# A smaller mask is not judged by its texture.
_MIN_CELLS = 256
# A cell is grey if all of it is between these.
_CELL_FROM, _CELL_TO = 0.07, 0.93
# A grey cell is textured if this much remains (standard deviation) once its plane is removed, and if neighbouring pixels of the remainder
# correlate this much: noise does not.
_TEXTURE, _TEXTURE_CORRELATION = 4 / 255, 0.25
# Photographs: 60 % to 100 % grey and 11 % to 90 % textured. Masks that are mostly grey: textured 0.5 % at most.
_PHOTO_GREY, _PHOTO_TEXTURE = 0.5, 0.05
# Blurred photographs: 97 % grey and more, 1 % to 2 % textured. Gradients that reach neither black nor white at the edges: 0 %.
_BLURRED_GREY, _BLURRED_TEXTURE = 0.9, 0.008
# Photographs on black or white ground: 7 % to 20 % textured, and the share of the other ground is below 20 % of that of the greys. Masks
# with such a texture are hair: there it is 80 % and more.
_CUT_TEXTURE, _MISSING_SHARE = 0.06, 0.3
# A copy of the picture repeats most of its greys. Other masks hit 2 % of them by chance.
_COPIED_SHARE, _MIN_COPYABLE = 0.5, 0.01

# A greater difference between the channels is colour; less than this share of a mask's pixels above the ground has colour.
_COLOURED, _MAX_COLOURED_SHARE = 0.15, 0.02
# With fewer samples of what is painted, all of its pixels are looked at.
_MIN_SAMPLES = 1000

# Per cent of the pixels that do not count as darkest or brightest; what is grey all over spans less than this range of levels.
_OUTLIERS, _MIN_RANGE = 0.5, 0.5
# A flat ground: this share (per cent) of the pixels within a few codes of the darkest.
_FLAT_GROUND_PERCENT = 10
# A level of a label map fills this share of the cells completely, and this share of the pixels round it differ by this and more (codes):
# the levels that JPEG leaves in a gradient differ by 3 to 5.
_LEVEL_SHARE, _ABRUPT_SHARE, _ABRUPT_CODES = 0.005, 0.8, 8
# People paint one or two flat greys, label maps have many; none is as dark as this beside a black ground.
_MAX_FLAT_GREYS, _DARK_LEVEL = 3, 24 / 255
# A gradient in JPEG has more flat levels than this.
_MAX_LEVELS = 64

# Alpha from here on is opaque; up to GROUND it is transparent.
_OPAQUE = 0.98
# Paint has alpha of at least this where its colour is judged.
_PAINTED = 0.25
# The opaque rest is the picture if this share of it differs by this at most: other programs convert profiles and write JPEG.
_SAME_SHARE, _SAME_DIFFERENCE = 0.9, 8 / 255
# Or if it correlates this much, after a correction of tone or colour.
_SAME_CORRELATION = 0.95
# Paint: this share of it is within this distance of its median colour, or within this angle (degrees) of its median hue.
_PAINT_SHARE, _PAINT_DISTANCE, _PAINT_HUE = 0.95, 0.15, 20.0

_Value = TypeVar("_Value", bound=np.generic)


class MaskNames(NamedTuple):
    """What sentences call the two files, and what the mask's name says: ``is_keep``: its white is kept; ``has_name``: it has a NAME."""

    mask: str
    picture: str
    is_keep: bool = False
    has_name: bool = False

    @property
    def part(self) -> str:
        """What is white in it."""
        return "the part that is to stay" if self.is_keep else "the part that is to change"

    @property
    def hint(self) -> str:
        """How to paint it."""
        changes, stays = ("stay", "change") if self.is_keep else ("change", "stay")
        return f"Paint white where the picture is to {changes} and black where it is to {stays}"


class JudgedMask(NamedTuple):
    """The mask (h, w), 0..1, that a file means. ``remark``: a sentence for the record if it was not read as a plain mask, or ""."""

    mask: Mask
    remark: str = ""


def judge_mask(decoded: Picture, picture: Picture, names: MaskNames) -> JudgedMask:
    """Return the mask that a decoded file means for ``picture``.

    Raises InputError if it is a photograph or the picture itself, a label map, painted in colour on opaque ground, or grey all over.
    """
    if decoded.alpha is not None and float(decoded.alpha.min()) < _OPAQUE:
        transparent = _judge_transparent(decoded, decoded.alpha, picture, names)
        if transparent is not None:
            return JudgedMask(clean_ground(transparent.mask), transparent.remark)
    mask = mask_from_picture(decoded)
    _require_no_picture(decoded, mask, picture, names)
    _require_no_colour(decoded, mask, names)
    mask, remark = _stretch_video_range(mask, names)
    _require_levels(mask, decoded.max_code, names)
    return JudgedMask(clean_ground(mask), remark)


def clean_ground(mask: Mask) -> Mask:
    """Return the mask (h, w), 0..1, with levels up to ``GROUND`` at zero; the same array if it has none of them.

    Levels from twice that on stay as they are, and those between are stretched, so that a soft edge has no step.
    """
    result = None
    rows = max(1, (1 << 18) // max(1, mask.shape[1]))
    for top in range(0, mask.shape[0], rows):
        band = mask[top : top + rows]
        low = (band > 0) & (band < 2 * GROUND)
        if low.any():
            result = mask.copy() if result is None else result
            result[top : top + rows][low] = np.maximum(0, 2 * (band[low] - np.float32(GROUND)))
    return mask if result is None else freeze(result)


# Transparent files


def _judge_transparent(decoded: Picture, alpha: Mask, picture: Picture, names: MaskNames) -> JudgedMask | None:
    """Return the mask of a file with transparent pixels: the hole in a copy of the picture, or the paint; None if its brightness counts.

    Raises InputError if it is impossible to tell a hole from paint, or if there is nothing but transparency.
    """
    if float(alpha.max()) < _PAINTED:
        raise InputError(f"The mask {names.mask} is transparent all over, so it selects nothing.", f"{names.hint}.")
    sample, has_paint = _thin(decoded.pixels), _thin(alpha) >= _PAINTED
    if np.count_nonzero(has_paint) < _MIN_SAMPLES:
        sample, has_paint = decoded.pixels, alpha >= _PAINTED
    is_paint = _is_paint(sample[has_paint])
    if _is_rest_of(decoded, alpha, picture):
        return _judge_hole(alpha, names, is_paint=is_paint)
    if is_paint:
        return JudgedMask(alpha)
    if not _is_drawn_in_grey(sample, has_paint):
        raise InputError(
            f"{names.mask} is a picture with transparent parts, and the rest of it is not {names.picture}: "
            "it does not say which part is to change.",
            f"{names.hint}, or erase that part in a copy of {names.picture}.",
        )
    return None


def _judge_hole(alpha: Mask, names: MaskNames, *, is_paint: bool) -> JudgedMask:
    if is_paint:
        raise InputError(
            f"{names.mask} has one colour and is transparent elsewhere, and {names.picture} has the same colour there: "
            "it may be paint, or the picture with a hole.",
            f"{names.hint}.",
        )
    if names.is_keep:
        raise InputError(
            f"{names.mask} is {names.picture} with a transparent part: it may be the part to keep, or the part to change.",
            f"{names.hint}. If the transparent part is to change, name the file .mask. instead of .keep.",
        )
    remark = f"{names.mask} is {names.picture} with a transparent part: that part is the mask"
    return JudgedMask(freeze(np.float32(1) - alpha), remark)


def _is_rest_of(decoded: Picture, alpha: Mask, picture: Picture) -> bool:
    """Return whether the opaque pixels of a file are those of the picture."""
    opaque = _thin(alpha) >= _OPAQUE
    counterpart = _thin_counterpart(picture, decoded)
    if counterpart is None or not opaque.any():
        return False
    own, other = luma(_thin(decoded.pixels))[opaque], luma(counterpart)[opaque]
    if float((np.abs(own - other) <= _SAME_DIFFERENCE).mean()) >= _SAME_SHARE:
        return True
    spreads = float(own.std()), float(other.std())
    if min(spreads) < _FEW_CODES:
        return False
    return float(((own - own.mean()) * (other - other.mean())).mean()) >= _SAME_CORRELATION * spreads[0] * spreads[1]


def _is_paint(colours: Pixels) -> bool:
    """Return whether colours (n, c), 0..1, are one paint: one colour, or one hue with grain."""
    median = np.median(colours, axis=0)
    if float((np.abs(colours - median).max(axis=1) <= _PAINT_DISTANCE).mean()) >= _PAINT_SHARE:
        return True
    if colours.shape[1] == 1 or np.ptp(median) <= _COLOURED:
        return False
    angles = _hue_angles(colours - colours.mean(axis=1, keepdims=True), median - median.mean())
    coloured = np.ptp(colours, axis=1) > _COLOURED
    return float((coloured & (angles <= _PAINT_HUE)).mean()) >= _PAINT_SHARE


def _hue_angles(chroma: Pixels, direction: Pixels) -> Pixels:
    """Return the angles (n,), in degrees, between colours without their grey (n, 3) and one direction (3,)."""
    lengths = np.linalg.norm(chroma, axis=1) * np.linalg.norm(direction)
    angles: Pixels = np.degrees(np.arccos(np.clip(chroma @ direction / np.maximum(lengths, 1e-6), -1, 1)))
    return angles


def _is_drawn_in_grey(sample: Pixels, has_paint: NDArray[np.bool_]) -> bool:
    """Return whether the painted pixels of a thinned file (h, w, c), 0..1, are black, white and smooth greys, as those of a mask are."""
    colours = sample[has_paint]
    if float((np.ptp(colours, axis=1) > _COLOURED).mean()) > 1 - _PAINT_SHARE:
        return False
    if _grey_share(luma(colours[:, None])) <= 1 - _PAINT_SHARE:
        return True
    cells = _cells(np.where(has_paint, luma(sample), np.float32(0)))
    return _textured_share(cells) < _PHOTO_TEXTURE * float(has_paint.mean())


# Opaque files


def _require_no_picture(decoded: Picture, mask: Mask, picture: Picture, names: MaskNames) -> None:
    """Raise InputError if the file shows what the picture shows, or if its greys have the texture of a photograph."""
    grey = _grey_share(_thin(mask))
    if _copied_share(decoded, picture) >= _COPIED_SHARE:
        what = f"it shows what {names.picture} shows"
    elif _has_photographic_texture(mask):
        what = f"{grey:.0%} of it is neither black nor white"
    else:
        return
    raise InputError(f"{names.mask} is a picture, not a mask: {what}.", f"{names.hint}, and save only what you painted.")


def _copied_share(decoded: Picture, picture: Picture) -> float:
    """Return the share of the picture's grey levels that the file repeats in their place, 0..1; 0 if there are too few to tell."""
    counterpart = _thin_counterpart(picture, decoded)
    if counterpart is None:
        return 0.0
    own, other = luma(_thin(decoded.pixels)), luma(counterpart)
    copyable = (other > _GREY_FROM) & (other < _GREY_TO)
    if float(copyable.mean()) < _MIN_COPYABLE or _grey_share(own) < _MIN_COPYABLE:
        return 0.0
    return float((np.abs(own - other)[copyable] <= _FEW_CODES).mean())


def _has_photographic_texture(mask: Mask) -> bool:
    """Return whether the greys of a mask (h, w), 0..1, have the texture of a photograph: soft brushes, gradients and depth are smooth."""
    values = _thin(mask)
    if max(values.shape) >= _MIN_AVERAGED_SAMPLES:
        rows, columns = values.shape[0] // 2, values.shape[1] // 2
        values = values[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    cells = _cells(values)
    if len(cells) < _MIN_CELLS:
        return False
    grey, textured = _grey_share(values), _textured_share(cells)
    if textured < _PHOTO_TEXTURE:
        return grey >= _BLURRED_GREY and textured >= _BLURRED_TEXTURE
    rarer = min(float((values <= _CELL_FROM).mean()), float((values >= _CELL_TO).mean()))
    return grey >= _PHOTO_GREY or (textured >= _CUT_TEXTURE and rarer < _MISSING_SHARE * grey)


def _textured_share(cells: Pixels) -> float:
    """Return the share of the cells (n, side, side), 0..1, that are grey all over and textured."""
    solid = cells[(cells.min(axis=(1, 2)) > _CELL_FROM) & (cells.max(axis=(1, 2)) < _CELL_TO)]
    if not len(solid):
        return 0.0
    ramp = np.arange(_CELL, dtype=np.float32) - np.float32((_CELL - 1) / 2)
    weights = ramp / np.float32(_CELL * (ramp**2).sum())  # least squares: a plane through the cell's mean
    rest = solid - solid.mean(axis=(1, 2), keepdims=True)
    across, down = (rest @ weights).sum(axis=1), (rest.transpose(0, 2, 1) @ weights).sum(axis=1)
    rest = rest - across[:, None, None] * ramp - down[:, None, None] * ramp[:, None]
    variance = np.maximum((rest**2).mean(axis=(1, 2)), 1e-12)
    neighbours = (rest[:, :, 1:] * rest[:, :, :-1]).mean(axis=(1, 2)) + (rest[:, 1:] * rest[:, :-1]).mean(axis=(1, 2))
    textured = (variance > _TEXTURE**2) & (neighbours / 2 > _TEXTURE_CORRELATION * variance)
    return float(np.count_nonzero(textured)) / len(cells)


def _require_no_colour(decoded: Picture, mask: Mask, names: MaskNames) -> None:
    """Raise InputError if an opaque file is painted in colour: its brightness says nothing about how much is to change."""
    if decoded.channels == 1:
        return
    sample, is_bright = _thin(decoded.pixels), _thin(mask) > GROUND
    if np.count_nonzero(is_bright) < _MIN_SAMPLES:
        sample, is_bright = decoded.pixels, mask > GROUND
    if not is_bright.any():
        return
    has_colour = np.ptp(sample[is_bright], axis=1) > _COLOURED
    if float(has_colour.mean()) <= _MAX_COLOURED_SHARE:
        return
    share = float(np.count_nonzero(has_colour)) / is_bright.size
    raise InputError(
        f"{names.mask} is painted in colour ({_percent(share)} of it): a label map, or a layer that was saved with its ground?",
        f"{names.hint}, or save the paint alone, on transparent ground.",
    )


def _stretch_video_range(mask: Mask, names: MaskNames) -> tuple[Mask, str]:
    """Return the mask in full range, and a remark, if its black is 16 and its white is 235; else the mask itself and ""."""
    darkest, brightest = float(mask.min()), float(mask.max())
    if max(abs(darkest - _VIDEO_BLACK), abs(brightest - _VIDEO_WHITE)) > _VIDEO_TOLERANCE:
        return mask, ""
    stretched = (mask - np.float32(darkest)) / np.float32(brightest - darkest)
    return freeze(np.clip(stretched, 0, 1)), f"{names.mask} has video range ({_codes(darkest, brightest, 255)}): it was stretched"


def _require_levels(mask: Mask, max_code: int, names: MaskNames) -> None:
    """Raise InputError if the levels of a mask (h, w), 0..1, are those of a label map, or are grey all over. ``max_code``: its white."""
    brightest = float(mask.max())
    if brightest <= 0:
        return
    remedy = f"Make {names.part} white ({max_code}) and the rest black (0)."
    if brightest < (_MIN_BRIGHTEST_NAMED if names.has_name else _MIN_BRIGHTEST):
        code = round(brightest * max_code)
        is_8_bit = max_code > 255 and 64 <= code <= 255
        guess, remedy = ("8-bit values in a 16-bit file?", "Save it with 8 bits per channel.") if is_8_bit else ("a label map?", remedy)
        raise InputError(f"{names.mask} is nearly black, its brightest value is {code} of {max_code}: {guess}", remedy)
    sample = _thin(mask)
    _require_black_or_white(sample, max_code, names)
    levels = _flat_levels(sample)
    if len(levels) > _MAX_FLAT_GREYS or (levels and levels[0] <= _DARK_LEVEL and float(mask.min()) < _HALF_CODE):
        listed = ", ".join(str(round(level * max_code)) for level in levels[:4]) + (" …" if len(levels) > 4 else "")
        plural = "s" * (len(levels) != 1)
        raise InputError(f"{names.mask} has flat parts with the value{plural} {listed} of {max_code}: a label map?", remedy)


def _require_black_or_white(sample: Mask, max_code: int, names: MaskNames) -> None:
    """Raise InputError if a thinned mask (h, w), 0..1, is grey all over, or if its flat ground is grey."""
    darkest, tenth, brightest = (float(value) for value in np.percentile(sample, (_OUTLIERS, _FLAT_GROUND_PERCENT, 100 - _OUTLIERS)))
    if brightest - darkest <= _FEW_CODES and brightest < 1 - _FEW_CODES and darkest > GROUND:
        level = round(float(np.median(sample)) * max_code)
        raise InputError(
            f"{names.mask} is one grey all over ({level} of {max_code}), so it selects no part of the picture.", f"{names.hint}."
        )
    if darkest > _GREY_FROM and brightest < _GREY_TO and brightest - darkest < _MIN_RANGE:
        raise InputError(
            f"{names.mask} is grey all over: its values go from {_codes(darkest, brightest, max_code)}, without black or white.",
            f"{names.hint}.",
        )
    if darkest > GROUND + _HALF_CODE and tenth - darkest <= _FEW_CODES and tenth < _GREY_TO:
        level = round(darkest * max_code)
        raise InputError(
            f"{names.mask} has no black: its ground is {level} of {max_code}, so all of the picture would change.", f"{names.hint}."
        )


def _flat_levels(sample: Mask) -> list[float]:
    """Return the grey levels, in ascending order, that fill parts of a thinned mask (h, w), 0..1, with abrupt borders."""
    codes = np.round(sample * 255).astype(np.int16)
    cells = _cells(codes)
    if len(cells) < _MIN_CELLS:
        return []
    flat = cells[cells.min(axis=(1, 2)) == cells.max(axis=(1, 2))][:, 0, 0]
    counts = np.bincount(flat, minlength=256)
    levels = [code for code in range(_ABRUPT_CODES, 250) if counts[code] >= _LEVEL_SHARE * len(cells)]
    if not 0 < len(levels) <= _MAX_LEVELS:
        return []
    first, second = np.concatenate([codes[:, :-1].ravel(), codes[:-1].ravel()]), np.concatenate([codes[:, 1:].ravel(), codes[1:].ravel()])
    border = first != second
    pairs = np.concatenate([np.stack([first[border], second[border]]), np.stack([second[border], first[border]])], axis=1)
    return [level / 255 for level in levels if _is_abrupt(np.abs(pairs[1][pairs[0] == level] - level))]


def _is_abrupt(differences: NDArray[np.int16]) -> bool:
    """Return whether most of the differences (n,), in codes, between a level and the pixels round it are large."""
    return len(differences) > 0 and float((differences >= _ABRUPT_CODES).mean()) >= _ABRUPT_SHARE


# Samples


def _thin(array: Pixels) -> Pixels:
    """Return every n-th row and column of an array (h, w, ...), so that about ``_SAMPLES`` remain along the longer side."""
    step = max(1, max(array.shape[:2]) // _SAMPLES)
    return array[::step, ::step]


def _thin_counterpart(picture: Picture, decoded: Picture) -> Pixels | None:
    """Return the picture's pixels at the places of the samples of a file, (h, w, c), 0..1; None if the file has another aspect ratio."""
    step = max(1, max(decoded.height, decoded.width) // _SAMPLES)
    if (decoded.height, decoded.width) == (picture.height, picture.width):
        return picture.pixels[::step, ::step]
    if abs(decoded.width * picture.height - picture.width * decoded.height) > max(picture.height, picture.width, decoded.height):
        return None
    rows, columns = (
        ((np.arange(0, own, step) + 0.5) * other / own).astype(np.intp)
        for own, other in ((decoded.height, picture.height), (decoded.width, picture.width))
    )
    return np.asarray(picture.pixels[np.ix_(rows, columns)])


def _cells(values: NDArray[_Value]) -> NDArray[_Value]:
    """Return an array (h, w) cut into cells (n, side, side); what remains at the right and at the bottom is left out."""
    rows, columns = values.shape[0] // _CELL, values.shape[1] // _CELL
    cut = values[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL)
    return cut.transpose(0, 2, 1, 3).reshape(rows * columns, _CELL, _CELL)


def _grey_share(values: Mask) -> float:
    return float(((values > _GREY_FROM) & (values < _GREY_TO)).mean())


def _codes(darkest: float, brightest: float, max_code: int) -> str:
    return f"{round(darkest * max_code)} to {round(brightest * max_code)} of {max_code}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
