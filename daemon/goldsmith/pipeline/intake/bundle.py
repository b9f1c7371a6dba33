"""Bundles: which names in a folder are pictures, which are sidecars, and to which picture each sidecar belongs. No file is opened."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from goldsmith.brief.pipeline import REVIEW_FOLDER, REVIEW_TRAYS
from goldsmith.files import display_name, fold_name
from goldsmith.picture.formats.table import describe_suffix
from goldsmith.pipeline.intake.file_names import (
    FileRole,
    ParsedName,
    classify,
    strip_repeated_suffix,
    target_stem,
    truncate_for_note,
)


class BundleKey(NamedTuple):
    """The identity of a bundle while its picture stays where it is.

    A brief without a picture has the key of its stem. When the picture arrives, the bundle gets another key, and jobs of the old key are
    withdrawn.
    """

    folder: str
    campaign: str
    # The picture's file name; the folded stem and ``/`` while there are only sidecars.
    name: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A picture and the files that belong to it. Paths are POSIX, relative to the root; ``campaign`` is "" in the stage folder itself."""

    key: BundleKey
    stem: str
    picture: str | None = None
    masks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keeps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refs: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()
    # Metadata sidecars: ``hero.xmp``, then ``hero.png.xmp``, which is the more exact name and wins.
    xmps: tuple[str, ...] = ()
    brief: str | None = None
    prompt: str | None = None
    # What Goldsmith has laid beside a result for a review: its sheet, and copies of what it was made from.
    reviews: tuple[str, ...] = ()
    note: str | None = None
    campaign_brief: str | None = None
    # A sentence if it is unclear to which picture a sidecar belongs, if two sidecars have the same role, or if one cannot be read.
    ambiguity: str = ""
    # The files that ``ambiguity`` is about and that are in no other field.
    disputed: tuple[str, ...] = ()
    # The other pictures of the folder with the same stem, by name: ``hero.jpg`` beside ``hero.png``. Each is an asset of its own.
    twins: tuple[str, ...] = ()
    # The result of an earlier job that an editor has saved as another kind of file, as this picture; a worker checks that. Else None.
    returned_from: str | None = None
    # The campaign of a picture that was dragged into a tray of review/, if it is known from what it has left behind; else None.
    home_campaign: str | None = None
    # Copies of the picture and of its brief that were left behind when the picture was copied into a tray.
    left_behind: tuple[str, ...] = ()
    # The other candidates that wait for the same pick; those in the same tray are in ``rivals``.
    candidates: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    # Pictures of this name in the stages' folders. If the bundle's picture has left review/ past the trays, it is one of them.
    beyond: tuple[str, ...] = ()

    @property
    def asset(self) -> str:
        """The path that names the bundle in notes, in the journal and in history: the picture's, or that of a brief without a picture.

        "" for sidecars whose picture has not arrived yet.
        """
        return self.picture or self.brief or ""

    @property
    def is_lone_brief(self) -> bool:
        """True for a brief without a picture, which may ask for a picture to be generated."""
        return self.picture is None and self.brief is not None

    @property
    def folder(self) -> str:
        return self.key.folder

    @property
    def campaign(self) -> str:
        return self.key.campaign

    @property
    def tray(self) -> str:
        """The tray of review/ in which the picture lies; "" if it lies in none."""
        return split_tray(self.key.folder, self.key.campaign)[0]

    @property
    def target_campaign(self) -> str:
        """The campaign in which the results belong: a tray is none."""
        if self.home_campaign is not None:
            return self.home_campaign
        return split_tray(self.key.folder, self.key.campaign)[1]

    @property
    def has_instructions(self) -> bool:
        """True if a file beside the picture asks for work, or could not be assigned."""
        asking = self.brief or self.prompt or self.campaign_brief or self.ambiguity
        return bool(asking or self.masks or self.keeps or self.layers or self.controls or self.refs or self.looks)

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the bundle, the picture first, without the note and the campaign's brief."""
        by_label = (self.masks, self.keeps, self.layers, self.controls)
        labelled = tuple(path for group in by_label for paths in group.values() for path in paths)
        singles = (
            self.picture,
            *labelled,
            *self.refs,
            *self.looks,
            *self.xmps,
            self.brief,
            self.prompt,
            self.returned_from,
            *self.reviews,
            *self.left_behind,
            *self.candidates,
        )
        return tuple(path for path in singles if path is not None)


def split_tray(folder: str, campaign: str) -> tuple[str, str]:
    """Return the tray of review/ that a campaign's path begins with ("" if none), and the campaign without it."""
    first, _, rest = campaign.partition("/")
    tray = first.casefold()
    return (tray, rest) if folder == REVIEW_FOLDER and tray in REVIEW_TRAYS else ("", campaign)


def group_bundles(folder: str, campaign: str, names: Iterable[str], campaign_brief: str | None = None) -> list[Bundle]:
    """Return the bundles of the names in one folder, sorted by key; the order of the names does not matter.

    ``campaign_brief`` is the path of the nearest ``brief.toml`` up the folders, if any.
    """
    parsed_names = {name: classify(name) for name in sorted(names)}
    pictures = _pictures(parsed_names, has_campaign_brief=campaign_brief is not None)
    sorter = _SidecarSorter(pictures)
    for name, parsed in parsed_names.items():
        if parsed.role not in ("picture", "foreign", "litter", "other", "campaign") and name not in pictures:
            sorter.assign(name, parsed)
    for name, parsed in parsed_names.items():
        if parsed.role == "foreign" and name not in pictures:
            sorter.assign_foreign(name, parsed)
    parent = posixpath.join(folder, campaign)
    bundles = []
    for name, sidecars in sorter.sidecars.items():
        key = BundleKey(folder, campaign, name)
        bundle = _make_bundle(key, pictures[name], parent, sidecars, sorter.ambiguities.get(name), campaign_brief)
        bundles.append(replace(bundle, twins=twins) if (twins := sorter.twins(name, bundle.stem)) else bundle)
    for folded, orphans in sorter.orphans.items():
        stem = target_stem(next(iter(orphans.values())))
        bundles.append(_make_bundle(BundleKey(folder, campaign, folded + "/"), stem, parent, orphans, None, campaign_brief))
    return sorted(bundles, key=lambda bundle: bundle.key)


def join_returned(bundles: Iterable[Bundle], is_placed: Callable[[str], bool]) -> list[Bundle]:
    """Return the bundles; of two pictures with one brief, a file that Goldsmith did not put there takes the place of one that it did.

    That is how a picture comes back from an editor as another kind of file. ``is_placed``: whether Goldsmith put a file there, by its path.
    """
    result = list(bundles)
    for newer in [bundle for bundle in result if bundle.picture and bundle.disputed and len(bundle.twins) == 1]:
        older_path = posixpath.join(posixpath.dirname(newer.asset), newer.twins[0])
        older = next((bundle for bundle in result if bundle.picture == older_path), None)
        if older is None or is_placed(newer.asset) or not is_placed(older_path):
            continue
        notes = [bundle.note for bundle in (newer, older) if bundle.note]
        names = {posixpath.basename(path) for path in (*newer.files, *newer.disputed, *notes)}
        joined = group_bundles(newer.folder, newer.campaign, names, newer.campaign_brief)
        if len(joined) == 1 and not joined[0].ambiguity:
            result[result.index(newer)] = replace(joined[0], returned_from=older_path)
            result.remove(older)
    return result


def _pictures(parsed_names: Mapping[str, ParsedName], *, has_campaign_brief: bool) -> dict[str, str]:
    """Return name -> stem of each picture.

    ``face_mask.png`` and ``face.psd`` count as pictures if there is no ``face`` and a sidecar refers to one; ``face.psd`` also if the
    campaign has a brief.
    """
    pictures = {name: parsed.stem for name, parsed in parsed_names.items() if parsed.role == "picture"}
    known = {fold_name(stem) for stem in pictures.values()} | {fold_name(name) for name in pictures}
    not_sidecars = ("picture", "note", "foreign", "litter", "other", "campaign")
    sidecar_stems = {fold_name(parsed.stem) for parsed in parsed_names.values() if parsed.role not in not_sidecars}
    for name, parsed in parsed_names.items():
        if (
            parsed.picture_stem
            and fold_name(parsed.stem) not in known
            and (
                (has_campaign_brief and parsed.foreign_role == parsed.role == "foreign")
                or not sidecar_stems.isdisjoint((fold_name(parsed.picture_stem), fold_name(name)))
            )
        ):
            pictures[name] = parsed.picture_stem
    return dict(sorted(pictures.items()))


class _SidecarSorter:
    """Assigns each sidecar to its picture. A sidecar of several possible pictures is ambiguous; one of no picture is an orphan."""

    def __init__(self, pictures: Mapping[str, str]) -> None:
        self.sidecars: dict[str, dict[str, ParsedName]] = {name: {} for name in pictures}
        self.orphans: dict[str, dict[str, ParsedName]] = {}
        # Picture -> a sentence, and the sidecars that it is about.
        self.ambiguities: dict[str, tuple[str, list[str]]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name, stem in pictures.items():
            for folded in {fold_name(name), fold_name(truncate_for_note(name))}:
                self._by_name.setdefault(folded, []).append(name)
            self._by_stem.setdefault(fold_name(stem), []).append(name)
        for name in pictures:
            self._by_name.setdefault(fold_name(strip_repeated_suffix(name)), [name])

    def twins(self, name: str, stem: str) -> tuple[str, ...]:
        """Return the other pictures with the same folded stem."""
        return tuple(other for other in self._by_stem.get(fold_name(stem), ()) if other != name)

    def assign(self, name: str, parsed: ParsedName) -> None:
        candidates = self._candidates(parsed)
        if len(candidates) == 1:
            self.sidecars[candidates[0]][name] = parsed
        elif candidates:
            for picture in candidates:
                self._dispute(picture, name, _ambiguity_message(name, parsed, candidates))
        else:
            self.orphans.setdefault(fold_name(target_stem(parsed)), {})[name] = parsed

    def assign_foreign(self, name: str, parsed: ParsedName) -> None:
        """Report a foreign file that is named as a sidecar, unless its picture has that sidecar in a format that is read."""
        if parsed.foreign_role == "foreign":
            return
        for picture in self._candidates(parsed):
            has_readable = any(
                (known.role, known.label) == (parsed.foreign_role, parsed.label) for known in self.sidecars[picture].values()
            )
            if not has_readable:
                self._dispute(picture, name, _foreign_message(name))

    def _dispute(self, picture: str, name: str, sentence: str) -> None:
        self.ambiguities.setdefault(picture, (sentence, []))[1].append(name)

    def _candidates(self, parsed: ParsedName) -> list[str]:
        if parsed.stem in self.sidecars:
            return [parsed.stem]
        by_name = self._by_name.get(fold_name(parsed.stem))
        if by_name is not None:
            return by_name
        if parsed.role != "note":
            return self._by_stem.get(fold_name(parsed.stem), [])
        inner = classify(parsed.stem)  # a note about a sidecar belongs to the picture of the sidecar
        return self._candidates(inner) if inner.role not in ("picture", "note", "other", "litter", "campaign") else []


def _make_bundle(
    key: BundleKey,
    stem: str,
    parent: str,
    sidecars: Mapping[str, ParsedName],
    dispute: tuple[str, list[str]] | None,
    campaign_brief: str | None,
) -> Bundle:
    ambiguity, disputed = dispute or ("", [])
    labelled: dict[FileRole, dict[str, tuple[str, ...]]] = {"mask": {}, "keep": {}, "layer": {}, "control": {}}
    flat: dict[FileRole, list[str]] = {"ref": [], "look": [], "xmp": [], "brief": [], "prompt": [], "note": [], "review": []}
    for name, parsed in sidecars.items():
        if parsed.role in labelled:
            paths_by_label = labelled[parsed.role]
            paths_by_label[parsed.label] = (*paths_by_label.get(parsed.label, ()), posixpath.join(parent, name))
        else:
            flat[parsed.role].append(name)
    for role in ("brief", "prompt"):
        flat[role], conflict, others = _pick_one(key.name, flat[role], sidecars)
        ambiguity, disputed = ambiguity or conflict, [*disputed, *others]
    flat["xmp"], conflict, others = _order_xmps(key.name, flat["xmp"], sidecars)
    ambiguity, disputed = ambiguity or conflict, [*disputed, *others]
    paths = {role: tuple(posixpath.join(parent, name) for name in names) for role, names in flat.items()}
    return Bundle(
        key,
        stem,
        picture=None if key.name.endswith("/") else posixpath.join(parent, key.name),
        masks=labelled["mask"],
        keeps=labelled["keep"],
        layers=labelled["layer"],
        controls=labelled["control"],
        refs=paths["ref"],
        looks=paths["look"],
        xmps=paths["xmp"],
        brief=next(iter(paths["brief"]), None),
        prompt=next(iter(paths["prompt"]), None),
        reviews=paths["review"],
        note=next(iter(paths["note"]), None),
        campaign_brief=campaign_brief,
        ambiguity=ambiguity,
        disputed=tuple(posixpath.join(parent, name) for name in disputed),
    )


def _pick_one(picture: str, names: list[str], sidecars: Mapping[str, ParsedName]) -> tuple[list[str], str, list[str]]:
    """Return the one brief (or prompt) to use; if several conflict, also a sentence and the others.

    A name with the picture's whole name wins.
    """
    if len(names) < 2:
        return names, "", []
    exact = [name for name in names if fold_name(sidecars[name].stem) == fold_name(picture)]
    if len(exact) == 1:
        return exact, "", []
    listed = " and ".join(f"“{display_name(name)}”" for name in names)
    sentence = f"{listed} claim the same place beside “{display_name(picture.rstrip('/'))}”: keep one of them."
    return names[:1], sentence, names[1:]


def _order_xmps(picture: str, names: list[str], sidecars: Mapping[str, ParsedName]) -> tuple[list[str], str, list[str]]:
    """Return ``hero.xmp``, then ``hero.png.xmp``; if two have the same meaning, also a sentence and the others."""
    exact = [name for name in names if fold_name(sidecars[name].stem) == fold_name(picture)]
    ordered, conflicts = [], []
    for alike in ([name for name in names if name not in exact], exact):
        kept, conflict, others = _pick_one(picture, alike, sidecars)
        ordered += kept
        conflicts.append((conflict, others))
    return ordered, conflicts[0][0] or conflicts[1][0], [*conflicts[0][1], *conflicts[1][1]]


def _ambiguity_message(name: str, parsed: ParsedName, candidates: list[str]) -> str:
    suffix = f".mask{os.path.splitext(name)[1]}" if parsed.picture_stem else name[len(parsed.stem) :]
    pictures = " or ".join(f"“{display_name(picture)}”" for picture in candidates)
    clearer = " or ".join(f"“{display_name(picture + suffix)}”" for picture in candidates)
    return f"“{display_name(name)}” could belong to {pictures}: call it {clearer}."


def _foreign_message(name: str) -> str:
    base, suffix = os.path.splitext(name)
    kind = describe_suffix(suffix.lower())
    return f"“{display_name(name)}” is {kind}, which Goldsmith does not read: save it as “{display_name(base + '.png')}”."


def bundle_key(path: str) -> BundleKey:
    """Return the key of the bundle that this path names: a picture, or a brief without a picture."""
    parent, name = posixpath.split(path)
    folder, _, campaign = parent.partition("/")
    parsed = classify(name)
    return BundleKey(folder, campaign, fold_name(target_stem(parsed)) + "/" if parsed.role == "brief" else name)
