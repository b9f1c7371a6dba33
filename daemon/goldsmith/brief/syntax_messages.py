"""The TOML parser's complaints in plain words: each says what to write instead of what stands in the line.

A table of mistakes that people make comes first; a line that matches none of its rows gets the parser's own message in plain words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

_POSITION = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_BACKSLASH = "a \\ in \"quotes\" must be written \\\\ (or put the text in 'single quotes')"
_PARSER_MESSAGES = {
    "Invalid statement": "this is neither `name = value` nor a [section]",
    "Invalid value": 'the value is not valid TOML: texts need "quotes", numbers have a point and no comma',
    "Expected '=' after a key in a key/value pair": "an = is missing after the name",
    "Invalid initial character for a key part": 'a name is missing here, or it needs "quotes"',
    "Unclosed array": "a [ has no closing ]",
    "Unclosed inline table": "a { has no closing } on its line",
    "Illegal character '\\n'": "a text has no closing quote on its line; use three quotes for several lines",
    'Expected "\'"': "a text begins with ' and has no ' at its end",
    "Unterminated string": "a text has no closing quote",
    "Unescaped '\\' in a string": _BACKSLASH,
    "Invalid hex value": _BACKSLASH,
    "Escaped character is not a Unicode scalar value": _BACKSLASH,
    "Invalid date or datetime": "this looks like a date but is not one",
    "Cannot overwrite a value": "this name occurs twice",
    "Expected ']' at the end of a table declaration": "the name of a section must end with ]",
    "Expected ']]' at the end of an array declaration": "the name of a step must end with ]]",
    "Expected newline or end of document after a statement": "there is something after the end of the value",
}
# A text in straight quotes, closed on its line.
_QUOTED = re.compile(r"""\"(?:\\.|[^"\\])*\"|'[^']*'""")
_CURLY_QUOTES = re.compile("[\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2039\u203a\u2033\u2032]")
_SIGNS = "=[]{}\"',.#"
_KEY = r"(?P<key>[\w.-]+)"
_WORDS_FOR_TRUE, _WORDS_FOR_FALSE, _WORDS_FOR_NOTHING = {"true", "yes", "on"}, {"false", "no", "off"}, {"none", "null", "nil", "~"}
_UNIT = r"(?:x|×|%|px|pt|mm|cm|in|kb|mb|ppi|dpi|°|deg|degrees|times|stops?|ev)"

# Longer lines are not looked at: some of the patterns below take quadratic time.
_MAX_LINE_LENGTH = 300
# An open bracket is looked for in so many lines before the parser's.
_MAX_LINES_BACK = 40

# Returns what to write instead, for a match in a line; "" if the row does not apply after all.
Rewrite = Callable[["re.Match[str]"], str]


def syntax_message(parser_message: str, text: str) -> tuple[str, str]:
    """Return (place, sentence without a full stop) for the parser's message about ``text``: ("line 3", "write 1.1, with a point …")."""
    match = _POSITION.match(parser_message)
    reason, line, column = (match[1], match[2], match[3]) if match else (parser_message, None, None)
    lines = text.split("\n")
    number = int(line) if line else len(lines)
    line_text = lines[number - 1].strip() if number <= len(lines) else ""
    if reason.startswith(("Cannot", "Duplicate")):
        return f"line {number}", _twice_sentence(reason, line_text)
    # An open bracket or quote is noticed at a later line than the one that opens it.
    for candidate in dict.fromkeys((number, _opening_line(lines, number))):
        sentence = rewrite_line(lines[candidate - 1]) if candidate <= len(lines) else ""
        if sentence:
            return f"line {candidate}", sentence
    return f"line {number}" + (f", column {column}" if column else ""), _PARSER_MESSAGES.get(reason, reason)


def rewrite_line(line: str) -> str:
    """Return what to write instead of a line that is not TOML; "" if no known mistake is in it, or if it is too long to be looked at."""
    return next((sentence for sentence in _rewrites(line) if sentence), "") if len(line) <= _MAX_LINE_LENGTH else ""


def _rewrites(line: str) -> Iterator[str]:
    bare = _QUOTED.sub('""', line)
    yield _wrong_characters(bare)
    for pattern, rewrite in _LINE_MISTAKES:
        match = pattern.fullmatch(bare.strip())
        if match is not None:
            yield rewrite(match)
    match = re.fullmatch(rf"{_KEY}\s*(?P<sign>:=|=>|==|:|\s)\s*(?P<value>[\"'\d\[{{].*)", line.strip())
    if match is not None:
        instead = f"the sign between a name and its value is =: write {match['key']} = {_shorten(match['value'])}"
        yield instead


def _twice_sentence(reason: str, line_text: str) -> str:
    if line_text.startswith("[") and not line_text.startswith("[[") and reason.startswith("Cannot"):
        name = _shorten(line_text.strip("[] "))
        return f"[{name}] occurs twice; write each of several as [[{name}]]"
    if line_text.startswith("[["):
        name = _shorten(line_text.strip("[] "))
        return f"{name} was written with one bracket before: write [[{name}]] each time"
    return "this name occurs twice"


def _opening_line(lines: list[str], number: int) -> int:
    """Return the number of the last line up to ``number`` that opens a bracket or a quote and does not close it; else ``number``."""
    for index in range(min(number, len(lines)) - 1, max(-1, number - _MAX_LINES_BACK), -1):
        bare = _QUOTED.sub('""', lines[index][:_MAX_LINE_LENGTH])
        is_open = bare.count('"') % 2 or "'" in bare or bare.count("[") != bare.count("]") or bare.count("{") != bare.count("}")
        if is_open:
            return index + 1
    return number


def _wrong_characters(bare: str) -> str:
    """Return the sentence for a character that only looks like one of TOML's own; ``bare`` is a line without its quoted texts."""
    code = bare.partition("#")[0]
    curly = _CURLY_QUOTES.search(code)
    if curly is not None:
        return f'the quote {curly[0]} is curly: write straight ones ("), and turn “smart quotes” off in the editor'
    for char in code:
        if char != "\t" and (char.isspace() or unicodedata.category(char) == "Cf") and char != " ":
            name = "a no-break space" if char in "\u00a0\u202f\u2007" else "an invisible character"
            return f"it has {name} (U+{ord(char):04X}) in it: delete it, and type a plain space"
        plain = unicodedata.normalize("NFKC", char)
        if char not in _SIGNS and plain in _SIGNS:
            return f"“{char}” is not the plain sign: write {plain}"
    return ""


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


def _rewrite_word(match: re.Match[str]) -> str:
    key, word = match["key"], match["value"].strip()
    folded = word.lower()
    if folded in _WORDS_FOR_TRUE | _WORDS_FOR_FALSE:
        return f"write {key} = {'true' if folded in _WORDS_FOR_TRUE else 'false'}"
    if folded in _WORDS_FOR_NOTHING:
        return f"for no value, leave the line out: delete {_shorten(f'{key} = {word}')}"
    return f'a text needs quotes: write {key} = "{_shorten(word)}"'


def _rewrite_comma(match: re.Match[str]) -> str:
    number = f"{match['whole']},{match['part']}"
    if len(match["part"]) == 3 and len(match["whole"].lstrip("+-")) <= 3 and not match["whole"].lstrip("+-").startswith("0"):
        return f"a number has no comma: write {match['whole']}{match['part']} or {match['whole']}.{match['part'].rstrip('0') or '0'}"
    return f"a number has a point and no comma: write {match['key']} = {match['whole']}.{match['part']} instead of {number}"


def _rewrite_unit(match: re.Match[str]) -> str:
    return f"write the number alone, without “{match['unit']}”: {match['key']} = {match['number']}"


# Rows of (a whole line without its quoted texts, what to write instead).
_LINE_MISTAKES: tuple[tuple[re.Pattern[str], Rewrite], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), rewrite)
    for pattern, rewrite in (
        (r"[-*_=~]{3,}", lambda match: "a line of signs means nothing here: delete it, or put # before it"),
        (r"(?://|;|--|/\*|%).*", lambda match: "a remark begins with #"),
        (r"[\[(]{1,2}\s*(?P<stage>[\w-]+)\s*[\])]{1,2}\s*[:;,]?\s*(?P<rest>[^#\s\])].*)", lambda match: _heading_alone(match["stage"])),
        (r"\[\[?\s*(?P<stage>[\w-]+)\s+op\s*=.*", lambda match: _heading_alone(match["stage"])),
        (
            r"(?!\[\[[\w-]+\]\]$)\[{1,2}\s*(?P<stage>[\w-]+)\s*\]{0,2}\s*[:;,]?",
            lambda match: f"a step begins with two brackets on each side: [[{match['stage']}]]",
        ),
        (r"\(+\s*(?P<stage>[\w-]+)\s*\)+|<\s*(?P<other>[\w-]+)\s*/?>", lambda match: f"write [[{match['stage'] or match['other']}]]"),
        (rf"{_KEY}\s*=\s*(?P<whole>[+-]?\d+),(?P<part>\d+)\s*(?:#.*)?", _rewrite_comma),
        (
            rf"{_KEY}\s*=\s*\[?(?P<width>\d+)\s*(?:x|×|\*|by)\s*(?P<height>\d+)\s*(?:px)?\]?",
            lambda match: f"a size is a list: write {match['key']} = [{match['width']}, {match['height']}]",
        ),
        (
            rf"{_KEY}\s*=\s*(?P<value>\d+(?::|/)\d+)",
            lambda match: f'a ratio is a text in quotes: write {match["key"]} = "{match["value"].replace("/", ":")}"',
        ),
        (rf"{_KEY}\s*=\s*(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<unit>{_UNIT})", _rewrite_unit),
        (rf"{_KEY}\s*=\s*(?P<colour>#[0-9a-f]{{3,8}})", lambda match: f'a colour needs quotes: write {match["key"]} = "{match["colour"]}"'),
        (rf"{_KEY}\s*=\s*(?P<number>[+-]?\.\d+)", lambda match: f"write {match['key']} = {match['number'].replace('.', '0.', 1)}"),
        (rf"{_KEY}\s*=\s*(?P<number>[+-]?\d+)\.", lambda match: f"write {match['key']} = {match['number']}.0"),
        (rf"{_KEY}\s*=\s*\+?0+(?P<number>\d+)", lambda match: f"write {match['key']} = {match['number']}, without a 0 before it"),
        (rf"{_KEY}\s*=\s*\{{[^}}]*", lambda match: f"a table in braces stands on one line: {match['key']} = {{ … }}"),
        (
            rf"{_KEY}\s*=\s*\"\"[^\s,].*\"\"",
            lambda match: f"a text in \"quotes\" has no quotes in it: put it in single ones, {match['key']} = '…'",
        ),
        (rf"{_KEY}\s*=\s*\"\"[^\s,].*'", lambda match: "a text in 'quotes' has no ' in it: put it in double quotes, \"…\""),
        (
            rf"{_KEY}\s*=\s*\((?P<values>[^()]*)\)",
            lambda match: f"a list stands in square brackets: write {match['key']} = [{match['values']}]",
        ),
        (rf"{_KEY}\s*=\s*\"\"\s*(?://|--|/\*).*", lambda match: "a remark begins with #"),
        (rf"{_KEY}\s*=\s*\"\"\s+[^#\s=].*", lambda match: "delete what stands behind the value, or put # before it"),
        (rf"{_KEY}\s*=\s*(?:'[^\"']*\"|\"[^\"']*')", lambda match: "a text begins and ends with the same quote"),
        (rf"{_KEY}\s*=\s*(?:#.*)?", lambda match: f"the value of {match['key']} is missing: write one, or delete the line"),
        (rf"{_KEY}\s*=.*\S\s*(?P<sign>[,;])", lambda match: f"delete the {match['sign']} at the end of the line: each setting has its own"),
        (rf"{_KEY}\s*=[^,]*[^,\s]\s*,\s*[\w.-]+\s*=.*", lambda match: "write each setting on a line of its own, without commas"),
        (rf"{_KEY}\s*=\s*(?P<value>[^\W\d][^\"'=\[\]{{}}#]*?)\s*(?:#.*)?", _rewrite_word),
        (
            r"(?P<stage>[A-Za-z][\w-]*)\s*:?",
            lambda match: f"a stage is written as [[{match['stage'].lower()}]], and a setting has an =",
        ),
        (
            r"(?P<name>[\w.-]+(?:\s+[\w.-]+)+)\s*=.*",
            lambda match: f"a name has no spaces: write {'_'.join(match['name'].split())} = …",
        ),
    )
)


def _heading_alone(stage: str) -> str:
    return f"write [[{stage}]] alone on its line, and each setting on a line of its own below it"
