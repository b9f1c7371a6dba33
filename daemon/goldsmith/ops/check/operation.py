"""Preflight: what was asked against the files that were written, and a report for the client."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from goldsmith.engines import EngineNeed
from goldsmith.engines.vision import TextLine
from goldsmith.errors import Problem
from goldsmith.operation import (
    Bench,
    Deliverable,
    Exported,
    FileOperation,
    Finding,
    Needs,
)
from goldsmith.ops.check.preflight import (
    Checked,
    FileSeen,
    allowed,
    folded,
    nearest,
    ppi_at,
    reaches_out,
    same_profile,
    told,
    worst,
)
from goldsmith.ops.check.readback import (
    KILO,
    Reread,
    kilo,
    reread,
    shrunk,
    thumbnail,
)
from goldsmith.ops.check.report import page
from goldsmith.picture import codec, colour
from goldsmith.picture.assess import clipping
from goldsmith.picture.fitting import LONGEST_SIDE
from goldsmith.picture.picture import Plate

_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
_ROUNDING = 0.005
"""Of what is asked: pixels are whole, so the ppi of a sheet is seldom met to the last digit."""
_MM_ROUNDING = 0.01
"""mm: a PDF's boxes are in points with few digits."""
_INK_ROUNDING = 0.05
"""Per cent of coverage: less than a reader sees of the figure."""
_FURTHER = 640
"""px of the longer side at which a picture is read once more."""

Word = Literal[
    "size", "ppi", "format", "depth", "profile", "bytes", "alpha", "bleed", "coverage", "words", "thumbnail", "clipping", "black", "safe"
]
_Px = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
_Mm = Annotated[float, Field(ge=5, le=4900)]


def _alias(value: object) -> object:
    word = value.lower().removeprefix(".") if isinstance(value, str) else value
    return _ALIASES.get(word, word) if isinstance(word, str) else word


def _lettered(word: str) -> str:
    if not folded(word):
        raise ValueError(f"“{word}” has no letter or digit that could be read")
    return word


class Check(FileOperation):
    """Compare the files that were exported with what was asked, and write a report for the client: ``hero.report.html``.

    Each file is read back from the disk. A fault holds the picture; its note lists every fault of every file.
    """

    judges: ClassVar[bool] = True

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
    format: Annotated[Literal[codec.Format, "pdf"] | None, BeforeValidator(_alias)] = None
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
    words: tuple[Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_lettered)], ...] = Field(default=(), max_length=50)
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
    warn: tuple[Word, ...] = ()
    """Checks whose faults are only remarks: the files are delivered, and the report and the manifest say so."""

    @model_validator(mode="after")
    def _asked_for(self) -> Check:
        idle = [word for word in self.warn if word not in self._checks()]
        if idle:
            raise ValueError(f"warn names {', '.join(idle)}, which this step does not check")
        if self.print is not None and self.ppi is None:
            raise ValueError("print says at what size ppi is measured; give the ppi, as in ppi = 300")
        return self

    def _checks(self) -> set[str]:
        """What this step asks for, by its words."""
        asked = {word for word in get_args(Word) if getattr(self, word, None) not in (None, ())}
        asked -= set() if self.words and self.thumbnail else {"thumbnail"}
        also = {"size": self.min_size, "bytes": self.max_kb, "clipping": self.max_clipped, "black": self.max_black}
        return asked | {word for word, value in also.items() if value is not None}

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("reader"),)) if self.words or self.safe is not None else Needs()

    def tails(self) -> tuple[str, ...]:
        return (f"{self._tail}.html",)

    @property
    def _tail(self) -> str:
        return f"_{self.name}.report" if self.name else ".report"

    def make(self, plate: Plate, bench: Bench) -> Sequence[Deliverable]:
        """The report. Raises Problem with every fault of every file."""
        chosen = self._chosen(bench)
        seen = []
        for number, file in enumerate(chosen):
            name = bench.stem + file.tail
            bench.progress(number / len(chosen), f"reading {name}")
            seen.append(self._seen(file, name, bench))
        result = worst([checked for file in seen for checked in file.checks])
        tails = [file.tail for file in chosen]  # what stands before them has a version, which is given when they are put down
        faults = told(seen, "fail")
        remarks = told([replace(file, name=f"…{tail}") for file, tail in zip(seen, tails, strict=True)], "warn")
        bench.record(result=result, remarks=remarks, files={tail: _plain(file.checks) for file, tail in zip(seen, tails, strict=True)})
        if faults:
            raise Problem(
                f"What was to be delivered is not as it was asked for: {'; '.join(faults)}.",
                "Change the step that makes it, or what check asks; what is to be a remark only is named in warn.",
            )
        data = page(bench.stem + (f" ({self.name})" if self.name else ""), seen).encode()
        return [Deliverable(self._tail, ".html", data, {"format": "html", "bytes": len(data), "result": result, "remarks": list(remarks)})]

    def _chosen(self, bench: Bench) -> list[Exported]:
        """The exported pictures it was asked to look at; proofs of a print are none of the files that count."""
        made = [file for file in bench.exported() if "width" in file.facts and "proof_of" not in file.facts]
        if not made:
            raise Problem("There is no file to check.", "Put an export before the check.")
        names = [str(file.facts.get("name") or "") for file in made]
        for name in self.files:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
                hint = f"; the nearest is “{near[0]}”" if near else ""
                there = ", ".join(f"“{known}”" for known in names)
                raise Problem(f"No export before it is called “{name}”{hint}.", f"There are {there}.")
        return [file for file, name in zip(made, names, strict=True) if not self.files or name in self.files]

    def _seen(self, file: Exported, name: str, bench: Bench) -> FileSeen:
        label = str(file.facts.get("name") or "") or str(file.facts.get("format", "file")).upper()
        ending = "File", f"its name ends in {file.tail}"
        try:
            back = reread(file.path, name, file.facts)
        except Problem as problem:
            return FileSeen(
                name, label, (ending,), [Checked("file", "one that can be read", f"damaged ({problem.sentence.rstrip('.')})", False)]
            )
        checks = [*self._of_file(back), *self._of_print(back), *self._of_picture(back), *self._of_text(back, bench)]
        return FileSeen(name, label, (ending, *back.lines()), checks, thumbnail(back.plate))

    def _checked(self, word: Word, asked: str, found: str, good: bool) -> Checked:
        return Checked(word, asked, found, good, word in self.warn)

    def _of_file(self, back: Reread) -> Iterator[Checked]:
        facts, (width, height) = back.facts, back.pixels
        found = f"{width} x {height} px"
        yield _as_said(back)
        if self.size is not None:
            yield self._checked("size", f"{self.size[0]} x {self.size[1]} px", found, back.pixels == self.size)
        if self.min_size is not None:
            least = self.min_size
            yield self._checked("size", f"at least {least[0]} x {least[1]} px", found, width >= least[0] and height >= least[1])
        if self.format is not None:
            yield self._checked("format", self.format, facts.format, facts.format == self.format)
        if self.depth is not None:
            yield self._checked("depth", f"{self.depth} bits", f"{facts.depth} bits", facts.depth == self.depth)
        if self.profile is not None:
            bare = "none" if facts.channels == 4 else "none, which means sRGB"
            good = (facts.channels != 4 or facts.icc is not None) and same_profile(self.profile, facts.icc)
            yield self._checked("profile", self.profile, facts.icc or bare, good)
        if self.max_kb is not None:
            yield self._checked("bytes", f"at most {self.max_kb:,g} kB", kilo(back.size), back.size <= self.max_kb * KILO)

    def _of_print(self, back: Reread) -> Iterator[Checked]:
        if self.ppi is not None:
            has, where = self._resolution(back)
            found = "unknown (nothing says how large it is printed)" if has is None else f"{has:.0f}{where}"
            yield self._checked("ppi", f"at least {self.ppi:g}", found, has is not None and has >= self.ppi * (1 - _ROUNDING))
        if self.bleed is not None:
            yield self._checked("bleed", f"at least {self.bleed:g} mm", f"{back.bleed:g} mm", back.bleed >= self.bleed - _MM_ROUNDING)
        if self.coverage is not None:
            has = back.coverage
            found = "no inks" if has is None else f"{has:.1f} %"
            yield self._checked("coverage", f"at most {self.coverage:g} %", found, has is not None and has <= self.coverage + _INK_ROUNDING)

    def _resolution(self, back: Reread) -> tuple[float | None, str]:
        """Pixels per inch, and at what size."""
        sheet = self.print or back.trim
        if sheet is not None:
            width, height = (side + 2 * back.bleed for side in sheet)
            return ppi_at(back.pixels, (width, height)), f" at {sheet[0]:g} x {sheet[1]:g} mm"
        return (None if back.facts.ppi is None else min(back.facts.ppi)), ""

    def _of_picture(self, back: Reread) -> Iterator[Checked]:
        if self.alpha is not None:
            alpha = back.plate.alpha
            cut = alpha is not None and float(alpha.min()) < 1
            found = "none" if alpha is None else "with transparent parts" if cut else "with nothing transparent"
            yield self._checked(
                "alpha", "none" if self.alpha == "none" else "transparent parts", found, alpha is None if self.alpha == "none" else cut
            )
        if self.max_clipped is None and self.max_black is None:
            return
        highlights, _, black = clipping(back.plate)
        limits: list[tuple[Word, float | None, float]] = [("clipping", self.max_clipped, max(highlights)), ("black", self.max_black, black)]
        for word, limit, has in limits:
            if limit is not None:
                yield self._checked(word, f"at most {limit:g} %", f"{has:.2f} %", has <= limit)

    def _of_text(self, back: Reread, bench: Bench) -> Iterator[Checked]:
        if not self.words and self.safe is None:
            return
        shown = codec.flattened(colour.converted(back.plate, "srgb"))
        readings = [bench.read(shown)]
        places: list[TextLine] = []
        for word in self.words:
            checked, lines = self._legible("words", word, readings, "at full size")
            if not checked.good and len(readings) == 1 and max(back.pixels) > _FURTHER:
                readings.append(_read_further(shown, bench))
                checked, lines = self._legible("words", word, readings, "at full size")
            places += lines
            yield checked
        if self.words and self.thumbnail:
            small = [bench.read(shrunk(shown, self.thumbnail))]
            for word in self.words:
                yield self._legible("thumbnail", word, small, f"at {self.thumbnail} px")[0]
        if self.safe is not None:
            yield self._safe(back, places if self.words else readings[0], self.safe)

    def _legible(self, check: Word, word: str, readings: Sequence[Sequence[TextLine]], where: str) -> tuple[Checked, list[TextLine]]:
        """What was read for that word in the best of the readings, and the lines it stands in where it is legible."""
        matches = [(nearest(word, [line.text for line in lines]), lines) for lines in readings]
        match, lines = min(matches, key=lambda one: one[0].distance)
        good = match.distance <= allowed(word, self.distance)
        found = [lines[place] for place in match.lines]
        read = "“" + " ".join(line.text for line in found) + "”" if found else "nothing like it"
        return self._checked(check, f"“{word}” {where}", read, good), found if good else []

    def _safe(self, back: Reread, lines: Sequence[TextLine], margin: float) -> Checked:
        out = [f"“{line.text}”" for line in lines if reaches_out(line.corners, back.pixels, back.edge, margin)]
        found = f"{', '.join(out)} beyond" if out else f"{len(lines)} line{'s' * (len(lines) != 1)} within"
        return self._checked("safe", f"text at least {margin:g} % from every edge", found, not out)


def _read_further(shown: Plate, bench: Bench) -> list[TextLine]:
    """The text as it is read from further away, in px of the picture itself: letters that fill a picture are read better so."""
    small = shrunk(shown, _FURTHER)
    scale = np.array([shown.width / small.width, shown.height / small.height], np.float32)
    return [replace(line, corners=line.corners * scale) for line in bench.read(small)]


def _as_said(back: Reread) -> Checked:
    """What the step that made the file says of it holds of what lies on the disk."""
    other = back.otherwise()
    return Checked("file", "what was written", f"another ({', '.join(other)})" if other else "complete", not other)


def _plain(checks: Sequence[Checked]) -> list[Finding]:
    return [{"check": one.check, "asked": one.asked, "found": one.found, "result": one.result} for one in checks]
