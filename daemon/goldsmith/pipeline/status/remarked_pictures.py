"""The pictures that have come out of their jobs with remarks, as the folders' status files list them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from goldsmith.journal.journal import Journal
from goldsmith.picture.formats.table import is_picture_suffix

# How many jobs back the remarks of pictures are known. A picture's earlier stages are among them unless it has waited for very long.
_MAX_JOBS = 5000


class RemarkedPictures:
    """Follows the history in the journal. It keeps the remarks of the last jobs alone, and costs nothing while no job ends."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last_seq = 0
        # Job -> the remarks of its results, with those of the jobs before it. A job without any is left out.
        self._by_job: dict[str, tuple[str, ...]] = {}
        # Path of a picture -> its remarks, in the order in which the pictures were put down.
        self._by_path: dict[str, tuple[str, ...]] = {}

    def update(self) -> None:
        """Read the jobs that have ended since the last call."""
        for job in self._journal.job_results(self._last_seq, _MAX_JOBS):
            self._last_seq = job.seq
            remarks = tuple(dict.fromkeys((*self._by_job.get(job.parent_job_id, ()), *job.remarks)))
            pictures = [path for path in job.results if is_picture_suffix(posixpath.splitext(path)[1].lower())]
            for path in pictures:
                self._by_path.pop(path, None)  # a picture of that name was there before
            if remarks:
                self._by_job[job.job_id] = remarks
                self._by_path.update(dict.fromkeys(pictures, remarks))
        for known in (self._by_job, self._by_path):
            while len(known) > _MAX_JOBS:
                del known[next(iter(known))]

    def newest_in(self, folder: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the path and the remarks of each picture that was put into a stage's folder, the newest first."""
        return ((path, remarks) for path, remarks in reversed(self._by_path.items()) if path.startswith(f"{folder}/"))
