"""Write PDF for print: one page with its boxes, one picture, marks outside it; without scripts, links or fonts.

Through pikepdf (qpdf): streams are stored unchanged, and the same input gives the same bytes. For a picture in inks, the page meets
PDF/X-4 (ISO 15930-7); a picture in RGB becomes a plain PDF 1.6.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.metadata.credits import Credits, read_credits
from goldsmith.picture.metadata.identity import Provenance, read_provenance
from goldsmith.picture.picture import Metadata
from goldsmith.picture.print.page_boxes import MM_PER_INCH, PrintSheet
from goldsmith.picture.profiles import profile_name

if TYPE_CHECKING:
    import pikepdf

_POINTS_PER_MM = 72 / MM_PER_INCH
_DEVICE_SPACES = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}
NO_METADATA = Metadata()
# mm around the bleed for the marks.
SLUG_MM = 10.0
# Crop marks begin 1 mm from the bleed and are 6 mm long; the circle of a register mark has a radius of 2 mm; lines are 0.25 pt wide.
_MARK_GAP_MM, _CROP_MARK_MM, _REGISTER_RADIUS_MM, _LINE_WIDTH_PT = 1.0, 6.0, 2.0, 0.25
_PATCH_MM, _MIN_PATCH_MM = 5.0, 1.5
# PDF/X requires dates. With a real date, the same picture would give other bytes; the manifest records it.
_FIXED_DATE = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class PdfImage:
    """The picture on the page.

    data:     the samples: a JPEG with ``is_jpeg``, else deflated with PNG's predictors.
    channels: 1 grey, 3 RGB, 4 inks.
    icc:      their profile.
    """

    data: bytes = field(repr=False)
    width: int
    height: int
    channels: int
    depth: int
    icc: bytes = field(repr=False)
    is_jpeg: bool = False

    @property
    def is_cmyk(self) -> bool:
        return self.channels == 4


def deflate_image(samples: Samples, icc: bytes) -> PdfImage:
    """Return ``samples`` (h, w, 1, 3 or 4; uint8 or uint16 codes) deflated with PNG's predictors."""
    import imagecodecs

    from goldsmith.picture.formats.png_write import filter_rows

    rows: Any = filter_rows(samples)  # any buffer is accepted, though the stubs say bytes
    height, width, channels = samples.shape
    return PdfImage(bytes(imagecodecs.deflate_encode(rows, level=3)), width, height, channels, 8 * samples.dtype.itemsize, icc)


def write(image: PdfImage, sheet: PrintSheet, title: str, has_marks: bool, metadata: Metadata = NO_METADATA) -> bytes:
    """Return the page: its boxes, the picture to the edge of the bleed, and marks in a margin of 10 mm if ``has_marks``.

    ``title`` is the document's; creator, rights, credit, ids and source type are the picture's, from its ``metadata``.
    """
    import pikepdf

    pdf = pikepdf.new()
    slug = SLUG_MM if has_marks else 0.0
    width, height = (_to_points(side + 2 * slug) for side in sheet.size_with_bleed)
    content = _draw_image(sheet, slug) + (_draw_marks(sheet, slug, image.is_cmyk) if has_marks else "")
    resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Picture=_make_image(pdf, image)))
    if has_marks:
        resources.ColorSpace = pikepdf.Dictionary(All=_registration_colour(pdf, image.is_cmyk))
    pdf.pages.append(
        pikepdf.Page(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Page,
                MediaBox=[0, 0, width, height],
                BleedBox=_page_box(sheet.size_with_bleed, slug),
                TrimBox=_page_box(sheet.trim, slug + sheet.bleed),
                Resources=resources,
                Contents=pdf.make_stream(content.encode("ascii")),
            )
        )
    )
    if image.is_cmyk:
        _add_output_intent(pdf, image.icc)
    _write_metadata(pdf, title, image, metadata)
    result = BytesIO()
    pdf.save(result, deterministic_id=True, force_version="1.6", object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return result.getvalue()


def _make_image(pdf: pikepdf.Pdf, image: PdfImage) -> pikepdf.Object:
    import pikepdf

    result = pikepdf.Stream(pdf, b"")
    parameters = pikepdf.Dictionary(Predictor=15, Colors=image.channels, BitsPerComponent=image.depth, Columns=image.width)
    if image.is_jpeg:
        result.write(image.data, filter=pikepdf.Name.DCTDecode)
    else:
        result.write(image.data, filter=pikepdf.Name.FlateDecode, decode_parms=parameters)
    result.Type, result.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
    result.Width, result.Height, result.BitsPerComponent = image.width, image.height, image.depth
    result.ColorSpace = pikepdf.Name.DeviceCMYK if image.is_cmyk else pikepdf.Array([pikepdf.Name.ICCBased, _make_icc(pdf, image)])
    if image.is_jpeg and image.is_cmyk:
        result.Decode = pikepdf.Array([1, 0] * 4)  # inverted, like every CMYK JPEG
    return pdf.make_indirect(result)


def _make_icc(pdf: pikepdf.Pdf, image: PdfImage) -> pikepdf.Object:
    import pikepdf

    result = pdf.make_stream(image.icc)
    result.N, result.Alternate = image.channels, pikepdf.Name(_DEVICE_SPACES[image.channels])
    return result


def _add_output_intent(pdf: pikepdf.Pdf, icc: bytes) -> None:
    """Declare the press that DeviceCMYK means: PDF/X-4 forbids an ICCBased space with the profile of the output intent."""
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


def _write_metadata(pdf: pikepdf.Pdf, title: str, image: PdfImage, metadata: Metadata) -> None:
    """Write title, creator, trapping and dates, identical in the document information and in its XMP, as PDF/X requires.

    Rights, credit, ids and source type have a place in XMP alone.
    """
    import pikepdf

    picture_credits = read_credits(metadata)

    stamp = "D:" + _FIXED_DATE.translate({ord(letter): None for letter in "-T:"})
    pdf.docinfo = pdf.make_indirect(
        pikepdf.Dictionary(
            Title=pikepdf.String(title), CreationDate=pikepdf.String(stamp), ModDate=pikepdf.String(stamp), Trapped=pikepdf.Name("/False")
        )
    )
    if picture_credits.creator:
        pdf.docinfo.Author = pikepdf.String(picture_credits.creator)
    number = uuid.UUID(bytes=hashlib.sha256(image.data + title.encode()).digest()[:16], version=4)
    pdf.Root.Metadata = pdf.make_stream(
        _XMP_TEMPLATE.format(
            title=escape(title),
            credits=_credit_properties(picture_credits),
            day=_FIXED_DATE,
            provenance=_provenance_properties(read_provenance(metadata.xmp), f"uuid:{number}"),
            x=_PDFX4_PROPERTY if image.is_cmyk else "",
        ).encode()
    )
    pdf.Root.Metadata.Type, pdf.Root.Metadata.Subtype = pikepdf.Name.Metadata, pikepdf.Name.XML


def _credit_properties(picture_credits: Credits) -> str:
    creator, rights, credit = map(escape, (picture_credits.creator, picture_credits.rights, picture_credits.credit))
    properties = (
        (creator, f"\n<dc:creator><rdf:Seq><rdf:li>{creator}</rdf:li></rdf:Seq></dc:creator>"),
        (rights, f'\n<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{rights}</rdf:li></rdf:Alt></dc:rights>'),
        (credit, f'\n<photoshop:Credit xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">{credit}</photoshop:Credit>'),
    )
    return "".join(text for value, text in properties if value)


def _provenance_properties(provenance: Provenance, own_id: str) -> str:
    """Return the ids and the source type as properties of XMP. ``own_id``: that of a page whose picture has none."""
    properties = [f"<xmpMM:DocumentID>{escape(provenance.document_id or own_id)}</xmpMM:DocumentID>"]
    for name, value in (("InstanceID", provenance.instance_id), ("OriginalDocumentID", provenance.original_id)):
        properties += [f"<xmpMM:{name}>{escape(value)}</xmpMM:{name}>"] if value else []
    fields = (("instanceID", provenance.source_instance_id), ("documentID", provenance.source_document_id))
    source = "".join(f"<stRef:{name}>{escape(value)}</stRef:{name}>" for name, value in fields if value)
    if source:
        namespace = 'xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"'
        properties.append(f'<xmpMM:DerivedFrom {namespace} rdf:parseType="Resource">{source}</xmpMM:DerivedFrom>')
    if provenance.source_type:
        namespace = 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        properties.append(f"<Iptc4xmpExt:DigitalSourceType {namespace}>{escape(provenance.source_type)}</Iptc4xmpExt:DigitalSourceType>")
    return "\n".join(properties)


_PDFX4_PROPERTY = "\n<pdfxid:GTS_PDFXVersion>PDF/X-4</pdfxid:GTS_PDFXVersion>"
_XMP_TEMPLATE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfxid="http://www.npes.org/pdfx/ns/id/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>{credits}
<xmp:CreateDate>{day}</xmp:CreateDate><xmp:ModifyDate>{day}</xmp:ModifyDate><xmp:MetadataDate>{day}</xmp:MetadataDate>
{provenance}<xmpMM:VersionID>1</xmpMM:VersionID>
<xmpMM:RenditionClass>default</xmpMM:RenditionClass>
<pdf:Trapped>False</pdf:Trapped>{x}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def _draw_image(sheet: PrintSheet, slug_mm: float) -> str:
    width, height = sheet.size_with_bleed
    return f"q {_format_points(width)} 0 0 {_format_points(height)} {_format_points(slug_mm)} {_format_points(slug_mm)} cm /Picture Do Q\n"


def _registration_colour(pdf: pikepdf.Pdf, is_cmyk: bool) -> pikepdf.Object:
    """Return the colour of marks: all inks of the press."""
    import pikepdf

    none, full = ([0, 0, 0, 0], [1, 1, 1, 1]) if is_cmyk else ([1], [0])
    tint = pikepdf.Dictionary(FunctionType=2, Domain=[0, 1], C0=none, C1=full, N=1)
    space = pikepdf.Name.DeviceCMYK if is_cmyk else pikepdf.Name.DeviceGray
    return pdf.make_indirect(pikepdf.Array([pikepdf.Name.Separation, pikepdf.Name.All, space, tint]))


def _draw_marks(sheet: PrintSheet, slug_mm: float, is_cmyk: bool) -> str:
    """Return two crop marks at each corner, a register mark at the middle of each side and, for inks, a bar of solids and half tones."""
    width, height = sheet.size_with_bleed
    left, bottom, right, top = slug_mm, slug_mm, slug_mm + width, slug_mm + height
    result = ["q", f"{_LINE_WIDTH_PT} w /All CS 1 SCN"]
    for x in (left + sheet.bleed, right - sheet.bleed):
        result += [
            _draw_line(x, bottom - _MARK_GAP_MM, x, bottom - _MARK_GAP_MM - _CROP_MARK_MM),
            _draw_line(x, top + _MARK_GAP_MM, x, top + _MARK_GAP_MM + _CROP_MARK_MM),
        ]
    for y in (bottom + sheet.bleed, top - sheet.bleed):
        result += [
            _draw_line(left - _MARK_GAP_MM, y, left - _MARK_GAP_MM - _CROP_MARK_MM, y),
            _draw_line(right + _MARK_GAP_MM, y, right + _MARK_GAP_MM + _CROP_MARK_MM, y),
        ]
    across, up, out = left + width / 2, bottom + height / 2, slug_mm / 2
    for x, y in ((across, bottom - out), (across, top + out), (left - out, up), (right + out, up)):
        result += [
            _draw_line(x - 1.5 * _REGISTER_RADIUS_MM, y, x + 1.5 * _REGISTER_RADIUS_MM, y),
            _draw_line(x, y - 1.5 * _REGISTER_RADIUS_MM, x, y + 1.5 * _REGISTER_RADIUS_MM),
            _draw_circle(x, y),
        ]
    if is_cmyk:
        result += _draw_colour_bar(left + sheet.bleed, top + out, width / 2 - sheet.bleed)
    return "\n".join([*result, "Q", ""])


def _draw_colour_bar(left: float, centre_y: float, available_mm: float) -> list[str]:
    """Return cyan, magenta, yellow and black, solid and half, between the corner and the register mark; none if they would be too small."""
    side = min(_PATCH_MM, (available_mm - 4 * _REGISTER_RADIUS_MM) / 8)
    if side < _MIN_PATCH_MM:
        return []
    result = []
    for number in range(8):
        tint, ink = 1 - 0.5 * (number % 2), number // 2
        tints = " ".join(f"{tint if index == ink else 0:g}" for index in range(4))
        x, y = left + 2 * _REGISTER_RADIUS_MM + number * side, centre_y - side / 2
        result.append(f"{tints} k {_format_points(x)} {_format_points(y)} {_format_points(side)} {_format_points(side)} re f")
    return result


def _draw_line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"{_format_points(x0)} {_format_points(y0)} m {_format_points(x1)} {_format_points(y1)} l S"


def _draw_circle(x: float, y: float) -> str:
    """Return four Bézier curves that approximate a circle."""
    r, k = _REGISTER_RADIUS_MM, _REGISTER_RADIUS_MM * 0.5523
    arcs = [
        (x + r, y + k, x + k, y + r, x, y + r),
        (x - k, y + r, x - r, y + k, x - r, y),
        (x - r, y - k, x - k, y - r, x, y - r),
        (x + k, y - r, x + r, y - k, x + r, y),
    ]
    return " ".join([f"{_format_points(x + r)} {_format_points(y)} m", *(" ".join(map(_format_points, arc)) + " c" for arc in arcs), "S"])


def _page_box(size: tuple[float, float], offset_mm: float) -> list[Any]:
    return [_to_points(offset_mm), _to_points(offset_mm), _to_points(offset_mm + size[0]), _to_points(offset_mm + size[1])]


def _to_points(mm: float) -> Any:
    from decimal import Decimal

    return Decimal(_format_points(mm))


def _format_points(mm: float) -> str:
    return f"{mm * _POINTS_PER_MM:.4f}".rstrip("0").rstrip(".")
