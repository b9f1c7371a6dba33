"""Queue the bundles to look at again, in order, and return them in limited numbers."""

from __future__ import annotations

import posixpath
from collections import OrderedDict

from goldsmith.files import fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.intake.bundle_index import BundleIndex, FolderIndex
from goldsmith.pipeline.intake.file_names import classify, group_keys, target_stem


class ReadyQueue:
    """Queued names on one side, keys of bundles with an instruction on the other."""

    def __init__(self, index: BundleIndex) -> None:
        self._index = index
        self._changed: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._removed: OrderedDict[BundleKey, None] = OrderedDict()
        # Keys that were returned with an instruction and may still be in use.
        self._handed_out: set[BundleKey] = set()

    def __bool__(self) -> bool:
        return bool(self._changed or self._removed)

    def enqueue(self, folder: FolderIndex, name: str) -> None:
        """Queue a name that changed."""
        for anchor in map(hash, group_keys(name)):
            if not self._is_idle(folder, anchor):
                self._changed[folder.path, anchor] = None

    def enqueue_campaign(self, campaign_brief: str) -> None:
        """Queue everything in the folder of a campaign's brief and below it."""
        for place in self._index.subtree(posixpath.dirname(campaign_brief)):
            self._changed.update(dict.fromkeys((place.path, anchor) for anchor in place.names_by_key))

    def enqueue_removed(self, folder: FolderIndex, name: str) -> None:
        """Queue a name that is removed: bundles with that key are returned once more."""
        self._removed.update(dict.fromkeys(key for key in _possible_keys(folder, name) if key in self._handed_out))

    def discard(self, folder: FolderIndex, name: str) -> None:
        """Remove a name whose removal the daemon already knows about: nothing is returned for it."""
        self._handed_out.difference_update(_possible_keys(folder, name))

    def pop(self, limit: int) -> list[BundleKey]:
        """Return up to ``limit`` keys, each once, in the order in which their bundles were queued."""
        found: dict[BundleKey, None] = {}
        steps = 4 * limit
        while self and len(found) < limit and steps > 0:
            steps -= 1
            if self._removed:
                self._pop_removed(found)
            else:
                self._pop_changed(found)
        return list(found)

    def _pop_removed(self, found: dict[BundleKey, None]) -> None:
        key, _ = self._removed.popitem(last=False)
        if key in self._handed_out and self._index.bundle(key) is None:
            self._handed_out.discard(key)
            found[key] = None

    def _pop_changed(self, found: dict[BundleKey, None]) -> None:
        (path, anchor), _ = self._changed.popitem(last=False)
        place = self._index.folders.get(path)
        if place is None:
            return
        names, reached = place.connected_names(anchor)
        for other in reached:
            self._changed.pop((path, other), None)
        bundles = self._index.bundles_for_names(place, names)
        for bundle in bundles:
            self._hand_out(bundle, found)
        there = {bundle.key for bundle in bundles}
        for name in names:
            for key in _possible_keys(place, name):
                if key in self._handed_out and key not in there:
                    self._handed_out.discard(key)
                    found[key] = None

    def _hand_out(self, bundle: Bundle, found: dict[BundleKey, None]) -> None:
        if bundle.has_instructions:
            self._handed_out.add(bundle.key)
            found[bundle.key] = None
        elif bundle.key in self._handed_out:
            self._handed_out.discard(bundle.key)
            found[bundle.key] = None

    def _is_idle(self, folder: FolderIndex, group_key: int) -> bool:
        """Return whether the key belongs to a lone picture that is not in use, which needs no slot in the queue."""
        if not folder.is_lone_picture(group_key) or self._index.campaign_brief(folder) is not None:
            return False
        return BundleKey(folder.stage_folder, folder.campaign, folder.names_for(group_key)[0]) not in self._handed_out


def _possible_keys(folder: FolderIndex, name: str) -> tuple[BundleKey, BundleKey]:
    """Return the keys that a bundle could have by this name: as its picture, or as one of its sidecars before the picture arrives."""
    stem = fold_name(target_stem(classify(name)))
    return BundleKey(folder.stage_folder, folder.campaign, name), BundleKey(folder.stage_folder, folder.campaign, stem + "/")
