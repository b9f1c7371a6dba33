"""What the name of one file says by itself: a picture, a sidecar and of which picture, a brief, a note, or nothing that matters here."""

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
# What Windows makes of ``hero.toml`` where it hides the endings of names: a brief like any other.
HIDDEN_BRIEF_SUFFIX = ".toml.txt"
# What `goldsmith init` puts into every folder; it is nobody's prompt.
README_NAME = "readme.txt"

# Bytes of a picture's name that fit before ``.problem.txt``.
_MAX_NOTE_NAME_BYTES = 255 - len(NOTE_SUFFIX)
_ROLE_BY_SUFFIX: dict[str, FileRole] = {".toml": "brief", ".txt": "prompt", ".cube": "look", ".cdl": "look"}
_DOTTED_SIDECAR = re.compile(
    r"(?P<stem>.+?)\.(?P<role>mask|keep|layer|ref)(?P<number>[_-]?\d*)(?:\.(?P<label>.+))?", re.IGNORECASE | re.DOTALL
)
_JOINED_MASK = re.compile(r"(?P<stem>.+)[_-]mask[_-]?\d*_?", re.IGNORECASE | re.DOTALL)


class ParsedName(NamedTuple):
    """What one name says by itself."""

    # What it belongs to, as written: ``hero``, or a picture's whole name (``hero.png``) where the sidecar says which.
    stem: str
    role: FileRole
    # The NAME of a mask, keep or layer, folded; ``mask`` for the unnamed one.
    label: str = ""
    # The stem it would have as the picture that is spoken of: ``hero_mask.png`` and ``hero.psd`` are that, where no ``hero`` is there.
    picture_stem: str = ""


@lru_cache(maxsize=1024)
def classify(name: str) -> ParsedName:
    """What a file of that name is. Never raises; any byte sequence that a filesystem takes may be asked for."""
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
    """A file with a picture's suffix: a picture, or a mask, keep, layer or reference of one."""
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
    """The folded stems under which a name must be found again: whatever may be grouped together shares one of them."""
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
    """The stem that a sidecar without a picture means; a note on a brief means what the brief means."""
    inner = classify(parsed.stem) if parsed.role == "note" else parsed
    return strip_picture_suffix(inner.stem if inner.role == "brief" else parsed.stem)


def strip_picture_suffix(stem: str) -> str:
    """The stem without a picture's suffix: ``hero`` of ``hero.png``."""
    base, suffix = os.path.splitext(stem)
    return base if is_picture_suffix(suffix.lower()) else stem


def truncate_for_note(name: str) -> str:
    """As much of a picture's name as its problem note can carry."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MAX_NOTE_NAME_BYTES else os.fsdecode(raw[:_MAX_NOTE_NAME_BYTES])
