"""``goldsmith ops``: the words a step may use, from the operations' own docstrings."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from goldsmith.cli.places import Config, Root
from goldsmith.cli.screen import say, table
from goldsmith.errors import UsageFault

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from goldsmith.brief.pipeline import Line

_WORDS: dict[object, tuple[str, str]] = {
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "true or false"),
}


def _names(incomplete: str) -> list[str]:
    from goldsmith.ops import catalogue

    return [word for word in catalogue() if word.startswith(incomplete)]


def ops(
    name: Annotated[str | None, typer.Argument(help="Only this one, with all its settings.", metavar="NAME", autocompletion=_names)] = None,
    root: Root = None,
    config: Config = None,
) -> None:
    """List the operations a step may name; for one of them its settings, with type, range and default.

    Example: goldsmith ops export
    """
    from goldsmith.ops import catalogue

    line = _line(root, config)
    if name is None:
        rows = [(word, _stages(line, word), _summary(kind)) for word, kind in catalogue().items()]
        table(("operation", "in the stages", "what it does"), rows)
        return
    if name not in catalogue():
        from goldsmith.brief.reading import nearest

        raise UsageFault(f"There is no operation called “{name}”{nearest(name, catalogue())}")
    kind = catalogue()[name]
    say(f"{name}, in the stages: {_stages(line, name) or 'none'}")
    say()
    say(_plainly(inspect.getdoc(kind) or ""))
    say()
    table(("setting", "type", "range", "default", "what it is"), list(settings_of(kind)))


def _line(root: Path | None, config: Path | None) -> Line:
    """The line of the root that is meant; the one that travels with the program where there is no root."""
    from goldsmith.brief.pipeline import read_line
    from goldsmith.brief.settings import find_config, read_config
    from goldsmith.cli.places import root_of

    try:
        place: Path | None = root_of(root, config)
    except UsageFault:
        place = None
    file = find_config(config, place).file("line.toml")
    return read_line(read_config(file), str(file))


def _stages(line: Line, word: str) -> str:
    return ", ".join(stage.name for stage in line.stages if stage.allowed is None or word in stage.allowed)


def _summary(kind: type[BaseModel]) -> str:
    return _plainly((inspect.getdoc(kind) or "").split("\n", 1)[0])


def _plainly(text: str) -> str:
    return re.sub(r"``?([^`]+)``?", r"\1", text)


def settings_of(kind: type[BaseModel], within: str = "") -> Iterator[tuple[str, str, str, str, str]]:
    """(name, type, range, default, what it is) of every setting; those of a table within follow it with its name before theirs."""
    for name, field in kind.model_fields.items():
        inner = _table_in(field.annotation)
        what = _plainly(" ".join((field.description or "").split()))
        called, limits = _type(field.annotation), _limits(field)
        written = f"{within}{field.alias or name}"
        yield (written, called, limits, _default(field), what)
        if inner is not None:
            yield from settings_of(inner, f"{written}.")


def _table_in(annotation: object) -> type[BaseModel] | None:
    from pydantic import BaseModel

    found = [each for each in (annotation, *get_args(annotation)) if inspect.isclass(each) and issubclass(each, BaseModel)]
    return found[0] if found else None


def _type(annotation: Any, *, many: bool = False) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0], many=many)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each, many=many) for each in inner if each is not type(None)))
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is tuple and Ellipsis not in inner:
        return f"{len(inner)} {_type(inner[0], many=True)} in [ ]"
    if origin in (tuple, list, frozenset, set):
        return f"{_type(inner[0], many=True)} in [ ]"
    if _table_in(annotation) is not None:
        return "table in { }"
    return _WORDS.get(annotation, (str(getattr(annotation, "__name__", annotation)),) * 2)[many]


def _limits(field: FieldInfo) -> str:
    """What pydantic holds a setting to, its own limits or those of its members: "0 to 100", "at most 64 characters"."""
    found = _told(field.metadata, "entries" if get_origin(field.annotation) in (tuple, list) else "characters")
    waiting = [field.annotation]
    while waiting and not found:
        here = waiting.pop(0)
        for extra in getattr(here, "__metadata__", ()):
            found = found or _told(getattr(extra, "metadata", [extra]))
        waiting += [each for each in get_args(here) if each is not None]
    return found


def _told(metadata: list[Any], counted: str = "characters") -> str:
    said = {
        key: getattr(each, key) for each in metadata for key in ("ge", "gt", "le", "lt", "min_length", "max_length") if hasattr(each, key)
    }
    low, high = said.get("ge", said.get("gt")), said.get("le", said.get("lt"))
    if low is not None and high is not None:
        return f"{'over ' if 'gt' in said else ''}{_number(low)} to {'under ' if 'lt' in said else ''}{_number(high)}"
    if low is not None:
        return f"{'more than' if 'gt' in said else 'at least'} {_number(low)}"
    if high is not None:
        return f"{'less than' if 'lt' in said else 'at most'} {_number(high)}"
    if "max_length" in said:
        return f"at most {said['max_length']} {counted}"
    return ""


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(must be given)"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "(unset)"
    if _table_in(type(value)) is not None:
        return "(each its own)"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
