"""The memory of the intake: the names in each folder, and which of them belong together.

A resting picture costs its name, one slot in two dictionaries and one small number; everything else is computed on demand.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache

from goldsmith.files import FileSignature, fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, group_bundles
from goldsmith.pipeline.intake.file_names import classify, group_keys, target_stem

# The token of a file that exists and was not examined.
UNCHECKED = 0
SYMLINK = -1
# The token of a pipe, a socket or a device.
SPECIAL_FILE = -2


def change_token(status: os.stat_result) -> int:
    """Return a number that changes when the file does; links and special files have one constant each."""
    if stat.S_ISREG(status.st_mode):
        return abs(hash(FileSignature.from_stat(status))) or 1
    return SYMLINK if stat.S_ISLNK(status.st_mode) else SPECIAL_FILE


@lru_cache(maxsize=1024)
def _group_cached(folder: str, campaign: str, names: tuple[str, ...], campaign_brief: str | None) -> tuple[Bundle, ...]:
    """Return the bundles of these names, in the order of their pictures; cached, because one turn asks for them several times."""
    order = {name: number for number, name in enumerate(names)}
    found = group_bundles(folder, campaign, names, campaign_brief)
    return tuple(sorted(found, key=lambda bundle: order.get(bundle.key.name, len(order))))


class FolderIndex:
    """One folder: a stage's own (campaign ``""``) or a campaign's."""

    __slots__ = ("brief", "campaign", "children", "names", "names_by_key", "path", "stage_folder")

    def __init__(self, path: str) -> None:
        self.path = path
        self.stage_folder, _, self.campaign = path.partition("/")
        self.names: dict[str, int] = {}
        self.names_by_key: dict[int, str | list[str]] = {}
        self.children: set[str] = set()
        # The path of this folder's own ``brief.toml``.
        self.brief: str | None = None

    def add(self, name: str, token: int) -> None:
        """Add a name; a name without a meaning is not kept."""
        if name in self.names:
            self.names[name] = token
            return
        if classify(name).role == "campaign":
            self.names[name] = token
            self.brief = posixpath.join(self.path, min(name, posixpath.basename(self.brief or name)))
            return
        found = group_keys(name)
        if not found:
            return
        self.names[name] = token
        for anchor in map(hash, found):
            there = self.names_by_key.get(anchor)
            if there is None:
                self.names_by_key[anchor] = name
            elif isinstance(there, str):
                self.names_by_key[anchor] = [there, name]
            else:
                there.append(name)

    def remove(self, name: str) -> None:
        """Remove a name."""
        if self.names.pop(name, None) is None:
            return
        if classify(name).role == "campaign":
            left = [other for other in self.names if classify(other).role == "campaign"]
            self.brief = posixpath.join(self.path, min(left)) if left else None
        for anchor in map(hash, group_keys(name)):
            there = self.names_by_key[anchor]
            if isinstance(there, str):
                del self.names_by_key[anchor]
                continue
            there.remove(name)
            if len(there) == 1:
                self.names_by_key[anchor] = there[0]

    def names_for(self, group_key: int) -> Sequence[str]:
        """Return the names with one group key."""
        there = self.names_by_key.get(group_key, ())
        return (there,) if isinstance(there, str) else there

    def connected_names(self, group_key: int) -> tuple[list[str], set[int]]:
        """Return all names that belong together with a group key, in order of arrival, and all their keys."""
        names: dict[str, None] = {}
        reached, open_ = {group_key}, [group_key]
        while open_:
            for name in self.names_for(open_.pop()):
                if name in names:
                    continue
                names[name] = None
                for further in map(hash, group_keys(name)):
                    if further not in reached:
                        reached.add(further)
                        open_.append(further)
        return list(names), reached

    def is_lone_picture(self, group_key: int) -> bool:
        """Return whether there is only one picture."""
        there = self.names_by_key.get(group_key)
        return isinstance(there, str) and classify(there).role == "picture"


class BundleIndex:
    """All folders under the stage folders, by path."""

    def __init__(self) -> None:
        self.folders: dict[str, FolderIndex] = {}

    def __len__(self) -> int:
        return sum(len(place.names) for place in self.folders.values())

    def get_or_create(self, path: str) -> FolderIndex:
        """Return the folder with that path, created if it is new."""
        place = self.folders.get(path)
        if place is None:
            place = self.folders[path] = FolderIndex(path)
            above = posixpath.dirname(path)
            if above:
                self.get_or_create(above).children.add(path)
        return place

    def subtree(self, path: str) -> list[FolderIndex]:
        """Return that folder and all campaigns in it."""
        found, open_ = [], [path]
        while open_:
            place = self.folders.get(open_.pop())
            if place is not None:
                found.append(place)
                open_.extend(place.children)
        return found

    def remove_subtree(self, path: str) -> list[FolderIndex]:
        """Remove a folder and all campaigns in it, and return what was removed."""
        gone = self.subtree(path)
        for place in gone:
            del self.folders[place.path]
        above = self.folders.get(posixpath.dirname(path))
        if above is not None:
            above.children.discard(path)
        return gone

    def campaign_brief(self, folder: FolderIndex) -> str | None:
        """Return the nearest ``brief.toml``, from this folder up to the stage's folder."""
        path = folder.path
        while path:
            above = self.folders.get(path)
            if above is not None and above.brief is not None:
                return above.brief
            path = posixpath.dirname(path)
        return None

    def bundles_for_names(self, folder: FolderIndex, names: Sequence[str]) -> list[Bundle]:
        """Return the bundles of some names of a folder, in the order of their pictures."""
        return list(_group_cached(folder.stage_folder, folder.campaign, tuple(names), self.campaign_brief(folder)))

    def bundle(self, key: BundleKey) -> Bundle | None:
        """Return the bundle with that key as the folder is now known."""
        place = self.folders.get(posixpath.join(key.folder, key.campaign) if key.campaign else key.folder)
        if place is None:
            return None
        alone = key.name.endswith("/")
        if not alone and key.name not in place.names:
            return None
        found = (key.name[:-1],) if alone else group_keys(key.name)
        if not found:
            return None
        names, _ = place.connected_names(hash(found[0]))
        return next((bundle for bundle in self.bundles_for_names(place, names) if bundle.key == key), None)

    def bundle_containing(self, path: str) -> Bundle | None:
        """Return the bundle that a file belongs to, its note included."""
        above, name = posixpath.split(path)
        place = self.folders.get(above)
        if place is None or name not in place.names:
            return None
        for anchor in group_keys(name)[:1]:
            names, _ = place.connected_names(hash(anchor))
            return next((one for one in self.bundles_for_names(place, names) if path in one.files or path == one.note), None)
        return None

    def bundles(self) -> Iterator[Bundle]:
        """Yield every bundle, lone pictures included, folder by folder."""
        for place in list(self.folders.values()):
            seen: set[int] = set()
            for anchor in list(place.names_by_key):
                if anchor in seen:
                    continue
                names, reached = place.connected_names(anchor)
                seen |= reached
                yield from self.bundles_for_names(place, names)


def find_companion(brief: str, names: Sequence[str]) -> str | None:
    """Return the path of a file that belongs to a brief without a picture; None if there is none. ``names`` are the other names in its
    folder.
    """
    above, own = posixpath.split(brief)
    stem = fold_name(target_stem(classify(own)))
    if not any(name != own and fold_name(name).startswith(stem) for name in names):
        return None  # the most frequent case by far, and what a folder of a hundred thousand names costs
    index = BundleIndex()
    place = index.get_or_create(above)
    for name in dict.fromkeys((own, *names)):
        place.add(name, UNCHECKED)
    together, _ = place.connected_names(hash(stem))
    whose = [bundle for bundle in index.bundles_for_names(place, together) if brief in bundle.files or bundle.ambiguity]
    return next((path for bundle in whose for path in bundle.files if path != brief), None)
