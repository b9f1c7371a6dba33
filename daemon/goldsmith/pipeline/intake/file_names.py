"""The meaning of one file name: a picture, a sidecar and of which picture, a brief, a note, or a file without a role."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from goldsmith.files import fold_name, is_ignored_file
from goldsmith.jobs.names import CANDIDATES_SHEET_TAIL, REVIEW_SHEET_TAIL
from goldsmith.picture.formats.table import is_mask_suffix, is_picture_suffix, is_unreadable_suffix

FileRole = Literal[
    "picture",
    "mask",
    "keep",
    "layer",
    "ref",
    "control",
    "look",
    "xmp",
    "brief",
    "prompt",
    "review",
    "campaign",
    "note",
    "foreign",
    "other",
    "litter",
]

NOTE_SUFFIX = ".problem.txt"
CAMPAIGN_BRIEF = "brief.toml"
# What Goldsmith lays beside a result that waits for a person: a sheet, and copies of what the result was made from.
BEFORE_SUFFIX = ".review.before"
# Windows makes ``hero.toml.txt`` of ``hero.toml`` when it hides suffixes. It is a brief like any other.
HIDDEN_BRIEF_SUFFIX = ".toml.txt"
# `goldsmith init` writes this file into every folder; it is not a prompt.
README_NAME = "readme.txt"

# How many bytes of a picture's name fit before ``.problem.txt``.
_MAX_NOTE_NAME_BYTES = 255 - len(NOTE_SUFFIX)
_ROLE_BY_SUFFIX: dict[str, FileRole] = {".toml": "brief", ".txt": "prompt", ".cube": "look", ".cdl": "look", ".xmp": "xmp"}
_DOTTED_SIDECAR = re.compile(
    r"(?P<stem>.+?)\.(?P<role>mask|keep|layer|ref|control)(?P<number>[_-]?\d*)(?:\.(?P<label>.+))?", re.IGNORECASE | re.DOTALL
)
_REVIEW_FILE = re.compile(
    rf"(?P<stem>.+?)(?:{re.escape(REVIEW_SHEET_TAIL)}|{re.escape(CANDIDATES_SHEET_TAIL)}|{re.escape(BEFORE_SUFFIX)}(?P<tail>\..+))",
    re.IGNORECASE | re.DOTALL,
)
# The name of one picture of a set: of one that was not kept, in the archive, with the number of a second file of that name; or of one that
# a person may pick, in review/.
_CANDIDATE_STEM = re.compile(r"(?P<base>.+)_candidate\d{3,}(~\d+)?", re.DOTALL)
_JOINED_MASK = re.compile(r"(?P<stem>.+)[_-]mask[_-]?\d*_?", re.IGNORECASE | re.DOTALL)


class ParsedName(NamedTuple):
    """The meaning of one file name."""

    # The picture that it belongs to, as written: its stem (``hero``), or its whole name (``hero.png``).
    stem: str
    role: FileRole
    # The folded name of a mask, keep, layer or control; ``mask`` for an unnamed mask or keep. Of a file from before
    # a review, the rest of its name.
    label: str = ""
    # The stem that the file has if it is a picture itself: ``hero_mask.png`` and ``hero.psd`` are one if there is no ``hero``.
    picture_stem: str = ""
    # The role that a foreign file would have in a format that is read: ``mask`` for ``hero.mask.bmp``.
    foreign_role: FileRole = "foreign"


@lru_cache(maxsize=1024)
def classify(name: str) -> ParsedName:
    """Return the meaning of a file name. It never raises, whatever bytes the name holds."""
    if is_ignored_file(name):
        return ParsedName(name, "litter")
    if name.casefold().endswith(HIDDEN_BRIEF_SUFFIX):
        return classify(name[: -len(".txt")])
    name = strip_repeated_suffix(name)
    review = _REVIEW_FILE.fullmatch(name)
    if review is not None:
        return ParsedName(review["stem"], "review", review["tail"] or "")
    base, dot, tail = name.rpartition(".")
    suffix = (dot + tail).lower()
    if not base:
        return ParsedName(name, "other")
    if is_picture_suffix(suffix):
        return _classify_image(base, is_mask=is_mask_suffix(suffix))
    if is_unreadable_suffix(suffix):
        readable = _classify_image(base, is_mask=True)
        if readable.role == "picture":
            return ParsedName(base, "foreign", picture_stem=base)
        if readable.role in ("mask", "keep") and is_mask_suffix(suffix):
            return readable
        return ParsedName(readable.stem, "foreign", readable.label, base, readable.role)
    role = "other" if name.casefold() == README_NAME else _ROLE_BY_SUFFIX.get(suffix, "other")
    if role == "brief" and name.casefold() == CAMPAIGN_BRIEF:
        return ParsedName("", "campaign")
    if role == "prompt" and name.casefold().endswith(NOTE_SUFFIX):
        return ParsedName(name[: -len(NOTE_SUFFIX)], "note")
    return ParsedName(base, role)


def _classify_image(base: str, *, is_mask: bool) -> ParsedName:
    """Return the meaning of a picture's name without its suffix: a picture, or a mask, keep, layer, control or reference of one.

    ``is_mask``: a file with this suffix can be a mask by ``_mask`` at the end of its name.
    """
    dotted = _DOTTED_SIDECAR.fullmatch(base)
    if dotted is not None:
        role = dotted["role"].lower()
        label = fold_name(dotted["label"] or (role + dotted["number"] if role == "layer" else ""))
        if role in ("mask", "keep"):
            return ParsedName(dotted["stem"], "mask" if role == "mask" else "keep", label or "mask")
        return ParsedName(dotted["stem"], "layer" if role == "layer" else "control" if role == "control" else "ref", label)
    joined = _JOINED_MASK.fullmatch(base) if is_mask else None
    if joined is not None:
        return ParsedName(joined["stem"], "mask", "mask", base)
    return ParsedName(base, "picture")


@lru_cache(maxsize=1024)
def group_keys(name: str) -> tuple[str, ...]:
    """Return the folded stems by which a name is found: names that may belong to one bundle share at least one key."""
    parsed = classify(name)
    if parsed.role in ("litter", "other", "campaign"):
        return ()
    if parsed.role == "picture":
        short, stem = truncate_for_note(name), fold_name(parsed.stem)
        keys = {stem, candidate_base(stem)} | ({fold_name(short)} if short != name else set())
        return (stem, *sorted(keys - {stem}))
    keys = {fold_name(parsed.stem), fold_name(strip_picture_suffix(parsed.stem))}
    if parsed.picture_stem:
        keys |= {fold_name(parsed.picture_stem), fold_name(name)}
    if parsed.role == "note":
        keys.update(group_keys(parsed.stem))
    return tuple(sorted(keys))


def candidate_base(stem: str) -> str:
    """Return the stem of the asset of which a folded stem is a candidate: ``hero`` for ``hero_candidate003``; else the stem itself."""
    match = _CANDIDATE_STEM.fullmatch(stem)
    return stem if match is None else match["base"]


def target_stem(parsed: ParsedName) -> str:
    """Return the stem of the picture to which a sidecar belongs; a note on a brief has the stem of the brief."""
    inner = classify(parsed.stem) if parsed.role == "note" else parsed
    return strip_picture_suffix(inner.stem if inner.role == "brief" else parsed.stem)


def strip_picture_suffix(stem: str) -> str:
    """Return the stem without a picture's suffix: ``hero`` for ``hero.png`` and for ``hero.png.png``."""
    base, suffix = os.path.splitext(strip_repeated_suffix(stem))
    return base if is_picture_suffix(suffix.lower()) else stem


def strip_repeated_suffix(name: str) -> str:
    """Return the name with its suffix once: ``hero.png`` for ``hero.png.png``, which is what Windows makes when it hides suffixes."""
    base, suffix = os.path.splitext(name)
    low = suffix.lower()
    if low not in _ROLE_BY_SUFFIX and not is_picture_suffix(low) and not is_unreadable_suffix(low):
        return name
    while base.lower().endswith(low) and len(base) > len(low):
        base = base[: -len(low)]
    return base + suffix


def truncate_for_note(name: str) -> str:
    """Return as much of a picture's name as the name of its problem note can hold."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MAX_NOTE_NAME_BYTES else os.fsdecode(raw[:_MAX_NOTE_NAME_BYTES])


def is_candidate_name(stem: str) -> bool:
    """Return whether a name without suffix is that of a candidate from the archive."""
    return _CANDIDATE_STEM.fullmatch(stem) is not None
