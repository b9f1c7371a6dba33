"""What preflight finds: one finding for each thing asked of a file, and whether words that were read are the words that were asked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import profiles

CheckResult = Literal["pass", "warn", "fail"]
_MM_PER_INCH = 25.4
# What readers take for one another; folded in what was asked for and in what was read.
_LOOKALIKES = str.maketrans("015i8", "olslb")
_LETTERS_PER_MISREAD = 5
_BOX_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One thing that was asked of a file.

    check: its word, e.g. "size"; asked, found: as a person reads them; warns: where it is not as asked, that is only a remark.
    """

    kind: str
    expected: str
    found: str
    is_met: bool
    is_warning_only: bool = False

    @property
    def result(self) -> CheckResult:
        return "pass" if self.is_met else "warn" if self.is_warning_only else "fail"

    def __str__(self) -> str:
        return f"{self.kind} {self.found} instead of {self.expected}"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file as it was read back.

    label: what it goes by in a report; told: (what, value) of it; thumbnail: a JPEG, empty where there is none.
    """

    name: str
    label: str
    properties: Sequence[tuple[str, str]]
    checks: Sequence[PreflightCheck]
    thumbnail: bytes = field(default=b"", repr=False)


def describe_checks(files: Sequence[CheckedFile], result: CheckResult) -> list[str]:
    """A clause for each file that has something of that result: its name, and all of it."""
    found = {file.name: [str(one) for one in file.checks if one.result == result] for file in files}
    return [f"{name}: {', '.join(said)}" for name, said in found.items() if said]


def worst_result(checks: Sequence[PreflightCheck]) -> CheckResult:
    """The result of them all; "pass" where there are none."""
    found = {one.result for one in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "pass"


def ppi_at(size: tuple[int, int], print_size_mm: tuple[float, float]) -> float:
    """Pixels per inch of a picture of ``size`` px that covers a sheet of that many mm: of the direction that has fewer."""
    return min(pixels / (length / _MM_PER_INCH) for pixels, length in zip(size, print_size_mm, strict=True))


def is_same_profile(expected: str, found: str | None) -> bool:
    """True where a file's profile (its own name; None = none, which means sRGB) is the one asked for: a word of the house or its name."""
    if expected.lower() in profiles.PROFILE_NAMES:
        expected = profiles.profile_name(profiles.builtin_profile(expected.lower()))
    names = [name.casefold().strip() for name in (expected, found or "srgb")]
    return names[0] == names[1] or all(name.startswith("srgb") for name in names)


def reaches_into_margin(corners: NDArray[np.float32], size: tuple[int, int], bleed_px: float, margin_percent: float) -> bool:
    """True where a line of text reaches into the margin of a picture of ``size`` (width, height).

    corners: (4, 2) px; edge: px of bleed on every side; margin: per cent of each side of what is left. A quarter of the line's height
    is let go, for readers draw their boxes wider than the ink.
    """
    left, top = (float(value) for value in corners.min(axis=0))
    right, bottom = (float(value) for value in corners.max(axis=0))
    across, down = (bleed_px + margin_percent / 100 * (side - 2 * bleed_px) for side in size)
    room = min(left - across, size[0] - across - right, top - down, size[1] - down - bottom)
    return room < -_BOX_TOLERANCE * min(right - left, bottom - top)


class TextMatch(NamedTuple):
    """Where a word was read: how many letters were read otherwise, and the lines it stands in, by their numbers."""

    distance: int
    lines: tuple[int, ...]


def fold_text(text: str) -> str:
    """Letters and digits alone, without case, with those that are easily misread as one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in plain if letter.isalnum()).translate(_LOOKALIKES)


def allowed_misreads(word: str, max_distance: int) -> int:
    """How many letters of ``word`` may be read otherwise: one in five, and no more than ``distance``."""
    return min(max_distance, len(fold_text(word)) // _LETTERS_PER_MISREAD)


def find_nearest_text(word: str, lines: Sequence[str]) -> TextMatch:
    """Where ``word`` is read best: in a line, within a longer word, or over the end of a line.

    The fewest letters that would have to be put in, left out or changed (Sellers, "The theory and computation of evolutionary
    distances", 1980); the first such place.
    """
    wanted, texts = fold_text(word), [fold_text(line) for line in lines]
    whole = "".join(texts)
    owner = [number for number, text in enumerate(texts) for _ in text]
    column = [(row, 0) for row in range(len(wanted) + 1)]
    best = (len(wanted), 0, 0)
    for end, letter in enumerate(whole, 1):
        before, column = column, [(0, end)]
        for row, sought in enumerate(wanted, 1):
            changed, left_out, put_in = before[row - 1], before[row], column[-1]
            ways = ((changed[0] + (letter != sought), changed[1]), (left_out[0] + 1, left_out[1]), (put_in[0] + 1, put_in[1]))
            column.append(min(ways))
        distance, start = column[-1]
        if distance < best[0]:
            best = (distance, start, end)
    return TextMatch(best[0], tuple(dict.fromkeys(owner[best[1] : best[2]])))
