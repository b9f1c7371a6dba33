"""Finds the version of which a picture is an edited copy, among the versions that have its name."""

from __future__ import annotations

from collections.abc import Sequence

from goldsmith.jobs.job import KnownLook
from goldsmith.picture.likeness import Likeness, SeenPicture
from goldsmith.picture.picture import Picture

# Another picture than the most alike one counts from this share of its strength on: then nobody can tell which of them it was.
_UNSURE_SHARE = 0.5
# Versions of one picture with at least this share of the greatest strength are equally alike: the newest of them is taken.
_EQUAL_SHARE = 0.9


def find_alike_versions(picture: Picture, known: Sequence[KnownLook]) -> tuple[str, ...]:
    """Return the SHA-256 of the version of which the picture is a copy; of several, one of each picture, if it is unsure; () for none.

    known: the newest first. A neighbour in a series is never the one, and makes it unsure at most.
    """
    seen_picture = SeenPicture(picture)
    compared = [(each, seen_picture.compare(bytes.fromhex(each.look))) for each in known]
    alike = [(each, likeness) for each, likeness in compared if likeness.is_alike]
    if all(each.is_neighbour for each, _ in alike):
        return ()
    most = max(likeness.strength for _, likeness in alike)
    groups: dict[str, list[tuple[KnownLook, Likeness]]] = {}
    for each, likeness in alike:
        groups.setdefault(each.group, []).append((each, likeness))
    return tuple(_newest_best(group) for group in groups.values() if max(pair[1].strength for pair in group) >= _UNSURE_SHARE * most)


def _newest_best(group: Sequence[tuple[KnownLook, Likeness]]) -> str:
    most = max(likeness.strength for _, likeness in group)
    return next(each.sha256 for each, likeness in group if likeness.strength >= _EQUAL_SHARE * most)
