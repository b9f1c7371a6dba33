"""Writing PDF for print: one page with its boxes, one picture, marks outside it; nothing in it runs, links or asks for a font.

Through pikepdf (qpdf): streams go in as they are, and the same input gives the same bytes. What PDF/X-4 (ISO 15930-7) wants of a page
like this is written where the picture is in inks; a picture in RGB makes a plain PDF 1.6.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.print.page_boxes import INCH, Sheet
from goldsmith.picture.profiles import profile_name

if TYPE_CHECKING:
    import pikepdf

_POINTS = 72 / INCH
_SPACES = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}
SLUG = 10.0
"""mm round the bleed that marks take."""
_GAP, _CROP, _TARGET, _HAIR = 1.0, 6.0, 2.0, 0.25
"""Crop marks begin 1 mm from the bleed and are 6 mm long; the circle of a register mark has a radius of 2 mm; lines of 0.25 pt."""
_PATCH, _LEAST_PATCH = 5.0, 1.5
_DAY = "2000-01-01T00:00:00Z"
"""PDF/X wants dates. A true one would make other bytes of the same picture: when it was made is in the manifest."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is on the page. data: ``samples`` as a stream of ``filters``; channels: 1 grey, 3 RGB, 4 inks; icc: of these."""

    data: bytes = field(repr=False)
    width: int
    height: int
    channels: int
    depth: int
    icc: bytes = field(repr=False)
    jpeg: bool = False

    @property
    def inks(self) -> bool:
        return self.channels == 4


def lossless(samples: Samples, icc: bytes) -> Picture:
    """``samples`` (h, w, 1, 3 or 4; uint8 or uint16) deflated, with PNG's predictors."""
    import imagecodecs

    from goldsmith.picture.formats.png_write import filtered

    rows: Any = filtered(samples)  # any buffer is taken, though the stubs say bytes
    height, width, channels = samples.shape
    return Picture(bytes(imagecodecs.deflate_encode(rows, level=3)), width, height, channels, 8 * samples.dtype.itemsize, icc)


def write(picture: Picture, sheet: Sheet, title: str, marks: bool) -> bytes:
    """The page: media, bleed and trim boxes, the picture to the edge of the bleed, and marks in a margin of 10 mm where they are wanted."""
    import pikepdf

    pdf = pikepdf.new()
    slug = SLUG if marks else 0.0
    width, height = (_points(side + 2 * slug) for side in sheet.whole)
    content = _picture(sheet, slug) + (_marks(sheet, slug, picture.inks) if marks else "")
    resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Picture=_image(pdf, picture)))
    if marks:
        resources.ColorSpace = pikepdf.Dictionary(All=_all_plates(pdf, picture.inks))
    pdf.pages.append(
        pikepdf.Page(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Page,
                MediaBox=[0, 0, width, height],
                BleedBox=_box(sheet.whole, slug),
                TrimBox=_box(sheet.trim, slug + sheet.bleed),
                Resources=resources,
                Contents=pdf.make_stream(content.encode("ascii")),
            )
        )
    )
    if picture.inks:
        _as_pdf_x(pdf, picture.icc)
    _told(pdf, title, picture)
    made = BytesIO()
    pdf.save(made, deterministic_id=True, force_version="1.6", object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return made.getvalue()


def _image(pdf: pikepdf.Pdf, picture: Picture) -> pikepdf.Object:
    import pikepdf

    made = pikepdf.Stream(pdf, b"")
    parameters = pikepdf.Dictionary(Predictor=15, Colors=picture.channels, BitsPerComponent=picture.depth, Columns=picture.width)
    if picture.jpeg:
        made.write(picture.data, filter=pikepdf.Name.DCTDecode)
    else:
        made.write(picture.data, filter=pikepdf.Name.FlateDecode, decode_parms=parameters)
    made.Type, made.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
    made.Width, made.Height, made.BitsPerComponent = picture.width, picture.height, picture.depth
    made.ColorSpace = pikepdf.Name.DeviceCMYK if picture.inks else pikepdf.Array([pikepdf.Name.ICCBased, _icc(pdf, picture)])
    if picture.jpeg and picture.inks:
        made.Decode = pikepdf.Array([1, 0] * 4)  # inverted, as every JPEG of inks is
    return pdf.make_indirect(made)


def _icc(pdf: pikepdf.Pdf, picture: Picture) -> pikepdf.Object:
    import pikepdf

    made = pdf.make_stream(picture.icc)
    made.N, made.Alternate = picture.channels, pikepdf.Name(_SPACES[picture.channels])
    return made


def _as_pdf_x(pdf: pikepdf.Pdf, icc: bytes) -> None:
    """Say which press DeviceCMYK means: PDF/X-4 forbids an ICCBased space with the very profile of the output intent."""
    import pikepdf

    profile = pdf.make_stream(icc)
    profile.N = 4
    name = pikepdf.String(profile_name(icc))
    pdf.Root.OutputIntents = pikepdf.Array(
        [
            pikepdf.Dictionary(
                Type=pikepdf.Name.OutputIntent,
                S=pikepdf.Name.GTS_PDFX,
                OutputConditionIdentifier=name,
                OutputCondition=name,
                Info=name,
                DestOutputProfile=profile,
            )
        ]
    )


def _told(pdf: pikepdf.Pdf, title: str, picture: Picture) -> None:
    """Title, trapping and dates, the same in the document's own words and in its XMP, as PDF/X wants them."""
    import pikepdf

    stamp = "D:" + _DAY.translate({ord(letter): None for letter in "-T:"})
    pdf.docinfo = pdf.make_indirect(
        pikepdf.Dictionary(
            Title=pikepdf.String(title), CreationDate=pikepdf.String(stamp), ModDate=pikepdf.String(stamp), Trapped=pikepdf.Name("/False")
        )
    )
    number = uuid.UUID(bytes=hashlib.sha256(picture.data + title.encode()).digest()[:16], version=4)
    pdf.Root.Metadata = pdf.make_stream(_XMP.format(title=escape(title), day=_DAY, number=number, x=_X4 if picture.inks else "").encode())
    pdf.Root.Metadata.Type, pdf.Root.Metadata.Subtype = pikepdf.Name.Metadata, pikepdf.Name.XML


_X4 = "\n<pdfxid:GTS_PDFXVersion>PDF/X-4</pdfxid:GTS_PDFXVersion>"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfxid="http://www.npes.org/pdfx/ns/id/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<xmp:CreateDate>{day}</xmp:CreateDate><xmp:ModifyDate>{day}</xmp:ModifyDate><xmp:MetadataDate>{day}</xmp:MetadataDate>
<xmpMM:DocumentID>uuid:{number}</xmpMM:DocumentID><xmpMM:VersionID>1</xmpMM:VersionID>
<xmpMM:RenditionClass>default</xmpMM:RenditionClass>
<pdf:Trapped>False</pdf:Trapped>{x}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def _picture(sheet: Sheet, slug: float) -> str:
    width, height = sheet.whole
    return f"q {_pt(width)} 0 0 {_pt(height)} {_pt(slug)} {_pt(slug)} cm /Picture Do Q\n"


def _all_plates(pdf: pikepdf.Pdf, inks: bool) -> pikepdf.Object:
    """The colour of marks: on every plate of the press."""
    import pikepdf

    none, full = ([0, 0, 0, 0], [1, 1, 1, 1]) if inks else ([1], [0])
    tint = pikepdf.Dictionary(FunctionType=2, Domain=[0, 1], C0=none, C1=full, N=1)
    space = pikepdf.Name.DeviceCMYK if inks else pikepdf.Name.DeviceGray
    return pdf.make_indirect(pikepdf.Array([pikepdf.Name.Separation, pikepdf.Name.All, space, tint]))


def _marks(sheet: Sheet, slug: float, inks: bool) -> str:
    """Two crop marks at each corner, a register mark at the middle of each side and, of inks, a bar of solids and half tones."""
    width, height = sheet.whole
    left, bottom, right, top = slug, slug, slug + width, slug + height
    made = ["q", f"{_HAIR} w /All CS 1 SCN"]
    for x in (left + sheet.bleed, right - sheet.bleed):
        made += [_line(x, bottom - _GAP, x, bottom - _GAP - _CROP), _line(x, top + _GAP, x, top + _GAP + _CROP)]
    for y in (bottom + sheet.bleed, top - sheet.bleed):
        made += [_line(left - _GAP, y, left - _GAP - _CROP, y), _line(right + _GAP, y, right + _GAP + _CROP, y)]
    across, up, out = left + width / 2, bottom + height / 2, slug / 2
    for x, y in ((across, bottom - out), (across, top + out), (left - out, up), (right + out, up)):
        made += [_line(x - 1.5 * _TARGET, y, x + 1.5 * _TARGET, y), _line(x, y - 1.5 * _TARGET, x, y + 1.5 * _TARGET), _circle(x, y)]
    if inks:
        made += _bar(left + sheet.bleed, top + out, width / 2 - sheet.bleed)
    return "\n".join([*made, "Q", ""])


def _bar(left: float, middle: float, room: float) -> list[str]:
    """Cyan, magenta, yellow and black, solid and half, between the corner and the register mark; none where they would be too small."""
    side = min(_PATCH, (room - 4 * _TARGET) / 8)
    if side < _LEAST_PATCH:
        return []
    made = []
    for number in range(8):
        tint, ink = 1 - 0.5 * (number % 2), number // 2
        plates = " ".join(f"{tint if plate == ink else 0:g}" for plate in range(4))
        x, y = left + 2 * _TARGET + number * side, middle - side / 2
        made.append(f"{plates} k {_pt(x)} {_pt(y)} {_pt(side)} {_pt(side)} re f")
    return made


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"{_pt(x0)} {_pt(y0)} m {_pt(x1)} {_pt(y1)} l S"


def _circle(x: float, y: float) -> str:
    """Four Bézier curves, as usual."""
    r, k = _TARGET, _TARGET * 0.5523
    arcs = [
        (x + r, y + k, x + k, y + r, x, y + r),
        (x - k, y + r, x - r, y + k, x - r, y),
        (x - r, y - k, x - k, y - r, x, y - r),
        (x + k, y - r, x + r, y - k, x + r, y),
    ]
    return " ".join([f"{_pt(x + r)} {_pt(y)} m", *(" ".join(map(_pt, arc)) + " c" for arc in arcs), "S"])


def _box(size: tuple[float, float], at: float) -> list[Any]:
    return [_points(at), _points(at), _points(at + size[0]), _points(at + size[1])]


def _points(mm: float) -> Any:
    from decimal import Decimal

    return Decimal(_pt(mm))


def _pt(mm: float) -> str:
    return f"{mm * _POINTS:.4f}".rstrip("0").rstrip(".")
