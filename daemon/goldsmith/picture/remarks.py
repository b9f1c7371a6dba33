"""The remarks about a picture: what was not read as written, and what a step has to say about its result.

A remark holds nothing up, and a person should know it. There are two places for one: a reader's ``ImageHeader.notes``, and the findings
``remark`` (a text) or ``remarks`` (several) that a step puts on record. From there it reaches the manifest, the status file of the folder
in which the picture lies, ``goldsmith why``, the log and the preflight report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SENTENCE_ENDS = (".", "!", "?", ".”")


def collect_remarks(notes: object, steps: Iterable[tuple[str, Mapping[str, object]]]) -> list[str]:
    """Return the remarks of one job as sentences, each once.

    notes: those of the picture's facts; steps: the operation and the findings of each step. Values of another form are left out.
    """
    sentences = [_as_sentence(note) for note in _texts(notes)]
    for operation, findings in steps:
        sentences += [f"{operation}: {_with_full_stop(note)}" for key in ("remark", "remarks") for note in _texts(findings.get(key))]
    return list(dict.fromkeys(sentences))


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str) and text]


def _as_sentence(note: str) -> str:
    """Return a note, such as "it has 2 frames", as a sentence."""
    return note[0].upper() + _with_full_stop(note[1:])


def _with_full_stop(text: str) -> str:
    return text if text.endswith(_SENTENCE_ENDS) else f"{text}."
