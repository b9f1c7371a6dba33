"""A name that a stranger gave to a file reaches no terminal, log or note as it is, whichever command shows it."""

from __future__ import annotations

import ast
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer

from doubles.commandline import Goldsmith
from goldsmith.brief.settings import Settings
from goldsmith.cli import output
from goldsmith.cli.app import build_app
from goldsmith.errors import InputError
from goldsmith.files import FileSignature, Filesystem, display_text
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.service.systemd_notify import SystemdNotifier

# Sets a terminal's title, turns the text round, and hides letters.
TRICKS = "\x1b]0;mine\x07\u202e\u061c\u200b\U000e0041\x9b31m"
NAME = f"hero{TRICKS}"
# These start the daemon or fetch from the network when their arguments are right.
UNENDING = {("metrics",), ("run",), ("web",), ("demo",), ("models", "fetch")}


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words and the definition of every command, so that a new one is tested without a line here."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        further = getattr(command, "commands", {})
        for name, inner in further.items():
            yield from walk(inner, (*words, name))
        if not further:
            yield words, command

    return walk(typer.main.get_command(build_app()), ())


def is_clean(text: str) -> bool:
    return not set(TRICKS).difference("0;mine]31m") & set(text)


def arguments_of(command: Any, path: Path) -> list[str]:
    return [str(path) for parameter in command.params if parameter.param_type_name == "argument"]


@pytest.fixture
def picture_path(root: Path, journal: Journal) -> Path:
    """Return a picture with a hostile name in a hostile campaign: with a note, a brief, a hold, a running job and a history."""
    campaign = root / "inbox" / f"spring{TRICKS}"
    campaign.mkdir()
    path = campaign / f"{NAME}.png"
    relative = path.relative_to(root).as_posix()
    path.write_bytes(b"x")
    path.with_suffix(".toml").write_text(f'"{NAME}" = 1\n'.replace("\x1b", "\\u001b").replace("\x07", "\\u0007").replace("\x9b", "\\u009b"))
    (campaign / f"{NAME}.problem.txt").write_text(f"{NAME} is damaged.\n")
    (campaign / f"{NAME}.exr").write_bytes(b"v/1\1")
    for folder in ("looks", "fonts", "recipes"):
        (root / "library" / folder / f"{NAME}.toml").write_text("x = 1\n")
    (root / "inbox" / f"other{TRICKS}.png").write_bytes(b"x")
    (root / "inbox" / f"other{TRICKS}.mask.png").write_bytes(b"x")
    journal.record_hold(f"inbox/other{TRICKS}.png", "", f"{NAME} is damaged.", f"Save {NAME} again.", "", 1.0)
    journal.record_queued("1", "edit", "cpu", relative, time.time())
    journal.record_started("1", time.time(), time.time() + 600)
    journal.record_progress("1", 1, "grade", 0.5, f"reading {NAME}", time.time() + 600)
    row = HistoryRow(job_id="2", path=relative, sha256="ab" * 32, started_at=1.0, taken_at=2.0, stage="generate", outcome="passed")
    results = (f"selected/{NAME}.png",)
    journal.complete_plans([CompletedPlan("2", (row.model_copy(update={"results": results}),), (), ())])
    return path


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_no_command_prints_a_hostile_name_as_it_is(
    goldsmith: Goldsmith, root: Path, picture_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], terminal: bool
) -> None:
    """Each command is called for the file, for a root of that name, and with arguments that it does not take."""
    monkeypatch.setattr(output, "is_terminal", lambda: terminal)
    command = dict(commands())[words]
    files = arguments_of(command, picture_path)
    options = {option for parameter in command.params for option in parameter.opts}
    missing = root.parent / f"nowhere{TRICKS}"
    calls = [[*words, *files, NAME, NAME], [*words, f"--{NAME}"], [*words, *[str(missing / NAME) for _ in files]]]
    if "--root" in options:
        calls.append([*words, *files, "--root", str(missing)])
        if words not in UNENDING:
            calls.append([*words, *files, "--root", str(root)])
    calls = [call for call in calls if files or len(call) > len(words)] if words in UNENDING else calls
    for call in calls:
        result = goldsmith(*call)
        assert is_clean(result.out), call
        assert is_clean(result.err), call


def test_a_hostile_name_is_shown_at_all(goldsmith: Goldsmith, root: Path, picture_path: Path) -> None:
    """The test above would also pass if the commands found nothing."""
    displayed = display_text(NAME)
    calls = (["status"], ["history"], ["why", picture_path], ["check", picture_path.with_suffix(".toml")])
    results = [goldsmith(*call, "--root", root) for call in calls]
    texts = [result.out + result.err for result in results]
    assert [displayed in text for text in texts] == [True, True, True, True]
    assert "����" in goldsmith("why", NAME, NAME, NAME).err  # the argument parser replaces the rest


def test_all_output_of_the_commands_goes_through_one_module() -> None:
    """Only ``cli/output.py`` prints. ``cli/app.py`` prints the version, which nobody else chooses."""
    printing = {}
    for path in sorted(Path(output.__file__).parent.rglob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {call.id if isinstance(call, ast.Name) else call.attr for call in calls if isinstance(call, ast.Name | ast.Attribute)}
        if names & {"print", "echo", "secho", "Console", "Progress"}:
            printing[path.name] = names & {"print", "echo", "secho", "Console", "Progress"}
    assert printing == {"output.py": {"print", "Console", "Progress"}, "app.py": {"echo"}}


def test_progress_bars_take_no_markup_from_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A note with a closing tag would end the command, and one with a link would be a link."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    with output.progress_bars(["[/bold]"]) as advance:
        advance("[/bold]", 0.5, f"[/red] {NAME}")
        advance(f"[/x] {NAME}", 1.0, "")
    assert is_clean(capsys.readouterr().out)


def logged(log_format: str, monkeypatch: pytest.MonkeyPatch) -> str:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    try:
        output.configure_logging(Settings.model_construct(log_format=log_format, log_level="info"))
        log = structlog.get_logger("x")
        log.info("held", picture=f"inbox/{NAME}.png", paths=[NAME, {NAME: (NAME,)}], folder=Path(NAME), error=InputError(NAME), count=3)
        log.info(NAME, **{NAME: 1})
        try:
            raise LookupError(f"{NAME}\nheld picture=forged")
        except LookupError:
            log.exception("failed")
    finally:
        structlog.reset_defaults()
    return stderr.getvalue()


def test_the_console_log_shows_no_hostile_name_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text of an event is cleaned: its name, its keys, nested values, paths and tracebacks. Colours of the log itself stay."""
    monkeypatch.setenv("NO_COLOR", "")
    text = logged("console", monkeypatch)
    assert display_text(NAME) in text
    assert not any(trick in text for trick in ("\x1b]", "\x07", "\u202e", "\u061c", "\u200b", "\U000e0041", "\x9b"))
    assert not any(line.startswith("held picture=forged") for line in text.splitlines())


def test_the_json_log_keeps_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has its own escapes, so a program gets the name of the file."""
    text = logged("json", monkeypatch)
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text.splitlines()[0])["picture"] == f"inbox/{NAME}.png"


def test_a_note_shows_no_hostile_sentence_as_it_is(root: Path, journal: Journal) -> None:
    """Administrators read notes in terminals."""
    (root / "inbox" / "hero.png").write_bytes(b"x")
    holds = Holds(root, journal, Filesystem(), time.time)
    sig = FileSignature.from_stat((root / "inbox" / "hero.png").stat())
    problem = InputError(f"{NAME} is damaged.\nAnd {NAME}\udcff.", f"Save {NAME} again.")
    (bundle,) = group_bundles("inbox", "", ["hero.png"])
    note = holds.hold(bundle, {"inbox/hero.png": sig}, problem, None)
    assert is_clean((root / note).read_text())
    assert (root / note).read_text().splitlines()[1] == f"And {display_text(NAME)}?."
    assert is_clean(journal.all_holds()[0].sentence + journal.all_holds()[0].remedy)


def test_the_status_for_systemd_shows_no_hostile_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """``systemctl status`` prints it on a terminal."""
    sent: list[str] = []
    notifier = SystemdNotifier()
    monkeypatch.setattr(notifier, "_send", sent.append)
    notifier.status(f"{NAME}\nis full.")
    assert is_clean(sent[0])
    assert "\n" not in sent[0]
