"""A checker of PDF/X-4 (ISO 15930-7:2010) that is independent of the code that writes the page: it returns the rules that a file breaks.

The rules are in our own words, after common preflight lists. No free tool covers the following, so it is not checked:

- whether the tables in the press's profile conform to ICC.1:2004 (only its header and its kind are checked);
- whether ``Trapped`` is true of the picture, and whether the output condition is the one that the printer means;
- the data of a JPEG against ISO 10918 (decoders read it in other tests), and the bytes between objects (qpdf --check reads those);
- fonts, transparency, layers, annotations and forms: there must be none, so their own rules are not checked here.

No certified preflight (Acrobat, callas, PitStop) has checked these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from typing import Any

import pikepdf
from lxml import etree

_NS = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "pdf": "http://ns.adobe.com/pdf/1.3/",
    "pdfxid": "http://www.npes.org/pdfx/ns/id/",
}
_FILTERS = {"/FlateDecode", "/DCTDecode"}
_FORBIDDEN = {
    "/AA", "/A", "/OpenAction", "/JS", "/JavaScript", "/URI", "/Annots", "/AcroForm", "/XFA", "/EmbeddedFiles", "/AF", "/Font", "/Threads",
    "/OCProperties", "/Alternates", "/OPI", "/PS", "/Ref", "/TR", "/TR2", "/HT", "/HTP", "/BG", "/BG2", "/UCR", "/UCR2", "/PresSteps",
    "/PZ", "/UserUnit", "/Encrypt", "/Requirements", "/NeedsRendering", "/SMask", "/Group", "/SeparationInfo", "/DestOutputProfileRef",
}  # fmt: skip
_OPERATORS = {"q", "Q", "cm", "Do", "w", "CS", "SCN", "m", "l", "c", "S", "k", "re", "f"}
_BOXES = ("/MediaBox", "/BleedBox", "/TrimBox")


def faults(data: bytes) -> list[str]:
    """Return the names of the rules that the file breaks; [] if it breaks none of the rules that are checked."""
    with pikepdf.open(BytesIO(data)) as pdf:
        xmp = _read_xmp(pdf)
        return [
            *_file_faults(data, pdf),
            *_metadata_faults(pdf, xmp),
            *_intent_faults(pdf),
            *(fault for page in pdf.pages for fault in (*_box_faults(page.obj), *_page_faults(page))),
            *_object_faults(pdf),
        ]


def _file_faults(data: bytes, pdf: pikepdf.Pdf) -> Iterator[str]:
    head = re.match(rb"%PDF-1\.([0-6])\n%(....)", data, re.DOTALL)
    if head is None or min(head[2]) < 128:
        yield "header: PDF 1.6 at most, and a line of bytes above 127"
    if "/Encrypt" in pdf.trailer:
        yield "encryption"
    numbers = pdf.trailer.get("/ID", [])
    if len(numbers) != 2 or not all(len(bytes(number)) for number in numbers):
        yield "trailer: ID of two strings"
    if not pdf.pages:
        yield "no page"


def _read_xmp(pdf: pikepdf.Pdf) -> dict[str, str]:
    """Return XMP that is plain XML, property by property, with prefixes."""
    stream = pdf.Root.get("/Metadata")
    if stream is None or "/Filter" in stream or str(stream.get("/Type")) != "/Metadata" or str(stream.get("/Subtype")) != "/XML":
        return {}
    try:
        tree = etree.fromstring(stream.read_raw_bytes().strip())
    except etree.XMLSyntaxError:
        return {}
    properties = {}
    for block in tree.iterfind(".//rdf:Description", _NS):
        for prefix, address in _NS.items():
            properties |= {
                f"{prefix}:{key.split('}')[1]}": str(value) for key, value in block.attrib.items() if key.startswith(f"{{{address}}}")
            }
            properties |= {
                f"{prefix}:{etree.QName(element).localname}": "".join(element.itertext()).strip()
                for element in block
                if etree.QName(element).namespace == address
            }
    return properties


def _metadata_faults(pdf: pikepdf.Pdf, xmp: dict[str, str]) -> Iterator[str]:
    if xmp.get("pdfxid:GTS_PDFXVersion") != "PDF/X-4":
        yield "XMP: GTS_PDFXVersion"
    for xmp_key in (
        "dc:title",
        "xmp:CreateDate",
        "xmp:ModifyDate",
        "xmp:MetadataDate",
        "xmpMM:DocumentID",
        "xmpMM:VersionID",
        "xmpMM:RenditionClass",
    ):
        if not xmp.get(xmp_key):
            yield f"XMP: {xmp_key}"
    if xmp.get("pdf:Trapped") not in ("True", "False"):
        yield "XMP: Trapped is True or False"
    info = pdf.trailer.get("/Info", pikepdf.Dictionary())
    if "/Trapped" in info and info.Trapped not in (pikepdf.Name("/True"), pikepdf.Name("/False")):
        yield "Info: Trapped is a name, True or False"
    info_and_xmp = {"/Title": "dc:title", "/Trapped": "pdf:Trapped", "/Author": "dc:creator", "/Subject": "dc:description"}
    info_and_xmp |= {"/Keywords": "pdf:Keywords", "/Producer": "pdf:Producer", "/Creator": "xmp:CreatorTool"}
    for key, xmp_key in info_and_xmp.items():
        if key in info and str(info[key]).lstrip("/") != xmp.get(xmp_key):
            yield f"Info and XMP differ: {key}"
    for key, xmp_key in (("/CreationDate", "xmp:CreateDate"), ("/ModDate", "xmp:ModifyDate")):
        if key in info and re.sub(r"\D", "", str(info[key])) != re.sub(r"\D", "", xmp.get(xmp_key, "")):
            yield f"Info and XMP differ: {key}"


def _intent_faults(pdf: pikepdf.Pdf) -> Iterator[str]:
    intents = [entry for entry in pdf.Root.get("/OutputIntents", []) if str(entry.get("/S")) == "/GTS_PDFX"]
    if len(intents) != 1:
        yield "one output intent of GTS_PDFX"
        return
    (intent,) = intents
    for key in ("/OutputConditionIdentifier", "/Info"):
        if not str(intent.get(key, "")).strip():
            yield f"output intent: {key}"
    profile = intent.get("/DestOutputProfile")
    if profile is None:
        yield "output intent: profile embedded"
        return
    icc = profile.read_bytes()
    if int.from_bytes(icc[:4], "big") != len(icc) or icc[36:40] != b"acsp" or icc[8] > 4:
        yield "output intent: a profile of ICC version 4 at most, whole"
    if icc[12:16] != b"prtr":
        yield "output intent: profile of an output device"
    if (icc[16:20], int(profile.get("/N", 0))) != (b"CMYK", 4):
        yield "output intent: four inks"


def _box_faults(page: Any) -> Iterator[str]:
    if ("/TrimBox" in page) == ("/ArtBox" in page):
        yield "TrimBox or ArtBox, and not both"
    boxes = [[float(value) for value in page[name]] for name in _BOXES if name in page]
    if "/MediaBox" not in page:
        yield "MediaBox"
    for outer, inner in pairwise(boxes):
        if not (outer[0] <= inner[0] < inner[2] <= outer[2] and outer[1] <= inner[1] < inner[3] <= outer[3]):
            yield "boxes lie within each other"
    if "/CropBox" in page:
        yield "no CropBox, so that nothing is hidden"


def _page_faults(page: pikepdf.Page) -> Iterator[str]:
    resources = page.obj.Resources
    for operands, operator in pikepdf.parse_content_stream(page):
        name = str(operands[0]) if operands else ""
        if str(operator) not in _OPERATORS:
            yield f"operator {operator}"
        if (str(operator) == "Do" and name not in resources.get("/XObject", {})) or (
            str(operator) == "CS" and name not in resources.get("/ColorSpace", {})
        ):
            yield f"{name} is none of the page's resources"
    for space in resources.get("/ColorSpace", pikepdf.Dictionary()).as_dict().values():
        if str(space[0]) != "/Separation" or space[2] not in (pikepdf.Name.DeviceCMYK, pikepdf.Name.DeviceGray):
            yield "colour: inks alone"
    for image in resources.get("/XObject", pikepdf.Dictionary()).as_dict().values():
        if image.Subtype != pikepdf.Name.Image:
            yield "XObject: a picture"
        elif image.ColorSpace != pikepdf.Name.DeviceCMYK:
            yield "colour: the picture's is the output intent's, not another, nor the same once more as ICCBased"


def _object_faults(pdf: pikepdf.Pdf) -> Iterator[str]:
    for pdf_object in pdf.objects:
        if not isinstance(pdf_object, pikepdf.Dictionary | pikepdf.Stream):
            continue
        yield from (f"forbidden: {key}" for key in sorted(_keys(pdf_object) & _FORBIDDEN))
        if isinstance(pdf_object, pikepdf.Stream):
            used = pdf_object.get("/Filter", pikepdf.Array())
            names = {str(name) for name in used} if isinstance(used, pikepdf.Array) else {str(used)}
            if names - _FILTERS:
                yield f"filter {', '.join(sorted(names - _FILTERS))}"
            if "/F" in pdf_object:
                yield "data in another file"


def _keys(container: Any) -> set[str]:
    """Return the keys of a dictionary and of the dictionaries directly in it."""
    all_keys: set[str] = set()
    waiting = [container]
    while waiting:
        current = waiting.pop()
        if isinstance(current, pikepdf.Dictionary | pikepdf.Stream):
            keys = list(current.keys())
            all_keys |= {str(key) for key in keys}
            waiting += [current[key] for key in keys if not getattr(current[key], "is_indirect", False)]
        elif isinstance(current, pikepdf.Array):
            waiting += [value for value in current if not getattr(value, "is_indirect", False)]
    return all_keys
