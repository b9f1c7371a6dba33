"""What files are called: versions that never collide, and places in the archive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime

# The folder every input ends in.
ARCHIVE_FOLDER = "archive"
# Where jobs have their scratch folders; on the root's own filesystem.
SCRATCH_FOLDER = ".goldsmith/work"
# Bytes in a name, on every filesystem that matters.
MAX_NAME_BYTES = 255

_VERSIONED_STEM = re.compile(r"^(?P<base>.+)_v(?P<number>\d{3,6})$", re.DOTALL)

_NUMBER_SUFFIX = re.compile(r"~\d+$")


def split_version(stem: str) -> tuple[str, int]:
    """``hero_v002`` -> ("hero", 2); a bare name is version 1, and ``hero_v001``, which a person wrote, is version 0 beside it."""
    match = _VERSIONED_STEM.match(stem)
    if match is None:
        return stem, 1
    number = int(match["number"])
    return match["base"], number if number > 1 else 0


def with_version(base: str, number: int, max_bytes: int = MAX_NAME_BYTES) -> str:
    """("hero", 2) -> ``hero_v002``, the base shortened where the whole would have more than ``room`` bytes."""
    version = f"_v{number:03d}"
    return truncate_name(base, max_bytes - len(version)) + version


def next_free_stem(stem: str, used_versions: Collection[int], is_free: Callable[[str], bool], max_bytes: int = MAX_NAME_BYTES) -> str:
    """The stem to use where ``stem`` is wanted: itself, or the next version above every one that ever was.

    ``gone``: versions of this asset that were put here before, wherever they are now. ``free(stem)``: whether every name that
    would begin with it is still to be had. ``room``: how many bytes the stem may have.
    """
    base, number = split_version(stem)
    wanted = truncate_name(stem, max_bytes)
    if number not in used_versions and is_free(wanted):
        return wanted
    number = max(1, number, *used_versions)
    while True:
        number += 1
        if is_free(with_version(base, number, max_bytes)):
            return with_version(base, number, max_bytes)


def replace_stem(path: str, stem: str, new_stem: str) -> str:
    """``masked/acme/hero_web.avif`` with stem ``hero`` -> ``masked/acme/hero_v002_web.avif``.

    A name that does not begin with the stem gets the new stem's version before its own suffix.
    """
    folder, name = os.path.split(path)
    if name.startswith(stem):
        return os.path.join(folder, new_stem + name[len(stem) :])
    own, suffix = os.path.splitext(name)
    return os.path.join(folder, with_version(split_version(own)[0], max(2, split_version(new_stem)[1])) + suffix)


def is_in_archive(path: str) -> bool:
    return path.startswith(f"{ARCHIVE_FOLDER}/")


def archive_path(path: str, now: float, is_free: Callable[[str], bool]) -> str:
    """Where an input goes: ``selected/acme/hero.png`` -> ``archive/2026-10-31/selected/acme/hero.png``; then ``hero~2.png`` …

    ``now`` in Unix seconds, the day in UTC. ``free`` says whether a path relative to the root is still to be had.
    """
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    wanted = os.path.join(ARCHIVE_FOLDER, day, path)
    return wanted if is_free(wanted) else next_free_path(wanted, is_free)


def next_free_path(path: str, is_free: Callable[[str], bool]) -> str:
    """``hero.png`` or ``hero~2.png`` -> the first of ``hero~2.png``, ``hero~3.png`` … that is free."""
    own, suffix = os.path.splitext(path)
    plain, number = _NUMBER_SUFFIX.sub("", own) + suffix, 2
    while not is_free(with_number(plain, number)):
        number += 1
    return with_number(plain, number)


def with_number(path: str, number: int) -> str:
    """``hero.png``, 2 -> ``hero~2.png``, shortened to the longest name there may be without losing number or suffix."""
    folder, name = os.path.split(path)
    own, suffix = os.path.splitext(name)
    tail = ("" if number <= 1 else f"~{number}") + suffix
    room = MAX_NAME_BYTES - len(os.fsencode(tail))
    return os.path.join(folder, truncate_name(own, room) + tail)


def truncate_name(name: str, max_bytes: int) -> str:
    """At most ``room`` bytes of ``name``, never ending within a character."""
    while len(os.fsencode(name)) > max_bytes:
        name = name[:-1]
    return name
