"""Files for print: a picture in the inks of a press as TIFF, JPEG or PDF, and a page of RGB as PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from goldsmith.picture import codec, colour, profiles
from goldsmith.picture.dither import dithered
from goldsmith.picture.formats import jpeg, jpeg_write, tiff_write
from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.picture import Metadata, Pixels, Plate, frozen, quantised
from goldsmith.picture.print import cmyk, gray_component_replacement, ink_limit, pdf_write
from goldsmith.picture.print.cmyk import Inks
from goldsmith.picture.print.page_boxes import Sheet
from goldsmith.picture.strips import in_slabs

Tick = Callable[[float], None]
PrintFormat = Literal["tiff", "jpeg", "pdf"]


@dataclass(frozen=True, slots=True)
class Press:
    """How colours become inks. black_point: compensation; coverage: limit of the inks' sum in percent, None = none;
    grey_in_black: what has no colour is printed in black alone."""

    icc: bytes = field(repr=False)
    intent: colour.Intent = "relative"
    black_point: bool = True
    coverage: float | None = None
    grey_in_black: bool = False


@dataclass(frozen=True, slots=True)
class Separated:
    """Codes of inks (h, w, 4; 0 = none) as they are written, and what was measured: highest sum in percent
    and share over the limit before it was kept, share of colours beyond the press, share in black alone because it is grey."""

    codes: Samples = field(repr=False)
    coverage_before: float
    over: float
    beyond: float
    grey: float


@dataclass(frozen=True, slots=True)
class Page:
    """The sheet of a PDF."""

    sheet: Sheet
    title: str
    marks: bool = False


def separate(plate: Plate, how: Press, depth: Literal[8, 16], seed: int, tick: Tick) -> Separated:
    """The plate, which has no alpha any more, in inks of ``depth`` bits; dithered at 8, and never above the limit."""
    inks = cmyk.separated(plate, how.icc, how.intent, how.black_point, tick)
    inks, grey = (
        gray_component_replacement.in_black(plate, inks, how.icc, how.black_point or how.intent != "relative")
        if how.grey_in_black
        else (inks, 0.0)
    )
    total = cmyk.coverage(inks)
    before, over = float(total.max()), 0.0
    if how.coverage is not None:
        over = float((total > how.coverage).mean())
        inks = in_slabs(inks, partial(cmyk.limited, limit=how.coverage), into=inks)
    codes: Samples = quantised(dithered(inks, 8, seed, into=inks) if depth == 8 else inks, depth)
    del total, inks
    if how.coverage is not None:
        codes = cmyk.codes_within(codes, how.coverage)
    return Separated(codes, before, over, cmyk.beyond_press(plate, how.icc), grey)


def inks_of(codes: Samples) -> Inks:
    """Codes as inks of 0..1."""
    made: Inks = codes.astype(np.float32)
    made /= np.float32(np.iinfo(codes.dtype).max)
    return made


def as_read(codes: Samples, word: PrintFormat, quality: int | None) -> Samples:
    """The codes that a reader of the file gets: themselves, or what JPEG at that quality makes of them."""
    if word == "tiff" or quality is None:
        return codes
    data = jpeg_write.bare_inks(codes, quality)
    return jpeg.read_samples(data, jpeg.read_header(data, "inks", codes.shape[0] * codes.shape[1]), "inks")


def held(codes: Samples, word: PrintFormat, quality: int | None, limit: float | None) -> Samples:
    """The codes of which also what a reader of the file gets is under the limit of coverage: with room where a JPEG needs it."""
    if limit is None or word == "tiff" or quality is None:
        return codes
    return ink_limit.held(codes, limit, lambda some: as_read(some, word, quality))


def highest_coverage(codes: Samples) -> float:
    """The highest sum of inks in percent."""
    return float(cmyk.summed(codes).max()) / float(np.iinfo(codes.dtype).max) * 100


def ink_file(codes: Samples, plate: Plate, icc: bytes, word: PrintFormat, quality: int | None, page: Page | None) -> bytes:
    """Inks as a file; ``plate`` gives resolution and metadata. A PDF is without loss unless it is given a quality."""
    carrier = replace(plate, icc=icc, alpha=None)
    if word == "tiff":
        return tiff_write.write(codes, carrier, 1)
    if word == "jpeg":
        return jpeg_write.write_inks(codes, carrier, quality or 100)
    if page is None:
        raise ValueError("a PDF needs a page")
    height, width = codes.shape[:2]
    if quality is None:
        picture = pdf_write.lossless(codes, icc)
    else:
        picture = pdf_write.Picture(jpeg_write.bare_inks(codes, quality), width, height, 4, 8, icc, jpeg=True)
    return pdf_write.write(picture, page.sheet, page.title, page.marks)


def page_file(plate: Plate, depth: Literal[8, 16], quality: int | None, page: Page) -> bytes:
    """A picture in grey or RGB, without alpha, as a PDF page in its own profile."""
    if plate.channels == 1 and plate.icc is None:
        plate = replace(plate, pixels=frozen(np.repeat(plate.pixels, 3, axis=2)))
    codes, icc = codec.codes(plate, depth), plate.icc or profiles.named("srgb")
    if quality is None:
        picture = pdf_write.lossless(codes, icc)
    else:
        bare = replace(plate, icc=None, ppi=None, metadata=Metadata())
        subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4" if quality >= codec.FULL_CHROMA_FROM else "4:2:0"
        data = jpeg_write.write(codes, bare, quality, subsampling)
        picture = pdf_write.Picture(data, plate.width, plate.height, plate.channels, 8, icc, jpeg=True)
    return pdf_write.write(picture, page.sheet, page.title, page.marks)


def proof_file(inks: Inks, icc: bytes, paper: bool, ppi: tuple[float, float] | None) -> bytes:
    """What the print will look like, as an sRGB JPEG; ``paper``: with the paper's own colour and the ink's own black."""
    seen: Pixels = cmyk.seen(inks, icc, paper)
    return codec.encode(Plate(frozen(seen), ppi=ppi), codec.Encoding(format="jpeg", depth=8, quality=92))
