"""What a look at the machine brought: a grade, what was looked at, what was found, and what to do."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line of ``goldsmith doctor``: ok, a note (it works, but), or a fault."""

    severity: Literal["ok", "note", "fault"]
    subject: str
    sentence: str
    remedy: str = ""


def ok(subject: str, sentence: str) -> Finding:
    return Finding("ok", subject, sentence)


def note(subject: str, sentence: str, remedy: str = "") -> Finding:
    return Finding("note", subject, sentence, remedy)


def fault(subject: str, sentence: str, remedy: str = "") -> Finding:
    return Finding("fault", subject, sentence, remedy)
