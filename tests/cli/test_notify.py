"""``goldsmith notify`` tells what waits on each channel, once, also after a restart; ``--test`` and the doctor say what does not work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.commandline import Goldsmith, WriteState
from doubles.history_rows import history_row
from doubles.hook import SECRET, Hook, running_hook
from goldsmith.errors import AlreadyRunningError
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.notices.channels import read_channels
from goldsmith.service.notify_service import NotifyService
from goldsmith.service.setup import load_setup


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook


@pytest.fixture
def channel_file(root: Path, hook: Hook) -> Path:
    """Return a goldsmith.toml with one channel, which only its owner may read."""
    file = root / "config" / "goldsmith.toml"
    file.write_text(f'[[notify]]\nurl = "{hook.url}"\ndigest_minutes = 0\npictures = false\n')
    file.chmod(0o600)
    return file


class Program:
    """``goldsmith notify`` in this process, turn by turn, with a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 1000.0
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.restart()

    def restart(self) -> None:
        setup = load_setup(self.root)
        channels = read_channels(setup.settings.notify)
        self.service = NotifyService(setup, channels, self._on_event, lambda: self.now, grace_seconds=0.0)

    def _on_event(self, event: str, /, **facts: object) -> None:
        self.events.append((event, dict(facts)))

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.service.take_turn()


@pytest.fixture
def program(root: Path, channel_file: Path) -> Iterator[Program]:
    program = Program(root)
    yield program
    program.service.close()


def put(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"x")


def test_what_happens_is_told_once_and_not_again_after_a_restart(
    program: Program, hook: Hook, root: Path, journal: Journal, write_daemon_state: WriteState
) -> None:
    """A review and a problem, then a restart, then another problem."""
    program.turn()
    put(root, "review/acme/hero.png")
    journal.record_problem(history_row("selected/acme/hero.png", "review/acme/hero.png"))
    journal.record_hold("inbox/a.png", "fp", "a.png is empty.", "Save it again.", "", 900.0)
    program.turn()
    program.turn(10.0)
    assert [message["title"] for message in hook.messages] == ["Goldsmith: 1 problem, 1 for your eye"]
    program.service.close()
    program.restart()
    program.turn(1000.0)
    journal.record_hold("inbox/b.png", "fp", "b.png is empty.", "Save it again.", "", 900.0)
    program.turn(1000.0)
    program.turn(10.0)
    assert [message["title"] for message in hook.messages[1:]] == ["Problem: b"]
    assert hook.bodies[-1] == "inbox/b.png\nb.png is empty. Save it again."


def test_what_happens_while_nobody_tells_is_told_later(
    program: Program, hook: Hook, journal: Journal, write_daemon_state: WriteState
) -> None:
    """The unit was stopped for an hour."""
    program.turn()
    program.service.close()
    journal.record_hold("inbox/a.png", "fp", "a.png is empty.", "", "", 900.0)
    program.restart()
    program.turn(3600.0)
    program.turn(10.0)
    assert [message["title"] for message in hook.messages] == ["Problem: a"]


def test_it_tells_that_the_daemon_has_stopped_and_that_it_runs_again(program: Program, hook: Hook, root: Path, journal: Journal) -> None:
    """Nobody else could: the daemon itself has ended."""
    from goldsmith.pipeline.commit.root_lock import RootLock

    program.turn()
    program.turn(5.0)
    program.turn(10.0)
    assert [message["title"] for message in hook.messages] == ["Goldsmith has stopped"]
    with RootLock.acquire(root):
        program.turn(5.0)
        program.turn(10.0)
    assert hook.messages[-1]["title"] == "Goldsmith goes on"


def test_a_root_on_which_no_daemon_ever_ran_is_waited_for(program: Program, hook: Hook, root: Path, tmp_path: Path) -> None:
    """Everything that the first daemon does is news."""
    from goldsmith.journal.location import prepare_journal_folder

    program.turn()
    program.turn()
    assert [facts["sentence"] for event, facts in program.events if event == "waiting"] == [
        "The daemon has not run on this root yet, so there is nothing to tell."
    ]
    path = prepare_journal_folder(root, tmp_path / "state")
    program.turn()
    journal = Journal.open(path)
    journal.record_hold("inbox/a.png", "fp", "a.png is empty.", "", "", 900.0)
    program.turn()
    journal.close()
    program.turn(10.0)
    assert "a.png is empty." in hook.bodies[0]


def test_a_broken_record_is_set_aside_and_a_broken_journal_is_waited_for(
    program: Program, hook: Hook, journal: Journal, write_daemon_state: WriteState
) -> None:
    """Neither ends the program."""
    program.turn()
    program.service.close()
    record = journal.path.with_name("notices.sqlite")
    record.write_bytes(b"no database" * 1000)
    program.restart()
    program.turn()
    assert [event for event, _ in program.events] == ["record replaced"]
    assert list(record.parent.glob("notices.sqlite.broken-*"))
    journal.close()
    journal.path.with_name("journal.sqlite-wal").unlink(missing_ok=True)
    journal.path.write_bytes(b"no database" * 1000)
    program.turn(5.0)
    program.turn(5.0)
    assert [event for event, _ in program.events] == ["record replaced", "waiting"]
    assert "journal.sqlite is broken" in program.events[-1][1]["sentence"]


def test_two_programs_do_not_tell_for_one_root(program: Program, root: Path, journal: Journal) -> None:
    """Else everything would be told twice."""
    program.turn()
    second = Program(root)
    with pytest.raises(AlreadyRunningError, match="tells for this root"):
        second.turn()
    program.service.close()
    second.turn()
    second.service.close()


def test_a_turn_without_news_opens_no_journal(
    program: Program, journal: Journal, write_daemon_state: WriteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle studio costs a few system calls every five seconds."""
    program.turn()
    program.turn()
    opened: list[object] = []
    monkeypatch.setattr(Journal, "open", lambda *arguments, **options: opened.append(arguments))
    program.turn(5.0)
    assert opened == []
    assert program.events == []


def test_the_program_runs_until_sigterm(root: Path, channel_file: Path, journal: Journal, tmp_path: Path) -> None:
    """Its log has no address."""
    command = [sys.executable, "-m", "goldsmith", "notify", "--root", str(root)]
    environment = {**os.environ, "GOLDSMITH_LOG_FORMAT": "json"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        rest = process.stderr.read()
    assert process.returncode == 0
    assert "channel 1 (json)" in line
    assert SECRET not in line + rest


def test_the_test_message_goes_to_every_channel(goldsmith: Goldsmith, root: Path, channel_file: Path, hook: Hook) -> None:
    """One takes it and one does not: exit code 4, and neither line has an address."""
    with channel_file.open("a") as file:
        file.write(f'[[notify]]\nurl = "nosuchservice://{SECRET}"\non = ["problem"]\ncampaigns = ["acme"]\n')
    result = goldsmith("notify", "--test", "-r", root)
    assert result.code == 4
    assert result.rows[1:] == [
        ["ok", "channel 1 (json)", "The test message was taken.", "review, problem, campaign done, machine", "all"],
        ["fault", "channel 2 (nosuchservice)", "Its address is none that Apprise knows.", "problem", "acme"],
    ]
    assert "1 of 2 channels did not take the message." in result.err
    assert [message["title"] for message in hook.messages] == ["Goldsmith: a test"]
    assert SECRET not in result.out + result.err


def test_without_a_channel_it_says_how_to_add_one(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 2: a unit is not restarted for ever."""
    result = goldsmith("notify", "-r", root)
    assert (result.code, "[[notify]]" in result.err) == (2, True)


def doctor_rows(goldsmith: Goldsmith, root: Path) -> list[list[str]]:
    result = goldsmith("doctor", "-r", root)
    assert SECRET not in result.out + result.err
    return [[row[0], *row[2:]] for row in result.rows if len(row) > 2 and row[1] == "notices"]


def test_the_doctor_says_how_many_channels_there_are_and_which_failed_last(
    goldsmith: Goldsmith, root: Path, program: Program, hook: Hook, journal: Journal, write_daemon_state: WriteState
) -> None:
    """Before the first message, after a failure, and after a success."""
    assert doctor_rows(goldsmith, root)[0][:2] == ["note", "1 channel. Nobody was told anything yet."]
    program.turn()
    assert doctor_rows(goldsmith, root)[0][:2] == ["ok", "1 channel; no message was due yet."]
    hook.refuses = 404
    journal.record_hold("inbox/a.png", "fp", "a.png is empty.", "", "", 900.0)
    program.turn()
    program.turn(10.0)
    ((severity, sentence, remedy),) = doctor_rows(goldsmith, root)
    assert (severity, remedy) == ("fault", "Run: goldsmith notify --test")
    assert sentence.startswith("channel 1 (json) did not take the message of 1970-01-01")
    assert sentence.endswith("The service refused the message (HTTP 404, there is no such place).")
    hook.refuses = 0
    program.turn(30.0)
    assert doctor_rows(goldsmith, root)[0][1].startswith("1 channel; the last message went out 1970-01-01")
    program.service.close()
    assert doctor_rows(goldsmith, root)[0][:2] == ["note", "1 channel, but `goldsmith notify` does not run: nobody is told."]


def test_the_doctor_warns_of_an_address_that_every_user_may_read(goldsmith: Goldsmith, root: Path, channel_file: Path) -> None:
    """goldsmith init makes the file readable."""
    channel_file.chmod(0o644)
    assert [row[0] for row in doctor_rows(goldsmith, root)] == ["note", "note"]
    assert "chmod o-r" in doctor_rows(goldsmith, root)[0][2]


def test_the_doctor_says_what_is_missing(goldsmith: Goldsmith, root: Path, channel_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No channel, no Apprise, or a credential that only the service gets."""
    text = channel_file.read_text()
    channel_file.write_text("")
    assert [row[0] for row in doctor_rows(goldsmith, root)] == ["ok"]
    channel_file.write_text('[[notify]]\ncredential = "ntfy"\n')
    assert "whose credentials only the service can read" in doctor_rows(goldsmith, root)[0][1]
    channel_file.write_text(text)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    assert doctor_rows(goldsmith, root)[0] == [
        "fault",
        "The program that sends notices, Apprise, is not installed.",
        "pip install 'goldsmith[notify]'",
    ]


def test_a_brief_names_no_channel(goldsmith: Goldsmith, root: Path, hook: Hook) -> None:
    """Whoever may write to the share would otherwise send pictures wherever he likes."""
    (root / "inbox" / "a.toml").write_text(f'[[notify]]\nurl = "{hook.url}"\n[[edit]]\nop = "sharpen"\n')
    result = goldsmith("check", root / "inbox" / "a.toml", "-r", root)
    assert (result.code, "notify is not a stage of the pipeline" in result.err) == (3, True)


def test_the_check_of_the_settings_shows_channels_without_their_addresses(goldsmith: Goldsmith, root: Path, channel_file: Path) -> None:
    """A person sees what the program has read."""
    with channel_file.open("a") as file:
        file.write('[[notify]]\ncredential = "mail"\non = ["problem", "machine"]\n[metrics]\nlisten = "127.0.0.1:9000"\n')
    result = goldsmith("check", channel_file, "-r", root)
    rows = dict(row for row in result.rows if len(row) == 2)
    assert (rows["notify"], rows["metrics"]) == (
        "digest_minutes = 0.0, pictures = False, url = **********; credential = mail, on = problem; machine",
        "listen = 127.0.0.1:9000",
    )
    assert SECRET not in result.out + result.err
