"""What a look at the machine brought: a grade, what was looked at, what was found, and what to do."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line of ``goldsmith doctor``: ok, a note (it works, but), or a fault."""

    grade: Literal["ok", "note", "fault"]
    what: str
    sentence: str
    remedy: str = ""


def ok(what: str, sentence: str) -> Finding:
    return Finding("ok", what, sentence)


def note(what: str, sentence: str, remedy: str = "") -> Finding:
    return Finding("note", what, sentence, remedy)


def fault(what: str, sentence: str, remedy: str = "") -> Finding:
    return Finding("fault", what, sentence, remedy)
