"""Read the weights in a prompt: ``(word)``, ``[word]``, ``(word:1.3)``, ``\\(`` and ``BREAK``, with the meaning that they have in A1111.

This module reads only text and imports no runtime.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from goldsmith.errors import InputError

# The factor of one pair of round brackets; a pair of square brackets divides by it. Source: the manual of stable-diffusion-webui (A1111),
# "Attention/emphasis".
BRACKET_FACTOR = 1.1
# A larger weight gives noise with every model.
_MAX_WEIGHT = 10.0

# The facts about a call that a person has to know, and what to say about each.
READING_FACTS = {
    "prompt_truncated": "The prompt or the negative prompt is longer than the model reads, so its end was ignored: shorten it.",
    "weights_read_as_words": "This model knows no weights such as (word:1.3): it read them as words.",
}

_ESCAPED = "()[]\\"
_WEIGHT_END = re.compile(r":\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*\)")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


def reading_note(facts: Collection[str]) -> str:
    """Return a note about how a prompt was read, by the names of the facts that are true of a call; "" if there is nothing to say."""
    return " ".join(note for name, note in READING_FACTS.items() if name in facts)


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A part of a prompt. ``weight``: 1 = as it is. ``starts_chunk``: BREAK stands before this part."""

    text: str
    weight: float = 1.0
    starts_chunk: bool = False


def parse_prompt(prompt: str) -> tuple[PromptPart, ...]:
    """Return the parts of a prompt with their weights, without the brackets and backslashes.

    A bracket without its partner: an opening one acts up to the end, a closing one is a letter. ``[word:1.3]`` has no meaning of its own:
    square brackets take no number. Raises InputError for a weight outside -10 to 10.
    """
    parts = _split_at_breaks(_weighted_texts(prompt))
    for part in parts:
        if not -_MAX_WEIGHT <= part.weight <= _MAX_WEIGHT:
            limits = f"weights are from {-_MAX_WEIGHT:g} to {_MAX_WEIGHT:g}"
            raise InputError(
                f"The prompt gives “{part.text.strip()[:40]}” the weight {part.weight:.4g}; {limits}.",
                "Use a weight near 1, such as (word:1.3).",
            )
    return parts


def is_plain(prompt: str) -> bool:
    """Return whether the prompt has no weight, no backslash before a bracket and no BREAK: its text is then used unchanged."""
    return parse_prompt(prompt) in ((), (PromptPart(prompt),))


def has_numbered_weight(prompt: str) -> bool:
    """Return whether the prompt has a weight with a number, such as ``(word:1.3)``."""
    return any(part.weight not in (1.0, BRACKET_FACTOR, 1 / BRACKET_FACTOR) for part in parse_prompt(prompt)) and bool(
        _WEIGHT_END.search(prompt)
    )


def plain_text(prompt: str) -> str:
    """Return the words of the prompt alone, for a text encoder that knows no weights."""
    return " ".join(" ".join(part.text for part in parse_prompt(prompt)).split())


def _weighted_texts(prompt: str) -> list[tuple[str, float]]:
    """Return (text, weight) in the order of the prompt."""
    texts: list[list[str]] = [[]]
    weights = [1.0]
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def begin_text() -> None:
        texts.append([])
        weights.append(1.0)

    def close(bracket: str, factor: float) -> None:
        for index in range(opened[bracket].pop(), len(texts)):
            weights[index] *= factor
        begin_text()

    position = 0
    while position < len(prompt):
        letter = prompt[position]
        number = _WEIGHT_END.match(prompt, position) if letter == ":" and opened["("] else None
        if letter == "\\" and prompt[position + 1 : position + 2] in (*_ESCAPED,):
            position += 1
            texts[-1].append(prompt[position])
        elif letter in opened:
            begin_text()
            opened[letter].append(len(texts) - 1)
        elif number is not None:
            close("(", float(number.group(1)))
            position = number.end() - 1
        elif letter == ")" and opened["("]:
            close("(", BRACKET_FACTOR)
        elif letter == "]" and opened["["]:
            close("[", 1 / BRACKET_FACTOR)
        else:
            texts[-1].append(letter)
        position += 1
    for bracket, factor in (("(", BRACKET_FACTOR), ("[", 1 / BRACKET_FACTOR)):
        while opened[bracket]:
            close(bracket, factor)
    return [("".join(text), weight) for text, weight in zip(texts, weights, strict=True) if text]


def _split_at_breaks(texts: list[tuple[str, float]]) -> tuple[PromptPart, ...]:
    """Return the texts as parts, split at BREAK; neighbours with the same weight are one part."""
    parts: list[PromptPart] = []
    for text, weight in texts:
        for number, piece in enumerate(_BREAK.split(text)):
            starts_chunk = number > 0
            last = parts[-1] if parts else None
            if last is not None and not starts_chunk and last.weight == weight:
                parts[-1] = PromptPart(last.text + piece, weight, last.starts_chunk)
            elif piece or starts_chunk:
                parts.append(PromptPart(piece, weight, starts_chunk))
    return tuple(parts)
