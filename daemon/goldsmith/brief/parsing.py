"""Reading what people write: TOML from anybody who may write to a share, into plain values, in bounded time and memory.

Nothing here trusts its input. What is wrong is said all at once, each fault with its place and in words for somebody who has
never heard of a parser.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from goldsmith.errors import InputError, UsageError

# The largest brief, recipe, line or house file that is read.
MAX_FILE_BYTES = 256 * 1024
# How deep values may nest.
MAX_DEPTH = 16
# How many values there may be.
MAX_VALUES = 5000
# The longest string, in characters.
MAX_STRING_LENGTH = 4000
# So many faults are written out; the rest are counted.
MAX_PROBLEMS_SHOWN = 20

_MAX_DIGITS = 300
_INTEGER_LIMIT = 2**63
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# A string that is never closed runs to the end: were it no match, each of its quotes would be tried again, and squared.
_TOKEN = re.compile(
    r"""#[^\n]*|\"{3}(?:\\(?:.|\Z)|[^\\])*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|[0-9_]+|[\[\]{}.=,\n]""",
    re.DOTALL,
)
_POSITION = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_SYNTAX_MESSAGES = {
    "Invalid statement": "this is neither `name = value` nor a [section]",
    "Invalid value": 'the value is not written as TOML wants it: texts stand in "quotes", numbers have a point and no comma',
    "Expected '=' after a key in a key/value pair": "an = is missing after the name",
    "Invalid initial character for a key part": 'a name is missing here, or it needs "quotes"',
    "Unclosed array": "a [ is never closed by ]",
    "Unclosed inline table": "a { is never closed by }",
    "Illegal character '\\n'": "a text is never closed by its quote on its line; longer ones stand in three quotes",
    "Unterminated string": "a text is never closed by its quote",
    "Unescaped '\\' in a string": "a \\ in \"quotes\" is written \\\\ (or put the text in 'single quotes')",
    "Invalid hex value": "a \\ in \"quotes\" is written \\\\ (or put the text in 'single quotes')",
    "Escaped character is not a Unicode scalar value": "a \\ in \"quotes\" is written \\\\ (or put the text in 'single quotes')",
    "Invalid date or datetime": "this looks like a date, and is none",
    "Cannot overwrite a value": "this name stands here a second time",
    "Expected ']' at the end of a table declaration": "a section's name is closed by ]",
    "Expected ']]' at the end of an array declaration": "a step's name is closed by ]]",
    "Expected newline or end of document after a statement": "something follows after the end of the value",
}


@dataclass(frozen=True, slots=True)
class BriefProblem:
    """One thing that is wrong: where it stands (``edit.1.factor``, 1-based; or ``line 3``; or "") and what, in words."""

    location: str
    sentence: str

    # True where nothing is wrong with what is written, and what is missing may come.
    is_transient: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", truncate(self.location))

    def __str__(self) -> str:
        return f"{self.location} {self.sentence}".strip()


class BriefError(InputError):
    """A brief or recipe that cannot be run; ``faults`` has everything that is wrong with it."""

    def __init__(self, file: str, problems: Sequence[BriefProblem]) -> None:
        waits = bool(problems) and all(fault.is_transient for fault in problems)
        remedy = "It goes on by itself once that is there." if waits else "Correct it and save it: it is read again at once."
        super().__init__(_format_problems(file, problems), remedy)
        self.file = file
        self.problems = tuple(problems)


class ConfigError(UsageError):
    """A file of the house's configuration that cannot be used; ``faults`` has everything that is wrong with it."""

    def __init__(self, file: str, problems: Sequence[BriefProblem]) -> None:
        super().__init__(_format_problems(file, problems), "Correct it and start again.")
        self.file = file
        self.problems = tuple(problems)


def check_size(size: int, file: str) -> None:
    """Refuse a file by its size before it is read. Raises BriefError."""
    if size > MAX_FILE_BYTES:
        told = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size // 1024} KiB"
        raise BriefError(file, [BriefProblem("", f"is {told} long; more than {MAX_FILE_BYTES // 1024} KiB is not read: this is no brief.")])


def read_text(data: bytes, file: str) -> str:
    """The text of a small file: UTF-8 with or without a byte order mark, line ends as \\n. Raises BriefError."""
    check_size(len(data), file)
    for mark, name in _BOMS:
        if data.startswith(mark):
            raise BriefError(file, [BriefProblem("", f"is written as {name}: save it as UTF-8.")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if b"\0" in data:
            raise BriefError(file, [BriefProblem("", "is no text file.")]) from None
        raise BriefError(file, [BriefProblem(f"line {line}", "has characters that are not UTF-8: save it as UTF-8.")]) from None
    return text.replace("\r\n", "\n")


def read_prompt(data: bytes, file: str) -> str:
    """The prompt in a ``hero.txt``, without blank space around it. Raises BriefError."""
    text = read_text(data, file).replace("\r", "\n").strip()
    if len(text) > MAX_STRING_LENGTH:
        raise BriefError(file, [BriefProblem("", f"has {len(text)} characters; a prompt has at most {MAX_STRING_LENGTH}.")])
    if _CONTROL_CHARACTERS.search(text):
        raise BriefError(file, [BriefProblem("", "has control characters in it: save it as plain text.")])
    return text


def read_toml(data: bytes, file: str, *, allow_dates: bool = False) -> dict[str, object]:
    """The values in a TOML file, as plain dicts, lists, texts, numbers and booleans; numbers finite and within 64 bits.

    ``file`` is what it is called in faults; with ``dates`` days may stand in it, too, as datetime.date. Raises BriefError with everything
    that is wrong; never RecursionError, never more than ``MAX_BYTES`` of work.
    """
    text = read_text(data, file)
    _check_nesting(text, file)
    try:
        values: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise BriefError(file, [_syntax_problem(str(error), text)]) from None
    faults = list(_unsupported_values(values, allow_dates=allow_dates))
    if faults:
        raise BriefError(file, faults)
    return values


def quote_value(value: object) -> str:
    """The value as a sentence shows it: as TOML would write it, at most 60 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of more than 18 digits"
    if isinstance(value, str):
        return f'"{truncate(value)}"'
    if isinstance(value, list | tuple):
        return truncate("[" + ", ".join(quote_value(one) for one in value[:12]) + ("" if len(value) <= 12 else ", …") + "]")
    if isinstance(value, dict):
        return truncate("{ " + ", ".join(f"{key} = {quote_value(value[key])}" for key in list(value)[:12]) + " }")
    return truncate(str(value))


def truncate(text: str) -> str:
    """The text on one line, at most 60 characters."""
    flat = "".join(char if char.isprintable() else " " for char in text[:80])
    return flat if len(text) <= 60 else flat[:59] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, or what there is where nothing is near; "" where there is nothing at all."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:80].lower(), names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there is: {listed}." if names else "; there is none yet."


def library_name_error(name: str) -> str:
    """Why ``name`` cannot be a name out of the library ("" = it can): it must not be a path, an address or a hidden file."""
    if not name.strip():
        return "is empty"
    if "://" in name:
        return "is an address; only names of things in library/ can stand here"
    if name.startswith(("/", "~", "\\")) or name[1:2] == ":":
        return "is an absolute path; only names of things in library/ can stand here"
    if "/" in name or "\\" in name:
        return "is a path; only names of things in library/ can stand here"
    if name.startswith(".") or len(name.encode("utf-8", "surrogatepass")) > 200:
        return "is no name a thing in library/ can have"
    return ""


def _format_problems(file: str, problems: Sequence[BriefProblem]) -> str:
    if len(problems) == 1:
        return f"{file}: {problems[0]}" if problems[0].location else f"{file} {problems[0]}"
    lines = [f"- {fault}" for fault in problems[:MAX_PROBLEMS_SHOWN]]
    if len(problems) > MAX_PROBLEMS_SHOWN:
        lines.append(f"- and {len(problems) - MAX_PROBLEMS_SHOWN} more.")
    return f"{file} has {len(problems)} faults:\n" + "\n".join(lines)


def _check_nesting(text: str, file: str) -> None:
    """Refuse what would make the parser recurse or square its work: deep brackets, long dotted names, endless digits."""
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        sign = match[0]
        if sign in "[{":
            depth, dots = depth + 1, 0
        elif sign in "]}":
            depth, dots = max(0, depth - 1), 0
        elif sign == ".":
            dots += 1
        elif sign[0] in "0123456789_" and len(sign) >= _MAX_DIGITS:
            line = text.count("\n", 0, match.start()) + 1
            raise BriefError(file, [BriefProblem(f"line {line}", f"has a number of {len(sign)} digits: that is no setting of anything.")])
        elif sign in "=,\n":
            dots = 0
        if max(depth, dots) > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            raise BriefError(file, [BriefProblem(f"line {line}", f"nests more than {MAX_DEPTH} levels deep: no brief does.")])


def _syntax_problem(message: str, text: str) -> BriefProblem:
    """The parser's message as a sentence. Only the words are looked up by its text; an unknown one is passed on as it is."""
    found = _POSITION.match(message)
    said, line, column = (found[1], found[2], found[3]) if found else (message, None, None)
    lines = text.split("\n")
    number = int(line) if line else len(lines)
    written = lines[number - 1].strip() if number <= len(lines) else ""
    if written.startswith("[") and not written.startswith("[[") and said.startswith("Cannot"):
        name = written.strip("[] ")
        told = f"[{truncate(name)}] stands here a second time; where several are meant, each is written [[{truncate(name)}]]"
    elif said.startswith(("Cannot", "Duplicate")):
        told = "this name stands here a second time"
    else:
        told = _SYNTAX_MESSAGES.get(said, said)
    place = f"line {number}" + (f", column {column}" if column else "")
    return BriefProblem(f"{place}:", told + (f" (“{truncate(written)}”)." if written else "."))


def _unsupported_values(values: dict[str, object], *, allow_dates: bool) -> Iterator[BriefProblem]:
    """Values that TOML can write and no setting can have; walked without recursion, and no further than a brief can go."""
    waiting: list[tuple[str, object, int]] = [("", values, 0)]
    seen = 0
    while waiting:
        place, value, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            yield BriefProblem(place, f"nests more than {MAX_DEPTH} levels deep: no brief does.")
            return
        if isinstance(value, dict | list) and seen + len(waiting) + len(value) > MAX_VALUES:
            yield BriefProblem(place, f"says more than {MAX_VALUES} things: no brief does.")
            return
        waiting += _children(place, value, depth + 1)
        odd = "" if allow_dates and type(value) is date else _unsupported_reason(value)
        if odd:
            yield BriefProblem(place, odd)


def _children(location: str, value: object, depth: int) -> list[tuple[str, object, int]]:
    """What a table or list holds, with the place of each, the first one last."""
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
    return f'is a date or time ({value}); no setting is one: put it in "quotes" where a text is meant.'
