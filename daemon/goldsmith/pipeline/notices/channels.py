"""The channels of goldsmith.toml as the rest of the program sees them: what they are called, and when they may tell the next message."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith.brief.settings import NoticeKind, NotifyChannel
from goldsmith.errors import UsageError
from goldsmith.journal.notice_record import ChannelState, Notice
from goldsmith.pipeline.notices.feed import is_in_campaign

# A message waits this long for what follows at once, in seconds: eight pictures of one drop are one message.
GATHER_SECONDS = 10.0
# After a failure the next try comes after so many seconds, then after twice as many, at most after an hour.
_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 30.0, 3600.0
# What a channel has not taken for so long is not told on it any more, in seconds.
GIVE_UP_SECONDS = 24 * 3600.0
_MAX_CREDENTIAL_BYTES = 8192
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30})://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. Neither its title nor its key holds its address."""

    # A hash of the address: the record knows the channel by it, whatever its place in goldsmith.toml.
    key: str
    # "channel 1 (ntfys)"
    title: str
    kinds: tuple[NoticeKind, ...]
    campaigns: tuple[str, ...]
    digest_seconds: float
    # Whether pictures go with its messages.
    has_pictures: bool
    url: str = field(repr=False)

    def tells(self, notice: Notice) -> bool:
        """Return whether people on this channel want to know."""
        if notice.kind.removesuffix(" over") not in self.kinds:
            return False
        return notice.kind.startswith("machine") or not self.campaigns or is_in_campaign(notice.campaign, self.campaigns)

    def next_message_at(self, state: ChannelState, oldest: float) -> float:
        """Return when the next message may go out, in Unix seconds. ``oldest``: when the oldest notice that waits was made."""
        if state.failures:
            return state.failed_at + min(_FIRST_RETRY_SECONDS * float(2 ** min(state.failures - 1, 20)), _MAX_RETRY_SECONDS)
        return max(oldest + GATHER_SECONDS, state.told_at + self.digest_seconds)


def read_channels(settings: Sequence[NotifyChannel], environ: Mapping[str, str] = os.environ) -> list[Channel]:
    """Return the channels with their addresses. Raises UsageError if a credential is missing or is no address."""
    channels = []
    for number, each in enumerate(settings, 1):
        url = each.url.get_secret_value() if each.url is not None else _read_credential(number, each.credential, environ)
        match = _SCHEME.match(url)
        if match is None:
            raise UsageError(
                f"notify.{number}: the credential {each.credential} is no address of Apprise.",
                "Write one into its file, like ntfys://ntfy.sh/our-studio.",
            )
        key = hashlib.sha256(url.encode()).hexdigest()[:24]
        title = f"channel {number} ({match[1].lower()})"
        channels.append(Channel(key, title, each.on, each.campaigns, each.digest_minutes * 60, each.pictures, url))
    return channels


def _read_credential(number: int, name: str, environ: Mapping[str, str]) -> str:
    """Return the text of a systemd credential (systemd.exec(5)). Raises UsageError if there is none of that name."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    remedy = f"Add LoadCredential={name}:/etc/goldsmith/{name} to the unit goldsmith-notify, or set CREDENTIALS_DIRECTORY."
    if not folder:
        raise UsageError(f"notify.{number} names the credential {name}, and this program was given none.", remedy)
    try:
        with Path(folder, name).open("rb") as file:
            return file.read(_MAX_CREDENTIAL_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"notify.{number}: the credential {name} cannot be read: {reason}.", remedy) from None
