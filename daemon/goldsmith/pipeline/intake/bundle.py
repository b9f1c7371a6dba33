"""Group the names in a folder into bundles: pictures, and the sidecars of each. Only names are used; no file is opened."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from goldsmith.files import display_name, fold_name
from goldsmith.pipeline.intake.file_names import FileRole, ParsedName, classify, target_stem, truncate_for_note


class BundleKey(NamedTuple):
    """The key of a bundle while its picture stays in its place.

    A brief without a picture has its stem as the key. When the picture arrives, that is another bundle, and the work on the lone brief is
    withdrawn.
    """

    folder: str
    campaign: str
    # The picture's file name; a folded stem and ``/`` if there are only sidecars yet.
    name: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A picture and its sidecars. Paths are POSIX, relative to the root; ``campaign`` is ``""`` at the top of the folder."""

    key: BundleKey
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
    # A sentence if a sidecar may belong to several pictures, or two sidecars claim the same place.
    ambiguity: str = ""

    @property
    def asset(self) -> str:
        """The path that names the bundle in notes, in the journal and in the history: the picture's, or a lone brief's.

        "" if there is neither, only sidecars of a picture that has not arrived.
        """
        return self.picture or self.brief or ""

    @property
    def is_lone_brief(self) -> bool:
        """True for a brief without a picture, whose words may be enough to start."""
        return self.picture is None and self.brief is not None

    @property
    def folder(self) -> str:
        return self.key.folder

    @property
    def campaign(self) -> str:
        return self.key.campaign

    @property
    def has_instructions(self) -> bool:
        """True if a file beside the picture is an instruction, or tries to be one."""
        said = self.brief or self.prompt or self.campaign_brief or self.ambiguity
        return bool(said or self.masks or self.keeps or self.layers or self.refs or self.looks)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the bundle, the picture first, without the note and the campaign's brief."""
        paths_by_label = (self.masks, self.keeps, self.layers)
        named = tuple(path for names_list in paths_by_label for paths in names_list.values() for path in paths)
        singles = (self.picture, *named, *self.refs, *self.looks, self.brief, self.prompt)
        return tuple(path for path in singles if path is not None)


def group_bundles(folder: str, campaign: str, names: Iterable[str], campaign_brief: str | None = None) -> list[Bundle]:
    """Return the bundles of the names in one folder, in any order of the names; sorted by key.

    ``campaign_brief`` is the path of the nearest ``brief.toml`` up the folders, if any.
    """
    named = {name: classify(name) for name in sorted(names)}
    pictures = _pictures(named)
    sorter = _SidecarSorter(pictures)
    for name, what in named.items():
        if what.role not in ("picture", "foreign", "litter", "other", "campaign") and name not in pictures:
            sorter.assign(name, what)
    place = posixpath.join(folder, campaign)
    found = []
    for name, sidecars in sorter.sidecars.items():
        key = BundleKey(folder, campaign, name)
        found.append(_make_bundle(key, pictures[name], place, sidecars, sorter.ambiguities.get(name, ""), campaign_brief))
    for folded, orphans in sorter.orphans.items():
        stem = target_stem(next(iter(orphans.values())))
        found.append(_make_bundle(BundleKey(folder, campaign, folded + "/"), stem, place, orphans, "", campaign_brief))
    return sorted(found, key=lambda bundle: bundle.key)


def _pictures(named: Mapping[str, ParsedName]) -> dict[str, str]:
    """Return name -> stem of every picture; ``face_mask.png`` or ``face.psd`` is one if there are only sidecars of ``face``."""
    found = {name: what.stem for name, what in named.items() if what.role == "picture"}
    there = {fold_name(stem) for stem in found.values()} | {fold_name(name) for name in found}
    spoken = {
        fold_name(what.stem) for what in named.values() if what.role not in ("picture", "note", "foreign", "litter", "other", "campaign")
    }
    for name, what in named.items():
        if (
            what.picture_stem
            and fold_name(what.stem) not in there
            and not spoken.isdisjoint((fold_name(what.picture_stem), fold_name(name)))
        ):
            found[name] = what.picture_stem
    return dict(sorted(found.items()))


class _SidecarSorter:
    """Assign each sidecar to its one picture, to all pictures it may mean (with a sentence), or to none."""

    def __init__(self, pictures: Mapping[str, str]) -> None:
        self.sidecars: dict[str, dict[str, ParsedName]] = {name: {} for name in pictures}
        self.orphans: dict[str, dict[str, ParsedName]] = {}
        self.ambiguities: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name, stem in pictures.items():
            for known in {fold_name(name), fold_name(truncate_for_note(name))}:
                self._by_name.setdefault(known, []).append(name)
            self._by_stem.setdefault(fold_name(stem), []).append(name)

    def assign(self, name: str, parsed: ParsedName) -> None:
        candidates = self._candidates(parsed)
        if len(candidates) == 1:
            self.sidecars[candidates[0]][name] = parsed
        elif candidates:
            for picture in candidates:
                self.ambiguities.setdefault(picture, _ambiguity_message(name, parsed, candidates))
        else:
            self.orphans.setdefault(fold_name(target_stem(parsed)), {})[name] = parsed

    def _candidates(self, parsed: ParsedName) -> list[str]:
        if parsed.stem in self.sidecars:
            return [parsed.stem]
        whole = self._by_name.get(fold_name(parsed.stem))
        if whole is not None:
            return whole
        if parsed.role != "note":
            return self._by_stem.get(fold_name(parsed.stem), [])
        inner = classify(parsed.stem)  # a note on a sidecar belongs to the sidecar's picture
        return self._candidates(inner) if inner.role not in ("picture", "note", "other", "litter", "campaign") else []


def _make_bundle(
    key: BundleKey, stem: str, parent: str, sidecars: Mapping[str, ParsedName], ambiguity: str, campaign_brief: str | None
) -> Bundle:
    paths_by_label: dict[FileRole, dict[str, tuple[str, ...]]] = {"mask": {}, "keep": {}, "layer": {}}
    flat: dict[FileRole, list[str]] = {"ref": [], "look": [], "brief": [], "prompt": [], "note": []}
    for name, what in sidecars.items():
        if what.role in paths_by_label:
            names_list = paths_by_label[what.role]
            names_list[what.label] = (*names_list.get(what.label, ()), posixpath.join(parent, name))
        else:
            flat[what.role].append(name)
    for role in ("brief", "prompt"):
        flat[role], clash = _pick_one(key.name, flat[role], sidecars)
        ambiguity = ambiguity or clash
    paths = {role: tuple(posixpath.join(parent, name) for name in names) for role, names in flat.items()}
    return Bundle(
        key,
        stem,
        picture=None if key.name.endswith("/") else posixpath.join(parent, key.name),
        masks=paths_by_label["mask"],
        keeps=paths_by_label["keep"],
        layers=paths_by_label["layer"],
        refs=paths["ref"],
        looks=paths["look"],
        brief=next(iter(paths["brief"]), None),
        prompt=next(iter(paths["prompt"]), None),
        note=next(iter(paths["note"]), None),
        campaign_brief=campaign_brief,
        ambiguity=ambiguity,
    )


def _pick_one(picture: str, names: list[str], sidecars: Mapping[str, ParsedName]) -> tuple[list[str], str]:
    """Return, of several briefs (or prompts), the one with the picture's full name; a sentence if two are equivalent."""
    if len(names) < 2:
        return names, ""
    whole = [name for name in names if fold_name(sidecars[name].stem) == fold_name(picture)]
    if len(whole) == 1:
        return whole, ""
    listed = " and ".join(f"“{display_name(name)}”" for name in names)
    return names[:1], f"{listed} claim the same place beside “{display_name(picture.rstrip('/'))}”: keep one of them."


def _ambiguity_message(name: str, parsed: ParsedName, candidates: list[str]) -> str:
    tail = f".mask{os.path.splitext(name)[1]}" if parsed.picture_stem else name[len(parsed.stem) :]
    pictures = " or ".join(f"“{display_name(picture)}”" for picture in candidates)
    better = " or ".join(f"“{display_name(picture + tail)}”" for picture in candidates)
    return f"“{display_name(name)}” could belong to {pictures}: call it {better}."


def bundle_key(path: str) -> BundleKey:
    """Return the key of the bundle with that path: a picture's, or a lone brief's."""
    place, name = posixpath.split(path)
    folder, _, campaign = place.partition("/")
    named = classify(name)
    return BundleKey(folder, campaign, fold_name(target_stem(named)) + "/" if named.role == "brief" else name)
