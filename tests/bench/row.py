"""The rows of the table, and the table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. ``beside`` names the peer, and ``peer`` is the peer's figure in the same unit and the same run."""

    bench: str
    what: str
    value: float
    unit: str
    # The maximum, in the same unit; with ``as_ratio``, as a multiple of the peer.
    target: float | None = None
    beside: str = ""
    peer: float | None = None
    as_ratio: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.peer else self.value / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        figure = self.ratio if self.as_ratio else self.value
        return None if self.target is None or figure is None else figure <= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0..1) of the values do not exceed: the nearest rank, without interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(bench: str, what: str, seconds: Sequence[float], target_ms: float | None = None, **row_fields: object) -> list[Row]:
    """Return the rows for the p50 (with the target) and the p99 of times, in milliseconds."""
    if not seconds:
        return [Row(bench, what, 0.0, "ms", note="nothing was measured")]
    milliseconds = [1000 * value for value in seconds]
    p50 = statistics.median(milliseconds)
    middle = Row(bench, f"{what}, p50 of {len(seconds)}", p50, "ms", target_ms, **row_fields)  # type: ignore[arg-type]
    return [middle, Row(bench, f"{what}, p99", percentile(milliseconds, 0.99), "ms")]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a text table, as wide as necessary."""
    cells = [("bench", "what", "figure", "beside", "ratio", "target", "")]
    cells += [(row.bench, row.what, _figure(row.value, row.unit), _beside(row), _ratio(row), _target(row), _verdict(row)) for row in rows]
    widths = [max(len(cell_row[column]) for cell_row in cells) for column in range(len(cells[0]))]
    ruled = [cells[0], tuple("-" * width for width in widths), *cells[1:]]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(cell_row, widths, strict=True)).rstrip() for cell_row in ruled)


def as_json(rows: Sequence[Row], facts: dict[str, str]) -> str:
    return json.dumps({"machine": facts, "rows": [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows]}, indent=1)


def _figure(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if abs(value) < 100 else f"{value:.0f} {unit}"


def _beside(row: Row) -> str:
    if row.peer is None:
        return row.beside or row.note
    return f"{row.beside}: {_figure(row.peer, row.unit)}"


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    return f"<= {row.target:g} times" if row.as_ratio else f"<= {row.target:g} {row.unit}".rstrip()


def _verdict(row: Row) -> str:
    return {True: "met", False: "NOT MET", None: ""}[row.met]
