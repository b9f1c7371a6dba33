"""Prints the output of the commands: tables and colour on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from goldsmith.errors import GoldsmithError

if TYPE_CHECKING:
    from goldsmith.brief.settings import Settings

_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# (name of the bar, progress 0..1, note)
OnBarProgress = Callable[[str, float, str], None]


def is_terminal() -> bool:
    """Return whether the output goes to a terminal."""
    return sys.stdout.isatty()


def sanitise(text: str) -> str:
    """Return ``text`` on one line, with control characters replaced: file names may contain line breaks, colour codes and bad bytes."""
    return "".join("�" if char in _BIDI_CONTROLS or unicodedata.category(char) in _CONTROL_CATEGORIES else char for char in text)


def print_text(text: str = "") -> None:
    """Print ``text``. Line breaks stay; other control characters are replaced, so that the terminal does not execute them."""
    print("\n".join(map(sanitise, text.split("\n"))))


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


_WIDE_COLUMNS = 120
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
        tasks = {name: bars.add_task(name, total=1.0, start=False, note="") for name in names}

        def advance(name: str, fraction: float, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0, start=False, note="")
            bars.start_task(tasks[name])
            bars.update(tasks[name], completed=fraction, note=sanitise(note))

        yield advance


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
    text = f"goldsmith: {error.sentence}" + (f"\n{error.remedy}" if error.remedy else "")
    print("\n".join(map(sanitise, text.split("\n"))), file=sys.stderr)


def configure_logging(settings: Settings) -> None:
    """Configure structlog as ``log_format`` and ``log_level`` say: JSON for the systemd journal, colour on a terminal."""
    import structlog

    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
