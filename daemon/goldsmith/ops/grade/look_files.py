"""Looks as files: .cube tables and ASC CDL corrections (.cdl, .cc), read within limits from whoever can write to a share.

What is read here is plain numbers; ``tone`` runs them. Nothing is handed to another library by path, so that a look that
was saved over is never served from a cache, and a file of a gigabyte is refused before a byte of it is read.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError

MAX_CUBE_BYTES = 64 << 20
MAX_GRID_SIZE = 129
MAX_CURVE_SIZE = 65536
_MAX_XML_BYTES = 1 << 20
_MAX_HEADER_LINES = 1000
_MAX_VALUE = 1e6

RgbTriple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Cdl:
    """An ASC CDL correction (v1.2): out = clamp(in * slope + offset) ** power, then saturation round Rec.709 luma."""

    slope: RgbTriple = (1.0, 1.0, 1.0)
    offset: RgbTriple = (0.0, 0.0, 0.0)
    power: RgbTriple = (1.0, 1.0, 1.0)
    saturation: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class LutTable:
    """One table of a .cube file and the input values its first and last entries stand for.

    values: float32 (n, 3) for a curve of each channel, or (n, n, n, 3) indexed blue, green, red.
    """

    values: NDArray[np.float32]
    domain_min: RgbTriple = (0.0, 0.0, 0.0)
    domain_max: RgbTriple = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class CubeLut:
    """The tables of a .cube file in the order they are run: curves, then the three-dimensional one."""

    tables: tuple[LutTable, ...]


def read_look(path: Path) -> CubeLut | Cdl:
    """What the file says, by its suffix: ``.cube``, ``.cdl`` or ``.cc``. Raises InputError with the file's name and the line."""
    is_cube = path.suffix.lower() == ".cube"
    most = MAX_CUBE_BYTES if is_cube else _MAX_XML_BYTES
    with path.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        data = opened.read(most + 1) if size <= most else b""
    if size > most or len(data) > most:
        raise InputError(f"{path.name} has {size / 2**20:.0f} MiB; a look of this kind has at most {most >> 20} MiB.", "Export it smaller.")
    return parse_cube(data, path.name) if is_cube else parse_cdl(data, path.name)


def parse_cube(data: bytes, name: str) -> CubeLut:
    """Read a .cube file (Adobe "Cube LUT Specification 1.0", and Resolve's form with curves before the table).

    Raises InputError with the line where the file is no such thing, has other counts than it says, or holds NaN or infinity.
    """
    lines = data.decode("utf-8-sig", "replace").splitlines()
    header, first = _header(lines, name)
    steps, grid = _read_size(header, "LUT_1D_SIZE", MAX_CURVE_SIZE, name), _read_size(header, "LUT_3D_SIZE", MAX_GRID_SIZE, name)
    if not steps and not grid:
        raise InputError(f"{name} names neither LUT_3D_SIZE nor LUT_1D_SIZE.", "Export the look again as a .cube file.")
    values = _read_values(lines, first, steps + grid**3, name)
    tables = []
    if steps:
        tables.append(LutTable(values[:steps], *_read_domain(header, "LUT_1D_INPUT_RANGE", name)))
    if grid:
        tables.append(LutTable(values[steps:].reshape(grid, grid, grid, 3), *_read_domain(header, "LUT_3D_INPUT_RANGE", name)))
    return CubeLut(tuple(tables))


def format_cube(lut: CubeLut, title: str) -> bytes:
    """The one table of ``cube`` as a .cube file (Adobe "Cube LUT Specification 1.0"): red runs fastest, seven decimals."""
    (table,) = lut.tables
    size = len(table.values)
    said = "".join(letter for letter in title if letter.isprintable() and letter != '"')
    rows = [f"{red:.7f} {green:.7f} {blue:.7f}" for red, green, blue in table.values.reshape(-1, 3).tolist()]
    return "\n".join([f'TITLE "{said}"', f"LUT_3D_SIZE {size}", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1", *rows, ""]).encode()


_VALUE_COUNTS = {"LUT_1D_SIZE": 1, "LUT_3D_SIZE": 1, "LUT_1D_INPUT_RANGE": 2, "LUT_3D_INPUT_RANGE": 2, "DOMAIN_MIN": 3, "DOMAIN_MAX": 3}


def _header(lines: list[str], name: str) -> tuple[dict[str, tuple[int, tuple[float, ...]]], int]:
    """The keywords with their line numbers (from 1) and values, and the index of the first line of the tables."""
    found: dict[str, tuple[int, tuple[float, ...]]] = {}
    for index, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            if index >= _MAX_HEADER_LINES:
                break
            continue
        if not words[0][0].isalpha() or words[0].lower() in ("nan", "inf", "infinity"):
            return found, index
        if words[0] not in _VALUE_COUNTS:
            raise InputError(f"{name}, line {index + 1}: “{_printable(words[0])}” is no keyword of a .cube file.", "Export the look again.")
        found[words[0]] = (index + 1, _parse_numbers(words[1:], _VALUE_COUNTS[words[0]], f"{name}, line {index + 1}"))
    return found, len(lines)


def _parse_numbers(words: list[str], count: int, location: str) -> tuple[float, ...]:
    try:
        made = tuple(float(word) for word in words)
    except ValueError:
        made = ()
    if len(made) != count or not np.isfinite(made).all() or max(map(abs, made)) > _MAX_VALUE:
        said = _printable(" ".join(words))
        raise InputError(f"{location}: “{said}” is not {count} plain number{'s' * (count > 1)}.", "Export the look again.")
    return made


def _printable(text: str) -> str:
    """As much of a stranger's text as fits into a sentence, without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60])


def _read_size(header: dict[str, tuple[int, tuple[float, ...]]], keyword: str, max_size: int, name: str) -> int:
    if keyword not in header:
        return 0
    line, (size,) = header[keyword]
    if not 2 <= size <= max_size or size != int(size):
        raise InputError(f"{name}, line {line}: {keyword} is {size:g}; it can be 2 to {max_size}.", "Export the look with a smaller table.")
    return int(size)


def _read_domain(header: dict[str, tuple[int, tuple[float, ...]]], keyword: str, name: str) -> tuple[RgbTriple, RgbTriple]:
    """The input values of the first and last entry, from Resolve's ``word`` or else from DOMAIN_MIN and DOMAIN_MAX."""
    low, high = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if keyword in header:
        start, end = header[keyword][1]
        low, high = (start,) * 3, (end,) * 3
    else:
        low = _to_rgb_triple(header["DOMAIN_MIN"][1]) if "DOMAIN_MIN" in header else low
        high = _to_rgb_triple(header["DOMAIN_MAX"][1]) if "DOMAIN_MAX" in header else high
    if any(end - start < 1e-6 for start, end in zip(low, high, strict=True)):
        raise InputError(f"{name}: its input range from {low} to {high} is empty.", "Export the look again.")
    return low, high


def _read_values(lines: list[str], first: int, count: int, name: str) -> NDArray[np.float32]:
    """(count, 3) float32 from the lines after the header."""
    try:
        made = (
            np.loadtxt(io.StringIO("\n".join(lines[first:])), np.float64, comments="#", ndmin=2) if first < len(lines) else np.empty((0, 3))
        )
    except ValueError:
        made = np.full((1, 1), np.nan)
    if made.size and (made.shape[1] != 3 or not np.isfinite(made).all() or np.abs(made).max() > _MAX_VALUE):
        _refuse_first_bad_line(lines, first, name)
    if len(made) != count:
        raise InputError(
            f"{name} has {len(made)} lines of values where its size asks for {count}.", "The file is cut off or damaged: export it again."
        )
    return made.astype(np.float32)


def _refuse_first_bad_line(lines: list[str], first: int, name: str) -> None:
    for index in range(first, len(lines)):
        words = lines[index].split("#")[0].split()
        if words:
            _parse_numbers(words, 3, f"{name}, line {index + 1}")


def parse_cdl(data: bytes, name: str) -> Cdl:
    """Read the first correction of an ASC CDL file (.cdl, .cc: XML). Raises InputError where it is no such thing."""
    reader = _CdlReader(name)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as fault:
        raise InputError(f"{name}, line {fault.lineno}: this is not well-formed XML.", "Export the correction again.") from None
    return reader.to_cdl()


class _CdlReader:
    """Collects Slope, Offset, Power and Saturation of the first ColorCorrection; anything that could expand is refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._word, self._text, self._seen, self._depth, self._corrections = "", "", dict[str, tuple[float, ...]](), 0, 0
        self.parser = expat.ParserCreate(namespace_separator="|")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, reason: str) -> None:
        raise InputError(f"{self._name}, line {self.parser.CurrentLineNumber}: {reason}", "Export the correction again.")

    def _doctype(self, *_: object) -> None:
        self._refuse("a correction has no document type and no entities.")

    def _start(self, tag: str, _attributes: object) -> None:
        self._word, self._text, self._depth = tag.rpartition("|")[2], "", self._depth + 1
        self._corrections += self._word == "ColorCorrection"
        if self._depth > 32:
            self._refuse("it is nested too deep for a correction.")

    def _characters(self, text: str) -> None:
        self._text += text if self._word in ("Slope", "Offset", "Power", "Saturation") else ""

    def _end(self, tag: str) -> None:
        self._depth -= 1
        word = tag.rpartition("|")[2]
        if self._corrections <= 1 and word == self._word and word in ("Slope", "Offset", "Power", "Saturation"):
            place = f"{self._name}, line {self.parser.CurrentLineNumber}, {word}"
            self._seen[word] = _parse_numbers(self._text.split(), 1 if word == "Saturation" else 3, place)
        self._word = ""

    def to_cdl(self) -> Cdl:
        seen = self._seen
        if not seen:
            raise InputError(f"{self._name} holds no ASC CDL correction (no Slope, Offset, Power or Saturation).", "Export it again.")
        made = Cdl(
            _to_rgb_triple(seen.get("Slope", (1.0,) * 3)),
            _to_rgb_triple(seen.get("Offset", (0.0,) * 3)),
            _to_rgb_triple(seen.get("Power", (1.0,) * 3)),
            seen.get("Saturation", (1.0,))[0],
        )
        if min(made.slope) < 0 or min(made.power) <= 0 or made.saturation < 0:
            raise InputError(f"{self._name}: slope and saturation must not be negative, power must be above 0.", "Export it again.")
        return made


def _to_rgb_triple(values: tuple[float, ...]) -> RgbTriple:
    red, green, blue = values
    return red, green, blue
