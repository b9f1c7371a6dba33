"""What the command line prints: tables and colour on a terminal, plain lines in a pipe."""

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

# (which bar, 0..1, what is being done)
OnBarProgress = Callable[[str, float, str], None]


def is_terminal() -> bool:
    """True where a person watches."""
    return sys.stdout.isatty()


def sanitise(text: str) -> str:
    """The text on one line whatever it holds: names on a share may have line breaks, colour codes and undecodable bytes."""
    return "".join("�" if char in _BIDI_CONTROLS or unicodedata.category(char) in _CONTROL_CATEGORIES else char for char in text)


def print_text(text: str = "") -> None:
    """A sentence; what stands on several lines stays so, and no line holds anything that a terminal would obey."""
    print("\n".join(map(sanitise, text.split("\n"))))


def is_wide() -> bool:
    """True where whole sentences fit into a table's column: in a pipe, and on a terminal of 120 columns and more."""
    return not is_terminal() or shutil.get_terminal_size().columns >= _WIDE_COLUMNS


def print_json(value: object) -> None:
    """One value on one line, in ASCII: names with undecodable bytes have no UTF-8."""
    print(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: ruled on a terminal, tab-separated with a heading line in a pipe (row by row as they come)."""
    if not is_terminal():
        for row in (columns, *rows) if isinstance(rows, Sequence) else _with_header(columns, rows):
            print("\t".join(map(sanitise, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold underline")
    cells = [list(map(sanitise, row)) for row in rows]
    for number, column in enumerate(columns):
        short = all(len(row[number]) <= _NO_WRAP_LENGTH for row in cells)
        made.add_column(column, overflow="fold", no_wrap=short)
    for row in cells:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(made)


_WIDE_COLUMNS = 120
# Cells up to so many letters are never broken over lines.
_NO_WRAP_LENGTH = 20
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red", "problem": "red", "delivered": "green"}


def _with_header(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield columns
    yield from rows


def print_heading(text: str) -> None:
    """What the next table or lines are about."""
    if not is_terminal():
        print_text(f"\n{text}")
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(f"\n{sanitise(text)}", style="bold"))


def format_size(count: float) -> str:
    """Bytes as people say them: 940 B, 28 kB, 1.4 GB (units of 1000)."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            break
    return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"


def progress_text(fraction: float, width: int = 10) -> str:
    """How far something is, in a table's cell."""
    if not is_terminal():
        return f"{fraction:.0%}"
    full = round(max(0.0, min(1.0, fraction)) * width)
    return f"{'█' * full}{'░' * (width - full)} {fraction:.0%}"


@contextmanager
def progress_bars(names: Sequence[str] = ()) -> Iterator[OnBarProgress]:
    """A progress bar for each name (those that are named later get theirs then) on a terminal; in a pipe, a line when one ends."""
    if not is_terminal():
        yield _LineProgress()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}")) as shown:
        tasks = {name: shown.add_task(name, total=1.0, start=False, note="") for name in names}

        def advance(name: str, fraction: float, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=1.0, start=False, note="")
            shown.start_task(tasks[name])
            shown.update(tasks[name], completed=fraction, note=sanitise(note))

        yield advance


class _LineProgress:
    """Progress for a pipe: what is begun, and when it is done."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}

    def __call__(self, name: str, fraction: float, note: str = "") -> None:
        whole = fraction >= 1.0
        if whole and not self._done.get(name):
            print_text(f"{name}: done")
        self._done[name] = whole or self._done.get(name, False)


def print_error(error: GoldsmithError) -> None:
    """What is wrong and what to do, on stderr."""
    text = f"goldsmith: {error.sentence}" + (f"\n{error.remedy}" if error.remedy else "")
    print("\n".join(map(sanitise, text.split("\n"))), file=sys.stderr)


def configure_logging(settings: Settings) -> None:
    """structlog as the house says: JSON for the journal, colour on a terminal."""
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
