"""check: each requirement is compared with the file itself, every fault is listed, and a report is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from doubles.press import TITLE, press_file
from doubles.step_context import DetectDouble, ResultsDouble, StepContextDouble
from goldsmith.engines.kinds import FACE_DETECTOR
from goldsmith.engines.vision import Face, TextLine
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, ExportedFile, Removal
from goldsmith.ops.check.operation import Check
from goldsmith.ops.export import Export
from goldsmith.picture.formats import jpeg_write
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.profiles import builtin_profile
from goldsmith.picture.subject_crop import PixelBox

# 300 x 200 px with 12 px of bleed.
WITH_BLEED = {"trim_mm": [69.0, 44.0], "bleed_mm": 3.0}


def photograph(alpha: Literal["none", "full", "some"] = "none") -> Picture:
    """Return a picture of 300 x 200 px at 300 ppi."""
    cover = None if alpha == "none" else np.ones((200, 300), np.float32)
    if cover is not None and alpha == "some":
        cover[:20] = 0
    return Picture(freeze(data.chelsea()[:200, :300].astype(np.float32) / 255), None if cover is None else freeze(cover), ppi=(300, 300))


def line(text: str, left: float, top: float, right: float, bottom: float) -> TextLine:
    """Return an upright line of text with its box in px."""
    return TextLine(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32), text, 0.9)


class SizeDependentReader(DetectDouble):
    """A reader that returns different lines for small pictures and for large ones."""

    def __init__(self, full: Sequence[TextLine], small: Sequence[TextLine]) -> None:
        super().__init__(lines=full)
        self.sides: list[int] = []
        self._small = tuple(small)

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        self.sides.append(max(picture.width, picture.height))
        return self._small if self.sides[-1] <= 100 else self._lines


def export_file(folder: Path, picture: Picture, recorded: dict[str, Any] | None = None, **settings: Any) -> ExportedFile:
    """Return the file that an export step makes of the picture, as written to the disk."""
    (file,) = Export(**settings).make_files(picture, StepContextDouble())
    path = folder / f"{len(list(folder.iterdir())):03d}{file.suffix}"
    path.write_bytes(file.data)
    return ExportedFile(file.tail + file.suffix, path, {**file.facts, **(recorded or {})})


def reported_faults(
    folder: Path, required: dict[str, Any], picture: Picture | None = None, recorded: dict[str, Any] | None = None, **settings: Any
) -> str:
    """Return the faults that the check reports for an exported photograph; "" if it passes."""
    context = StepContextDouble(exported=[export_file(folder, picture or photograph(), recorded, **settings)])
    try:
        Check.model_validate(required).make_files(photograph(), context)
    except InputError as problem:
        return problem.sentence.partition(": ")[2]
    assert context.results.findings["result"] == "pass"
    return ""


@pytest.mark.parametrize(
    ("settings", "required", "message"),
    [
        ({}, {"size": [300, 200]}, ""),
        ({}, {"size": [300, 201]}, "size 300 x 200 px instead of 300 x 201 px"),
        ({}, {"min_size": [300, 200]}, ""),
        ({}, {"min_size": [301, 100]}, "size 300 x 200 px instead of at least 301 x 100 px"),
        ({}, {"min_size": [100, 201]}, "size 300 x 200 px instead of at least 100 x 201 px"),
        ({"format": "jpeg"}, {"format": "jpg"}, ""),
        ({"format": "jpeg"}, {"format": "avif"}, "format jpeg instead of avif"),
        ({"depth": 16}, {"depth": 16}, ""),
        ({"depth": 8}, {"depth": 16}, "depth 8 bits instead of 16 bits"),
        ({}, {"profile": "srgb"}, ""),
        ({"profile": "adobe-rgb"}, {"profile": "adobe-rgb"}, ""),
        ({"profile": "adobe-rgb"}, {"profile": "Adobe RGB (1998) compatible"}, ""),
        ({"profile": "adobe-rgb"}, {"profile": "srgb"}, "profile Adobe RGB (1998) compatible, embedded instead of srgb"),
        ({}, {"profile": "adobe-rgb"}, "instead of adobe-rgb"),
        ({"ppi": 300}, {"ppi": 300}, ""),
        ({"ppi": 72}, {"ppi": 300}, "ppi 72 instead of at least 300"),
        ({}, {"ppi": 300, "print": [25.4, 16.9]}, ""),
        ({}, {"ppi": 300, "print": [50.8, 16.9]}, "ppi 150 at 50.8 x 16.9 mm instead of at least 300"),
        ({}, {"ppi": 300, "print": [25.4, 33.8]}, "ppi 150 at 25.4 x 33.8 mm instead of at least 300"),
        ({"trim": [25.4, 16.9]}, {"ppi": 250}, ""),
        ({"trim": [20, 10], "bleed": 2}, {"ppi": 1000}, "at 20 x 10 mm instead of at least 1000"),
        ({"trim": [20, 10], "bleed": 2}, {"bleed": 2}, ""),
        ({"trim": [20, 10], "bleed": 2}, {"bleed": 3}, "bleed 2 mm instead of at least 3 mm"),
        ({}, {"coverage": 300}, "coverage no inks instead of at most 300 %"),
    ],
)  # fmt: skip
def test_a_file_is_compared_with_its_requirements(tmp_path: Path, settings: dict[str, Any], required: dict[str, Any], message: str) -> None:
    """Files that meet a requirement pass; a fault gives the value found and the value expected."""
    faults = reported_faults(tmp_path, required, **settings)
    assert (message in faults) if message else not faults


def test_the_size_limit_is_in_kb_of_1000_bytes(tmp_path: Path) -> None:
    """Files of exactly the limit pass, and a kB has 1000 bytes."""
    size = export_file(tmp_path, photograph()).path.stat().st_size
    assert reported_faults(tmp_path, {"max_kb": size / 1000}) == ""
    assert f"bytes {size / 1000:,.1f} kB instead of at most" in reported_faults(tmp_path, {"max_kb": (size - 1) / 1000})


@pytest.mark.parametrize(
    ("alpha", "required", "message"),
    [
        ("none", "none", ""),
        ("none", "required", "alpha none instead of transparent parts"),
        ("full", "required", "alpha with nothing transparent instead of transparent parts"),
        ("full", "none", "alpha with nothing transparent instead of none"),
        ("some", "required", ""),
        ("some", "none", "alpha with transparent parts instead of none"),
    ],
)
def test_alpha_is_compared_with_its_requirement(
    tmp_path: Path, alpha: Literal["none", "full", "some"], required: str, message: str
) -> None:
    """Opaque alpha counts neither as transparent nor as absent."""
    assert reported_faults(tmp_path, {"alpha": required}, photograph(alpha)).removesuffix(".").endswith(message)
    assert bool(reported_faults(tmp_path, {"alpha": required}, photograph(alpha))) == bool(message)


@pytest.mark.parametrize(("value", "check", "setting"), [(1.0, "clipping", "max_clipped"), (0.0, "black", "max_black")])
def test_clipping_is_measured_in_the_file(tmp_path: Path, value: float, check: str, setting: str) -> None:
    """Clipping of ten per cent meets a limit of ten per cent, and exceeds one of nine."""
    pixels = np.full((100, 100, 3), 0.5, np.float32)
    pixels[:10] = value
    assert reported_faults(tmp_path, {setting: 10}, Picture(freeze(pixels))) == ""
    assert f"{check} 10.00 % instead of at most 9 %" in reported_faults(tmp_path, {setting: 9}, Picture(freeze(pixels)))


def test_every_fault_of_every_file_is_in_one_sentence(tmp_path: Path) -> None:
    """InputError lists everything, so that all can be corrected at once."""
    files = [export_file(tmp_path, photograph(), name="web"), export_file(tmp_path, photograph(), name="print", depth=16)]
    with pytest.raises(InputError) as caught:
        Check(size=(10, 10), depth=16).make_files(photograph(), StepContextDouble(exported=files))
    assert caught.value.sentence == (
        "The exported files do not meet the check: "
        "hero_web.png: size 300 x 200 px instead of 10 x 10 px, depth 8 bits instead of 16 bits; "
        "hero_print.png: size 300 x 200 px instead of 10 x 10 px."
    )


def test_a_warning_delivers_the_file_with_a_remark(tmp_path: Path) -> None:
    """Report, record and facts hold the remark; a fault besides it still holds the picture."""
    file = export_file(tmp_path, photograph(), name="web")
    context = StepContextDouble(exported=[file])
    (report,) = Check(max_kb=1, size=(300, 200), warn=("bytes",)).make_files(photograph(), context)
    (remark,) = report.facts["remarks"]  # type: ignore[misc, union-attr]
    assert str(remark).startswith("…_web.png: bytes")
    assert (report.facts["result"], context.results.findings["result"], context.results.findings["remarks"]) == ("warn", "warn", [remark])
    assert "Passed with remarks" in report.data.decode()
    with pytest.raises(InputError, match=r"size 300 x 200 px") as caught:
        Check(max_kb=1, size=(1, 1), warn=("bytes",)).make_files(photograph(), context)
    assert "bytes" not in caught.value.sentence


@pytest.mark.parametrize("recorded", [{"width": 301}, {"depth": 16}, {"format": "tiff"}, {"bytes": 5}, {"alpha": True}])
def test_a_file_that_differs_from_its_record_is_a_fault(tmp_path: Path, recorded: dict[str, Any]) -> None:
    """Files on the disk are compared with the record of the export step, even without any setting."""
    assert "instead of what was written" in reported_faults(tmp_path, {}, recorded=recorded)
    assert reported_faults(tmp_path, {}) == ""


def test_a_file_that_was_damaged_on_the_disk_is_a_fault(tmp_path: Path) -> None:
    """Files are read from the disk completely."""
    file = export_file(tmp_path, photograph())
    file.path.write_bytes(file.path.read_bytes()[:-4000])
    with pytest.raises(InputError, match=r"hero\.png: file damaged \(.*\) instead of one that can be read"):
        Check().make_files(photograph(), StepContextDouble(exported=[file]))


def test_only_named_files_are_checked(tmp_path: Path) -> None:
    """Names that no export has are refused with the nearest one; proofs and files that are no pictures do not count."""
    files = [
        export_file(tmp_path, photograph(), name="web"), export_file(tmp_path, photograph(), name="print", depth=16),
        export_file(tmp_path, photograph(), {"proof_of": "press"}, name="print"), ExportedFile(".cube", tmp_path / "none", {}),
    ]  # fmt: skip
    context = StepContextDouble(exported=files)
    Check(files=("print",), depth=16).make_files(photograph(), context)
    assert list(context.results.findings["files"]) == ["_print.png"]  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"“prnt”; the nearest is “print”\. The exports are “web”, “print”\."):
        Check(files=("prnt",)).make_files(photograph(), context)
    with pytest.raises(InputError, match="no file to check"):
        Check().make_files(photograph(), StepContextDouble())


WORD = line("G O L D", 30, 40, 120, 60)


@pytest.mark.parametrize(
    ("full", "small", "message"),
    [
        ([WORD], [line("GOLD", 5, 5, 40, 20)], ""),
        ([line("COLD", 30, 40, 120, 60)], [WORD], "words “COLD” instead of “Gold” at full size"),
        ([WORD], [], "thumbnail nothing like it instead of “Gold” at 100 px"),
    ],
)
def test_words_are_read_at_full_size_and_in_a_thumbnail(tmp_path: Path, full: list[TextLine], small: list[TextLine], message: str) -> None:
    """Words must be legible in both; each fault is listed separately."""
    reader = SizeDependentReader(full, small)
    context = StepContextDouble(detect=reader, exported=[export_file(tmp_path, photograph())])
    if message:
        with pytest.raises(InputError) as caught:
            Check(words=("Gold",)).make_files(photograph(), context)
        assert caught.value.sentence.endswith(f"hero.png: {message}.")
    else:
        Check(words=("Gold",)).make_files(photograph(), context)
    assert reader.sides == [300, 100]


def test_letters_that_fill_a_large_picture_are_read_in_a_smaller_copy(tmp_path: Path) -> None:
    """Words that are not read at full size are searched at 640 px, and their place is in px of the picture."""

    class SmallCopyReader(DetectDouble):
        def text_lines(self, picture: Picture) -> Sequence[TextLine]:
            return [line("GOLD", 40, 100, 140, 120)] if picture.width == 640 else [line("GOLL", 400, 300, 500, 320)]

    large = Picture(freeze(np.full((800, 1280, 3), 0.5, np.float32)))
    context = StepContextDouble(detect=SmallCopyReader(), exported=[export_file(tmp_path, large)])
    Check(words=("GOLD",), thumbnail=0, safe=5).make_files(large, context)
    with pytest.raises(InputError, match="safe “GOLD” beyond") as caught:
        Check(words=("GOLD",), thumbnail=0, safe=8).make_files(large, context)
    assert "words" not in caught.value.sentence


@pytest.mark.parametrize(
    ("corners", "recorded", "is_met"),
    [
        ((30, 20, 200, 40), {}, True),
        ((24, 20, 200, 40), {}, False),
        ((26, 20, 200, 40), {}, True),  # a quarter of the line's height is tolerated
        ((30, 14, 200, 34), {}, False),
        ((30, 20, 276, 40), {}, False),
        ((30, 166, 200, 186), {}, False),
        ((30, 20, 200, 40), WITH_BLEED, False),
        ((35, 31, 200, 51), WITH_BLEED, True),
        ((30, 31, 200, 51), WITH_BLEED, False),
    ],
)
def test_text_stays_out_of_the_margin(tmp_path: Path, corners: tuple[int, int, int, int], recorded: dict[str, Any], is_met: bool) -> None:
    """Margins are ten per cent of each side, measured from the trim if there is bleed, at every edge."""
    context = StepContextDouble(lines=[line("GOLD", *corners)], exported=[export_file(tmp_path, photograph(), recorded)])
    if is_met:
        Check(safe=10).make_files(photograph(), context)
        return
    with pytest.raises(InputError, match=r"safe “GOLD” beyond instead of text at least 10 % from every edge"):
        Check(safe=10).make_files(photograph(), context)


def test_with_words_set_only_their_lines_must_stay_inside(tmp_path: Path) -> None:
    """Text besides the words may reach the edge of the picture; without words it is a fault."""
    lines = [line("GOLD", 100, 80, 200, 100), line("STOP", 0, 0, 40, 20)]
    context = StepContextDouble(lines=lines, exported=[export_file(tmp_path, photograph())])
    Check(words=("GOLD",), safe=10).make_files(photograph(), context)
    with pytest.raises(InputError, match="“STOP” beyond"):
        Check(safe=10).make_files(photograph(), context)


def test_the_reader_is_needed_only_for_text() -> None:
    """Checks other than text work without the reader's weights."""
    assert Check(size=(1, 1), max_clipped=1).needs().engines == ()
    assert [need.kind.name for need in Check(words=("GOLD",)).needs().engines] == ["reader"]
    assert [need.kind.name for need in Check(safe=5).needs().engines] == ["reader"]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"warn": ["bytes"]}, "warn names bytes, which this step does not check"),
        ({"warn": ["thumbnail"], "words": ["GOLD"], "thumbnail": 0}, "warn names thumbnail"),
        ({"words": ["!?"]}, "no letter or digit"),
        ({"print": [100, 100]}, "give the ppi"),
        ({"name": "../x"}, "pattern"),
    ],
)
def test_contradictory_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    """Validation refuses the brief before any picture is opened."""
    with pytest.raises(ValidationError, match=match):
        Check.model_validate(settings)


def test_two_reports_of_a_brief_have_different_names(tmp_path: Path) -> None:
    """Reports have the name that the brief reserves."""
    for settings, tail in [({}, ".report.html"), ({"name": "print"}, "_print.report.html")]:
        check = Check.model_validate(settings)
        (report,) = check.make_files(photograph(), StepContextDouble(exported=[export_file(tmp_path, photograph())]))
        assert isinstance(report, Deliverable)
        assert (report.tail + report.suffix,) == check.tails() == (tail,)


@pytest.mark.parametrize("settings", [{}, {"quality": 90}, {"depth": 16}, {"cmyk": "press"}, {"cmyk": "press", "quality": 90}])
def test_a_page_for_print_is_read_back_from_the_pdf(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Boxes, picture and inks come from the file, whatever the export step recorded."""
    before = photograph()
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    (file,) = Export(format="pdf", trim=(20, 10), bleed=2, marks=True, **settings).make_files(before, context)
    path = tmp_path / "000.pdf"
    path.write_bytes(file.data)
    exported_file = ExportedFile(".pdf", path, {**file.facts, "bleed_mm": 9, "coverage": 1})
    required = {
        "format": "pdf",
        "bleed": 2,
        "ppi": 200,
        "depth": settings.get("depth", 8),
        "profile": TITLE if "cmyk" in settings else "srgb",
    }
    (report,) = Check.model_validate(required).make_files(before, StepContextDouble(exported=[exported_file]))
    assert b"data:image/jpeg" in report.data
    with pytest.raises(InputError) as caught:
        Check(bleed=2.1, ppi=1000, coverage=100).make_files(before, StepContextDouble(exported=[exported_file]))
    sentence = caught.value.sentence
    assert "bleed 2 mm instead of at least 2.1 mm" in sentence
    assert "at 20 x 10 mm instead of at least 1000" in sentence
    assert ("coverage no inks" in sentence) == ("cmyk" not in settings)
    path.write_bytes(file.data[: len(file.data) // 2])
    with pytest.raises(InputError, match="file damaged"):
        Check().make_files(before, StepContextDouble(exported=[exported_file]))


@pytest.mark.parametrize("format_", ["tiff", "jpeg", "pdf"])
def test_coverage_is_measured_in_the_file(tmp_path: Path, format_: str) -> None:
    """Coverage in the file equals what the export step measured."""
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    trim = {"trim": (20, 10)} if format_ == "pdf" else {}
    (file,) = Export(format=format_, cmyk="press", coverage=250, **trim).make_files(photograph(), context)
    path = tmp_path / f"000{file.suffix}"
    path.write_bytes(file.data)
    coverage = file.facts["coverage"]
    assert isinstance(coverage, float)
    context = StepContextDouble(exported=[ExportedFile(file.suffix, path, {**file.facts, "coverage": 1})])
    Check(coverage=coverage).make_files(photograph(), context)
    with pytest.raises(InputError, match=f"coverage {coverage} % instead of at most"):
        Check(coverage=coverage - 0.2).make_files(photograph(), context)


def test_one_blown_channel_counts_as_clipped(tmp_path: Path) -> None:
    """Clipping in one channel counts, whatever the other channels hold."""
    pixels = np.full((100, 100, 3), 0.5, np.float32)
    pixels[:10, :, 0] = 1
    assert "clipping 10.00 % instead of at most 9 %" in reported_faults(tmp_path, {"max_clipped": 9}, Picture(freeze(pixels)))


def test_ppi_is_that_of_the_sheet_with_its_bleed(tmp_path: Path) -> None:
    """Pixels cover the bleed too: 300 px on 69 mm with 3 mm at either side are 102 ppi, not 110."""
    assert reported_faults(tmp_path, {"ppi": 101}, recorded=WITH_BLEED) == ""
    assert "ppi 102 at 69 x 44 mm instead of at least 108" in reported_faults(tmp_path, {"ppi": 108}, recorded=WITH_BLEED)


def test_the_lower_of_two_resolutions_counts(tmp_path: Path) -> None:
    """Files with pixels that are not square have the resolution of the coarser direction."""
    uneven = Picture(photograph().pixels, ppi=(300, 150))
    assert "ppi 150 instead of at least 200" in reported_faults(tmp_path, {"ppi": 200}, uneven)
    assert reported_faults(tmp_path, {"ppi": 150}, uneven) == ""


def test_inks_without_a_profile_are_not_srgb(tmp_path: Path) -> None:
    """Files without a profile mean sRGB only if they are in RGB."""
    path = tmp_path / "000.jpg"
    path.write_bytes(jpeg_write.write_bare_cmyk(np.full((20, 30, 4), 100, np.uint8), 90))
    context = StepContextDouble(exported=[ExportedFile(".jpg", path, {"width": 30, "height": 20})])
    with pytest.raises(InputError, match=r"hero\.jpg: profile none instead of srgb\."):
        Check(profile="srgb").make_files(photograph(), context)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"format": "jpeg", "profile": "srgb"}, "sRGB IEC61966-2.1, embedded"),
        ({"format": "png", "profile": "display-p3"}, "Display P3, embedded"),
        ({"format": "jpeg"}, "none, sRGB assumed"),
        ({"format": "avif"}, "none, sRGB by its colour codes"),
    ],
)
def test_an_embedded_profile_is_told_from_an_assumed_one(settings: dict[str, str], expected: str, tmp_path: Path) -> None:
    """The report and the record of the check say which it is; both pass as sRGB."""
    file = export_file(tmp_path, photograph(), **settings)
    context = StepContextDouble(exported=[file])
    (report,) = Check(profile=settings.get("profile", "srgb")).make_files(photograph(), context)
    assert f">{expected}<" in report.data.decode()
    (checks,) = context.results.findings["files"].values()
    assert [check["found"] for check in checks if check["check"] == "profile"] == [expected]


def test_text_is_read_as_a_browser_shows_the_file(tmp_path: Path) -> None:
    """Readers get the file in sRGB with transparent parts on white, whatever its profile."""

    class SrgbReader(DetectDouble):
        def text_lines(self, picture: Picture) -> Sequence[TextLine]:
            assert picture.icc in (None, builtin_profile("srgb"))
            assert picture.alpha is None
            assert picture.pixels[: picture.height // 10].min() > 0.99
            return [WORD]

    context = StepContextDouble(detect=SrgbReader(), exported=[export_file(tmp_path, photograph("some"), profile="adobe-rgb")])
    (report,) = Check(words=("GOLD",)).make_files(photograph(), context)
    assert report.facts["result"] == "pass"


# Steps that remove content


def check_with_removals(folder: Path, *shares: float, **settings: Any) -> tuple[str, StepContextDouble]:
    """Return the fault of a check after erase steps that changed these shares of their masks, and its context; "" if it passes."""
    context = StepContextDouble()
    removals = [Removal("edit", number, "erase", share) for number, share in enumerate(shares, 1)]
    context.results = ResultsDouble([export_file(folder, photograph(), name="web")], removals=removals)
    try:
        Check.model_validate(settings).make_files(photograph(), context)
    except InputError as problem:
        return problem.sentence, context
    return "", context


def test_an_erase_that_changed_next_to_nothing_is_a_fault(tmp_path: Path) -> None:
    """The sentence gives the share, the limit and the step; a step that changed 1 % passes."""
    sentence, context = check_with_removals(tmp_path, 0.01, 0.0099)
    assert sentence == (
        "The exported files do not meet the check: steps before the export: erase 0.99 % instead of at least 1 % of the masked pixels "
        "changed by step 2 of edit."
    )
    steps = context.results.findings["steps"]
    assert isinstance(steps, list)
    assert [step["result"] for step in steps if isinstance(step, dict)] == ["pass", "fail"]
    assert check_with_removals(tmp_path, 0.01, 1.0)[0] == ""


def test_warn_makes_an_erase_that_changed_nothing_a_remark(tmp_path: Path) -> None:
    """On a flat ground the fill may equal what it covers. The report has the remark, and counts files alone."""
    context = StepContextDouble()
    context.results = ResultsDouble([export_file(tmp_path, photograph(), name="web")], removals=[Removal("edit", 1, "erase", 0.0)])
    (report,) = Check(warn=("erase",)).make_files(photograph(), context)
    assert context.results.findings["result"] == "warn"
    assert context.results.findings["remarks"] == [
        "steps before the export: erase 0.00 % instead of at least 1 % of the masked pixels changed by step 1 of edit"
    ]
    html = report.data.decode()
    assert "1 file read back from the disk, 1 remark" in html
    assert "Removed content" in html


class FacesBySize(DetectDouble):
    """A detector that finds one face in pictures of the full size and another, or none, in files of other sizes."""

    def __init__(self, in_picture: PixelBox, in_file: PixelBox | None) -> None:
        super().__init__()
        self._in_picture, self._in_file = in_picture, in_file

    def faces(self, picture: Picture) -> Sequence[Face]:
        box = self._in_picture if (picture.width, picture.height) == (300, 200) else self._in_file
        return () if box is None else (Face(box, np.zeros((5, 2), np.float32), 0.9),)


@pytest.mark.parametrize(
    ("in_picture", "in_file", "message"),
    [
        ((120, 60, 50, 60), (70, 60, 50, 60), ""),
        ((30, 60, 40, 60), None, "faces 1 face is cut instead of every face whole"),
        ((5, 60, 40, 60), None, ""),
        ((120, 60, 50, 60), (-20, 60, 50, 60), "faces 1 face is cut instead of every face whole"),
    ],
)
def test_a_cut_face_is_a_fault(tmp_path: Path, in_picture: PixelBox, in_file: PixelBox | None, message: str) -> None:
    """A face is searched for in the file, and in the picture before the crop, whose middle 200 px are in the file."""
    exported = export_file(tmp_path, photograph(), size=(200, 200), mode="fill")
    assert exported.facts["crop"] == [50, 0, 200, 200]
    context = StepContextDouble(exported=[exported], detect=FacesBySize(in_picture, in_file))
    if message:
        with pytest.raises(InputError, match=message):
            Check(faces="whole").make_files(photograph(), context)
    else:
        Check(faces="whole").make_files(photograph(), context)
    Check(faces="whole", warn=("faces",)).make_files(photograph(), context)


def test_a_cut_that_the_export_noticed_is_a_fault_without_a_model(tmp_path: Path) -> None:
    """The number of cut faces is among the facts of the file; the check needs the face detector only for its own search."""
    assert reported_faults(tmp_path, {}, recorded={"faces_cut": 2}) == "hero.png: faces 2 faces are cut instead of every face whole."
    assert reported_faults(tmp_path, {}, recorded={"faces_cut": 0}) == ""
    assert Check().needs().engines == ()
    assert [need.kind for need in Check(faces="whole").needs().engines] == [FACE_DETECTOR]
