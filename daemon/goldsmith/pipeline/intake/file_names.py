"""Classify a file by its name alone: a picture, a sidecar and its picture, a brief, a note, or irrelevant."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from goldsmith.files import fold_name, is_ignored_file
from goldsmith.picture.formats.table import is_mask_suffix, is_picture_suffix, is_unreadable_suffix

FileRole = Literal["picture", "mask", "keep", "layer", "ref", "look", "brief", "prompt", "campaign", "note", "foreign", "other", "litter"]

NOTE_SUFFIX = ".problem.txt"
CAMPAIGN_BRIEF = "brief.toml"
# The name that Windows gives ``hero.toml`` when it hides file extensions; treated like any brief.
HIDDEN_BRIEF_SUFFIX = ".toml.txt"
# `goldsmith init` puts this file into every folder; it is not a prompt.
README_NAME = "readme.txt"

# Bytes of a picture's name that fit before ``.problem.txt``.
_MAX_NOTE_NAME_BYTES = 255 - len(NOTE_SUFFIX)
_ROLE_BY_SUFFIX: dict[str, FileRole] = {".toml": "brief", ".txt": "prompt", ".cube": "look", ".cdl": "look"}
_DOTTED_SIDECAR = re.compile(
    r"(?P<stem>.+?)\.(?P<role>mask|keep|layer|ref)(?P<number>[_-]?\d*)(?:\.(?P<label>.+))?", re.IGNORECASE | re.DOTALL
)
_JOINED_MASK = re.compile(r"(?P<stem>.+)[_-]mask[_-]?\d*_?", re.IGNORECASE | re.DOTALL)


class ParsedName(NamedTuple):
    """The meaning of one name."""

    # The stem it belongs to, as written: ``hero``, or a picture's full name (``hero.png``) if the sidecar gives it.
    stem: str
    role: FileRole
    # The NAME of a mask, keep or layer, folded; ``mask`` for the unnamed one.
    label: str = ""
    # The stem it would have as a picture: ``hero_mask.png`` and ``hero.psd`` are pictures if there is no ``hero``.
    picture_stem: str = ""


@lru_cache(maxsize=1024)
def classify(name: str) -> ParsedName:
    """Return the role of a file with that name. Never raises, for any byte sequence that a filesystem accepts."""
    if is_ignored_file(name):
        return ParsedName(name, "litter")
    if name.casefold().endswith(HIDDEN_BRIEF_SUFFIX):
        return classify(name[: -len(".txt")])
    base, dot, tail = name.rpartition(".")
    suffix = (dot + tail).lower()
    if not base:
        return ParsedName(name, "other")
    if is_picture_suffix(suffix):
        return _classify_image(base, suffix)
    if is_unreadable_suffix(suffix):
        return ParsedName(base, "foreign", picture_stem=base)
    role = "other" if name.casefold() == README_NAME else _ROLE_BY_SUFFIX.get(suffix, "other")
    if role == "brief" and name.casefold() == CAMPAIGN_BRIEF:
        return ParsedName("", "campaign")
    if role == "prompt" and name.casefold().endswith(NOTE_SUFFIX):
        return ParsedName(name[: -len(NOTE_SUFFIX)], "note")
    return ParsedName(base, role)


def _classify_image(base: str, suffix: str) -> ParsedName:
    """Return the role of a file with a picture's suffix: a picture, or a mask, keep, layer or reference of one."""
    dotted = _DOTTED_SIDECAR.fullmatch(base)
    if dotted is not None:
        role = dotted["role"].lower()
        label = fold_name(dotted["label"] or (role + dotted["number"] if role == "layer" else ""))
        if role in ("mask", "keep"):
            return ParsedName(dotted["stem"], "mask" if role == "mask" else "keep", label or "mask")
        return ParsedName(dotted["stem"], "layer" if role == "layer" else "ref", label)
    joined = _JOINED_MASK.fullmatch(base) if is_mask_suffix(suffix) else None
    if joined is not None:
        return ParsedName(joined["stem"], "mask", "mask", base)
    return ParsedName(base, "picture")


@lru_cache(maxsize=1024)
def group_keys(name: str) -> tuple[str, ...]:
    """Return the folded stems under which a name must be found: names that may be grouped share one of them."""
    named = classify(name)
    if named.role in ("litter", "other", "campaign"):
        return ()
    if named.role == "picture":
        short = truncate_for_note(name)
        return (fold_name(named.stem),) if short == name else (fold_name(named.stem), fold_name(short))
    found = {fold_name(named.stem), fold_name(strip_picture_suffix(named.stem))}
    if named.picture_stem:
        found |= {fold_name(named.picture_stem), fold_name(name)}
    if named.role == "note":
        found.update(group_keys(named.stem))
    return tuple(sorted(found))


def target_stem(parsed: ParsedName) -> str:
    """Return the stem that a sidecar without a picture means; a note on a brief means what the brief means."""
    inner = classify(parsed.stem) if parsed.role == "note" else parsed
    return strip_picture_suffix(inner.stem if inner.role == "brief" else parsed.stem)


def strip_picture_suffix(stem: str) -> str:
    """Return the stem without a picture's suffix: ``hero`` for ``hero.png``."""
    base, suffix = os.path.splitext(stem)
    return base if is_picture_suffix(suffix.lower()) else stem


def truncate_for_note(name: str) -> str:
    """Return as much of a picture's name as its problem note can have."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MAX_NOTE_NAME_BYTES else os.fsdecode(raw[:_MAX_NOTE_NAME_BYTES])
