"""What lies together in a folder: which names are pictures, which are sidecars, and whose. Names only; nothing is opened."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from goldsmith.files import display_name, fold
from goldsmith.pipeline.intake.names import (
    Named,
    Role,
    classify,
    cut,
    stem_of,
)


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
            for known in {fold(name), fold(cut(name))}:
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
    listed = " and ".join(f"“{display_name(name)}”" for name in names)
    return names[:1], f"{listed} claim the same place beside “{display_name(picture.rstrip('/'))}”: keep one of them."


def _which(name: str, what: Named, candidates: list[str]) -> str:
    tail = f".mask{os.path.splitext(name)[1]}" if what.base else name[len(what.stem) :]
    pictures = " or ".join(f"“{display_name(picture)}”" for picture in candidates)
    better = " or ".join(f"“{display_name(picture + tail)}”" for picture in candidates)
    return f"“{display_name(name)}” could belong to {pictures}: call it {better}."


def key_of(path: str) -> Key:
    """The key of the bundle that goes by that path: a picture's, or a brief's that stands alone."""
    place, name = posixpath.split(path)
    folder, _, campaign = place.partition("/")
    named = classify(name)
    return Key(folder, campaign, fold(stem_of(named)) + "/" if named.role == "brief" else name)
