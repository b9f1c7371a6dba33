"""What the name of one file says by itself: a picture, a sidecar and of which picture, a brief, a note, or nothing that matters here."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from goldsmith.files import fold, is_litter

Role = Literal["picture", "mask", "keep", "layer", "ref", "look", "brief", "prompt", "campaign", "note", "foreign", "other", "litter"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif"})
MASK_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
FOREIGN_SUFFIXES = frozenset(
    {".psd", ".psb", ".xcf", ".kra", ".bmp", ".gif", ".tga", ".exr", ".hdr", ".jxl", ".jp2", ".svg", ".pdf", ".ai", ".eps"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
"""Pictures that are not read here. One that lies alone is left alone: it may be what the picture beside it is worked on in."""
NOTE_SUFFIX = ".problem.txt"
CAMPAIGN_BRIEF = "brief.toml"
HIDDEN = ".toml.txt"
"""What Windows makes of ``hero.toml`` where it hides the endings of names: a brief like any other."""
README = "readme.txt"
"""What `goldsmith init` puts into every folder; it is nobody's prompt."""

_NOTE_ROOM = 255 - len(NOTE_SUFFIX)
"""Bytes of a picture's name that fit before ``.problem.txt``."""
_OTHERS: dict[str, Role] = {".toml": "brief", ".txt": "prompt", ".cube": "look", ".cdl": "look"}
_DOTTED = re.compile(r"(?P<stem>.+?)\.(?P<role>mask|keep|layer|ref)(?P<number>[_-]?\d*)(?:\.(?P<label>.+))?", re.IGNORECASE | re.DOTALL)
_JOINED = re.compile(r"(?P<stem>.+)[_-]mask[_-]?\d*_?", re.IGNORECASE | re.DOTALL)


class Named(NamedTuple):
    """What one name says by itself."""

    stem: str
    """What it belongs to, as written: ``hero``, or a picture's whole name (``hero.png``) where the sidecar says which."""
    role: Role
    label: str = ""
    """The NAME of a mask, keep or layer, folded; ``mask`` for the unnamed one."""
    base: str = ""
    """The stem it would have as the picture that is spoken of: ``hero_mask.png`` and ``hero.psd`` are that, where no ``hero`` is there."""


@lru_cache(maxsize=1024)
def classify(name: str) -> Named:
    """What a file of that name is. Never raises; any byte sequence that a filesystem takes may be asked for."""
    if is_litter(name):
        return Named(name, "litter")
    if name.casefold().endswith(HIDDEN):
        return classify(name[: -len(".txt")])
    base, dot, tail = name.rpartition(".")
    suffix = (dot + tail).lower()
    if not base:
        return Named(name, "other")
    if suffix in PICTURE_SUFFIXES:
        return _pictorial(base, suffix)
    if suffix in FOREIGN_SUFFIXES:
        return Named(base, "foreign", base=base)
    role = "other" if name.casefold() == README else _OTHERS.get(suffix, "other")
    if role == "brief" and name.casefold() == CAMPAIGN_BRIEF:
        return Named("", "campaign")
    if role == "prompt" and name.casefold().endswith(NOTE_SUFFIX):
        return Named(name[: -len(NOTE_SUFFIX)], "note")
    return Named(base, role)


def _pictorial(base: str, suffix: str) -> Named:
    """A file with a picture's suffix: a picture, or a mask, keep, layer or reference of one."""
    dotted = _DOTTED.fullmatch(base)
    if dotted is not None:
        role = dotted["role"].lower()
        label = fold(dotted["label"] or (role + dotted["number"] if role == "layer" else ""))
        if role in ("mask", "keep"):
            return Named(dotted["stem"], "mask" if role == "mask" else "keep", label or "mask")
        return Named(dotted["stem"], "layer" if role == "layer" else "ref", label)
    joined = _JOINED.fullmatch(base) if suffix in MASK_SUFFIXES else None
    if joined is not None:
        return Named(joined["stem"], "mask", "mask", base)
    return Named(base, "picture")


@lru_cache(maxsize=1024)
def anchors(name: str) -> tuple[str, ...]:
    """The folded stems under which a name must be found again: whatever may be grouped together shares one of them."""
    named = classify(name)
    if named.role in ("litter", "other", "campaign"):
        return ()
    if named.role == "picture":
        short = cut(name)
        return (fold(named.stem),) if short == name else (fold(named.stem), fold(short))
    found = {fold(named.stem), fold(bare(named.stem))}
    if named.base:
        found |= {fold(named.base), fold(name)}
    if named.role == "note":
        found.update(anchors(named.stem))
    return tuple(sorted(found))


def stem_of(what: Named) -> str:
    """The stem that a sidecar without a picture means; a note on a brief means what the brief means."""
    inner = classify(what.stem) if what.role == "note" else what
    return bare(inner.stem if inner.role == "brief" else what.stem)


def bare(stem: str) -> str:
    """The stem without a picture's suffix: ``hero`` of ``hero.png``."""
    base, suffix = os.path.splitext(stem)
    return base if suffix.lower() in PICTURE_SUFFIXES else stem


def cut(name: str) -> str:
    """As much of a picture's name as its problem note can carry."""
    raw = os.fsencode(name)
    return name if len(raw) <= _NOTE_ROOM else os.fsdecode(raw[:_NOTE_ROOM])
