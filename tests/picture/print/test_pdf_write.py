"""PDF for print: boxes to a hundredth of a millimetre, exact codes, the metadata of PDF/X, and no active content."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest

from doubles.press import TITLE, press_profile
from goldsmith.picture import profiles
from goldsmith.picture.formats import jpeg_write
from goldsmith.picture.print import pdf_write
from goldsmith.picture.print.page_boxes import PrintSheet

SHEET = PrintSheet((100, 70), 3)
SLUG_MM = 10
MM = 72 / 25.4
# pikepdf's objects are valid only while their file is open.
_OPEN_FILES: list[pikepdf.Pdf] = []


def _codes(channels: int = 4, depth: int = 8) -> np.ndarray:
    random = np.random.default_rng(channels)
    smooth = np.linspace(0, 2**depth - 40, 90)[None, :, None] + random.integers(0, 30, (60, 90, channels))
    return smooth.astype(np.uint8 if depth == 8 else np.uint16)


def _page_bytes(channels: int = 4, depth: int = 8, *, marks: bool = True, title: str = "hero_poster", sheet: PrintSheet = SHEET) -> bytes:
    icc = press_profile() if channels == 4 else profiles.builtin_profile("adobe-rgb")
    return pdf_write.write(pdf_write.deflate_image(_codes(channels, depth), icc), sheet, title, marks)


def _open(data: bytes) -> Any:
    _OPEN_FILES.append(pikepdf.open(BytesIO(data)))
    return _OPEN_FILES[-1]


def _mm(box: Any) -> list[float]:
    return [round(float(value) / MM, 2) for value in box]


def test_the_boxes_of_the_page_match_the_sheet() -> None:
    """MediaBox encloses bleed and marks, BleedBox the trim; without marks the bleed is the page."""
    page = _open(_page_bytes()).pages[0]
    assert _mm(page.MediaBox) == [0, 0, 126, 96]
    assert _mm(page.BleedBox) == [10, 10, 116, 86]
    assert _mm(page.TrimBox) == [13, 13, 113, 83]
    bare = _open(_page_bytes(marks=False)).pages[0]
    assert _mm(bare.MediaBox) == _mm(bare.BleedBox) == [0, 0, 106, 76]
    assert _mm(bare.TrimBox) == [3, 3, 103, 73]


@pytest.mark.parametrize(("channels", "depth"), [(4, 8), (4, 16), (3, 8), (3, 16)])
def test_the_page_contains_every_code(channels: int, depth: int) -> None:
    """pikepdf decompresses the stream; without its row filters it equals the codes."""
    picture = _open(_page_bytes(channels, depth)).pages[0].Resources.XObject.Picture
    assert (picture.Width, picture.Height, picture.BitsPerComponent) == (90, 60, depth)
    assert picture.DecodeParms.Colors == channels
    rows = np.frombuffer(zlib.decompress(picture.read_raw_bytes()), np.uint8).reshape(60, -1)
    plain = _unfiltered(rows, channels * depth // 8)
    assert np.array_equal(plain.view(">u2" if depth == 16 else np.uint8).reshape(60, 90, channels), _codes(channels, depth))


def test_inks_are_defined_by_the_output_intent() -> None:
    """PDF/X-4: DeviceCMYK means the press of the output intent, whose profile is in the file; all metadata is present twice and equal."""
    pdf = _open(_page_bytes())
    assert pdf.pages[0].Resources.XObject.Picture.ColorSpace == pikepdf.Name.DeviceCMYK
    (intent,) = pdf.Root.OutputIntents
    assert intent.S == pikepdf.Name.GTS_PDFX
    assert str(intent.OutputConditionIdentifier) == str(intent.Info) == TITLE
    assert intent.DestOutputProfile.read_bytes() == press_profile()
    assert intent.DestOutputProfile.N == 4
    assert pdf.pdf_version == "1.6"
    assert pdf.docinfo.Trapped == pikepdf.Name("/False")
    with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as xmp:
        assert xmp["pdfxid:GTS_PDFXVersion"] == "PDF/X-4"
        assert xmp["pdf:Trapped"] == "False"
        assert xmp["dc:title"] == str(pdf.docinfo.Title) == "hero_poster"
        assert xmp["xmp:CreateDate"] == xmp["xmp:ModifyDate"] == "2000-01-01T00:00:00Z"
    assert str(pdf.docinfo.CreationDate) == str(pdf.docinfo.ModDate) == "D:20000101000000Z"
    assert len(pdf.trailer.ID) == 2


def test_colours_are_defined_by_their_own_profile() -> None:
    """Pictures in RGB make a plain PDF: ICCBased, no output intent, no claim to be PDF/X."""
    pdf = _open(_page_bytes(3))
    kind, profile = pdf.pages[0].Resources.XObject.Picture.ColorSpace
    assert kind == pikepdf.Name.ICCBased
    assert profile.read_bytes() == profiles.builtin_profile("adobe-rgb")
    assert profile.N == 3
    assert "/OutputIntents" not in pdf.Root
    assert b"PDFXVersion>" not in pdf.Root.Metadata.read_bytes()


def test_the_same_picture_gives_the_same_bytes() -> None:
    """Files have no date and no random id; another picture or title changes the id."""
    assert _page_bytes() == _page_bytes()
    assert _open(_page_bytes()).trailer.ID[0] != _open(_page_bytes(title="other")).trailer.ID[0]


def test_the_file_has_no_active_content_links_or_fonts() -> None:
    """Files have one page and one picture, and no key for actions, scripts, annotations, forms, files or fonts."""
    pdf = _open(_page_bytes())
    assert len(pdf.pages) == 1
    keys = {str(key) for each in pdf.objects if isinstance(each, pikepdf.Dictionary | pikepdf.Stream) for key in _keys(each)}
    assert keys.isdisjoint({"/JS", "/JavaScript", "/OpenAction", "/AA", "/A", "/URI", "/Annots", "/AcroForm", "/EmbeddedFiles", "/Font"})
    assert set(pdf.Root.keys()) == {"/Type", "/Pages", "/OutputIntents", "/Metadata"}


def test_special_characters_in_a_title_are_escaped() -> None:
    """File names come from other people: angle brackets, parentheses and quotes stay text."""
    title = "</rdf:li><evil/> (a) \\) & ü"
    pdf = _open(_page_bytes(title=title))
    assert str(pdf.docinfo.Title) == title
    with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as xmp:
        assert xmp["dc:title"] == title
    assert "/evil" not in pdf.docinfo


def test_marks_are_outside_the_bleed_and_on_all_printing_plates() -> None:
    """Marks keep a millimetre from the bleed; their colour prints with all four inks."""
    page = _open(_page_bytes()).pages[0]
    assert page.Resources.ColorSpace.All[1] == pikepdf.Name.All
    low, right, high = SLUG_MM * MM, 116 * MM, 86 * MM
    point_count = 0
    for operands, operator in pikepdf.parse_content_stream(page):
        if str(operator) in ("m", "l"):
            x, y = (float(value) for value in operands)
            point_count += 1
            assert not (low - 0.9 * MM < x < right + 0.9 * MM and low - 0.9 * MM < y < high + 0.9 * MM)
            assert 0 < x < 126 * MM
            assert 0 < y < 96 * MM
    assert point_count == 2 * (8 + 8) + 4  # crop marks, crosses, circles
    bare = _open(_page_bytes(marks=False)).pages[0]
    assert b"SCN" not in bare.Contents.read_bytes()


def test_crop_marks_point_at_the_trim() -> None:
    """Pairs of lines at each corner are aligned with the edges of the trim."""
    page = _open(_page_bytes()).pages[0]
    moves = [[float(value) / MM for value in operands] for operands, operator in pikepdf.parse_content_stream(page) if str(operator) == "m"]
    assert sorted(round(x, 2) for x, y in moves[:4]) == [13, 13, 113, 113]
    assert sorted(round(y, 2) for x, y in moves[4:8]) == [13, 13, 83, 83]


def test_a_colour_bar_has_each_ink_and_is_omitted_without_space() -> None:
    """Bars have four inks, solid and half; a card of 30 mm and a page without inks have no bar."""
    bar = pikepdf.parse_content_stream(_open(_page_bytes()).pages[0])
    fills = [[float(value) for value in operands] for operands, operator in bar if str(operator) == "k"]
    assert fills == [[tint if picture == ink else 0 for picture in range(4)] for ink in range(4) for tint in (1, 0.5)]
    for data in (_page_bytes(sheet=PrintSheet((30, 30), 3)), _page_bytes(3)):
        assert not any(str(op) == "k" for _, op in pikepdf.parse_content_stream(_open(data).pages[0]))


def test_an_inverted_jpeg_of_inks_has_an_inverting_decode_array() -> None:
    """CMYK in a JPEG is inverted; the Decode array of the page reverts that."""
    picture = pdf_write.PdfImage(jpeg_write.write_bare_cmyk(_codes(), 90), 90, 60, 4, 8, press_profile(), is_jpeg=True)
    image = _open(pdf_write.write(picture, SHEET, "hero", has_marks=False)).pages[0].Resources.XObject.Picture
    assert image.Filter == pikepdf.Name.DCTDecode
    assert [int(value) for value in image.Decode] == [1, 0] * 4


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm (Debian's poppler-utils) is not installed")
@pytest.mark.parametrize("jpeg", [False, True])
def test_poppler_draws_the_picture_inside_the_bleed(jpeg: bool, tmp_path: Path) -> None:
    """Margins are light paper, the picture is within the bleed, its upper half is dark and its lower half yellow."""
    codes = np.zeros((76, 106, 4), np.uint8)
    codes[:38, :, 3] = 255
    codes[38:, :, 2] = 255
    picture = pdf_write.deflate_image(codes, press_profile())
    if jpeg:
        picture = pdf_write.PdfImage(jpeg_write.write_bare_cmyk(codes, 95), 106, 76, 4, 8, press_profile(), is_jpeg=True)
    file = tmp_path / "page.pdf"
    file.write_bytes(pdf_write.write(picture, SHEET, "hero", has_marks=True))
    subprocess.run(["pdftoppm", "-r", "25.4", "-png", str(file), str(tmp_path / "page")], check=True)
    (page_png,) = tmp_path.glob("page*.png")
    from PIL import Image

    page = np.asarray(Image.open(page_png).convert("RGB"))
    assert abs(page.shape[0] - 96) <= 1
    assert abs(page.shape[1] - 126) <= 1
    assert page[1:4, 1:4].min() == 255
    assert page[15:45, 15:110].max() < 60
    assert page[52:84, 15:110, :2].min() > 200
    assert page[52:84, 15:110, 2].max() < 120


@pytest.mark.skipif(shutil.which("qpdf") is None, reason="qpdf is not installed")
@pytest.mark.parametrize("channels", [3, 4])
def test_qpdf_reports_no_error(channels: int, tmp_path: Path) -> None:
    """qpdf checks the whole file."""
    file = tmp_path / "page.pdf"
    file.write_bytes(_page_bytes(channels))
    output = subprocess.run(["qpdf", "--check", str(file)], capture_output=True, text=True, check=True).stdout
    assert "No syntax or stream encoding errors" in output


def _keys(dictionary: Any) -> list[str]:
    names = list(dictionary.keys())
    for key in list(names):
        value = dictionary[key]
        if isinstance(value, pikepdf.Dictionary):
            names += _keys(value)
    return names


def _unfiltered(rows: np.ndarray, step: int) -> np.ndarray:
    """Return the rows without PNG's predictors, byte by byte, as in the specification (Paeth is never used)."""
    result = np.zeros((len(rows), rows.shape[1] - 1), np.uint8)
    for number, row in enumerate(rows):
        above = result[number - 1].astype(int) if number else np.zeros(result.shape[1], int)
        line = result[number]
        for column, value in enumerate(row[1:].astype(int)):
            left = int(line[column - step]) if column >= step else 0
            guess = (0, left, int(above[column]), (left + int(above[column])) // 2)[row[0]]
            line[column] = (value + guess) % 256
    return result
