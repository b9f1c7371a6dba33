"""The sender sends one message with its pictures, and says what kind of failure there was in words that hold no address."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.hook import SECRET, Hook, running_hook
from goldsmith.pipeline.notices.message import Message
from goldsmith.pipeline.notices.sender import NOT_INSTALLED, UNKNOWN_ADDRESS, send
from goldsmith.pipeline.notices.sender_launcher import SenderLauncher

PICTURES = [("1-hero.jpg", b"\xff\xd8jpeg\xff\xd9"), ("2-b.jpg", b"second")]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook


def test_title_text_and_pictures_arrive(hook: Hook) -> None:
    """The text arrives as it is: no mark-up is made of it."""
    assert send(hook.url, "A title", "- *one*\n- <b>two</b>", PICTURES) == ""
    (message,) = hook.messages
    assert (message["title"], message["message"]) == ("A title", "- *one*\n- <b>two</b>")
    assert hook.pictures() == [data for _, data in PICTURES]
    assert [each["filename"] for each in message["attachments"]] == ["1-hero.jpg", "2-b.jpg"]


def test_pictures_that_a_service_refuses_are_left_out_with_a_sentence(hook: Hook) -> None:
    """The words are the message."""
    hook.takes_pictures = False
    assert send(hook.url, "A title", "Words.", PICTURES) == ""
    assert hook.bodies == ["Words.\n\n(The picture is left out: the channel did not take it.)"]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "The service refused the message (HTTP 401, the password or key is wrong)."),
        (500, "The service refused the message (HTTP 500)."),
    ],
)
def test_a_refusal_is_told_by_its_number(hook: Hook, status: int, sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed: the service's own words may repeat the address."""
    hook.refuses = status
    assert send(hook.url, "A title", "Words.", []) == sentence
    assert SECRET not in "".join(capfd.readouterr())


def test_a_service_that_is_not_there_cannot_be_reached() -> None:
    """Its port is closed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"json://127.0.0.1:{closed.getsockname()[1]}/{SECRET}"
        assert send(url, "A title", "Words.", []) == "The service cannot be reached."


def test_an_address_that_apprise_does_not_know_is_no_use_to_try() -> None:
    """Neither is a program without Apprise."""
    assert send("nosuchservice://x", "A title", "Words.", []) == UNKNOWN_ADDRESS


def test_without_apprise_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default install does not have it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert send("json://127.0.0.1", "A title", "Words.", []) == NOT_INSTALLED
    assert "goldsmith[notify]" in NOT_INSTALLED


def test_a_process_of_its_own_sends_and_leaves_its_answer(hook: Hook, tmp_path: Path) -> None:
    """Another program that asks for the answer of this message gets it, and only of this one."""
    sender = SenderLauncher(tmp_path / "answer")
    assert sender.send("m1", hook.url, Message("A title", "Words."), PICTURES) == ""
    assert hook.bodies == ["Words."]
    assert SECRET not in (tmp_path / "answer").read_text()
    assert SenderLauncher(tmp_path / "answer").earlier_answer("m1") == ""
    assert SenderLauncher(tmp_path / "answer").earlier_answer("m2") is None
    assert SenderLauncher(tmp_path / "gone").earlier_answer("m1") is None


def test_a_service_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed, and the message counts as not taken."""
    from goldsmith.pipeline.notices import sender_launcher

    monkeypatch.setattr(sender_launcher, "_TIMEOUT_SECONDS", 0.01)
    failure = SenderLauncher().send("m", "json://127.0.0.1:9", Message("t", "b"), ())
    assert failure == "The service has not answered for 0 s."


def test_a_sender_that_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has printed no answer."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert SenderLauncher().send("m", "json://x", Message("t", "b"), ()) == "The program that sends messages has failed (exit status 1)."
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert SenderLauncher().send("m", "json://x", Message("t", "b"), ()).startswith("The program that sends messages cannot be started")
