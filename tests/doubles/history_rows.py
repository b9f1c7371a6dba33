"""Rows of the history as the commit of a job writes them, for tests that need a journal and no daemon."""

from __future__ import annotations

import itertools
import posixpath
from typing import Any

from goldsmith.journal.records import HistoryRow

_numbers = itertools.count(1)


def history_row(path: str, *results: str, stage: str = "edit", **fields: Any) -> HistoryRow:
    """Return a row of a job that ended a minute after it began. ``record``: what its record has beside the usual."""
    number = next(_numbers)
    record = {
        "seconds": 2.0,
        "queue": "cpu",
        "environment": {"device": "cpu"},
        "steps": [],
        "outputs": [{"role": "deliverable", "tail": posixpath.splitext(result)[1], "sha256": f"{number:064x}"} for result in results],
        **fields.pop("record", {}),
    }
    started_at = fields.pop("started_at", 1_800_000_000.0 + 100 * number)
    return HistoryRow(
        **{
            "job_id": f"job{number}",
            "path": path,
            "sha256": f"{number:064x}",
            "started_at": started_at,
            "taken_at": started_at + 60,
            "stage": stage,
            "outcome": "passed",
            "results": results,
            "record": record,
            **fields,
        }
    )
