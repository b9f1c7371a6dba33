"""Printing for terminals and for pipes."""

from __future__ import annotations

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.brief.settings import Settings
from goldsmith.cli import output
from goldsmith.errors import InputError


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_printed_on_one_line(text: str) -> None:
    """A sanitised name is one line, can be encoded, and has no control characters."""
    result = output.sanitise(text)
    assert len(result) == len(text)
    assert len(f"a{result}a".splitlines()) == 1
    assert all(char.isprintable() or not char.isascii() for char in result)
    result.encode()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (28_079_181, "28 MB"), (999_600, "1.0 MB"), (1.4e9, "1.4 GB"), (82e12, "82000 GB")],
)
def test_sizes_are_rounded_to_two_figures(count: float, expected: str) -> None:
    """The units are powers of 1000."""
    assert output.format_size(count) == expected


def test_a_table_in_a_pipe_is_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading line comes first, then one line per row, also from a generator."""
    output.print_table(("a", "b"), (row for row in [("1\n2", "x\ty"), ("3", "")]))
    assert capsys.readouterr().out == "a\tb\n1�2\tx�y\n3\t\n"


def test_a_table_on_a_terminal_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name such as [red]x does not set a colour."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    output.print_table(("name",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_an_error_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Several errors are several lines on stderr."""
    output.print_error(InputError("hero.toml has 2 faults:\n- a\n- b", "Correct it."))
    assert capsys.readouterr().err.splitlines() == ["goldsmith: hero.toml has 2 faults:", "- a", "- b", "Correct it."]


def test_progress_in_a_pipe_is_one_line_per_finished_task(capsys: pytest.CaptureFixture[str]) -> None:
    """A second report of the end prints nothing."""
    with output.progress_bars(["edit"]) as advance:
        for fraction in (0.0, 0.5, 1.0, 1.0):
            advance("edit", fraction, "")
    assert capsys.readouterr().out == "edit: done\n"


def test_the_log_is_json_if_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """stderr has one object per line, from the requested level up."""
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    try:
        output.configure_logging(Settings.model_construct(log_format="json", log_level="info"))
        structlog.get_logger("x").debug("dropped")
        structlog.get_logger("x").info("held", picture="inbox/a.png")
    finally:
        structlog.reset_defaults()
    (line,) = stderr.getvalue().splitlines()
    result = json.loads(line)
    assert (result["event"], result["level"], result["picture"]) == ("held", "info", "inbox/a.png")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the output goes to a terminal of 80 columns."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("terminal")
def test_a_sentence_is_wrapped_between_words_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No line is longer than the terminal, except for a word that is; further lines of a list are indented."""
    path = "selected/" + "x" * 90
    output.print_sentence(f"hero.toml has 2 problems:\n- {'word ' * 30}\n- see {path} for it")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == [f"  {path}"]
    assert lines[1].startswith("- word")
    assert lines[2].startswith("  word")


def test_a_sentence_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads whole sentences."""
    output.print_sentence("word " * 60)
    assert capsys.readouterr().out == "word " * 60 + "\n"


COLUMNS = ("when", "file", "results")


@pytest.mark.usefixtures("terminal")
def test_records_that_fit_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is one line."""
    output.print_records(COLUMNS, [("today", "a.png", "b.png")], headline=("when",))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [list(COLUMNS), ["today", "a.png", "b.png"]]


@pytest.mark.usefixtures("terminal")
def test_records_that_do_not_fit_are_paragraphs(capsys: pytest.CaptureFixture[str]) -> None:
    """No path is broken, an empty cell has no line, and the columns of the first line have no names."""
    long_path = f"inbox/{'y' * 60}.png"
    output.print_records(COLUMNS, [("today", long_path, f"{long_path}, {long_path}"), ("now", "[red]b[/red].png", "")], headline=("when",))
    assert capsys.readouterr().out.splitlines() == [
        "today",
        f"  file     {long_path}",
        f"  results  {long_path},",
        f"           {long_path}",
        "now",
        "  file     [red]b[/red].png",
    ]


def test_records_in_a_pipe_are_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    """As for a table."""
    output.print_records(COLUMNS, [("today", "a", "b")], headline=("when",))
    assert capsys.readouterr().out == "when\tfile\tresults\ntoday\ta\tb\n"
