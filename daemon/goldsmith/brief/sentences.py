"""What a checked model found wrong, as plain sentences: ``factor is 9, but must be at most 4``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from goldsmith.brief.reading import Fault, nearest, shortened, shown

_RULES = {
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


def faults_of(error: ValidationError, written: object, place: str, model: type[BaseModel]) -> list[Fault]:
    """The faults in ``error``, one to a place, in the order of the settings.

    ``written`` is what was validated, ``place`` where it stands (``edit.1``), ``model`` what it was checked against.
    """
    said: dict[tuple[str | int, ...], list[tuple[str, str]]] = {}
    for one in error.errors(include_url=False):
        path = _path(one["loc"], written)
        said.setdefault(path, []).append((one["type"], _rule(one["type"], one["msg"], one.get("ctx", {}))))
    # Of a union the branch that came furthest says it best.
    shallow = {path[:length] for path in said for length in range(len(path))}
    deepest = [path for path in said if path not in shallow]
    return [_fault(path, said[path], written, place, model) for path in deepest]


def coerced(written: object, made: object, place: str) -> list[Fault]:
    """The places where a value was bent into another kind: ``"2"`` for 2, true for 1. A person meant something else there.

    ``written`` is what was validated, ``made`` what came of it; where a validator changed the shape, its leaves count.
    """
    if isinstance(written, Mapping):
        inner = [(key, value, _inside(made, key)) for key, value in written.items()]
        return [fault for key, value, into in inner for fault in coerced(value, into, f"{place}.{key}")]
    if isinstance(written, list):
        pairs = zip(written, made, strict=True) if isinstance(made, list | tuple) and len(made) == len(written) else ()
        return [fault for number, (value, into) in enumerate(pairs, 1) for fault in coerced(value, into, f"{place}.{number}")]
    kinds = set(_kinds(made))
    if not kinds or _KINDS.get(type(written)) in kinds or None in kinds:
        return []
    return [Fault(place, f"is {shown(written)}, but must be {' or '.join(sorted(filter(None, kinds)))}.")]


_KINDS: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: 'a text in "quotes"'}


def _kinds(made: object) -> Iterator[str | None]:
    """The kinds of the leaves of a value; None for one that is written in some way of its own."""
    if isinstance(made, list | tuple):
        for inner in made:
            yield from _kinds(inner)
    else:
        yield _KINDS.get(type(made))


def _inside(made: object, key: str) -> object:
    return made.get(key) if isinstance(made, Mapping) else getattr(made, key, None)


def _path(loc: Sequence[str | int], written: object) -> tuple[str | int, ...]:
    """``loc`` without what is no key of the writing: the branches of a union are named in it too."""
    path: list[str | int] = []
    here = written
    for index, part in enumerate(loc):
        if isinstance(here, Mapping) and isinstance(part, str):
            if part not in here:
                # A missing setting is the last part; a union's branch that happens to be last is none.
                return (*path, part) if index == len(loc) - 1 else tuple(path)
            path.append(part)
            here = here[part]
        elif isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
        elif isinstance(here, list | tuple) and isinstance(part, int):
            return (*path, part)
    return tuple(path)


def _fault(path: tuple[str | int, ...], rules: Sequence[tuple[str, str]], written: object, place: str, model: type[BaseModel]) -> Fault:
    told = ".".join([*([place] if place else []), *(str(part + 1 if isinstance(part, int) else part) for part in path)])
    kinds = {kind for kind, _ in rules}
    if kinds == {"extra_forbidden"}:
        return Fault(told, f"is no setting here{nearest(str(path[-1]), _settings(model, path[:-1]))}")
    if kinds == {"missing"}:
        return Fault(told, "is missing, and there is no default for it.")
    value = _at(written, path)
    sentences = [rule for kind, rule in rules if kind in ("value_error", "assertion_error")]
    if sentences:
        return Fault(told, f"is {shown(value)}: {_closed(sentences[0])}")
    unique = dict.fromkeys(rule for kind, rule in rules if kind not in ("missing", "extra_forbidden"))
    return Fault(told, f"is {shown(value)}, but {' or '.join(unique)}.")


def _rule(kind: str, message: str, ctx: Mapping[str, Any]) -> str:
    if kind in ("value_error", "assertion_error"):
        return str(ctx.get("error", message))
    pattern = _RULES.get(kind)
    if pattern is None:
        return message[:1].lower() + message[1:]
    values = {name: shortened(_number(value)) if name != "expected" else str(value).replace("'", '"') for name, value in ctx.items()}
    return pattern.format_map(values)


def _number(value: object) -> str:
    """A bound as people write it: 4, not 4.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _closed(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _at(written: object, path: Iterable[str | int]) -> object:
    here = written
    for part in path:
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
            here = here[part]
    return here


def _settings(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the settings at ``path`` below ``model``."""
    here: type[BaseModel] | None = model
    for part in path:
        if here is None or isinstance(part, int):
            continue
        field = here.model_fields.get(part)
        here = None if field is None else _model_in(field.annotation)
    return [] if here is None else [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model an annotation speaks of: ``Band``, ``Band | None``, ``tuple[Band, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(one) for one in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)
