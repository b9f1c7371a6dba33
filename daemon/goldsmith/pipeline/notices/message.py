"""Composes a message of notices: what a phone shows. Its sentences are those of `goldsmith why` and of the problem notes."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from goldsmith.files import display_name, display_text
from goldsmith.journal.notice_record import Notice

# A message lists at most this many notices of each kind; the rest are only counted.
_MAX_LISTED = 8
_MAX_SENTENCE_CHARS = 400
# Chat programs take these characters for a call to everybody or for a link, and a name on a share may have them.
_CHAT_MARKS = str.maketrans({"@": "＠", "<": "‹", ">": "›"})
_KINDS = ("machine", "machine over", "problem", "review", "campaign done")
_HEADINGS = {
    "machine": "The machine",
    "machine over": "The machine",
    "problem": "Problems",
    "review": "Waiting for your eye",
    "campaign done": "Campaigns that are done",
}


class Message(NamedTuple):
    """One message in plain text."""

    title: str
    body: str


class Telling(NamedTuple):
    """A notice with the sentence that is true now."""

    notice: Notice
    sentence: str


def compose_message(tellings: Sequence[Telling], left_out: int = 0) -> Message:
    """Return the message about these notices. ``left_out``: how many more there are that it only counts."""
    if len(tellings) == 1 and not left_out:
        telling = tellings[0]
        lines = [_place(telling.notice), _shortened(telling.sentence)]
        return Message(_chat_text(_title(telling)), _chat_text("\n".join(filter(None, lines))))
    sections: list[str] = []
    for kind in _KINDS:
        of_kind = [telling for telling in tellings if telling.notice.kind == kind]
        if of_kind:
            sections.append("\n".join(_section(kind, of_kind)))
    if left_out:
        sections.append(f"And {left_out:,} more: see `goldsmith status`, or the file _status.txt in each folder.")
    return Message(_chat_text(_digest_title(tellings, left_out)), _chat_text("\n\n".join(sections)))


def trial_message() -> Message:
    """Return the message of `goldsmith notify --test`."""
    return Message("Goldsmith: a test", "This channel works. What waits for you will be told here.")


def _title(telling: Telling) -> str:
    name = display_name(posixpath.splitext(posixpath.basename(telling.notice.path))[0])
    campaign = display_name(telling.notice.campaign)
    return {
        "machine": "Goldsmith has stopped",
        "machine over": "Goldsmith goes on",
        "problem": f"Problem: {name}",
        "review": f"For your eye: {name}",
        "campaign done": f"Done: {campaign}",
    }[telling.notice.kind]


def _digest_title(tellings: Sequence[Telling], left_out: int) -> str:
    """Return what the message is about, the most urgent first."""
    counts = {kind: sum(telling.notice.kind == kind for telling in tellings) for kind in _KINDS}
    parts = [
        "the machine has stopped" if counts["machine"] else "the machine goes on" if counts["machine over"] else "",
        f"{counts['problem']} problem{'s' * (counts['problem'] > 1)}" if counts["problem"] else "",
        f"{counts['review']} for your eye" if counts["review"] else "",
        f"{counts['campaign done']} campaign{'s' * (counts['campaign done'] > 1)} done" if counts["campaign done"] else "",
        f"{left_out:,} more" if left_out else "",
    ]
    return f"Goldsmith: {', '.join(filter(None, parts))}"


def _section(kind: str, tellings: Sequence[Telling]) -> Iterator[str]:
    """Yield the lines about the notices of one kind. What they have in common, such as what to do in review/, is said once."""
    yield f"{_HEADINGS[kind]} ({len(tellings)})" if kind not in ("machine", "machine over") else _HEADINGS[kind]
    listed = tellings[:_MAX_LISTED]
    common = _common_end([telling.sentence for telling in listed]) if kind == "review" else ""
    for telling in listed:
        place, sentence = _place(telling.notice), _shortened(telling.sentence.removesuffix(common).strip())
        yield f"- {f'{place}: ' if place else ''}{sentence}"
    if len(tellings) > len(listed):
        yield f"- and {len(tellings) - len(listed):,} more"
    if common:
        yield common


def _common_end(sentences: Sequence[str]) -> str:
    """Return the sentences that all of these texts end with; "" if there is one text or none, or they have no end in common."""
    ends = [text.split(". ", 1)[1] if ". " in text else "" for text in sentences]
    return ends[0] if len(ends) > 1 and len(set(ends)) == 1 else ""


def _place(notice: Notice) -> str:
    """Return the picture or the campaign that a notice is about, as a person may read it."""
    return display_name(notice.campaign if notice.kind == "campaign done" else notice.path)


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= _MAX_SENTENCE_CHARS else f"{sentence[:_MAX_SENTENCE_CHARS].rsplit(' ', 1)[0]} …"


def _chat_text(text: str) -> str:
    return display_text(text).translate(_CHAT_MARKS)
