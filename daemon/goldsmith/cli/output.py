"""Prints the output of the commands: tables and colour on a terminal, plain lines in a pipe."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from goldsmith.errors import GoldsmithError
from goldsmith.files import display_name, display_text

if TYPE_CHECKING:
    from goldsmith.brief.settings import Settings

# (name of the bar, progress 0..1, note)
OnBarProgress = Callable[[str, float, str], None]


def is_terminal() -> bool:
    """Return whether the output goes to a terminal."""
    return sys.stdout.isatty()


def sanitise(text: str) -> str:
    """Return ``text`` on one line, as ``display_name``: file names may contain line breaks, colour codes and bad bytes."""
    return display_name(text)


def print_text(text: str = "") -> None:
    """Print ``text``. Line breaks stay; other control characters are replaced, so that the terminal does not execute them."""
    print(display_text(text))


def print_sentence(text: str) -> None:
    """Print sentences for people: on a terminal wrapped between words, in a pipe as they are. Lines that begin with "- " are hung."""
    print("\n".join(_wrapped(display_text(text), is_terminal())))


def _wrapped(text: str, to_terminal: bool, margin: int = 0) -> Iterator[str]:
    """Yield the lines of a text, wrapped for a terminal less a margin. A path or another long word is never broken: it can be copied."""
    columns = max(_MIN_TEXT_COLUMNS, min(shutil.get_terminal_size().columns, _MAX_TEXT_COLUMNS) - margin)
    for line in text.split("\n"):
        hang = "  " if line.startswith("- ") else ""
        wrapped = textwrap.wrap(line, columns, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
        yield from (wrapped or [""]) if to_terminal else [line]


def is_wide() -> bool:
    """Return whether a table column has room for a sentence: in a pipe, and on a terminal of at least 120 columns."""
    return not is_terminal() or shutil.get_terminal_size().columns >= _WIDE_COLUMNS


def print_json(value: object) -> None:
    """Print a value on one line in ASCII, because names with undecodable bytes have no UTF-8 form."""
    print(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: aligned on a terminal; in a pipe tab-separated with a heading line, each row as soon as it comes."""
    if not is_terminal():
        for row in (columns, *rows) if isinstance(rows, Sequence) else _with_header(columns, rows):
            print("\t".join(map(sanitise, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold underline")
    cells = [list(map(sanitise, row)) for row in rows]
    for number, column in enumerate(columns):
        is_short = all(len(row[number]) <= _NO_WRAP_LENGTH for row in cells)
        table.add_column(column, overflow="fold", no_wrap=is_short)
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def print_records(columns: Sequence[str], rows: Iterable[Sequence[str]], headline: Sequence[str]) -> None:
    """Print a table if each of its rows fits on one line of the terminal, else each row as a paragraph; in a pipe as ``print_table``.

    ``headline`` names the columns that make up a paragraph's first line. The others follow with their names, where they are not empty.
    """
    if not is_terminal():
        print_table(columns, rows)
        return
    cells = [list(map(sanitise, row)) for row in rows]
    widths = [max(len(row[number]) for row in [columns, *cells]) for number in range(len(columns))]
    if sum(widths) + 2 * (len(widths) - 1) <= shutil.get_terminal_size().columns:
        print_table(columns, cells)
        return
    from rich.console import Console
    from rich.text import Text

    console, label_width = Console(highlight=False, soft_wrap=True), max(len(column) for column in columns if column not in headline)
    for row in cells:
        by_column = dict(zip(columns, row, strict=True))
        first = [Text(by_column[column], style=_STYLES.get(by_column[column], "bold")) for column in headline if by_column[column]]
        console.print(Text("  ").join(first))
        for column in columns:
            if column not in headline and by_column[column]:
                label = f"  {column:<{label_width}}  "
                lines = _wrapped(by_column[column], to_terminal=True, margin=len(label))
                console.print(Text(label + ("\n" + " " * len(label)).join(lines)))


# Sentences are not wrapped wider than this: long lines are hard to read.
_MAX_TEXT_COLUMNS = 100
_MIN_TEXT_COLUMNS = 20
_WIDE_COLUMNS = 120
# The priorities of syslog(3) for the levels of the log.
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# A column whose cells have at most this many letters does not wrap.
_NO_WRAP_LENGTH = 20
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red", "problem": "red", "delivered": "green"}


def _with_header(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield columns
    yield from rows


def print_heading(text: str) -> None:
    """Print the heading of the next table or lines."""
    if not is_terminal():
        print_text(f"\n{text}")
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(f"\n{sanitise(text)}", style="bold"))


def format_size(count: float) -> str:
    """Return a size in bytes as text in units of 1000: 940 B, 28 kB, 1.4 GB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            break
    return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"


def progress_text(fraction: float, width: int = 10) -> str:
    """Return a progress of 0..1 for a table cell: a bar with per cent on a terminal, else per cent only."""
    if not is_terminal():
        return f"{fraction:.0%}"
    full = round(max(0.0, min(1.0, fraction)) * width)
    return f"{'█' * full}{'░' * (width - full)} {fraction:.0%}"


@contextmanager
def progress_bars(names: Sequence[str] = ()) -> Iterator[OnBarProgress]:
    """Yield a callback that shows progress: one bar for each name on a terminal, else a line when one is done. Later names add bars."""
    if not is_terminal():
        yield _LineProgress()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}")) as bars:
        tasks = {name: bars.add_task(_plain_markup(name), total=1.0, start=False, note="") for name in names}

        def advance(name: str, fraction: float, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(_plain_markup(name), total=1.0, start=False, note="")
            bars.start_task(tasks[name])
            bars.update(tasks[name], completed=fraction, note=_plain_markup(note))

        yield advance


def _plain_markup(text: str) -> str:
    """Return the text as a progress bar may show it: rich takes brackets for markup."""
    from rich.markup import escape

    return escape(sanitise(text))


class _LineProgress:
    """Progress for a pipe: prints a line when a task is done."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}

    def __call__(self, name: str, fraction: float, note: str = "") -> None:
        is_done = fraction >= 1.0
        if is_done and not self._done.get(name):
            print_text(f"{name}: done")
        self._done[name] = is_done or self._done.get(name, False)


def print_error(error: GoldsmithError) -> None:
    """Print the error and its remedy on stderr."""
    text = display_text(f"goldsmith: {error.sentence}" + (f"\n{error.remedy}" if error.remedy else ""))
    text = "\n".join(_wrapped(text, sys.stderr.isatty()))
    print(_with_priority("error", text) if goes_to_journald() else text, file=sys.stderr)


def print_warning(sentence: str) -> None:
    """Print a sentence on stderr. The command goes on."""
    text = display_text(f"goldsmith: {sentence}")
    print(_with_priority("warning", text) if goes_to_journald() else text, file=sys.stderr)


def goes_to_journald() -> bool:
    """Return whether stderr is the stream of the systemd journal, as JOURNAL_STREAM in systemd.exec(5) says."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _with_priority(level: str, text: str) -> str:
    """Return the text with its syslog priority before each line, as sd-daemon(3) has it: ``journalctl -p warning`` goes by it."""
    prefix = f"<{_PRIORITIES[level]}>"
    return "\n".join(prefix + line for line in text.split("\n"))


def _add_priority(render: Callable[..., Any]) -> Callable[..., str]:
    """Return a renderer of log events whose lines begin with the priority of their level."""

    def render_with_priority(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        return _with_priority(level if level in _PRIORITIES else "info", str(render(logger, method, event)))

    return render_with_priority


def print_command_line_error(error: Any) -> None:
    """Print an error of the argument parser on stderr, with the usage of the command. Its text may hold a file name."""
    text = io.StringIO()
    error.show(text)
    print(display_text(text.getvalue()), end="", file=sys.stderr)


def _clean_event(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Clean every text of a log event for a terminal. The further lines of a text are indented, so that none looks like an event."""
    return {sanitise(key): _clean_value(value) for key, value in event.items()}


def _clean_value(value: object) -> object:
    if isinstance(value, str):
        return display_text(value).replace("\n", "\n    ")
    if isinstance(value, dict):
        return {_clean_value(key): _clean_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean_value(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float) else _clean_value(str(value))


def configure_logging(settings: Settings) -> None:
    """Configure structlog as ``log_format`` and ``log_level`` say: JSON for the systemd journal, colour on a terminal."""
    import structlog

    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    # JSON has escapes of its own for everything but ASCII.
    render: Callable[..., Any] = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    renderers = (*((_clean_event,) if console else ()), _add_priority(render) if goes_to_journald() else render)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
