"""The findings of ``goldsmith doctor``: a severity, a subject, a sentence and a remedy."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One row of ``goldsmith doctor``: ok, a note (it works, with a restriction), or a fault."""

    severity: Literal["ok", "note", "fault"]
    subject: str
    sentence: str
    remedy: str = ""


def ok(subject: str, sentence: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding("ok", subject, sentence)


def note(subject: str, sentence: str, remedy: str = "") -> Finding:
    """Return a finding that restricts the work but does not stop it."""
    return Finding("note", subject, sentence, remedy)


def fault(subject: str, sentence: str, remedy: str = "") -> Finding:
    """Return a finding that stops work."""
    return Finding("fault", subject, sentence, remedy)
