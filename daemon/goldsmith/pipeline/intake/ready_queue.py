"""Which bundles come up for another look, in order, a slice at a time."""

from __future__ import annotations

import posixpath
from collections import OrderedDict

from goldsmith.files import fold
from goldsmith.pipeline.intake.bundle import Bundle, Key
from goldsmith.pipeline.intake.index import Index, Place
from goldsmith.pipeline.intake.names import anchors, classify, stem_of


class Surfacing:
    """Nominated names on one side, keys of bundles with an instruction on the other."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._nominated: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lapsed: OrderedDict[Key, None] = OrderedDict()
        self._up: set[Key] = set()
        """Keys that came up with an instruction and may still be in somebody's hands."""

    def __bool__(self) -> bool:
        return bool(self._nominated or self._lapsed)

    def nominate(self, place: Place, name: str) -> None:
        """Something happened to this name."""
        for anchor in map(hash, anchors(name)):
            if not self._rests(place, anchor):
                self._nominated[place.path, anchor] = None

    def nominate_all(self, campaign_brief: str) -> None:
        """Something happened to a campaign's brief: everything in its folder and below."""
        for place in self._index.below(posixpath.dirname(campaign_brief)):
            self._nominated.update(dict.fromkeys((place.path, anchor) for anchor in place.stems))

    def lapse(self, place: Place, name: str) -> None:
        """This name goes: bundles that were called after it come up once more."""
        self._lapsed.update(dict.fromkeys(key for key in _keys(place, name) if key in self._up))

    def discard(self, place: Place, name: str) -> None:
        """This name went with the daemon's own knowledge: nothing comes up for it."""
        self._up.difference_update(_keys(place, name))

    def take(self, limit: int) -> list[Key]:
        """Up to ``limit`` keys, each once, in the order in which their bundles were nominated."""
        found: dict[Key, None] = {}
        steps = 4 * limit
        while self and len(found) < limit and steps > 0:
            steps -= 1
            if self._lapsed:
                self._take_lapsed(found)
            else:
                self._take_nominated(found)
        return list(found)

    def _take_lapsed(self, found: dict[Key, None]) -> None:
        key, _ = self._lapsed.popitem(last=False)
        if key in self._up and self._index.bundle(key) is None:
            self._up.discard(key)
            found[key] = None

    def _take_nominated(self, found: dict[Key, None]) -> None:
        (path, anchor), _ = self._nominated.popitem(last=False)
        place = self._index.places.get(path)
        if place is None:
            return
        names, reached = place.together(anchor)
        for other in reached:
            self._nominated.pop((path, other), None)
        bundles = self._index.bundles_of(place, names)
        for bundle in bundles:
            self._offer(bundle, found)
        there = {bundle.key for bundle in bundles}
        for name in names:
            for key in _keys(place, name):
                if key in self._up and key not in there:
                    self._up.discard(key)
                    found[key] = None

    def _offer(self, bundle: Bundle, found: dict[Key, None]) -> None:
        if bundle.instructed:
            self._up.add(bundle.key)
            found[bundle.key] = None
        elif bundle.key in self._up:
            self._up.discard(bundle.key)
            found[bundle.key] = None

    def _rests(self, place: Place, anchor: int) -> bool:
        """True for a lonely picture that nobody has in hand: it is not worth a slot in a queue."""
        if not place.alone(anchor) or self._index.campaign_brief(place) is not None:
            return False
        return Key(place.folder, place.campaign, place.under(anchor)[0]) not in self._up


def _keys(place: Place, name: str) -> tuple[Key, Key]:
    """What a bundle could be called after this name: as its picture, or as one of its sidecars before the picture comes."""
    stem = fold(stem_of(classify(name)))
    return Key(place.folder, place.campaign, name), Key(place.folder, place.campaign, stem + "/")
