"""The index of names: which names are in which folder, and which of them belong together.

A resting picture costs its name, one entry in each of two dictionaries, and one small number. Everything else is computed on demand.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import FileSignature, fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, group_bundles, join_returned
from goldsmith.pipeline.intake.file_names import candidate_base, classify, group_keys, target_stem
from goldsmith.pipeline.intake.near_misses import is_mask_folder, is_near_miss
from goldsmith.pipeline.intake.review_trays import join_left_behind

# The change token of a file that exists and was not examined.
UNCHECKED = 0
# The change token of a symbolic link.
SYMLINK = -1
# The change token of a pipe, a socket or a device.
SPECIAL_FILE = -2


def change_token(status: os.stat_result) -> int:
    """Return a number that changes when the file does. Links and special files have a fixed number for their kind."""
    if stat.S_ISREG(status.st_mode):
        return abs(hash(FileSignature.from_stat(status))) or 1
    return SYMLINK if stat.S_ISLNK(status.st_mode) else SPECIAL_FILE


@lru_cache(maxsize=1024)
def _group_cached(folder: str, campaign: str, names: tuple[str, ...], campaign_brief: str | None) -> tuple[Bundle, ...]:
    """Return the bundles of these names, in the order of their pictures. Several callers ask for the same names in one turn."""
    order = {name: number for number, name in enumerate(names)}
    bundles = group_bundles(folder, campaign, names, campaign_brief)
    return tuple(sorted(bundles, key=lambda bundle: order.get(bundle.key.name, len(order))))


class FolderIndex:
    """The names in one folder: a stage folder (campaign ``""``) or a campaign folder."""

    __slots__ = ("brief", "campaign", "children", "names", "names_by_key", "near_misses", "path", "picture_count", "stage_folder")

    def __init__(self, path: str) -> None:
        self.path = path
        self.stage_folder, _, self.campaign = path.partition("/")
        self.names: dict[str, int] = {}
        self.names_by_key: dict[int, str | list[str]] = {}
        self.children: set[str] = set()
        self.picture_count = 0
        # Names that may be meant as something else.
        self.near_misses: dict[str, None] = {}
        # Path of this folder's own ``brief.toml``.
        self.brief: str | None = None

    def add(self, name: str, token: int) -> None:
        """Add a name. A name without a role is ignored, unless it may be meant as something else."""
        if name in self.names:
            self.names[name] = token
            return
        role = classify(name).role
        if role == "campaign":
            self.names[name] = token
            self.brief = posixpath.join(self.path, min(name, posixpath.basename(self.brief or name)))
            return
        if is_near_miss(name) or (role in ("picture", "mask") and is_mask_folder(self.path)):
            self.near_misses[name] = None
        keys = group_keys(name)
        if not keys and name not in self.near_misses:
            return
        self.picture_count += role == "picture"
        self.names[name] = token
        for key in map(hash, keys):
            known = self.names_by_key.get(key)
            if known is None:
                self.names_by_key[key] = name
            elif isinstance(known, str):
                self.names_by_key[key] = [known, name]
            else:
                known.append(name)

    def remove(self, name: str) -> None:
        """Remove a name."""
        if self.names.pop(name, None) is None:
            return
        role = classify(name).role
        self.picture_count -= role == "picture"
        self.near_misses.pop(name, None)
        if role == "campaign":
            remaining = [other for other in self.names if classify(other).role == "campaign"]
            self.brief = posixpath.join(self.path, min(remaining)) if remaining else None
        for key in map(hash, group_keys(name)):
            known = self.names_by_key[key]
            if isinstance(known, str):
                del self.names_by_key[key]
                continue
            known.remove(name)
            if len(known) == 1:
                self.names_by_key[key] = known[0]

    def names_for(self, group_key: int) -> Sequence[str]:
        """Return the names with this group key."""
        known = self.names_by_key.get(group_key, ())
        return (known,) if isinstance(known, str) else known

    def connected_names(self, group_key: int) -> tuple[list[str], set[int]]:
        """Return all names that are connected to a group key through shared keys, in order of arrival, and all their keys."""
        names: dict[str, None] = {}
        reached, pending = {group_key}, [group_key]
        while pending:
            for name in self.names_for(pending.pop()):
                if name in names:
                    continue
                names[name] = None
                for key in map(hash, group_keys(name)):
                    if key not in reached:
                        reached.add(key)
                        pending.append(key)
        return list(names), reached

    def pictures_with_stem(self, stem: str) -> list[str]:
        """Return the names of the pictures with this folded stem."""
        return [name for name in self.names_for(hash(stem)) if classify(name).role == "picture" and fold_name(classify(name).stem) == stem]

    def has_mask(self, stem: str) -> bool:
        """Return whether a picture with this folded stem has an unnamed mask."""
        parsed_names = map(classify, self.names_for(hash(stem)))
        return any((parsed.role, parsed.label, fold_name(parsed.stem)) == ("mask", "mask", stem) for parsed in parsed_names)

    def some_pictures(self) -> list[str]:
        """Return the names of two pictures that are no near misses; fewer if there are fewer."""
        pictures = (name for name in self.names if name not in self.near_misses and classify(name).role == "picture")
        return list(islice(pictures, 2))

    def is_lone_picture(self, group_key: int) -> bool:
        """Return whether the only name with this key is a picture."""
        known = self.names_by_key.get(group_key)
        return isinstance(known, str) and classify(known).role == "picture"


class BundleIndex:
    """All folders in and below the stage folders, by path. ``is_placed``: whether Goldsmith put the file of a path there."""

    def __init__(self, is_placed: Callable[[str], bool] = lambda path: False) -> None:
        self._is_placed = is_placed
        self.folders: dict[str, FolderIndex] = {}

    def get_or_create(self, path: str) -> FolderIndex:
        """Return the folder of this path; add it if it is new."""
        folder = self.folders.get(path)
        if folder is not None:
            return folder
        folder = self.folders[path] = FolderIndex(path)
        while parent := posixpath.dirname(path):
            is_known = parent in self.folders
            self.folders.setdefault(parent, FolderIndex(parent)).children.add(path)
            if is_known:
                break
            path = parent
        return folder

    def subtree(self, path: str) -> list[FolderIndex]:
        """Return this folder and all campaign folders below it."""
        folders, pending = [], [path]
        while pending:
            folder = self.folders.get(pending.pop())
            if folder is not None:
                folders.append(folder)
                pending.extend(folder.children)
        return folders

    def remove_subtree(self, path: str) -> list[FolderIndex]:
        """Remove a folder and all campaign folders below it; return the removed folders."""
        removed = self.subtree(path)
        for folder in removed:
            del self.folders[folder.path]
        parent = self.folders.get(posixpath.dirname(path))
        if parent is not None:
            parent.children.discard(path)
        return removed

    def campaign_brief(self, folder: FolderIndex) -> str | None:
        """Return the path of the nearest ``brief.toml``, from this folder up to the stage folder."""
        path = folder.path
        while path:
            parent = self.folders.get(path)
            if parent is not None and parent.brief is not None:
                return parent.brief
            path = posixpath.dirname(path)
        return None

    def bundles_for_names(self, folder: FolderIndex, names: Sequence[str]) -> list[Bundle]:
        """Return the bundles of these names in a folder, in the order of their pictures."""
        bundles = self._own_bundles(folder, names)
        return [self._join_left_behind(bundle) for bundle in bundles] if folder.stage_folder == REVIEW_FOLDER else bundles

    def _own_bundles(self, folder: FolderIndex, names: Sequence[str]) -> list[Bundle]:
        """Return the bundles of these names in a folder, without what lies in other folders."""
        bundles = _group_cached(folder.stage_folder, folder.campaign, tuple(names), self.campaign_brief(folder))
        return join_returned(bundles, self._is_placed) if any(bundle.twins for bundle in bundles) else list(bundles)

    def _join_left_behind(self, bundle: Bundle) -> Bundle:
        """Return a bundle of review/ with the files that its picture has left behind."""
        stem = fold_name(bundle.stem)
        base = candidate_base(stem)
        others = [
            other
            for folder in self.subtree(REVIEW_FOLDER)
            if folder.names_for(hash(base))
            for other in self._own_bundles(folder, folder.connected_names(hash(base))[0])
            if candidate_base(fold_name(other.stem)) == base
        ]
        return join_left_behind(bundle, others, list(self._pictures_beyond(stem, bundle.campaign)))

    def _pictures_beyond(self, stem: str, campaign: str) -> Iterator[str]:
        """Yield the paths of the pictures with this folded stem in the stages' folders, in this campaign or in none."""
        for top in [path for path in self.folders if "/" not in path and path != REVIEW_FOLDER]:
            for path in dict.fromkeys((posixpath.join(top, campaign).rstrip("/"), top)):
                folder = self.folders.get(path)
                yield from () if folder is None else (posixpath.join(path, name) for name in folder.pictures_with_stem(stem))

    def review_folders_with(self, folder: FolderIndex, name: str) -> list[tuple[FolderIndex, int]]:
        """Return the other folders in review/ with names that may belong to this name, each with the group key of these names."""
        if REVIEW_FOLDER not in self.folders:
            return []
        keys = [hash(key) for key in group_keys(name)]
        return [(other, key) for other in self.subtree(REVIEW_FOLDER) if other is not folder for key in keys if other.names_for(key)]

    def bundle(self, key: BundleKey) -> Bundle | None:
        """Return the bundle with this key, from the names that the index has now."""
        folder = self.folders.get(posixpath.join(key.folder, key.campaign) if key.campaign else key.folder)
        if folder is None:
            return None
        has_no_picture = key.name.endswith("/")
        if not has_no_picture and key.name not in folder.names:
            return None
        keys = (key.name[:-1],) if has_no_picture else group_keys(key.name)
        if not keys:
            return None
        names, _ = folder.connected_names(hash(keys[0]))
        return next((bundle for bundle in self.bundles_for_names(folder, names) if bundle.key == key), None)

    def bundle_containing(self, path: str) -> Bundle | None:
        """Return the bundle that contains this file or has it as its note."""
        parent, name = posixpath.split(path)
        folder = self.folders.get(parent)
        if folder is None or name not in folder.names:
            return None
        for group_key in group_keys(name)[:1]:
            names, _ = folder.connected_names(hash(group_key))
            return next((bundle for bundle in self.bundles_for_names(folder, names) if path in bundle.files or path == bundle.note), None)
        return None

    def bundles(self) -> Iterator[Bundle]:
        """Yield every bundle, lone pictures included, folder by folder."""
        for folder in list(self.folders.values()):
            visited_keys: set[int] = set()
            for group_key in list(folder.names_by_key):
                if group_key in visited_keys:
                    continue
                names, reached = folder.connected_names(group_key)
                visited_keys |= reached
                yield from self.bundles_for_names(folder, names)


def find_companion(brief: str, names: Sequence[str]) -> str | None:
    """Return the path of a file that belongs to a brief that was processed as a lone brief; None if there is none.

    ``names`` are the other names in its folder.
    """
    parent, own_name = posixpath.split(brief)
    stem = fold_name(target_stem(classify(own_name)))
    if not any(name != own_name and fold_name(name).startswith(stem) for name in names):
        return None  # the usual case; it must stay cheap in a folder of a hundred thousand names
    index = BundleIndex()
    folder = index.get_or_create(parent)
    for name in dict.fromkeys((own_name, *names)):
        folder.add(name, UNCHECKED)
    connected, _ = folder.connected_names(hash(stem))
    own_bundles = [bundle for bundle in index.bundles_for_names(folder, connected) if brief in bundle.files or bundle.ambiguity]
    return next((path for bundle in own_bundles for path in bundle.files if path != brief), None)
