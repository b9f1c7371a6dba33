"""Validation errors as plain sentences: ``factor is 9, but must be at most 4``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from goldsmith.brief.parsing import BriefProblem, did_you_mean, quote_value, truncate
from goldsmith.brief.suggestions import suggest_setting, suggest_value, table_of

_NUMBER_KINDS = {"int_type", "int_parsing", "float_type", "float_parsing"}
_RULE_TEMPLATES = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": 'must be a text in "quotes"',
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "must look like {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list in [brackets]",
    "tuple_type": "must be a list in [brackets]",
    "set_type": "must be a list in [brackets]",
    "frozen_set_type": "must be a list in [brackets]",
    "dict_type": "must be a table in {{ braces }}",
    "model_type": "must be a table in {{ braces }}",
    "model_attributes_type": "must be a table in {{ braces }}",
    "path_type": 'must be a path in "quotes"',
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
}


class _Rule(NamedTuple):
    """A rule that a value breaks: its kind, its sentence, and its bounds by name."""

    kind: str
    text: str
    bounds: Mapping[str, Any]


def validation_problems(
    error: ValidationError, raw: object, location: str, model: type[BaseModel], stem: str = "NAME"
) -> list[BriefProblem]:
    """Return the problems in ``error``, one for each location, in the order of the settings.

    ``raw`` is the validated value, ``location`` its place (``edit.1``), ``model`` the class that validated it, ``stem`` the name of the
    picture in the names of files beside it.
    """
    rules_by_path: dict[tuple[str | int, ...], list[_Rule]] = {}
    for each in error.errors(include_url=False):
        path, bounds = _setting_path(each["loc"], raw), each.get("ctx", {})
        rules_by_path.setdefault(path, []).append(_Rule(each["type"], _rule_text(each["type"], each["msg"], bounds), bounds))
    # The branch of a union that validated furthest has the most useful message.
    shallow = {path[:length] for path in rules_by_path for length in range(len(path))}
    deepest = [path for path in rules_by_path if path not in shallow]
    problems = {path: _problem_at(path, rules_by_path[path], raw, location, model, stem) for path in deepest}
    return [problem for path, problem in problems.items() if not _is_found_elsewhere(path, rules_by_path[path], problems)]


def _is_found_elsewhere(
    path: tuple[str | int, ...], rules: Sequence[_Rule], problems: Mapping[tuple[str | int, ...], BriefProblem]
) -> bool:
    """Return whether a missing setting is there under another name, whose problem already says how it is called."""
    if {rule.kind for rule in rules} != {"missing"}:
        return False
    # A map of another table's settings has at most a few names: only those beside this one are looked at.
    beside = (problem for other, problem in problems.items() if other[:-1] == path[:-1] and other != path)
    return any(f": write {path[-1]} = " in problem.sentence for problem in beside)


def coercion_problems(raw: object, parsed: object, location: str) -> list[BriefProblem]:
    """Return a problem for each value that validation converted to another type, such as ``"2"`` to 2 or true to 1.

    A person who writes such a value means something else. ``raw`` is the value as written, ``parsed`` the result. If a validator changed
    the structure, the types of its leaves count.
    """
    if isinstance(raw, Mapping):
        inner = [(key, value, _child(parsed, key)) for key, value in raw.items()]
        return [problem for key, value, into in inner for problem in coercion_problems(value, into, f"{location}.{key}")]
    if isinstance(raw, list):
        pairs = zip(raw, parsed, strict=True) if isinstance(parsed, list | tuple) and len(parsed) == len(raw) else ()
        return [
            problem for number, (value, into) in enumerate(pairs, 1) for problem in coercion_problems(value, into, f"{location}.{number}")
        ]
    kinds = set(_leaf_kinds(parsed))
    if not kinds or _KIND_NAMES.get(type(raw)) in kinds or None in kinds:
        return []
    rule = "bool_type" if kinds == {_KIND_NAMES[bool]} else "float_type" if _KIND_NAMES[float] in kinds else "string_type"
    name = location.rpartition(".")[2]
    instead = suggest_value("" if name.isdigit() else name, raw, {rule: {}}, None)
    sentence = f"is {quote_value(raw)}, but must be {' or '.join(sorted(filter(None, kinds)))}"
    return [BriefProblem(location, f"{sentence}{_instead(instead)}.")]


_KIND_NAMES: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: 'a text in "quotes"'}


def _leaf_kinds(parsed: object) -> Iterator[str | None]:
    """Yield the kinds of the leaves of a value; None for a leaf with its own notation."""
    if isinstance(parsed, list | tuple):
        for inner in parsed:
            yield from _leaf_kinds(inner)
    else:
        yield _KIND_NAMES.get(type(parsed))


def _child(parsed: object, key: str) -> object:
    return parsed.get(key) if isinstance(parsed, Mapping) else getattr(parsed, key, None)


def _setting_path(loc: Sequence[str | int], raw: object) -> tuple[str | int, ...]:
    """Return ``loc`` without the names of a union's branches, which are not keys in the file."""
    path: list[str | int] = []
    value = raw
    for index, part in enumerate(loc):
        if isinstance(value, Mapping) and isinstance(part, str):
            if part not in value:
                # A missing setting is the last part. A union's branch can be last, too.
                return (*path, part) if index == len(loc) - 1 else tuple(path)
            path.append(part)
            value = value[part]
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
        elif isinstance(value, list | tuple) and isinstance(part, int):
            return (*path, part)
    return tuple(path)


def _problem_at(
    path: tuple[str | int, ...], rules: Sequence[_Rule], raw: object, location: str, model: type[BaseModel], stem: str
) -> BriefProblem:
    place = ".".join([*([location] if location else []), *(str(part + 1 if isinstance(part, int) else part) for part in path)])
    kinds = {rule.kind for rule in rules}
    table = _table_at(model, path[:-1])
    if kinds == {"extra_forbidden"}:
        return BriefProblem(place, _unknown_setting_sentence(str(path[-1]), _value_at(raw, path[:-1]), table, stem))
    if kinds == {"missing"}:
        return BriefProblem(place, "is missing and has no default.")
    value = _value_at(raw, path)
    sentences = [rule.text for rule in rules if rule.kind in ("value_error", "assertion_error")]
    if sentences and isinstance(value, Mapping):
        # The rule is about several settings of a table, and names them.
        return BriefProblem(f"{place}:" if place else "", _with_full_stop(sentences[0]))
    if sentences:
        return BriefProblem(place, f"is {quote_value(value)}: {_with_full_stop(sentences[0])}")
    unique = dict.fromkeys(rule.text for rule in rules if rule.kind not in ("missing", "extra_forbidden"))
    if len(unique) == 1 and kinds & _NUMBER_KINDS:
        unique = {text + _range_text(table, path): None for text in unique}
    name = str(path[-1]) if path and isinstance(path[-1], str) else ""
    inner = _table_at(model, path) if path else None
    instead = suggest_value(name, value, {rule.kind: rule.bounds for rule in rules}, inner)
    return BriefProblem(place, f"is {quote_value(value)}, but {' or '.join(unique)}{_instead(instead)}.")


def _range_text(table: type[BaseModel] | None, path: Sequence[str | int]) -> str:
    """Return the range of the number at ``path`` in ``table``, such as " from 1 to 100"; "" if it has no two ends."""
    field = table.model_fields.get(str(path[-1])) if table is not None and path else None
    ends = {name: getattr(each, name) for each in _constraints(field) for name in ("ge", "le") if getattr(each, name, None) is not None}
    return f" from {_number(ends['ge'])} to {_number(ends['le'])}" if len(ends) == 2 else ""


def _constraints(field: Any) -> Iterator[object]:
    """Yield the bounds of a field, also of one that may be left out (``Annotated[int, Field(ge=1)] | None``)."""
    if field is None:
        return
    yield from field.metadata
    for argument in getattr(field.annotation, "__args__", ()):
        for each in getattr(argument, "__metadata__", ()):
            yield from getattr(each, "metadata", ())


def _instead(suggestion: str) -> str:
    """Return the suggestion as the end of a sentence."""
    return f"{';' if ': ' in suggestion else ':'} {suggestion}" if suggestion else ""


def _unknown_setting_sentence(name: str, settings: object, table: type[BaseModel] | None, stem: str) -> str:
    known = _setting_names(table)
    written = settings if isinstance(settings, Mapping) else {}
    instead = suggest_setting(name, written, table, known, stem) if table is not None else ""
    return f"is not a setting here{f'{_instead(instead)}.' if instead else did_you_mean(name, known)}"


def _rule_text(kind: str, message: str, ctx: Mapping[str, Any]) -> str:
    if kind in ("value_error", "assertion_error"):
        return str(ctx.get("error", message))
    pattern = _RULE_TEMPLATES.get(kind)
    if pattern is None:
        return message[:1].lower() + message[1:]
    values = {name: truncate(_number(value)) if name != "expected" else str(value).replace("'", '"') for name, value in ctx.items()}
    return pattern.format_map(values)


def _number(value: object) -> str:
    """Return a bound as people write it: 4, not 4.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _with_full_stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _value_at(raw: object, path: Iterable[str | int]) -> object:
    value = raw
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
    return value


def _table_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model of the table at ``path`` in ``model``; None if there is none."""
    table: type[BaseModel] | None = model
    for part in path:
        if table is None or isinstance(part, int):
            continue
        table = table_of(table, part)[0]
    return table


def _setting_names(table: type[BaseModel] | None) -> list[str]:
    return [] if table is None else [field.alias or name for name, field in table.model_fields.items()]
