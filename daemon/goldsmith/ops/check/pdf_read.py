"""Read back the pages that ``pdf_write`` writes: one page, its boxes, one picture. It is not a reader for other PDF files."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from goldsmith.picture.formats import jpeg
from goldsmith.picture.formats.image_info import Samples, check_size, damaged_error
from goldsmith.picture.print.page_boxes import MM_PER_INCH

if TYPE_CHECKING:
    import pikepdf

_MM_PER_POINT = MM_PER_INCH / 72


@dataclass(frozen=True, slots=True)
class PdfPageContents:
    """A page as stored in the file.

    samples: (h, w, 1, 3 or 4), 4 = inks, 0 = no ink; depth: bits per channel; icc: their profile; trim_mm: the cut size;
    bleed_mm: the bleed on the side with the least; sheet_mm: the size that the picture covers.
    """

    samples: Samples = field(repr=False)
    depth: int
    icc: bytes | None = field(repr=False)
    trim_mm: tuple[float, float]
    bleed_mm: float
    sheet_mm: tuple[float, float]


def read_pdf(data: bytes, name: str, max_pixels: int) -> PdfPageContents:
    """Return the page of a file. Raises InputError if it has no such page, or is damaged."""
    import pikepdf

    try:
        with pikepdf.open(BytesIO(data)) as pdf:
            return _read_page(pdf, name, max_pixels)
    except (pikepdf.PdfError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise damaged_error(name, "it is not a PDF with one page, its boxes and one picture") from error


def _read_page(pdf: pikepdf.Pdf, name: str, max_pixels: int) -> PdfPageContents:
    import pikepdf

    (page,) = pdf.pages
    (picture,) = page.Resources.XObject.as_dict().values()
    trim, bleed = ([float(side) for side in box] for box in (page.TrimBox, page.BleedBox))
    beyond = min(trim[0] - bleed[0], trim[1] - bleed[1], bleed[2] - trim[2], bleed[3] - trim[3])
    width, height, depth = (int(picture[key]) for key in ("/Width", "/Height", "/BitsPerComponent"))
    check_size(name, width, height, 1, max_pixels)
    if picture.ColorSpace == pikepdf.Name.DeviceCMYK:
        channels, icc = 4, bytes(pdf.Root.OutputIntents[0].DestOutputProfile.read_bytes())
    else:
        channels, icc = int(picture.ColorSpace[1].N), bytes(picture.ColorSpace[1].read_bytes())
    if picture.get("/Filter") == pikepdf.Name.DCTDecode:
        raw = bytes(picture.read_raw_bytes())
        samples = jpeg.read_samples(raw, jpeg.read_header(raw, name, max_pixels), name)
    else:
        codes = np.frombuffer(picture.read_bytes(), np.uint8 if depth == 8 else np.dtype(">u2"))
        samples = codes.reshape(height, width, channels).astype(np.uint8 if depth == 8 else np.uint16)
    if samples.shape != (height, width, channels):
        raise ValueError("the picture is not of the size that the page says")
    return PdfPageContents(samples, depth, icc, _box_size_mm(trim), round(beyond * _MM_PER_POINT, 3), _box_size_mm(bleed))


def _box_size_mm(box: list[float]) -> tuple[float, float]:
    return round((box[2] - box[0]) * _MM_PER_POINT, 3), round((box[3] - box[1]) * _MM_PER_POINT, 3)
