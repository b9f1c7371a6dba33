"""The history of one picture for the page: every version as a strip, and what was done in words."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from goldsmith.files import FileSignature, display_text
from goldsmith.jobs.job import BY_HAND
from goldsmith.jobs.preview import version_of
from goldsmith.journal.records import HistoryRow
from goldsmith.ops import catalogue
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.root_folder import RootFolder
from goldsmith.web import strings

# A value of a setting is shown up to this length.
_MAX_VALUE_CHARS = 160
_MAX_BOXES = 200


class StripEntry(NamedTuple):
    """One version of the picture: where it lies now, and how it came to be."""

    # "" if the file is no longer there.
    path: str
    version: str
    title: str
    # Unix seconds.
    when: float


class WorkWords(NamedTuple):
    """What one stage, or one person, has done."""

    title: str
    when: float
    lines: tuple[str, ...]
    remarks: tuple[str, ...]


class FoundBox(NamedTuple):
    """A place that a step has found, in px of the picture."""

    name: str
    left: float
    top: float
    width: float
    height: float


def strip_entries(rows: Sequence[HistoryRow], root: RootFolder) -> list[StripEntry]:
    """Return the original and what each job made of it, the oldest first."""
    takers: dict[str, list[HistoryRow]] = {}
    for row in rows:
        takers.setdefault(row.parent_job_id, []).append(row)
    entries: list[StripEntry] = []
    for row in rows:
        if row.outcome == "problem":
            continue
        if not entries:
            original = strings.with_people(strings.ORIGINAL, _people(row, is_picture=True))
            entries.append(StripEntry(*_existing(root, [row.archived_as(row.path), row.path]), original, row.started_at))
        for result in row.results:
            if classify(posixpath.basename(result)).role == "picture":
                archived = [taker.archived_as(result) for taker in takers.get(row.job_id, [])]
                entry = StripEntry(*_existing(root, [*archived, result]), strings.with_people(_title(row), _people(row)), row.taken_at)
                if _is_unchanged(row, result):
                    entry = entry._replace(title=f"{entries.pop().title}, {entry.title}")
                entries.append(entry)
    return entries


def _is_unchanged(row: HistoryRow, result: str) -> bool:
    """Return whether a result is the very file that the job took, as after an approval."""
    outputs = row.record.get("outputs")
    pictures = [output for output in (outputs if isinstance(outputs, list) else ()) if isinstance(output, dict)]
    hashes = [output.get("sha256") for output in pictures if output.get("role") == "picture" and result.endswith(str(output.get("tail")))]
    return bool(row.sha256) and row.sha256 in hashes


def _existing(root: RootFolder, paths: Sequence[str]) -> tuple[str, str]:
    """Return the first path at which there is a file, and the file's version; "" and "" if there is none."""
    for path in filter(None, paths):
        with contextlib.suppress(OSError):
            return path, version_of(FileSignature.from_stat(root.lstat(path)))
    return "", ""


def _title(row: HistoryRow) -> str:
    review = row.record.get("review")
    if isinstance(review, dict):
        return strings.decided(str(review.get("decision", "")), str(review.get("by", "")))
    return strings.by_hand(_hand(row).get("program")) if row.stage == BY_HAND else row.stage


def _people(row: HistoryRow, *, is_picture: bool = False) -> list[str]:
    """Return who has put down what on the page, in words: the picture, or all else that the job read."""
    handled = [each for each in row.inputs_by_person() if (each.role == "picture") == is_picture]
    return list(dict.fromkeys(strings.handled_by(each.role, each.name, each.act, each.by) for each in handled))


def _hand(row: HistoryRow) -> Mapping[str, JsonValue]:
    value = row.record.get("by_hand")
    return value if isinstance(value, dict) else {}


def stage_words(rows: Sequence[HistoryRow]) -> list[WorkWords]:
    """Return what was done by each row, in words, the oldest first."""
    words = []
    for row in rows:
        lines = tuple(display_text(line) for line in _lines(row))
        words.append(WorkWords(_title(row), row.taken_at or row.started_at, lines, tuple(map(display_text, row.remarks()))))
    return words


def _lines(row: HistoryRow) -> Iterator[str]:
    if row.outcome == "problem":
        yield str(row.record.get("sentence", ""))
    review = row.record.get("review")
    if isinstance(review, dict) and review.get("remark"):
        yield strings.remark_words(str(review["remark"]))
    yield from (*_people(row, is_picture=True), *_people(row))
    steps = row.record.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else (), 1):
        if isinstance(step, dict):
            yield from _step_lines(number, step)


def _step_lines(number: int, step: Mapping[str, JsonValue]) -> Iterator[str]:
    settings, engine, findings = step.get("settings"), step.get("engine"), step.get("findings")
    pairs = _own_settings(str(step.get("op", "")), settings if isinstance(settings, dict) else {}).items()
    words = ", ".join(f"{name.replace('_', ' ')} {_value_words(value)}" for name, value in pairs)
    maker = str(engine.get("name", "")) if isinstance(engine, dict) else ""
    yield strings.step_words(number, str(step.get("op", "")), words, maker, step.get("seed"), step.get("seconds"))
    counts = findings if isinstance(findings, dict) else {}
    outside, changed = counts.get("outside_pixels"), counts.get("outside_changed")
    if isinstance(outside, int) and isinstance(changed, int):
        yield strings.outside_words(changed, outside)


def _own_settings(operation: str, settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the settings that are not the operation's defaults, and of tables the entries that are not."""
    fields = catalogue()[operation].model_fields if operation in catalogue() else {}
    own: dict[str, JsonValue] = {}
    for name, value in settings.items():
        field = fields.get(name)
        default = None if field is None else to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
        if isinstance(value, dict) and isinstance(default, dict):
            value = {key: entry for key, entry in value.items() if entry != default.get(key)}
        if value not in (default, None, {}):
            own[name] = value
    return own


def _value_words(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return f"“{value}”" if len(value) <= _MAX_VALUE_CHARS else f"“{value[:_MAX_VALUE_CHARS]}…”"
    if isinstance(value, list):
        return " ".join(map(_value_words, value[:8]))
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_value_words(entry)}" for name, entry in list(value.items())[:8]) + ")"
    return str(value)


def found_boxes(row: HistoryRow | None) -> list[FoundBox]:
    """Return the places that the steps of a job have found."""
    boxes: list[FoundBox] = []
    for operation, findings in row.step_findings() if row is not None else ():
        boxes += (box._replace(name=f"{operation}: {box.name}") for box in _boxes(findings, ""))
    return boxes[:_MAX_BOXES]


def _boxes(value: JsonValue, name: str) -> Iterator[FoundBox]:
    if isinstance(value, list):
        for entry in value:
            yield from _boxes(entry, name)
    elif isinstance(value, dict):
        box = value.get("box")
        if isinstance(box, list) and len(box) == 4:
            sides = [float(side) for side in box if isinstance(side, int | float)]
            if len(sides) == 4:
                yield FoundBox(name or "found", *sides)
        for key, entry in value.items():
            if key != "box":
                yield from _boxes(entry, key.replace("_", " "))
