"""The ``check`` operation, preflight: it compares the exported files with their requirements and writes a report for the client."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from goldsmith.engines.kinds import FACE_DETECTOR, TEXT_READER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.vision import TextLine
from goldsmith.errors import InputError
from goldsmith.operation import (
    Deliverable,
    ExportedFile,
    FileOperation,
    FormatName,
    RecordValue,
    StepContext,
    StepNeeds,
)
from goldsmith.ops.check.preflight import (
    CheckedFile,
    PreflightCheck,
    allowed_misreads,
    count_faces_at_edge,
    describe_checks,
    find_nearest_text,
    fold_text,
    is_same_profile,
    ppi_at,
    reaches_into_margin,
    worst_result,
)
from goldsmith.ops.check.preflight_report import render_report
from goldsmith.ops.check.readback import (
    BYTES_PER_KB,
    FileReadback,
    encode_thumbnail,
    format_kb,
    read_back,
    shrink_to_side,
)
from goldsmith.picture import codec, colour
from goldsmith.picture.picture import Picture
from goldsmith.picture.quality_metrics import measure_clipping
from goldsmith.picture.size_fitting import MAX_SIDE
from goldsmith.picture.subject_crop import count_cut_faces

# Relative. Pixels are whole numbers, so a sheet rarely has exactly the ppi required.
_PPI_TOLERANCE = 0.005
# mm. A PDF's boxes are in points with few digits.
_MM_TOLERANCE = 0.01
# Per cent of coverage, less than the precision of the figure in a message.
_INK_TOLERANCE = 0.05
# px of the longer side at which a picture is read a second time.
_DOWNSCALED_SIDE = 640
# A step that removes content has failed if fewer of the pixels under its mask have changed visibly: a fill of grain changes nearly all.
_MIN_CHANGED_SHARE = 0.01
# What the faults of the steps are listed under, in the place of a file's name.
_STEPS_NAME = "steps before the export"

CheckName = Literal[
    "size",
    "ppi",
    "format",
    "depth",
    "profile",
    "bytes",
    "alpha",
    "bleed",
    "coverage",
    "words",
    "thumbnail",
    "clipping",
    "black",
    "safe",
    "erase",
    "faces",
]
_Px = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Mm = Annotated[float, Field(ge=5, le=4900)]


def _require_letters(word: str) -> str:
    """Return the word unchanged. Raises ValueError if it has no letter or digit."""
    if not fold_text(word):
        raise ValueError(f"“{word}” has no letter or digit that could be read")
    return word


class Check(FileOperation):
    """Compare the exported files with their requirements, and write a report for the client: ``hero.report.html``.

    Each file is read back from the disk. A step that should remove content and changed next to nothing is a fault too. A fault holds the
    picture; the note lists every fault of every file.
    """

    also_called: ClassVar[str] = "preflight verify validate quality-check qa proof"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "max_kb": "max-size filesize",
            "min_size": "min-width min-height",
        }
    )

    is_preflight: ClassVar[bool] = True

    name: str = Field(default="", max_length=64, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
    """Name of the report if a brief has several checks: "print" gives hero_print.report.html."""
    files: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=64)
    """Names of the exports to check; "" is the export without a name. Unset: all exports before this step."""
    size: tuple[_Px, _Px] | None = None
    """The exact [width, height] of a file in px, each 1 to 30000."""
    min_size: tuple[_Px, _Px] | None = None
    """The minimum [width, height] of a file in px, each 1 to 30000."""
    print: tuple[_Mm, _Mm] | None = None
    """The printed [width, height] in mm, without bleed (5 to 4900), at which ``ppi`` is measured. Unset: the export's trim."""
    ppi: float | None = Field(default=None, ge=1, le=10000)
    """The minimum pixels per inch at that size (1 to 10000); without print and trim, the resolution written in the file counts."""
    format: FormatName | None = None
    """jpeg, png, tiff, webp, avif, psd, ora or pdf, by the file's content."""
    depth: Literal[8, 10, 12, 16] | None = None
    """Bits per channel: 8, 10, 12 or 16."""
    profile: str | None = Field(default=None, min_length=1, max_length=100)
    """Colour profile: srgb, adobe-rgb, display-p3, prophoto, rec709, or a profile's own name. A file without a profile is sRGB."""
    max_kb: float | None = Field(default=None, gt=0, le=10_000_000)
    """The maximum size of a file in kB of 1000 bytes (up to 10000000)."""
    alpha: Literal["none", "required"] | None = None
    """none: a file must not have alpha; required: a file must have transparent parts."""
    bleed: float | None = Field(default=None, ge=0, le=50)
    """The minimum bleed beyond the trim, in mm (0 to 50)."""
    coverage: float | None = Field(default=None, ge=100, le=400)
    """The maximum sum of the four inks, in per cent (100 to 400)."""
    words: tuple[Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_require_letters)], ...] = Field(
        default=(), max_length=50
    )
    """Words that must be legible in the picture, as they are written there; case and spaces do not count."""
    distance: int = Field(default=1, ge=0, le=10)
    """How many letters of a word may be misread (0 to 10); never more than one in five, so none of GOLD."""
    thumbnail: int = Field(default=100, ge=0, le=1000)
    """Longer side in px of the thumbnail in which the words must be legible too (up to 1000; 0: no such check)."""
    max_clipped: float | None = Field(default=None, ge=0, le=100)
    """The maximum of blown highlights, in per cent of the pixels in the worst channel (0 to 100)."""
    max_black: float | None = Field(default=None, ge=0, le=100)
    """The maximum of pure black, in per cent of the pixels (0 to 100)."""
    safe: float | None = Field(default=None, ge=0, le=45)
    """Margin in per cent of each side of the trim (0 to 45) that must be free of the words; without words, of all text."""
    faces: Literal["whole"] | None = None
    """whole: no face may be cut, by the export's crop or by the edge of the file. Unset: only a cut that the export noticed counts."""
    warn: tuple[CheckName, ...] = ()
    """Checks whose faults are only remarks: the files are delivered with a remark in report and manifest."""

    @model_validator(mode="after")
    def _check_combination(self) -> Check:
        unchecked = [word for word in self.warn if word not in self._requested_checks()]
        if unchecked:
            raise ValueError(f"warn names {', '.join(unchecked)}, which this step does not check")
        if self.print is not None and self.ppi is None:
            raise ValueError("print sets the size at which ppi is measured; give the ppi, as in ppi = 300")
        return self

    def _requested_checks(self) -> set[str]:
        """Return the names of the checks that the settings ask for."""
        requested = {"erase", "faces"} | {word for word in get_args(CheckName) if getattr(self, word, None) not in (None, ())}
        requested -= set() if self.words and self.thumbnail else {"thumbnail"}
        limits = {"size": self.min_size, "bytes": self.max_kb, "clipping": self.max_clipped, "black": self.max_black}
        return requested | {word for word, value in limits.items() if value is not None}

    def needs(self) -> StepNeeds:
        """Return the text reader if text is to be checked, and the face detector if faces are."""
        engines: list[EngineNeed[Any]] = [EngineNeed(TEXT_READER)] if self.words or self.safe is not None else []
        return StepNeeds(engines=(*engines, *([EngineNeed(FACE_DETECTOR)] if self.faces is not None else [])))

    def tails(self) -> tuple[str, ...]:
        """Return what follows the picture's name in the report's name."""
        return (f"{self._name_tail}.html",)

    @property
    def _name_tail(self) -> str:
        return f"_{self.name}.report" if self.name else ".report"

    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """Return the report. Raises InputError with every fault of every file."""
        exports = self._select_exports(context)
        checked_files = []
        for number, file in enumerate(exports):
            name = context.stem + file.tail
            context.progress.report(number / len(exports), f"reading {name}")
            checked_files.append(self._check_file(file, name, picture, context))
        tails = [file.tail for file in exports]  # the name before them gets its version only when the file is published
        by_tail = dict(zip(tails, checked_files, strict=True))
        steps = [CheckedFile(_STEPS_NAME, "Steps", (), checks)] if (checks := self._removal_checks(context)) else []
        checked_files += steps
        result = worst_result([checked for file in checked_files for checked in file.checks])
        faults = describe_checks(checked_files, "fail")
        remarks = describe_checks([*(replace(file, name=f"…{tail}") for tail, file in by_tail.items()), *steps], "warn")
        context.results.record(result=result, remarks=remarks, files={tail: _to_record(file.checks) for tail, file in by_tail.items()})
        if steps:
            context.results.record(steps=_to_record(steps[0].checks))
        if faults:
            raise InputError(
                f"The exported files do not meet the check: {'; '.join(faults)}.",
                "Change the step that makes the file, or the limits of the check step; to get only a remark, name the check in warn.",
            )
        title = context.stem + (f" ({self.name})" if self.name else "")
        data = render_report(title, checked_files, context.results.remarks()).encode()
        return [
            Deliverable(self._name_tail, ".html", data, {"format": "html", "bytes": len(data), "result": result, "remarks": list(remarks)})
        ]

    def _select_exports(self, context: StepContext) -> list[ExportedFile]:
        """Return the exported pictures to check, without proofs of a print.

        Raises InputError if nothing was exported, or if no export has a name in ``files``.
        """
        exports = [file for file in context.results.exported_files() if "width" in file.facts and "proof_of" not in file.facts]
        if not exports:
            raise InputError("There is no file to check.", "Put an export before the check.")
        names = [str(file.facts.get("name") or "") for file in exports]
        for name in self.files:
            if name not in names:
                nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
                hint = f"; the nearest is “{nearest[0]}”" if nearest else ""
                listed = ", ".join(f"“{known}”" for known in names)
                raise InputError(f"No export before the check step is called “{name}”{hint}.", f"The exports are {listed}.")
        return [file for file, name in zip(exports, names, strict=True) if not self.files or name in self.files]

    def _check_file(self, file: ExportedFile, name: str, picture: Picture, context: StepContext) -> CheckedFile:
        """Return the results of all checks of one file; a file that cannot be read is itself a fault."""
        label = str(file.facts.get("name") or "") or str(file.facts.get("format", "file")).upper()
        ending = "File", f"its name ends in {file.tail}"
        try:
            readback = read_back(file.path, name, file.facts)
        except InputError as problem:
            return CheckedFile(
                name, label, (ending,), [PreflightCheck("file", "one that can be read", f"damaged ({problem.sentence.rstrip('.')})", False)]
            )
        checks = [
            *self._file_checks(readback),
            *self._print_checks(readback),
            *self._pixel_checks(readback),
            *self._text_checks(readback, context),
            *self._face_checks(readback, picture, context),
        ]
        return CheckedFile(name, label, (ending, *readback.properties()), checks, encode_thumbnail(readback.picture))

    def _face_checks(self, readback: FileReadback, picture: Picture, context: StepContext) -> Iterator[PreflightCheck]:
        """Yield whether the crop or the edge of the file cuts a face; ``picture`` is the one that the export cropped.

        A face of which little is left is not found in the file, so the picture before the crop is searched, too.
        """
        noticed = readback.recorded.get("faces_cut")
        cut_count = int(noticed) if isinstance(noticed, int) else 0
        if self.faces is not None:
            flattened = codec.flatten(colour.convert_profile(readback.picture, "srgb"))
            in_file = [face.box for face in context.detect.faces(flattened)]
            cut_count = max(cut_count, count_faces_at_edge(in_file, readback.pixel_size, readback.bleed_px))
            window = readback.source_window()
            if window is not None:
                cut_count = max(cut_count, count_cut_faces([face.box for face in context.detect.faces(picture)], window))
        elif not cut_count:
            return
        actual = f"{cut_count} face{' is' if cut_count == 1 else 's are'} cut" if cut_count else "none is cut"
        yield self._make_result("faces", "every face whole", actual, cut_count == 0)

    def _removal_checks(self, context: StepContext) -> list[PreflightCheck]:
        """Return for each step that removes content whether it has changed what its mask selects."""
        return [
            self._make_result(
                "erase",
                f"at least {100 * _MIN_CHANGED_SHARE:g} % of the masked pixels changed by step {removal.step} of {removal.stage}",
                f"{100 * removal.changed_share:.2f} %",
                removal.changed_share >= _MIN_CHANGED_SHARE,
            )
            for removal in context.results.removals()
        ]

    def _make_result(self, check: CheckName, expected: str, actual: str, passed: bool) -> PreflightCheck:
        """Return the result of one check; it is only a remark if ``warn`` names the check."""
        return PreflightCheck(check, expected, actual, passed, check in self.warn)

    def _file_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        """Yield the checks of size, format, depth, profile and bytes, and whether the file is as recorded."""
        facts, (width, height) = readback.facts, readback.pixel_size
        actual = f"{width} x {height} px"
        yield _check_as_written(readback)
        if self.size is not None:
            yield self._make_result("size", f"{self.size[0]} x {self.size[1]} px", actual, readback.pixel_size == self.size)
        if self.min_size is not None:
            minimum = self.min_size
            yield self._make_result(
                "size", f"at least {minimum[0]} x {minimum[1]} px", actual, width >= minimum[0] and height >= minimum[1]
            )
        if self.format is not None:
            yield self._make_result("format", self.format, facts.format, facts.format == self.format)
        if self.depth is not None:
            yield self._make_result("depth", f"{self.depth} bits", f"{facts.depth} bits", facts.depth == self.depth)
        if self.profile is not None:
            is_same = (facts.channels != 4 or facts.icc is not None) and is_same_profile(self.profile, facts.icc)
            yield self._make_result("profile", self.profile, readback.describe_profile(), is_same)
        if self.max_kb is not None:
            yield self._make_result(
                "bytes", f"at most {self.max_kb:,g} kB", format_kb(readback.byte_size), readback.byte_size <= self.max_kb * BYTES_PER_KB
            )

    def _print_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        """Yield the checks of resolution, bleed and ink coverage."""
        if self.ppi is not None:
            measured, at_size = self._measure_ppi(readback)
            actual = "unknown (neither print, trim nor the file gives a size)" if measured is None else f"{measured:.0f}{at_size}"
            yield self._make_result(
                "ppi", f"at least {self.ppi:g}", actual, measured is not None and measured >= self.ppi * (1 - _PPI_TOLERANCE)
            )
        if self.bleed is not None:
            yield self._make_result(
                "bleed", f"at least {self.bleed:g} mm", f"{readback.bleed_mm:g} mm", readback.bleed_mm >= self.bleed - _MM_TOLERANCE
            )
        if self.coverage is not None:
            measured = readback.ink_coverage
            actual = "no inks" if measured is None else f"{measured:.1f} %"
            yield self._make_result(
                "coverage", f"at most {self.coverage:g} %", actual, measured is not None and measured <= self.coverage + _INK_TOLERANCE
            )

    def _measure_ppi(self, readback: FileReadback) -> tuple[float | None, str]:
        """Return pixels per inch, or None if unknown, and a phrase with the printed size."""
        sheet = self.print or readback.trim_mm
        if sheet is not None:
            width, height = (side + 2 * readback.bleed_mm for side in sheet)
            return ppi_at(readback.pixel_size, (width, height)), f" at {sheet[0]:g} x {sheet[1]:g} mm"
        return (None if readback.facts.ppi is None else min(readback.facts.ppi)), ""

    def _pixel_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        """Yield the checks of alpha, blown highlights and pure black."""
        if self.alpha is not None:
            alpha = readback.picture.alpha
            is_transparent = alpha is not None and float(alpha.min()) < 1
            actual = "none" if alpha is None else "with transparent parts" if is_transparent else "with nothing transparent"
            yield self._make_result(
                "alpha",
                "none" if self.alpha == "none" else "transparent parts",
                actual,
                alpha is None if self.alpha == "none" else is_transparent,
            )
        if self.max_clipped is None and self.max_black is None:
            return
        highlights, _, black = measure_clipping(readback.picture)
        limits: list[tuple[CheckName, float | None, float]] = [
            ("clipping", self.max_clipped, max(highlights)),
            ("black", self.max_black, black),
        ]
        for word, limit, measured in limits:
            if limit is not None:
                yield self._make_result(word, f"at most {limit:g} %", f"{measured:.2f} %", measured <= limit)

    def _text_checks(self, readback: FileReadback, context: StepContext) -> Iterator[PreflightCheck]:
        """Yield the checks of words, at full size and in a thumbnail, and of the safe area."""
        if not self.words and self.safe is None:
            return
        flattened = codec.flatten(colour.convert_profile(readback.picture, "srgb"))
        readings = [context.detect.text_lines(flattened)]
        word_lines: list[TextLine] = []
        for word in self.words:
            checked, lines = self._check_legible("words", word, readings, "at full size")
            if not checked.is_met and len(readings) == 1 and max(readback.pixel_size) > _DOWNSCALED_SIDE:
                readings.append(_read_downscaled(flattened, context))
                checked, lines = self._check_legible("words", word, readings, "at full size")
            word_lines += lines
            yield checked
        if self.words and self.thumbnail:
            small_lines = [context.detect.text_lines(shrink_to_side(flattened, self.thumbnail))]
            for word in self.words:
                yield self._check_legible("thumbnail", word, small_lines, f"at {self.thumbnail} px")[0]
        if self.safe is not None:
            yield self._check_safe_area(readback, word_lines if self.words else readings[0], self.safe)

    def _check_legible(
        self, check: CheckName, word: str, readings: Sequence[Sequence[TextLine]], where: str
    ) -> tuple[PreflightCheck, list[TextLine]]:
        """Return the best reading of the word, and its lines if it is legible."""
        matches = [(find_nearest_text(word, [line.text for line in lines]), lines) for lines in readings]
        match, lines = min(matches, key=lambda candidate: candidate[0].distance)
        is_legible = match.distance <= allowed_misreads(word, self.distance)
        word_lines = [lines[index] for index in match.lines]
        reading = "“" + " ".join(line.text for line in word_lines) + "”" if word_lines else "nothing like it"
        return self._make_result(check, f"“{word}” {where}", reading, is_legible), word_lines if is_legible else []

    def _check_safe_area(self, readback: FileReadback, lines: Sequence[TextLine], margin: float) -> PreflightCheck:
        """Return whether all lines stay out of the margin."""
        outside = [f"“{line.text}”" for line in lines if reaches_into_margin(line.corners, readback.pixel_size, readback.bleed_px, margin)]
        actual = f"{', '.join(outside)} beyond" if outside else f"{len(lines)} line{'s' * (len(lines) != 1)} within"
        return self._make_result("safe", f"text at least {margin:g} % from every edge", actual, not outside)


def _read_downscaled(srgb: Picture, context: StepContext) -> list[TextLine]:
    """Return the text of a smaller copy, in px of the picture: readers find letters that fill a picture better in it."""
    small = shrink_to_side(srgb, _DOWNSCALED_SIDE)
    scale = np.array([srgb.width / small.width, srgb.height / small.height], np.float32)
    return [replace(line, corners=line.corners * scale) for line in context.detect.text_lines(small)]


def _check_as_written(readback: FileReadback) -> PreflightCheck:
    """Return whether the file on the disk is the one that the export step recorded."""
    differences = readback.mismatches()
    return PreflightCheck("file", "what was written", f"another ({', '.join(differences)})" if differences else "complete", not differences)


def _to_record(checks: Sequence[PreflightCheck]) -> list[RecordValue]:
    """Return the checks for the record."""
    return [{"check": check.kind, "expected": check.expected, "found": check.actual, "result": check.result} for check in checks]
