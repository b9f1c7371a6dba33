"""The queue of bundles that must be checked again, in fair turns, a limited number at a time."""

from __future__ import annotations

import posixpath
from collections import OrderedDict
from collections.abc import Collection

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.intake.bundle_index import BundleIndex, FolderIndex
from goldsmith.pipeline.intake.file_names import classify, group_keys, is_candidate_name, target_stem
from goldsmith.pipeline.turns import FolderTurns, TurnQueue


class ReadyQueue:
    """Takes changed names, and returns the keys of bundles that have an instruction."""

    def __init__(self, index: BundleIndex, turns: FolderTurns) -> None:
        self._index = index
        self._turns = turns
        # Path and group key of each group of names that changed.
        self._changed: TurnQueue[tuple[str, int], tuple[str, int]] = TurnQueue()
        self._changed_count = 0
        self._removed: OrderedDict[BundleKey, None] = OrderedDict()
        # Keys that were returned with an instruction, and may have jobs.
        self._handed_out: set[BundleKey] = set()

    def __bool__(self) -> bool:
        return bool(self._changed or self._removed)

    @property
    def instructed_keys(self) -> Collection[BundleKey]:
        """The keys that were returned with an instruction, and are still there."""
        return self._handed_out

    def enqueue(self, folder: FolderIndex, name: str) -> None:
        """Queue the bundles of a name that changed."""
        for group_key in map(hash, group_keys(name)):
            if not self._is_idle(folder, group_key):
                self._add_changed(folder, group_key)
        for review_folder, group_key in self._index.review_folders_with(folder, name):
            self._add_changed(review_folder, group_key)

    def enqueue_campaign(self, campaign_brief: str) -> None:
        """Queue all bundles in the folder of a campaign's brief and below, because the brief changed."""
        for folder in self._index.subtree(posixpath.dirname(campaign_brief)):
            for group_key in folder.names_by_key:
                self._add_changed(folder, group_key)

    def enqueue_removed(self, folder: FolderIndex, name: str) -> None:
        """Queue the bundles that have the key of a name which is being removed."""
        self._removed.update(dict.fromkeys(key for key in _possible_keys(folder, name) if key in self._handed_out))

    def discard(self, folder: FolderIndex, name: str) -> None:
        """Forget the bundles of a name that the daemon itself has removed: they are not returned again."""
        self._handed_out.difference_update(_possible_keys(folder, name))

    def pop(self, limit: int) -> list[BundleKey]:
        """Return up to ``limit`` keys, each once, in fair turns; in each campaign in the order in which their bundles were queued."""
        keys: dict[BundleKey, None] = {}
        steps = 4 * limit
        while self and len(keys) < limit and steps > 0:
            steps -= 1
            if self._removed:
                self._pop_removed(keys)
            else:
                self._pop_changed(keys)
        return list(keys)

    def _pop_removed(self, keys: dict[BundleKey, None]) -> None:
        key, _ = self._removed.popitem(last=False)
        if key in self._handed_out and self._index.bundle(key) is None:
            self._handed_out.discard(key)
            keys[key] = None

    def _pop_changed(self, keys: dict[BundleKey, None]) -> None:
        path, group_key = self._changed.pop()
        folder = self._index.folders.get(path)
        if folder is None:
            return
        names, reached = folder.connected_names(group_key)
        for reached_key in reached:
            self._changed.remove((path, reached_key), self._turns.of_folder(path))
        bundles = self._index.bundles_for_names(folder, names)
        for bundle in bundles:
            self._hand_out(bundle, keys)
        present = {bundle.key for bundle in bundles}
        for name in names:
            for key in _possible_keys(folder, name):
                if key in self._handed_out and key not in present:
                    self._handed_out.discard(key)
                    keys[key] = None

    def _add_changed(self, folder: FolderIndex, group_key: int) -> None:
        turn = self._turns.of_folder(folder.path)
        if not self._changed.contains((folder.path, group_key), turn):
            self._changed_count += 1
            self._changed.add((folder.path, group_key), (folder.path, group_key), turn, self._changed_count)

    def _hand_out(self, bundle: Bundle, keys: dict[BundleKey, None]) -> None:
        if bundle.has_instructions:
            self._handed_out.add(bundle.key)
            keys[bundle.key] = None
        elif bundle.key in self._handed_out or is_candidate_name(bundle.stem):  # a candidate's brief may be on record
            self._handed_out.discard(bundle.key)
            keys[bundle.key] = None

    def _is_idle(self, folder: FolderIndex, group_key: int) -> bool:
        """Return whether the key is that of a lone picture without jobs: such a picture needs no entry in the queue.

        A lone picture in review/ may have its brief in another folder.
        """
        if folder.stage_folder == REVIEW_FOLDER:
            return False
        if any(is_candidate_name(posixpath.splitext(name)[0]) for name in folder.names_for(group_key)):
            return False
        if not folder.is_lone_picture(group_key) or self._index.campaign_brief(folder) is not None:
            return False
        return BundleKey(folder.stage_folder, folder.campaign, folder.names_for(group_key)[0]) not in self._handed_out


def _possible_keys(folder: FolderIndex, name: str) -> tuple[BundleKey, BundleKey]:
    """Return the keys that a bundle with this name may have: with its picture, and as a sidecar before the picture arrives."""
    stem = fold_name(target_stem(classify(name)))
    return BundleKey(folder.stage_folder, folder.campaign, name), BundleKey(folder.stage_folder, folder.campaign, stem + "/")
