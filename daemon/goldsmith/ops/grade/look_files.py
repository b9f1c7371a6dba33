"""Look files: .cube tables and ASC CDL corrections (.cdl, .cc), read within limits, because anyone may write to a share.

Files are read into plain numbers, and ``grading_changes`` applies them. No path is passed to another library: a look that was saved over
is never served from a cache, and a file that is too large is refused before it is read.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.slab_processing import PixelChange

MAX_CUBE_BYTES = 64 << 20
MAX_GRID_SIZE = 129
# Steps a side of the tables that are written.
CUBE_SIZE = 33
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
    """One table of a .cube file, and the input values of its first and last entries.

    ``values``: float32 (n, 3) for a curve per channel, or (n, n, n, 3) indexed blue, green, red.
    """

    values: NDArray[np.float32]
    domain_min: RgbTriple = (0.0, 0.0, 0.0)
    domain_max: RgbTriple = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class CubeLut:
    """The tables of a .cube file in the order in which they apply: curves, then the three-dimensional table."""

    tables: tuple[LutTable, ...]


def read_look(path: Path) -> CubeLut | Cdl:
    """Return the look in a ``.cube``, ``.cdl`` or ``.cc`` file. Raises InputError with the file's name and the line if it is not valid."""
    name, is_cube = path.name, path.suffix.lower() == ".cube"
    max_bytes = MAX_CUBE_BYTES if is_cube else _MAX_XML_BYTES
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise InputError(
                f"{name} has {size / 2**20:,.0f} MiB; a look of this kind has at most {max_bytes >> 20} MiB.",
                "Export a smaller table.",
            )
        data = file.read(size)
    return parse_cube(data, name) if is_cube else parse_cdl(data, name)


@lru_cache(maxsize=2)  # by the bytes themselves: the pictures of a campaign have one look, and a look that was saved over is another
def parse_cube(data: bytes, name: str) -> CubeLut:
    """Return the tables of a .cube file (Adobe "Cube LUT Specification 1.0", and Resolve's form with curves before the table).

    Raises InputError with the line if the file is not a .cube file, has a wrong number of entries, or holds NaN or infinity.
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


def sample_cube(change: PixelChange) -> CubeLut:
    """Return a change of single pixels as a table with CUBE_SIZE steps a side, from and to display values 0..1: (n, n, n, 3)."""
    steps = np.linspace(0.0, 1.0, CUBE_SIZE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    values = change(np.stack([red, green, blue], axis=-1).reshape(CUBE_SIZE, CUBE_SIZE * CUBE_SIZE, 3))
    return CubeLut((LutTable(np.ascontiguousarray(values.reshape(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE, 3))),))


def format_cube(lut: CubeLut, title: str) -> bytes:
    """Return a .cube file with the one table of ``lut`` (Adobe "Cube LUT Specification 1.0"): red varies fastest, seven decimals."""
    (table,) = lut.tables
    size = len(table.values)
    printable_title = "".join(letter for letter in title if letter.isprintable() and letter != '"')
    rows = [f"{red:.7f} {green:.7f} {blue:.7f}" for red, green, blue in table.values.reshape(-1, 3).tolist()]
    return "\n".join([f'TITLE "{printable_title}"', f"LUT_3D_SIZE {size}", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1", *rows, ""]).encode()


_VALUE_COUNTS = {"LUT_1D_SIZE": 1, "LUT_3D_SIZE": 1, "LUT_1D_INPUT_RANGE": 2, "LUT_3D_INPUT_RANGE": 2, "DOMAIN_MIN": 3, "DOMAIN_MAX": 3}


def _header(lines: list[str], name: str) -> tuple[dict[str, tuple[int, tuple[float, ...]]], int]:
    """Return the keywords with their line numbers (from 1) and values, and the index of the first line of the tables."""
    header: dict[str, tuple[int, tuple[float, ...]]] = {}
    for index, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            if index >= _MAX_HEADER_LINES:
                break
            continue
        if not words[0][0].isalpha() or words[0].lower() in ("nan", "inf", "infinity"):
            return header, index
        if words[0] not in _VALUE_COUNTS:
            raise InputError(
                f"{name}, line {index + 1}: “{_printable(words[0])}” is not a keyword of a .cube file.", "Export the look again."
            )
        header[words[0]] = (index + 1, _parse_numbers(words[1:], _VALUE_COUNTS[words[0]], f"{name}, line {index + 1}"))
    return header, len(lines)


def _parse_numbers(words: list[str], count: int, location: str) -> tuple[float, ...]:
    """Return the words as numbers. Raises InputError unless there are ``count`` finite ones."""
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all() or max(map(abs, numbers)) > _MAX_VALUE:
        text = _printable(" ".join(words))
        raise InputError(f"{location}: “{text}” is not {count} plain number{'s' * (count > 1)}.", "Export the look again.")
    return numbers


def _printable(text: str) -> str:
    """Return the first 60 characters of untrusted text, with "?" for characters that are not printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60])


def _read_size(header: dict[str, tuple[int, tuple[float, ...]]], keyword: str, max_size: int, name: str) -> int:
    """Return the size under a keyword, 0 if the keyword is missing. Raises InputError if the size is out of range."""
    if keyword not in header:
        return 0
    line, (size,) = header[keyword]
    if not 2 <= size <= max_size or size != int(size):
        raise InputError(
            f"{name}, line {line}: {keyword} is {size:g}; it can be 2 to {max_size}.", "Export the look with a table of an allowed size."
        )
    return int(size)


def _read_domain(header: dict[str, tuple[int, tuple[float, ...]]], keyword: str, name: str) -> tuple[RgbTriple, RgbTriple]:
    """Return the input values of the first and last entry, from Resolve's ``keyword`` or else from DOMAIN_MIN and DOMAIN_MAX."""
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
    """Return the lines after the header as float32 (count, 3). Raises InputError if one is not three numbers or the count is wrong."""
    try:
        values = (
            np.loadtxt(io.StringIO("\n".join(lines[first:])), np.float64, comments="#", ndmin=2) if first < len(lines) else np.empty((0, 3))
        )
    except ValueError:
        values = np.full((1, 1), np.nan)
    if values.size and (values.shape[1] != 3 or not np.isfinite(values).all() or np.abs(values).max() > _MAX_VALUE):
        _refuse_first_bad_line(lines, first, name)
    if len(values) != count:
        raise InputError(
            f"{name} has {len(values)} lines of values; its size requires {count}.", "The file is cut off or damaged: export it again."
        )
    result = values.astype(np.float32)
    result.flags.writeable = False  # tables are cached
    return result


def _refuse_first_bad_line(lines: list[str], first: int, name: str) -> None:
    """Raise InputError for the first line that is not three numbers."""
    for index in range(first, len(lines)):
        words = lines[index].split("#")[0].split()
        if words:
            _parse_numbers(words, 3, f"{name}, line {index + 1}")


def parse_cdl(data: bytes, name: str) -> Cdl:
    """Return the first correction of an ASC CDL file (.cdl, .cc: XML). Raises InputError if the file holds none."""
    reader = _CdlReader(name)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(f"{name}, line {error.lineno}: this is not well-formed XML.", "Export the correction again.") from None
    return reader.to_cdl()


class _CdlReader:
    """Collects Slope, Offset, Power and Saturation of the first ColorCorrection; document types and entities are refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._word, self._text, self._values, self._depth, self._corrections = "", "", dict[str, tuple[float, ...]](), 0, 0
        self.parser = expat.ParserCreate(namespace_separator="|")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, reason: str) -> None:
        raise InputError(f"{self._name}, line {self.parser.CurrentLineNumber}: {reason}", "Export the correction again.")

    def _doctype(self, *_: object) -> None:
        self._refuse("a correction must not have a document type or entities.")

    def _start(self, tag: str, _attributes: object) -> None:
        self._word, self._text, self._depth = tag.rpartition("|")[2], "", self._depth + 1
        self._corrections += self._word == "ColorCorrection"
        if self._depth > 32:
            self._refuse("the elements are nested too deep for a correction.")

    def _characters(self, text: str) -> None:
        self._text += text if self._word in ("Slope", "Offset", "Power", "Saturation") else ""

    def _end(self, tag: str) -> None:
        self._depth -= 1
        word = tag.rpartition("|")[2]
        if self._corrections <= 1 and word == self._word and word in ("Slope", "Offset", "Power", "Saturation"):
            location = f"{self._name}, line {self.parser.CurrentLineNumber}, {word}"
            self._values[word] = _parse_numbers(self._text.split(), 1 if word == "Saturation" else 3, location)
        self._word = ""

    def to_cdl(self) -> Cdl:
        """Return the correction. Raises InputError if the file held none, or if its values are out of range."""
        values = self._values
        if not values:
            raise InputError(
                f"{self._name} holds no ASC CDL correction (no Slope, Offset, Power or Saturation).", "Export the correction again."
            )
        cdl = Cdl(
            _to_rgb_triple(values.get("Slope", (1.0,) * 3)),
            _to_rgb_triple(values.get("Offset", (0.0,) * 3)),
            _to_rgb_triple(values.get("Power", (1.0,) * 3)),
            values.get("Saturation", (1.0,))[0],
        )
        if min(cdl.slope) < 0 or min(cdl.power) <= 0 or cdl.saturation < 0:
            raise InputError(
                f"{self._name}: slope and saturation must not be negative, power must be above 0.", "Export the correction again."
            )
        return cdl


def _to_rgb_triple(values: tuple[float, ...]) -> RgbTriple:
    """Return three values as a triple."""
    red, green, blue = values
    return red, green, blue
