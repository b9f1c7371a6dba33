"""Reads TOML into plain values, in bounded time and memory.

The input is not trusted: anybody who may write to a share can write it. All problems are reported at once, each with its location and
in plain words.
"""

from __future__ import annotations

import difflib
import math
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from goldsmith.brief.other_files import START_BYTES, describe_bytes
from goldsmith.brief.syntax_messages import syntax_message
from goldsmith.errors import InputError, UsageError

# The largest brief, recipe or configuration file that is read.
MAX_FILE_BYTES = 256 * 1024
# The deepest nesting of values.
MAX_DEPTH = 16
# The most values in a file.
MAX_VALUES = 5000
# The longest string, in characters.
MAX_STRING_LENGTH = 4000
# The most problems that are listed; the others are counted.
MAX_PROBLEMS_SHOWN = 20

_NO_TEXT_REMEDY = "Remove it, or write the brief into it: a brief is a short text file."
_MAX_DIGITS = 300
_INTEGER_LIMIT = 2**63
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# An unclosed string matches to the end of the text. Otherwise each of its quotes would be tried again, in quadratic time.
_TOKEN = re.compile(
    r"""#[^\n]*|\"{3}(?:\\(?:.|\Z)|[^\\])*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|[0-9_]+|[\[\]{}.=,\n]""",
    re.DOTALL,
)
_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


@dataclass(frozen=True, slots=True)
class BriefProblem:
    """One problem: its location (``edit.1.factor``, counted from 1; ``line 3``; or "") and a sentence about it."""

    location: str
    sentence: str

    # True if the file is right and only something that may arrive is missing.
    is_transient: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", truncate(self.location))

    def __str__(self) -> str:
        return f"{self.location} {self.sentence}".strip()


class BriefError(InputError):
    """A brief or recipe that cannot be run. ``problems`` lists everything that is wrong."""

    def __init__(self, file: str, problems: Sequence[BriefProblem], remedy: str = "") -> None:
        is_transient = bool(problems) and all(problem.is_transient for problem in problems)
        usual = "It continues by itself once that is there." if is_transient else "Correct it and save it: it is read again at once."
        super().__init__(_format_problems(file, problems), remedy or usual)
        self.problems = tuple(problems)


class TomlSyntaxError(BriefError):
    """A text that is not TOML. It may be no brief at all."""


class ConfigError(UsageError):
    """A configuration file that cannot be used. ``problems`` lists everything that is wrong."""

    def __init__(self, file: str, problems: Sequence[BriefProblem]) -> None:
        super().__init__(_format_problems(file, problems), "Correct it and start again.")
        self.problems = tuple(problems)


def check_size(size: int, file: str, start: bytes = b"") -> None:
    """Raise BriefError if a file of ``size`` bytes is too large to be read. ``start`` has its first bytes, which tell what it is."""
    if size <= MAX_FILE_BYTES:
        return
    _check_kind(start[:START_BYTES], file)
    size_text = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size // 1024} KiB"
    raise BriefError(
        file,
        [BriefProblem("", f"has {size_text}; more than {MAX_FILE_BYTES // 1024} KiB is not read.")],
        "Shorten it, or remove it if it is no brief.",
    )


def file_stem(file: str) -> str:
    """Return the name of the picture that a brief or prompt called ``file`` belongs to."""
    return re.sub(r"(?:\.toml|\.txt)+$", "", posixpath.basename(file), flags=re.IGNORECASE) or "hero"


def _check_kind(start: bytes, file: str) -> None:
    """Raise BriefError if the first bytes are those of a picture or a document."""
    other = describe_bytes(start, file_stem(file))
    if other is not None:
        raise BriefError(file, [BriefProblem("", f"is {other.description}, not plain text.")], other.remedy)


def read_text(data: bytes, file: str) -> str:
    """Return the text of a small file: UTF-8 with or without a byte order mark, with \\n as line ends. Raises BriefError."""
    check_size(len(data), file, data)
    _check_kind(data[:START_BYTES], file)
    for mark, name in _BOMS:
        if data.startswith(mark):
            raise BriefError(file, [BriefProblem("", f"is encoded as {name}: save it as UTF-8.")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if b"\0" in data:
            raise BriefError(file, [BriefProblem("", "is not plain text.")], _NO_TEXT_REMEDY) from None
        sentence = "has bytes that are not UTF-8 (the editor saved it as ANSI, Latin-1 or MacRoman): save it as UTF-8."
        raise BriefError(file, [BriefProblem(f"line {line}", sentence)]) from None
    if b"\0" in data:
        is_utf_16 = b"\0\0" in (data[:4:2], data[1:4:2])
        sentence = "is encoded as UTF-16: save it as UTF-8." if is_utf_16 else "is not plain text."
        raise BriefError(file, [BriefProblem("", sentence)], "" if is_utf_16 else _NO_TEXT_REMEDY)
    return text.replace("\r\n", "\n")


def read_prompt(data: bytes, file: str) -> str:
    """Return the prompt in a ``hero.txt``, without surrounding white space. Raises BriefError."""
    text = read_text(data, file).replace("\r", "\n").strip()
    if len(text) > MAX_STRING_LENGTH:
        raise BriefError(file, [BriefProblem("", f"has {len(text)} characters; a prompt has at most {MAX_STRING_LENGTH}.")])
    if _CONTROL_CHARACTERS.search(text):
        raise BriefError(file, [BriefProblem("", "has control characters in it: save it as plain text.")])
    return text


def read_toml(data: bytes, file: str, *, allow_dates: bool = False) -> dict[str, object]:
    """Return the values in a TOML file as dicts, lists, strings, booleans, and finite numbers within 64 bits.

    ``file`` is its name in messages. With ``allow_dates`` a value may also be a ``datetime.date``. Raises BriefError with every problem,
    and never RecursionError. Reads at most ``MAX_FILE_BYTES``.
    """
    text = read_text(data, file)
    _check_nesting(text, file)
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        sentence = "has the line ends of an old Mac (CR alone): save it with the line ends LF or CRLF."
        raise BriefError(file, [BriefProblem(f"line {line}", sentence)])
    try:
        values: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise TomlSyntaxError(file, [_syntax_problem(str(error), text)]) from None
    problems = list(_unsupported_values(values, allow_dates=allow_dates))
    if problems:
        raise BriefError(file, problems)
    return values


def quote_value(value: object) -> str:
    """Return the value for a message: as TOML writes it, in at most 60 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of more than 18 digits"
    if isinstance(value, str):
        return f'"{truncate(value)}"'
    if isinstance(value, list | tuple):
        return truncate("[" + ", ".join(quote_value(inner) for inner in value[:12]) + ("" if len(value) <= 12 else ", …") + "]")
    if isinstance(value, dict):
        return truncate("{ " + ", ".join(f"{key} = {quote_value(value[key])}" for key in list(value)[:12]) + " }")
    return truncate(str(value))


def truncate(text: str) -> str:
    """Return the text on one line, in at most 60 characters."""
    flat = "".join(char if char.isprintable() else " " for char in text[:80])
    return flat if len(text) <= 60 else flat[:59] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?``, or the list of known names if none is similar."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:80].lower(), names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there is: {listed}." if names else "; there is none yet."


def library_name_error(name: str) -> str:
    """Return why ``name`` cannot name a library file, or "" if it can: it must not be a path, an address or a hidden file."""
    if not name.strip():
        return "is empty"
    if "://" in name:
        return "is an address; only names of files in library/ are allowed"
    if name.startswith(("/", "~", "\\")) or name[1:2] == ":":
        return "is an absolute path; only names of files in library/ are allowed"
    if "/" in name or "\\" in name:
        return "is a path; only names of files in library/ are allowed"
    if name.startswith(".") or len(name.encode("utf-8", "surrogatepass")) > 200:
        return "cannot be the name of a file in library/"
    return ""


def _format_problems(file: str, problems: Sequence[BriefProblem]) -> str:
    if len(problems) == 1:
        return f"{file}: {problems[0]}" if problems[0].location else f"{file} {problems[0]}"
    lines = [f"- {problem}" for problem in problems[:MAX_PROBLEMS_SHOWN]]
    if len(problems) > MAX_PROBLEMS_SHOWN:
        lines.append(f"- and {len(problems) - MAX_PROBLEMS_SHOWN} more.")
    return f"{file} has {len(problems)} problems:\n" + "\n".join(lines)


def _check_nesting(text: str, file: str) -> None:
    """Raise BriefError for text that would make the parser recurse deeply or take quadratic time.

    Such text has deeply nested brackets, long dotted names or very long numbers.
    """
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        symbol = match[0]
        if symbol in "[{":
            depth, dots = depth + 1, 0
        elif symbol in "]}":
            depth, dots = max(0, depth - 1), 0
        elif symbol == ".":
            dots += 1
        elif symbol[0] in "0123456789_" and len(symbol) >= _MAX_DIGITS:
            line = text.count("\n", 0, match.start()) + 1
            raise BriefError(file, [BriefProblem(f"line {line}", f"has a number of {len(symbol)} digits: no setting is that large.")])
        elif symbol in "=,\n":
            dots = 0
        if max(depth, dots) > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            raise BriefError(file, [BriefProblem(f"line {line}", f"is nested more than {MAX_DEPTH} levels deep: simplify it.")])


def _syntax_problem(message: str, text: str) -> BriefProblem:
    """Return the parser's message as a problem, with the line that it is about."""
    place, sentence = syntax_message(message, text)
    lines = text.split("\n")
    number = int(place.removeprefix("line ").partition(",")[0])
    line_text = lines[number - 1].strip() if number <= len(lines) else ""
    return BriefProblem(f"{place}:", sentence + (f" (“{truncate(line_text)}”)." if line_text else "."))


def _unsupported_values(values: dict[str, object], *, allow_dates: bool) -> Iterator[BriefProblem]:
    """Yield a problem for each value that TOML allows and no setting can have, without recursion and within the limits."""
    pending: list[tuple[str, object, int]] = [("", values, 0)]
    checked_count = 0
    while pending:
        place, value, depth = pending.pop()
        checked_count += 1
        if depth > MAX_DEPTH:
            yield BriefProblem(place, f"is nested more than {MAX_DEPTH} levels deep: simplify it.")
            return
        if isinstance(value, dict | list) and checked_count + len(pending) + len(value) > MAX_VALUES:
            yield BriefProblem(place, f"has more than {MAX_VALUES} values: shorten it.")
            return
        pending += _children(place, value, depth + 1)
        reason = "" if allow_dates and type(value) is date else _unsupported_reason(value)
        if reason:
            yield BriefProblem(place, reason)


def _children(location: str, value: object, depth: int) -> list[tuple[str, object, int]]:
    """Return the values in a table or list with their locations, in reverse order."""
    if isinstance(value, dict):
        return [(f"{location}.{key}".lstrip("."), inner, depth) for key, inner in reversed(value.items())]
    if isinstance(value, list):
        return [(f"{location}.{number}", value[number - 1], depth) for number in range(len(value), 0, -1)]
    return []


def _unsupported_reason(value: object) -> str:
    if isinstance(value, bool | dict | list):
        return ""
    if isinstance(value, str):
        if len(value) > MAX_STRING_LENGTH:
            return f"is a text of {len(value)} characters; at most {MAX_STRING_LENGTH} are read."
        return "has control characters in it." if _CONTROL_CHARACTERS.search(value) else ""
    if isinstance(value, int):
        return "" if -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else f"is {quote_value(value)}: no setting is that large."
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value}, but must be a finite number."
    return f'is a date or time ({value}); no setting takes one. Put it in "quotes" if you mean a text.'
