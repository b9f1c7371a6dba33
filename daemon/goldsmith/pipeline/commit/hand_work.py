"""The row of the history for a person's work on a picture between two jobs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.stage_work import StageWork


def hand_row(work: StageWork, now: float) -> HistoryRow | None:
    """Return the row of what a person did to the picture before the work took it; None if no byte of it was changed.

    ``now`` is in Unix seconds.
    """
    before, path = work.origin.before, work.asset_path
    if before is None:
        return None
    after, saved_at = work.hashes[path], work.sigs[path].mtime_ns / 1e9
    # A candidate lies in the archive alone.
    before_path = path if is_in_archive(before.path) else before.path
    comparison = work.comparison
    figures = comparison.facts.get(BY_HAND) if comparison is not None and comparison.fault is None else None
    if not isinstance(figures, dict):
        reason = "the version before is no longer there" if comparison is None or comparison.fault is None else comparison.fault.sentence
        figures = {"incomparable": reason}
    record: dict[str, Any] = {
        "by_hand": {
            "known_by": work.origin.known_by,
            "program": work.final_outcome.identity.program,
            "saved_at": datetime.fromtimestamp(saved_at, UTC).isoformat(timespec="seconds"),
            "before": before.sha256,
            "after": after,
            **figures,
        },
        "stem": work.job.stem,
        "inputs": [{"role": "picture", "name": "", "path": before_path, "sha256": before.sha256}],
        "steps": [],
        "outputs": [{"role": "picture", "tail": os.path.splitext(path)[1], "sha256": after}],
        "archived": {},
    }
    return HistoryRow(
        job_id=f"{work.job.id}-{BY_HAND}",
        path=before_path,
        sha256=before.sha256,
        started_at=saved_at,
        taken_at=now,
        stage=BY_HAND,
        outcome="passed",
        results=(path,),
        parent_job_id=work.origin.parent_job_id,
        record=record,
    )
