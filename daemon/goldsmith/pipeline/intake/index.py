"""Which names lie in which folder, and which of them hang together: the memory behind the intake.

A resting picture costs its name, one slot in two dictionaries and one small number: everything else is made when it is asked for.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache

from goldsmith.files import Sig, fold
from goldsmith.pipeline.intake.bundle import Bundle, Key, group
from goldsmith.pipeline.intake.names import anchors, classify, stem_of

UNSEEN = 0
"""The mark of a file that is there and was not looked at closer."""
LINK = -1
SPECIAL = -2
"""The mark of a pipe, a socket or a device."""


def mark_of(status: os.stat_result) -> int:
    """A number that changes when the file does; links and special files have one for their kind."""
    if stat.S_ISREG(status.st_mode):
        return abs(hash(Sig.of(status))) or 1
    return LINK if stat.S_ISLNK(status.st_mode) else SPECIAL


@lru_cache(maxsize=1024)
def _grouped(folder: str, campaign: str, names: tuple[str, ...], campaign_brief: str | None) -> tuple[Bundle, ...]:
    """The bundles of these names, in the order of their pictures; asked for again by everybody who looks at one in the same turn."""
    order = {name: number for number, name in enumerate(names)}
    found = group(folder, campaign, names, campaign_brief)
    return tuple(sorted(found, key=lambda bundle: order.get(bundle.key.name, len(order))))


class Place:
    """One folder: a stage's own (campaign ``""``) or a campaign's."""

    __slots__ = ("brief", "campaign", "children", "folder", "names", "path", "stems")

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder, _, self.campaign = path.partition("/")
        self.names: dict[str, int] = {}
        self.stems: dict[int, str | list[str]] = {}
        self.children: set[str] = set()
        self.brief: str | None = None
        """Path of this folder's own ``brief.toml``."""

    def add(self, name: str, mark: int) -> None:
        """Note a name; one that means nothing here is not kept."""
        if name in self.names:
            self.names[name] = mark
            return
        if classify(name).role == "campaign":
            self.names[name] = mark
            self.brief = posixpath.join(self.path, min(name, posixpath.basename(self.brief or name)))
            return
        found = anchors(name)
        if not found:
            return
        self.names[name] = mark
        for anchor in map(hash, found):
            there = self.stems.get(anchor)
            if there is None:
                self.stems[anchor] = name
            elif isinstance(there, str):
                self.stems[anchor] = [there, name]
            else:
                there.append(name)

    def remove(self, name: str) -> None:
        """Forget a name."""
        if self.names.pop(name, None) is None:
            return
        if classify(name).role == "campaign":
            left = [other for other in self.names if classify(other).role == "campaign"]
            self.brief = posixpath.join(self.path, min(left)) if left else None
        for anchor in map(hash, anchors(name)):
            there = self.stems[anchor]
            if isinstance(there, str):
                del self.stems[anchor]
                continue
            there.remove(name)
            if len(there) == 1:
                self.stems[anchor] = there[0]

    def under(self, anchor: int) -> Sequence[str]:
        """The names under one anchor."""
        there = self.stems.get(anchor, ())
        return (there,) if isinstance(there, str) else there

    def together(self, anchor: int) -> tuple[list[str], set[int]]:
        """All names that hang together with an anchor, in order of arrival, and all their anchors."""
        names: dict[str, None] = {}
        reached, open_ = {anchor}, [anchor]
        while open_:
            for name in self.under(open_.pop()):
                if name in names:
                    continue
                names[name] = None
                for further in map(hash, anchors(name)):
                    if further not in reached:
                        reached.add(further)
                        open_.append(further)
        return list(names), reached

    def alone(self, anchor: int) -> bool:
        """True for nothing but one picture."""
        there = self.stems.get(anchor)
        return isinstance(there, str) and classify(there).role == "picture"


class Index:
    """All places under the stages' folders, by path."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}

    def __len__(self) -> int:
        return sum(len(place.names) for place in self.places.values())

    def open(self, path: str) -> Place:
        """The place of that path, made where it is new."""
        place = self.places.get(path)
        if place is None:
            place = self.places[path] = Place(path)
            above = posixpath.dirname(path)
            if above:
                self.open(above).children.add(path)
        return place

    def below(self, path: str) -> list[Place]:
        """That place and all campaigns in it."""
        found, open_ = [], [path]
        while open_:
            place = self.places.get(open_.pop())
            if place is not None:
                found.append(place)
                open_.extend(place.children)
        return found

    def close(self, path: str) -> list[Place]:
        """Forget a place and all campaigns in it; what was forgotten."""
        gone = self.below(path)
        for place in gone:
            del self.places[place.path]
        above = self.places.get(posixpath.dirname(path))
        if above is not None:
            above.children.discard(path)
        return gone

    def campaign_brief(self, place: Place) -> str | None:
        """The nearest ``brief.toml``, from this place up to the stage's folder."""
        path = place.path
        while path:
            above = self.places.get(path)
            if above is not None and above.brief is not None:
                return above.brief
            path = posixpath.dirname(path)
        return None

    def bundles_of(self, place: Place, names: Sequence[str]) -> list[Bundle]:
        """The bundles that names of a place make, in the order of their pictures."""
        return list(_grouped(place.folder, place.campaign, tuple(names), self.campaign_brief(place)))

    def bundle(self, key: Key) -> Bundle | None:
        """The bundle of that key as the folder is now known to be."""
        place = self.places.get(posixpath.join(key.folder, key.campaign) if key.campaign else key.folder)
        if place is None:
            return None
        alone = key.name.endswith("/")
        if not alone and key.name not in place.names:
            return None
        found = (key.name[:-1],) if alone else anchors(key.name)
        if not found:
            return None
        names, _ = place.together(hash(found[0]))
        return next((bundle for bundle in self.bundles_of(place, names) if bundle.key == key), None)

    def bundle_of(self, path: str) -> Bundle | None:
        """The bundle that a file is of, its note included."""
        above, name = posixpath.split(path)
        place = self.places.get(above)
        if place is None or name not in place.names:
            return None
        for anchor in anchors(name)[:1]:
            names, _ = place.together(hash(anchor))
            return next((one for one in self.bundles_of(place, names) if path in one.files or path == one.note), None)
        return None

    def bundles(self) -> Iterator[Bundle]:
        """Every bundle there is, lonely pictures included, place by place."""
        for place in list(self.places.values()):
            seen: set[int] = set()
            for anchor in list(place.stems):
                if anchor in seen:
                    continue
                names, reached = place.together(anchor)
                seen |= reached
                yield from self.bundles_of(place, names)


def company(brief: str, names: Sequence[str]) -> str | None:
    """The path of something that belongs to a brief which was taken for alone; None where nothing does. ``names``: what else lies in its
    folder."""
    above, own = posixpath.split(brief)
    stem = fold(stem_of(classify(own)))
    if not any(name != own and fold(name).startswith(stem) for name in names):
        return None  # by far the most often, and what a folder of a hundred thousand names costs
    index = Index()
    place = index.open(above)
    for name in dict.fromkeys((own, *names)):
        place.add(name, UNSEEN)
    together, _ = place.together(hash(stem))
    whose = [bundle for bundle in index.bundles_of(place, together) if brief in bundle.files or bundle.ambiguous]
    return next((path for bundle in whose for path in bundle.files if path != brief), None)
