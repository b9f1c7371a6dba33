"""Suggests the word or the notation that a person meant: an operation by another name, a folder as a stage, a number with its unit.

The rules know no brief and no operation by name: they follow from the pipeline's stages, from the operations' own settings and from the
other names that operations declare. A suggestion is a half sentence that says what to write; "" means that there is none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from goldsmith.brief.parsing import BriefProblem, did_you_mean, quote_value, truncate

if TYPE_CHECKING:  # it needs numpy, which the words alone do not
    from goldsmith.operation import Operation

# Keys under which people write a step's operation.
_KEYS_FOR_OP = ("op", "operation", "operator", "action", "step", "type", "do", "effect", "filter", "tool", "command", "name")
# Keys under which people write down files, which a brief never names.
_KEYS_FOR_FILES = {"input", "file", "image", "picture", "source", "src", "filename", "path", "inputfile", "infile"}
_KEYS_FOR_REMARKS = {"note", "notes", "comment", "comments", "remark", "remarks", "client", "date", "version", "todo", "deadline"}
# Other words for the settings that say whose the picture is.
_WORDS_FOR_CREDITS = {
    **dict.fromkeys(("author", "artist", "photographer"), "creator"),
    **dict.fromkeys(("copyright", "licence", "license", "usage"), "rights"),
    **dict.fromkeys(("byline", "creditline"), "credit"),
}
_KEYS_FOR_TABLES = {
    "step",
    "steps",
    "stage",
    "stages",
    "operation",
    "operations",
    "op",
    "ops",
    "task",
    "tasks",
    "edits",
    "layer",
    "pipeline",
}
# Another spelling of a setting by the spelling that the settings use. Each side is folded.
_SPELLINGS = {
    "color": "colour",
    "gray": "grey",
    "center": "anchor",
    "position": "anchor",
    "gravity": "anchor",
    "dpi": "ppi",
    "resolution": "ppi",
    "region": "where",
    "area": "where",
    "selection": "where",
    "negativeprompt": "negative",
    "cfg": "guidance",
    "cfgscale": "guidance",
    "guidancescale": "guidance",
    "numinferencesteps": "steps",
    "count": "candidates",
    "scale": "factor",
    "ratio": "aspect",
    "aspectratio": "aspect",
    "lora": "loras",
    "lut": "look",
    "preset": "look",
    "brightness": "exposure",
    "angle": "rotate",
    "rotation": "rotate",
    "filetype": "format",
    "type": "format",
    "extension": "format",
    "outline": "stroke",
    "background": "panel",
    "max_size": "max_kb",
}
_PREFIXES = ("min_", "max_", "the_", "target_", "new_", "image_", "picture_", "font_", "text_")
_NUMBER_WITH_UNIT = re.compile(r"\s*([+-]?\d+(?:[.,]\d+)?)\s*[a-z°×%]{0,8}\s*", re.IGNORECASE)
_SIZE = re.compile(r"\s*(\d{1,6})\s*(?:x|×|\*|by|,|:)\s*(\d{1,6})\s*(?:px)?\s*", re.IGNORECASE)
_NUMBER_RULES = {"int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"}
_TABLE_RULES = {"model_type", "model_attributes_type", "dict_type"}
_LIST_RULES = {"tuple_type", "list_type", "too_short", "too_long", "missing"}
_WORDS_FOR_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# A longer word is not compared with others.
_MAX_WORD_LENGTH = 60
_MAX_STAGES_NAMED = 3
_PER_CENT = 100


def fold(word: str) -> str:
    """Return a name as names are compared here: in lower case, letters and digits only."""
    return "".join(char for char in word[:_MAX_WORD_LENGTH].casefold() if char.isalnum())


class StageWords(NamedTuple):
    """What a brief's author sees of a stage: its name, the folder that it reads, and the operations that it allows (None = all)."""

    name: str
    folder: str
    allowed_ops: Collection[str] | None


class Vocabulary:
    """The words that a brief may use: stages, their folders and operations. It finds the one that a person meant.

    ``stem`` is the name of the picture that the brief belongs to, for the names of files beside it.
    """

    def __init__(
        self, catalogue: Mapping[str, type[Operation]], stages: Sequence[StageWords] = (), final_folder: str = "", stem: str = "NAME"
    ) -> None:
        self._catalogue = catalogue
        self._stages = stages
        self._final_folder = final_folder
        self.stem = stem

    @cached_property
    def _op_by_word(self) -> dict[str, str]:
        """Every name of an operation, folded. It is made for a brief with a mistake only."""
        return {fold(word): name for name, operation in self._catalogue.items() for word in (*operation.also_called.split(), name)}

    def operation_meant(self, word: str) -> str:
        """Return the operation that a word stands for: its name in another spelling, another name for it, or a name much like it."""
        folded = fold(word)
        exact = self._op_by_word.get(folded)
        if exact is not None or not folded or len(word) > _MAX_WORD_LENGTH:
            return exact or ""
        first = next((self._op_by_word[fold(part)] for part in re.split(r"[\s_-]+", word) if fold(part) in self._op_by_word), "")
        near = difflib.get_close_matches(folded, self._op_by_word, n=1, cutoff=0.75)
        return first or (self._op_by_word[near[0]] if near else "")

    def stages_with(self, op: str) -> list[str]:
        """Return the names of the stages that allow the operation, the likeliest one first."""
        allowing = [stage.name for stage in self._stages if stage.allowed_ops is None or op in stage.allowed_ops]
        own = [name for name in allowing if name == op]
        # The first stage sorts out raw pictures; work that several stages can do is rarely meant for it.
        later = [name for name in allowing if not self._stages or name != self._stages[0].name]
        return list(dict.fromkeys((*own, *later, *allowing)))

    def headings_for(self, op: str) -> str:
        """Return the headings under which the operation may stand: ``[[edit]]``, or ``[[grade]] (or [[deliver]])``."""
        names = [f"[[{name}]]" for name in self.stages_with(op)]
        others = f" (or {', '.join(names[1 : 1 + _MAX_STAGES_NAMED])})" if len(names) > 1 else ""
        return f"{names[0]}{others}" if names else "its stage"

    # ------------------------------------------------------------------ names above the steps

    def unknown_name_problems(self, raw: Mapping[str, object], known: Sequence[str]) -> list[BriefProblem]:
        """Return a problem for each name of ``raw``, none of which a brief may have at its top. ``known`` lists those that it may have."""
        op = raw.get("op")
        loose = {key for key in raw if key != "op" and self._owners(key)} if isinstance(op, str) else set()
        return [BriefProblem(key, self._unknown_name(key, value, known)) for key, value in raw.items() if key not in loose]

    def _unknown_name(self, key: str, value: object, known: Sequence[str]) -> str:
        stage_names = [stage.name for stage in self._stages]
        folded = fold(key)
        folder = next((stage for stage in self._stages if fold(stage.folder) == folded), None)
        stage = next((name for name in stage_names if fold(name) == folded), "")
        tables = _looks_like_steps(value)
        if key == "op" and isinstance(value, str):
            heading = self.headings_for(self.operation_meant(value) or value)
            return f"stands above the first step: write {heading} on a line of its own above op = {quote_value(value)}."
        if stage:
            return f"is written in small letters: [[{stage}]]."
        if folder is not None:
            return f"is a folder: the steps for what lies in {folder.folder}/ are written under [[{folder.name}]]."
        if self._final_folder and folded == fold(self._final_folder):
            return f"is the last folder, where nothing more is done: its files are made under [[{stage_names[-1]}]]."
        op = self.operation_meant(key) if tables or value in ("", [], {}) or value is True else self._op_by_word.get(folded, "")
        if op and not (self._owners(key) and not tables):
            return f'is an operation, not a stage: write {self.headings_for(op)} and, on the next line, op = "{op}".'
        if tables:
            inner = _inner_op(value)
            heading = self.headings_for(self.operation_meant(inner)) if self.operation_meant(inner) else ""
            if folded in _KEYS_FOR_TABLES and stage_names:
                return f"is not a stage: each step stands under the name of its stage: {heading or _headings(stage_names)}."
            is_misspelt = bool(difflib.get_close_matches(key[:_MAX_WORD_LENGTH].lower(), stage_names, n=1))
            return (
                f"is not a stage of the pipeline{f': write {heading}.' if heading and not is_misspelt else did_you_mean(key, stage_names)}"
            )
        return self._unknown_setting(key, known)

    def _unknown_setting(self, key: str, known: Sequence[str]) -> str:
        owners = self._owners(key) or self._owners(_SPELLINGS.get(fold(key), ""))
        if _WORDS_FOR_CREDITS.get(fold(key)) in known:
            return f'is not a setting of a brief: it is written as {_WORDS_FOR_CREDITS[fold(key)]} = "…".'
        if fold(key) in _KEYS_FOR_REMARKS:
            return "is not a setting of a brief: write a remark as a line that begins with #."
        if fold(key) in ("description", "subject", "words", "instruction", "instructions", "positive", "positiveprompt"):
            return 'is not a setting of a brief: the words for the picture are written as prompt = "…".'
        if fold(key) in ("name", "headline") and "title" in known:
            return 'is not a setting of a brief: its title is written as title = "…".'
        if owners and self._stages:
            op = owners[0]
            above = f'[[{self.stages_with(op)[0]}]] and op = "{op}"'
            if len(owners) == 1:
                return f'belongs to a step: write {self.headings_for(op)} and op = "{op}" above it.'
            return f"belongs to a step: it is a setting of {_listed(owners)}. Write {above} above it, for example."
        if fold(key) in _KEYS_FOR_FILES:
            return f"is not a setting of a brief: the brief belongs to the picture beside it, “{self.stem}”, which need not be named."
        return f"is not a setting of a brief{did_you_mean(key, known)}"

    def _owners(self, key: str) -> list[str]:
        """Return the operations that have a setting of this name and that a stage allows."""
        return [name for name, operation in self._catalogue.items() if key in operation.model_fields and self.stages_with(name)]

    # ------------------------------------------------------------------ a step's operation

    def missing_op_problem(self, location: str, raw: Mapping[str, object], allowed: Sequence[str]) -> BriefProblem:
        """Return the problem of a step without ``op``: by a key that means it, by its settings, else with every operation there is."""
        for key in raw:
            value = raw[key]
            op = self.operation_meant(value) if fold(key) in _KEYS_FOR_OP and isinstance(value, str) else ""
            if op:
                return BriefProblem(f"{location}.{truncate(key)}", f'is not how a step names its operation: write op = "{op}".')
        nested = [(key, self.operation_meant(key)) for key, value in raw.items() if isinstance(value, dict | list)]
        settings = {setting for op in allowed for setting in self._fields(op)}
        inner = next(((key, op) for key, op in nested if op and key not in settings), None)
        if inner is not None:
            return BriefProblem(f"{location}.{truncate(inner[0])}", f'is written as a table: write op = "{inner[1]}" in the step itself.')
        fitting = [op for op in allowed if raw and all(key in self._fields(op) for key in raw)]
        stage = location.partition(".")[0]
        if not raw:
            return BriefProblem(location, "is empty: write the step's operation in it, or delete it.")
        likely = fitting[0] if len(fitting) == 1 else stage if stage in fitting else ""
        if likely:
            return BriefProblem(location, f'has no `op`: write op = "{likely}" in it.')
        return BriefProblem(location, f"has no `op`: each step names its operation{did_you_mean('', allowed)}")

    def _fields(self, op: str) -> Collection[str]:
        return self._catalogue[op].model_fields if op in self._catalogue else ()

    def unknown_op_problem(self, location: str, op: str, allowed: Sequence[str]) -> BriefProblem:
        """Return the problem of an operation that does not exist."""
        operation = self.operation_meant(op)
        if operation in allowed:
            return BriefProblem(f"{location}.op", f'is {quote_value(op)}, but there is no such operation: write op = "{operation}".')
        if operation and self.stages_with(operation):
            instead = f'write op = "{operation}" under {self.headings_for(operation)}'
            return BriefProblem(f"{location}.op", f"is {quote_value(op)}, but there is no such operation: {instead}.")
        return BriefProblem(f"{location}.op", f"is {quote_value(op)}, but there is no such operation{did_you_mean(op, allowed)}")

    def misplaced_op_problem(self, location: str, op: str, allowed: Sequence[str]) -> BriefProblem:
        """Return the problem of an operation that this stage does not allow."""
        sentence = f"is {quote_value(op)}, which is not allowed in this stage"
        if self.stages_with(op):
            return BriefProblem(f"{location}.op", f"{sentence}: write it under {self.headings_for(op)}.")
        return BriefProblem(f"{location}.op", f"{sentence}{did_you_mean('', allowed)}")

    def not_a_list_problem(self, location: str, raw: object, allowed: Sequence[str]) -> BriefProblem:
        """Return the problem of a stage that is not written as [[stage]]."""
        if isinstance(raw, dict):
            op = next((key for key, value in raw.items() if key in allowed and isinstance(value, dict | list)), "")
            if op:
                sentence = f'is written with {op} in its heading: write [[{location}]] and, on the next line, op = "{op}".'
                return BriefProblem(location, sentence)
            return BriefProblem(location, f"is written as [{location}]; a step begins with two brackets: [[{location}]].")
        words = raw if isinstance(raw, list) else [raw]
        first = words[0] if words and isinstance(words[0], str) else "…"
        operation = self.operation_meant(first)
        op = quote_value(operation if operation in allowed else first)
        again = ", and so on for each operation" if len(words) > 1 and isinstance(words[1], str) else ""
        sentence = f"is {quote_value(raw)}, but a stage is written as [[{location}]] with op = {op} on the next line{again}."
        return BriefProblem(location, sentence)


def _looks_like_steps(raw: object) -> bool:
    first = raw[0] if isinstance(raw, list) and raw else raw
    return isinstance(first, dict)


def _inner_op(raw: object) -> str:
    first = raw[0] if isinstance(raw, list) and raw else raw
    op = first.get("op") if isinstance(first, dict) else None
    return op if isinstance(op, str) else ""


def _headings(names: Iterable[str]) -> str:
    return ", ".join(f"[[{name}]]" for name in names)


def _listed(words: Sequence[str]) -> str:
    listed = list(words[:4])
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


# ---------------------------------------------------------------------- settings


def suggest_setting(name: str, settings: Mapping[str, object], model: type[BaseModel], known: Sequence[str], stem: str) -> str:
    """Return what to write instead of the unknown setting ``name``: "write string = …"; "" if nothing is known.

    ``settings`` has all settings of that step or table as written, ``known`` the names that ``model`` has.
    """
    value = settings.get(name)
    folded = fold(name)
    if folded in ("mask", "masks", "maskfile") and "masks" not in known:
        where = ' and write where = "mask"' if _default(model, "where") not in (None, "mask") else ""
        return f"masks are not named in a brief: lay the mask beside the picture as {stem}.mask.png{where}"
    if folded in ("width", "height", "w", "h") and "size" in known and _is_pair(model, "size"):
        return f"write size = [{_side(settings, 'w') or _SIDE_EXAMPLES[0]}, {_side(settings, 'h') or _SIDE_EXAMPLES[1]}], width and height"
    setting = _setting_meant(name, model, known)
    if setting and setting not in settings:
        written = _written_as(model, name, setting, value)
        return f"write {setting} = {written}" if written else f"it is called {setting}"
    if setting:
        return f"it is called {setting}, which is there already: delete the line"
    if folded in _KEYS_FOR_REMARKS:
        return "write a remark as a line that begins with #"
    if folded in _KEYS_FOR_FILES and not {"source", "from", "path"} & set(known):
        return "files are not named in a brief: the step works on the picture that the brief lies beside"
    return ""


_SIDE_EXAMPLES = ("1920", "1080")


def _setting_meant(name: str, model: type[BaseModel], known: Sequence[str]) -> str:
    synonyms: Mapping[str, str] = getattr(model, "settings_also_called", {})
    folded = fold(name)
    by_folded = {fold(each): each for each in known}
    candidates = [folded, fold(_SPELLINGS.get(folded, "")), fold(_SPELLINGS.get(name, ""))]
    candidates += [fold(name.lower().removeprefix(prefix)) for prefix in _PREFIXES if name.lower().startswith(prefix)]
    candidates += [fold(re.sub("color", "colour", name.lower()))]
    own = next((setting for setting, words in synonyms.items() if folded in map(fold, words.split())), "")
    return own or next((by_folded[each] for each in candidates if each and each in by_folded), "")


def _written_as(model: type[BaseModel], name: str, setting: str, value: object) -> str:
    """Return a text or number of the setting ``name`` as the setting ``setting`` takes it: in a table or list if need be; "" if unclear."""
    if not isinstance(value, str | int | float):
        return ""
    table, is_list = table_of(model, setting)
    if table is None:
        return quote_value(_without_folder_and_suffix(value) if setting == "name" and isinstance(value, str) else value)
    keys = [field.alias or key for key, field in table.model_fields.items()]
    inner = next((key for key in (name, "amount") if key in keys and not isinstance(value, str)), keys[0] if isinstance(value, str) else "")
    entry = f"{{ {inner} = {quote_value(value)} }}"
    return (f"[{entry}]" if is_list else entry) if inner else ""


def table_of(model: type[BaseModel], name: str) -> tuple[type[BaseModel] | None, bool]:
    """Return the model of the setting ``name`` if it is a table or a list of tables, and whether it is a list; (None, False) if neither."""
    field = model.model_fields.get(name) or next((field for field in model.model_fields.values() if field.alias == name), None)
    annotation = None if field is None else field.annotation
    return _model_in(annotation), "tuple[" in str(annotation) or "list[" in str(annotation)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model in an annotation: ``Band``, ``Band | None``, ``tuple[Band, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    candidates = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((candidate for candidate in candidates if candidate is not None), None)


def _without_folder_and_suffix(path: str) -> str:
    return re.sub(r"\.[A-Za-z0-9]{2,5}$", "", re.split(r"[/\\]", path)[-1])


def _side(settings: Mapping[str, object], letter: str) -> str:
    value = next((settings[key] for key in settings if fold(key) in (letter, "width" if letter == "w" else "height")), None)
    number = _NUMBER_WITH_UNIT.fullmatch(value) if isinstance(value, str) and len(value) < _MAX_WORD_LENGTH else None
    return number[1] if number else str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _default(model: type[BaseModel], name: str) -> object:
    return model.model_fields[name].default if name in model.model_fields else None


def _is_pair(model: type[BaseModel], name: str) -> bool:
    return "tuple" in str(model.model_fields[name].annotation) if name in model.model_fields else False


# ---------------------------------------------------------------------- values


def suggest_value(name: str, value: object, rules: Mapping[str, Mapping[str, Any]], table: type[BaseModel] | None) -> str:
    """Return what to write instead of a value of the wrong kind: "write factor = 2"; "" if nothing is known.

    ``name`` is "" for an entry of a list. ``rules`` has the rules that the value breaks, by kind, with their bounds; ``table`` is the model
    of a setting that is a table.
    """
    if len(str(value)[: _MAX_WORD_LENGTH + 1]) > _MAX_WORD_LENGTH:
        return ""
    key = f"{name} = " if name else ""
    if rules.keys() & _TABLE_RULES:
        return _suggest_table(key, value, table)
    if isinstance(value, str):
        return _suggest_for_text(key, value, rules, table)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if rules.keys() & {"bool_type", "bool_parsing"} and is_number and value in (0, 1):
        return f"write {key}{'true' if value else 'false'}"
    if rules.keys() <= _LIST_RULES and is_number and name == "size":
        return f"write size = [{value}, {value}], width and height"
    if rules.keys() <= _LIST_RULES and isinstance(value, dict) and [fold(side)[:1] for side in value] == ["w", "h"]:
        return f"write {key}[{', '.join(map(str, value.values()))}]"
    if "string_type" in rules and is_number:
        return f'write {key}"{value}"'
    if "string_type" in rules and isinstance(value, list) and name == "where":
        return f'write where = "{" & ".join(map(str, value))}"'
    if "string_type" in rules and isinstance(value, list) and value and isinstance(value[0], str):
        return f"write one of them: {key}{quote_value(value[0])}"
    at_most = rules.get("less_than_equal", {}).get("le")
    if at_most == 1 and isinstance(value, int | float) and 1 < value <= _PER_CENT:
        return f"{value:g} % is written {key}{value / _PER_CENT:g}"
    return ""


def _suggest_for_text(key: str, value: str, rules: Mapping[str, Mapping[str, Any]], table: type[BaseModel] | None) -> str:
    size = _SIZE.fullmatch(value)
    if rules.keys() <= _LIST_RULES and table is not None:
        entry = _suggest_table("", value, table).removeprefix("write ")
        return f"write {key}[{entry}]"
    if rules.keys() <= _LIST_RULES:
        return f"write {key}[{size[1]}, {size[2]}]" if size else f"write {key}[{quote_value(value)}]" if key.endswith("s = ") else ""
    if rules.keys() & {"bool_type", "bool_parsing"} and fold(value) in _WORDS_FOR_BOOLS:
        return f"write {key}{'true' if _WORDS_FOR_BOOLS[fold(value)] else 'false'}, without quotes"
    number = _NUMBER_WITH_UNIT.fullmatch(value)
    if rules.keys() & _NUMBER_RULES and number:
        return f"write {key}{_bare_number(number[1])}, the number alone and without quotes"
    expected = "".join(str(rules[kind].get("expected", "")) for kind in ("literal_error", "enum") if kind in rules)
    choices = re.findall(r"'([^']*)'", expected)
    same = [choice for choice in choices if fold(choice) == fold(value)]
    near = same or difflib.get_close_matches(value.lower(), choices, n=1, cutoff=0.7)
    return f'write {key}"{near[0]}"' if near else ""


def _bare_number(text: str) -> str:
    return text.replace(",", ".").removeprefix("+")


def _suggest_table(key: str, value: object, table: type[BaseModel] | None) -> str:
    if table is None:
        return ""
    fields = [field.alias or name for name, field in table.model_fields.items()]
    if isinstance(value, str):
        number = _NUMBER_WITH_UNIT.fullmatch(value) if "amount" in fields else None
        entry = f"amount = {_bare_number(number[1])}" if number else f"{fields[0]} = {quote_value(value)}"
        return f"write {key}{{ {entry} }}"
    has_required = any(field.is_required() for field in table.model_fields.values())
    if value is True and not has_required:
        return f"write {key}{{}} for its own defaults"
    if isinstance(value, int | float) and not isinstance(value, bool) and "amount" in fields:
        return f"write {key}{{ amount = {value:g} }}"
    others = f" (its settings: {', '.join(fields[:6])})" if len(fields) > 1 else ""
    return f"write {key}{{ {fields[0]} = … }}{others}" if fields else ""
