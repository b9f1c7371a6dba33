"""Tells the recorded notices on the channels: gathers them into messages, retries, and records what was told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from goldsmith.journal.notice_record import ChannelState, Notice, NoticeRecord
from goldsmith.pipeline.notices.channels import GIVE_UP_SECONDS, Channel
from goldsmith.pipeline.notices.message import Telling, compose_message
from goldsmith.pipeline.notices.sender_launcher import Send
from goldsmith.pipeline.scheduler.host_health import OnEvent

# A message is about at most this many notices; the others are only counted in it, and count as told.
_MAX_NOTICES = 40

# Returns the notices that are still true, each with its sentence.
Check = Callable[[Sequence[Notice]], Sequence[Telling]]
# Returns the pictures of a message, by file name.
FindPictures = Callable[[Sequence[Telling]], Sequence[tuple[str, bytes]]]


class NoticeOutbox:
    """The way of the notices to the channels. One message goes out at a time."""

    def __init__(
        self,
        record: NoticeRecord,
        channels: Sequence[Channel],
        send: Send,
        earlier_answer: Callable[[str], str | None],
        on_event: OnEvent,
        wall_clock: Callable[[], float],
    ) -> None:
        self._record = record
        self._channels = channels
        self._send = send
        self._earlier_answer = earlier_answer
        self._on_event = on_event
        self._wall_clock = wall_clock

    def channels_of(self, notices: Sequence[Notice]) -> Mapping[str, list[str]]:
        """Return the keys of the channels that tell of each notice, by the notice's key."""
        return {notice.key: [channel.key for channel in self._channels if channel.tells(notice)] for notice in notices}

    def finish_interrupted(self) -> None:
        """Record what became of a message that was on its way when this program was killed."""
        sending = self._record.interrupted_sending()
        if sending is None:
            return
        message_id, key, numbers = sending
        answer = self._earlier_answer(message_id)
        channel = next((each for each in self._channels if each.key == key), None)
        if answer is None or channel is None:
            self._record.forget_sending()
            return
        self._record_answer(channel, self._state(channel), numbers, answer)

    def seconds_until_due(self, now: float) -> float | None:
        """Return the seconds until a message may go out; None if nothing waits. ``now`` is in Unix seconds."""
        moments = [self._next_message_at(channel) for channel in self._channels]
        known = [moment for moment in moments if moment is not None]
        return max(0.0, min(known) - now) if known else None

    def send_due(self, check: Check, find_pictures: FindPictures) -> None:
        """Send the message of each channel on which one is due."""
        for channel in self._channels:
            moment = self._next_message_at(channel)
            if moment is not None and moment <= self._wall_clock():
                self._send_message(channel, check, find_pictures)

    def _next_message_at(self, channel: Channel) -> float | None:
        oldest, _ = self._record.due(channel.key, 1)
        return channel.next_message_at(self._state(channel), oldest[0].made_at) if oldest else None

    def _state(self, channel: Channel) -> ChannelState:
        known = self._record.channel_states().get(channel.key)
        return ChannelState(channel.key, channel.title) if known is None else known._replace(title=channel.title)

    def _send_message(self, channel: Channel, check: Check, find_pictures: FindPictures) -> None:
        notices, count = self._record.due(channel.key, 100_000)
        state = self._state(channel)
        tellings = check(notices[:_MAX_NOTICES])
        true_numbers = {telling.notice.number for telling in tellings}
        over = [notice.number for notice in notices[:_MAX_NOTICES] if notice.number not in true_numbers]
        if over:
            self._record.record_over(state, over, self._wall_clock())
        if not tellings:
            return  # more than these wait, or nothing
        left_out = count - len(notices[:_MAX_NOTICES])
        numbers = [*true_numbers, *(notice.number for notice in notices[_MAX_NOTICES:])]
        message = compose_message(tellings, left_out)
        pictures = find_pictures(tellings) if channel.has_pictures else ()
        message_id = secrets.token_hex(8)
        self._record.begin_sending(message_id, channel.key, numbers)
        failure = self._send(message_id, channel.url, message, pictures)
        self._record_answer(channel, state, numbers, failure)

    def _record_answer(self, channel: Channel, state: ChannelState, numbers: Sequence[int], failure: str) -> None:
        now = self._wall_clock()
        if not failure:
            self._record.record_told(state, numbers, now)
            self._on_event("told", channel=channel.title, notices=len(numbers))
            return
        state = self._record.record_failure(state, failure, now)
        self._on_event("not told", channel=channel.title, notices=len(numbers), sentence=failure, remedy="It is tried again by itself.")
        waiting, _ = self._record.due(channel.key, 100_000)
        given_up = [notice.number for notice in waiting if now - notice.made_at > GIVE_UP_SECONDS]
        if given_up:
            self._record.record_given_up(state, given_up, now)
            count = "A notice is" if len(given_up) == 1 else f"{len(given_up)} notices are"
            sentence = f"{count} not told on {channel.title}, which has taken no message for a day."
            self._on_event("given up", channel=channel.title, sentence=sentence, remedy="Look at `goldsmith status` for what waits.")
