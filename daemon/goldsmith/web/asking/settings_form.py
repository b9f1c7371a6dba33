"""The form of an operation, made from the schema of its settings: a new operation has its form by itself.

A field that is left empty is a setting that is not written. What a person types is passed on as it is if it is no value of the field's
kind, so that the check of the brief says what is wrong, in the words that ``goldsmith check`` has for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from goldsmith.brief.parsing import BriefError, read_toml
from goldsmith.operation import Choices, Operation

# flag: yes or no; choice: one of the words; number, text, words (a long text), lines (a text on each line); value: as TOML writes it;
# table: fields under one name; rows: any number of such tables.
FieldKind = Literal["flag", "choice", "number", "text", "words", "lines", "value", "table", "rows"]

# A text that may be longer than this gets several lines.
_LONG_TEXT_CHARS = 1000
# Rows that are read of a list of tables.
_MAX_ROWS = 64
_FLAG_WORDS = {"yes": True, "no": False}
# The text of a table that is a setting without any of its fields.
BARE_TABLE = "yes"

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SettingField:
    """One field of a form.

    name: of the setting in its table; hint: its description; default: what applies if it is left empty, as text; choices: the words of a
    choice, and words that a ``value`` may be; fields: those of a table or of each row.
    """

    name: str
    kind: FieldKind
    hint: str = ""
    default: str = ""
    limits: str = ""
    choices: tuple[str, ...] = ()
    is_required: bool = False
    # True for a table that is a setting also without any of its fields: ``shadow = {}``.
    can_be_bare: bool = False
    fields: tuple[SettingField, ...] = ()


def form_of(operation: type[Operation]) -> tuple[SettingField, ...]:
    """Return the fields of an operation's form: one for each of its settings, in their order, the required ones first."""
    schema = operation.model_json_schema()
    fields = _fields_of(schema, schema.get("$defs", {}), operation)
    return tuple(sorted(fields, key=lambda field: not field.is_required))


def read_settings(fields: Sequence[SettingField], texts: Mapping[str, str], prefix: str = "") -> dict[str, object]:
    """Return the settings in the texts of a form; the text of ``shadows.temperature`` has that name, that of a row ``layers.0.from``.

    Fields that are empty are left out, and so are tables and rows of empty fields.
    """
    settings: dict[str, object] = {}
    for field in fields:
        path = f"{prefix}{field.name}"
        if field.kind == "table":
            value: object = read_settings(field.fields, texts, f"{path}.")
            if not value and texts.get(path, "") == BARE_TABLE:
                settings[field.name] = value
        elif field.kind == "rows":
            rows = (read_settings(field.fields, texts, f"{path}.{number}.") for number in row_numbers(path, texts))
            value = [row for row in rows if row]
        else:
            text = texts.get(path, "").strip()
            value = _read_value(field, text) if text else None
        if value not in (None, {}, []):
            settings[field.name] = value
    return settings


def write_texts(fields: Sequence[SettingField], settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return the texts of a form that has these settings: reading them gives the settings again."""
    texts: dict[str, str] = {}
    for field in fields:
        value, path = settings.get(field.name), f"{prefix}{field.name}"
        if value is None:
            continue
        if field.kind == "table" and isinstance(value, Mapping):
            texts |= write_texts(field.fields, value, f"{path}.") or {path: BARE_TABLE}
        elif field.kind == "rows" and isinstance(value, Sequence):
            for number, row in enumerate(value):
                texts |= write_texts(field.fields, row, f"{path}.{number}.")
        else:
            texts[path] = _write_value(field, value)
    return texts


# ---------------------------------------------------------------------- from the schema


def _fields_of(schema: Schema, definitions: Mapping[str, Schema], model: type[BaseModel] | None) -> Iterator[SettingField]:
    required = set(schema.get("required", ()))
    infos = {} if model is None else {info.alias or name: info for name, info in model.model_fields.items()}
    for name, raw in schema.get("properties", {}).items():
        yield _field_of(name, raw, definitions, infos.get(name), is_required=name in required)


def _field_of(name: str, raw: Schema, definitions: Mapping[str, Schema], info: FieldInfo | None, *, is_required: bool) -> SettingField:
    options = [_resolve(option, definitions) for option in raw.get("anyOf", [raw])]
    options = [option for option in options if option.get("type") != "null"]
    words = () if info is None else _marked_words(info)
    kind, choices, inner = _kind_of(options, words, definitions)
    return SettingField(
        name,
        kind,
        hint=_plain_text(raw.get("description") or options[0].get("description") or ""),
        default="" if kind in ("table", "rows") else _default_text(kind, raw.get("default")),
        limits=" or ".join(filter(None, map(_limits_text, options))),
        choices=choices,
        is_required=is_required and options[0].get("type") != "object",
        can_be_bare=kind == "table" and len(raw.get("anyOf", ())) > 1,
        fields=tuple(_fields_of(inner, definitions, None)) if inner is not None else (),
    )


def _kind_of(
    options: Sequence[Schema], words: tuple[str, ...], definitions: Mapping[str, Schema]
) -> tuple[FieldKind, tuple[str, ...], Schema | None]:
    """Return the kind of a field, its words, and the schema of its table or of its rows."""
    choices = words or tuple(str(word) for option in options for word in _words_of(option))
    if len(options) > 1:
        return "value", choices, None
    option = options[0]
    if choices:
        return "choice", choices, None
    schema_type = option.get("type")
    if schema_type == "object" and "properties" in option:
        return "table", (), option
    if schema_type == "array" and "items" in option:
        items = _resolve(option["items"], definitions)
        if items.get("type") == "object":
            return "rows", (), items
        return ("lines", tuple(map(str, _words_of(items))), None) if items.get("type") == "string" else ("value", (), None)
    if schema_type == "string":
        return ("words" if option.get("maxLength", 0) > _LONG_TEXT_CHARS else "text"), (), None
    kinds: dict[object, FieldKind] = {"boolean": "flag", "integer": "number", "number": "number"}
    return kinds.get(schema_type, "value"), (), None


def _resolve(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a schema without its reference to a definition."""
    reference = schema.get("$ref")
    return schema if reference is None else definitions[reference.rpartition("/")[2]]


def _words_of(option: Schema) -> Sequence[object]:
    words: Sequence[object] = option.get("enum", [option["const"]] if "const" in option else ())
    return words


def _marked_words(info: FieldInfo) -> tuple[str, ...]:
    """Return the words of a setting whose value is a word of a table, such as a format."""
    marks = [*info.metadata, *(mark for part in get_args(info.annotation) for mark in getattr(part, "__metadata__", ()))]
    return next((mark.words() for mark in marks if isinstance(mark, Choices)), ())


def _limits_text(option: Schema) -> str:
    low, high = (next((option[key] for key in keys if key in option), None) for keys in _LIMIT_KEYS)
    if low is None and high is None:
        return ""
    return f"at most {high:g}" if low is None else f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


_LIMIT_KEYS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))


def _default_text(kind: FieldKind, value: object) -> str:
    if value in (None, "", []):
        return ""
    return value if isinstance(value, str) else _flag_text(value) if kind == "flag" else _to_toml(value)


def _plain_text(text: str) -> str:
    return re.sub(r"``?([^`]+)``?", r"\1", " ".join(text.split()))


# ---------------------------------------------------------------------- between texts and settings


def has_texts(texts: Mapping[str, str], path: str) -> bool:
    """Return whether a table has a text, or is a setting without one."""
    return path in texts or any(name.startswith(f"{path}.") for name in texts)


def row_numbers(path: str, texts: Mapping[str, str]) -> list[int]:
    """Return the numbers of the rows of a list of tables that have a text, in ascending order."""
    heads = {name.removeprefix(f"{path}.").partition(".")[0] for name in texts if name.startswith(f"{path}.")}
    return sorted(int(head) for head in heads if head.isascii() and head.isdecimal() and len(head) < 6)[:_MAX_ROWS]


def _read_value(field: SettingField, text: str) -> object:
    if field.kind in ("text", "words"):
        return text.replace("\r\n", "\n")
    if field.kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.kind == "flag":
        return _FLAG_WORDS.get(text.lower(), text)
    if field.kind == "choice":
        # A choice among numbers, such as a depth, is a number in the brief.
        return int(text) if text in field.choices and text.isascii() and text.isdecimal() else text
    value = _parse_number(text) if field.kind == "number" else _parse(text)
    if value is None and field.kind == "value" and "," in text:
        value = _parse(f"[{text}]")
    return text if value is None else value


def _parse_number(text: str) -> int | float | None:
    """Return the number that people write, also as .5; None if it is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _parse(text: str) -> object | None:
    """Return the value that TOML reads in a text; None if it is no value."""
    try:
        values = read_toml(f"x = {' '.join(text.split())}".encode("utf-8", "replace"), "")
    except BriefError:
        return None
    return values["x"] if len(values) == 1 else None


def _write_value(field: SettingField, value: object) -> str:
    if field.kind == "flag" and isinstance(value, bool):
        return _flag_text(value)
    if field.kind == "lines" and isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(map(str, value))
    if isinstance(value, str):
        # Quotation marks only where the bare text would be read as another value.
        return value if field.kind not in ("value", "number") or _parse(value) is None else _to_toml(value)
    return _to_toml(value)


def _flag_text(value: object) -> str:
    return "yes" if value else "no"


def _to_toml(value: object) -> str:
    """Return a value on one line, as TOML writes it."""
    if isinstance(value, Mapping):
        pairs = (f"{tomli_w.dumps({str(key): 0}).rpartition(' = ')[0]} = {_to_toml(inner)}" for key, inner in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")
