"""File names: versions that never collide, and paths in the archive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from goldsmith.files import fold_name

# The folder that keeps every original input.
ARCHIVE_FOLDER = "archive"
# Maximum length of a file name on all common filesystems.
MAX_NAME_BYTES = 255

_VERSIONED_STEM = re.compile(r"^(?P<base>.+)_v(?P<number>\d{3,6})$", re.DOTALL)

_NUMBER_SUFFIX = re.compile(r"~\d+$")


def split_version(stem: str) -> tuple[str, int]:
    """Return base and version: ``hero_v002`` -> ("hero", 2), ``hero`` -> ("hero", 1).

    Goldsmith never writes ``_v001``; a file that a person called ``hero_v001`` counts as version 0, so that it differs from ``hero``.
    """
    match = _VERSIONED_STEM.match(stem)
    if match is None:
        return stem, 1
    number = int(match["number"])
    return match["base"], number if number > 1 else 0


def with_version(base: str, number: int, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Return the stem of a version: ("hero", 2) -> ``hero_v002``. The base is shortened if the stem would exceed ``max_bytes``."""
    version = f"_v{number:03d}"
    return truncate_name(base, max_bytes - len(version)) + version


def source_name(name: str) -> str:
    """Return the name by which versions of one asset are known, folded and without a version: ``Hero_v002.JPG`` -> ``hero.jpg``."""
    base, suffix = os.path.splitext(name)
    return fold_name(split_version(base)[0] + suffix)


def stem_with_suffix(stem: str, suffix: str, number: int = 1) -> str:
    """Return the stem of an asset whose own stem belongs to another: ``hero_v002`` and ``.JPG`` -> ``hero_jpg_v002``.

    ``number``: from 2 for a further one, ``hero_jpg_2``.
    """
    base, version = split_version(stem)
    tail = f"_{suffix.lower().lstrip('.')}" + (f"_{number}" if number > 1 else "")
    stem = truncate_name(base, MAX_NAME_BYTES - len(os.fsencode(tail))) + tail
    return stem if version == 1 else with_version(stem, version)


def next_free_stem(stem: str, used_versions: Collection[int], is_free: Callable[[str], bool], max_bytes: int = MAX_NAME_BYTES) -> str:
    """Return ``stem`` itself if it is free, else the stem of the next version above all earlier ones.

    used_versions: versions of this asset that were placed in this folder before, wherever they are now; is_free(stem): whether every
    name that would begin with the stem is free; max_bytes: maximum length of the stem.
    """
    base, number = split_version(stem)
    short_stem = truncate_name(stem, max_bytes)
    if number not in used_versions and is_free(short_stem):
        return short_stem
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
    base, suffix = os.path.splitext(name)
    return os.path.join(folder, with_version(split_version(base)[0], max(2, split_version(new_stem)[1])) + suffix)


def is_in_archive(path: str) -> bool:
    return path.startswith(f"{ARCHIVE_FOLDER}/")


def archive_path(path: str, now: float, is_free: Callable[[str], bool]) -> str:
    """Return the archive path of an input: ``selected/acme/hero.png`` -> ``archive/2026-10-31/selected/acme/hero.png``.

    If that path is taken, the name becomes ``hero~2.png``, ``hero~3.png`` and so on. ``now`` is in Unix seconds, the day in UTC;
    ``is_free`` says whether a path relative to the root is free.
    """
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    dated_path = os.path.join(ARCHIVE_FOLDER, day, path)
    return dated_path if is_free(dated_path) else next_free_path(dated_path, is_free)


def next_free_path(path: str, is_free: Callable[[str], bool]) -> str:
    """Return the first free path of ``hero~2.png``, ``hero~3.png`` and so on, for ``hero.png`` or ``hero~2.png``."""
    base, suffix = os.path.splitext(path)
    unnumbered_path, number = _NUMBER_SUFFIX.sub("", base) + suffix, 2
    while not is_free(with_number(unnumbered_path, number)):
        number += 1
    return with_number(unnumbered_path, number)


def with_number(path: str, number: int) -> str:
    """Return the path with a number: ``hero.png``, 2 -> ``hero~2.png``. A name that gets too long is shortened before the number."""
    folder, name = os.path.split(path)
    base, suffix = os.path.splitext(name)
    tail = ("" if number <= 1 else f"~{number}") + suffix
    max_bytes = MAX_NAME_BYTES - len(os.fsencode(tail))
    return os.path.join(folder, truncate_name(base, max_bytes) + tail)


def truncate_name(name: str, max_bytes: int) -> str:
    """Return the beginning of ``name``, at most ``max_bytes`` long and with whole characters only."""
    while len(os.fsencode(name)) > max_bytes:
        name = name[:-1]
    return name
