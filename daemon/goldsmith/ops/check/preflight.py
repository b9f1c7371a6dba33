"""Preflight results: one check for each requirement of a file, and whether a word was read correctly."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import profiles
from goldsmith.picture.print.page_boxes import MM_PER_INCH
from goldsmith.picture.subject_crop import PixelBox, count_cut_faces

CheckResult = Literal["pass", "warn", "fail"]
# Characters that readers confuse; they are folded both in the word and in the text read.
_LOOKALIKES = str.maketrans("015i8", "olslb")
_LETTERS_PER_MISREAD = 5
_BOX_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One requirement of a file and the result of its check.

    ``kind``: the check's word, such as "size". ``expected`` and ``actual``: as text for people. ``is_warning_only``: a violation is only a
    remark.
    """

    kind: str
    expected: str
    actual: str
    is_met: bool
    is_warning_only: bool = False

    @property
    def result(self) -> CheckResult:
        """ "pass", "warn" or "fail"."""
        return "pass" if self.is_met else "warn" if self.is_warning_only else "fail"

    def __str__(self) -> str:
        return f"{self.kind} {self.actual} instead of {self.expected}"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file after it was read back.

    ``label``: its name in the report. ``properties``: (name, value) pairs. ``thumbnail``: a JPEG, empty if the file has no picture.
    """

    name: str
    label: str
    properties: Sequence[tuple[str, str]]
    checks: Sequence[PreflightCheck]
    thumbnail: bytes = field(default=b"", repr=False)


def describe_checks(files: Sequence[CheckedFile], result: CheckResult) -> list[str]:
    """Return a clause for each file with checks of that result: its name and the checks."""
    by_file = {file.name: [str(check) for check in file.checks if check.result == result] for file in files}
    return [f"{name}: {', '.join(checks)}" for name, checks in by_file.items() if checks]


def worst_result(checks: Sequence[PreflightCheck]) -> CheckResult:
    """Return the worst result of the checks; "pass" if there are none."""
    results = {check.result for check in checks}
    return "fail" if "fail" in results else "warn" if "warn" in results else "pass"


def ppi_at(size: tuple[int, int], print_size_mm: tuple[float, float]) -> float:
    """Return the pixels per inch of a picture of ``size`` px that covers a sheet of that many mm; the coarser direction counts."""
    return min(pixels / (length / MM_PER_INCH) for pixels, length in zip(size, print_size_mm, strict=True))


def is_same_profile(expected: str, actual: str | None) -> bool:
    """Return whether a file's profile is the expected one.

    ``expected``: the word for a built-in profile, or a profile's own name. ``actual``: the file's profile, None for sRGB.
    """
    if expected.lower() in profiles.PROFILE_NAMES:
        expected = profiles.profile_name(profiles.builtin_profile(expected.lower()))
    names = [name.casefold().strip() for name in (expected, actual or "srgb")]
    return names[0] == names[1] or all(name.startswith("srgb") for name in names)


def reaches_into_margin(corners: NDArray[np.float32], size: tuple[int, int], bleed_px: float, margin_percent: float) -> bool:
    """Return whether a line of text reaches into the margin of a picture of ``size`` (width, height) px.

    ``corners``: (4, 2) px. ``bleed_px``: px of bleed on every side. ``margin_percent``: per cent of each side without bleed. A quarter of
    the line's height is tolerated, because readers draw their boxes wider than the ink.
    """
    left, top = (float(value) for value in corners.min(axis=0))
    right, bottom = (float(value) for value in corners.max(axis=0))
    across, down = (bleed_px + margin_percent / 100 * (side - 2 * bleed_px) for side in size)
    distance = min(left - across, size[0] - across - right, top - down, size[1] - down - bottom)
    return distance < -_BOX_TOLERANCE * min(right - left, bottom - top)


def count_faces_at_edge(faces: Sequence[PixelBox], size: tuple[int, int], bleed_px: float) -> int:
    """Return how many faces, boxes in px, reach over the edge of a picture of ``size`` (width, height) px, or over its trim."""
    visible = (bleed_px, bleed_px, size[0] - 2 * bleed_px, size[1] - 2 * bleed_px)
    return count_cut_faces(faces, visible)


class TextMatch(NamedTuple):
    """Where a word was read: the number of misread letters, and the indices of its lines."""

    distance: int
    lines: tuple[int, ...]


def fold_text(text: str) -> str:
    """Return letters and digits without case; those that are easily confused become the same."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in plain if letter.isalnum()).translate(_LOOKALIKES)


def allowed_misreads(word: str, max_distance: int) -> int:
    """Return how many letters of ``word`` may be misread: one in five, and at most ``max_distance``."""
    return min(max_distance, len(fold_text(word)) // _LETTERS_PER_MISREAD)


def find_nearest_text(word: str, lines: Sequence[str]) -> TextMatch:
    """Return where ``word`` is read best: in a line, within a longer word, or across two lines.

    The distance is the fewest letters to insert, delete or change (Sellers, "The theory and computation of evolutionary distances", 1980);
    the first such place counts.
    """
    target, texts = fold_text(word), [fold_text(line) for line in lines]
    joined = "".join(texts)
    owner = [number for number, text in enumerate(texts) for _ in text]
    column = [(row, 0) for row in range(len(target) + 1)]
    best = (len(target), 0, 0)
    for end, letter in enumerate(joined, 1):
        previous, column = column, [(0, end)]
        for row, target_letter in enumerate(target, 1):
            changed, deleted, inserted = previous[row - 1], previous[row], column[-1]
            options = ((changed[0] + (letter != target_letter), changed[1]), (deleted[0] + 1, deleted[1]), (inserted[0] + 1, inserted[1]))
            column.append(min(options))
        distance, start = column[-1]
        if distance < best[0]:
            best = (distance, start, end)
    return TextMatch(best[0], tuple(dict.fromkeys(owner[best[1] : best[2]])))
