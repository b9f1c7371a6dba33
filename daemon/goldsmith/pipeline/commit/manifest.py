"""The manifest of a delivery: everything that was done to the picture, complete enough to repeat it."""

from __future__ import annotations

import json
import platform
import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from goldsmith import __version__
from goldsmith.journal.records import HistoryRow

MANIFEST_SUFFIX = ".manifest.json"
# The fields of a job that its record holds under their own names. With stage, queue, inputs and steps they determine the result.
RECORDED_JOB_FIELDS = (
    *(
        "stem",
        "prompt",
        "title",
        "creator",
        "rights",
        "credit",
        "seed",
        "mask_fit",
        "mask_from",
        "working",
        "hdr",
        "float_range",
        "deliver",
    ),
)


def build_manifest(rows: Sequence[HistoryRow], deliverables: Sequence[dict[str, Any]], brief: str) -> bytes:
    """Return the manifest of one delivery as UTF-8 JSON.

    rows: the history of the asset, one row per stage, oldest first; deliverables: name, SHA-256, bytes and facts of each delivered
    file; brief: the resolved brief as TOML, or "" if a bare mask or prompt was the instruction.
    """
    first, last = rows[0], rows[-1]
    content = {
        "goldsmith": __version__,
        "source": {"path": first.path, "sha256": first.sha256, "taken_at": _iso_time(first.taken_at)},
        "delivered_at": _iso_time(last.taken_at),
        "deliverables": list(deliverables),
        "outside_mask": _outside_mask_counts(rows),
        "stages": [_stage_entry(row) for row in rows],
        "brief": brief,
        "machine": {"python": platform.python_version(), "system": platform.system(), "architecture": platform.machine()},
    }
    return _to_json_bytes(content)


def rename_deliverables(data: bytes, new_names: dict[str, str]) -> bytes:
    """Return the manifest with new names for the files of its last stage. ``new_names``: old to new name, without folders."""
    content = json.loads(data)
    for deliverable in content["deliverables"]:
        deliverable["file"] = new_names.get(deliverable["file"], deliverable["file"])
    last = content["stages"][-1]
    last["results"] = [
        posixpath.join(posixpath.dirname(path), new_names.get(posixpath.basename(path), posixpath.basename(path)))
        for path in last["results"]
    ]
    return _to_json_bytes(content)


def _to_json_bytes(content: dict[str, Any]) -> bytes:
    """Return indented UTF-8 JSON. pydantic's writer is twenty times faster than json's, but fails on undecodable file names."""
    try:
        return to_json(content, indent=2) + b"\n"
    except ValueError:
        return (json.dumps(content, indent=2) + "\n").encode()


def _stage_entry(row: HistoryRow) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "picture": {"path": row.path, "sha256": row.sha256},
        "started_at": _iso_time(row.started_at),
        "taken_at": _iso_time(row.taken_at),
        "results": list(row.results),
        **row.record,
    }


def _outside_mask_counts(rows: Sequence[HistoryRow]) -> dict[str, int]:
    """Return the number of pixels outside the masks over all stages, and how many of them changed (0 by law 4)."""
    steps: list[Any] = [step for row in rows for step in _as_list(row.record.get("steps"))]
    counted = [step["findings"] for step in steps if "outside_pixels" in step["findings"]]
    return {
        "pixels": sum(int(findings["outside_pixels"]) for findings in counted),
        "changed": sum(int(findings["outside_changed"]) for findings in counted),
    }


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
