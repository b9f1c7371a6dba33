"""What the archive holds: its days, its size, and the manifests that name its files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.root_folder import RootFolder

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class ArchiveSize:
    """The size of the archive, or of as much of it as was counted."""

    files: int
    bytes: int
    # False if the count stopped at its limit: the archive is larger.
    is_complete: bool
    # Of all days, however much was counted: 2026-10-31, or "" if there is none.
    first_day: str


def archive_days(root: RootFolder) -> list[str]:
    """Return the days of the archive, the oldest first. Folders with another name belong to people, and are left out."""
    return sorted(name for name in root.list_names(ARCHIVE_FOLDER)[1] if _DAY.fullmatch(name))


def archived_day(path: str) -> str:
    """Return the day of a path in the archive: 2026-10-31 of ``archive/2026-10-31/inbox/hero.png``."""
    return path.split("/")[1]


def measure_archive(root: Path, max_files: int, seconds: float) -> ArchiveSize:
    """Return the size of the archive. The count stops after ``max_files`` files or ``seconds``."""
    folder, end = RootFolder(root), time.monotonic() + seconds
    days, files, total = archive_days(folder), 0, 0
    for day in reversed(days):
        for path, names in folder.walk(f"{ARCHIVE_FOLDER}/{day}"):
            for name in names:
                if files >= max_files or time.monotonic() > end:
                    return ArchiveSize(files, total, False, days[0])
                files += 1
                total += _file_bytes(folder, f"{path}/{name}")
    return ArchiveSize(files, total, True, days[0] if days else "")


def manifest_paths(root: RootFolder, final_folder: str) -> Iterator[str]:
    """Yield the path of every manifest in the last folder of the pipeline."""
    for folder_path, names in root.walk(final_folder):
        yield from (f"{folder_path}/{name}" for name in sorted(names) if name.endswith(MANIFEST_SUFFIX))


def _file_bytes(root: RootFolder, path: str) -> int:
    try:
        return root.lstat(path).st_size
    except OSError:
        return 0
