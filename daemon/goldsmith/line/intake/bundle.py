"""What lies together in a folder: which names are pictures, which are sidecars, and whose. Names only; nothing is opened."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Named(NamedTuple):
    """What one name says by itself."""

    stem: str
    """What it belongs to, as written: ``hero``, or a picture's whole name (``hero.png``) where the sidecar says which."""
    role: Role
    label: str = ""
    """The NAME of a mask, keep or layer, folded; ``mask`` for the unnamed one."""
    base: str = ""
    """The stem it would have as the picture that is spoken of: ``hero_mask.png`` and ``hero.psd`` are that, where no ``hero`` is there."""


class Key(NamedTuple):
    """What a bundle goes by for as long as its picture lies where it lies.

    A brief without a picture goes by its stem: once the picture comes it is another bundle, and what was begun without it is withdrawn.
    """

    folder: str
    campaign: str
    name: str
    """The picture's file name; a folded stem and ``/`` where there are only sidecars yet."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A picture and what lies beside it. Paths are POSIX, relative to the root; ``campaign`` is ``""`` at the top of the folder."""

    key: Key
    stem: str
    picture: str | None = None
    masks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keeps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refs: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()
    brief: str | None = None
    prompt: str | None = None
    note: str | None = None
    campaign_brief: str | None = None
    ambiguous: str = ""
    """A sentence, where a sidecar does not say which picture it means, or two claim the same place."""

    @property
    def asset(self) -> str:
        """The path that stands for all of it, in notes, in the journal and in history: the picture's, or a brief's that stands alone.

        "" where there is neither: sidecars of a picture that has yet to come.
        """
        return self.picture or self.brief or ""

    @property
    def alone(self) -> bool:
        """True for a brief without a picture: its words may be all there is to begin with."""
        return self.picture is None and self.brief is not None

    @property
    def folder(self) -> str:
        return self.key.folder

    @property
    def campaign(self) -> str:
        return self.key.campaign

    @property
    def instructed(self) -> bool:
        """True where anything beside the picture says that something is to be done, or tried to say so."""
        said = self.brief or self.prompt or self.campaign_brief or self.ambiguous
        return bool(said or self.masks or self.keeps or self.layers or self.refs or self.looks)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the bundle, the picture first; neither the note nor the campaign's brief."""
        shelves = (self.masks, self.keeps, self.layers)
        named = tuple(path for shelf in shelves for paths in shelf.values() for path in paths)
        singles = (self.picture, *named, *self.refs, *self.looks, self.brief, self.prompt)
        return tuple(path for path in singles if path is not None)


def shown(name: str) -> str:
    """The name as it may stand in a sentence: no control or text-direction characters, no undecodable bytes."""
    return "".join("�" if char in _BIDI or unicodedata.category(char) in ("Cc", "Cs") else char for char in name)


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
        cut = _cut(name)
        return (fold(named.stem),) if cut == name else (fold(named.stem), fold(cut))
    found = {fold(named.stem), fold(bare(named.stem))}
    if named.base:
        found |= {fold(named.base), fold(name)}
    if named.role == "note":
        found.update(anchors(named.stem))
    return tuple(sorted(found))


def group(folder: str, campaign: str, names: Iterable[str], campaign_brief: str | None = None) -> list[Bundle]:
    """The bundles that names lying in one folder make, whatever the order of the names; sorted by key.

    ``campaign_brief`` is the path of the nearest ``brief.toml`` up the folders, if any.
    """
    named = {name: classify(name) for name in sorted(names)}
    pictures = _pictures(named)
    sorter = _Sorter(pictures)
    for name, what in named.items():
        if what.role not in ("picture", "foreign", "litter", "other", "campaign") and name not in pictures:
            sorter.place(name, what)
    place = posixpath.join(folder, campaign)
    found = []
    for name, sidecars in sorter.owned.items():
        key = Key(folder, campaign, name)
        found.append(_bundle(key, pictures[name], place, sidecars, sorter.unclear.get(name, ""), campaign_brief))
    for folded, orphans in sorter.orphans.items():
        stem = stem_of(next(iter(orphans.values())))
        found.append(_bundle(Key(folder, campaign, folded + "/"), stem, place, orphans, "", campaign_brief))
    return sorted(found, key=lambda bundle: bundle.key)


def _pictures(named: Mapping[str, Named]) -> dict[str, str]:
    """Name -> stem of every picture, with ``face_mask.png`` and ``face.psd`` where there is no ``face`` but sidecars that speak of one."""
    found = {name: what.stem for name, what in named.items() if what.role == "picture"}
    there = {fold(stem) for stem in found.values()} | {fold(name) for name in found}
    spoken = {fold(what.stem) for what in named.values() if what.role not in ("picture", "note", "foreign", "litter", "other", "campaign")}
    for name, what in named.items():
        if what.base and fold(what.stem) not in there and not spoken.isdisjoint((fold(what.base), fold(name))):
            found[name] = what.base
    return dict(sorted(found.items()))


class _Sorter:
    """Gives each sidecar to the one picture it means, to all that it might mean (a sentence), or to none (orphans)."""

    def __init__(self, pictures: Mapping[str, str]) -> None:
        self.owned: dict[str, dict[str, Named]] = {name: {} for name in pictures}
        self.orphans: dict[str, dict[str, Named]] = {}
        self.unclear: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name, stem in pictures.items():
            for known in {fold(name), fold(_cut(name))}:
                self._by_name.setdefault(known, []).append(name)
            self._by_stem.setdefault(fold(stem), []).append(name)

    def place(self, name: str, what: Named) -> None:
        candidates = self._candidates(what)
        if len(candidates) == 1:
            self.owned[candidates[0]][name] = what
        elif candidates:
            for picture in candidates:
                self.unclear.setdefault(picture, _which(name, what, candidates))
        else:
            self.orphans.setdefault(fold(stem_of(what)), {})[name] = what

    def _candidates(self, what: Named) -> list[str]:
        if what.stem in self.owned:
            return [what.stem]
        whole = self._by_name.get(fold(what.stem))
        if whole is not None:
            return whole
        if what.role != "note":
            return self._by_stem.get(fold(what.stem), [])
        inner = classify(what.stem)  # a note on a sidecar goes to the sidecar's picture
        return self._candidates(inner) if inner.role not in ("picture", "note", "other", "litter", "campaign") else []


def _bundle(key: Key, stem: str, place: str, sidecars: Mapping[str, Named], unclear: str, campaign_brief: str | None) -> Bundle:
    shelves: dict[Role, dict[str, tuple[str, ...]]] = {"mask": {}, "keep": {}, "layer": {}}
    flat: dict[Role, list[str]] = {"ref": [], "look": [], "brief": [], "prompt": [], "note": []}
    for name, what in sidecars.items():
        if what.role in shelves:
            shelf = shelves[what.role]
            shelf[what.label] = (*shelf.get(what.label, ()), posixpath.join(place, name))
        else:
            flat[what.role].append(name)
    for role in ("brief", "prompt"):
        flat[role], clash = _one(key.name, flat[role], sidecars)
        unclear = unclear or clash
    paths = {role: tuple(posixpath.join(place, name) for name in names) for role, names in flat.items()}
    return Bundle(
        key,
        stem,
        picture=None if key.name.endswith("/") else posixpath.join(place, key.name),
        masks=shelves["mask"],
        keeps=shelves["keep"],
        layers=shelves["layer"],
        refs=paths["ref"],
        looks=paths["look"],
        brief=next(iter(paths["brief"]), None),
        prompt=next(iter(paths["prompt"]), None),
        note=next(iter(paths["note"]), None),
        campaign_brief=campaign_brief,
        ambiguous=unclear,
    )


def _one(picture: str, names: list[str], sidecars: Mapping[str, Named]) -> tuple[list[str], str]:
    """Of several briefs (or prompts) the one that gives the picture's whole name; two alike are a sentence."""
    if len(names) < 2:
        return names, ""
    whole = [name for name in names if fold(sidecars[name].stem) == fold(picture)]
    if len(whole) == 1:
        return whole, ""
    listed = " and ".join(f"“{shown(name)}”" for name in names)
    return names[:1], f"{listed} claim the same place beside “{shown(picture.rstrip('/'))}”: keep one of them."


def _which(name: str, what: Named, candidates: list[str]) -> str:
    tail = f".mask{os.path.splitext(name)[1]}" if what.base else name[len(what.stem) :]
    pictures = " or ".join(f"“{shown(picture)}”" for picture in candidates)
    better = " or ".join(f"“{shown(picture + tail)}”" for picture in candidates)
    return f"“{shown(name)}” could belong to {pictures}: call it {better}."


def key_of(path: str) -> Key:
    """The key of the bundle that goes by that path: a picture's, or a brief's that stands alone."""
    place, name = posixpath.split(path)
    folder, _, campaign = place.partition("/")
    named = classify(name)
    return Key(folder, campaign, fold(stem_of(named)) + "/" if named.role == "brief" else name)


def stem_of(what: Named) -> str:
    """The stem that a sidecar without a picture means; a note on a brief means what the brief means."""
    inner = classify(what.stem) if what.role == "note" else what
    return bare(inner.stem if inner.role == "brief" else what.stem)


def bare(stem: str) -> str:
    """The stem without a picture's suffix: ``hero`` of ``hero.png``."""
    base, suffix = os.path.splitext(stem)
    return base if suffix.lower() in PICTURE_SUFFIXES else stem


def _cut(name: str) -> str:
    """As much of a picture's name as its problem note can carry."""
    raw = os.fsencode(name)
    return name if len(raw) <= _NOTE_ROOM else os.fsdecode(raw[:_NOTE_ROOM])
