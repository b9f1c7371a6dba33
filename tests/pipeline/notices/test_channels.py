"""A channel tells what its people want to know, in time, and its address stays hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.brief.settings import Settings, read_settings
from goldsmith.errors import UsageError
from goldsmith.journal.notice_record import ChannelState, Notice
from goldsmith.pipeline.notices.channels import Channel, read_channels


def channels(text: str, **environ: str) -> list[Channel]:
    settings: Settings = read_settings(text.encode(), "goldsmith.toml", {})
    return read_channels(settings.notify, environ)


def channel(text: str) -> Channel:
    return channels(f'[[notify]]\nurl = "ntfys://host/secret-topic"\n{text}')[0]


def notice(kind: str, campaign: str) -> Notice:
    return Notice(1, "key", kind, campaign, "", "", 0.0)


def test_neither_the_title_nor_the_key_nor_the_text_of_a_channel_has_its_address() -> None:
    """A traceback shows the text."""
    first = channel("")
    assert first.title == "channel 1 (ntfys)"
    assert "secret" not in f"{first.key} {first.title} {first!r}"
    assert first.url == "ntfys://host/secret-topic"


def test_a_channel_is_the_same_in_another_place_of_the_file() -> None:
    """Else what it was told would be told again."""
    first, second = '[[notify]]\nurl = "json://a"\n', '[[notify]]\nurl = "json://b"\n'
    assert [each.key for each in channels(first + second)] == [each.key for each in reversed(channels(second + first))]


def test_a_channel_tells_of_its_kinds_and_campaigns() -> None:
    """A campaign has those below it; the machine belongs to none."""
    own = channel('on = ["review", "machine"]\ncampaigns = ["Acme/Spring/", "bolt"]')
    wanted_notices = [
        ("review", "acme/spring"),
        ("review", "ACME/spring/web"),
        ("review", "bolt"),
        ("machine", ""),
        ("machine over", ""),
    ]
    assert [each for each in wanted_notices if not own.tells(notice(*each))] == []
    others = [("problem", "acme/spring"), ("review", "acme"), ("review", "acme/springs"), ("review", ""), ("campaign done", "bolt")]
    assert [each for each in others if own.tells(notice(*each))] == []
    everything = channel("")
    assert all(everything.tells(notice(kind, "")) for kind in ("review", "problem", "campaign done", "machine", "machine over"))


def test_a_message_waits_for_what_follows_at_once_and_for_the_next_digest() -> None:
    """Ten seconds after the first notice, and five minutes after the last message."""
    own = channel("")
    state = ChannelState(own.key, own.title)
    assert own.next_message_at(state, 1000.0) == 1010.0
    assert own.next_message_at(state._replace(told_at=900.0), 1000.0) == 1200.0
    assert channel("digest_minutes = 0").next_message_at(state._replace(told_at=999.0), 1000.0) == 1010.0


def test_a_channel_that_fails_is_tried_ever_more_seldom() -> None:
    """Half a minute, a minute, two, and at most an hour."""
    own = channel("digest_minutes = 60")
    state = ChannelState(own.key, own.title, failed_at=1000.0)
    moments = [own.next_message_at(state._replace(failures=count), 0.0) - 1000 for count in (1, 2, 3, 8, 500)]
    assert moments == [30, 60, 120, 3600, 3600]


def test_an_address_comes_from_a_credential_of_systemd(tmp_path: Path) -> None:
    """The text of its file, without the line break at its end."""
    (tmp_path / "ntfy").write_text("ntfys://host/secret-topic\n")
    text = '[[notify]]\ncredential = "ntfy"'
    assert channels(text, CREDENTIALS_DIRECTORY=str(tmp_path))[0].url == "ntfys://host/secret-topic"
    with pytest.raises(UsageError, match="was given none") as caught:
        channels(text)
    assert "LoadCredential=ntfy:" in caught.value.remedy
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        channels(text, CREDENTIALS_DIRECTORY=str(tmp_path / "gone"))
    (tmp_path / "ntfy").write_text("secret-topic")
    with pytest.raises(UsageError, match="is no address of Apprise") as caught:
        channels(text, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert "secret" not in str(caught.value)
