"""The outbox makes messages of notices: few, in time, tried again with a bound, and none twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from goldsmith.journal.notice_record import Notice, NoticeRecord, Reading
from goldsmith.pipeline.notices.channels import GIVE_UP_SECONDS, Channel
from goldsmith.pipeline.notices.message import Message, Telling
from goldsmith.pipeline.notices.outbox import NoticeOutbox

PHONE = Channel("phone-key", "channel 1 (json)", ("review", "problem"), (), 300.0, True, "json://phone")
CHAT = Channel("chat-key", "channel 2 (json)", ("problem",), (), 0.0, False, "json://chat")


class Office:
    """An outbox with a clock and services that tests control."""

    def __init__(self, record: NoticeRecord) -> None:
        self.record = record
        self.now = 1000.0
        self.failures: dict[str, str] = {}
        self.sent: list[tuple[str, Message, Sequence[tuple[str, bytes]]]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, str] = {}
        self.moot: set[str] = set()
        self.outbox = NoticeOutbox(record, [PHONE, CHAT], self._send, self.answers.get, self._on_event, lambda: self.now)

    def _send(self, message_id: str, url: str, message: Message, pictures: Sequence[tuple[str, bytes]]) -> str:
        assert self.record.interrupted_sending() is not None
        self.sent.append((url, message, pictures))
        if self.failures.get(url) == "killed":
            raise KeyboardInterrupt(message_id)
        return self.failures.get(url, "")

    def _on_event(self, event: str, /, **facts: object) -> None:
        self.events.append((event, dict(facts)))

    def find(self, *names: str, kind: str = "problem") -> None:
        """Record notices about pictures."""
        notices = [Notice(0, f"{kind}:{name}", kind, "", f"inbox/{name}.png", f"{name} is empty.", self.now) for name in names]
        self.record.add(Reading(notices, (), (), (), 1.0, 1), self.outbox.channels_of(notices))

    def turn(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, send what is due, and return the addresses to which a message went."""
        self.now += seconds
        before = len(self.sent)
        self.outbox.send_due(self._check, lambda tellings: [("a.jpg", b"jpeg")])
        return [url for url, _, _ in self.sent[before:]]

    def _check(self, notices: Sequence[Notice]) -> list[Telling]:
        return [Telling(notice, notice.sentence) for notice in notices if notice.path not in self.moot]


@pytest.fixture
def office(record: NoticeRecord) -> Office:
    return Office(record)


def test_what_happens_at_once_is_one_message_on_each_channel(office: Office) -> None:
    """Ten seconds are waited for more. Pictures go only where the channel wants them."""
    office.find("a")
    assert office.outbox.seconds_until_due(office.now) == 10.0
    assert office.turn(5.0) == []
    office.find("b")
    assert office.turn(5.0) == ["json://phone", "json://chat"]
    assert [message.title for _, message, _ in office.sent] == ["Goldsmith: 2 problems"] * 2
    assert [list(pictures) for _, _, pictures in office.sent] == [[("a.jpg", b"jpeg")], []]
    assert office.outbox.seconds_until_due(office.now) is None
    assert office.turn(10_000.0) == []


def test_a_flood_becomes_one_digest(office: Office) -> None:
    """The next message on the phone comes after five minutes and has all that has happened since; the chat wants no digest."""
    office.find("a")
    office.turn(10.0)
    for number in range(100):
        office.find(f"flood{number}")
    assert office.turn(10.0) == ["json://chat"]
    assert office.turn(280.0) == []
    assert office.turn(10.0) == ["json://phone"]
    assert office.sent[-1][1].title == "Goldsmith: 40 problems, 60 more"
    assert office.turn(10_000.0) == []


def test_a_message_that_is_not_taken_is_tried_again_later(office: Office) -> None:
    """The other channel does not wait for it."""
    office.failures["json://phone"] = "The service cannot be reached."
    office.find("a")
    assert office.turn(10.0) == ["json://phone", "json://chat"]
    assert office.turn(29.0) == []
    assert office.turn(1.0) == ["json://phone"]
    assert office.turn(59.0) == []
    office.failures.clear()
    office.find("b")
    assert office.turn(1.0) == ["json://phone"]
    assert office.sent[-1][1].title == "Goldsmith: 2 problems"
    assert [event for event, _ in office.events] == ["not told", "told", "not told", "told"]
    assert office.record.channel_states()[PHONE.key].failure == ""


def test_after_a_day_a_notice_is_given_up_with_a_sentence(office: Office) -> None:
    """Only that one: what is younger is tried on."""
    office.failures["json://phone"] = "The service cannot be reached."
    office.find("old", kind="review")
    office.turn(10.0)
    office.turn(GIVE_UP_SECONDS - 20)
    office.find("young", kind="review")
    assert office.turn(3600.0) == ["json://phone"]
    (facts,) = [facts for event, facts in office.events if event == "given up"]
    assert facts["sentence"] == "A notice is not told on channel 1 (json), which has taken no message for a day."
    office.failures.clear()
    assert office.turn(3600.0) == ["json://phone"]
    assert office.sent[-1][1].body == "inbox/young.png\nyoung is empty."


def test_what_somebody_has_seen_to_is_not_told(office: Office) -> None:
    """The picture was approved before the message went out."""
    office.find("seen", "new")
    office.moot.add("inbox/seen.png")
    office.turn(10.0)
    assert [message.title for _, message, _ in office.sent] == ["Problem: new"] * 2
    office.find("both")
    office.moot.add("inbox/both.png")
    assert office.turn(1000.0) == []
    assert office.outbox.seconds_until_due(office.now) is None


@pytest.mark.parametrize(("answer", "is_repeated"), [("", False), ("The service cannot be reached.", True), (None, True)])
def test_after_a_kill_only_what_may_not_have_arrived_is_sent_again(office: Office, answer: str | None, is_repeated: bool) -> None:
    """The sender's process outlives this program and leaves its answer; without an answer nobody knows."""
    office.failures["json://phone"] = "killed"
    office.find("a", kind="review")
    with pytest.raises(KeyboardInterrupt) as killed:
        office.turn(10.0)
    (message_id,) = killed.value.args
    restarted = Office(office.record)
    restarted.now = office.now
    if answer is not None:
        restarted.answers[message_id] = answer
    restarted.outbox.finish_interrupted()
    assert office.record.interrupted_sending() is None
    assert bool(restarted.turn(600.0)) is is_repeated


def test_a_channel_that_was_removed_meanwhile_loses_its_message(office: Office) -> None:
    """Its notices wait for nobody."""
    office.find("a")
    office.record.begin_sending("m", "gone", [1])
    office.outbox.finish_interrupted()
    assert office.record.interrupted_sending() is None
