"""Fair turns between campaigns, for everything that waits in the pipeline: names to look at, files to check, jobs, commits (law 15).

Each campaign folder has a turn after the other, level by level: the pictures of ``acme/spring`` share the turns of ``acme``. A campaign
that had nothing to wait for is first in the next turn but one at the latest, however many pictures wait in others. Within a campaign, every
other turn belongs to the latest stage, and the stages share the turns in between.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Turn(NamedTuple):
    """Whose turn it is: the campaign, as the names of its folders, and the stage. ``stage`` is greater for a later stage."""

    campaign: tuple[str, ...]
    stage: int


@lru_cache(maxsize=4096)
def turn_of(campaign: str, stage: int) -> Turn:
    """Return the turn of a campaign (a POSIX path, "" for the stage folder itself) in a stage. Equal turns are one object."""
    return Turn(tuple(campaign.split("/")) if campaign else (), stage)


class FolderTurns:
    """The turns of the folders of a pipeline: its stage folders, in their order, and the campaign folders below them."""

    def __init__(self, stage_folders: Iterable[str]) -> None:
        self._stages = {folder: number for number, folder in enumerate(stage_folders)}

    def of_folder(self, path: str) -> Turn:
        """Return the turn of what waits in the folder at ``path``, relative to the root."""
        stage_folder, _, campaign = path.partition("/")
        return self.of(stage_folder, campaign)

    def of(self, stage_folder: str, campaign: str) -> Turn:
        """Return the turn of what waits in a campaign of a stage folder."""
        return turn_of(campaign, self._stages.get(stage_folder, 0))


class _Waiting(Protocol[V_co]):
    """A part of a queue: ``len`` gives how many wait in it, and ``pop`` takes the next one."""

    def __len__(self) -> int: ...

    def pop(self) -> V_co: ...


class _Leaf(Generic[K, V]):
    """What waits of one campaign in one stage, in order of its numbers."""

    __slots__ = ("_returned", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[K, tuple[int, V]] = OrderedDict()
        # What has come back with the number that it had before, sorted.
        self._returned: list[tuple[int, K, V]] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._returned)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting or any(entry[1] == key for entry in self._returned)

    def __iter__(self) -> Iterator[V]:
        """Iterate over the values in order of their numbers."""
        returned = list(self._returned)
        for number, value in self._waiting.values():
            while returned and returned[0][0] < number:
                yield returned.pop(0)[2]
            yield value
        yield from (value for _, _, value in returned)

    def add(self, key: K, number: int, value: V) -> None:
        last = next(reversed(self._waiting.values()), None)
        if last is None or last[0] <= number:
            self._waiting[key] = (number, value)
        else:
            insort(self._returned, (number, key, value), key=lambda entry: entry[0])

    def remove(self, key: K) -> V | None:
        """Remove and return the value of a key; None if it does not wait here."""
        entry = self._waiting.pop(key, None)
        if entry is not None:
            return entry[1]
        index = next((index for index, returned in enumerate(self._returned) if returned[1] == key), None)
        return None if index is None else self._returned.pop(index)[2]

    def pop(self) -> V:
        first = next(iter(self._waiting.values()), None)
        if self._returned and (first is None or self._returned[0][0] < first[0]):
            return self._returned.pop(0)[2]
        return self._waiting.popitem(last=False)[1][1]


class _LeafView(Generic[V]):
    """A leaf as a prediction empties it: the leaf itself stays as it is."""

    __slots__ = ("_left", "_values")

    def __init__(self, leaf: _Leaf[Hashable, V]) -> None:
        self._left, self._values = len(leaf), iter(leaf)

    def __len__(self) -> int:
        return self._left

    def pop(self) -> V:
        self._left -= 1
        return next(self._values)


class _Rotation(Generic[V]):
    """Parts that take turns. Every other turn may belong to a favourite; the others go round, the least recently served part first."""

    __slots__ = ("_count", "_had_favourite", "_last_served", "_newcomers", "parts", "rotation")

    def __init__(self) -> None:
        self.parts: dict[object, _Waiting[V]] = {}
        # Names of the parts that were served, the least recently served first. An empty part keeps its place until it is reached.
        self.rotation: OrderedDict[object, None] = OrderedDict()
        # Names of the parts that were never served, in order of arrival.
        self._newcomers: dict[object, None] = {}
        self._had_favourite = False
        self._last_served: object = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add_part(self, name: object, part: _Waiting[V]) -> None:
        self.parts[name] = part
        self._newcomers[name] = None

    def change_count(self, change: int) -> None:
        self._count += change
        if not self._count:  # nothing waits, so there is no turn to remember
            self.parts.clear()
            self.rotation.clear()
            self._newcomers.clear()
            self._had_favourite = False

    def pop(self) -> V:
        favourite = None if self._had_favourite else self._favourite()
        name = next(self._in_rotation()) if favourite is None else favourite
        value = self.parts[name].pop()
        self._mark_served(name, is_favourite=favourite is not None)
        self.change_count(-1)
        return value

    def serve_out_of_order(self, name: object) -> None:
        """Count a turn of this part, from which something is about to be taken."""
        self._mark_served(name, is_favourite=name == self._favourite())

    def _mark_served(self, name: object, *, is_favourite: bool) -> None:
        self._had_favourite, self._last_served = is_favourite, name
        self._newcomers.pop(name, None)
        self.rotation[name] = None
        self.rotation.move_to_end(name)

    def forget_if_empty(self, name: object) -> None:
        """Forget a part that was emptied without a turn."""
        if name in self._newcomers and not self.parts[name]:
            del self._newcomers[name], self.parts[name]

    def copy_turns_to(self, copy: _Rotation[V]) -> None:
        copy.rotation = OrderedDict((name, None) for name in self.rotation if self.parts[name])
        copy._newcomers = dict(self._newcomers)
        copy._had_favourite, copy._last_served, copy._count = self._had_favourite, self._last_served, self._count

    def _in_rotation(self) -> Iterator[object]:
        """Iterate over the names of the parts in the order in which they go round, and drop the empty ones on the way."""
        while self.rotation:
            name = next(iter(self.rotation))
            if self.parts[name]:
                if name == self._last_served:  # it has just had its turn, and no other part in the rotation has something to serve
                    yield from self._newcomers
                yield name
                return
            del self.rotation[name], self.parts[name]
        yield from self._newcomers

    def _favourite(self) -> object | None:
        """Return the name of the part that has every other turn."""
        raise NotImplementedError


class _Campaigns(_Rotation[V]):
    """Campaigns take turns. The favourite is one that was not served yet: what comes into it does not wait for a whole round."""

    __slots__ = ()

    def _favourite(self) -> object | None:
        return next(iter(self._newcomers), None)


class _Stages(_Rotation[V]):
    """The stages of one campaign take turns. The favourite is the latest."""

    __slots__ = ()

    def _favourite(self) -> object | None:
        return max((name for name, part in self.parts.items() if part), default=None)  # type: ignore[type-var]

    def _in_rotation(self) -> Iterator[object]:
        yield from self._newcomers
        yield from super()._in_rotation()


class TurnQueue(Generic[K, V]):
    """What waits, by key, in fair turns. Within a campaign and stage the order is that of the numbers, which the caller gives."""

    def __init__(self) -> None:
        self._root: _Campaigns[V] = _Campaigns()

    def __len__(self) -> int:
        return len(self._root)

    def __iter__(self) -> Iterator[V]:
        """Iterate over all values in the order in which ``pop`` would return them, without changing it."""
        copy = _copy_campaigns(self._root)
        while copy:
            yield copy.pop()

    def add(self, key: K, value: V, turn: Turn, number: int) -> None:
        """Add a value under a key that is not in the queue yet. A lower number goes before the greater ones of its campaign and stage."""
        path: list[_Rotation[V]] = [self._root]
        for name in (*turn.campaign, ""):
            path.append(_part(path[-1], name, _Stages if name == "" else _Campaigns))
        leaf: _Leaf[K, V] = _part(path[-1], turn.stage, _Leaf)
        leaf.add(key, number, value)
        for rotation in path:
            rotation.change_count(1)

    def contains(self, key: K, turn: Turn) -> bool:
        """Return whether this key waits in the turn of this campaign and stage."""
        way_and_leaf = self._way_to(turn)
        return way_and_leaf is not None and key in way_and_leaf[1]

    def remove(self, key: K, turn: Turn) -> V | None:
        """Remove and return the value of a key without counting it as a turn; None if it does not wait there."""
        return self._take(key, turn, is_turn=False)

    def take(self, key: K, turn: Turn) -> V | None:
        """Remove and return the value of a key out of order, and count it as a turn of its campaign; None if it does not wait there."""
        return self._take(key, turn, is_turn=True)

    def pop(self) -> V:
        """Remove and return the value whose turn it is. Raises IndexError if nothing waits."""
        if not self._root:
            raise IndexError("Nothing waits in this queue.")
        return self._root.pop()

    def clear(self) -> None:
        """Remove everything."""
        self._root = _Campaigns()

    def _way_to(self, turn: Turn) -> tuple[list[tuple[_Rotation[V], object]], _Leaf[K, V]] | None:
        """Return the rotations on the way to a leaf, each with the name that follows, and the leaf; None if nothing waits there."""
        way: list[tuple[_Rotation[V], object]] = []
        part: _Waiting[V] | None = self._root
        for name in (*turn.campaign, "", turn.stage):
            rotation = cast("_Rotation[V]", part)
            way.append((rotation, name))
            part = rotation.parts.get(name)
            if part is None:
                return None
        return way, cast("_Leaf[K, V]", part)

    def _take(self, key: K, turn: Turn, *, is_turn: bool) -> V | None:
        way_and_leaf = self._way_to(turn)
        if way_and_leaf is None or key not in way_and_leaf[1]:
            return None
        way, leaf = way_and_leaf
        for rotation, name in way if is_turn else ():
            rotation.serve_out_of_order(name)
        value = leaf.remove(key)
        for rotation, name in reversed(way):
            rotation.forget_if_empty(name)
            rotation.change_count(-1)
        return value


def _part(rotation: _Rotation[V], name: object, kind: Callable[[], _Waiting[V]]) -> Any:
    """Return the part of this name; add it if there is none."""
    part = rotation.parts.get(name)
    if part is None:
        part = kind()
        rotation.add_part(name, part)
    return part


def _copy_campaigns(campaigns: _Rotation[V]) -> _Rotation[V]:
    """Return a copy that can be emptied without changing the original."""
    copy: _Rotation[V] = type(campaigns)()
    campaigns.copy_turns_to(copy)
    for name, part in campaigns.parts.items():
        if part:
            copy.parts[name] = _copy_campaigns(part) if isinstance(part, _Rotation) else _LeafView(part)  # type: ignore[arg-type]
    return copy
