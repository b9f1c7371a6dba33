"""The looks of the versions of which a picture that a person has put down may be an edited copy: its name narrows them to a few."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

from goldsmith.files import fold_name
from goldsmith.jobs.job import KnownLook
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.commit.naming import split_version
from goldsmith.pipeline.intake.bundle import Bundle

# How many looks a job gets, and how many versions are read for them.
MAX_LOOKS = 8
_MAX_VERSIONS = 60
_MAX_NAMES = 16
# What people and programs put behind a name: “hero copy”, “hero-edited”, “hero (1)”, “hero_final”.
_SEPARATOR = re.compile(r"[\s_.()+-]+")
_LAST_NUMBER = re.compile(r"^(?P<head>.*?)(?P<digits>\d{1,9})$", re.DOTALL)
# The pictures with these distances in their numbers are looked at too: the frames of a series look alike, and then it is unsure. Another
# number is another picture, so none of them is ever taken for the origin.
_NEIGHBOURS = (-1, 1, -2, 2)


def find_known_looks(journal: Journal, bundle: Bundle, folders: Collection[str]) -> tuple[KnownLook, ...]:
    """Return the looks of the newest versions that jobs made under the picture's name, under its beginning, or beside it in a series.

    Those of its own campaign come first: each campaign may have a “hero”. ``folders``: those of the pipeline.
    """
    names, neighbours = possible_names(bundle.stem), neighbouring_names(bundle.stem)
    campaign = posixpath.split(bundle.asset)[0].partition("/")[2]
    # The suffix does not count.
    places = [posixpath.join(folder, campaign, f"{name}.png") for folder in folders for name in (*names, *neighbours)]
    candidates = (*journal.versions_at_any(places, _MAX_VERSIONS), *journal.versions_named([*names, *neighbours], _MAX_VERSIONS))
    versions = [each for each in candidates if each.is_result and (each.look or each.document_id)]
    own_names = set(map(fold_name, names))
    looks: dict[str, KnownLook] = {}
    counts: dict[str, int] = {}
    for version in versions:
        group = _group_of(version.path)
        if version.sha256 not in looks and counts.get(group, 0) < MAX_LOOKS // 2 and len(looks) < MAX_LOOKS:
            counts[group] = counts.get(group, 0) + 1
            name = fold_name(posixpath.splitext(posixpath.basename(version.path))[0])
            looks[version.sha256] = KnownLook(
                group=group,
                sha256=version.sha256,
                look=version.look.hex(),
                document_id=version.document_id,
                is_neighbour=name not in own_names,
            )
    return tuple(looks.values())


def possible_names(stem: str) -> list[str]:
    """Return the names that the picture may have had, the closest first."""
    parts = [match.start() for match in _SEPARATOR.finditer(stem) if match.start()]
    names = [stem, *(stem[:end] for end in reversed(parts))][: _MAX_NAMES // 2]
    return list(dict.fromkeys(base for name in names for base in (name, split_version(name)[0])))[:_MAX_NAMES]


def neighbouring_names(stem: str) -> list[str]:
    """Return the names of the pictures beside it in a series."""
    names = possible_names(stem)
    return list(dict.fromkeys(each for name in names for each in _neighbours_of(name) if each not in names))[:_MAX_NAMES]


def _neighbours_of(name: str) -> list[str]:
    match = _LAST_NUMBER.match(name)
    if match is None:
        return []
    number, width = int(match["digits"]), len(match["digits"])
    return [f"{match['head']}{number + step:0{width}d}" for step in _NEIGHBOURS if number + step >= 0]


def _group_of(path: str) -> str:
    """Return what the versions of one picture have in common: its name without a version, and its campaign, in any stage's folder."""
    folder, name = posixpath.split(path)
    campaign = folder.split("/", 3)[-1] if folder.startswith("archive/") else folder.partition("/")[2]
    return fold_name(f"{campaign}/{split_version(posixpath.splitext(name)[0])[0]}")
