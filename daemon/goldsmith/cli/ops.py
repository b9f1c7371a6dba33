"""The command ``goldsmith ops``: lists the operations and their settings, from the operations' own docstrings."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from goldsmith.cli.location import ConfigOption, RootOption
from goldsmith.cli.output import print_table, print_text
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from goldsmith.brief.pipeline import Pipeline

_TYPE_NAMES: dict[object, tuple[str, str]] = {
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "true or false"),
}


def _complete_operation_name(incomplete: str) -> list[str]:
    from goldsmith.ops import catalogue

    return [word for word in catalogue() if word.startswith(incomplete)]


def ops(
    name: Annotated[
        str | None,
        typer.Argument(help="Only this operation, with all its settings.", metavar="NAME", autocompletion=_complete_operation_name),
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """List the operations that a step may name; for one operation, its settings with type, range and default.

    Example: goldsmith ops export
    """
    from goldsmith.ops import catalogue

    pipeline = _load_pipeline(root, config)
    if name is None:
        rows = [(word, _stages_allowing(pipeline, word), _summary(kind)) for word, kind in catalogue().items()]
        print_table(("operation", "stages", "description"), rows)
        return
    if name not in catalogue():
        from goldsmith.brief.parsing import did_you_mean

        raise UsageError(f"There is no operation called “{name}”{did_you_mean(name, catalogue())}")
    kind = catalogue()[name]
    print_text(f"{name}, stages: {_stages_allowing(pipeline, name) or 'none'}")
    print_text()
    print_text(_strip_backticks(inspect.getdoc(kind) or ""))
    print_text()
    print_table(("setting", "type", "range", "default", "description"), list(setting_rows(kind)))


def _load_pipeline(root: Path | None, config: Path | None) -> Pipeline:
    """Return the pipeline of the root, or, without a root, the supplied one."""
    from goldsmith.brief.pipeline import read_pipeline
    from goldsmith.brief.settings import find_config, read_config
    from goldsmith.cli.location import find_root

    try:
        folder: Path | None = find_root(root, config)
    except UsageError:
        folder = None
    file = find_config(config, folder).path_of("pipeline.toml")
    return read_pipeline(read_config(file), str(file))


def _stages_allowing(pipeline: Pipeline, word: str) -> str:
    return ", ".join(stage.name for stage in pipeline.stages if stage.allowed_ops is None or word in stage.allowed_ops)


def _summary(kind: type[BaseModel]) -> str:
    return _strip_backticks((inspect.getdoc(kind) or "").split("\n", 1)[0])


def _strip_backticks(text: str) -> str:
    return re.sub(r"``?([^`]+)``?", r"\1", text)


def setting_rows(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (name, type, range, default, description) of every setting, those of a nested table as table.setting after it."""
    for name, field in kind.model_fields.items():
        inner = _nested_model(field.annotation)
        description = _strip_backticks(" ".join((field.description or "").split()))
        full_name = f"{prefix}{field.alias or name}"
        type_text = _choices_text(field) or _type_text(field.annotation)
        yield (full_name, type_text, _range_text(field), _default_text(field), description)
        if inner is not None:
            yield from setting_rows(inner, f"{full_name}.")


def _nested_model(annotation: object) -> type[BaseModel] | None:
    from pydantic import BaseModel

    models = [each for each in (annotation, *get_args(annotation)) if inspect.isclass(each) and issubclass(each, BaseModel)]
    return models[0] if models else None


def _type_text(annotation: Any, *, plural: bool = False) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(inner[0], plural=plural)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_text(each, plural=plural) for each in inner if each is not type(None)))
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is tuple and Ellipsis not in inner:
        return f"{len(inner)} {_type_text(inner[0], plural=True)} in [ ]"
    if origin in (tuple, list, frozenset, set):
        return f"{_type_text(inner[0], plural=True)} in [ ]"
    if _nested_model(annotation) is not None:
        return "table in { }"
    return _TYPE_NAMES.get(annotation, (str(getattr(annotation, "__name__", annotation)),) * 2)[plural]


def _choices_text(field: FieldInfo) -> str:
    """Return the words of a setting whose value is a word of a table: "png | tiff"; "" for any other setting."""
    from goldsmith.operation import Choices

    marks = [*field.metadata, *(mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ()))]
    return next((" | ".join(mark.words()) for mark in marks if isinstance(mark, Choices)), "")


def _range_text(field: FieldInfo) -> str:
    """Return the limits that pydantic checks, of the setting or of its members: "0 to 100", "at most 64 characters"."""
    text = _constraint_text(field.metadata, "entries" if get_origin(field.annotation) in (tuple, list) else "characters")
    pending = [field.annotation]
    while pending and not text:
        annotation = pending.pop(0)
        for extra in getattr(annotation, "__metadata__", ()):
            text = text or _constraint_text(getattr(extra, "metadata", [extra]))
        pending += [each for each in get_args(annotation) if each is not None]
    return text


def _constraint_text(metadata: list[Any], unit: str = "characters") -> str:
    limits = {
        key: getattr(each, key) for each in metadata for key in ("ge", "gt", "le", "lt", "min_length", "max_length") if hasattr(each, key)
    }
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if low is not None and high is not None:
        return f"{'over ' if 'gt' in limits else ''}{_number_text(low)} to {'under ' if 'lt' in limits else ''}{_number_text(high)}"
    if low is not None:
        return f"{'more than' if 'gt' in limits else 'at least'} {_number_text(low)}"
    if high is not None:
        return f"{'less than' if 'lt' in limits else 'at most'} {_number_text(high)}"
    if "max_length" in limits:
        return f"at most {limits['max_length']} {unit}"
    return ""


def _number_text(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else str(value)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "(unset)"
    if _nested_model(type(value)) is not None:
        return "(see below)"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
