"""The checks of ``goldsmith doctor`` of the channels for notices."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from goldsmith.brief.settings import NotifyChannel
from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.journal.notice_record import NOTICE_RECORD_FILE, ChannelState, NoticeRecord
from goldsmith.pipeline.notices.channels import read_channels
from goldsmith.pipeline.status.sentences import format_time
from goldsmith.service.notify_service import is_telling

_SUBJECT = "notices"
_START = "Start the unit goldsmith-notify, or run: goldsmith notify"


def check_notices(settings: tuple[NotifyChannel, ...], settings_file: Path, journal: Path) -> Iterator[Finding]:
    """Yield how many channels there are, whether their addresses are safe, and which of them did not take their last message."""
    if not settings:
        yield ok(_SUBJECT, "There is no channel: nobody is told what waits (docs/notices.md).")
        return
    if importlib.util.find_spec("apprise") is None:
        yield fault(_SUBJECT, "The program that sends notices, Apprise, is not installed.", "pip install 'goldsmith[notify]'")
        return
    if any(each.url is not None for each in settings) and _is_readable_by_all(settings_file):
        yield note(
            _SUBJECT,
            f"{settings_file} holds the address of a channel, and every user of this computer may read it.",
            f"Run: chmod o-r {settings_file}. Or put the address into a systemd credential.",
        )
    count = f"{len(settings)} channel{'s' * (len(settings) > 1)}"
    titles: dict[str, str] = {}
    try:
        titles = {channel.key: channel.title for channel in read_channels(settings)}
    except UsageError as problem:
        if any(each.url is None for each in settings) and "CREDENTIALS_DIRECTORY" not in os.environ:
            count += ", whose credentials only the service can read"
        else:
            yield fault(_SUBJECT, problem.sentence, problem.remedy)
    states = _read_states(journal.parent / NOTICE_RECORD_FILE)
    if isinstance(states, str):
        yield note(_SUBJECT, f"{count}. {states}", _START)
        return
    failed = [state for key, state in states.items() if state.failure and (not titles or key in titles)]
    for state in failed:
        title = titles.get(state.key, state.title)
        yield fault(
            _SUBJECT, f"{title} did not take the message of {format_time(state.failed_at)}: {state.failure}", "Run: goldsmith notify --test"
        )
    if not is_telling(journal.parent):
        yield note(_SUBJECT, f"{count}, but `goldsmith notify` does not run: nobody is told.", _START)
    elif not failed:
        told_at = max((state.told_at for state in states.values()), default=0.0)
        last = f"the last message went out {format_time(told_at)}" if told_at else "no message was due yet"
        yield ok(_SUBJECT, f"{count}; {last}.")


def _read_states(file: Path) -> dict[str, ChannelState] | str:
    """Return the states of the channels, or a sentence that says why they are not known."""
    try:
        with contextlib.closing(NoticeRecord.open(file, read_only=True)) as record:
            return record.channel_states()
    except GoldsmithError as error:
        return error.sentence


def _is_readable_by_all(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
