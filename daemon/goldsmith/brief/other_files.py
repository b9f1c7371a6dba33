"""Recognises what a file is that is called like a brief but is no TOML: a picture, a Word document, RTF, JSON, YAML, HTML, plain words."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from goldsmith.picture.formats.table import detect_by_content, find_unreadable

# Bytes at the start of a file that are enough to recognise it.
START_BYTES = 512

# Rows of (first bytes in lower case, what the file is): documents that programs save, and that are not in the table of picture formats.
_DOCUMENTS = (
    (b"{\\rtf", "an RTF document (TextEdit and WordPad save those)"),
    (b"pk\x03\x04", "a Word, Pages or OpenOffice document, or a zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Word or Office document"),
    (b"bplist", "a property list of macOS"),
)
# Formats that are text themselves: their first bytes are enough. Any other first bytes also need a byte that no text has.
_TEXT_MAGICS = (b"<", b"%pdf", b"version https://git-lfs")
_YAML_LINE = re.compile(r"- .*|-|---|[\w-]+:(?:\s.*)?")
_YAML_KEY = re.compile(r"(?:- *)?[\w-]+:(?:\s|$)")
_TOML_LINE = re.compile(r"""\[.*|["'\w.-]+\s*=.*|[\w ]+=.*""")
_MARKDOWN_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
# As much of a text as tells what it is: lines, and characters of each.
_MAX_LINES, _MAX_LINE_LENGTH = 200, 500
# A line with so many words is a sentence.
_WORDS_OF_A_SENTENCE = 6


class OtherFile(NamedTuple):
    """What a file is, to complete "hero.toml is …, not a brief", and what to do."""

    description: str
    remedy: str


def describe_bytes(start: bytes, stem: str) -> OtherFile | None:
    """Return what a file is, by its first bytes; None if it may be text. ``stem`` is its name without .toml."""
    file_format = detect_by_content(start)
    if file_format is not None:
        return OtherFile(
            f"{_article(file_format.name)} {file_format.name.upper()} picture",
            f"If it is the picture, rename it to {stem}{file_format.suffix}; if not, remove it. A brief is a short text file.",
        )
    folded = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    document = next((description for magic, description in _DOCUMENTS if folded.startswith(magic)), "")
    if document:
        return OtherFile(document, "Save it as plain text (UTF-8), with nothing but the lines of the brief in it.")
    kind = find_unreadable(folded)
    if kind is not None and (folded.startswith(_TEXT_MAGICS) or not _is_text(start)):
        return OtherFile(kind.description, "Remove it, or write the brief into it: a brief is a short text file.")
    return None


def _is_text(start: bytes) -> bool:
    """Return whether the first bytes may be text: no zero byte, and UTF-8 up to a character that is cut off."""
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return b"\0" not in start and error.start >= len(start) - 3
    return b"\0" not in start


def describe_text(text: str, stem: str) -> OtherFile | None:
    """Return what a text is that the TOML parser refused; None if it is an attempt at a brief.

    ``stem`` is the name of the picture that the brief belongs to, "" if it belongs to several.
    """
    stripped = (line.strip()[:_MAX_LINE_LENGTH] for line in text.split("\n", _MAX_LINES)[:_MAX_LINES])
    lines = [line for line in stripped if line and not line.startswith(("#", "//"))]
    if _is_json(text):
        return OtherFile("JSON", _rewrite("JSON"))
    if _MARKDOWN_FENCE.search(text):
        return OtherFile("Markdown, with ``` in it", "Keep only the lines of the brief itself: delete the ``` and the text around them.")
    if not lines or any(_TOML_LINE.fullmatch(line) for line in lines):
        return None
    yaml_count = sum(bool(_YAML_LINE.fullmatch(line)) for line in lines)
    if yaml_count == len(lines) and any(_YAML_KEY.match(line) for line in lines):
        return OtherFile("YAML", _rewrite("YAML"))
    if not _is_prose(lines):
        return None
    instead = f"call it {stem}.txt: its text is then the prompt" if stem else 'write them as prompt = "…" on a line of its own'
    return OtherFile("plain words", f'For words alone, {instead}. A brief has lines such as op = "erase".')


def _rewrite(language: str) -> str:
    return f'A brief is TOML: write [[edit]] and, on the next line, op = "erase", in place of the {language}.'


def _is_json(text: str) -> bool:
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or stripped.startswith("[["):
        return False
    if re.match(r"""\{\s*["'}]|\[\s*\{\s*["']""", stripped):
        return True
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _is_prose(lines: list[str]) -> bool:
    """Return whether the lines are words and sentences: most have several words, one is a sentence, or none has a sign of a notation."""
    counts = [len(line.split()) for line in lines]
    if 2 * sum(count > 2 for count in counts) > len(lines) or max(counts) >= _WORDS_OF_A_SENTENCE:
        return True
    return not any(sign in line for line in lines for sign in "=[]{}:;<>")


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
