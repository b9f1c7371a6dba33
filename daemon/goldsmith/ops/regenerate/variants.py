"""What varies among the pictures of a step: lists of settings, ``{red|blue}`` in prompts, and wildcards from the library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from goldsmith.errors import InputError
from goldsmith.operation import MAX_PROMPT_CHARS, StepContext

# The library folder of wildcards, and the suffixes of its files.
WILDCARDS_FOLDER, WILDCARD_SUFFIXES = "wildcards", (".txt",)
# The innermost braces with a bar between them: {red|blue}.
_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
# The name of a file between two underscores on each side.
_WILDCARD = re.compile(r"__([^\W_](?:[\w .-]{0,98}?[^\W_])?)__")
# How many replacements one prompt may take: wildcards can name each other in a circle.
_MAX_REPLACEMENTS = 100
_MAX_LINES = 10_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination of the settings that a step lists; None = the setting is not set."""

    model: str | None
    # With its wildcards; "" = the brief's prompt.
    prompt: str
    strength: float | None
    steps: int | None
    guidance: float | None
    # The settings of which the step lists several, with this combination's values.
    varied: Mapping[str, str | int | float] = field(default_factory=dict)


def as_list(value: _T | tuple[_T, ...] | None) -> tuple[_T, ...]:
    """Return the values of a setting that takes one or a list; none if it is not set."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def combine(
    models: Sequence[str], prompts: Sequence[str], strengths: Sequence[float], steps: Sequence[int], guidances: Sequence[float]
) -> list[Variant]:
    """Return every combination, grouped by model, because loading one takes long; the last setting varies fastest."""
    lists: dict[str, Sequence[str | int | float]] = {
        "model": models,
        "prompt": prompts,
        "strength": strengths,
        "steps": steps,
        "guidance": guidances,
    }
    several = [name for name, values in lists.items() if len(values) > 1]
    return [
        Variant(model, prompt, strength, count, guidance, _pick(several, (model, prompt, strength, count, guidance)))
        for model, prompt, strength, count, guidance in product(
            models or (None,), prompts or ("",), strengths or (None,), steps or (None,), guidances or (None,)
        )
    ]


def _pick(names: Sequence[str], values: Sequence[str | int | float | None]) -> dict[str, str | int | float]:
    pairs = zip(("model", "prompt", "strength", "steps", "guidance"), values, strict=True)
    return {name: value for name, value in pairs if name in names and value is not None}


def expand_choices(prompt: str, limit: int) -> tuple[str, ...]:
    """Return the prompts that ``{red|blue}`` stands for, each once, in order; braces without a bar stay.

    Raises ValueError if there are more than ``limit``.
    """
    expanded: dict[str, None] = {}
    pending = [prompt]
    # Different choices can lead to the same prompt, so the number of rounds has a limit of its own.
    for _ in range(limit * _MAX_REPLACEMENTS):
        if not pending:
            break
        text = pending.pop()
        choice = _CHOICE.search(text)
        if choice is None:
            expanded[re.sub(" {2,}", " ", text).strip() if text != prompt else text] = None
        else:
            options = choice[1].split("|")
            pending += [f"{text[: choice.start()]}{option.strip()}{text[choice.end() :]}" for option in reversed(options)]
        if len(expanded) > limit:
            break
    if pending or len(expanded) > limit:
        raise ValueError(f"the braces stand for more than {limit} prompts")
    return tuple(expanded)


def wildcard_names(prompts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the wildcards in these prompts, each once."""
    return tuple(dict.fromkeys(match[1] for prompt in prompts for match in _WILDCARD.finditer(prompt)))


def fill_prompt(prompt: str, seed: int, lines_of: Callable[[str], Sequence[str]]) -> str:
    """Return the prompt with a line of its file for each ``__name__``, and one of the choices for each ``{red|blue}``.

    The seed chooses, so that the same seed gives the same words. A line may have wildcards and choices itself. Raises InputError if that
    has no end, or if the prompt gets too long.
    """
    for number in range(_MAX_REPLACEMENTS):
        match = _WILDCARD.search(prompt) or _CHOICE.search(prompt)
        if match is None:
            return prompt
        options = lines_of(match[1]) if match[0].startswith("__") else [option.strip() for option in match[1].split("|")]
        digest = hashlib.sha256(f"{seed}/wildcard/{number}/{match[0]}".encode("utf-8", "surrogateescape")).digest()
        option = options[int.from_bytes(digest[:8], "big") % len(options)]
        prompt = f"{prompt[: match.start()]}{option}{prompt[match.end() :]}"
        if len(prompt) > MAX_PROMPT_CHARS:
            raise InputError(f"With its wildcards the prompt has more than {MAX_PROMPT_CHARS} characters.", "Shorten it or their lines.")
    raise InputError(
        f"The prompt needs more than {_MAX_REPLACEMENTS} wildcards and choices.",
        f"Use fewer, and look whether files in library/{WILDCARDS_FOLDER}/ name each other.",
    )


class WildcardFiles:
    """The lines of the wildcards of one step. Each file is read once, and goes on record by its hash."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._lines: dict[str, Sequence[str]] = {}

    def lines_of(self, name: str) -> Sequence[str]:
        """Return the lines of a wildcard without empty ones and comments (#). Raises InputError if there are none, or no such file."""
        if name not in self._lines:
            self._lines[name] = self._read(name)
        return self._lines[name]

    def _read(self, name: str) -> Sequence[str]:
        path = self._context.library.file(WILDCARDS_FOLDER, name, WILDCARD_SUFFIXES)
        file = f"library/{WILDCARDS_FOLDER}/{path.name}"
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{file} is not plain text: it has bytes that are not UTF-8.", "Save it as UTF-8.") from error
        lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        if not lines:
            raise InputError(f"{file} has no lines to choose from.", "Write one text on each line.")
        if len(lines) > _MAX_LINES:
            raise InputError(f"{file} has {len(lines)} lines; at most {_MAX_LINES} are read.", "Shorten it.")
        return lines
