"""A message is what a phone shows: short, in plain text, and nothing in it calls the whole chat."""

from __future__ import annotations

from goldsmith.journal.notice_record import Notice
from goldsmith.pipeline.notices.message import Telling, compose_message, trial_message

REVIEW = "Waits for your eye since {}. Drag it into review/approve, or into review/reject."


def telling(kind: str, path: str, sentence: str, campaign: str = "acme") -> Telling:
    return Telling(Notice(1, path, kind, campaign, path, "", 0.0), sentence)


def test_one_notice_is_its_picture_and_its_sentence() -> None:
    """The title fits on a locked screen."""
    message = compose_message([telling("problem", "inbox/acme/hero.png", "hero.png is cut off. Copy it again.")])
    assert message == ("Problem: hero", "inbox/acme/hero.png\nhero.png is cut off. Copy it again.")
    message = compose_message([telling("review", "review/acme/hero.png", REVIEW.format("14:05"))])
    assert message == ("For your eye: hero", "review/acme/hero.png\n" + REVIEW.format("14:05"))
    done = compose_message([telling("campaign done", "delivered/acme/hero.jpg", "2 pictures delivered, and nothing of it waits.")])
    assert done == ("Done: acme", "acme\n2 pictures delivered, and nothing of it waits.")
    assert compose_message([telling("machine", "", "The disk is full.", "")]) == ("Goldsmith has stopped", "The disk is full.")
    assert compose_message([telling("machine over", "", "Over: The disk is full.", "")]).title == "Goldsmith goes on"


def test_several_notices_are_grouped_by_kind_and_the_instruction_is_said_once() -> None:
    """The most urgent kind comes first."""
    message = compose_message(
        [
            telling("review", "review/acme/a.png", REVIEW.format("14:05")),
            telling("review", "review/acme/b.png", REVIEW.format("14:06")),
            telling("problem", "inbox/acme/c.png", "c.png is empty."),
        ]
    )
    assert message.title == "Goldsmith: 1 problem, 2 for your eye"
    assert message.body == (
        "Problems (1)\n- inbox/acme/c.png: c.png is empty.\n\n"
        "Waiting for your eye (2)\n- review/acme/a.png: Waits for your eye since 14:05.\n"
        "- review/acme/b.png: Waits for your eye since 14:06.\n"
        "Drag it into review/approve, or into review/reject."
    )


def test_a_flood_is_counted_and_not_listed() -> None:
    """A thousand notices make a message of a few lines."""
    tellings = [telling("problem", f"inbox/{number}.png", f"{number} is empty.") for number in range(40)]
    message = compose_message(tellings, left_out=960)
    assert message.title == "Goldsmith: 40 problems, 960 more"
    assert "- and 32 more\n" in message.body
    assert "And 960 more: see `goldsmith status`" in message.body
    assert len(message.body.splitlines()) < 14


def test_a_long_sentence_ends_at_a_word() -> None:
    """The note beside the picture has it whole."""
    body = compose_message([telling("problem", "inbox/a.png", "word " * 300)]).body
    assert len(body) < 450
    assert body.endswith("word …")


def test_a_name_calls_nobody_and_hides_nothing() -> None:
    """Chat programs take @everyone, <!channel> and control characters for commands."""
    message = compose_message([telling("problem", "inbox/@everyone <!channel>\u202egnp.png", "“@here\x1b[31m.png” is empty.")])
    assert not set("@<>\x1b\u202e") & set(message.title + message.body)
    assert "everyone" in message.body


def test_the_trial_message_says_that_it_is_one() -> None:
    """Nobody takes it for news."""
    assert "test" in trial_message().title
