"""The record of notices: one thing is told once on each channel, and nothing that was found is lost by a restart."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.errors import UsageError
from goldsmith.journal.notice_record import CampaignDelivery, ChannelState, Notice, NoticeRecord, Reading
from goldsmith.journal.sqlite_errors import JournalBroken

PHONE, CHAT = "phone", "chat"


def notice(key: str, kind: str = "problem", made_at: float = 100.0) -> Notice:
    return Notice(0, key, kind, "acme", "inbox/acme/a.png", f"{key} happened.", made_at)


def reading(*notices: Notice, closed: tuple[str, ...] = (), seq: int = 1) -> Reading:
    return Reading(notices, closed, (), (), 5.0, seq)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[NoticeRecord]:
    with contextlib.closing(NoticeRecord.open(tmp_path / "notices.sqlite")) as record:
        yield record


def keys(record: NoticeRecord, channel: str) -> list[str]:
    return [each.key for each in record.due(channel, 100)[0]]


def test_a_notice_waits_on_each_of_its_channels_until_it_is_told_there(record: NoticeRecord) -> None:
    """Told on the phone, it still waits in the chat."""
    record.add(reading(notice("a"), notice("b")), {"a": [PHONE, CHAT], "b": [CHAT]})
    assert (keys(record, PHONE), keys(record, CHAT)) == (["a"], ["a", "b"])
    record.record_told(ChannelState(PHONE, "channel 1"), [record.due(PHONE, 1)[0][0].number], 200.0)
    assert (keys(record, PHONE), keys(record, CHAT)) == ([], ["a", "b"])


def test_the_same_thing_is_one_notice_until_it_is_over(record: NoticeRecord) -> None:
    """Found again it adds nothing; after it was solved, it counts anew."""
    for _ in range(2):
        record.add(reading(notice("a")), {"a": [PHONE]})
    assert keys(record, PHONE) == ["a"]
    number = record.due(PHONE, 1)[0][0].number
    record.record_told(ChannelState(PHONE, "channel 1"), [number], 200.0)
    record.add(reading(closed=("a",)), {})
    assert not record.is_open(number)
    record.add(reading(notice("a")), {"a": [PHONE]})
    assert keys(record, PHONE) == ["a"]


def test_what_was_found_and_told_survives_a_restart(tmp_path: Path) -> None:
    """Position, waiting notices, names with undecodable bytes and the state of a channel are read again."""
    path = tmp_path / "notices.sqlite"
    odd = notice("a")._replace(campaign="caf\udce9", path="inbox/caf\udce9/a.png")
    with contextlib.closing(NoticeRecord.open(path)) as record:
        assert record.position is None
        record.add(Reading([odd], (), [CampaignDelivery("caf\udce9", 2, 7.0, "delivered/a.jpg")], (), 5.0, 9), {"a": [PHONE]})
        record.record_failure(ChannelState(PHONE, "channel 1"), "The service cannot be reached.", 300.0)
    with contextlib.closing(NoticeRecord.open(path)) as record:
        assert record.position == (5.0, 9)
        assert record.due(PHONE, 10) == ([odd._replace(number=1)], 1)
        assert record.deliveries() == [CampaignDelivery("caf\udce9", 2, 7.0, "delivered/a.jpg")]
        assert record.channel_states() == {PHONE: ChannelState(PHONE, "channel 1", 0.0, 300.0, "The service cannot be reached.", 1)}


def test_deliveries_of_a_campaign_add_up_until_it_is_done(record: NoticeRecord) -> None:
    """The last file and the last time count."""
    record.add(Reading((), (), [CampaignDelivery("acme", 2, 10.0, "a")], (), 5.0, 1), {})
    record.add(Reading((), (), [CampaignDelivery("acme", 1, 20.0, "b"), CampaignDelivery("bolt", 1, 5.0)], (), 5.0, 2), {})
    assert record.deliveries() == [CampaignDelivery("acme", 3, 20.0, "b"), CampaignDelivery("bolt", 1, 5.0)]
    record.add(Reading((), (), (), ["acme"], 5.0, 2), {})
    assert record.deliveries() == [CampaignDelivery("bolt", 1, 5.0)]


def test_a_message_on_its_way_is_known_until_its_answer_is_recorded(record: NoticeRecord) -> None:
    """Every answer ends it: taken, or not."""
    state = ChannelState(PHONE, "channel 1")
    record.add(reading(notice("a")), {"a": [PHONE]})
    record.begin_sending("m1", PHONE, [1])
    assert record.interrupted_sending() == ("m1", PHONE, [1])
    record.record_failure(state, "It failed.", 1.0)
    assert record.interrupted_sending() is None
    record.begin_sending("m2", PHONE, [1])
    record.record_told(state, [1], 2.0)
    assert record.interrupted_sending() is None
    assert record.channel_states()[PHONE].failure == ""


def test_old_notices_are_forgotten_but_not_those_that_wait_or_last(record: NoticeRecord) -> None:
    """A problem that still holds keeps its notice: else it would be told again. A channel that is gone keeps nothing."""
    state = ChannelState(PHONE, "channel 1")
    notices = [notice("held"), notice("seen", "review"), notice("waits", "review"), notice("new", "review", 900.0)]
    record.add(reading(*notices), {each.key: [PHONE, "gone"] for each in notices})
    record.record_told(state, [1, 2, 4], 200.0)
    record.forget(500.0, [PHONE])
    assert (keys(record, PHONE), keys(record, "gone")) == (["waits"], [])
    record.add(reading(*notices), {each.key: [PHONE] for each in notices})
    assert keys(record, PHONE) == ["waits", "seen"]


def test_reading_makes_no_record(tmp_path: Path) -> None:
    """The doctor looks, and leaves no file."""
    with pytest.raises(UsageError, match="told anything"):
        NoticeRecord.open(tmp_path / "notices.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_no_database_is_broken(tmp_path: Path) -> None:
    """The caller then sets it aside."""
    path = tmp_path / "notices.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(JournalBroken, match=r"notices\.sqlite is broken"):
        NoticeRecord.open(path)


def test_a_failed_transaction_leaves_nothing(record: NoticeRecord) -> None:
    """A second notice that cannot be stored takes the first one back, and the position stays."""
    with pytest.raises(sqlite3.Error):
        record.add(reading(notice("a"), notice("b")._replace(sentence=[])), {"a": [PHONE]})  # type: ignore[arg-type]
    assert keys(record, PHONE) == []
    assert record.position is None
