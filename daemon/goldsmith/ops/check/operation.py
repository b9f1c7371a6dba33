"""Preflight: what was asked against the files that were written, and a report for the client."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from goldsmith.engines import EngineNeed
from goldsmith.engines.kinds import TEXT_READER
from goldsmith.engines.vision import TextLine
from goldsmith.errors import InputError
from goldsmith.operation import (
    Deliverable,
    ExportedFile,
    FileOperation,
    RecordValue,
    StepContext,
    StepNeeds,
)
from goldsmith.ops.check.preflight import (
    CheckedFile,
    PreflightCheck,
    allowed_misreads,
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

_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
# Of what is asked: pixels are whole, so the ppi of a sheet is seldom met to the last digit.
_PPI_TOLERANCE = 0.005
# mm: a PDF's boxes are in points with few digits.
_MM_TOLERANCE = 0.01
# Per cent of coverage: less than a reader sees of the figure.
_INK_TOLERANCE = 0.05
# px of the longer side at which a picture is read once more.
_DOWNSCALED_SIDE = 640

CheckName = Literal[
    "size", "ppi", "format", "depth", "profile", "bytes", "alpha", "bleed", "coverage", "words", "thumbnail", "clipping", "black", "safe"
]
_Px = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Mm = Annotated[float, Field(ge=5, le=4900)]


def _normalise_format(value: object) -> object:
    word = value.lower().removeprefix(".") if isinstance(value, str) else value
    return _ALIASES.get(word, word) if isinstance(word, str) else word


def _require_letters(word: str) -> str:
    if not fold_text(word):
        raise ValueError(f"“{word}” has no letter or digit that could be read")
    return word


class Check(FileOperation):
    """Compare the files that were exported with what was asked, and write a report for the client: ``hero.report.html``.

    Each file is read back from the disk. A fault holds the picture; its note lists every fault of every file.
    """

    is_preflight: ClassVar[bool] = True

    name: str = Field(default="", max_length=64, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
    """What follows the picture's name and "_" in the report's name, where a brief has several checks (hero_print.report.html)."""
    files: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=64)
    """Names of the exports that are checked; "" is the one without a name. Unset: all that come before this step."""
    size: tuple[_Px, _Px] | None = None
    """[width, height] in px that a file has exactly, each 1 to 30000."""
    min_size: tuple[_Px, _Px] | None = None
    """[width, height] in px that a file has at least, each 1 to 30000."""
    print: tuple[_Mm, _Mm] | None = None
    """[width, height] in mm that it will be printed at, without bleed (5 to 4900): where ``ppi`` is measured. Unset: the export's trim."""
    ppi: float | None = Field(default=None, ge=1, le=10000)
    """Pixels per inch that a file has at least at that size (1 to 10000); with neither print nor trim, those that are written into it."""
    format: Annotated[Literal[codec.OutputFormat, "pdf"] | None, BeforeValidator(_normalise_format)] = None
    """jpeg, png, tiff, webp, avif or pdf, by what is in the file."""
    depth: Literal[8, 10, 12, 16] | None = None
    """Bits per channel: 8, 10, 12 or 16."""
    profile: str | None = Field(default=None, min_length=1, max_length=100)
    """Colour profile: srgb, adobe-rgb, display-p3, prophoto, rec709, or a profile's own name. A file without one is sRGB."""
    max_kb: float | None = Field(default=None, gt=0, le=10_000_000)
    """Largest size of a file in kB of 1000 bytes (to 10000000)."""
    alpha: Literal["none", "required"] | None = None
    """none: a file has no alpha; required: it has, and something is transparent."""
    bleed: float | None = Field(default=None, ge=0, le=50)
    """Picture beyond the trim that a file has at least, in mm (0 to 50)."""
    coverage: float | None = Field(default=None, ge=100, le=400)
    """Highest sum of the four inks in percent (100 to 400)."""
    words: tuple[Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_require_letters)], ...] = Field(
        default=(), max_length=50
    )
    """Words that must be legible in the picture, each as it is written there; case and spaces do not count."""
    distance: int = Field(default=1, ge=0, le=10)
    """How many letters of a word may be read otherwise (0 to 10); never more than one in five, so none of GOLD."""
    thumbnail: int = Field(default=100, ge=0, le=1000)
    """Longer side in px of the thumbnail in which the words must be legible, too (to 1000; 0: not asked)."""
    max_clipped: float | None = Field(default=None, ge=0, le=100)
    """Most blown highlights, in per cent of the pixels in the worst channel (0 to 100)."""
    max_black: float | None = Field(default=None, ge=0, le=100)
    """Most pure black, in per cent of the pixels (0 to 100)."""
    safe: float | None = Field(default=None, ge=0, le=45)
    """Margin in per cent of each side of the trim (0 to 45) that the words stay out of; without words, all text that is found."""
    warn: tuple[CheckName, ...] = ()
    """Checks whose faults are only remarks: the files are delivered, and the report and the manifest say so."""

    @model_validator(mode="after")
    def _check_combination(self) -> Check:
        idle = [word for word in self.warn if word not in self._requested_checks()]
        if idle:
            raise ValueError(f"warn names {', '.join(idle)}, which this step does not check")
        if self.print is not None and self.ppi is None:
            raise ValueError("print says at what size ppi is measured; give the ppi, as in ppi = 300")
        return self

    def _requested_checks(self) -> set[str]:
        """What this step asks for, by its words."""
        asked = {word for word in get_args(CheckName) if getattr(self, word, None) not in (None, ())}
        asked -= set() if self.words and self.thumbnail else {"thumbnail"}
        also = {"size": self.min_size, "bytes": self.max_kb, "clipping": self.max_clipped, "black": self.max_black}
        return asked | {word for word, value in also.items() if value is not None}

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(TEXT_READER),)) if self.words or self.safe is not None else StepNeeds()

    def tails(self) -> tuple[str, ...]:
        return (f"{self._name_tail}.html",)

    @property
    def _name_tail(self) -> str:
        return f"_{self.name}.report" if self.name else ".report"

    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """The report. Raises InputError with every fault of every file."""
        chosen = self._select_exports(context)
        seen = []
        for number, file in enumerate(chosen):
            name = context.stem + file.tail
            context.progress.report(number / len(chosen), f"reading {name}")
            seen.append(self._check_file(file, name, context))
        result = worst_result([checked for file in seen for checked in file.checks])
        tails = [file.tail for file in chosen]  # what stands before them has a version, which is given when they are put down
        faults = describe_checks(seen, "fail")
        remarks = describe_checks([replace(file, name=f"…{tail}") for file, tail in zip(seen, tails, strict=True)], "warn")
        context.results.record(
            result=result, remarks=remarks, files={tail: _to_record(file.checks) for file, tail in zip(seen, tails, strict=True)}
        )
        if faults:
            raise InputError(
                f"What was to be delivered is not as it was asked for: {'; '.join(faults)}.",
                "Change the step that makes it, or what check asks; what is to be a remark only is named in warn.",
            )
        data = render_report(context.stem + (f" ({self.name})" if self.name else ""), seen).encode()
        return [
            Deliverable(self._name_tail, ".html", data, {"format": "html", "bytes": len(data), "result": result, "remarks": list(remarks)})
        ]

    def _select_exports(self, context: StepContext) -> list[ExportedFile]:
        """The exported pictures it was asked to look at; proofs of a print are none of the files that count."""
        made = [file for file in context.results.exported_files() if "width" in file.facts and "proof_of" not in file.facts]
        if not made:
            raise InputError("There is no file to check.", "Put an export before the check.")
        names = [str(file.facts.get("name") or "") for file in made]
        for name in self.files:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
                hint = f"; the nearest is “{near[0]}”" if near else ""
                there = ", ".join(f"“{known}”" for known in names)
                raise InputError(f"No export before it is called “{name}”{hint}.", f"There are {there}.")
        return [file for file, name in zip(made, names, strict=True) if not self.files or name in self.files]

    def _check_file(self, file: ExportedFile, name: str, context: StepContext) -> CheckedFile:
        label = str(file.facts.get("name") or "") or str(file.facts.get("format", "file")).upper()
        ending = "File", f"its name ends in {file.tail}"
        try:
            back = read_back(file.path, name, file.facts)
        except InputError as problem:
            return CheckedFile(
                name, label, (ending,), [PreflightCheck("file", "one that can be read", f"damaged ({problem.sentence.rstrip('.')})", False)]
            )
        checks = [*self._file_checks(back), *self._print_checks(back), *self._pixel_checks(back), *self._text_checks(back, context)]
        return CheckedFile(name, label, (ending, *back.properties()), checks, encode_thumbnail(back.picture))

    def _make_result(self, check: CheckName, expected: str, found: str, passed: bool) -> PreflightCheck:
        return PreflightCheck(check, expected, found, passed, check in self.warn)

    def _file_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        facts, (width, height) = readback.facts, readback.pixel_size
        found = f"{width} x {height} px"
        yield _check_as_written(readback)
        if self.size is not None:
            yield self._make_result("size", f"{self.size[0]} x {self.size[1]} px", found, readback.pixel_size == self.size)
        if self.min_size is not None:
            least = self.min_size
            yield self._make_result("size", f"at least {least[0]} x {least[1]} px", found, width >= least[0] and height >= least[1])
        if self.format is not None:
            yield self._make_result("format", self.format, facts.format, facts.format == self.format)
        if self.depth is not None:
            yield self._make_result("depth", f"{self.depth} bits", f"{facts.depth} bits", facts.depth == self.depth)
        if self.profile is not None:
            bare = "none" if facts.channels == 4 else "none, which means sRGB"
            good = (facts.channels != 4 or facts.icc is not None) and is_same_profile(self.profile, facts.icc)
            yield self._make_result("profile", self.profile, facts.icc or bare, good)
        if self.max_kb is not None:
            yield self._make_result(
                "bytes", f"at most {self.max_kb:,g} kB", format_kb(readback.byte_size), readback.byte_size <= self.max_kb * BYTES_PER_KB
            )

    def _print_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        if self.ppi is not None:
            has, where = self._measure_ppi(readback)
            found = "unknown (nothing says how large it is printed)" if has is None else f"{has:.0f}{where}"
            yield self._make_result("ppi", f"at least {self.ppi:g}", found, has is not None and has >= self.ppi * (1 - _PPI_TOLERANCE))
        if self.bleed is not None:
            yield self._make_result(
                "bleed", f"at least {self.bleed:g} mm", f"{readback.bleed_mm:g} mm", readback.bleed_mm >= self.bleed - _MM_TOLERANCE
            )
        if self.coverage is not None:
            has = readback.ink_coverage
            found = "no inks" if has is None else f"{has:.1f} %"
            yield self._make_result(
                "coverage", f"at most {self.coverage:g} %", found, has is not None and has <= self.coverage + _INK_TOLERANCE
            )

    def _measure_ppi(self, readback: FileReadback) -> tuple[float | None, str]:
        """Pixels per inch, and at what size."""
        sheet = self.print or readback.trim_mm
        if sheet is not None:
            width, height = (side + 2 * readback.bleed_mm for side in sheet)
            return ppi_at(readback.pixel_size, (width, height)), f" at {sheet[0]:g} x {sheet[1]:g} mm"
        return (None if readback.facts.ppi is None else min(readback.facts.ppi)), ""

    def _pixel_checks(self, readback: FileReadback) -> Iterator[PreflightCheck]:
        if self.alpha is not None:
            alpha = readback.picture.alpha
            cut = alpha is not None and float(alpha.min()) < 1
            found = "none" if alpha is None else "with transparent parts" if cut else "with nothing transparent"
            yield self._make_result(
                "alpha", "none" if self.alpha == "none" else "transparent parts", found, alpha is None if self.alpha == "none" else cut
            )
        if self.max_clipped is None and self.max_black is None:
            return
        highlights, _, black = measure_clipping(readback.picture)
        limits: list[tuple[CheckName, float | None, float]] = [
            ("clipping", self.max_clipped, max(highlights)),
            ("black", self.max_black, black),
        ]
        for word, limit, has in limits:
            if limit is not None:
                yield self._make_result(word, f"at most {limit:g} %", f"{has:.2f} %", has <= limit)

    def _text_checks(self, readback: FileReadback, context: StepContext) -> Iterator[PreflightCheck]:
        if not self.words and self.safe is None:
            return
        shown = codec.flatten(colour.convert_profile(readback.picture, "srgb"))
        readings = [context.detect.text_lines(shown)]
        places: list[TextLine] = []
        for word in self.words:
            checked, lines = self._check_legible("words", word, readings, "at full size")
            if not checked.is_met and len(readings) == 1 and max(readback.pixel_size) > _DOWNSCALED_SIDE:
                readings.append(_read_downscaled(shown, context))
                checked, lines = self._check_legible("words", word, readings, "at full size")
            places += lines
            yield checked
        if self.words and self.thumbnail:
            small = [context.detect.text_lines(shrink_to_side(shown, self.thumbnail))]
            for word in self.words:
                yield self._check_legible("thumbnail", word, small, f"at {self.thumbnail} px")[0]
        if self.safe is not None:
            yield self._check_safe_area(readback, places if self.words else readings[0], self.safe)

    def _check_legible(
        self, check: CheckName, word: str, readings: Sequence[Sequence[TextLine]], where: str
    ) -> tuple[PreflightCheck, list[TextLine]]:
        """What was read for that word in the best of the readings, and the lines it stands in where it is legible."""
        matches = [(find_nearest_text(word, [line.text for line in lines]), lines) for lines in readings]
        match, lines = min(matches, key=lambda one: one[0].distance)
        good = match.distance <= allowed_misreads(word, self.distance)
        found = [lines[place] for place in match.lines]
        read = "“" + " ".join(line.text for line in found) + "”" if found else "nothing like it"
        return self._make_result(check, f"“{word}” {where}", read, good), found if good else []

    def _check_safe_area(self, readback: FileReadback, lines: Sequence[TextLine], margin: float) -> PreflightCheck:
        out = [f"“{line.text}”" for line in lines if reaches_into_margin(line.corners, readback.pixel_size, readback.bleed_px, margin)]
        found = f"{', '.join(out)} beyond" if out else f"{len(lines)} line{'s' * (len(lines) != 1)} within"
        return self._make_result("safe", f"text at least {margin:g} % from every edge", found, not out)


def _read_downscaled(srgb: Picture, context: StepContext) -> list[TextLine]:
    """The text as it is read from further away, in px of the picture itself: letters that fill a picture are read better so."""
    small = shrink_to_side(srgb, _DOWNSCALED_SIDE)
    scale = np.array([srgb.width / small.width, srgb.height / small.height], np.float32)
    return [replace(line, corners=line.corners * scale) for line in context.detect.text_lines(small)]


def _check_as_written(readback: FileReadback) -> PreflightCheck:
    """What the step that made the file says of it holds of what lies on the disk."""
    other = readback.mismatches()
    return PreflightCheck("file", "what was written", f"another ({', '.join(other)})" if other else "complete", not other)


def _to_record(checks: Sequence[PreflightCheck]) -> list[RecordValue]:
    return [{"check": one.kind, "asked": one.expected, "found": one.found, "result": one.result} for one in checks]
