"""The manifest: what was done to a delivered picture, complete enough to do it again."""

from __future__ import annotations

import json
import platform
import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from goldsmith import __version__
from goldsmith.journal.records import TakenRow

SUFFIX = ".manifest.json"
ASKED = ("stem", "prompt", "seed", "mask_fit", "working", "deliver")
"""Of a job, what goes into the record under its own name beside stage, lane, inputs and steps: all that its result hangs on."""


def manifest(rows: Sequence[TakenRow], deliverables: Sequence[dict[str, Any]], brief: str) -> bytes:
    """The manifest of one delivery as UTF-8 JSON.

    rows: the asset's way, oldest first, the delivering stage last; deliverables: file, sha256, bytes and facts of each
    file put down; brief: the resolved brief's TOML, or "" where a bare mask or prompt was the instruction.
    """
    first, last = rows[0], rows[-1]
    content = {
        "goldsmith": __version__,
        "source": {"path": first.path, "sha256": first.sha256, "taken_at": _iso(first.taken_at)},
        "delivered_at": _iso(last.taken_at),
        "deliverables": list(deliverables),
        "outside_mask": _outside(rows),
        "stages": [_stage(row) for row in rows],
        "brief": brief,
        "machine": {"python": platform.python_version(), "system": platform.system(), "architecture": platform.machine()},
    }
    return _written(content)


def renamed_in(data: bytes, names: dict[str, str]) -> bytes:
    """The manifest with the files of its last stage under other names (old -> new, without folders)."""
    content = json.loads(data)
    for deliverable in content["deliverables"]:
        deliverable["file"] = names.get(deliverable["file"], deliverable["file"])
    last = content["stages"][-1]
    last["results"] = [
        posixpath.join(posixpath.dirname(path), names.get(posixpath.basename(path), posixpath.basename(path))) for path in last["results"]
    ]
    return _written(content)


def _written(content: dict[str, Any]) -> bytes:
    """Indented UTF-8. pydantic's writer is twenty times as fast as json's with indents, but knows no undecodable names."""
    try:
        return to_json(content, indent=2) + b"\n"
    except ValueError:
        return (json.dumps(content, indent=2) + "\n").encode()


def _stage(row: TakenRow) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "picture": {"path": row.path, "sha256": row.sha256},
        "started_at": _iso(row.started_at),
        "taken_at": _iso(row.taken_at),
        "results": list(row.results),
        **row.record,
    }


def _outside(rows: Sequence[TakenRow]) -> dict[str, int]:
    """Law 4 over the whole way: pixels outside the masks that were counted, and how many of them changed (none)."""
    steps: list[Any] = [step for row in rows for step in _listed(row.record.get("steps"))]
    counted = [step["findings"] for step in steps if "outside_pixels" in step["findings"]]
    return {
        "pixels": sum(int(found["outside_pixels"]) for found in counted),
        "changed": sum(int(found["outside_changed"]) for found in counted),
    }


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
