"""Files for print: a picture in the inks of a press as TIFF, JPEG or PDF, and a page of RGB as PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from goldsmith.picture import codec, colour, profiles
from goldsmith.picture.dither import dither
from goldsmith.picture.formats import jpeg, jpeg_write, tiff_write
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.table import FORMATS, WriterOptions
from goldsmith.picture.picture import Metadata, Picture, Pixels, freeze, quantise
from goldsmith.picture.print import cmyk, gray_component_replacement, ink_limit, pdf_write
from goldsmith.picture.print.page_boxes import PrintSheet
from goldsmith.picture.slab_processing import map_slabs

OnProgress = Callable[[float], None]
PrintFormat = Literal["tiff", "jpeg", "pdf"]


@dataclass(frozen=True, slots=True)
class PressSettings:
    """How colours become inks: black point compensation, the limit of the inks' sum in percent (None = none), and whether greys are printed
    in black alone.
    """

    icc: bytes = field(repr=False)
    intent: colour.RenderingIntent = "relative"
    black_point_compensation: bool = True
    coverage_limit_percent: float | None = None
    prints_grey_in_black: bool = False


@dataclass(frozen=True, slots=True)
class InkSeparation:
    """Codes of inks (h, w, 4; 0 = none) as written, and the measurements: the highest sum in percent and the share over the limit before
    the limit was applied, the share out of gamut, and the share in black alone.
    """

    codes: Samples = field(repr=False)
    max_coverage_before: float
    over_limit_share: float
    out_of_gamut_share: float
    black_only_share: float


@dataclass(frozen=True, slots=True)
class PdfPageOptions:
    """The sheet of a PDF."""

    sheet: PrintSheet
    title: str
    has_marks: bool = False


def separate_inks(
    picture: Picture, press_settings: PressSettings, depth: Literal[8, 16], seed: int, on_progress: OnProgress
) -> InkSeparation:
    """Return the picture, without alpha, in inks of ``depth`` bits; dithered at 8 bits, and never above the limit."""
    # The search for greys needs memory of its own, so it comes before there are inks.
    is_grey = gray_component_replacement.neutral_mask(picture) if press_settings.prints_grey_in_black else None
    black_only_share = 0.0 if is_grey is None else float(is_grey.mean())
    inks = cmyk.convert_to_inks(picture, press_settings.icc, press_settings.intent, press_settings.black_point_compensation, on_progress)
    if is_grey is not None:
        is_black_point_kept = press_settings.black_point_compensation or press_settings.intent != "relative"
        gray_component_replacement.replace_greys_with_black(picture, inks, is_grey, press_settings.icc, is_black_point_kept)
        del is_grey
    total = cmyk.ink_coverage(inks)
    before, over_limit_share = float(total.max()), 0.0
    if press_settings.coverage_limit_percent is not None:
        over_limit_share = float((total > press_settings.coverage_limit_percent).mean())
        inks = map_slabs(inks, partial(cmyk.limit_coverage, limit_percent=press_settings.coverage_limit_percent), out=inks)
    codes: Samples = quantise(dither(inks, 8, seed, out=inks) if depth == 8 else inks, depth)
    del total, inks
    if press_settings.coverage_limit_percent is not None:
        codes = cmyk.limit_code_coverage(codes, press_settings.coverage_limit_percent)
    return InkSeparation(codes, before, over_limit_share, cmyk.out_of_gamut_share(picture, press_settings.icc), black_only_share)


def round_trip_codes(codes: Samples, file_format: PrintFormat, quality: int | None) -> Samples:
    """Return the codes (h, w, 4) that a reader of the file gets: the same codes, or the result of JPEG at that quality."""
    if file_format == "tiff" or quality is None:
        return codes
    data = jpeg_write.write_bare_cmyk(codes, quality)
    return jpeg.read_samples(data, jpeg.read_header(data, "inks", codes.shape[0] * codes.shape[1]), "inks")


def limit_coverage_after_encoding(codes: Samples, file_format: PrintFormat, quality: int | None, limit_percent: float | None) -> Samples:
    """Return codes (h, w, 4) that stay under the coverage limit for a reader of the file too, also after JPEG."""
    if limit_percent is None or file_format == "tiff" or quality is None:
        return codes
    return ink_limit.limit_ink_through_jpeg(codes, limit_percent, lambda part: round_trip_codes(part, file_format, quality))


def max_coverage(codes: Samples) -> float:
    """Return the highest sum of inks of codes (h, w, 4) in percent."""
    return float(cmyk.code_sums(codes).max()) / float(np.iinfo(codes.dtype).max) * 100


def encode_inks(
    codes: Samples, metadata_source: Picture, icc: bytes, file_format: PrintFormat, quality: int | None, page: PdfPageOptions | None
) -> bytes:
    """Return inks, codes (h, w, 4), as a file; ``metadata_source`` gives resolution and metadata. A PDF is lossless unless it has a
    quality.
    """
    metadata = codec.written_metadata(metadata_source, FORMATS[file_format], icc)
    carrier = replace(metadata_source, icc=icc, alpha=None, metadata=metadata)
    if file_format == "tiff":
        return tiff_write.write(codes, carrier, WriterOptions(depth=8 * codes.dtype.itemsize))
    if file_format == "jpeg":
        return jpeg_write.write_cmyk(codes, carrier, quality or 100)
    if page is None:
        raise ValueError("a PDF needs a page")
    height, width = codes.shape[:2]
    if quality is None:
        picture = pdf_write.deflate_image(codes, icc)
    else:
        picture = pdf_write.PdfImage(jpeg_write.write_bare_cmyk(codes, quality), width, height, 4, 8, icc, is_jpeg=True)
    return pdf_write.write(picture, page.sheet, page.title, page.has_marks, metadata_source.metadata)


def encode_page(source: Picture, depth: Literal[8, 16], quality: int | None, page: PdfPageOptions) -> bytes:
    """Return a grey or RGB picture without alpha as a PDF page in its own profile."""
    if source.channels == 1 and source.icc is None:
        source = replace(source, pixels=freeze(np.repeat(source.pixels, 3, axis=2)))
    codes, icc = codec.to_codes(source, depth), source.icc or profiles.builtin_profile("srgb")
    if quality is None:
        picture = pdf_write.deflate_image(codes, icc)
    else:
        bare = replace(source, icc=None, ppi=None, metadata=Metadata())
        subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4" if quality >= codec.FULL_CHROMA_MIN_QUALITY else "4:2:0"
        data = jpeg_write.write(codes, bare, WriterOptions(quality=quality, subsampling=subsampling))
        picture = pdf_write.PdfImage(data, source.width, source.height, source.channels, 8, icc, is_jpeg=True)
    return pdf_write.write(picture, page.sheet, page.title, page.has_marks, source.metadata)


def encode_proof(codes: Samples, icc: bytes, simulates_paper: bool, ppi: tuple[float, float] | None) -> bytes:
    """Return the print of inks, codes (h, w, 4), as an sRGB JPEG; ``simulates_paper``: with the paper colour and the ink black."""
    proof: Pixels = cmyk.soft_proof(codes, icc, simulates_paper)
    return codec.encode(Picture(freeze(proof), ppi=ppi), codec.EncodingOptions(format="jpeg", depth=8, quality=92))
