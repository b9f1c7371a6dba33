"""PDF/X-4: a page in inks follows every rule, a broken page breaks each rule, and other programs draw the page as intended."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
from PIL import Image
from skimage import data

from doubles.pdf_x4 import faults
from doubles.press import TITLE, press_file
from doubles.step_context import StepContextDouble
from goldsmith.ops.export import Export
from goldsmith.picture import profiles
from goldsmith.picture.picture import Picture, freeze

GHOSTSCRIPTS = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")
SHEET = {"format": "pdf", "cmyk": "press", "trim": [90, 60], "bleed": "3mm"}


def files(profile: Path | None = None, **more: Any) -> list[bytes]:
    """Return the page and its proof, as export makes them from a photograph."""
    picture = Picture(freeze(data.coffee().astype(np.float32) / np.float32(255)))
    context = StepContextDouble(references={("profiles", "press"): profile or press_file()})
    return [result.data for result in Export.model_validate({**SHEET, **more}).make_files(picture, context)]


@pytest.mark.parametrize("more", [{}, {"marks": True}, {"quality": 90, "marks": True}, {"depth": 16}, {"bleed": 0}, {"grey": "black"}])
def test_a_page_in_inks_breaks_no_rule(more: dict[str, Any]) -> None:
    """Pages with and without marks, lossless and as JPEG, at both depths, follow every rule."""
    assert faults(files(**more)[0]) == []


@pytest.mark.skipif(not GHOSTSCRIPTS.exists(), reason="Ghostscript's default_cmyk.icc (Debian's libgs-common) is not installed")
def test_a_page_for_another_press_breaks_no_rule() -> None:
    """Ghostscript's own profile gives a valid page."""
    assert faults(files(GHOSTSCRIPTS, marks=True)[0]) == []


def _remove(*path: str) -> Callable[[pikepdf.Pdf], None]:
    def remove(pdf: pikepdf.Pdf) -> None:
        parent: Any = pdf.Root if path[0] != "page" else pdf.pages[0].obj
        for key in path[1:-1]:
            parent = parent[int(key)] if key.isdigit() else parent[key]
        del parent[path[-1]]

    return remove


def _replace_in_xmp(old: str, new: str) -> Callable[[pikepdf.Pdf], None]:
    def replace(pdf: pikepdf.Pdf) -> None:
        xmp = pdf.Root.Metadata.read_bytes().decode()
        assert old in xmp
        pdf.Root.Metadata.write(xmp.replace(old, new).encode())

    return replace


def _set(find: Callable[[pikepdf.Pdf], Any], key: str, value: Any) -> Callable[[pikepdf.Pdf], None]:
    def assign(pdf: pikepdf.Pdf) -> None:
        find(pdf)[key] = value(pdf) if callable(value) else value

    return assign


def _page(pdf: pikepdf.Pdf) -> Any:
    return pdf.pages[0].obj


def _picture(pdf: pikepdf.Pdf) -> Any:
    return pdf.pages[0].Resources.XObject.Picture


def _info(pdf: pikepdf.Pdf) -> Any:
    return pdf.trailer.Info


def _intent(pdf: pikepdf.Pdf) -> Any:
    return pdf.Root.OutputIntents[0]


def _change_profile(change: Callable[[bytes], bytes]) -> Callable[[pikepdf.Pdf], None]:
    def replace(pdf: pikepdf.Pdf) -> None:
        profile = _intent(pdf).DestOutputProfile
        profile.write(change(profile.read_bytes()))

    return replace


def _append_operators(operators: bytes) -> Callable[[pikepdf.Pdf], None]:
    def append(pdf: pikepdf.Pdf) -> None:
        page = _page(pdf)
        page.Contents = pdf.make_stream(page.Contents.read_bytes() + operators)

    return append


def _duplicate_intent(pdf: pikepdf.Pdf) -> None:
    pdf.Root.OutputIntents.append(_intent(pdf))


def _icc_based(pdf: pikepdf.Pdf) -> pikepdf.Object:
    return pikepdf.Array([pikepdf.Name.ICCBased, _intent(pdf).DestOutputProfile])


def _use_run_lengths(pdf: pikepdf.Pdf) -> None:
    _picture(pdf).write(b"\x80", filter=pikepdf.Name.RunLengthDecode)


BROKEN: list[tuple[str, Callable[[pikepdf.Pdf], None]]] = [
    ("XMP: GTS_PDFXVersion", _replace_in_xmp("PDF/X-4", "PDF/X-3")),
    ("XMP: GTS_PDFXVersion", _remove("root", "/Metadata")),
    ("XMP: dc:title", _replace_in_xmp("hero", "")),
    ("XMP: xmp:CreateDate", _replace_in_xmp("xmp:CreateDate", "xmp:Created")),
    ("XMP: xmp:ModifyDate", _replace_in_xmp("xmp:ModifyDate", "xmp:Modified")),
    ("XMP: xmp:MetadataDate", _replace_in_xmp("xmp:MetadataDate", "xmp:Told")),
    ("XMP: xmpMM:DocumentID", _replace_in_xmp("xmpMM:DocumentID", "xmpMM:Number")),
    ("XMP: xmpMM:VersionID", _replace_in_xmp("xmpMM:VersionID", "xmpMM:Version")),
    ("XMP: xmpMM:RenditionClass", _replace_in_xmp("xmpMM:RenditionClass", "xmpMM:Class")),
    ("XMP: Trapped is True or False", _replace_in_xmp("<pdf:Trapped>False", "<pdf:Trapped>Unknown")),
    ("Info: Trapped is a name, True or False", _set(_info, "/Trapped", pikepdf.Name("/Unknown"))),
    ("Info and XMP differ: /Title", _set(_info, "/Title", "another")),
    ("Info and XMP differ: /Trapped", _set(_info, "/Trapped", pikepdf.Name("/True"))),
    ("Info and XMP differ: /CreationDate", _set(_info, "/CreationDate", "D:20010101000000Z")),
    ("Info and XMP differ: /ModDate", _replace_in_xmp("<xmp:ModifyDate>2000", "<xmp:ModifyDate>2001")),
    ("Info and XMP differ: /Producer", _set(_info, "/Producer", "another")),
    ("one output intent of GTS_PDFX", _remove("root", "/OutputIntents")),
    ("one output intent of GTS_PDFX", _duplicate_intent),
    ("one output intent of GTS_PDFX", _set(_intent, "/S", pikepdf.Name.GTS_PDFA1)),
    ("output intent: /OutputConditionIdentifier", _remove("root", "/OutputIntents", "0", "/OutputConditionIdentifier")),
    ("output intent: /Info", _set(_intent, "/Info", "")),
    ("output intent: profile embedded", _remove("root", "/OutputIntents", "0", "/DestOutputProfile")),
    ("output intent: a profile of ICC version 4 at most, whole", _change_profile(lambda icc: icc[:-4])),
    ("output intent: a profile of ICC version 4 at most, whole", _change_profile(lambda icc: icc[:8] + b"\x05" + icc[9:])),
    ("output intent: profile of an output device", _change_profile(lambda icc: icc.replace(b"prtr", b"link", 1))),
    ("output intent: four inks", _change_profile(lambda _: profiles.builtin_profile("adobe-rgb"))),
    ("TrimBox or ArtBox, and not both", _remove("page", "/TrimBox")),
    ("TrimBox or ArtBox, and not both", _set(_page, "/ArtBox", lambda pdf: _page(pdf).TrimBox)),
    ("boxes lie within each other", _set(_page, "/BleedBox", [100, 100, 120, 120])),
    ("boxes lie within each other", _set(_page, "/MediaBox", [0, 0, 100, 100])),
    ("no CropBox, so that nothing is hidden", _set(_page, "/CropBox", [0, 0, 100, 100])),
    ("operator rg", _append_operators(b"1 0 0 rg\n")),
    ("operator BT", _append_operators(b"BT ET\n")),
    ("/Other is none of the page's resources", _append_operators(b"/Other Do\n")),
    (
        "colour: inks alone",
        _set(lambda pdf: _page(pdf).Resources.ColorSpace, "/All", pikepdf.Array([pikepdf.Name.CalRGB, pikepdf.Dictionary()])),
    ),
    ("colour: the picture's is", _set(_picture, "/ColorSpace", pikepdf.Name.DeviceRGB)),
    ("colour: the picture's is", _set(_picture, "/ColorSpace", _icc_based)),
    ("XObject: a picture", _set(_picture, "/Subtype", pikepdf.Name.PS)),
    ("filter /RunLengthDecode", _use_run_lengths),
    ("forbidden: /OpenAction", _set(lambda pdf: pdf.Root, "/OpenAction", pikepdf.Dictionary(S=pikepdf.Name.JavaScript))),
    ("forbidden: /Annots", _set(_page, "/Annots", pikepdf.Array())),
    ("forbidden: /Font", _set(lambda pdf: _page(pdf).Resources, "/Font", pikepdf.Dictionary())),
    ("forbidden: /TR", _set(lambda pdf: _page(pdf).Resources, "/ExtGState", pikepdf.Dictionary(TR=pikepdf.Name.Identity))),
    ("forbidden: /Alternates", _set(_picture, "/Alternates", pikepdf.Array())),
    ("forbidden: /OPI", _set(_picture, "/OPI", pikepdf.Dictionary())),
    ("forbidden: /SMask", _set(_picture, "/SMask", pikepdf.Name("/None"))),
    ("forbidden: /UserUnit", _set(_page, "/UserUnit", 2)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "damage"), BROKEN, ids=[f"{number} {rule}" for number, (rule, _) in enumerate(BROKEN)])
def test_every_rule_can_be_broken(rule: str, damage: Callable[[pikepdf.Pdf], None]) -> None:
    """One change to a page breaks its rule, which shows that the checker checks that rule."""
    with pikepdf.open(BytesIO(_page_with_marks())) as pdf:
        damage(pdf)
        result = BytesIO()
        pdf.save(result, fix_metadata_version=False)
    broken_rules = faults(result.getvalue())
    assert any(fault.startswith(rule) for fault in broken_rules), broken_rules


def test_a_newer_version_and_a_missing_id_are_reported() -> None:
    """These two rules concern the whole file and not an object in it."""
    with pikepdf.open(BytesIO(_page_with_marks())) as pdf:
        newer, no_number = BytesIO(), _page_with_marks().replace(b"/ID", b"/IX")
        pdf.save(newer, force_version="1.7", fix_metadata_version=False)
    assert faults(newer.getvalue()) == ["header: PDF 1.6 at most, and a line of bytes above 127"]
    assert "trailer: ID of two strings" in faults(no_number)


_PAGES: dict[str, bytes] = {}


def _page_with_marks() -> bytes:
    if "page" not in _PAGES:
        _PAGES["page"] = files(marks=True)[0]
    return _PAGES["page"]


@pytest.mark.skipif(shutil.which("pdfinfo") is None, reason="pdfinfo (Debian's poppler-utils) is not installed")
def test_poppler_finds_the_boxes_and_the_metadata(tmp_path: Path) -> None:
    """pdfinfo reads boxes to a hundredth of a point, the title, no script, no form, no encryption, and PDF 1.6."""
    (tmp_path / "page.pdf").write_bytes(_page_with_marks())
    process = subprocess.run(["pdfinfo", "-box", str(tmp_path / "page.pdf")], capture_output=True, text=True, check=True)
    properties = {line.partition(":")[0]: line.partition(":")[2].strip() for line in process.stdout.splitlines()}
    boxes = {
        name: [round(float(value) / 72 * 25.4, 2) for value in properties[name].split()] for name in ("MediaBox", "BleedBox", "TrimBox")
    }
    assert boxes == {"MediaBox": [0, 0, 116, 86], "BleedBox": [10, 10, 106, 76], "TrimBox": [13, 13, 103, 73]}
    assert (properties["Title"], properties["Pages"], properties["PDF version"], properties["Encrypted"]) == ("hero", "1", "1.6", "no")
    assert (properties["JavaScript"], properties["Form"], process.stderr) == ("no", "none", "")


@pytest.mark.skipif(shutil.which("gs") is None, reason="Ghostscript is not installed")
@pytest.mark.parametrize("more", [{}, {"quality": 95}])
def test_ghostscript_draws_the_page_like_the_soft_proof(more: dict[str, Any], tmp_path: Path) -> None:
    """Ghostscript uses its own colour management and the profile in the file."""
    page, proof = files(soft_proof=True, **more)
    (tmp_path / "page.pdf").write_bytes(page)
    with Image.open(BytesIO(proof)) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(float)
    ppi = expected.shape[1] / 90 * 25.4
    command = ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=png16m", "-dUsePDFX3Profile", "-dUseTrimBox", f"-r{ppi:.4f}"]
    command += [
        "-dRenderIntent=1",
        "-dBlackPtComp=1",
        "-dInterpolateControl=0",
        f"-sOutputFile={tmp_path / 'page.png'}",
        str(tmp_path / "page.pdf"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(tmp_path / "page.png") as opened:
        rendering = np.asarray(opened.convert("RGB").resize((expected.shape[1], expected.shape[0]), Image.Resampling.BOX)).astype(float)
    inner = np.s_[8:-8, 8:-8]
    difference = np.abs(_blur(rendering) - _blur(expected))[inner]
    assert difference.mean() < 1
    assert np.percentile(difference, 99) < 4


def _blur(pixels: np.ndarray) -> np.ndarray:
    """Return the picture blurred by four pixels, because the page is drawn on another grid."""
    import cv2

    return np.asarray(cv2.blur(pixels, (4, 4)))


@pytest.mark.skipif(shutil.which("mutool") is None, reason="mutool (Debian's mupdf-tools) is not installed")
@pytest.mark.parametrize("bleed", [3.0, 5.0])
def test_mupdf_draws_marks_and_bleed_at_their_positions(bleed: float, tmp_path: Path) -> None:
    """Measured in the page drawn at 20 px per mm: the picture ends with the bleed, crop marks are at the trim, 1 mm from the bleed."""
    dark = Picture(freeze(np.zeros((300, 450, 3), np.float32)))
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    (result,) = Export.model_validate({**SHEET, "bleed": bleed, "marks": True}).make_files(dark, context)
    (tmp_path / "page.pdf").write_bytes(result.data)
    subprocess.run(
        ["mutool", "draw", "-q", "-r", "508", "-c", "gray", "-o", str(tmp_path / "page.png"), str(tmp_path / "page.pdf")], check=True
    )
    with Image.open(tmp_path / "page.png") as opened:
        is_dark = np.asarray(opened.convert("L")) < 128
    width, height = 90 + 2 * bleed + 20, 60 + 2 * bleed + 20
    assert is_dark.shape == (pytest.approx(height * 20, abs=1), pytest.approx(width * 20, abs=1))
    rows, cols = _dark_runs(is_dark[:, is_dark.shape[1] // 4]), _dark_runs(is_dark[is_dark.shape[0] // 4])
    assert max(rows, key=lambda run: run[1] - run[0]) == pytest.approx((10, 70 + 2 * bleed), abs=0.08)
    assert max(cols, key=lambda run: run[1] - run[0]) == pytest.approx((10, 100 + 2 * bleed), abs=0.08)
    above = _dark_runs(is_dark[6 * 20])
    trim = 10 + bleed
    centres = [sum(run) / 2 for run in above if run[1] - run[0] < 0.3]
    assert min(abs(centre - trim) for centre in centres) < 0.05
    assert min(abs(centre - (trim + 90)) for centre in centres) < 0.05
    left = [sum(run) / 2 for run in _dark_runs(is_dark[:, 6 * 20]) if run[1] - run[0] < 0.3]
    assert min(abs(centre - trim) for centre in left) < 0.05
    assert min(abs(centre - (trim + 60)) for centre in left) < 0.05
    mark = _dark_runs(is_dark[:, round(trim * 20)])
    assert mark[0] == pytest.approx((3, 9), abs=0.1)


def _dark_runs(line: np.ndarray) -> list[tuple[float, float]]:
    """Return the runs of dark pixels, in mm."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
    return [(float(start) / 20, float(end) / 20) for start, end in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.skipif(shutil.which("mutool") is None, reason="mutool (Debian's mupdf-tools) is not installed")
def test_mupdf_draws_the_exact_inks(tmp_path: Path) -> None:
    """Drawn as CMYK, pixel for pixel, the middle of each flat patch has the inks of the file, unmixed."""
    patches = np.repeat(np.repeat(np.array([[[1, 0, 0], [0, 0, 1]], [[0.5, 0.5, 0.5], [0, 0, 0]]], np.float32), 100, axis=0), 150, axis=1)
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    (result,) = Export.model_validate({**SHEET, "bleed": 0, "coverage": 250}).make_files(Picture(freeze(patches)), context)
    (tmp_path / "page.pdf").write_bytes(result.data)
    with pikepdf.open(BytesIO(result.data)) as pdf:
        picture = _picture(pdf)
        inks = np.frombuffer(picture.read_bytes(), np.uint8).reshape(int(picture.Height), int(picture.Width), 4)
    subprocess.run(
        ["mutool", "draw", "-q", "-r", "100", "-c", "cmyk", "-o", str(tmp_path / "page.pam"), str(tmp_path / "page.pdf")], check=True
    )
    head, _, body = (tmp_path / "page.pam").read_bytes().partition(b"ENDHDR\n")
    size = {line.split()[0]: line.split()[1] for line in head.splitlines() if line.split()[0] in (b"WIDTH", b"HEIGHT", b"DEPTH")}
    rendering = np.frombuffer(body, np.uint8).reshape(int(size[b"HEIGHT"]), int(size[b"WIDTH"]), int(size[b"DEPTH"]))[..., :4].astype(int)
    for across in (0.25, 0.75):
        for down in (0.25, 0.75):
            expected = inks[int(down * inks.shape[0]), int(across * inks.shape[1])].astype(int)
            rendered = rendering[int(down * rendering.shape[0]), int(across * rendering.shape[1])]
            assert np.abs(rendered - expected).max() <= 2
    assert rendering.sum(axis=2).max() / 2.55 <= 250.5


def test_a_press_without_a_name_has_an_output_condition(tmp_path: Path) -> None:
    """PDF/X requires a text: the name in the profile, or a note that it has none."""
    icc = press_file().read_bytes()
    nameless = tmp_path / "x.icc"
    nameless.write_bytes(icc.replace(TITLE.encode(), b" " * len(TITLE)))
    assert faults(files(nameless)[0]) == []
