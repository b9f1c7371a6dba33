"""Validation errors as plain sentences: ``factor is 9, but must be at most 4``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from goldsmith.brief.parsing import BriefProblem, did_you_mean, quote_value, truncate

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


def validation_problems(error: ValidationError, raw: object, location: str, model: type[BaseModel]) -> list[BriefProblem]:
    """Return the problems in ``error``, one for each location, in the order of the settings.

    ``raw`` is the validated value, ``location`` its place (``edit.1``), ``model`` the class that validated it.
    """
    rules_by_path: dict[tuple[str | int, ...], list[tuple[str, str]]] = {}
    for each in error.errors(include_url=False):
        path = _setting_path(each["loc"], raw)
        rules_by_path.setdefault(path, []).append((each["type"], _rule_text(each["type"], each["msg"], each.get("ctx", {}))))
    # The branch of a union that validated furthest has the most useful message.
    shallow = {path[:length] for path in rules_by_path for length in range(len(path))}
    deepest = [path for path in rules_by_path if path not in shallow]
    return [_problem_at(path, rules_by_path[path], raw, location, model) for path in deepest]


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
    return [BriefProblem(location, f"is {quote_value(raw)}, but must be {' or '.join(sorted(filter(None, kinds)))}.")]


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
    path: tuple[str | int, ...], rules: Sequence[tuple[str, str]], raw: object, location: str, model: type[BaseModel]
) -> BriefProblem:
    place = ".".join([*([location] if location else []), *(str(part + 1 if isinstance(part, int) else part) for part in path)])
    kinds = {kind for kind, _ in rules}
    if kinds == {"extra_forbidden"}:
        return BriefProblem(place, f"is not a setting here{did_you_mean(str(path[-1]), _setting_names(model, path[:-1]))}")
    if kinds == {"missing"}:
        return BriefProblem(place, "is missing and has no default.")
    value = _value_at(raw, path)
    sentences = [rule for kind, rule in rules if kind in ("value_error", "assertion_error")]
    if sentences:
        return BriefProblem(place, f"is {quote_value(value)}: {_with_full_stop(sentences[0])}")
    unique = dict.fromkeys(rule for kind, rule in rules if kind not in ("missing", "extra_forbidden"))
    return BriefProblem(place, f"is {quote_value(value)}, but {' or '.join(unique)}.")


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


def _setting_names(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the names of the settings at ``path`` in ``model``."""
    table: type[BaseModel] | None = model
    for part in path:
        if table is None or isinstance(part, int):
            continue
        field = table.model_fields.get(part)
        table = None if field is None else _model_in(field.annotation)
    return [] if table is None else [field.alias or name for name, field in table.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model in an annotation: ``Band``, ``Band | None``, ``tuple[Band, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    candidates = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((candidate for candidate in candidates if candidate is not None), None)
